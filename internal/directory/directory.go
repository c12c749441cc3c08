// Package directory knows which rooms there are, which of them are on whose list, and
// who may do what in them. It keeps no events and no readers.
//
// Redis holds:
//
//	chatd:rooms              set: the public rooms
//	chatd:topics             hash ROOM -> "AT TOPIC": what a public room is about, and since when, Unix milliseconds
//	chatd:{ROOM}:joined      sorted set: those on whose list a public room is -> when they were there last, Unix days
//	chatd:user:{NAME}:rooms  set: the rooms on a person's list, direct conversations included
//	chatd:{ROOM}:members     hash NAME -> role (chat.Members)
//	chatd:user:{NAME}:banned set: public rooms in which the person may be banned; whether they are is in members
//	chatd:user:{NAME}:made   string: how fast the person makes public rooms (package throttle)
//	chatd:near:{NETWORK}:made string: how fast all people of a network do
//	chatd:user:{NAME}:begun  string: how fast the person begins direct conversations, and invites
//	chatd:user:{NAME}:muted  set: the rooms of whose news the person wants no notice
//	chatd:user:{NAME}:read   hash ROOM -> "EVENT BACK": the last event that the person has read, and how often they
//	                         went back before it; BACK is left out where it is 0
package directory

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"chatd/internal/audit"
	"chatd/internal/chat"
	"chatd/internal/throttle"
)

const (
	// maxRooms bounds the public rooms, because anyone makes one by joining it, and
	// maxListed a person's list.
	maxRooms  = 10_000
	maxListed = 1000
	// maxGiven is how many rooms a list may have for others to put one more onto it, so
	// that nobody fills it and keeps its person out of new rooms.
	maxGiven = maxListed / 2
	// maxMarks bounds a person's read positions: one for each public room, and as many
	// again for all that were on the list some time.
	maxMarks = 2 * maxRooms
	// A person makes so many public rooms at once, and then one each time; so it is
	// with what they put onto others' lists: direct conversations and invitations.
	roomsAtOnce   = 200
	roomEvery     = 5 * time.Minute
	directsAtOnce = 200
	directEvery   = time.Minute
	// All of a network make so many public rooms together: a hundred names are soon had,
	// and the rooms that there may be were soon used up.
	nearAtOnce = 500
	nearEvery  = time.Minute
	// keep is how long the list and the read positions of a person last who is not
	// seen any more.
	keep = 366 * 24 * time.Hour
)

const (
	publicKey = "chatd:rooms"
	topicsKey = "chatd:topics"
)

func listKey(user string) string      { return "chatd:user:{" + user + "}:rooms" }
func readKey(user string) string      { return "chatd:user:{" + user + "}:read" }
func mutedKey(user string) string     { return "chatd:user:{" + user + "}:muted" }
func bannedKey(user string) string    { return "chatd:user:{" + user + "}:banned" }
func joinedKey(room chat.Room) string { return room.Key("joined") }

// today counts days, which is as exact as members are known.
func today() int64 { return time.Now().Unix() / 86400 }

// A Directory is safe for concurrent use. All its methods wait for Redis until
// ctx ends and fail with chat.ErrUnavailable.
type Directory struct {
	rdb  redis.UniversalClient
	news News
	log  Log
}

// Log is the audit log.
type Log interface {
	Write(ctx context.Context, e audit.Entry) error
}

// News says where and how all instances are told of what changed.
type News interface {
	Channel() string
	// Made tells of a new public room, Read of a person's read position that has moved.
	Made(room chat.Room) (notice []byte)
	Read(user string, room chat.Room, mark chat.Mark) (notice []byte)
	// Topic says where a room's readers are told of its topic: in the channel, behind
	// the prefix.
	Topic(room chat.Room) (channel, prefix string)
}

// New returns the directory that rdb holds.
func New(rdb redis.UniversalClient, news News, log Log) *Directory {
	return &Directory{rdb, news, log}
}

