package directory

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"chatd/internal/audit"
	"chatd/internal/chat"
	"chatd/internal/throttle"
)

const (
	// maxMembers bounds a private room: a few people, who are all told of.
	maxMembers = 100
	// maxRoles bounds who has a role in a room, those who are banned included.
	maxRoles = 2000
)

var (
	errNoRight  = &chat.Error{Code: chat.CodeForbidden, Message: "Only those who moderate this room can do this, and not to one another."}
	errHandOn   = &chat.Error{Code: chat.CodeForbidden, Message: "The owner of a room hands it on to somebody else first."}
	errFull     = &chat.Error{Code: chat.CodeForbidden, Message: "This room is full."}
	errBarred   = &chat.Error{Code: chat.CodeForbidden, Message: "This person is banned from the room."}
	errTooMany  = &chat.Error{Code: chat.CodeForbidden, Message: "Too many people are muted or banned in this room: lift some of it first."}
	errNotThere = &chat.Error{Code: chat.CodeNotFound, Message: "This person is not in the room."}
	errNoRoom   = &chat.Error{Code: chat.CodeNotFound, Message: "There is no room of this name."}
	errManyMade = &chat.Error{Code: chat.CodeForbidden, Message: "You made many rooms lately: join one that is there."}
	errDirect   = chat.BadRequest("room is a conversation of two")
)

// enter says which role ARGV[1] has in a private room, and makes the room theirs if
// nobody is in it. KEYS[1] members, the rest: what of a former room of this name might
// still be there. Output: the role, "" for none.
var enter = redis.NewScript(`
local role = redis.call('HGET', KEYS[1], ARGV[1])
if role then return role end
if redis.call('EXISTS', KEYS[1]) == 1 then return '' end
redis.call('DEL', unpack(KEYS, 2))
redis.call('HSET', KEYS[1], ARGV[1], 'owner')
return 'owner'`)

// claim makes ARGV[1] the owner of a public room that is about to be made, unless
// somebody else was faster; nobody if it is ”. KEYS as for enter. What is left of a
// room of this name that was removed goes. Output: 1 if it is theirs.
var claim = redis.NewScript(`
if redis.call('HEXISTS', KEYS[1], '') == 1 then redis.call('DEL', unpack(KEYS)) end
if ARGV[1] == '' or redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], 'owner')
return 1`)

// part takes ARGV[1] out of the members of a private room; the room's history goes with
// the last one, and where the owner goes another owns the room, a moderator if there is
// one. KEYS as for enter. Atomic, so that no room is without an owner.
var part = redis.NewScript(`
local was = redis.call('HGET', KEYS[1], ARGV[1])
if not was or was == 'banned' then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
local order, heir = {moderator = '1', member = '2', muted = '3'}, nil
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local rank = all[i + 1] == 'owner' and '0' or order[all[i + 1]]
  if rank and (not heir or rank .. all[i] < heir) then heir = rank .. all[i] end
end
if not heir then
  redis.call('DEL', unpack(KEYS))
elseif was == 'owner' then
  redis.call('HSET', KEYS[1], string.sub(heir, 2), 'owner')
end
return 1`)

// swap changes roles if they are as they were read: ARGV has, for each, the name, what
// was read and what is to be, ” for nothing. KEYS[1] members. Output: 1 done, 0 not.
var swap = redis.NewScript(`
for i = 1, #ARGV, 3 do
  if (redis.call('HGET', KEYS[1], ARGV[i]) or '') ~= ARGV[i + 1] then return 0 end
end
for i = 1, #ARGV, 3 do
  if ARGV[i + 2] == '' then
    redis.call('HDEL', KEYS[1], ARGV[i])
  else
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
  end
end
return 1`)

func parts(room chat.Room) []string {
	return []string{room.Key(chat.Members), room.Key("feed"), room.Key("edits"), room.Key("gone")}
}

// failed returns the first error of a pipeline's commands that is one. Exec itself returns
// the first of all, and behind a value that is not there might stand another, which would
// look as if nobody was banned.
func failed(cmds []redis.Cmder, err error) error {
	if err != nil && len(cmds) == 0 {
		return err
	}
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
	}
	return nil
}

// enter returns who's role in the private room.
func (d *Directory) enter(ctx context.Context, who chat.Actor, room chat.Room) (role string, err error) {
	entry, err := enter.Run(ctx, d.rdb, parts(room), who.Name).Text()
	if err != nil {
		return "", chat.Unavailable("enter private room", err)
	}
	return chat.Standing(who, room, entry)
}

// Check returns the role that who has in the room, or the *chat.Error that keeps them
// out.
func (d *Directory) Check(ctx context.Context, who chat.Actor, room chat.Room) (role string, err error) {
	if _, _, direct := room.Direct(); direct {
		return chat.Plain, nil
	}
	entry, err := d.rdb.HGet(ctx, room.Key(chat.Members), who.Name).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", chat.Unavailable("look for role", err)
	}
	return chat.Standing(who, room, entry)
}

