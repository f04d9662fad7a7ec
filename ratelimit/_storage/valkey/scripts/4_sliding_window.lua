-- The sliding window of two counters. The state is a window's number, what was spent in the one before it, and in it.
--
-- A request is {algorithm, verb, revision, brief, period, cost, limit, ...}; moments are whole microseconds.

local sliding = {}

local function rolled(q, at, s)
  local window = (at - at % q[5]) / q[5]
  if window == s[1] + 1 then return window, s[3], 0 end
  if window > s[1] then return window, 0, 0 end
  return s[1], s[2], s[3]
end

local function sliding_admit(q, at, s)
  local window, previous, current = rolled(q, at, s)
  local room = q[7] - current - q[6]
  if room < 0 or at < window * q[5] then return false end
  if previous > 0 and product_below(room, q[5], previous, (window + 1) * q[5] - at) then return false end
  return true, window, previous, current + q[6]
end

function sliding.hit(q, s)
  return sliding_admit(q, NOW, s)
end

-- The largest x for which x * previous <= room * period; room < previous.
local function unspent(room, period, previous)
  local x = floor(room * (period / previous))
  while product_below(room, period, x, previous) do x = x - 1 end
  while not product_below(room, period, x + 1, previous) do x = x + 1 end
  return x
end

-- Rounded up to the microsecond.
function sliding.ready(q, s, at)
  if q[6] > q[7] then return nil end
  local window, previous, current = rolled(q, at, s)
  for _ = 1, 3 do
    local start, room = window * q[5], q[7] - current - q[6]
    if room >= 0 then
      local from = max(at, start)
      if room < previous then
        local left = unspent(room, q[5], previous)
        from = left > 0 and max(at, start + q[5] - left) or nil
      end
      if from then
        if from > LAST then return nil end
        return from, 0
      end
    end
    window, previous, current = window + 1, current, 0
  end
  return nil
end

function sliding.book(q, s, at)
  local _, window, previous, current = sliding_admit(q, at, s)
  return window, previous, current
end

function sliding.charge(q, s)
  local window, previous, current = rolled(q, NOW, s)
  return window, previous, min(current + q[6], MOST)
end

function sliding.refund(q, s)
  local window, previous, current = rolled(q, NOW, s)
  local here = min(q[6], current)
  return window, previous - min(q[6] - here, previous), current - here
end

function sliding.built_upon(q, s)
  local at = q[NUMBERS + 3]
  return at > NOW and (at - at % q[5]) / q[5] + 1 < s[1]
end

-- The window before a future one that becomes empty comes back; what was spent before that is assumed to be the limit.
function sliding.cancel(q, s)
  local window, previous, current = rolled(q, NOW, s)
  local at = q[NUMBERS + 3]
  local booked = (at - at % q[5]) / q[5]
  if booked == window then
    current = current - min(q[6], current)
  elseif booked + 1 == window then
    previous = previous - min(q[6], previous)
  end
  if current == 0 and window * q[5] > NOW then return window - 1, q[7], previous end
  return window, previous, current
end

-- The value is `window previous current ahead revision`, as for fixed windows.
function sliding.read(q, v)
  local ahead, here = v[4] or 0, (NOW - NOW % q[5]) / q[5]
  if v[3] == nil then return nil end
  if here < v[1] - ahead then return here + ahead, v[2], v[3], v[5], true end
  return v[1], v[2], v[3], v[5]
end

function sliding.spent_at_birth(q, s)
  local at_birth = (BORN - BORN % q[5]) / q[5]
  local window, previous, current = rolled(q, NOW, s)
  if window > at_birth + 1 then return s end
  if window == at_birth then return { window, previous, max(current, q[7]) } end
  return { window, max(previous, q[7]), current }
end

function sliding.text(q, s, revision)
  local ahead = max(0, s[1] - (NOW - NOW % q[5]) / q[5])
  if revision > 0 then
    return string.format('%.0f %.0f %.0f %.0f %.0f', s[1], s[2], s[3], ahead, revision)
  end
  if ahead > 0 then return string.format('%.0f %.0f %.0f %.0f', s[1], s[2], s[3], ahead) end
  return string.format('%.0f %.0f %.0f', s[1], s[2], s[3])
end

function sliding.fresh_at(q, s)
  return (s[1] + 2) * q[5]
end
