-- The usual case of token and leaky buckets: their values are integers.
--
-- The reply is short: the moment and, for each key, its state before, or -1 minus that where the hit is refused. The
-- client adds the cost itself.

if usual and usual <= LEAKY_BUCKET then
  local cost, cap, is_usual = n6, n8, own == 0 and n7 == 0 and NOW >= EARLIEST
  local now, count, tonumber = NOW, #KEYS, tonumber

  -- One hit, without the tables that several need.
  if is_usual and count == 1 then
    local key, us, code = KEYS[1], 0, 0
    local value = redis.pcall('GET', key)
    if value then
      us = type(value) == 'string' and #value == 19 and tonumber(sub(value, 1, 16))
      code = us and tonumber(sub(value, 17))
    end
    if code and (us == 0 or us >= EARLIEST) and us - min(lead_of(code), cap) <= now then
      local after = (us > now and us or now) + cost
      if after - now > cap then return struct.pack('<dd', now, -1 - us) end
      write(key, after, now, us, code)
      return struct.pack('<dd', now, us)
    end
  end

  -- Several hits, whose values are read at once. Nothing is written before it is certain that all are of this kind.
  if is_usual and count > 1 then
    local values, replies, states, codes, leads, new = call('MGET', unpack(KEYS)), { now }, {}, {}, {}, {}
    local is_known = true
    for i = 1, count do
      local key, value = KEYS[i], values[i]
      local us = states[key]
      if not us and value then
        us = #value == 19 and tonumber(sub(value, 1, 16))
        local text = us and sub(value, 17)
        local lead = leads[text]
        if us and not lead then
          local code = tonumber(text)
          lead = code and min(lead_of(code), cap)
          leads[text] = lead
        end
        if not lead or us < EARLIEST or us - lead > now then
          is_known = false
          break
        end
        codes[i] = text
      elseif not us then
        us = 0
        new[#new + 1] = key
      end
      local after = (us > now and us or now) + cost
      if after - now > cap then
        replies[i + 1], states[key] = -1 - us, us
      else
        replies[i + 1], states[key] = us, after
      end
    end
    -- MGET finds nothing where a value is not a string.
    if is_known and (#new == 0 or call('EXISTS', unpack(new)) == 0) then
      for i = 1, count do
        local key, before = KEYS[i], replies[i + 1]
        local us = before >= 0 and states[key]
        if us then
          write(key, us, now, before, codes[i])
          states[key] = false -- a key that occurs again is written once
        end
      end
      return struct.pack('<' .. string.rep('d', count + 1), unpack(replies))
    end
  end
end