// Outsiders returns those of the people who may not be in the room.
func (d *Directory) Outsiders(ctx context.Context, room chat.Room, people []chat.Actor) (out []chat.Actor, err error) {
	if _, _, direct := room.Direct(); direct || len(people) == 0 {
		return nil, nil
	}
	names := make([]string, len(people))
	for i, who := range people {
		names[i] = who.Name
	}
	entries, err := d.rdb.HMGet(ctx, room.Key(chat.Members), names...).Result()
	if err != nil {
		return nil, chat.Unavailable("look for roles", err)
	}
	for i, who := range people {
		entry, _ := entries[i].(string)
		if _, err := chat.Standing(who, room, entry); err != nil {
			out = append(out, who)
		}
	}
	return out, nil
}

// A step is one person's role before and after a change, "" for none.
type step struct{ user, was, is string }

// roles are those that people have in a room, by their names.
type roles map[string]string

func (r roles) keep(user string) step      { return step{user, r[user], r[user]} }
func (r roles) set(user, role string) step { return step{user, r[user], role} }
func (r roles) of(who chat.Actor, room chat.Room) (string, error) {
	return chat.Standing(who, room, r[who.Name])
}

// change reads the roles in a room, has decide say which are to change, and changes them
// if those that it looked at, which are among the steps, are still the same: else it
// begins again. Before that, the entry stands in the audit log. No steps change nothing.
func (d *Directory) change(ctx context.Context, room chat.Room, entry audit.Entry, decide func(roles) ([]step, error)) error {
	noted := false
	for {
		all, err := d.rdb.HGetAll(ctx, room.Key(chat.Members)).Result()
		if err != nil {
			return chat.Unavailable("read roles", err)
		}
		steps, err := decide(all)
		if err != nil || len(steps) == 0 {
			return err
		}
		if !noted {
			if err := d.log.Write(ctx, entry); err != nil {
				return err
			}
			noted = true
		}
		var args []any
		for _, s := range steps {
			args = append(args, s.user, s.was, s.is)
		}
		n, err := swap.Run(ctx, d.rdb, []string{room.Key(chat.Members)}, args...).Int()
		if err != nil {
			return chat.Unavailable("change roles", err)
		}
		if n == 1 {
			return nil
		}
	}
}

// Invite makes user a member of the private room, which is on their list then. Errors
// are *chat.Error if who is none of those who may, or the room is full.
func (d *Directory) Invite(ctx context.Context, who chat.Actor, room chat.Room, user string) error {
	entry := audit.Entry{Action: audit.Invited, Actor: who.Name, Target: user, Room: room, Address: who.Address}
	counted := false
	err := d.change(ctx, room, entry, func(has roles) ([]step, error) {
		by, err := has.of(who, room)
		switch {
		case err != nil:
			return nil, err
		case by == chat.Muted:
			return nil, chat.ErrMuted
		case has[user] == chat.Banned:
			return nil, errBarred
		case has[user] != "":
			return nil, nil
		}
		inside := 0
		for _, role := range has {
			if role != chat.Banned {
				inside++
			}
		}
		if inside >= maxMembers {
			return nil, errFull
		}
		if !counted { // it comes onto their list unasked, as a conversation does
			if err := d.Takes(ctx, user); err != nil {
				return nil, err
			}
			if err := d.Begin(ctx, who.Name); err != nil {
				return nil, err
			}
			counted = true
		}
		return []step{has.keep(who.Name), has.set(user, chat.Plain)}, nil
	})
	if err != nil {
		return err
	}
	pipe := d.rdb.Pipeline()
	pipe.SAdd(ctx, listKey(user), string(room))
	pipe.Expire(ctx, listKey(user), keep)
	if _, err := pipe.Exec(ctx); err != nil {
		return chat.Unavailable("invite", err)
	}
	return nil
}

