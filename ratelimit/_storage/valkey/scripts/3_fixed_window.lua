-- Fixed windows. The state is a window and what was spent in it. A window that is aligned to the epoch is a number, one
-- that starts at a key's first request is its start. The windows of a calendar have numbers, too; the client sends the
-- starts of those near its own clock, and the engine's clock chooses. If they do not reach, the client sends others.
--
-- A request is {algorithm, verb, revision, brief, period, cost, limit, ...}; moments are whole microseconds. Of a
-- calendar, `period` is the number of the first window whose start was sent.

local fixed = {}

local function start_of(q, window)
  if q[1] == CALENDAR then return (struct.unpack('<d', q.text, 8 * (ALL + window - q[5]) + 1)) end
  return q[1] == FIRST_WINDOW and window or window * q[5]
end

local function end_of(q, window)
  if q[1] == CALENDAR then return start_of(q, window + 1) end
  return start_of(q, window) + q[5]
end

-- Whether the starts that were sent are enough for this moment, this window and the next one.
local function is_covered(q, at, window)
  if q[1] ~= CALENDAR then return true end
  local last = q[5] + #q.text / 8 - ALL - 1
  return at >= start_of(q, q[5]) and at < start_of(q, last - 1) and window + 2 <= last
end

local function opened_at(q, at)
  if q[1] == CALENDAR then
    local window = q[5]
    while start_of(q, window + 1) <= at do window = window + 1 end
    return window
  end
  return q[1] == FIRST_WINDOW and at or (at - at % q[5]) / q[5]
end

local function is_over(q, at, s)
  if (s[1] == 0 and s[2] == 0) or (q[1] == CALENDAR and s[1] < q[5]) then return true end
  return at >= end_of(q, s[1])
end

local function fixed_admit(q, at, s)
  if q[6] > q[7] then return false end
  if is_over(q, at, s) then return true, opened_at(q, at), q[6], 0 end
  if at < start_of(q, s[1]) or s[2] + q[6] > q[7] then return false end
  return true, s[1], s[2] + q[6], 0
end

function fixed.hit(q, s)
  return fixed_admit(q, NOW, s)
end

function fixed.ready(q, s, at)
  if q[6] > q[7] then return nil end
  if is_over(q, at, s) then return at, 0 end
  if s[2] + q[6] > q[7] then at = end_of(q, s[1]) else at = max(at, start_of(q, s[1])) end
  if at > LAST then return nil end
  return at, 0
end

function fixed.book(q, s, at)
  local _, window, count = fixed_admit(q, at, s)
  return window, count, 0
end

function fixed.charge(q, s)
  if is_over(q, NOW, s) then return opened_at(q, NOW), min(q[6], MOST), 0 end
  return s[1], min(s[2] + q[6], MOST), 0
end

function fixed.refund(q, s)
  if is_over(q, NOW, s) then return s[1], s[2], 0 end
  return s[1], s[2] - min(q[6], s[2]), 0
end

function fixed.built_upon(q, s)
  local at = q[NUMBERS + 3]
  return at > NOW and not is_over(q, NOW, s) and at < start_of(q, s[1])
end

-- The window before a future one that becomes empty had been full.
function fixed.cancel(q, s)
  local at = q[NUMBERS + 3]
  if is_over(q, NOW, s) or at < start_of(q, s[1]) or at >= end_of(q, s[1]) then return s[1], s[2], 0 end
  local count = s[2] - min(q[6], s[2])
  if count == 0 and start_of(q, s[1]) > NOW then
    return q[1] == FIRST_WINDOW and s[1] - q[5] or s[1] - 1, q[7], 0
  end
  return s[1], count, 0
end

-- The value is `window count ahead revision`: how far the window was ahead of the clock's when it was written.
function fixed.read(q, v)
  local ahead, here = v[3] or 0, opened_at(q, NOW)
  if here < v[1] - ahead then return here + ahead, v[2], 0, v[4], true end
  return v[1], v[2], 0, v[4]
end

function fixed.spent_at_birth(q, s)
  if q[1] == FIRST_WINDOW then
    if NOW < BORN + q[5] and s[1] <= BORN then return { BORN, max(q[7], s[2]), 0 } end
    return s
  end
  local at_birth, here = opened_at(q, BORN), opened_at(q, NOW)
  if at_birth == here and s[1] <= here then return { here, max(q[7], s[1] == here and s[2] or 0), 0 } end
  return s
end

function fixed.text(q, s, revision)
  local ahead = max(0, s[1] - opened_at(q, NOW))
  if revision > 0 then return string.format('%.0f %.0f %.0f %.0f', s[1], s[2], ahead, revision) end
  if ahead > 0 then return string.format('%.0f %.0f %.0f', s[1], s[2], ahead) end
  return string.format('%.0f %.0f', s[1], s[2])
end

function fixed.fresh_at(q, s)
  if q[1] == CALENDAR and s[1] < q[5] then return 0 end
  return end_of(q, s[1])
end
