package room_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"chatd/internal/chat"
	"chatd/internal/chattest"
	"chatd/internal/feed"
	"chatd/internal/room"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An instance is a hub on a real feed and relay, whose ears can be stopped.
type instance struct {
	*room.Hub
	t    *testing.T
	feed *feed.Feed
	rdb  *redis.Client
	drop atomic.Bool  // durable events are not heard
	lost atomic.Int64 // how many were not
	keys atomic.Int64
}

func newInstance(t *testing.T, rdb *redis.Client, name string) *instance {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	f := feed.New(rdb, 10_000)
	relay := feed.NewRelay(rdb, name, log)
	in := &instance{t: t, feed: f, rdb: rdb, Hub: room.NewHub(f, relay, 50, log)}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { relay.Run(ctx, in) })
	t.Cleanup(func() { cancel(); wg.Wait(); in.Hub.Close() })
	return in
}

func (in *instance) Event(name chat.Room, ev chat.Event) {
	if in.drop.Load() {
		in.lost.Add(1)
		return
	}
	in.Hub.Event(name, ev)
}
func (in *instance) Control([]byte) {}
func (in *instance) Regained() <-chan struct{} {
	ready := make(chan struct{})
	close(ready)
	return ready
}

func (in *instance) say(name chat.Room, text string) chat.EventID {
	in.t.Helper()
	r, err := in.feed.Append(context.Background(), feed.Draft{
		Kind: chat.Message, Room: name, From: "alice", Key: fmt.Sprintf("%p-%d", in, in.keys.Add(1)), Text: text,
	})
	if err != nil {
		in.t.Error(err)
	}
	return r.Event
}

// A listener reads one room as a client does.
type listener struct {
	t  *testing.T
	in *instance
	rd *room.Reader

	mu     sync.Mutex
	seen   []wire // of the feed's events, in the order shown
	resets int
	joins  []wire
}

type wire struct {
	Type    string
	Room    string
	Event   chat.EventID
	Prev    chat.EventID
	Text    string
	Resumed bool
	Events  []wire
	Head    chat.EventID
}

// A queue is a reader from which one takes and waits.
type queue struct {
	*room.Reader
	ready chan struct{}
}

func newQueue(user string) *queue {
	q := &queue{ready: make(chan struct{}, 1)}
	q.Reader = room.NewReader(user, func() {
		select {
		case q.ready <- struct{}{}:
		default:
		}
	})
	return q
}

func (q *queue) next() ([][]byte, error) {
	for {
		if batch, err := q.Take(nil); err != nil || len(batch) > 0 {
			return batch, err
		}
		<-q.ready
	}
}

func (in *instance) listen(user string) *listener {
	q := newQueue(user)
	l := &listener{t: in.t, in: in, rd: q.Reader}
	in.Add(l.rd)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			batch, err := q.next()
			if err != nil {
				return
			}
			for _, data := range batch {
				l.take(data)
			}
		}
	}()
	in.t.Cleanup(func() { in.Remove(l.rd); l.rd.Close(errors.New("test ends")); <-done })
	return l
}

func (l *listener) take(data []byte) {
	var w wire
	if err := json.Unmarshal(data, &w); err != nil {
		l.t.Errorf("not JSON: %s", data)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch w.Type {
	case "ok":
		l.joins = append(l.joins, w)
		l.seen = append(l.seen, w.Events...)
	case "reset":
		l.resets++
	default:
		l.seen = append(l.seen, w)
	}
}

func (l *listener) join(name chat.Room, after chat.EventID) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := l.in.Join(ctx, l.rd, name, after, func(r room.Replay) []byte {
		return chat.Encode(chat.Joined{Answer: chat.OK(1), Room: name, Resumed: r.Resumed, Head: r.Head, Events: chat.Raw(r.Events)})
	})
	if err != nil {
		l.t.Error(err)
	}
}

func (l *listener) events() []wire {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]wire(nil), l.seen...)
}

func (l *listener) texts() string {
	var s []string
	for _, w := range l.events() {
		s = append(s, w.Text)
	}
	return strings.Join(s, " ")
}

func (l *listener) want(texts string) {
	l.t.Helper()
	chattest.Eventually(l.t, fmt.Sprintf("%s sees %q", l.rd.User, texts), func() bool { return l.texts() == texts })
}

