-- Sets the leases of some people in a room, clears away lapsed ones, and tells
-- the room's readers of whoever came, went, fell asleep or woke by that.
--
-- KEYS[1] here   KEYS[2] awake
-- ARGV[1] the leases end in so many ms; a full lease extends, a shorter one cuts
-- ARGV[2] a full lease, ms   ARGV[3] a cut one   ARGV[4] the most names to return, at most 5000
-- ARGV[5] channel   ARGV[6] prefix   ARGV[7] room
-- ARGV[8...] names, each behind a sign: + sets both leases, - that of being here
-- only, and ~ does so too and cuts that of being awake
--
-- Output: the names of who is here, each behind + if awake, else -; none if none are wanted.
--
-- Atomic, so that of two instances that see somebody come or go, one tells.

local here, awake = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local order, before = {}, {}

local function state(user)
  if not redis.call('ZSCORE', here, user) then return 'gone' end
  return redis.call('ZSCORE', awake, user) and 'here' or 'away'
end

local function note(user)
  if before[user] then return end
  before[user] = state(user)
  order[#order + 1] = user
end

local function lease(key, user, ms)
  local ends = tonumber(redis.call('ZSCORE', key, user))
  if ms == ARGV[2] or (ends and now + tonumber(ms) < ends) then
    redis.call('ZADD', key, now + tonumber(ms), user)
  end
end

for i = 8, #ARGV do
  local sign, user = string.sub(ARGV[i], 1, 1), string.sub(ARGV[i], 2)
  note(user)
  lease(here, user, ARGV[1])
  if sign == '+' then lease(awake, user, ARGV[1]) end
  if sign == '~' then lease(awake, user, ARGV[3]) end
end

for _, user in ipairs(redis.call('ZRANGEBYSCORE', awake, '-inf', now)) do
  note(user)
  redis.call('ZREM', awake, user)
end
for _, user in ipairs(redis.call('ZRANGEBYSCORE', here, '-inf', now)) do
  note(user)
  redis.call('ZREM', here, user)
  redis.call('ZREM', awake, user)
end

for _, user in ipairs(order) do
  local after = state(user)
  if after ~= before[user] then
    redis.call('PUBLISH', ARGV[5], ARGV[6] .. '{"type":"presence","room":"' .. ARGV[7] .. '","user":"' .. user .. '","state":"' .. after .. '"}')
  end
end
redis.call('PEXPIRE', here, 2 * tonumber(ARGV[2]))
redis.call('PEXPIRE', awake, 2 * tonumber(ARGV[2]))

if ARGV[4] == '0' then return {} end
local names = redis.call('ZRANGEBYSCORE', here, '(' .. now, '+inf', 'LIMIT', 0, ARGV[4])
if #names == 0 then return names end
local awakes = redis.call('ZMSCORE', awake, unpack(names))
for i, user in ipairs(names) do
  names[i] = (awakes[i] and '+' or '-') .. user
end
return names
