package directory_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"chatd/internal/audit"
	"chatd/internal/chat"
	"chatd/internal/chattest"
	"chatd/internal/directory"
)

// Everybody tries to make everybody everything: what comes of it, in a public room and in
// a private one.
func TestWhoMayGiveWhichRole(t *testing.T) {
	roles := []string{chat.Owner, chat.Moderator, chat.Plain, chat.Muted, chat.Banned}
	// By the role of who asks, to whom they may give what.
	inPublic := map[string]string{
		"admin": "owner→moderator,member,muted,banned moderator→owner,member,muted,banned member→owner,moderator,muted,banned " +
			"muted→owner,moderator,member,banned banned→member,muted",
		chat.Owner:     "moderator→owner,member,muted,banned member→owner,moderator,muted,banned muted→owner,moderator,member,banned banned→member,muted",
		chat.Moderator: "member→muted,banned muted→member,banned banned→member,muted",
	}
	inPrivate := map[string]string{
		"admin":        "moderator→owner,member,muted,banned member→owner,moderator,muted,banned muted→owner,moderator,member,banned banned→member",
		chat.Owner:     "moderator→owner,member,muted,banned member→owner,moderator,muted,banned muted→owner,moderator,member,banned banned→member",
		chat.Moderator: "member→muted,banned muted→member,banned banned→member",
	}
	for room, allowed := range map[chat.Room]map[string]string{"tea": inPublic, "~tea": inPrivate} {
		rdb, _ := chattest.Embedded(t)
		d := newDirectory(rdb)
		if _, err := d.Join(t.Context(), as("maker"), room); err != nil {
			t.Fatal(err)
		}
		// In the private room the administrator is a member like others.
		setup := func(by, of string) (chat.Actor, string) {
			who, user := chat.Actor{Name: "by", Admin: by == "admin"}, "of"
			rdb.Del(t.Context(), room.Key(chat.Members), "chatd:"+"{"+string(room)+"}:joined")
			put := func(name, role string) {
				if role == "admin" {
					role = chat.Plain
				}
				if role != chat.Plain || room.Private() {
					rdb.HSet(t.Context(), room.Key(chat.Members), name, role)
				}
				if role != chat.Banned {
					rdb.ZAdd(t.Context(), room.Key("joined"), redis.Z{Member: name, Score: 1})
				}
			}
			put(who.Name, by)
			put(user, of)
			return who, user
		}
		for _, by := range append(roles, "admin") {
			got := ""
			for _, of := range roles {
				given := ""
				for _, to := range roles {
					if to == of || by == chat.Owner && of == chat.Owner { // a room has one
						continue
					}
					who, user := setup(by, of)
					_, err := d.SetRole(t.Context(), who, room, user, to)
					var refused *chat.Error
					switch {
					case err == nil:
						given += "," + to
						now, _ := rdb.HGet(t.Context(), room.Key(chat.Members), user).Result()
						if want := to; now != want && !(to == chat.Plain && now == "") {
							t.Errorf("%s: %s makes %s %s, who is %q then", room, by, of, to, now)
						}
					case !errors.As(err, &refused):
						t.Fatal(err)
					}
				}
				if given != "" {
					got += " " + of + "→" + given[1:]
				}
			}
			if want := allowed[by]; got != "" && got[1:] != want || got == "" && want != "" {
				t.Errorf("in %s, %s gives\n%s, want\n %s", room, by, got, want)
			}
		}
		// To oneself: a moderator may stop, that is all.
		for _, by := range roles {
			for _, to := range roles {
				who, _ := setup(by, chat.Plain)
				_, err := d.SetRole(t.Context(), who, room, who.Name, to)
				if want := by == chat.Moderator && to == chat.Plain; (err == nil) != want {
					t.Errorf("%s: %s makes themselves %s: %v", room, by, to, err)
				}
			}
		}
		// Who is not there at all.
		for to, want := range map[string]bool{chat.Owner: false, chat.Moderator: false, chat.Muted: room.Public(), chat.Banned: true} {
			who, _ := setup(chat.Owner, chat.Plain)
			if _, err := d.SetRole(t.Context(), who, room, "nobody", to); (err == nil) != want {
				t.Errorf("%s: somebody who is not there becomes %s: %v", room, to, err)
			}
		}
	}
}