// unbroken fails the test unless what was shown is one chain ending with last.
func (l *listener) unbroken(last chat.EventID) {
	l.t.Helper()
	chattest.Eventually(l.t, "the newest event arrives", func() bool {
		seen := l.events()
		return len(seen) > 0 && seen[len(seen)-1].Event == last
	})
	seen := l.events()
	for i := 1; i < len(seen); i++ {
		if seen[i].Prev != seen[i-1].Event {
			l.t.Fatalf("%s was shown %s after %s", l.rd.User, seen[i].Event, seen[i-1].Event)
		}
	}
}

func TestJoinBringsTheNewestAndThenAllElse(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		one, two := newInstance(t, rdb, "one"), newInstance(t, rdb, "two")
		for i := range 60 {
			one.say("general", fmt.Sprint(i))
		}
		alice, bob := one.listen("alice"), two.listen("bob")
		alice.join("general", "")
		bob.join("general", "")
		last := two.say("general", "across")
		alice.unbroken(last)
		bob.unbroken(last)
		if n := len(alice.events()); n != 51 {
			t.Fatalf("alice was shown %d events, want the newest 50 and one", n)
		}
		alice.join("empty", "")
		one.say("empty", "first")
		chattest.Eventually(t, "the first event of a room", func() bool { return strings.HasSuffix(alice.texts(), "across first") })
	})
}

// Readers come, resume and go while others talk, and all see one unbroken feed.
func TestJoinAmidTalkLosesNothing(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		in := newInstance(t, rdb, "one")
		start := in.say("general", "start")
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for range 350 { // together less than a resume brings
					in.say("general", "talk")
				}
			})
		}
		var all []*listener
		for i := range 30 {
			l := in.listen(fmt.Sprint("reader", i))
			all = append(all, l)
			l.join("general", start)
			if i%3 == 0 { // it goes and comes back with another reader's queue
				chattest.Eventually(t, "something was shown", func() bool { return len(l.events()) > 0 })
				in.Remove(l.rd)
				again := in.listen(l.rd.User)
				again.join("general", start)
				all[len(all)-1] = again
			}
		}
		wg.Wait()
		last := in.say("general", "end")
		for _, l := range all {
			l.unbroken(last)
			if first := l.events()[0]; first.Prev != start {
				t.Fatalf("%s began with %s after %s", l.rd.User, first.Event, first.Prev)
			}
		}
	})
}

func TestMissedEventsAreFilledBeforeLaterOnes(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		in := newInstance(t, rdb, "one")
		alice := in.listen("alice")
		alice.join("general", "")
		in.say("general", "a")
		alice.want("a")
		in.drop.Store(true)
		in.say("general", "b")
		in.say("general", "c")
		chattest.Eventually(t, "both are lost", func() bool { return in.lost.Load() == 2 })
		in.drop.Store(false)
		alice.unbroken(in.say("general", "d"))
		alice.want("a b c d")
	})
}

// Somebody comes while the roster for a join is looked up.
func TestNewsDuringAJoinFollowsTheAnswer(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	in := newInstance(t, rdb, "one")
	alice := in.listen("alice")
	err := in.Join(t.Context(), alice.rd, "general", "", func(room.Replay) []byte {
		in.Ephemeral("general", []byte(`{"type":"presence","text":"bob"}`))
		return []byte(`{"type":"ok","events":[{"text":"answer"}]}`)
	})
	if err != nil {
		t.Fatal(err)
	}
	alice.want("answer bob")
}

// A client comes from an instance that heard more than this one.
func TestRoomThatIsBehindLooksBeforeItAnswers(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		in := newInstance(t, rdb, "one")
		bob := in.listen("bob")
		bob.join("general", "")
		in.drop.Store(true)
		for i, text := range []string{"where the room knows nothing yet", "where it knows something"} {
			var last chat.EventID
			for range 3 {
				last = in.say("general", text)
			}
			alice := in.listen("alice")
			alice.join("general", last)
			chattest.Eventually(t, "alice has her answer", func() bool {
				alice.mu.Lock()
				defer alice.mu.Unlock()
				return len(alice.joins) == 1
			})
			if got := alice.joins[0]; !got.Resumed || got.Head != last || len(got.Events) > 0 {
				t.Fatalf("round %d: a join after the newest event was answered by %+v", i, got)
			}
			bob.unbroken(last)
		}
	})
}

