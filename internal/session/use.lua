-- Says whose login a session id opens, and notes that it is used.
--
-- KEYS[1] the login's current id  KEYS[2] what the asked one was followed by
-- KEYS[3] the login  (and KEYS[1]:FORMER, which has the same hash tag)
-- ARGV[1] hash of the asked secret
-- ARGV[2] how long a former id stays good once its successor is used, ms
--
-- Output: the login as redisstore keeps it; nil: there is none.
--
-- Atomic, because a refresh may come between.

local value = redis.call('GET', KEYS[1])
if not value then return nil end
local current, former = string.match(value, '^(%x+) ?(%x*)$')
if current ~= ARGV[1] then
  if redis.call('EXISTS', KEYS[2]) == 0 then return nil end
elseif former ~= '' then -- the first use of the current id
  redis.call('SET', KEYS[1], current, 'KEEPTTL')
  redis.call('PEXPIRE', KEYS[1] .. ':' .. former, ARGV[2])
end
return redis.call('GET', KEYS[3])
