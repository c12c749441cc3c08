-- Takes a name out of the events that a room keeps: their places and ids stay.
--
-- KEYS[1] feed  KEYS[2] where it is written anew
-- ARGV[1] what stands in an event's JSON  ARGV[2] what is to stand there. Neither can
-- be part of a text, where quotes are escaped.
--
-- Output: how many events were changed.
--
-- Atomic, because what is appended or taken back meanwhile must not be undone. It
-- takes as long as Redis needs to write that many entries.

local entries = redis.call('XRANGE', KEYS[1], '-', '+')
local changed = 0
redis.call('DEL', KEYS[2])
for _, entry in ipairs(entries) do
  local json = entry[2][4]
  local from, to = string.find(json, ARGV[1], 1, true)
  if from then
    json = string.sub(json, 1, from - 1) .. ARGV[2] .. string.sub(json, to + 1)
    changed = changed + 1
  end
  redis.call('XADD', KEYS[2], entry[1], 'p', entry[2][2], 'e', json)
end
if changed > 0 then redis.call('RENAME', KEYS[2], KEYS[1]) else redis.call('DEL', KEYS[2]) end
return changed
