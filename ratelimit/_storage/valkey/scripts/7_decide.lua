-- Decide groups of requests, each all or nothing, in order.
--
-- KEYS: the key of each request. ARGV: the sizes of the groups, a byte each, and the requests, packed doubles; or one
-- request for all keys, each of which is a group. Behind them: when this server became the primary, if it did.
-- Reply: packed doubles: the moment, and 12 for each request: status, the state before and after (3 each), the moment
-- of the turn (2; -1: never), and 3 that depend on the status and the algorithm.

local ALGORITHMS = { [0] = buckets, buckets, fixed, fixed, sliding, [CALENDAR] = fixed }

local states = {} -- key -> {state, revision, must it be written, the end of its block}

-- The numbers of a value, or nil if it is not one of these scripts'.
local function numbers_of(text)
  local v = {}
  if type(text) ~= 'string' or not string.match(text, '^[%d ]+$') then return nil end
  if string.match(text, '^%d+$') then
    return #text == 19 and { tonumber(sub(text, 1, 16)), lead_of(sub(text, 17)), is_integer = true }
  end
  for number in string.gmatch(text, '%d+') do v[#v + 1] = tonumber(number) end
  if #v < 2 or #v > 5 then return nil end
  return v
end

local function load(q, key)
  local seen = states[key]
  if seen then return seen end
  local text = redis.pcall('GET', key)
  local stop, known, rest = block_of(text)
  if stop then text = rest ~= '' and rest end
  if text == false then
    seen = { s = { 0, 0, 0 }, revision = known or q[3] }
  else
    local v = numbers_of(text)
    local a, b, c, revision, moved
    if v then a, b, c, revision, moved = ALGORITHMS[q[1]].read(q, v) end
    if not a then return nil end
    seen = { s = { a, b, c }, revision = revision or 0, dirty = moved, q = q }
  end
  if stop and stop > NOW then seen.block = stop end
  if BORN > 0 then seen.s = ALGORITHMS[q[1]].spent_at_birth(q, seen.s) end
  states[key] = seen
  return seen
end

-- Whether the state is of the revision of the request. The client converts an older one, and sends it along.
local function is_current(q, seen)
  if seen.revision == q[3] then return true end
  local s = seen.s
  if
    q[NUMBERS + 13] == seen.revision + 1
    and s[1] == q[NUMBERS + 14]
    and s[2] == q[NUMBERS + 15]
    and s[3] == q[NUMBERS + 16]
  then
    seen.s = { q[NUMBERS + 17], q[NUMBERS + 18], q[NUMBERS + 19] }
    if q[NUMBERS + 17] < 0 then seen.s, seen.block = { 0, 0, 0 }, nil end
    seen.revision, seen.dirty, seen.q = q[3], true, q
    return true
  end
  return false
end

local function same(a, b)
  return a[1] == b[1] and a[2] == b[2] and a[3] == b[3]
end

-- Return the status, the state after, and the turn.
local function decide(q, s, at_us, at_lo)
  local algorithm, verb = ALGORITHMS[q[1]], q[2]
  local after = s
  if verb >= GRANT then return decide_lease(q, s) end
  if verb >= BLOCK then return DONE, s, NOW, 0 end
  if q[10] == UNLIMITED and (verb <= CHARGE or verb == PEEK) then return DONE, s, at_us, at_lo end
  if verb == HIT or verb == PEEK then
    local ok, a, b, c = algorithm.hit(q, s)
    return ok and DONE or REFUSED, ok and { a, b, c } or s, NOW, 0
  end
  if verb == RESERVE then
    at_us, at_lo = algorithm.ready(q, s, at_us, at_lo)
    if not at_us then return REFUSED, s, -1, 0 end
    if before(q[NUMBERS + 1], q[NUMBERS + 2], at_us - NOW, at_lo) then return REFUSED, s, at_us, at_lo end
    return DONE, { algorithm.book(q, s, at_us, at_lo) }, at_us, at_lo
  end
  if verb == CHARGE then
    return DONE, { algorithm.charge(q, s) }, NOW, 0
  end
  if verb == REFUND then
    after = { algorithm.refund(q, s) }
  elseif q[NUMBERS + 5] == 1 and same(s, { q[NUMBERS + 10], q[NUMBERS + 11], q[NUMBERS + 12] }) then
    after = { q[NUMBERS + 7], q[NUMBERS + 8], q[NUMBERS + 9] }
  elseif q[NUMBERS + 6] == 1 and algorithm.built_upon(q, s) then
    return REFUSED, s, -1, 0
  else
    after = { algorithm.cancel(q, s) }
  end
  return same(s, after) and REFUSED or DONE, after, NOW, 0
end

local function decide_log(q, key, newest, pending, at)
  local verb = q[2]
  if verb >= GRANT then return decide_log_lease(q, key, newest, pending) end
  if verb >= BLOCK then return DONE, NOW end
  if q[10] == UNLIMITED and (verb <= CHARGE or verb == PEEK) then return DONE, at end
  if verb == HIT or verb == PEEK then
    return log_ready(q, key, NOW, pending) == NOW and DONE or REFUSED, NOW
  end
  if verb == RESERVE then
    at = log_ready(q, key, at, pending)
    if not at then return REFUSED, -1 end
    return before(q[NUMBERS + 1], q[NUMBERS + 2], at - NOW, 0) and REFUSED or DONE, at
  end
  if verb == REFUND then
    log_refund(q, key, newest)
  elseif verb == CANCEL and not log_cancel(q, key, newest) then
    return REFUSED, -1
  end
  return DONE, NOW
end

local function request(text)
  local q = { struct.unpack(#text > 8 * NUMBERS and LONG or SHORT, text) }
  q[#q] = nil -- the position after the last number
  if q[1] == CALENDAR then q.text = text end
  return q
end

-- All requests of a group that books turns get one moment: that of the last one to be ready, in whole nanoseconds.
local function common_moment(group)
  local at_us, at_ns = NOW, 0
  for _, one in ipairs(group) do
    local q, us, lo = one.q, nil, nil
    if one.block or q[10] == UNLIMITED or (one.seen and not is_covered(q, NOW, one.seen.s[1])) then
      us, lo = NOW, 0
    elseif q[1] == SLIDING_LOG then
      us, lo = log_ready(q, one.key, NOW, 0), 0
    else
      us, lo = ALGORITHMS[q[1]].ready(q, one.seen.s, NOW, 0)
    end
    if us and q[1] <= LEAKY_BUCKET then lo = lo / q[5] * 1000 end
    if us and before(at_us, at_ns, us, lo) then at_us, at_ns = us, lo end
  end
  return at_us, at_ns
end

-- The status of a request on a blocked key, or nil if it is carried out: nothing is given back during a block.
local function held(q)
  if q[2] == REFUND or q[2] == CANCEL or q[2] == RETURN then return REFUSED end
  return (q[2] <= RESERVE or q[2] == PEEK or q[2] == GRANT) and BLOCKED or nil
end

local function perform(group)
  local ok, pending = true, {}
  local at_us, at_ns = NOW, 0
  if #group > 1 and group[1].q[2] == RESERVE then at_us, at_ns = common_moment(group) end
  for _, one in ipairs(group) do
    local q, key = one.q, one.key
    one.status = one.block and held(q)
    if one.status then
      one.at_us, one.after = one.block, one.before
    elseif q[1] == SLIDING_LOG then
      local at = at_us + (at_ns > 0 and 1 or 0)
      one.status, one.at_us, one.at_lo = decide_log(q, key, one.newest, pending[key] or 0, at)
      if one.status == DONE then pending[key] = (pending[key] or 0) + q[6] end
    else
      local us, lo = at_us, 0
      if q[1] <= LEAKY_BUCKET then lo = at_ns * (q[5] / 1000) elseif at_ns > 0 then us = us + 1 end
      local s = pending[key] or one.seen.s
      if is_covered(q, us, s[1]) then
        one.status, one.after, one.at_us, one.at_lo = decide(q, s, us, lo)
      else
        one.status, one.revision = UNCOVERED, us
      end
      if one.status == DONE then pending[key] = one.after end
    end
    ok = ok and (one.status == DONE or q[2] > RESERVE) and one.status ~= UNCOVERED
  end
  return ok
end

local function commit(group)
  for _, one in ipairs(group) do
    local q, key = one.q, one.key
    if q[2] ~= PEEK and one.status == DONE then
      local stop = q[2] == BLOCK and max(one.block or 0, min(LAST, NOW + q[NUMBERS + 1])) or one.block
      if q[2] == UNBLOCK then stop = nil end
      if q[1] ~= SLIDING_LOG then
        one.seen.s, one.seen.dirty, one.seen.q, one.seen.block = one.after, true, q, stop
      elseif q[2] == BLOCK or q[2] == UNBLOCK then
        log_block(q, key, stop)
      elseif (q[2] <= CHARGE and q[10] ~= UNLIMITED) or q[2] == GRANT then
        one.newest = log_push(q, key, one.at_us, one.newest)
      end
    end
  end
end

local function gather(first, size)
  local group, problem = {}, false
  for i = first, first + size - 1 do
    local q, key = request(ARGV[IS_ALIKE and 1 or 1 + i]), KEYS[i]
    local one = { q = q, key = key, at_us = NOW, at_lo = 0 }
    if q[1] == SLIDING_LOG then
      one.newest, one.block = log_newest(q, key)
      one.before = { one.newest or 0, 0, 0 }
      if not one.newest then one.status = FOREIGN end
    elseif not is_covered(q, NOW, 0) then
      one.status, one.revision, one.before = UNCOVERED, NOW, { 0, 0, 0 }
    else
      one.seen = load(q, key)
      if not one.seen then
        one.status = FOREIGN
      elseif not is_current(q, one.seen) then
        one.status, one.revision = one.seen.revision < q[3] and OLDER or NEWER, one.seen.revision
      end
      one.block = one.seen and one.seen.block
      one.before = one.seen and one.seen.s or { 0, 0, 0 }
    end
    problem = problem or one.status ~= nil
    group[#group + 1] = one
  end
  return group, problem
end

local function reply(one)
  local s, after, x, y, z = one.before, one.before, one.revision or 0, 0, 0
  if one.q[1] == SLIDING_LOG then
    if one.status ~= FOREIGN then x, y, z = log_facts(one.q, one.key, one.status) end
    after = { one.newest or 0, 0, 0 }
  elseif one.status == DONE then
    after = one.after
  end
  replies[#replies + 1] = struct.pack(
    '<dddddddddddd',
    one.status or REFUSED, s[1], s[2], s[3], after[1], after[2], after[3], one.at_us, one.at_lo or 0, x, y, z
  )
end

local i = decided + 1
for g = i, IS_ALIKE and #KEYS or #ARGV[1] do
  local size = IS_ALIKE and 1 or string.byte(ARGV[1], g)
  local group, problem = gather(i, size)
  local ok = not problem and perform(group)
  if ok then commit(group) end
  for _, one in ipairs(group) do
    reply(one)
  end
  i = i + size
end

for key, seen in pairs(states) do
  if seen.dirty then
    local algorithm = ALGORITHMS[seen.q[1]]
    local fresh_at = algorithm.fresh_at(seen.q, seen.s)
    local text = fresh_at > NOW and algorithm.text(seen.q, seen.s, seen.revision) or ''
    if seen.block and seen.block > NOW then
      text, fresh_at = block_text(seen.block, seen.revision) .. ' ' .. text, max(fresh_at, seen.block)
    end
    if text == '' then
      redis.call('DEL', key)
    else
      redis.call('SET', key, text, 'EXAT', expiry(fresh_at))
    end
  end
end
return struct.pack('<d', NOW) .. table.concat(replies)
