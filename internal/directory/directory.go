// Package directory knows which rooms there are and which of them are on whose
// list. It keeps no events and no readers.
//
// Redis holds:
//
//	chatd:rooms              set: the public rooms
//	chatd:user:{NAME}:rooms  set: the rooms on a person's list, direct conversations included
//	chatd:{ROOM}:members     hash NAME -> "owner" or "member", of a private room
//	chatd:user:{NAME}:read   hash ROOM -> "EVENT BACK": the last event that the person has read, and how often they
//	                         went back before it; BACK is left out where it is 0
package directory

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"chatd/internal/chat"
)

const (
	// maxRooms bounds the public rooms, because anyone makes one by joining it, and
	// maxListed a person's list.
	maxRooms  = 10_000
	maxListed = 1000
	// keep is how long the list and the read positions of a person last who is not
	// seen any more.
	keep = 366 * 24 * time.Hour
)

const publicKey = "chatd:rooms"

func listKey(user string) string { return "chatd:user:{" + user + "}:rooms" }
func readKey(user string) string { return "chatd:user:{" + user + "}:read" }

// A Directory is safe for concurrent use. All its methods wait for Redis until
// ctx ends and fail with chat.ErrUnavailable.
type Directory struct {
	rdb  redis.UniversalClient
	news News
}

// News says where and how all instances are told of what changed.
type News interface {
	Channel() string
	// Made tells of a new public room, Read of a person's read position that has moved.
	Made(room chat.Room) (notice []byte)
	Read(user string, room chat.Room, mark chat.Mark) (notice []byte)
}

// New returns the directory that rdb holds.
func New(rdb redis.UniversalClient, news News) *Directory {
	return &Directory{rdb, news}
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

// Join puts the room on user's list, and among the public rooms if it is one.
// made says that it was not there before, listed that it was not on the list. A
// full directory, and a private room of others, is a *chat.Error.
func (d *Directory) Join(ctx context.Context, user string, room chat.Room) (made, listed bool, err error) {
	if room.Private() {
		if err := d.enter(ctx, user, room); err != nil {
			return false, false, err
		}
	}
	pipe := d.rdb.Pipeline()
	onList := pipe.SIsMember(ctx, listKey(user), string(room))
	there := pipe.SIsMember(ctx, publicKey, string(room))
	count := pipe.SCard(ctx, listKey(user))
	pipe.Expire(ctx, listKey(user), keep)
	if _, err := pipe.Exec(ctx); err != nil {
		return false, false, chat.Unavailable("look for room", err)
	}
	if onList.Val() && (!room.Public() || there.Val()) {
		return false, false, nil
	}
	if !onList.Val() && count.Val() >= maxListed {
		return false, false, &chat.Error{Code: chat.CodeForbidden, Message: "There are too many rooms on this list: leave some first."}
	}
	if room.Public() && !there.Val() {
		n, err := makeRoom.Run(ctx, d.rdb, []string{publicKey}, string(room), maxRooms, d.news.Channel(), d.news.Made(room)).Int()
		if err != nil {
			return false, false, chat.Unavailable("make room", err)
		}
		if n < 0 {
			return false, false, &chat.Error{Code: chat.CodeForbidden, Message: "There are too many rooms: join one that is there."}
		}
		made = n == 1
	}
	pipe = d.rdb.Pipeline()
	added := pipe.SAdd(ctx, listKey(user), string(room))
	pipe.Expire(ctx, listKey(user), keep)
	if _, err := pipe.Exec(ctx); err != nil {
		return made, false, chat.Unavailable("join room", err)
	}
	return made, added.Val() == 1, nil
}

// Leave takes the room off user's list, and ends their membership of a private one.
func (d *Directory) Leave(ctx context.Context, user string, room chat.Room) error {
	if room.Private() {
		if err := part.Run(ctx, d.rdb, parts(room), user).Err(); err != nil {
			return chat.Unavailable("leave room", err)
		}
	}
	if err := d.rdb.SRem(ctx, listKey(user), string(room)).Err(); err != nil {
		return chat.Unavailable("leave room", err)
	}
	return nil
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

// List returns the public rooms and user's private rooms and conversations, in order of
// their names, as user sees them.
func (d *Directory) List(ctx context.Context, user string) ([]chat.RoomInfo, error) {
	pipe := d.rdb.Pipeline()
	public, listed := pipe.SMembers(ctx, publicKey), pipe.SMembers(ctx, listKey(user))
	read := pipe.HGetAll(ctx, readKey(user))
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, chat.Unavailable("list rooms", err)
	}
	joined := map[string]bool{}
	for _, name := range listed.Val() {
		joined[name] = true
	}
	rooms := make([]chat.RoomInfo, 0, len(public.Val()))
	for _, name := range public.Val() {
		rooms = append(rooms, chat.RoomInfo{Room: chat.Room(name), Joined: joined[name]})
	}
	for name := range joined {
		if room := chat.Room(name); !room.Public() {
			rooms = append(rooms, chat.RoomInfo{Room: room, Joined: true, With: room.With(user)})
		}
	}
	for i := range rooms {
		rooms[i].MarkInfo = parseMark(read.Val()[string(rooms[i].Room)]).Info()
	}
	slices.SortFunc(rooms, func(a, b chat.RoomInfo) int { return strings.Compare(string(a.Room), string(b.Room)) })
	return rooms, nil
}

// markRead moves a read position forward, and back only where it says so by a larger
// BACK: devices may tell of theirs in any order, late and repeatedly, and come to the
// same end. KEYS[1] positions, ARGV[1] room, ARGV[2] the new entry, ARGV[3] its
// event's seq, ARGV[4] its BACK, ARGV[5] how long positions are kept, seconds, ARGV[6]
// channel, ARGV[7] notice. Output: the entry as it stands. Atomic, so that what is
// told last is what is kept.
// A position whose seq was counted in a feed that is lost gives way after all, as
// soon as the new feed is longer.
var markRead = redis.NewScript(`
local was = redis.call('HGET', KEYS[1], ARGV[1])
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
		int(keep.Seconds()), d.news.Channel(), d.news.Read(user, room, mark)).Text()
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