// makeRoom makes a public room and tells of it, unless it is there. KEYS[1] the
// public rooms; ARGV[1] room, ARGV[2] most rooms, ARGV[3] channel, ARGV[4] notice.
// Output: 1 made, 0 there, -1 too many. Atomic, so that no room is made untold.
var makeRoom = redis.NewScript(`
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 1 then return 0 end
if redis.call('SCARD', KEYS[1]) >= tonumber(ARGV[2]) then return -1 end
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 1`)

// Joined is what a Join did.
type Joined struct {
	Made   bool   // the room was not there before
	Listed bool   // it was not on the list
	Role   string // of the person
}

// Join puts the room on a person's list, and among the public rooms if it is one; who
// makes a public room owns it. A full directory, a private room of others, and one where
// they are banned, is a *chat.Error.
func (d *Directory) Join(ctx context.Context, who chat.Actor, room chat.Room) (joined Joined, err error) {
	user := who.Name
	if room.Private() {
		if joined.Role, err = d.enter(ctx, who, room); err != nil {
			return Joined{}, err
		}
	}
	pipe := d.rdb.Pipeline()
	onList := pipe.SIsMember(ctx, listKey(user), string(room))
	there := pipe.SIsMember(ctx, publicKey, string(room))
	count := pipe.SCard(ctx, listKey(user))
	pipe.Expire(ctx, listKey(user), keep)
	member := pipe.ZScore(ctx, joinedKey(room), user)
	entry := pipe.HGet(ctx, room.Key(chat.Members), user)
	if err := failed(pipe.Exec(ctx)); err != nil {
		return Joined{}, chat.Unavailable("look for room", err)
	}
	if !room.Private() {
		if joined.Role, err = chat.Standing(who, room, entry.Val()); err != nil {
			return Joined{}, err
		}
	}
	counted := !room.Public() || member.Err() == nil && int64(member.Val()) == today()
	if onList.Val() && (!room.Public() || there.Val()) && counted {
		return joined, nil
	}
	if !onList.Val() && count.Val() >= maxListed {
		return Joined{}, &chat.Error{Code: chat.CodeForbidden, Message: "There are too many rooms on this list: leave some first."}
	}
	if room.Public() && !there.Val() {
		var owns bool
		if joined.Made, owns, err = d.make(ctx, who, room); err != nil {
			return Joined{}, err
		}
		if owns {
			joined.Role = chat.Owner
		}
	}
	pipe = d.rdb.Pipeline()
	added := pipe.SAdd(ctx, listKey(user), string(room))
	pipe.Expire(ctx, listKey(user), keep)
	if !counted {
		pipe.ZAdd(ctx, joinedKey(room), redis.Z{Score: float64(today()), Member: user})
		pipe.ZRemRangeByScore(ctx, joinedKey(room), "-inf", strconv.FormatInt(today()-int64(keep/(24*time.Hour)), 10))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return Joined{Made: joined.Made}, chat.Unavailable("join room", err)
	}
	joined.Listed = added.Val() == 1
	return joined, nil
}

// make makes the public room, unless it is there by now. owns says that it is who's.
func (d *Directory) make(ctx context.Context, who chat.Actor, room chat.Room) (made, owns bool, err error) {
	owner := who.Name
	if room == chat.General {
		owner = ""
	} else if many, err := d.manyMade(ctx, who); err != nil {
		return false, false, err
	} else if many && !who.Admin {
		return false, false, errManyMade
	}
	// The owner first: a room that nobody made in the end has one, which is better than
	// one that is there and has none.
	claimed, err := claim.Run(ctx, d.rdb, parts(room), owner).Int()
	if err != nil {
		return false, false, chat.Unavailable("claim room", err)
	}
	n, err := makeRoom.Run(ctx, d.rdb, []string{publicKey}, string(room), maxRooms, d.news.Channel(), d.news.Made(room)).Int()
	if err != nil {
		return false, false, chat.Unavailable("make room", err)
	}
	if n < 0 {
		if claimed == 1 {
			// In vain where Redis goes away: then the next one who tries finds it claimed.
			_ = d.rdb.HDel(ctx, room.Key(chat.Members), owner).Err()
		}
		return false, false, &chat.Error{Code: chat.CodeForbidden, Message: "There are too many rooms: join one that is there."}
	}
	return n == 1, claimed == 1, nil
}

