-- The usual cases in which each key is decided by itself; buckets have a quicker way.

-- An answer is 12 numbers, see 7_decide.lua. This is one without those that only other requests have.
local function answer(status, a, b, c, new_a, new_b, new_c, x)
  return struct.pack('<dddddddddddd', status, a, b, c, new_a, new_b, new_c, NOW, 0, x, 0, 0)
end

-- Decide keys in order by a function that returns the answer, or nil if a key has something unusual. Return the whole reply,
-- or nil if a key is left.
local function decide_usual(hit)
  local found
  repeat
    found = hit(KEYS[decided + 1])
    if found then
      decided = decided + 1
      replies[decided] = found
    end
  until not found or decided == #KEYS
  return found and struct.pack('<d', NOW) .. table.concat(replies)
end
