-- A bucket's value as one integer, which the server keeps in the fewest bytes: 16 digits of a moment in microseconds, and 3
-- of how far it was ahead of the clock when it was written, its lead. 2_buckets.lua says what both are for. Such a moment
-- has no fraction and no revision, and is no further ahead than the quota of the limiter allows.

local EARLIEST = 1e15 -- microseconds: the first moment with 16 digits, in 2001

-- The three digits: the lead as 16 to 31 times a power of two, rounded up.
local function lead_code(lead)
  local fraction, exponent = frexp(lead)
  return 16 * exponent + ceil(32 * fraction) - 16
end

local function lead_of(code)
  return ldexp(16 + code % 16, floor(code / 16) - 5)
end

-- Write a moment. A key expires in the second after next, so a moment that stays in the same second keeps its expiry, and
-- the server adds to its value in place, in half the time.
local function write(key, us, now, old, code)
  local second, new = us - us % 1000000, lead_code(us - now)
  if old >= second then
    call('INCRBY', key, format('%d', (us - old) * 1000 + new - code))
  else
    call('SET', key, format('%.0f%03d', us, new), 'EXAT', format('%.0f', second / 1000000 + 2))
  end
end