// manyMade counts a public room that is about to be made, and reports whether there are
// too many of the same person, or of all in their network.
func (d *Directory) manyMade(ctx context.Context, who chat.Actor) (bool, error) {
	wait, err := d.tooMany(ctx, who.Name, roomsMade, roomEvery, roomsAtOnce)
	if err == nil && wait == 0 && who.Near != "" {
		wait, err = throttle.Take(ctx, d.rdb, throttle.Bucket{Key: "chatd:near:{" + who.Near + "}:made", Holds: nearAtOnce, Each: nearEvery})
	}
	return wait > 0, err
}

// Begin counts that user puts something onto somebody else's list, as a direct
// conversation does that they begin. It returns a *chat.Error if they did too much of it.
func (d *Directory) Begin(ctx context.Context, user string) error {
	wait, err := d.tooMany(ctx, user, directsBegun, directEvery, directsAtOnce)
	if err == nil && wait > 0 {
		return &chat.Error{Code: chat.CodeTooFast, Message: "You began many conversations: wait a moment before the next.", RetryAfter: wait}
	}
	return err
}

// Takes returns a *chat.Error if others have put as much onto user's list as they may.
func (d *Directory) Takes(ctx context.Context, user string) error {
	n, err := d.rdb.SCard(ctx, listKey(user)).Result()
	if err != nil {
		return chat.Unavailable("look at list", err)
	}
	if n >= maxGiven {
		return errFullList
	}
	return nil
}

var errFullList = &chat.Error{Code: chat.CodeForbidden, Message: "This person has too many rooms on their list: they must leave some first."}

// Leave takes the room off user's list, and ends their membership of a private one.
func (d *Directory) Leave(ctx context.Context, user string, room chat.Room) error {
	if room.Private() {
		if err := part.Run(ctx, d.rdb, parts(room), user).Err(); err != nil {
			return chat.Unavailable("leave room", err)
		}
	}
	return d.unlist(ctx, room, user)
}

// Forget takes somebody off everything that is known here of people: it looks at all
// rooms, for one has a role where one has left, and where one is banned. It may be done
// again after an error.
func (d *Directory) Forget(ctx context.Context, user string) error {
	rooms, err := d.rdb.SMembers(ctx, listKey(user)).Result()
	if err != nil {
		return chat.Unavailable("forget person", err)
	}
	for _, room := range rooms {
		if err := d.Leave(ctx, user, chat.Room(room)); err != nil {
			return err
		}
	}
	const atOnce = 500
	for cursor, more := uint64(0), true; more; more = cursor != 0 {
		var keys []string
		if keys, cursor, err = d.rdb.Scan(ctx, cursor, chat.Room("*").Key(chat.Members), atOnce).Result(); err != nil {
			return chat.Unavailable("look for roles", err)
		}
		pipe := d.rdb.Pipeline()
		for _, key := range keys {
			pipe.HDel(ctx, key, user)
		}
		if _, err := pipe.Exec(ctx); err != nil && len(keys) > 0 {
			return chat.Unavailable("forget roles", err)
		}
	}
	for _, key := range []string{readKey(user), mutedKey(user), bannedKey(user), paceKey(user, roomsMade), paceKey(user, directsBegun), listKey(user)} {
		if err := d.rdb.Del(ctx, key).Err(); err != nil {
			return chat.Unavailable("forget person", err)
		}
	}
	return nil
}

