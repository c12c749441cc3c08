-- Appends one event to a room's feed, or answers for the event that the same
-- key made before.
--
-- KEYS[1] feed  KEYS[2] the sender's key  KEYS[3] edits  KEYS[4] gone
-- KEYS[5] members: who has which role; not for a direct conversation
-- ARGV[1] nonce: random integer below 2^63, in decimal
-- ARGV[2] history: events that the feed keeps, about
-- ARGV[3] how long the key is remembered, seconds
-- ARGV[4] digest of what is asked, hexadecimal
-- ARGV[5] kind: message, edited, retracted or reacted
-- ARGV[6] target: event id of a message for all but messages, else ''
-- ARGV[7] who asks
-- ARGV[8] the event's JSON up to its seq   ARGV[9] from behind its time on
-- ARGV[10] channel
-- ARGV[11] the role of who has none: member, or stranger in a private room
-- ARGV[12] 'admin' for an administrator, who is as an owner where they may be
-- ARGV[13] 'noted' if the audit log knows that another's message is retracted
--
-- Output: {'ok', event} {'duplicate', event} {'key_reused'} {'not_found'} {'forbidden'}
--         {'stranger'} {'banned'} {'muted'} {'removed'}, of the room
--         {'note', author}: note it, and come again
--
-- Atomic, because readers must see seq and prev in the order of the stream, and
-- a key must never be remembered without its event: scripts do not roll back,
-- so what may fail comes first and the key last.

local feed, key, edits, gone = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local kind, target, asker = ARGV[5], ARGV[6], ARGV[7]

local known = redis.call('GET', key)
if known then
  local digest, event = string.match(known, '^(%x+) (.+)$')
  if digest == ARGV[4] then return {'duplicate', event} end
  return {'key_reused'}
end

local role = 'member'
if KEYS[5] then
  local is = redis.call('HMGET', KEYS[5], asker, '')
  if is[2] then return {'removed'} end
  role = is[1] or ARGV[11]
  local inside = ARGV[11] == 'member' or role ~= 'stranger' and role ~= 'banned'
  if inside and ARGV[12] == 'admin' then role = 'owner' end
  if role == 'stranger' or role == 'banned' then return {role} end
  if role == 'muted' and kind ~= 'retracted' then return {role} end -- what one said one may take back
end

-- XINFO finds the last id of a stream that somebody emptied by hand.
local prev, seq = '', 1
local newest = redis.call('XREVRANGE', feed, '+', '-', 'COUNT', 1)[1]
if newest then
  prev = newest[1]
elseif redis.call('EXISTS', feed) == 1 then
  local info = redis.call('XINFO', 'STREAM', feed)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' and info[i + 1] ~= '0-0' then prev = info[i + 1] end
  end
end
if prev ~= '' then seq = tonumber(string.match(prev, '^%d+')) + 1 end

local function seqOf(id) return tonumber(string.match(id, '^%d+')) end

-- Drops from a hash by event id what the feed has long let go of; now and then,
-- because it looks at all of them. The feed may keep more than ARGV[2] by a node.
local function prune(hash)
  if seq % 128 ~= 0 then return end
  for _, id in ipairs(redis.call('HKEYS', hash)) do
    if seqOf(id) < seq - 2 * ARGV[2] then redis.call('HDEL', hash, id) end
  end
end

if target ~= '' then
  local entry = redis.call('XRANGE', feed, target, target)[1]
  if not entry then return {'not_found'} end
  local was = cjson.decode(entry[2][4])
  if was.type ~= 'message' then return {'not_found'} end
  if kind ~= 'reacted' and was.from ~= asker then
    if kind ~= 'retracted' or role ~= 'owner' and role ~= 'moderator' then return {'forbidden'} end
    if ARGV[13] ~= 'noted' then return {'note', was.from} end
  end
end

-- The time of day (ISO 8601, UTC) from Redis' clock, which all instances share.
-- Days to date: Howard Hinnant, chrono-Compatible Low-Level Date Algorithms.
local now = redis.call('TIME')
local seconds, ms = tonumber(now[1]), math.floor(tonumber(now[2]) / 1000)
local z = math.floor(seconds / 86400) + 719468
local era = math.floor(z / 146097)
local doe = z - era * 146097
local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
local mp = math.floor((5 * doy + 2) / 153)
local day = doy - math.floor((153 * mp + 2) / 5) + 1
local month = mp < 10 and mp + 3 or mp - 9
local year = yoe + era * 400 + (month <= 2 and 1 or 0)
local at = string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', year, month, day,
  math.floor(seconds / 3600) % 24, math.floor(seconds / 60) % 60, seconds % 60, ms)

local place = string.format('%.0f', seq)
local event = place .. '-' .. ARGV[1]
local json = ARGV[8] .. ',"seq":' .. place .. ',"event":"' .. event .. '","prev":"' .. prev .. '","at":"' .. at .. '"' .. ARGV[9]

redis.call('XADD', feed, 'MAXLEN', '~', ARGV[2], event, 'p', prev, 'e', json)

if kind == 'edited' then
  local ids = redis.call('HGET', edits, target)
  prune(edits)
  redis.call('HSET', edits, target, (ids and ids .. ' ' or '') .. event)
elseif kind == 'retracted' then
  -- The text leaves Redis: the message and all its edits; their places stay known.
  prune(gone)
  local ids = target .. ' ' .. (redis.call('HGET', edits, target) or '')
  for id in string.gmatch(ids, '%S+') do
    local entry = redis.call('XRANGE', feed, id, id)[1]
    if entry then
      redis.call('HSET', gone, id, entry[2][2])
      redis.call('XDEL', feed, id)
    end
  end
  redis.call('HDEL', edits, target)
end

redis.call('SET', key, ARGV[4] .. ' ' .. event, 'EX', ARGV[3])
redis.call('PUBLISH', ARGV[10], event .. ' ' .. prev .. '\n' .. json)
return {'ok', event}
