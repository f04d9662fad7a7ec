-- The sliding log: a list with the moment of each request, newest first. A request of cost c is c entries.
--
-- An entry is `stamp ahead generation replaced`; the last three are left out where they are zero. `ahead` is how far the
-- stamp was ahead of the clock, as for the other algorithms; the generation is the revision of the latest reset of all
-- keys; `replaced` is 1 for an entry of a booking that pushed the oldest entry out of a full list.
--
-- A blocked key has one more entry, the first: `B<end> <ahead> <generation>`; q.held is then 1, otherwise 0.
--
-- A request is {algorithm, verb, generation, brief, period, cost, limit, capacity, ...}.

local function entry_at(key, index)
  local text = redis.call('LINDEX', key, index)
  if not text then return nil end
  local stamp, ahead, generation, replaced = string.match(text, '^(%d+) ?(%d*) ?(%d*) ?(%d*)$')
  if not stamp then return -1 end
  return tonumber(stamp), tonumber(ahead) or 0, tonumber(generation) or 0, replaced == '1'
end

local function log_expire(q, key, newest)
  redis.call('EXPIREAT', key, expiry(newest + q[5]))
end

-- Move all stamps back, because the clock went back.
local function log_shifted(q, key, by)
  local texts = redis.call('LRANGE', key, 0, -1)
  redis.call('DEL', key)
  for _, text in ipairs(texts) do
    local stamp, rest = string.match(text, '^(%d+)(.*)$')
    redis.call('RPUSH', key, string.format('%.0f', max(0, stamp - by)) .. rest)
  end
  log_expire(q, key, string.match(texts[1], '^%d+') - by)
end

-- Return the newest stamp, 0 for an empty log, or nil for a value that is not a log.
local function log_newest(q, key)
  q.held = 0
  local kind = redis.call('TYPE', key)['ok']
  if kind == 'none' then return 0 end
  if kind ~= 'list' then return nil end
  local stop, held_at = block_of(redis.call('LINDEX', key, 0))
  if stop and held_at >= q[3] and stop > NOW then
    q.held = 1
    return entry_at(key, 1) or 0, stop
  elseif stop then
    redis.call('LPOP', key)
    if held_at < q[3] then redis.call('DEL', key) end
  end
  local stamp, ahead, generation = entry_at(key, 0)
  if not stamp then return 0 end
  if stamp == -1 then return nil end
  if generation < q[3] then
    redis.call('DEL', key)
    return 0
  end
  if NOW < stamp - ahead then
    log_shifted(q, key, stamp - ahead - NOW)
    return NOW + ahead
  end
  return stamp
end

-- Block the key, or end that.
local function log_block(q, key, stop)
  if stop == nil then
    if q.held == 1 then redis.call('LPOP', key) end
    return
  end
  if q.held == 1 then
    redis.call('LSET', key, 0, block_text(stop, q[3]))
  else
    redis.call('LPUSH', key, block_text(stop, q[3]))
  end
  local newest = entry_at(key, 1) or 0
  redis.call('EXPIREAT', key, expiry(max(stop, newest + q[5])))
end

-- When the cost fits; `before` entries of the same group are not in the list yet.
local function log_ready(q, key, at, pending)
  if q[6] + pending > q[7] then return nil end
  if BORN > 0 then at = max(at, BORN + q[5]) end
  local stamp = entry_at(key, q[7] - q[6] - pending)
  if not stamp then return at end
  at = max(at, stamp + q[5])
  if at > LAST then return nil end
  return at
end

-- Charge a blocked key, beneath its block.
local function log_push_held(q, key, at, newest)
  local first = redis.call('LINDEX', key, 0)
  for _ = 1, min(q[6], q[8]) do
    redis.call('LINSERT', key, 'AFTER', first, string.format('%.0f 0 %.0f', max(at, newest), q[3]))
  end
  redis.call('LTRIM', key, 0, q[8])
  return max(at, newest)
end

local function log_push(q, key, at, newest)
  if q.held == 1 then return log_push_held(q, key, at, newest) end
  local stamp = max(at, newest)
  local text = string.format('%.0f', stamp)
  local ahead = stamp > NOW
  if ahead or q[3] > 0 then text = text .. string.format(' %.0f %.0f', max(0, stamp - NOW), q[3]) end
  local room = ahead and q[8] - redis.call('LLEN', key) or q[8]
  for i = 1, min(q[6], q[8]) do redis.call('LPUSH', key, i > room and text .. ' 1' or text) end
  redis.call('LTRIM', key, 0, q[8] - 1)
  log_expire(q, key, stamp)
  return stamp
end

-- How many of the newest `most` entries count.
local function log_live(q, key, most)
  local counting, gone = 0, min(most, redis.call('LLEN', key) - q.held)
  while counting < gone do
    local middle = floor((counting + gone) / 2)
    if entry_at(key, middle + q.held) + q[5] > NOW then counting = middle + 1 else gone = middle end
  end
  return counting
end

-- Forget the oldest entries that count, so that what remains is never older than what was admitted.
local function log_refund(q, key, newest)
  if newest > NOW or newest + q[5] <= NOW then return end
  local left = log_live(q, key, q[8]) - q[6]
  if left <= 0 then redis.call('DEL', key) else redis.call('LTRIM', key, 0, left - 1) end
end

-- Take back the newest entries, if they were booked for that future moment. An entry that a booking had pushed out had
-- left by then: it comes back as one that leaves at that moment, which is never too lenient.
local function log_cancel(q, key, newest)
  local at, left = q[NUMBERS + 3], q[6]
  if at + q[5] <= NOW then return true end
  if at <= NOW then
    log_refund(q, key, newest)
    return true
  end
  while left > 0 do
    local stamp, _, _, replaced = entry_at(key, 0)
    if stamp ~= at then break end
    redis.call('LPOP', key)
    left = left - 1
    if replaced then
      local oldest = entry_at(key, -1) or at
      redis.call('RPUSH', key, string.format('%.0f', max(0, min(oldest, at - q[5]))))
    end
  end
  local stamp = entry_at(key, 0)
  if stamp then log_expire(q, key, stamp) end
  return left < q[6]
end

-- What a verdict needs: the entry that has to leave before the cost fits, how many count, and the oldest of those. Of a brief
-- request, which only asks whether it is admitted, the first is enough, and only if it is not.
local function log_facts(q, key, status)
  if q[4] == 1 and status == DONE then return -1, 0, 0 end
  local blocking = q[6] <= q[7] and entry_at(key, q[7] - q[6] + q.held) or -1
  if BORN > 0 and BORN + q[5] > NOW then return max(blocking, BORN), q[7], BORN end
  if q[4] == 1 then return blocking, 0, 0 end
  local live = log_live(q, key, q[7])
  return blocking, live, live > 0 and entry_at(key, live - 1 + q.held) or 0
end