// Mute notes that user wants no notice of a room's news, or wants it again.
func (d *Directory) Mute(ctx context.Context, user string, room chat.Room, mute bool) error {
	pipe := d.rdb.Pipeline()
	if mute {
		pipe.SAdd(ctx, mutedKey(user), string(room))
		pipe.Expire(ctx, mutedKey(user), keep)
	} else {
		pipe.SRem(ctx, mutedKey(user), string(room))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return chat.Unavailable("mute room", err)
	}
	return nil
}

// setTopic sets a room's topic and tells its readers. KEYS[1] topics; ARGV[1] room,
// ARGV[2] topic, ARGV[3] channel, ARGV[4] prefix, ARGV[5] the topic and ARGV[6] the
// person as JSON. Of two topics the one with the larger time is the later one, also
// where the clock stepped back. Atomic, so that none is set untold, and all hear the
// same one last.
var setTopic = redis.NewScript(`
local time = redis.call('TIME')
local at = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local was = redis.call('HGET', KEYS[1], ARGV[1])
if was then at = math.max(at, tonumber(string.match(was, '^%d+')) + 1) end
at = string.format('%.0f', at)
redis.call('HSET', KEYS[1], ARGV[1], at .. ' ' .. ARGV[2])
redis.call('PUBLISH', ARGV[3], ARGV[4] .. '{"type":"topic","room":"' .. ARGV[1] .. '","topic":' .. ARGV[5] .. ',"topic_at":' .. at .. ',"from":' .. ARGV[6] .. '}')
return at`)

// SetTopic says what a public room is about, in the name of who. "" is nothing. Whoever
// may say something there may do that.
func (d *Directory) SetTopic(ctx context.Context, who chat.Actor, room chat.Room, topic string) error {
	role, err := d.Check(ctx, who, room)
	if err != nil {
		return err
	}
	if role == chat.Muted {
		return chat.ErrMuted
	}
	if err := d.log.Write(ctx, audit.Entry{Action: audit.Topic, Actor: who.Name, Room: room, Address: who.Address}); err != nil {
		return err
	}
	channel, prefix := d.news.Topic(room)
	err = setTopic.Run(ctx, d.rdb, []string{topicsKey}, string(room), topic, channel, prefix, chat.Encode(topic), chat.Encode(who.Name)).Err()
	if err != nil {
		return chat.Unavailable("set topic", err)
	}
	return nil
}

func parseTopic(entry string) (topic string, at int64) {
	millis, topic, _ := strings.Cut(entry, " ")
	at, _ = strconv.ParseInt(millis, 10, 64) // nothing is 0
	return topic, at
}

const (
	// maxFound bounds what Find returns, and maxCounted for how many rooms it counts
	// the members.
	maxFound   = 50
	maxCounted = 500
)

// Find returns public rooms in whose name or topic all words of the query are, those
// with most members first, at most 50, as who sees them. more says that there are
// more. Where they are banned they find nothing.
func (d *Directory) Find(ctx context.Context, who chat.Actor, query string) (found []chat.FoundRoom, more bool, err error) {
	found = []chat.FoundRoom{} // as JSON, none is a list too
	banned, err := d.banned(ctx, who)
	if err != nil {
		return nil, false, err
	}
	pipe := d.rdb.Pipeline()
	public, listed, topics := pipe.SMembers(ctx, publicKey), pipe.SMembers(ctx, listKey(who.Name)), pipe.HGetAll(ctx, topicsKey)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, false, chat.Unavailable("find rooms", err)
	}
	words, joined := strings.Fields(strings.ToLower(query)), map[string]bool{}
	for _, name := range listed.Val() {
		joined[name] = true
	}
	for _, name := range public.Val() {
		topic, _ := parseTopic(topics.Val()[name])
		if banned[name] {
			continue
		}
		if text := name + "\n" + strings.ToLower(topic); !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(text, word) }) {
			found = append(found, chat.FoundRoom{Room: chat.Room(name), Joined: joined[name], Topic: topic})
		}
	}
	slices.SortFunc(found, func(a, b chat.FoundRoom) int { return strings.Compare(string(a.Room), string(b.Room)) })
	more = len(found) > maxFound
	found = found[:min(len(found), maxCounted)]
	pipe = d.rdb.Pipeline()
	members := make(map[chat.Room]*redis.IntCmd, len(found))
	for _, r := range found {
		members[r.Room] = pipe.ZCard(ctx, joinedKey(r.Room))
	}
	if _, err := pipe.Exec(ctx); err != nil && len(found) > 0 {
		return nil, false, chat.Unavailable("count members", err)
	}
	for i, r := range found {
		found[i].Members = members[r.Room].Val()
	}
	slices.SortStableFunc(found, func(a, b chat.FoundRoom) int { return cmp.Compare(b.Members, a.Members) })
	return found[:min(len(found), maxFound)], more, nil
}

