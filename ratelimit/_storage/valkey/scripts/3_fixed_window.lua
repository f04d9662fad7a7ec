-- Fixed windows. The state is a window and what was spent in it. A window that is aligned to the epoch is a number, one
-- that starts at a key's first request is its start.
--
-- A request is {algorithm, verb, revision, brief, period, cost, limit, ...}; moments are whole microseconds.

local fixed = {}

local function start_of(q, window)
  return q[1] == FIRST_WINDOW and window or window * q[5]
end

local function window_of(q, start)
  return q[1] == FIRST_WINDOW and start or start / q[5]
end

local function opened_at(q, at)
  return q[1] == FIRST_WINDOW and at or (at - at % q[5]) / q[5]
end

local function is_over(q, at, s)
  return (s[1] == 0 and s[2] == 0) or at >= start_of(q, s[1]) + q[5]
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
  local start = start_of(q, s[1])
  if s[2] + q[6] > q[7] then at = start + q[5] else at = max(at, start) end
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
  return at > NOW and at < start_of(q, s[1])
end

-- The window before a future one that becomes empty had been full.
function fixed.cancel(q, s)
  local at, start = q[NUMBERS + 3], start_of(q, s[1])
  if (s[1] == 0 and s[2] == 0) or at < start or at - start >= q[5] then return s[1], s[2], 0 end
  local count = is_over(q, NOW, s) and s[2] or s[2] - min(q[6], s[2])
  if count == 0 and start > NOW then return window_of(q, start - q[5]), q[7], 0 end
  return s[1], count, 0
end

-- The value is `window count ahead revision`: how far the window was ahead of the clock's when it was written.
function fixed.read(q, v)
  local ahead, here = v[3] or 0, opened_at(q, NOW)
  if here < v[1] - ahead then return here + ahead, v[2], 0, v[4], true end
  return v[1], v[2], 0, v[4]
end

function fixed.text(q, s, revision)
  local ahead = max(0, s[1] - opened_at(q, NOW))
  if revision > 0 then return string.format('%.0f %.0f %.0f %.0f', s[1], s[2], ahead, revision) end
  if ahead > 0 then return string.format('%.0f %.0f %.0f', s[1], s[2], ahead) end
  return string.format('%.0f %.0f', s[1], s[2])
end

function fixed.fresh_at(q, s)
  return start_of(q, s[1]) + q[5]
end
