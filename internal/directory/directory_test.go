package directory_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"chatd/internal/audit"
	"chatd/internal/chat"
	"chatd/internal/chattest"
	"chatd/internal/directory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type news struct{}

func (news) Channel() string            { return "control" }
func (news) Made(room chat.Room) []byte { return []byte("made " + room) }
func (news) Read(user string, room chat.Room, mark chat.Mark) []byte {
	return fmt.Appendf(nil, "%s has read %s to %s, %d", user, room, mark.Event, mark.Back)
}

func (news) Topic(room chat.Room) (string, string) { return "topic of " + string(room), ">" }

func newDirectory(rdb *redis.Client) *directory.Directory {
	return directory.New(rdb, news{}, audit.New(rdb, 1000))
}

func as(user string) chat.Actor { return chat.Actor{Name: user} }

func TestMadeRoomsAreToldOnce(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		d := newDirectory(rdb)
		sub := rdb.Subscribe(t.Context(), "control")
		defer sub.Close()
		if _, err := sub.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, room := range []chat.Room{"tea", "tea", "@alice:bob", "cake"} {
			if _, err := d.Join(t.Context(), as("alice"), room); err != nil {
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
	d := newDirectory(rdb)
	for i := range 1001 {
		_, err := d.Join(t.Context(), as("alice"), chat.Room(fmt.Sprintf("@alice:u%d", i)))
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
		d := newDirectory(rdb)
		join := func(user string, room chat.Room, wantMade, wantListed bool) {
			t.Helper()
			got, err := d.Join(t.Context(), as(user), room)
			if err != nil || got.Made != wantMade || got.Listed != wantListed {
				t.Fatalf("%s joins %s: %+v, %v", user, room, got, err)
			}
		}
		want := func(user, want string) {
			t.Helper()
			rooms, err := d.List(t.Context(), as(user))
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

// Marks come late, repeatedly and in any order: of those told so far the latest counts,
// and each that counts is told once.
func TestReadPositionsOnlyAdvance(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		d := newDirectory(rdb)
		if _, err := d.Join(t.Context(), as("alice"), "general"); err != nil {
			t.Fatal(err)
		}
		sub := rdb.Subscribe(t.Context(), "control")
		defer sub.Close()
		if _, err := sub.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct{ tell, want chat.Mark }{
			{chat.Mark{Event: "9-100"}, chat.Mark{Event: "9-100"}},
			{chat.Mark{Event: "10-50"}, chat.Mark{Event: "10-50"}},
			{chat.Mark{Event: "10-50"}, chat.Mark{Event: "10-50"}},
			{chat.Mark{Event: "9-900"}, chat.Mark{Event: "10-50"}},
			{chat.Mark{Event: "2-1", Back: 1}, chat.Mark{Event: "2-1", Back: 1}}, // marked as unread
			{chat.Mark{Event: "11-1"}, chat.Mark{Event: "2-1", Back: 1}},         // by a device that has not heard of it
			{chat.Mark{Event: "11-1", Back: 1}, chat.Mark{Event: "11-1", Back: 1}},
			{chat.Mark{Event: "2-1", Back: 1}, chat.Mark{Event: "11-1", Back: 1}}, // repeated late
			{chat.Mark{Back: 12}, chat.Mark{Back: 12}},                            // all of it is unread
			{chat.Mark{Event: "1-1", Back: 12}, chat.Mark{Event: "1-1", Back: 12}},
		} {
			before, err := d.List(t.Context(), as("alice"))
			if err != nil {
				t.Fatal(err)
			}
			was := chat.Mark{Event: before[0].Read, Back: before[0].ReadBack}
			now, err := d.MarkRead(t.Context(), "alice", "general", step.tell)
			if err != nil || now != step.want {
				t.Fatalf("after %v it is %v, %v; want %v", step.tell, now, err, step.want)
			}
			rooms, err := d.List(t.Context(), as("alice"))
			if err != nil || rooms[0].MarkInfo != step.want.Info() {
				t.Fatalf("after %v it is listed as %+v, %v", step.tell, rooms, err)
			}
			if was == now {
				continue
			}
			msg, err := sub.ReceiveMessage(t.Context())
			if want := fmt.Sprintf("alice has read general to %s, %d", now.Event, now.Back); err != nil || msg.Payload != want {
				t.Fatalf("heard %v, %v; want %q", msg, err, want)
			}
		}
		if n := rdb.Publish(t.Context(), "control", "end").Val(); n != 1 {
			t.Fatal("nobody listens")
		}
		if msg, err := sub.ReceiveMessage(t.Context()); err != nil || msg.Payload != "end" {
			t.Fatalf("heard %v, %v; want no more", msg, err)
		}
	})
}

// Rooms are found by their names and topics, those with most members first.
func TestRoomsAreFound(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		d := newDirectory(rdb)
		sub := rdb.Subscribe(t.Context(), "topic of tea")
		defer sub.Close()
		if _, err := sub.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := func(query, want string) {
			t.Helper()
			found, more, err := d.Find(t.Context(), as("alice"), query)
			got := ""
			for _, r := range found {
				got += fmt.Sprintf("%s %v %q %d|", r.Room, r.Joined, r.Topic, r.Members)
			}
			if err != nil || more || got != want {
				t.Fatalf("%q finds %q, %v, %v; want %q", query, got, more, err, want)
			}
		}
		want("", "")
		for _, join := range []struct {
			user string
			room chat.Room
		}{{"alice", "tea"}, {"bob", "tea"}, {"bob", "tea"}, {"bob", "cake"}, {"bob", "apple"}, {"alice", "@alice:bob"}} {
			if _, err := d.Join(t.Context(), as(join.user), join.room); err != nil {
				t.Fatal(err)
			}
		}
		var at [2]int64
		for i, topic := range []string{"Drinks", `"Leaves" & Ärger`} {
			if err := d.SetTopic(t.Context(), as("bob"), "tea", topic); err != nil {
				t.Fatal(err)
			}
			rooms, err := d.List(t.Context(), as("alice"))
			if err != nil || rooms[len(rooms)-1].Topic != topic {
				t.Fatalf("%+v, %v", rooms, err)
			}
			at[i] = rooms[len(rooms)-1].TopicAt
			msg, err := sub.ReceiveMessage(t.Context())
			if want := fmt.Sprintf(`>{"type":"topic","room":"tea","topic":%s,"topic_at":%d,"from":"bob"}`, chat.Encode(topic), at[i]); err != nil || msg.Payload != want {
				t.Fatalf("heard %v, %v; want %s", msg, err, want)
			}
		}
		if at[1] <= at[0] {
			t.Fatalf("the later topic is of %d, the former of %d", at[1], at[0])
		}
		tea, cake, apple := `tea true "\"Leaves\" & Ärger" 2|`, `cake false "" 1|`, `apple false "" 1|`
		want("", tea+apple+cake)
		want("A", tea+apple+cake)
		want("ärger TE", tea)
		want("drinks", "")
		if err := d.Leave(t.Context(), "bob", "cake"); err != nil {
			t.Fatal(err)
		}
		want("cake", `cake false "" 0|`)
	})
}

func TestMutedRooms(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		d := newDirectory(rdb)
		if _, err := d.Join(t.Context(), as("alice"), "tea"); err != nil {
			t.Fatal(err)
		}
		for _, mute := range []bool{true, true, false} {
			if err := d.Mute(t.Context(), "alice", "tea", mute); err != nil {
				t.Fatal(err)
			}
			for _, user := range []string{"alice", "bob"} {
				rooms, err := d.List(t.Context(), as(user))
				if err != nil || rooms[0].Muted != (mute && user == "alice") {
					t.Fatalf("%+v, %v", rooms, err)
				}
			}
		}
	})
}

func TestWithoutRedisNothingIsKnown(t *testing.T) {
	rdb, m := chattest.Embedded(t)
	m.SetError("LOADING")
	d := newDirectory(rdb)
	if _, err := d.List(t.Context(), as("alice")); !errors.Is(err, chat.ErrUnavailable) {
		t.Fatal(err)
	}
	if _, err := d.Join(t.Context(), as("alice"), "general"); !errors.Is(err, chat.ErrUnavailable) {
		t.Fatal(err)
	}
}
