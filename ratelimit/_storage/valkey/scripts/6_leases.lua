-- Leases: what a host takes in advance, and gives back when it can no longer spend it.
--
-- A GRANT spends its cost as a hit does, and in the same step takes up to `want` more: at most half of what is left, so
-- that near the limit every decision becomes a single one. It has `want` in the place of the patience, and a bucket's
-- interval in that of the booked moment. The reply's turn has how many more were granted.
--
-- A RETURN gives its cost back, which was granted at the booked moment: no more than it still takes from other requests,
-- so that a key is never better off than one from which it had never been taken. The host sends along how many
-- microseconds have passed at least. If fewer have passed here, the clock went back, and nothing is given back.

local GRANT, RETURN = 16, 17
local MOST_GRANTED = 67108863 -- 2^26 - 1: times the ticks of a microsecond it is exact

local function half(want, left)
  return max(0, min(want, floor(left / 2), MOST_GRANTED))
end

-- Return a state from which more was taken, and how much; an estimate of what is left suffices, since half is taken.
local function bucket_granted(q, us, lo)
  local base, i_us, i_lo = q[5], q[NUMBERS + 3], q[NUMBERS + 4]
  local left_us, left_lo = excess(NOW + q[8], q[9], us, lo, base)
  local count = half(q[NUMBERS + 1], floor((left_us + left_lo / base) / (i_us + i_lo / base)))
  local more_lo = count * i_lo
  local carry = floor(more_lo / base)
  local a_us, a_lo = plus(us, lo, count * i_us + carry, more_lo - carry * base, base)
  if before(NOW + q[8], q[9], a_us, a_lo) then return us, lo, 0 end
  return a_us, a_lo, count
end

local function went_back(q)
  return NOW - q[NUMBERS + 3] < q[NUMBERS + 4]
end

-- What was taken at a moment is worth less by the time since then: time has given that back already.
local function bucket_returned(q, us, lo)
  if not before(NOW, 0, us, lo) then return us, lo end
  local back_us, back_lo = excess(q[6], q[7], NOW - q[NUMBERS + 3], 0, q[5])
  us, lo = minus(us, lo, back_us, back_lo, q[5])
  if before(us, lo, NOW, 0) then return NOW, 0 end
  return us, lo
end

local function fixed_returned(q, s)
  local at = q[NUMBERS + 3]
  if is_over(q, NOW, s) or at < start_of(q, s[1]) or at >= end_of(q, s[1]) then return s[1], s[2], 0 end
  return s[1], s[2] - min(q[6], s[2]), 0
end

-- Return the status, the state after, the moment, and how many more were granted.
local function decide_lease(q, s)
  if q[2] == RETURN then
    if went_back(q) then return REFUSED, s, NOW, 0 end
    local a, b
    if q[1] == TOKEN_BUCKET then a, b = bucket_returned(q, s[1], s[2]) else a, b = fixed_returned(q, s) end
    return DONE, { a, b, 0 }, NOW, 0
  end
  if q[1] == TOKEN_BUCKET then
    local ok, us, lo = bucket_hit(q, s[1], s[2])
    if not ok then return REFUSED, s, NOW, 0 end
    local count
    us, lo, count = bucket_granted(q, us, lo)
    return DONE, { us, lo, 0 }, NOW, count
  end
  local ok, window, spent = fixed_admit(q, NOW, s)
  if not ok then return REFUSED, s, NOW, 0 end
  local count = half(q[NUMBERS + 1], q[7] - spent)
  return DONE, { window, spent + count, 0 }, NOW, count
end

-- Give back entries of one moment. A full list may have lost entries that count, so it gives none back.
local function log_returned(q, key)
  local count = redis.call('LLEN', key)
  if count == 0 or count >= q[8] or went_back(q) then return end
  local text = string.format('%.0f', q[NUMBERS + 3])
  if q[3] > 0 then text = text .. string.format(' 0 %.0f', q[3]) end
  redis.call('LREM', key, q[6], text)
end

-- Return the status, the moment, and how many more were granted. What is granted is added to the request's cost.
local function decide_log_lease(q, key, newest, pending)
  if q[2] == RETURN then
    log_returned(q, key)
    return DONE, NOW, 0
  end
  if log_ready(q, key, NOW, pending) ~= NOW then return REFUSED, NOW, 0 end
  if newest > NOW or pending > 0 then return DONE, NOW, 0 end
  local count = half(q[NUMBERS + 1], q[7] - log_live(q, key, q[7]) - q[6])
  q[6] = q[6] + count
  return DONE, NOW, count
end
