package directory

import (
	"context"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"chatd/internal/chat"
)

// maxMembers bounds a private room: a few people, who are all told of.
const maxMembers = 100

var (
	errNotMember = &chat.Error{Code: chat.CodeForbidden, Message: "This room is private: ask one of its members for an invitation."}
	errNotOwner  = &chat.Error{Code: chat.CodeForbidden, Message: "Only the room's owner can do this."}
	errFull      = &chat.Error{Code: chat.CodeForbidden, Message: "This room is full."}
	errNotThere  = &chat.Error{Code: chat.CodeNotFound, Message: "This person is not a member of the room."}
)

// enter says whether ARGV[1] is a member, and makes the room theirs if nobody is.
// KEYS[1] members, the rest: what of a former room of this name might still be there.
// Output: 1 made, 0 a member, -1 not.
var enter = redis.NewScript(`
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 0 end
if redis.call('EXISTS', KEYS[1]) == 1 then return -1 end
redis.call('DEL', unpack(KEYS, 2))
redis.call('HSET', KEYS[1], ARGV[1], 'owner')
return 1`)

// part takes ARGV[1] out of the members; the room's history goes with the last one,
// and where the owner goes the first of the others owns the room. KEYS as for enter.
var part = redis.NewScript(`
local was = redis.call('HGET', KEYS[1], ARGV[1])
if not was then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
local left = redis.call('HKEYS', KEYS[1])
if #left == 0 then
  redis.call('DEL', unpack(KEYS, 2))
elseif was == 'owner' then
  table.sort(left)
  redis.call('HSET', KEYS[1], left[1], 'owner')
end
return 1`)

// invite makes ARGV[2] a member if ARGV[1] is one. ARGV[3] most members. Output: 1
// invited, 0 a member already, -1 the inviter is none, -2 the room is full.
var invite = redis.NewScript(`
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return -1 end
if redis.call('HEXISTS', KEYS[1], ARGV[2]) == 1 then return 0 end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return -2 end
redis.call('HSET', KEYS[1], ARGV[2], 'member')
return 1`)

// expel takes ARGV[2] out of the members if ARGV[1] owns the room. Output: 1 done, 0
// no member, -1 not the owner's wish.
var expel = redis.NewScript(`
if redis.call('HGET', KEYS[1], ARGV[1]) ~= 'owner' or ARGV[1] == ARGV[2] then return -1 end
return redis.call('HDEL', KEYS[1], ARGV[2])`)

func parts(room chat.Room) []string {
	return []string{room.Key(chat.Members), room.Key("feed"), room.Key("edits"), room.Key("gone")}
}

func (d *Directory) enter(ctx context.Context, user string, room chat.Room) error {
	n, err := enter.Run(ctx, d.rdb, parts(room), user).Int()
	switch {
	case err != nil:
		return chat.Unavailable("enter private room", err)
	case n < 0:
		return errNotMember
	}
	return nil
}

// Check returns a *chat.Error of code forbidden if the room is private and user is
// not a member of it.
func (d *Directory) Check(ctx context.Context, user string, room chat.Room) error {
	if !room.Private() {
		return nil
	}
	is, err := d.rdb.HExists(ctx, room.Key(chat.Members), user).Result()
	switch {
	case err != nil:
		return chat.Unavailable("look for member", err)
	case !is:
		return errNotMember
	}
	return nil
}

// Invite makes user a member of the private room, which is on their list then. Errors
// are *chat.Error if by is not a member or the room is full.
func (d *Directory) Invite(ctx context.Context, by string, room chat.Room, user string) error {
	n, err := invite.Run(ctx, d.rdb, []string{room.Key(chat.Members)}, by, user, maxMembers).Int()
	switch {
	case err != nil:
		return chat.Unavailable("invite", err)
	case n == -1:
		return errNotMember
	case n == -2:
		return errFull
	}
	pipe := d.rdb.Pipeline()
	pipe.SAdd(ctx, listKey(user), string(room))
	pipe.Expire(ctx, listKey(user), keep)
	if _, err := pipe.Exec(ctx); err != nil {
		return chat.Unavailable("invite", err)
	}
	return nil
}

// Expel takes user out of the private room that by owns. Errors are *chat.Error if by
// does not, or user is not a member.
func (d *Directory) Expel(ctx context.Context, by string, room chat.Room, user string) error {
	n, err := expel.Run(ctx, d.rdb, []string{room.Key(chat.Members)}, by, user).Int()
	switch {
	case err != nil:
		return chat.Unavailable("expel", err)
	case n < 0:
		return errNotOwner
	}
	// Also where it was done before, and not to its end.
	if err := d.rdb.SRem(ctx, listKey(user), string(room)).Err(); err != nil {
		return chat.Unavailable("expel", err)
	}
	if n == 0 {
		return errNotThere
	}
	return nil
}

// Members returns who is a member of the private room, in order of their names.
func (d *Directory) Members(ctx context.Context, room chat.Room) ([]chat.Member, error) {
	roles, err := d.rdb.HGetAll(ctx, room.Key(chat.Members)).Result()
	if err != nil {
		return nil, chat.Unavailable("list members", err)
	}
	members := make([]chat.Member, 0, len(roles))
	for user, role := range roles {
		members = append(members, chat.Member{User: user, Owner: role == "owner"})
	}
	slices.SortFunc(members, func(a, b chat.Member) int { return strings.Compare(a.User, b.User) })
	return members, nil
}
