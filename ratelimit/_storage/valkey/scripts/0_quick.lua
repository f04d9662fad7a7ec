-- The usual case, before the functions for all others are made: hits on token or leaky buckets, each for itself, whose
-- values have no fraction of a microsecond and no revision. 2_buckets.lua describes the requests and the values.

-- One hit. What differs is left to the functions below.
if #KEYS == 1 and #ARGV == 2 and #ARGV[2] == 80 then
  local algorithm, verb, revision, _, _, cost_us, cost_lo, cap_us, _, too_much = struct.unpack('<dddddddddd', ARGV[2])
  if algorithm <= 1 and verb == 0 and revision == 0 and cost_lo == 0 and too_much == 0 then
    local clock, text = redis.call('TIME'), redis.pcall('GET', KEYS[1])
    local now = clock[1] * 1000000 + clock[2]
    local us, known = 0, text == false
    if type(text) == 'string' then
      local at, lead = string.match(text, '^(%d+) (%d+)$')
      us = tonumber(at) or 0
      known = at and now >= us - lead
    end
    if known then
      local after = (us > now and us or now) + cost_us
      local ahead = after - now
      if ahead > cap_us then
        return struct.pack('<ddddddddddddd', now, 0, us, 0, 0, us, 0, 0, now, 0, 0, 0, 0)
      end
      redis.call('SET', KEYS[1], string.format('%.0f %.0f', after, ahead), 'PX', math.ceil(ahead / 1000) + 1000)
      return struct.pack('<ddddddddddddd', now, 1, us, 0, 0, after, 0, 0, now, 0, 0, 0, 0)
    end
  end
end

-- Several hits, whose values are read at once. Nothing is written before it is certain that all are of this kind.
local function quick()
  local count, rules, after, new = #KEYS, {}, {}, {}
  if #ARGV ~= count + 1 or #ARGV[1] ~= count then return nil end
  for i = 2, count + 1 do
    local text = ARGV[i]
    if not rules[text] then
      if #text ~= 80 then return nil end
      local algorithm, verb, revision, _, _, cost_us, cost_lo, cap_us, _, too_much = struct.unpack('<dddddddddd', text)
      if algorithm > 1 or verb > 0 or revision > 0 or cost_lo > 0 or too_much > 0 then return nil end
      rules[text] = { cost_us, cap_us }
    end
  end
  local clock = redis.call('TIME')
  local now = clock[1] * 1000000 + clock[2]
  local values = redis.call('MGET', unpack(KEYS))
  local replies, changed = { struct.pack('<d', now) }, {}
  for i = 1, count do
    local key, rule, us = KEYS[i], rules[ARGV[i + 1]], 0
    if after[key] then
      us = after[key]
    elseif values[i] then
      local at, lead = string.match(values[i], '^(%d+) (%d+)$')
      us = tonumber(at)
      if not us or now < us - lead then return nil end
    else
      new[key] = true
    end
    local left = (us > now and us or now) + rule[1]
    if left - now > rule[2] then
      after[key] = us
      replies[i + 1] = struct.pack('<dddddddddddd', 0, us, 0, 0, us, 0, 0, now, 0, 0, 0, 0)
    else
      if after[key] == nil or not changed[key] then
        changed[#changed + 1] = key
        changed[key] = true
      end
      after[key] = left
      replies[i + 1] = struct.pack('<dddddddddddd', 1, us, 0, 0, left, 0, 0, now, 0, 0, 0, 0)
    end
  end
  for _, key in ipairs(changed) do
    local left = after[key] - now
    local text, ms = string.format('%.0f %.0f', after[key], left), math.ceil(left / 1000) + 1000
    if new[key] then
      -- MGET finds nothing where a value is not a string; that is left as it is.
      if not redis.call('SET', key, text, 'PX', ms, 'NX') then
        for i = 1, count do
          if KEYS[i] == key then replies[i + 1] = struct.pack('<dddddddddddd', 3, 0, 0, 0, 0, 0, 0, now, 0, 0, 0, 0) end
        end
      end
    else
      redis.call('SET', key, text, 'PX', ms)
    end
  end
  return table.concat(replies)
end

local quickly = #KEYS > 1 and quick()
if quickly then return quickly end
