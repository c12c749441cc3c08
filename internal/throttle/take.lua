-- Takes one try from each of some buckets, if all have one, or gives it back.
--
-- KEYS: the buckets, in one slot. Each holds when it would be full again, Unix ms
-- (the generic cell rate algorithm, ITU-T I.371).
-- ARGV: 'take' or 'back', then for each bucket how long a try takes to come back, ms,
-- and how many it holds.
--
-- Output: 0, or how long the first try takes to come, ms.
--
-- Atomic, so that many at once get no more than there are, on whatever instances.
-- By Redis' clock, which they share.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local full, wait = {}, 0
for i, key in ipairs(KEYS) do
  local each, holds = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  full[i] = math.max(tonumber(redis.call('GET', key) or 0), now) + (ARGV[1] == 'take' and each or -each)
  if ARGV[1] == 'take' then wait = math.max(wait, full[i] - now - holds * each) end
end
if wait > 0 then return wait end
for i, key in ipairs(KEYS) do
  if full[i] <= now then
    redis.call('DEL', key)
  else
    redis.call('SET', key, string.format('%.0f', full[i]), 'PX', string.format('%.0f', full[i] - now))
  end
end
return 0