func TestOwnersHandOn(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		d := newDirectory(rdb)
		for _, user := range []string{"alice", "bob", "carol"} {
			if _, err := d.Join(t.Context(), as(user), "tea"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.SetRole(t.Context(), as("alice"), "tea", "bob", chat.Owner); err != nil {
			t.Fatal(err)
		}
		wantMembers(t, d, as("carol"), "tea", "alice moderator|bob owner|")
		// Two hand it on at once: one owner is left.
		var wg sync.WaitGroup
		for _, to := range []string{"alice", "carol"} {
			wg.Go(func() {
				_, err := d.SetRole(t.Context(), as("bob"), "tea", to, chat.Owner)
				if refused := (*chat.Error)(nil); err != nil && !errors.As(err, &refused) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		owners := 0
		for _, role := range rdb.HGetAll(t.Context(), "chatd:{tea}:members").Val() {
			if role == chat.Owner {
				owners++
			}
		}
		if owners != 1 {
			t.Fatalf("%d owners", owners)
		}
	})
}

func TestGeneralIsNobodys(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	d := newDirectory(rdb)
	j, err := d.Join(t.Context(), as("alice"), chat.General)
	if err != nil || j.Role != chat.Plain {
		t.Fatalf("%+v, %v", j, err)
	}
	wantMembers(t, d, as("alice"), chat.General, "")
	if _, err := d.SetRole(t.Context(), as("alice"), chat.General, "bob", chat.Banned); err == nil {
		t.Fatal("a plain member bans")
	}
	admin := chat.Actor{Name: "root", Admin: true}
	if _, err := d.SetRole(t.Context(), admin, chat.General, "alice", chat.Banned); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Join(t.Context(), as("alice"), chat.General); !errors.Is(err, chat.ErrBanned) {
		t.Fatal(err)
	}
	if _, err := d.SetRole(t.Context(), admin, "nowhere", "alice", chat.Banned); err == nil {
		t.Fatal("a room that is not there has roles")
	}
}

// Who is banned finds, lists, reads and joins nothing of the room, and gets it back.
func TestBanned(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		d := newDirectory(rdb)
		for _, join := range []struct {
			user string
			room chat.Room
		}{{"alice", "tea"}, {"bob", "tea"}, {"bob", "cake"}} {
			if _, err := d.Join(t.Context(), as(join.user), join.room); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.SetRole(t.Context(), as("alice"), "tea", "bob", chat.Banned); err != nil {
			t.Fatal(err)
		}
		open, err := d.Open(t.Context(), as("bob"))
		if err != nil || fmt.Sprint(open) != "[cake]" {
			t.Fatal(open, err)
		}
		if found, _, err := d.Find(t.Context(), as("bob"), ""); err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		if rooms, err := d.List(t.Context(), as("bob")); err != nil || len(rooms) != 1 {
			t.Fatal(rooms, err)
		}
		if _, err := d.Check(t.Context(), as("bob"), "tea"); !errors.Is(err, chat.ErrBanned) {
			t.Fatal(err)
		}
		if _, err := d.Join(t.Context(), as("bob"), "tea"); !errors.Is(err, chat.ErrBanned) {
			t.Fatal(err)
		}
		if out, err := d.Outsiders(t.Context(), "tea", []chat.Actor{as("alice"), as("bob"), {Name: "bob", Admin: true}}); err != nil || !slices.Equal(out, []chat.Actor{as("bob")}) {
			t.Fatal(out, err)
		}
		// Who is banned is known to those who moderate.
		wantMembers(t, d, as("alice"), "tea", "alice owner|bob banned|")
		wantMembers(t, d, as("carol"), "tea", "alice owner|")
		if _, err := d.SetRole(t.Context(), as("alice"), "tea", "bob", chat.Plain); err != nil {
			t.Fatal(err)
		}
		if open, err := d.Open(t.Context(), as("bob")); err != nil || len(open) != 2 {
			t.Fatal(open, err)
		}
		if n := rdb.Exists(t.Context(), "chatd:user:{bob}:banned").Val(); n != 0 {
			t.Fatal("a ban that was lifted is remembered")
		}
	})
}

func TestOthersInheritAPrivateRoom(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		d := newDirectory(rdb)
		if _, err := d.Join(t.Context(), as("alice"), "~tea"); err != nil {
			t.Fatal(err)
		}
		for user, role := range map[string]string{"bob": chat.Muted, "carol": chat.Plain, "dave": chat.Moderator, "adam": chat.Banned} {
			if err := d.Invite(t.Context(), as("alice"), "~tea", user); err != nil {
				t.Fatal(err)
			}
			if _, err := d.SetRole(t.Context(), as("alice"), "~tea", user, role); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Invite(t.Context(), as("alice"), "~tea", "adam"); err == nil {
			t.Fatal("who is banned was invited")
		}
		if err := d.Invite(t.Context(), as("bob"), "~tea", "eve"); !errors.Is(err, chat.ErrMuted) {
			t.Fatal(err)
		}
		for _, c := range []struct{ leaves, then string }{
			{"adam", "adam banned|alice owner|bob muted|carol |dave moderator|"}, // who is out cannot leave
			{"alice", "adam banned|bob muted|carol |dave owner|"},
			{"dave", "adam banned|bob muted|carol owner|"},
			{"carol", "adam banned|bob owner|"},
		} {
			if err := d.Leave(t.Context(), as(c.leaves).Name, "~tea"); err != nil {
				t.Fatal(err)
			}
			wantMembers(t, d, chat.Actor{Name: "bob", Admin: true}, "~tea", c.then)
		}
		if err := d.Leave(t.Context(), "bob", "~tea"); err != nil {
			t.Fatal(err)
		}
		if n := rdb.Exists(t.Context(), "chatd:{~tea}:members").Val(); n != 0 {
			t.Fatal("nobody is left but who is banned, and the room is")
		}
	})
}

// A room that was removed takes nothing any more, and its name is free.
func TestRemovedRooms(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		d := newDirectory(rdb)
		for _, user := range []string{"alice", "bob"} {
			if _, err := d.Join(t.Context(), as(user), "tea"); err != nil {
				t.Fatal(err)
			}
		}
		rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: "chatd:{tea}:feed", Values: []string{"e", "x"}})
		if err := d.Remove(t.Context(), as("bob"), "tea"); err == nil {
			t.Fatal("a plain member removes the room")
		}
		for range 2 { // an answer that got lost is asked for again
			if err := d.Remove(t.Context(), as("alice"), "tea"); err != nil {
				t.Fatal(err)
			}
		}
		if n := rdb.Exists(t.Context(), "chatd:{tea}:feed", "chatd:{tea}:joined", "chatd:user:{bob}:rooms").Val(); n != 0 {
			t.Fatalf("%d keys of it are left", n)
		}
		if rooms, err := d.List(t.Context(), as("bob")); err != nil || len(rooms) != 0 {
			t.Fatal(rooms, err)
		}
		if j, err := d.Join(t.Context(), as("bob"), "tea"); err != nil || !j.Made || j.Role != chat.Owner {
			t.Fatalf("%+v, %v", j, err)
		}
		wantMembers(t, d, as("bob"), "tea", "bob owner|")
	})
}

