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

func news(made chat.Room) (string, []byte) { return "control", []byte("made " + made) }

func TestMadeRoomsAreToldOnce(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		d := directory.New(rdb, news)
		sub := rdb.Subscribe(t.Context(), "control")
		defer sub.Close()
		if _, err := sub.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, room := range []chat.Room{"tea", "tea", "@alice:bob", "cake"} {
			if _, _, err := d.Join(t.Context(), "alice", room); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []string{"made tea", "made cake"} {
			msg, err := sub.ReceiveMessage(t.Context())
			if err != nil || msg.Payload != want {
				t.Fatalf("heard %v, %v; want %q", msg, err, want)
			}
		}
	})
}

func TestListsAreBounded(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	d := directory.New(rdb, news)
	for i := range 1001 {
		_, _, err := d.Join(t.Context(), "alice", chat.Room(fmt.Sprintf("@alice:u%d", i)))
		if (err != nil) != (i == 1000) {
			t.Fatalf("join %d: %v", i, err)
		}
	}
	if ttl := rdb.TTL(t.Context(), "chatd:user:{alice}:rooms").Val(); ttl <= 0 {
		t.Fatal("a list lasts for ever")
	}
}

func TestListsOfRooms(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		d := directory.New(rdb, news)
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
		without, err := d.Without(t.Context(), "@alice:bob", "alice", "bob")
		if fmt.Sprint(without) != "[bob]" || err != nil {
			t.Fatal(without, err)
		}
	})
}

func TestReadPositionsOnlyAdvance(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		d := directory.New(rdb, news)
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
	d := directory.New(rdb, news)
	if _, err := d.List(t.Context(), "alice"); !errors.Is(err, chat.ErrUnavailable) {
		t.Fatal(err)
	}
	if _, _, err := d.Join(t.Context(), "alice", "general"); !errors.Is(err, chat.ErrUnavailable) {
		t.Fatal(err)
	}
}
