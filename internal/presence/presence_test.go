package presence

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"chatd/internal/chat"
	"chatd/internal/chattest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A watcher hears a room's news as its readers do.
type watcher struct {
	mu   sync.Mutex
	news []string
}

func watch(t *testing.T, rdb *redis.Client) *watcher {
	w := &watcher{}
	sub := rdb.Subscribe(t.Context(), "news:general")
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for msg := range sub.Channel() {
			w.mu.Lock()
			w.news = append(w.news, msg.Payload)
			w.mu.Unlock()
		}
	}()
	t.Cleanup(func() { sub.Close(); <-done })
	return w
}

func (w *watcher) heard() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.news, "\n")
}

func (w *watcher) want(t *testing.T, news ...string) {
	t.Helper()
	for i, n := range news {
		user, state, _ := strings.Cut(n, " ")
		news[i] = fmt.Sprintf(`>{"type":"presence","room":"general","user":"%s","state":"%s"}`, user, state)
	}
	want := strings.Join(news, "\n")
	chattest.Eventually(t, "the news is "+want, func() bool { return w.heard() == want })
}

func newPresence(t *testing.T, rdb *redis.Client) *Presence {
	return New(rdb, func(room chat.Room) (string, string) { return "news:" + string(room), ">" }, slog.New(slog.NewTextHandler(t.Output(), nil)))
}

// age lets time pass for the leases in the room.
func age(t *testing.T, rdb *redis.Client, by time.Duration) {
	t.Helper()
	for _, key := range []string{"chatd:{general}:here", "chatd:{general}:awake"} {
		for _, z := range rdb.ZRangeWithScores(t.Context(), key, 0, -1).Val() {
			rdb.ZAdd(t.Context(), key, redis.Z{Score: z.Score - float64(by.Milliseconds()), Member: z.Member})
		}
	}
}

// shown is who is in the room, in brackets who is away.
func shown(r chat.Roster) string {
	names := slices.Clone(r.Here)
	for i, name := range names {
		if slices.Contains(r.Away, name) {
			names[i] = "[" + name + "]"
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func enter(t *testing.T, p *Presence, user, want string) {
	t.Helper()
	roster, err := p.Enter(t.Context(), "general", user, false)
	if got := shown(roster); err != nil || got != want {
		t.Fatalf("%s enters and finds %q, %v; want %q", user, got, err, want)
	}
}

func TestWhoIsHereOnAllInstances(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		one, two, w := newPresence(t, rdb), newPresence(t, rdb), watch(t, rdb)
		enter(t, one, "alice", "alice")
		enter(t, two, "bob", "alice bob")
		enter(t, two, "bob", "alice bob") // a second tab is no news
		w.want(t, "alice here", "bob here")
		two.Leave(t.Context(), "general", "bob", false, false)
		two.Leave(t.Context(), "general", "bob", false, true)
		w.want(t, "alice here", "bob here", "bob gone")
	})
}

// Somebody who hops from one instance to another is never shown as gone.
func TestHoppingIsNoNews(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		one, two, w := newPresence(t, rdb), newPresence(t, rdb), watch(t, rdb)
		enter(t, one, "alice", "alice")
		enter(t, two, "bob", "alice bob")
		one.Leave(t.Context(), "general", "alice", false, false)
		age(t, rdb, extendEvery)
		two.extend(t.Context())
		enter(t, two, "alice", "alice bob")
		age(t, rdb, grace-extendEvery+time.Second)
		two.extend(t.Context())
		w.want(t, "alice here", "bob here")
	})
}

// Two instances hold one person: one lets go, and the other's hold lasts.
func TestOneOfTwoHoldersLeaves(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		one, two, w := newPresence(t, rdb), newPresence(t, rdb), watch(t, rdb)
		enter(t, one, "alice", "alice")
		enter(t, two, "alice", "alice")
		one.Leave(t.Context(), "general", "alice", false, false)
		age(t, rdb, extendEvery) // the longest that two waits
		two.extend(t.Context())
		age(t, rdb, extendEvery)
		enter(t, one, "bob", "alice bob")
		w.want(t, "alice here", "bob here")
	})
}

// The people of an instance that died fade with their leases, told once.
func TestDeadInstancesLeaveNoGhosts(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		dead, one, two, w := newPresence(t, rdb), newPresence(t, rdb), newPresence(t, rdb), watch(t, rdb)
		enter(t, dead, "ghost", "ghost")
		enter(t, one, "alice", "alice ghost")
		enter(t, two, "bob", "alice bob ghost")
		age(t, rdb, lease-extendEvery)
		one.extend(t.Context())
		two.extend(t.Context())
		age(t, rdb, extendEvery+time.Second)
		one.extend(t.Context())
		two.extend(t.Context())
		w.want(t, "ghost here", "alice here", "bob here", "ghost gone")
		enter(t, one, "alice", "alice bob")
	})
}