// broken is an audit log that cannot be written.
type broken struct{}

func (broken) Write(context.Context, audit.Entry) error {
	return chat.Unavailable("write", errors.New("full"))
}

func TestNoRightWithoutALine(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	d := newDirectory(rdb)
	for _, room := range []chat.Room{"tea", "~tea"} {
		if _, err := d.Join(t.Context(), as("alice"), room); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Join(t.Context(), as("bob"), "tea"); err != nil {
		t.Fatal(err)
	}
	if err := d.Invite(t.Context(), as("alice"), "~tea", "bob"); err != nil {
		t.Fatal(err)
	}
	state := func() string {
		return fmt.Sprint(rdb.HGetAll(t.Context(), "chatd:{tea}:members").Val(), rdb.HGetAll(t.Context(), "chatd:{~tea}:members").Val(),
			rdb.SMembers(t.Context(), "chatd:rooms").Val(), rdb.HGetAll(t.Context(), "chatd:topics").Val())
	}
	before := state()
	mute := directory.New(rdb, news{}, broken{})
	for what, do := range map[string]func() error{
		"role": func() error {
			_, err := mute.SetRole(t.Context(), as("alice"), "tea", "bob", chat.Moderator)
			return err
		},
		"ban":    func() error { _, err := mute.SetRole(t.Context(), as("alice"), "tea", "bob", chat.Banned); return err },
		"expel":  func() error { return mute.Expel(t.Context(), as("alice"), "~tea", "bob") },
		"invite": func() error { return mute.Invite(t.Context(), as("alice"), "~tea", "eve") },
		"remove": func() error { return mute.Remove(t.Context(), as("alice"), "tea") },
		"topic":  func() error { return mute.SetTopic(t.Context(), as("alice"), "tea", "x") },
	} {
		if err := do(); !errors.Is(err, chat.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
		if after := state(); after != before {
			t.Errorf("%s: it is %s, was %s", what, after, before)
		}
	}
}

func TestEachDeedIsOneLine(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	log := audit.New(rdb, 1000)
	d := directory.New(rdb, news{}, log)
	alice := chat.Actor{Name: "alice", Address: "192.0.2.1"}
	for _, who := range []chat.Actor{alice, as("bob")} {
		if _, err := d.Join(t.Context(), who, "tea"); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second time there is nothing to do
		if _, err := d.SetRole(t.Context(), alice, "tea", "bob", chat.Muted); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Expel(t.Context(), alice, "tea", "bob"); err != nil {
		t.Fatal(err)
	}
	lines, err := log.Read(t.Context(), "", 10)
	if err != nil || len(lines) != 2 {
		t.Fatalf("%+v, %v", lines, err)
	}
	want := audit.Entry{Action: audit.Role, Actor: "alice", Target: "bob", Room: "tea", Address: "192.0.2.1", Detail: chat.Muted}
	if lines[1].Entry != want || lines[0].Action != audit.Expelled {
		t.Fatalf("%+v", lines)
	}
	// Who is muted and put out is muted when they come back.
	if j, err := d.Join(t.Context(), as("bob"), "tea"); err != nil || j.Role != chat.Muted {
		t.Fatalf("%+v, %v", j, err)
	}
	if err := d.SetTopic(t.Context(), as("bob"), "tea", "x"); !errors.Is(err, chat.ErrMuted) {
		t.Fatal(err)
	}
}

func TestNobodyMakesTooMuchAlone(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		d := newDirectory(rdb)
		made, begun := 0, 0
		var refused *chat.Error
		for i := range 250 {
			switch _, err := d.Join(t.Context(), as("mallory"), chat.Room(fmt.Sprint("r", i))); {
			case err == nil:
				made++
			case !errors.As(err, &refused) || refused.Code != chat.CodeForbidden:
				t.Fatal(err)
			}
			switch err := d.Begin(t.Context(), "mallory"); {
			case err == nil:
				begun++
			case !errors.As(err, &refused) || refused.Code != chat.CodeTooFast || refused.RetryAfter <= 0 || refused.RetryAfter.Minutes() > 1:
				t.Fatal(err)
			}
		}
		if made != 200 || begun != 200 {
			t.Fatalf("made %d rooms and began %d conversations", made, begun)
		}
		if rooms, err := d.Public(t.Context()); err != nil || len(rooms) != 200 {
			t.Fatalf("%d rooms, %v", len(rooms), err)
		}
		if n := rdb.Exists(t.Context(), "chatd:{r249}:members").Val(); n != 0 {
			t.Fatal("a room that was not made has an owner")
		}
		if _, err := d.Join(t.Context(), as("alice"), "r249"); err != nil {
			t.Fatal(err)
		}
	})
}

// Nor do many names of one network use up the rooms that there may be.
func TestANetworkDoesNotMakeAllRooms(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	d, made := newDirectory(rdb), 0
	for i := range 600 {
		who := chat.Actor{Name: fmt.Sprint("mallory", i%100), Near: "192.0.2.0/32"}
		var refused *chat.Error
		switch _, err := d.Join(t.Context(), who, chat.Room(fmt.Sprint("r", i))); {
		case err == nil:
			made++
		case !errors.As(err, &refused) || refused.Code != chat.CodeForbidden:
			t.Fatal(err)
		}
	}
	if made != 500 {
		t.Errorf("%d rooms were made", made)
	}
	if _, err := d.Join(t.Context(), chat.Actor{Name: "alice", Near: "192.0.2.1/32"}, "r599"); err != nil {
		t.Error(err)
	}
}

// Nor does anybody fill another's list by invitations.
func TestInvitationsAreBounded(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	d := newDirectory(rdb)
	for i := range 1000 {
		rdb.SAdd(t.Context(), "chatd:user:{bob}:rooms", fmt.Sprint("r", i))
	}
	invited := 0
	var refused *chat.Error
	for i := range 300 {
		room := chat.Room(fmt.Sprint("~r", i))
		if _, err := d.Join(t.Context(), as("mallory"), room); err != nil {
			t.Fatal(err)
		}
		if err := d.Invite(t.Context(), as("mallory"), room, "bob"); !errors.As(err, &refused) || refused.Code != chat.CodeForbidden {
			t.Fatalf("onto a full list: %v", err)
		}
		switch err := d.Invite(t.Context(), as("mallory"), room, "carol"); {
		case err == nil:
			invited++
		case !errors.As(err, &refused) || refused.Code != chat.CodeTooFast:
			t.Fatal(err)
		}
	}
	if invited != 200 || rdb.SCard(t.Context(), "chatd:user:{carol}:rooms").Val() != 200 {
		t.Fatalf("%d invitations", invited)
	}
	if n := rdb.SCard(t.Context(), "chatd:user:{bob}:rooms").Val(); n != 1000 {
		t.Fatalf("bob's list has %d", n)
	}
}

// Strangers who put rooms onto somebody's list leave place for that person's own.
func TestOthersDoNotFillAList(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	d := newDirectory(rdb)
	var refused *chat.Error
	invite := func(by string, n int) error {
		room := chat.Room(fmt.Sprintf("~%s-%d", by, n))
		if _, err := d.Join(t.Context(), as(by), room); err != nil {
			t.Fatal(err)
		}
		return d.Invite(t.Context(), as(by), room, "bob")
	}
	given := 0
	for _, by := range []string{"m1", "m2", "m3"} {
		for n := range 210 {
			switch err := invite(by, n); {
			case err == nil:
				given++
			case !errors.As(err, &refused) || n < 200 && given < 500:
				t.Fatalf("%s, room %d of %d: %v", by, n, given, err)
			}
		}
	}
	if given != 500 {
		t.Errorf("others put %d rooms onto the list", given)
	}
	if err := d.Takes(t.Context(), "bob"); !errors.As(err, &refused) || refused.Code != chat.CodeForbidden {
		t.Errorf("a conversation that others begin: %v", err)
	}
	if _, err := d.Join(t.Context(), as("bob"), "tea"); err != nil {
		t.Errorf("bob cannot join a room himself: %v", err)
	}
}

func TestMarksAreBounded(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	d := newDirectory(rdb)
	var fields []any
	for n := range 20_000 {
		fields = append(fields, fmt.Sprint("@bob:u", n), "1-1")
	}
	if err := rdb.HSet(t.Context(), "chatd:user:{bob}:read", fields...).Err(); err != nil {
		t.Fatal(err)
	}
	for room, want := range map[chat.Room]chat.EventID{"tea": "", "@bob:u1": "2-2"} {
		if got, err := d.MarkRead(t.Context(), "bob", room, chat.Mark{Event: "2-2"}); err != nil || got.Event != want {
			t.Errorf("%s is read to %q, %v; want %q", room, got.Event, err, want)
		}
	}
}

func wantMembers(t *testing.T, d *directory.Directory, who chat.Actor, room chat.Room, want string) {
	t.Helper()
	members, err := d.Members(t.Context(), who, room)
	got := ""
	for _, m := range members {
		got += m.User + " " + m.Role + "|"
	}
	if err != nil || got != want {
		t.Fatalf("%s sees %q in %s, %v; want %q", who.Name, got, room, err, want)
	}
}