// A subscription that comes back is a gap, even if nobody says anything more.
func TestResubscriptionIsAGap(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		in := newInstance(t, rdb, "one")
		alice := in.listen("alice")
		alice.join("general", "")
		in.say("general", "a")
		alice.want("a")
		in.drop.Store(true)
		in.say("general", "b")
		chattest.Eventually(t, "b is lost", func() bool { return in.lost.Load() == 1 })
		in.drop.Store(false)
		if alice.texts() != "a" {
			t.Fatalf("alice sees %q already", alice.texts())
		}
		in.Hub.Subscribed("general")
		alice.want("a b")
	})
}

func TestLostDataResetsReaders(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		in := newInstance(t, rdb, "one")
		alice := in.listen("alice")
		alice.join("general", "")
		old := in.say("general", "before")
		alice.want("before")
		rdb.Del(t.Context(), "chatd:{general}:feed")
		in.say("general", "after")
		chattest.Eventually(t, "alice is told to join afresh", func() bool {
			alice.mu.Lock()
			defer alice.mu.Unlock()
			return alice.resets == 1
		})
		alice.join("general", old)
		in.say("general", "more")
		alice.want("before after more")
		if join := alice.joins[1]; join.Resumed {
			t.Fatal("a position of the lost feed was resumed")
		}
	})
}

func TestSlowReaderDoesNotDelayOthers(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	in := newInstance(t, rdb, "one")
	slow := newQueue("slow")
	in.Add(slow.Reader)
	t.Cleanup(func() { in.Remove(slow.Reader) })
	err := in.Join(t.Context(), slow.Reader, "general", "", func(room.Replay) []byte { return []byte(`{"type":"ok"}`) })
	if err != nil {
		t.Fatal(err)
	}
	alice := in.listen("alice")
	alice.join("general", "")
	text := strings.Repeat("x", 60_000)
	for range 20 { // more than a queue holds, alice's too
		alice.unbroken(in.say("general", text))
	}
	alice.unbroken(in.say("general", "end"))
	if n := len(alice.events()); n != 21 {
		t.Fatalf("alice was shown %d events", n)
	}
	for {
		if _, err := slow.next(); err != nil {
			if !errors.Is(err, room.ErrSlow) {
				t.Fatal(err)
			}
			break
		}
	}
}

// Who was too slow missed more than an answer takes, and more than a queue holds, and
// resumes; who missed even more starts afresh.
func TestAResumeComesInParts(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	in := newInstance(t, rdb, "one")
	start := in.say("general", "start")
	text := strings.Repeat("x", 60_000)
	const all = 60 // 3.6 MB
	for range all {
		in.say("general", text)
	}
	alice := in.listen("alice")
	alice.join("general", start)
	alice.unbroken(in.say("general", "live"))
	alice.mu.Lock()
	join := alice.joins[0]
	alice.mu.Unlock()
	if seen := alice.events(); !join.Resumed || len(seen) != all+1 || seen[0].Prev != start {
		t.Fatalf("resumed %v, %d events behind %q", join.Resumed, len(seen), seen[0].Prev)
	}
	if n := len(join.Events); n == 0 || n > 256<<10/len(text) {
		t.Fatalf("%d events are in the answer", n)
	}

	// What one asked for makes one not too slow.
	late := newQueue("late")
	in.Add(late.Reader)
	defer in.Remove(late.Reader)
	if err := in.Join(t.Context(), late.Reader, "general", start, func(room.Replay) []byte { return []byte("{}") }); err != nil {
		t.Fatal(err)
	}
	alice.unbroken(in.say("general", "heard by late too"))
	batch, err := late.next()
	if err != nil || len(batch) < all-len(join.Events) {
		t.Fatalf("%d objects, %v", len(batch), err)
	}

	for range 20 {
		in.say("general", text)
	}
	bob := in.listen("bob")
	bob.join("general", start)
	bob.unbroken(in.say("general", "end"))
	if bob.joins[0].Resumed || len(bob.events()) >= all {
		t.Fatalf("resumed %v, %d events", bob.joins[0].Resumed, len(bob.events()))
	}
}

