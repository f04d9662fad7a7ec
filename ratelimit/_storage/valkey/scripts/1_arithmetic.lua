-- Moments and products in exact integers. A Lua number is a double: whole numbers below 2^53 are exact.
--
-- A moment of a bucket is two numbers: whole microseconds, and ticks below `base`, the ticks of a microsecond.

local LAST = 4611686018427387 -- microseconds; events at the end of time or later never come
local MOST = 4503599627370495 -- the largest count and debt, 2^52 - 1

local OWN_QUOTA = 2 -- the fourth number of a request for a bucket with another quota than its limiter's
local UNLIMITED = 2 -- the tenth number of a request whose quota admits everything

-- All requests but plain hits have 19 more numbers: patience or the length of a block (2), the booked moment (2), whole,
-- last only, the state that a booking found (3) and left (3); then the revision of a state, plus one, the state (3), and
-- what the client converted it to (3; the first is -1 if the key is forgotten). Then follow the starts of a calendar's
-- windows.
local ALL, LONG = 29, '<' .. string.rep('d', 29)

-- Whether one request is for all keys, each by itself.
local IS_ALIKE = #ARGV < 3

-- When this server became the primary: every key is taken for one that spent all then. 0: it always was.
local BORN = min(NOW, tonumber(ARGV[IS_ALIKE and 2 or #KEYS + 2]) or 0)

local function before(a_us, a_lo, b_us, b_lo)
  return a_us < b_us or (a_us == b_us and a_lo < b_lo)
end

local function plus(a_us, a_lo, b_us, b_lo, base)
  local us, lo = a_us + b_us, a_lo + b_lo
  if lo >= base then return us + 1, lo - base end
  return us, lo
end

local function minus(a_us, a_lo, b_us, b_lo, base)
  local us, lo = a_us - b_us, a_lo - b_lo
  if lo < 0 then return us - 1, lo + base end
  return us, lo
end

-- The difference where it is positive, otherwise zero.
local function excess(a_us, a_lo, b_us, b_lo, base)
  if before(b_us, b_lo, a_us, a_lo) then return minus(a_us, a_lo, b_us, b_lo, base) end
  return 0, 0
end

-- The first whole nanosecond that is not before the moment, still in ticks.
local function whole_ns(us, lo, base)
  local unit = base / 1000
  lo = ceil(lo / unit) * unit
  if lo >= base then return us + 1, lo - base end
  return us, lo
end

-- a * b of numbers up to 2^52, as two numbers of which the lower is below 2^52.
local function product(a, b)
  local a0, b0 = a % 67108864, b % 67108864
  local a1, b1 = (a - a0) / 67108864, (b - b0) / 67108864
  local low = a0 * b0
  local low0 = low % 67108864
  local middle = a1 * b0 + a0 * b1 + (low - low0) / 67108864
  local middle0 = middle % 67108864
  return a1 * b1 + (middle - middle0) / 67108864, middle0 * 67108864 + low0
end

-- The end of a block, how it is written, and what is written behind it; nil for another text. A block that ends further
-- ahead than when it was written shows that the clock went back.
local function block_of(text)
  if type(text) ~= 'string' or string.sub(text, 1, 1) ~= 'B' then return nil end
  local stop, lead, generation, rest = string.match(text, '^B(%d+) (%d+) (%d+) ?(.*)$')
  if not stop then return nil end
  return min(tonumber(stop), NOW + lead), tonumber(generation), rest
end

local function block_text(stop, generation)
  return string.format('B%.0f %.0f %.0f', stop, max(0, stop - NOW), generation)
end

-- Whether a * b < c * d.
local function product_below(a, b, c, d)
  local ah, al = product(a, b)
  local ch, cl = product(c, d)
  return before(ah, al, ch, cl)
end