// Who is away with all connections, on all instances, is shown as away; who is back
// with one is back at once; and nobody is shown as gone meanwhile.
func TestAwayIsWhoIsSoEverywhere(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		one, two, w := newPresence(t, rdb), newPresence(t, rdb), watch(t, rdb)
		rounds := func(n int) {
			t.Helper()
			for range n {
				age(t, rdb, extendEvery)
				one.extend(t.Context())
				two.extend(t.Context())
			}
		}
		away := func(p *Presence, away bool) {
			t.Helper()
			if err := p.Away(t.Context(), "general", "alice", away); err != nil {
				t.Fatal(err)
			}
		}
		enter(t, one, "alice", "alice")
		enter(t, one, "alice", "alice")
		enter(t, two, "alice", "alice")
		enter(t, two, "bob", "alice bob")
		want := []string{"alice here", "bob here"}
		away(one, true)
		rounds(5)
		away(one, true)
		rounds(5)
		w.want(t, slices.Clone(want)...) // she is awake at two
		away(two, true)
		rounds(2)
		want = append(want, "alice away")
		w.want(t, slices.Clone(want)...)
		enter(t, two, "bob", "[alice] bob")
		rounds(5)
		away(one, false)
		want = append(want, "alice here")
		w.want(t, slices.Clone(want)...)
		// The connection that is awake ends, the others stay.
		one.Leave(t.Context(), "general", "alice", false, false)
		rounds(2)
		want = append(want, "alice away")
		w.want(t, slices.Clone(want)...)
		// Who is away and moves stays so.
		one.Leave(t.Context(), "general", "alice", true, false)
		two.Leave(t.Context(), "general", "alice", true, false)
		if _, err := one.Enter(t.Context(), "general", "alice", true); err != nil {
			t.Fatal(err)
		}
		rounds(5)
		w.want(t, slices.Clone(want)...)
		one.Leave(t.Context(), "general", "alice", true, false)
		rounds(2)
		w.want(t, append(want, "alice gone")...)
		enter(t, two, "bob", "bob")
	})
}

// Whoever comes while away was never here.
func TestWhoComesAwayIsAway(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		p, w := newPresence(t, rdb), watch(t, rdb)
		roster, err := p.Enter(t.Context(), "general", "-alice", true)
		if err != nil || shown(roster) != "[-alice]" {
			t.Fatalf("%v, %v", roster, err)
		}
		p.Leave(t.Context(), "general", "-alice", true, true)
		w.want(t, "-alice away", "-alice gone")
	})
}

func TestRunExtendsUntilItsContextEnds(t *testing.T) {
	rdb, m := chattest.Embedded(t)
	p := newPresence(t, rdb)
	m.SetError("LOADING")
	if _, err := p.Enter(t.Context(), "general", "alice", false); err == nil {
		t.Fatal("no error without Redis")
	}
	m.SetError("")
	p.extend(t.Context()) // what could not be told is told with the next lease
	if n := rdb.ZCard(t.Context(), "chatd:{general}:here").Val(); n != 1 {
		t.Fatalf("%d leases", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.Run(ctx)
}

// trips counts a client's round trips.
type trips struct{ n int }

func (c *trips) DialHook(next redis.DialHook) redis.DialHook { return next }
func (c *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { c.n++; return next(ctx, cmd) }
}
func (c *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { c.n++; return next(ctx, cmds) }
}

// Names of strangers may be in tens of thousands of rooms: everybody's leases are
// extended all the same, in time.
func TestManyRoomsTakeFewRoundTrips(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		p := newPresence(t, rdb)
		const rooms = 2*extendAtOnce + 1
		for n := range rooms {
			if _, err := p.Enter(t.Context(), chat.Room(fmt.Sprint("r", n)), "alice", false); err != nil {
				t.Fatal(err)
			}
		}
		rdb.ScriptFlush(t.Context()) // as behind a failover
		for n := range rooms {
			rdb.Del(t.Context(), chat.Room(fmt.Sprint("r", n)).Key("here"))
		}
		count := &trips{}
		rdb.AddHook(count)
		p.extend(t.Context())
		if count.n > 10 { // three, a second try behind loading the script, and what a new connection says
			t.Errorf("%d rooms took %d round trips", rooms, count.n)
		}
		for n := range rooms {
			if here := rdb.ZCard(t.Context(), chat.Room(fmt.Sprint("r", n)).Key("here")).Val(); here != 1 {
				t.Fatalf("%d leases in r%d", here, n)
			}
		}
	})
}