func TestEphemeraAreShedFirst(t *testing.T) {
	rd := newQueue("alice")
	big := make([]byte, 64<<10)
	for range 9 { // a little more than half of the queue
		rd.Push(big)
	}
	rd.Offer([]byte("typing"))
	rd.Push([]byte("message"))
	batch, err := rd.next()
	if err != nil || len(batch) != 10 || string(batch[9]) != "message" {
		t.Fatalf("%d objects, %v", len(batch), err)
	}
	rd.Offer([]byte("typing"))
	if batch, _ = rd.next(); len(batch) != 1 {
		t.Fatal("nothing needed to be shed")
	}
}

// Redis goes away while a room is opened: the join fails and is to be repeated,
// and the repeat works when Redis is back.
func TestJoinWithoutRedis(t *testing.T) {
	rdb, m := chattest.Embedded(t)
	in := newInstance(t, rdb, "one")
	alice := in.listen("alice")
	alice.join("first", "")
	m.SetError("LOADING")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := in.Join(ctx, alice.rd, "general", "", func(room.Replay) []byte { return nil })
	if !errors.Is(err, chat.ErrUnavailable) {
		t.Fatal(err)
	}
	m.SetError("")
	alice.join("general", "")
	in.say("general", "hello")
	alice.want("hello")
}

func anywhere(context.Context, chat.Room) (bool, error) { return true, nil }

func list(rooms ...chat.Room) func(context.Context) ([]chat.Room, error) {
	return func(context.Context) ([]chat.Room, error) { return rooms, nil }
}

// A join of universe fails in the middle: rooms that were read before are not
// silenced, their reader joins them again.
func TestFailedUniverseLeavesNobodySilent(t *testing.T) {
	rdb, m := chattest.Embedded(t)
	in := newInstance(t, rdb, "one")
	alice := in.listen("alice")
	alice.join("general", "")
	after := in.say("general", "a")
	alice.want("a")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	m.Set("chatd:{broken}:feed", "no stream")
	err := in.JoinUniverse(ctx, alice.rd, list("general", "broken"), anywhere, nil, func([]room.Replay) []byte { return []byte(`{"type":"ok"}`) })
	if err == nil {
		t.Fatal("a room that cannot be read was joined")
	}
	chattest.Eventually(t, "alice is told to join afresh", func() bool {
		alice.mu.Lock()
		defer alice.mu.Unlock()
		return alice.resets == 1
	})
	alice.join("general", after)
	in.say("general", "b")
	alice.want("a b")
}

// What a join of universe brings is bounded, however many rooms there are.
func TestUniverseIsBounded(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	in := newInstance(t, rdb, "one")
	positions := map[chat.Room]chat.EventID{}
	var rooms []chat.Room
	for i := range 20 {
		name := chat.Room(fmt.Sprint("room", i))
		rooms = append(rooms, name)
		positions[name] = in.say(name, "start")
		for range 60 {
			in.say(name, strings.Repeat("x", 4000))
		}
	}
	alice := in.listen("alice")
	var got []room.Replay
	if err := in.JoinUniverse(t.Context(), alice.rd, list(rooms...), anywhere, positions, func(r []room.Replay) []byte { got = r; return []byte("{}") }); err != nil {
		t.Fatal(err)
	}
	size, all, resumed := 0, 0, 0
	for _, r := range got {
		for _, ev := range r.Events {
			size += len(ev.Data)
		}
		if len(r.Events) == 0 {
			t.Fatalf("%s: no events", r.Room)
		}
		if r.Resumed {
			resumed++
			for _, ev := range slices.Concat(r.Events, r.Rest) {
				all += len(ev.Data)
			}
		}
	}
	if size > 256<<10 {
		t.Fatalf("%d bytes in one answer", size)
	}
	// They missed 4.9 MB: what is left for some is for some.
	if all > 4<<20 || resumed < 15 || resumed == len(rooms) {
		t.Fatalf("%d of %d rooms are resumed, with %d bytes", resumed, len(rooms), all)
	}
}

