-- Sets the leases of some people in a room, clears away lapsed ones, and tells
-- the room's readers of whoever came or went by that.
--
-- KEYS[1] here
-- ARGV[1] the leases end in so many ms; a full lease extends, a shorter one cuts
-- ARGV[2] a full lease, ms   ARGV[3] the most names to return
-- ARGV[4] channel   ARGV[5] prefix   ARGV[6] room   ARGV[7...] names
--
-- Output: the names of who is here.
--
-- Atomic, so that of two instances that see somebody come or go, one tells.

local here = KEYS[1]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function tell(user, state)
  redis.call('PUBLISH', ARGV[4], ARGV[5] .. '{"type":"presence","room":"' .. ARGV[6] .. '","user":"' .. user .. '","state":"' .. state .. '"}')
end

for i = 7, #ARGV do
  local user = ARGV[i]
  local ends = tonumber(redis.call('ZSCORE', here, user))
  local new = now + tonumber(ARGV[1])
  if ARGV[1] == ARGV[2] then
    redis.call('ZADD', here, new, user)
    if not ends then tell(user, 'here') end
  elseif ends and new < ends then
    redis.call('ZADD', here, new, user)
  end
end

for _, user in ipairs(redis.call('ZRANGEBYSCORE', here, '-inf', now)) do
  redis.call('ZREM', here, user)
  tell(user, 'gone')
end
redis.call('PEXPIRE', here, 2 * tonumber(ARGV[2]))
return redis.call('ZRANGEBYSCORE', here, '(' .. now, '+inf', 'LIMIT', 0, ARGV[3])