// Without returns those of the users on whose list the room is not.
func (d *Directory) Without(ctx context.Context, room chat.Room, users ...string) (without []string, err error) {
	pipe := d.rdb.Pipeline()
	has := make([]*redis.BoolCmd, len(users))
	for i, user := range users {
		has[i] = pipe.SIsMember(ctx, listKey(user), string(room))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, chat.Unavailable("look for room", err)
	}
	for i, user := range users {
		if !has[i].Val() {
			without = append(without, user)
		}
	}
	return without, nil
}

// Open returns the public rooms in which who may be, in order of their names.
func (d *Directory) Open(ctx context.Context, who chat.Actor) ([]chat.Room, error) {
	rooms, err := d.Public(ctx)
	if err != nil {
		return nil, err
	}
	banned, err := d.banned(ctx, who) // after: who is banned meanwhile is told so afterwards
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(rooms, func(room chat.Room) bool { return banned[string(room)] }), nil
}

// Public returns the public rooms, in order of their names.
func (d *Directory) Public(ctx context.Context) ([]chat.Room, error) {
	names, err := d.rdb.SMembers(ctx, publicKey).Result()
	if err != nil {
		return nil, chat.Unavailable("list rooms", err)
	}
	slices.Sort(names)
	rooms := make([]chat.Room, len(names))
	for i, name := range names {
		rooms[i] = chat.Room(name)
	}
	return rooms, nil
}

// List returns the public rooms in which who may be, and their private rooms and
// conversations, in order of their names, as they see them.
func (d *Directory) List(ctx context.Context, who chat.Actor) ([]chat.RoomInfo, error) {
	user := who.Name
	banned, err := d.banned(ctx, who)
	if err != nil {
		return nil, err
	}
	pipe := d.rdb.Pipeline()
	public, listed := pipe.SMembers(ctx, publicKey), pipe.SMembers(ctx, listKey(user))
	read, muted := pipe.HGetAll(ctx, readKey(user)), pipe.SMembersMap(ctx, mutedKey(user))
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, chat.Unavailable("list rooms", err)
	}
	topics, err := d.topics(ctx, listed.Val())
	if err != nil {
		return nil, err
	}
	roles, err := d.roles(ctx, who, listed.Val())
	if err != nil {
		return nil, err
	}
	joined := map[string]bool{}
	for _, name := range listed.Val() {
		joined[name] = true
	}
	rooms := make([]chat.RoomInfo, 0, len(public.Val()))
	for _, name := range public.Val() {
		if !banned[name] {
			rooms = append(rooms, chat.RoomInfo{Room: chat.Room(name), Joined: joined[name]})
		}
	}
	for name := range joined {
		if room := chat.Room(name); !room.Public() {
			rooms = append(rooms, chat.RoomInfo{Room: room, Joined: true, With: room.With(user)})
		}
	}
	for i := range rooms {
		name := string(rooms[i].Room)
		_, rooms[i].Muted = muted.Val()[name]
		rooms[i].Role = roles[name]
		rooms[i].Topic, rooms[i].TopicAt = parseTopic(topics[name])
		rooms[i].MarkInfo = parseMark(read.Val()[string(rooms[i].Room)]).Info()
	}
	slices.SortFunc(rooms, func(a, b chat.RoomInfo) int { return strings.Compare(string(a.Room), string(b.Room)) })
	return rooms, nil
}

