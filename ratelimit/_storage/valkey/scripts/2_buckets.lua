-- Token and leaky buckets. The state is one moment: when the bucket is full again, or the queue empty.
--
-- A request is {algorithm, verb, revision, own, base, cost_us, cost_lo, cap_us, cap_lo, too_much, ...}: `own` is OWN_QUOTA
-- or 0, `cost` is the cost times the interval, `cap` the tolerance.

local function bucket_hit(q, us, lo)
  if q[10] == 1 then return false end
  if us < NOW then us, lo = NOW, 0 end
  us, lo = plus(us, lo, q[6], q[7], q[5])
  local ahead = us - NOW - q[8]
  if ahead > 0 or (ahead == 0 and lo > q[9]) then return false end
  return true, us, lo
end

local function bucket_charged(q, us, lo, from_us, from_lo)
  if before(us, lo, from_us, from_lo) then us, lo = from_us, from_lo end
  us, lo = plus(us, lo, q[6], q[7], q[5])
  if us >= MOST then return MOST, 0 end
  return us, lo
end

-- The moment from which the cost fits or, in a leaky bucket, of the turn.
local function bucket_ready(q, us, lo, at_us, at_lo)
  if q[10] == 1 then return nil end
  if q[1] == TOKEN_BUCKET then
    us, lo = plus(us, lo, q[6], q[7], q[5])
    us, lo = minus(us, lo, q[8], q[9], q[5])
  end
  us, lo = whole_ns(us, lo, q[5])
  if before(at_us, at_lo, us, lo) then at_us, at_lo = us, lo end
  if at_us > LAST then return nil end
  return at_us, at_lo
end

local function bucket_built_upon(q, us, lo)
  local b_us, b_lo = q[NUMBERS + 10], q[NUMBERS + 11]
  if q[1] == LEAKY_BUCKET then return before(b_us, b_lo, us, lo) and before(NOW, 0, b_us, b_lo) end
  if before(b_us, b_lo, NOW + q[8], q[9]) then b_us, b_lo = NOW + q[8], q[9] end
  return before(b_us, b_lo, us, lo)
end

-- At most what is left of the booking by now, less what later bookings depend on.
local function bucket_cancelled(q, us, lo)
  local base, b_us, b_lo = q[5], q[NUMBERS + 10], q[NUMBERS + 11]
  if not before(NOW, 0, us, lo) then return us, lo end
  if q[1] == LEAKY_BUCKET and not (us == b_us and lo == b_lo) then return us, lo end
  local far_us, far_lo = b_us, b_lo
  if before(far_us, far_lo, NOW + q[8], q[9]) then far_us, far_lo = NOW + q[8], q[9] end
  local built_us, built_lo = excess(us, lo, far_us, far_lo, base)
  local left_us, left_lo = excess(b_us, b_lo, NOW, 0, base)
  if before(q[6], q[7], left_us, left_lo) then left_us, left_lo = q[6], q[7] end
  left_us, left_lo = excess(left_us, left_lo, built_us, built_lo, base)
  local ahead_us, ahead_lo = minus(us, lo, NOW, 0, base)
  if before(left_us, left_lo, ahead_us, ahead_lo) then return minus(us, lo, left_us, left_lo, base) end
  return NOW, 0
end

local function bucket_refunded(q, us, lo)
  if not before(NOW, 0, us, lo) then return us, lo end
  us, lo = minus(us, lo, q[6], q[7], q[5])
  if before(us, lo, NOW, 0) then return NOW, 0 end
  return us, lo
end

local buckets = {}

function buckets.hit(q, s)
  local ok, us, lo = bucket_hit(q, s[1], s[2])
  return ok, us, lo, 0
end

function buckets.ready(q, s, at_us, at_lo)
  return bucket_ready(q, s[1], s[2], at_us, at_lo)
end

function buckets.book(q, s, at_us, at_lo)
  local us, lo = bucket_charged(q, s[1], s[2], at_us, at_lo)
  return us, lo, 0
end

function buckets.charge(q, s)
  local us, lo = bucket_charged(q, s[1], s[2], NOW, 0)
  return us, lo, 0
end

function buckets.refund(q, s)
  local us, lo = bucket_refunded(q, s[1], s[2])
  return us, lo, 0
end

function buckets.cancel(q, s)
  local us, lo = bucket_cancelled(q, s[1], s[2])
  return us, lo, 0
end

function buckets.built_upon(q, s)
  return bucket_built_upon(q, s[1], s[2])
end

-- The value is `us lead lo revision`: the lead is how far the moment was ahead of the clock when it was written. It
-- shrinks by the time that passes, so a moment that is further ahead shows that the clock went back. If the last two are
-- zero, the value is usually one integer: see 0_integer.lua. Its lead is up to a sixteenth larger, so a little stricter,
-- but not more than what the quota allows. No other value has its 19 characters.
function buckets.read(q, v)
  local us, lead, lo = v[1], v[2], v[3] or 0
  if v.is_integer and q[3] == 0 and q[4] ~= OWN_QUOTA then lead = min(lead, q[8]) end -- by the quota that wrote it
  if NOW < us - lead then return NOW + lead, lo, 0, v[4], true end
  return us, lo, 0, v[4]
end

function buckets.spent_at_birth(q, s)
  if before(s[1], s[2], BORN + q[8], q[9]) then return { BORN + q[8], q[9], 0 } end
  return s
end

function buckets.text(q, s, revision)
  local lead = max(0, s[1] - NOW)
  if revision > 0 then return format('%.0f %.0f %.0f %.0f', s[1], lead, s[2], revision) end
  local is_short = s[2] == 0 and s[1] >= EARLIEST and lead > 0 and lead <= q[8]
  if is_short and q[3] == 0 and q[4] ~= OWN_QUOTA then return format('%.0f%03d', s[1], lead_code(lead)) end
  return format('%.0f %.0f %.0f', s[1], lead, s[2])
end

function buckets.fresh_at(q, s)
  return s[1] + (s[2] > 0 and 1 or 0)
end
