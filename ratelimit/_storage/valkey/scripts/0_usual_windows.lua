-- The usual case of fixed and sliding windows: their values are counts of a window that is not ahead of the clock's.

if usual and usual >= FIXED_WINDOW and usual <= SLIDING_WINDOW then
  local period, cost, limit = n5, n6, n7
  local step = usual == FIRST_WINDOW and 1 or period -- from one number of a window to the next
  local here = (NOW - NOW % step) / step

  local function value_of(key)
    local value = redis.pcall('GET', key)
    return value and (type(value) == 'string' and value or '') -- an error is no value of a window
  end

  local function hit_fixed(key)
    local value, window, spent = value_of(key), 0, 0
    if value then
      window, spent = match(value, '^(%d+) (%d+)$')
      window, spent = tonumber(window), tonumber(spent)
      if not window or window > here then return nil end
    end
    local new, sum = window, spent + cost
    if not value or NOW >= window * step + period then
      new, sum = here, cost
    end
    if sum > limit then return answer(REFUSED, window, spent, 0, window, spent, 0, 0) end
    call('SET', key, format('%.0f %.0f', new, sum), 'EXAT', expiry(new * step + period))
    return answer(DONE, window, spent, 0, new, sum, 0, 0)
  end

  local function hit_sliding(key)
    local value, window, previous, current = value_of(key), 0, 0, 0
    if value then
      window, previous, current = match(value, '^(%d+) (%d+) (%d+)$')
      window, previous, current = tonumber(window), tonumber(previous), tonumber(current)
      if not window or window > here then return nil end
    end
    local last, spent = previous, current
    if window < here then
      last, spent = window == here - 1 and current or 0, 0
    end
    local room, weight = (limit - spent - cost) * period, last * ((here + 1) * period - NOW)
    if max(room, weight) > 9007199254740991 then return nil end -- not exact in a double
    if room < 0 or room < weight then
      return answer(REFUSED, window, previous, current, window, previous, current, 0)
    end
    spent = spent + cost
    call('SET', key, format('%.0f %.0f %.0f', here, last, spent), 'EXAT', expiry((here + 2) * period))
    return answer(DONE, window, previous, current, here, last, spent, 0)
  end

  local reply = decide_usual(usual == SLIDING_WINDOW and hit_sliding or hit_fixed)
  if reply then return reply end
end