// roles returns who's role in each of these rooms where they are more, or less, than a
// plain member.
func (d *Directory) roles(ctx context.Context, who chat.Actor, rooms []string) (map[string]string, error) {
	pipe := d.rdb.Pipeline()
	entries := map[string]*redis.StringCmd{}
	for _, name := range rooms {
		if _, _, direct := chat.Room(name).Direct(); !direct {
			entries[name] = pipe.HGet(ctx, chat.Room(name).Key(chat.Members), who.Name)
		}
	}
	if len(entries) == 0 {
		return nil, nil
	}
	if err := failed(pipe.Exec(ctx)); err != nil {
		return nil, chat.Unavailable("list roles", err)
	}
	roles := map[string]string{}
	for name, entry := range entries {
		if role, err := chat.Standing(who, chat.Room(name), entry.Val()); err == nil && role != chat.Plain {
			roles[name] = role
		}
	}
	return roles, nil
}

// topics returns the entries of these rooms that have one.
func (d *Directory) topics(ctx context.Context, rooms []string) (map[string]string, error) {
	if len(rooms) == 0 {
		return nil, nil
	}
	entries, err := d.rdb.HMGet(ctx, topicsKey, rooms...).Result()
	if err != nil {
		return nil, chat.Unavailable("list topics", err)
	}
	topics := map[string]string{}
	for i, entry := range entries {
		if entry, ok := entry.(string); ok {
			topics[rooms[i]] = entry
		}
	}
	return topics, nil
}

// markRead moves a read position forward, and back only where it says so by a larger
// BACK: devices may tell of theirs in any order, late and repeatedly, and come to the
// same end. KEYS[1] positions, ARGV[1] room, ARGV[2] the new entry, ARGV[3] its
// event's seq, ARGV[4] its BACK, ARGV[5] how long positions are kept, seconds, ARGV[6]
// channel, ARGV[7] notice, ARGV[8] most positions. Output: the entry as it stands,
// nothing where there are too many. Atomic, so that what is
// told last is what is kept.
// A position whose seq was counted in a feed that is lost gives way after all, as
// soon as the new feed is longer.
var markRead = redis.NewScript(`
local was = redis.call('HGET', KEYS[1], ARGV[1])
if not was and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[8]) then return '' end
if was then
  local event, back = string.match(was, '^(%S*) ?(%d*)$')
  local seq, back = tonumber(string.match(event, '^%d+') or 0), tonumber(back) or 0
  if back > tonumber(ARGV[4]) or (back == tonumber(ARGV[4]) and seq > tonumber(ARGV[3])) or was == ARGV[2] then return was end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('PUBLISH', ARGV[6], ARGV[7])
return ARGV[2]`)

// MarkRead remembers that user has read the room up to mark, if that is later than
// what is remembered, and tells of it then. It returns what is remembered now.
func (d *Directory) MarkRead(ctx context.Context, user string, room chat.Room, mark chat.Mark) (chat.Mark, error) {
	entry := string(mark.Event)
	if mark.Back > 0 {
		entry += " " + strconv.FormatInt(mark.Back, 10)
	}
	now, err := markRead.Run(ctx, d.rdb, []string{readKey(user)}, string(room), entry, mark.Event.Seq(), mark.Back,
		int(keep.Seconds()), d.news.Channel(), d.news.Read(user, room, mark), maxMarks).Text()
	if err != nil {
		return chat.Mark{}, chat.Unavailable("mark read", err)
	}
	return parseMark(now), nil
}

func parseMark(entry string) chat.Mark {
	event, back, _ := strings.Cut(entry, " ")
	n, _ := strconv.ParseInt(back, 10, 64) // nothing is 0
	return chat.Mark{Event: chat.EventID(event), Back: n}
}