// Of many rooms with long messages, not each brings one: their join would be more than
// an instance has memory for, and as long as anybody likes to make it.
func TestUniverseOfManyRoomsIsBounded(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	in := newInstance(t, rdb, "one")
	var rooms []chat.Room
	heads := map[chat.Room]chat.EventID{}
	for i := range 400 {
		name := chat.Room(fmt.Sprint("room", i))
		rooms = append(rooms, name)
		heads[name] = in.say(name, strings.Repeat("x", 8000))
	}
	rd := newQueue("alice")
	in.Add(rd.Reader)
	defer in.Remove(rd.Reader)
	rd.Push(make([]byte, 600<<10)) // waits already, and is not what makes her too slow
	size, shown := 0, 0
	if err := in.JoinUniverse(t.Context(), rd.Reader, list(rooms...), anywhere, nil, func(replays []room.Replay) []byte {
		for _, r := range replays {
			if r.Head != heads[r.Room] {
				t.Errorf("%s ends at %q", r.Room, r.Head)
			}
			for _, ev := range r.Events {
				size += len(ev.Data)
				shown++
			}
		}
		return make([]byte, size)
	}); err != nil {
		t.Fatal(err)
	}
	if size > 1<<20 || shown < 100 {
		t.Errorf("%d events, %d bytes in one answer", shown, size)
	}
	if batch, err := rd.next(); err != nil || len(batch) != 2 {
		t.Fatalf("%d objects, %v", len(batch), err)
	}
	in.say(rooms[0], "live")
	if batch, err := rd.next(); err != nil || !strings.Contains(string(batch[0]), "live") {
		t.Fatalf("%q, %v", batch, err)
	}
}

func TestUniverseShowsAllPublicRooms(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		in := newInstance(t, rdb, "one")
		first := in.say("one", "a")
		in.say("one", "b")
		in.say("two", "c")
		alice := in.listen("alice")
		alice.join("one", "")
		var got []room.Replay
		err := in.JoinUniverse(t.Context(), alice.rd, list("one", "two"), anywhere, map[chat.Room]chat.EventID{"one": first}, func(r []room.Replay) []byte {
			got = r
			return []byte(`{"type":"ok"}`)
		})
		if err != nil {
			t.Fatal(err)
		}
		if !got[0].Resumed || len(got[0].Events) != 1 || got[1].Resumed || len(got[1].Events) != 1 {
			t.Fatalf("replays %+v", got)
		}
		in.say("one", "d")
		in.say("two", "e")
		in.say("three", "f")
		chattest.Eventually(t, "what is said in her rooms", func() bool { return strings.Contains(alice.texts(), "d") && strings.Contains(alice.texts(), "e") })
		in.Appeared([]chat.Room{"one", "two", "three"})
		chattest.Eventually(t, "a room that was made later", func() bool { return strings.HasSuffix(alice.texts(), "f") })
		in.say("three", "g")
		chattest.Eventually(t, "and what is said in it", func() bool { return strings.HasSuffix(alice.texts(), "f g") })
		if texts := alice.texts(); strings.Count(texts, "d") != 1 || strings.Count(texts, "e") != 1 {
			t.Fatalf("alice sees %q", texts)
		}
		in.LeaveUniverse(alice.rd)
		in.say("two", "h")
		in.say("one", "i")
		chattest.Eventually(t, "the room that she joined by name goes on", func() bool { return strings.HasSuffix(alice.texts(), "g i") })
	})
}

// Thousands who resume and read nothing do not take all memory: beyond a bound of all
// together a resume brings what an answer holds, and when they are gone it is whole again.
func TestResumesOfAllTogetherAreBounded(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	in := newInstance(t, rdb, "one")
	start := in.say("general", "start")
	for range 55 { // 3.3 MB
		in.say("general", strings.Repeat("x", 60_000))
	}
	var deaf []*queue
	resumed := func() bool {
		q := newQueue("deaf")
		in.Add(q.Reader)
		deaf = append(deaf, q)
		var got room.Replay
		if err := in.Join(t.Context(), q.Reader, "general", start, func(r room.Replay) []byte { got = r; return []byte("{}") }); err != nil {
			t.Fatal(err)
		}
		return got.Resumed
	}
	for len(deaf) < 100 {
		resumed()
	}
	for range 20 {
		if resumed() {
			t.Fatalf("the resume of the %dth that reads nothing is whole", len(deaf))
		}
	}
	for _, q := range deaf[:10] {
		for range 2 { // the second look says that the first is sent
			if _, err := q.Take(nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, q := range deaf[10:80] {
		in.Remove(q.Reader)
	}
	if !resumed() {
		t.Error("with those gone, a resume is not whole")
	}
	for _, q := range deaf {
		in.Remove(q.Reader)
	}
}