// Expel takes user out of the room. They may come back to a public one, where who is
// muted stays so. Errors are *chat.Error if who may not do that, or user is not there.
func (d *Directory) Expel(ctx context.Context, who chat.Actor, room chat.Room, user string) error {
	if _, _, direct := room.Direct(); direct {
		return errDirect
	}
	there := true
	if room.Public() {
		err := d.rdb.ZScore(ctx, joinedKey(room), user).Err()
		if err != nil && !errors.Is(err, redis.Nil) {
			return chat.Unavailable("expel", err)
		}
		there = err == nil
	}
	entry := audit.Entry{Action: audit.Expelled, Actor: who.Name, Target: user, Room: room, Address: who.Address}
	err := d.change(ctx, room, entry, func(has roles) ([]step, error) {
		by, err := has.of(who, room)
		if err != nil {
			return nil, err
		}
		of := cmp.Or(has[user], chat.Plain)
		if user == who.Name {
			return nil, errNoRight
		}
		if err := chat.MayChange(by, of, chat.Plain); err != nil {
			return nil, err
		}
		if of == chat.Owner && room.Private() {
			return nil, errHandOn
		}
		if room.Private() {
			there = has[user] != "" && has[user] != chat.Banned
		}
		left := ""
		if room.Public() && has[user] == chat.Muted {
			left = chat.Muted
		}
		if !there {
			return nil, nil
		}
		return []step{has.keep(who.Name), has.set(user, left)}, nil
	})
	if err != nil {
		return err
	}
	// Also where it was done before, and not to its end.
	if err := d.unlist(ctx, room, user); err != nil {
		return err
	}
	if !there {
		return errNotThere
	}
	return nil
}

// unlist takes the room off user's list.
func (d *Directory) unlist(ctx context.Context, room chat.Room, user string) error {
	pipe := d.rdb.Pipeline()
	pipe.ZRem(ctx, joinedKey(room), user)
	pipe.SRem(ctx, mutedKey(user), string(room))
	pipe.SRem(ctx, listKey(user), string(room)) // last: while it is listed, it can be left again
	if _, err := pipe.Exec(ctx); err != nil {
		return chat.Unavailable("take room off list", err)
	}
	return nil
}

// A Change is a person's role that is new. Shown says that the room's readers see it, as
// they see who owns and moderates the room.
type Change struct {
	User  string
	Role  string
	Shown bool
}

// SetRole gives user a role in the room. The owner who makes somebody else the owner is
// a moderator then. Errors are *chat.Error if who may not do that, or user is not there.
func (d *Directory) SetRole(ctx context.Context, who chat.Actor, room chat.Room, user, role string) (changes []Change, err error) {
	if _, _, direct := room.Direct(); direct {
		return nil, errDirect
	}
	pipe := d.rdb.Pipeline()
	made := pipe.SIsMember(ctx, publicKey, string(room))
	joined := pipe.ZScore(ctx, joinedKey(room), user)
	if err := failed(pipe.Exec(ctx)); err != nil {
		return nil, chat.Unavailable("look for room", err)
	}
	if room.Public() && !made.Val() {
		return nil, errNoRoom
	}
	shown := func(role string) bool { return role == chat.Owner || role == chat.Moderator }
	entry := audit.Entry{Action: audit.Role, Actor: who.Name, Target: user, Room: room, Address: who.Address, Detail: role}
	err = d.change(ctx, room, entry, func(has roles) ([]step, error) {
		by, err := has.of(who, room)
		if err != nil {
			return nil, err
		}
		was := has[user]
		of := was
		inside := was != "" && was != chat.Banned
		if room.Public() {
			of, inside = cmp.Or(was, chat.Plain), joined.Err() == nil || shown(was)
		}
		switch {
		case user == who.Name && !who.Admin && (of != chat.Moderator || role != chat.Plain):
			return nil, errNoRight
		case user != who.Name || who.Admin:
			if err := chat.MayChange(by, of, role); err != nil {
				return nil, err
			}
		}
		is := role
		switch {
		case of == chat.Owner && role != chat.Owner && room.Private():
			return nil, errHandOn
		case role == chat.Banned:
		case role == chat.Muted && room.Public():
		case room.Private() && was == chat.Banned && role == chat.Plain:
			is = "" // who is no longer banned may be invited
		case role == chat.Plain && room.Public():
			is = ""
		case !inside:
			return nil, errNotThere
		}
		changes = []Change{{user, role, shown(was) || shown(role)}}
		if was == is {
			return nil, nil
		}
		if was == "" && len(has) >= maxRoles {
			return nil, errTooMany
		}
		if role == chat.Banned && room.Public() {
			// Before it holds, so that there is no ban of which universe does not know.
			if err := d.note(ctx, user, room); err != nil {
				return nil, err
			}
		}
		steps := []step{has.set(user, is)}
		if user != who.Name {
			steps = append(steps, has.keep(who.Name))
		}
		if role == chat.Owner {
			for other, role := range has {
				if role == chat.Owner {
					steps = slices.DeleteFunc(steps, func(s step) bool { return s.user == other })
					steps = append(steps, step{other, chat.Owner, chat.Moderator})
					changes = append(changes, Change{other, chat.Moderator, true})
				}
			}
		}
		return steps, nil
	})
	if err != nil {
		return nil, err
	}
	switch {
	case role == chat.Banned:
		err = d.unlist(ctx, room, user)
	case room.Public():
		if err = d.rdb.SRem(ctx, bannedKey(user), string(room)).Err(); err != nil {
			err = chat.Unavailable("lift ban", err)
		}
	}
	return changes, err
}

