-- What every decision begins with: the clock, and whether it may be a usual case, which is decided before the functions for
-- all others are made.
--
-- A usual case is plain hits by one request, each for itself. A file for each kind of algorithm decides those whose keys have
-- nothing unusual. What it does not decide is left to 7_decide.lua: a blocked key, a value of another revision, a clock that
-- went back, and the keys after such a one.

local call, format, match, sub = redis.call, string.format, string.match, string.sub
local floor, ceil, max, min, frexp, ldexp = math.floor, math.ceil, math.max, math.min, math.frexp, math.ldexp

local TOKEN_BUCKET, LEAKY_BUCKET, FIXED_WINDOW, FIRST_WINDOW, SLIDING_WINDOW, SLIDING_LOG, CALENDAR = 0, 1, 2, 3, 4, 5, 6
local HIT, RESERVE, CHARGE, REFUND, CANCEL, PEEK, BLOCK, UNBLOCK = 0, 1, 2, 3, 4, 5, 6, 7
local REFUSED, DONE, FOREIGN, OLDER, NEWER, BLOCKED, UNCOVERED = 0, 1, 3, 4, 5, 6, 7

-- The numbers of a short request: algorithm, verb, revision, one that depends on the algorithm, 5 of the algorithm, and
-- whether the cost is more than the quota ever admits.
local NUMBERS, SHORT = 10, '<dddddddddd'
local kind, verb, revision, own, n5, n6, n7, n8, n9, too_much

local clock = redis.call('TIME')
local NOW = clock[1] * 1000000 + clock[2]

-- The algorithm of what may be a usual case.
local usual
if #ARGV == 1 and #ARGV[1] == 8 * NUMBERS then
  kind, verb, revision, own, n5, n6, n7, n8, n9, too_much = struct.unpack(SHORT, ARGV[1])
  usual = verb == HIT and revision == 0 and too_much == 0 and kind
end

-- The answers to so many keys that a usual case has decided.
local decided, replies = 0, {}

-- The second in which a key expires, as text, if it is like one never seen from this moment on: one to two seconds later.
-- The usual case of buckets relies on it that a moment in the same second has the same expiry.
local function expiry(us)
  return format('%.0f', floor(max(us, NOW) / 1000000) + 2)
end
