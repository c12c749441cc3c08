-- Gives a login a new session id, if it is asked for with the current one.
--
-- KEYS[1] the login's current id  KEYS[2] what the asked one was followed by
-- KEYS[3] the login
-- (and, where it has to lapse, KEYS[1]:FORMER, which has the same hash tag)
-- ARGV[1] hash of the asked secret   ARGV[2] hash of the new one
-- ARGV[3] the new secret, sealed with the asked one; all zeros: make no new id
-- ARGV[4] how long a former id stays good once its successor is used, ms
-- ARGV[5] idle time, ms   ARGV[6] the longest that a login lasts, ms
--
-- Output: {'new', LOGIN}: the new one is current; {'current', LOGIN}: the asked one is,
-- and none was to be made; {'former', SEALED}: the asked one is a former one, and this
-- its successor; nil: neither. LOGIN is the login as redisstore keeps it.
--
-- Atomic, because of many that ask with one id at once exactly one makes the
-- successor, and the others must learn it.

local value, login = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[3])
if not value or not login then return nil end
local current, former = string.match(value, '^(%x+) ?(%x*)$')
if current ~= ARGV[1] then
  local sealed = redis.call('GET', KEYS[2])
  return sealed and {'former', sealed} or nil
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
if string.match(ARGV[3], '^0+$') then return {'current', login} end
if former ~= '' then redis.call('PEXPIRE', KEYS[1] .. ':' .. former, ARGV[4]) end
-- It opens nothing by itself: the former id is good only while the current one is.
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[6])
redis.call('SET', KEYS[1], ARGV[2] .. ' ' .. current, 'PX', ARGV[5])
return {'new', login}
