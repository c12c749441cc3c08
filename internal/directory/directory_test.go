package directory_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"chatd/internal/chat"
	"chatd/internal/chattest"
	"chatd/internal/directory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestListsOfRooms(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		d := directory.New(rdb)
		join := func(user string, room chat.Room, wantMade, wantListed bool) {
			t.Helper()
			made, listed, err := d.Join(t.Context(), user, room)
			if err != nil || made != wantMade || listed != wantListed {
				t.Fatalf("%s joins %s: made %v, listed %v, %v", user, room, made, listed, err)
			}
		}
		want := func(user, want string) {
			t.Helper()
			rooms, err := d.List(t.Context(), user)
			got := ""
			for _, r := range rooms {
				got += fmt.Sprintf("%s %v %s|", r.Room, r.Joined, r.With)
			}
			if err != nil || got != want {
				t.Fatalf("%s has %q, %v; want %q", user, got, err, want)
			}
		}
		join("alice", "general", true, true)
		join("alice", "general", false, false)
		join("bob", "general", false, true)
		join("bob", "tea", true, true)
		join("alice", "@alice:bob", false, true)
		want("alice", "@alice:bob true bob|general true |tea false |")
		want("bob", "general true |tea true |")
		if err := d.Leave(t.Context(), "alice", "general"); err != nil {
			t.Fatal(err)
		}
		want("alice", "@alice:bob true bob|general false |tea false |")
		public, err := d.Public(t.Context())
		if fmt.Sprint(public) != "[general tea]" || err != nil {
			t.Fatal(public, err)
		}
		if has, err := d.Has(t.Context(), "alice", "@alice:bob"); !has || err != nil {
			t.Fatal(has, err)
		}
	})
}

func TestReadPositionsOnlyAdvance(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		d := directory.New(rdb)
		if _, _, err := d.Join(t.Context(), "alice", "general"); err != nil {
			t.Fatal(err)
		}
		for _, event := range []chat.EventID{"9-100", "10-50", "9-900", "2-1"} {
			if err := d.MarkRead(t.Context(), "alice", "general", event); err != nil {
				t.Fatal(err)
			}
		}
		rooms, err := d.List(t.Context(), "alice")
		if err != nil || rooms[0].Read != "10-50" {
			t.Fatalf("%+v, %v", rooms, err)
		}
	})
}

func TestWithoutRedisNothingIsKnown(t *testing.T) {
	rdb, m := chattest.Embedded(t)
	m.SetError("LOADING")
	d := directory.New(rdb)
	if _, err := d.List(t.Context(), "alice"); !errors.Is(err, chat.ErrUnavailable) {
		t.Fatal(err)
	}
	if _, _, err := d.Join(t.Context(), "alice", "general"); !errors.Is(err, chat.ErrUnavailable) {
		t.Fatal(err)
	}
}
