-- The usual case, before the functions for all others are made: one hit on one token or leaky bucket, whose value has
-- no fraction of a microsecond and no revision. 2_buckets.lua describes the request and the value.

if #KEYS == 1 and #ARGV == 2 and #ARGV[2] == 80 then
  local algorithm, verb, revision, _, base, cost_us, cost_lo, cap_us, cap_lo, too_much =
    struct.unpack('<dddddddddd', ARGV[2])
  if algorithm <= 1 and verb == 0 and revision == 0 and cost_lo == 0 and too_much == 0 then
    local clock = redis.call('TIME')
    local now = clock[1] * 1000000 + clock[2]
    local text = redis.pcall('GET', KEYS[1])
    local us, from, known = 0, now, text == false
    if type(text) == 'string' then
      local a, lead = string.match(text, '^(%d+) (%d+)$')
      if a then
        us = tonumber(a)
        known = now >= us - lead
        if us > now then from = us end
      end
    end
    if known then
      local after, ahead = from + cost_us, from + cost_us - now
      if ahead > cap_us then
        return struct.pack('<ddddddddddddd', now, 0, us, 0, 0, us, 0, 0, now, 0, 0, 0, 0)
      end
      redis.call('SET', KEYS[1], string.format('%.0f %.0f', after, ahead), 'PX', math.ceil(ahead / 1000) + 1000)
      return struct.pack('<ddddddddddddd', now, 1, us, 0, 0, after, 0, 0, now, 0, 0, 0, 0)
    end
  end
end
