-- The usual case of sliding logs: requests that only ask whether they are admitted, each of one entry, on lists whose newest
-- entry is not ahead of the clock.

if usual == SLIDING_LOG and own == 1 and n6 == 1 then
  local period, limit, capacity = n5, n7, n8

  local function hit(key)
    local first, newest = redis.pcall('LINDEX', key, 0), 0
    if first then
      newest = type(first) == 'string' and tonumber(match(first, '^%d+$'))
      if not newest or newest > NOW then return nil end
      local text = call('LINDEX', key, limit - 1)
      local blocking = text and tonumber(text)
      if text and not blocking then return nil end
      if text and blocking + period > NOW then return answer(REFUSED, newest, 0, 0, newest, 0, 0, blocking) end
    end
    if call('LPUSH', key, format('%.0f', NOW)) > capacity then call('LTRIM', key, 0, capacity - 1) end
    call('EXPIREAT', key, expiry(NOW + period))
    return answer(DONE, newest, 0, 0, NOW, 0, 0, -1)
  end

  local reply = decide_usual(hit)
  if reply then return reply end
end