// note remembers that user may be banned from the public room.
func (d *Directory) note(ctx context.Context, user string, room chat.Room) error {
	if err := d.rdb.SAdd(ctx, bannedKey(user), string(room)).Err(); err != nil {
		return chat.Unavailable("note ban", err)
	}
	return nil
}

// banned returns the public rooms in which who may not be.
func (d *Directory) banned(ctx context.Context, who chat.Actor) (map[string]bool, error) {
	rooms, err := d.rdb.SMembers(ctx, bannedKey(who.Name)).Result()
	if err != nil {
		return nil, chat.Unavailable("list bans", err)
	}
	if len(rooms) == 0 {
		return nil, nil
	}
	// They may be, says the list; what counts is in the rooms.
	pipe := d.rdb.Pipeline()
	entries := make([]*redis.StringCmd, len(rooms))
	for i, name := range rooms {
		entries[i] = pipe.HGet(ctx, chat.Room(name).Key(chat.Members), who.Name)
	}
	if err := failed(pipe.Exec(ctx)); err != nil {
		return nil, chat.Unavailable("look for roles", err)
	}
	out := map[string]bool{}
	for i, name := range rooms {
		if _, err := chat.Standing(who, chat.Room(name), entries[i].Val()); err != nil {
			out[name] = true
		}
	}
	return out, nil
}

// Members returns who has a role in the room, in order of their names: in a private room
// everybody who is in it. Those who are banned, and in a public room those who are muted,
// are shown to those who moderate it, and to themselves.
func (d *Directory) Members(ctx context.Context, who chat.Actor, room chat.Room) ([]chat.Member, error) {
	if _, _, direct := room.Direct(); direct {
		return nil, errDirect
	}
	all, err := d.rdb.HGetAll(ctx, room.Key(chat.Members)).Result()
	if err != nil {
		return nil, chat.Unavailable("list members", err)
	}
	mine, err := roles(all).of(who, room)
	if err != nil {
		return nil, err
	}
	moderates := mine == chat.Owner || mine == chat.Moderator
	members := []chat.Member{} // as JSON, none is a list too
	for user, role := range all {
		m := chat.Member{User: user, Owner: role == chat.Owner, Role: role}
		switch {
		case user == "", role == chat.Banned && !moderates:
			continue
		case role == chat.Muted && !moderates && user != who.Name:
			if room.Public() {
				continue
			}
			m.Role = "" // they are there, and that is all
		case role == chat.Plain:
			m.Role = ""
		}
		members = append(members, m)
	}
	slices.SortFunc(members, func(a, b chat.Member) int { return strings.Compare(a.User, b.User) })
	return members, nil
}

// Remove takes the public room away, with all that was said in it: for its owner. Its
// name is free then. Errors are *chat.Error if who is not.
func (d *Directory) Remove(ctx context.Context, who chat.Actor, room chat.Room) error {
	if !room.Public() {
		return chat.BadRequest("room is not a public one")
	}
	entry := audit.Entry{Action: audit.RoomRemoved, Actor: who.Name, Room: room, Address: who.Address}
	err := d.change(ctx, room, entry, func(has roles) ([]step, error) {
		switch by, err := has.of(who, room); {
		case err != nil:
			return nil, err
		case by != chat.Owner:
			return nil, errNoRight
		case has[""] != "":
			return nil, nil // and not to its end, perhaps
		}
		// From here on nothing can be appended, and the name is taken until the end.
		return []step{has.keep(who.Name), has.set("", "removed")}, nil
	})
	if err != nil {
		return err
	}
	users, err := d.rdb.ZRange(ctx, joinedKey(room), 0, -1).Result()
	if err != nil {
		return chat.Unavailable("remove room", err)
	}
	for some := range slices.Chunk(users, 500) {
		pipe := d.rdb.Pipeline()
		for _, user := range some {
			pipe.SRem(ctx, listKey(user), string(room))
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return chat.Unavailable("remove room", err)
		}
	}
	pipe := d.rdb.Pipeline()
	pipe.Del(ctx, append(parts(room)[1:], joinedKey(room))...)
	pipe.HDel(ctx, topicsKey, string(room))
	pipe.SRem(ctx, publicKey, string(room))
	if _, err := pipe.Exec(ctx); err != nil {
		return chat.Unavailable("remove room", err)
	}
	return nil
}

// What is counted of a person.
const (
	roomsMade    = "made"
	directsBegun = "begun"
)

func paceKey(user, what string) string { return "chatd:user:{" + user + "}:" + what }

// tooMany returns how long user must wait until they may do another of what, 0 for not.
func (d *Directory) tooMany(ctx context.Context, user, what string, each time.Duration, burst int) (time.Duration, error) {
	return throttle.Take(ctx, d.rdb, throttle.Bucket{Key: paceKey(user, what), Holds: burst, Each: each})
}
