//go:build integration

package integration_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chatd/internal/chat"
	"chatd/internal/client"
	"chatd/internal/cluster"
)

// TestRedisFaults takes Redis away, empties it, and brings it back older than it was.
// The parts that lose data come last.
func TestRedisFaults(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, "CHATD_SEND_RATE=1000")
	for _, part := range []part{
		{"HangsAndGoesOn", testRedisHangs},
		{"IsKilledAndComesBackWithItsFile", testRedisKilled},
		{"IsNotThereWhenAnInstanceStarts", testStartWithoutRedis},
		{"RefusesOneAppendOfABurst", testBurst},
		{"DiesInABurst", testBurstCutShort},
		{"KeysOutliveARestart", testKeysOutliveRestart},
		{"ComesBackOlder", testRedisOlder},
		{"IsFlushed", testRedisFlushed},
		{"ComesBackEmpty", testRedisEmpty},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.run(t, c) }) {
			return
		}
	}
}

func testRedisHangs(t *testing.T, c *cluster.Cluster) {
	redisAway(t, c, "rh", 8*time.Second, c.Redis.Pause, c.Redis.Resume)
}

func testRedisKilled(t *testing.T, c *cluster.Cluster) {
	redisAway(t, c, "rk", 3*time.Second, c.Redis.Kill, func() {
		if err := c.Redis.Start(within(t, 20*time.Second)); err != nil {
			t.Fatal(err)
		}
	})
}

// redisAway takes Redis away for some time while people talk: their sockets stay, what
// they send is put off and kept later, in order, and nobody is logged out.
func redisAway(t *testing.T, c *cluster.Cluster, name string, long time.Duration, away, back func()) {
	talk := startTalk(t, c, name)
	room := talk.rooms[0]
	i := c.Instances()[0]
	tab := guest(t, c.URL(), name+"-tab")
	alice := guest(t, i.URL(), name+"-alice").connect(t)
	alice.ok("join", fields{"room": room})
	traveller := guest(t, i.URL(), name+"-traveller")
	left := traveller.connect(t)
	left.ok("join", fields{"room": room})
	had := left.event(room)["event"].(string)
	left.ws.CloseNow()

	away()
	began := time.Now()
	putOff := alice.answer(alice.request("send", fields{"room": room, "key": "away", "text": "said while Redis is away"}))
	if putOff["code"] != "unavailable" || putOff["retry_after_ms"] == nil {
		t.Errorf("a send without Redis is answered %v", putOff)
	}
	answered := time.Since(began)
	if answered > 6*time.Second {
		t.Errorf("a send without Redis was answered after %v", answered)
	}
	if a := tab.get(t, "/"); a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("the page without Redis is %d to %q, Retry-After %q", a.status, a.header.Get("Location"), a.header.Get("Retry-After"))
	}
	if _, status, err := traveller.shake(t, traveller.origin()); status != 503 {
		t.Errorf("a handshake without Redis is answered %d (%v)", status, err)
	}
	for _, p := range talk.people {
		p.await("something waits", func() bool { return p.Queued() > 0 })
	}
	lasts(t, time.Until(began.Add(long)))
	kept := talk.sum(func(p *chatter) int { return len(p.kept) })
	queued := talk.sum(func(p *chatter) int { return p.Queued() })
	closed := talk.sum(func(p *chatter) int { return p.closed })
	back()

	there := time.Now()
	for _, p := range talk.people {
		said := len(p.allSaid())
		p.await("what waited is confirmed", func() bool { return len(p.kept) >= said })
	}
	caughtUp := time.Since(there)
	if caughtUp > 5*time.Second {
		t.Errorf("what waited was confirmed %v after Redis came back", caughtUp)
	}
	if queued == 0 {
		t.Error("nothing waited: the fault did not bite")
	}
	if closed > 0 {
		t.Errorf("%d sockets were closed while Redis was away", closed)
	}

	// The raw socket is still the same one. What it repeats is said once.
	again := alice.ok("send", fields{"room": room, "key": "away", "text": "said while Redis is away"})
	event := alice.until("its own message", func(o map[string]any) bool { return o["key"] == "away" && o["type"] == "message" })
	if event["event"] != again["event"] {
		t.Errorf("confirmed as %v, heard as %v", again["event"], event["event"])
	}
	eventually(t, 10*time.Second, "the page of somebody without a socket", func() bool {
		a := tab.get(t, "/")
		if a.status != 200 && a.status != 503 {
			t.Fatalf("the page is %d to %q", a.status, a.header.Get("Location"))
		}
		return a.status == 200
	})
	resumed := traveller.connect(t).ok("join", fields{"room": room, "after": had})
	if resumed["resumed"] != true || len(resumed["events"].([]any)) == 0 {
		t.Errorf("a resume behind %s after Redis came back: resumed %v, %d events", had, resumed["resumed"], len(resumed["events"].([]any)))
	}
	wantChain(t, resumed["events"], had)

	// Who judges knows only people with clients.
	talk.people = append(talk.people, confirmed(t, c, room, name+"-alice", "away", "said while Redis is away", again["event"].(string)))
	t.Logf("away for %v: a send was answered after %v, %d messages waited at the end, all were confirmed %v after it came back; %d confirmed before",
		long, answered.Round(time.Millisecond), queued, caughtUp.Round(time.Millisecond), kept)
	talk.stop()
	talk.wg.Wait()
	judge(t, c.URL(), talk.rooms[:1], talk.people...)
	judge(t, c.URL(), talk.rooms[1:], talk.people[:len(talk.people)-1]...)
	for _, p := range talk.people {
		p.mu.Lock()
		if p.out != nil || p.ended != nil || p.jumps > 0 || p.closed > 0 {
			t.Errorf("%s: out %v (%v), %d jumps, %d sockets lost", p.User(), p.out, p.ended, p.jumps, p.closed)
		}
		p.mu.Unlock()
	}
}

// confirmed is a chatter who came to the room after a raw socket of the same name had
// said this there.
func confirmed(t *testing.T, c *cluster.Cluster, room, name, key, text, event string) *chatter {
	t.Helper()
	p := enter(t, c.URL(), name, client.Options{}, room)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said = append(p.said, said{key, room, text})
	p.kept[key] = client.Confirmed{Key: key, Room: room, Event: chat.EventID(event), Seq: chat.EventID(event).Seq()}
	return p
}

func (p *chatter) allSaid() []said {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.said)
}

// Instances started while there is no Redis wait for it, and say so.
func testStartWithoutRedis(t *testing.T, c *cluster.Cluster) {
	const room = "sw-room"
	i := c.Instances()[0]
	alice := enter(t, c.Instances()[1].URL(), "sw-alice", client.Options{}, room)
	i.Kill()
	c.Redis.Kill()
	started := make(chan error, 1)
	go func() { started <- i.Start(within(t, 40*time.Second)) }()
	probe := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	status := func(path string) int {
		resp, err := probe.Get(i.URL() + path)
		if err != nil {
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	eventually(t, 10*time.Second, "the instance answers", func() bool { return status("/livez") == 200 })
	began := time.Now()
	for time.Since(began) < 4*time.Second { // longer than anything in it waits
		if live, ready := status("/livez"), status("/readyz"); live != 200 || ready != 503 {
			t.Fatalf("without Redis it says %d on /livez and %d on /readyz", live, ready)
		}
		lasts(t, 100*time.Millisecond)
	}
	if a := visitor(t, i.URL()).ask(t, "POST", "/login", url.Values{"username": {"sw-carol"}}, nil); a.status != 503 {
		t.Errorf("a login there is answered %d", a.status)
	}
	select {
	case err := <-started:
		t.Fatalf("it was ready without Redis, or ended: %v", err)
	default:
	}
	if err := c.Redis.Start(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	there := time.Now()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	ready := time.Since(there)
	if ready > 4*time.Second {
		t.Errorf("it was ready %v after Redis", ready)
	}
	bob := enter(t, i.URL(), "sw-bob", client.Options{}, room)
	alice.say(room, "to bob")
	bob.say(room, "to alice")
	judge(t, c.URL(), []string{room}, alice, bob)
	t.Logf("ready %v after Redis", ready.Round(time.Millisecond))
}

// burst sends messages of these numbers in one frame, without waiting, and returns the
// answers in their order.
func burst(w *wire, room string, from, to int) (answers []map[string]any) {
	w.t.Helper()
	var lines, ids = []string{}, []int{}
	for n := from; n <= to; n++ {
		w.id++
		ids = append(ids, w.id)
		lines = append(lines, fmt.Sprintf(`{"type":"send","id":%d,"room":%q,"key":"burst-%d","text":"burst %d"}`, w.id, room, n, n))
	}
	w.say(strings.Join(lines, "\n"))
	for _, id := range ids {
		answers = append(answers, w.answer(id))
	}
	return answers
}

// stalledFrom checks that answers are ok up to one, from which on all are
// "unavailable", and returns its index: len(answers) where all are ok.
func stalledFrom(t *testing.T, answers []map[string]any) int {
	t.Helper()
	first := slices.IndexFunc(answers, func(a map[string]any) bool { return a["type"] != "ok" })
	if first == -1 {
		return len(answers)
	}
	for n, a := range answers[first:] {
		if a["code"] != "unavailable" || a["retry_after_ms"] == nil {
			t.Errorf("answer %d, and the first error was %d: %v", first+n, first, a)
		}
	}
	return first
}

func wantBurst(t *testing.T, w *wire, room string, n int) {
	t.Helper()
	var want []string
	for n := range n {
		want = append(want, fmt.Sprint("burst ", n))
	}
	wantTexts(t, w.ok("history", fields{"room": room, "limit": 200})["events"], want...)
}

// One append in the middle of a burst fails, and Redis is well for those behind it:
// they must not overtake it.
func testBurst(t *testing.T, c *cluster.Cluster) {
	const room, size, bad = "bu-room", 20, 9
	alice := guest(t, c.Instances()[0].URL(), "bu-alice").connect(t)
	alice.ok("join", fields{"room": room})
	r := rdb(t, c)
	// What is under this key is no text: the script fails where it reads it.
	poison := "chatd:{" + room + "}:key:bu-alice:burst-9"
	if err := r.RPush(t.Context(), poison, "x").Err(); err != nil {
		t.Fatal(err)
	}
	if at := stalledFrom(t, burst(alice, room, 0, size-1)); at != bad {
		t.Fatalf("the answers are ok up to %d, want up to %d", at, bad)
	}
	wantBurst(t, alice, room, bad)
	// The poison gone, what comes without the failed one is still refused.
	if err := r.Del(t.Context(), poison).Err(); err != nil {
		t.Fatal(err)
	}
	if at := stalledFrom(t, burst(alice, room, bad+1, size-1)); at != 0 {
		t.Fatalf("%d messages passed the one that failed", at)
	}
	if at := stalledFrom(t, burst(alice, room, bad, size-1)); at != size-bad {
		t.Fatalf("repeated from the failed one on, answer %d is an error", at)
	}
	wantBurst(t, alice, room, size)
	t.Logf("of %d sends in a row the %dth failed, and none behind it passed", size, bad+1)
}

// Redis dies somewhere in a burst.
func testBurstCutShort(t *testing.T, c *cluster.Cluster) {
	const room, size = "bc-room", 150
	alice := guest(t, c.Instances()[0].URL(), "bc-alice").connect(t)
	bob := guest(t, c.Instances()[1].URL(), "bc-bob").connect(t)
	alice.ok("join", fields{"room": room})
	bob.ok("join", fields{"room": room})
	var wg sync.WaitGroup
	defer wg.Wait() // however it ends: nobody asks on behind it
	wg.Go(func() {
		bob.event(room) // some are kept
		c.Redis.Kill()
	})
	at := stalledFrom(t, burst(alice, room, 0, size-1))
	wg.Wait()
	if at == size {
		t.Fatalf("Redis died, and all %d were confirmed: the kill did not bite", size)
	}
	if err := c.Redis.Start(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	rounds, next := 0, at
	for next < size {
		rounds++
		next += stalledFrom(t, burst(alice, room, next, size-1))
	}
	wantBurst(t, alice, room, size)
	for n := 1; n < size; n++ {
		if ev := bob.event(room); ev["text"] != fmt.Sprint("burst ", n) {
			t.Fatalf("bob hears %v at place %d", ev["text"], n)
		}
	}
	t.Logf("Redis died after %d of %d sends in a row, all are there in order after %d repeats", at, size, rounds)
}

// The same key through two instances at the same moment makes one event, and the same
// one after a restart of Redis with its file.
func testKeysOutliveRestart(t *testing.T, c *cluster.Cluster) {
	const room, keys = "ko-room", 50
	sockets := []*wire{guest(t, c.Instances()[0].URL(), "ko-alice").connect(t), guest(t, c.Instances()[1].URL(), "ko-alice").connect(t)}
	message := func(n int) fields {
		return fields{"room": room, "key": fmt.Sprint("key-", n), "text": fmt.Sprint("text ", n)}
	}
	events := make([]any, keys)
	firsts := [2]int{}
	both := func(n int) (answers [2]map[string]any) {
		var wg sync.WaitGroup
		for s, w := range sockets {
			wg.Go(func() { answers[s] = w.ok("send", message(n)) })
		}
		wg.Wait()
		if t.Failed() {
			t.FailNow()
		}
		return answers
	}
	for n := range keys {
		a := both(n)
		if a[0]["event"] != a[1]["event"] || a[0]["duplicate"] == a[1]["duplicate"] {
			t.Fatalf("key %d made %v and %v", n, a[0], a[1])
		}
		events[n] = a[0]["event"]
		if a[1]["duplicate"] == true {
			firsts[0]++
		} else {
			firsts[1]++
		}
	}
	c.Redis.Kill()
	if err := c.Redis.Start(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	for _, w := range sockets { // until their instance has Redis again
		eventually(t, 10*time.Second, "an instance has Redis again", func() bool { return w.answer(w.request("rooms", nil))["type"] == "ok" })
	}
	for n := range keys {
		for s, a := range both(n) {
			if a["event"] != events[n] || a["duplicate"] != true {
				t.Fatalf("after the restart key %d through socket %d is answered %v, want %v again", n, s, a, events[n])
			}
		}
	}
	sockets[1].refused("key_reused", "send", fields{"room": room, "key": "key-3", "text": "another"})
	other := guest(t, c.Instances()[2].URL(), "ko-bob").connect(t).ok("send", message(3))
	if other["duplicate"] != false || other["seq"] != float64(keys+1) {
		t.Errorf("another's key is answered %v", other)
	}
	if got := texts(sockets[0].ok("history", fields{"room": room, "limit": 200})["events"]); len(got) != keys+1 {
		t.Errorf("the feed has %d events, want %d", len(got), keys+1)
	}
	t.Logf("%d keys, each through two instances at once: %d came first here, %d there, and each is one event, also after the restart", keys, firsts[0], firsts[1])
}

// wantOneFeed waits until all these people see the same end of room, and compares their
// views with what a fresh login reads. Views may begin later than the feed.
func wantOneFeed(t *testing.T, base, room string, people ...*chatter) []client.Event {
	t.Helper()
	truth := pages(t, enter(t, base, "fresh-"+room, client.Options{}), room)
	if len(truth) == 0 {
		t.Fatalf("room %s is empty", room)
	}
	end := truth[len(truth)-1].ID
	for _, p := range people {
		p.await("sees the end of "+room, func() bool {
			view := p.views[room]
			return len(view) > 0 && view[len(view)-1].ID == end
		})
		p.mu.Lock()
		view := p.views[room]
		p.mu.Unlock()
		if n := len(truth) - len(view); n < 0 || !slices.EqualFunc(truth[n:], view, sameEvent) {
			t.Errorf("%s: %s saw another feed:\n  %v\nthan there is:\n  %v", room, p.User(), eventIDs(view), eventIDs(truth))
		}
	}
	return truth
}

// wantAllOf checks that truth has what p said from their nth message on, each once, in
// order.
func wantAllOf(t *testing.T, truth []client.Event, p *chatter, from int) {
	t.Helper()
	var want, got []string
	for _, s := range p.allSaid()[from:] {
		want = append(want, s.key)
	}
	for _, ev := range truth {
		if ev.From == p.User() && slices.Contains(want, ev.Key) {
			got = append(got, ev.Key)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s said %d messages after the fault, and the feed has %d of them, or in another order", p.User(), len(want), len(got))
	}
}

func wantKept(people ...*chatter) {
	for _, p := range people {
		p.await("all is confirmed", func() bool { return len(p.kept)+len(p.refused) == len(p.said) })
	}
}

func copyDir(t *testing.T, to, from string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// Redis comes back as it was some time ago, as from a backup: what was said since is
// gone, and each place of it is given out anew, to other messages.
func testRedisOlder(t *testing.T, c *cluster.Cluster) {
	const room = "ol-room"
	people := []*chatter{
		enter(t, c.Instances()[0].URL(), "ol-alice", client.Options{}, room),
		enter(t, c.Instances()[1].URL(), "ol-bob", client.Options{}, room),
	}
	talk := func(n int, what string) {
		for n := range n {
			for _, p := range people {
				p.say(room, fmt.Sprint(what, " ", n))
			}
		}
		wantKept(people...)
	}
	reader := guest(t, c.Instances()[2].URL(), "ol-cathy")
	data, copied := filepath.Join(c.RedisDir(), "appendonlydir"), filepath.Join(t.TempDir(), "copy")

	talk(10, "common")
	copyDir(t, copied, data)
	common := wantOneFeed(t, c.URL(), room, people...)
	talk(10, "lost")
	old := wantOneFeed(t, c.URL(), room, people...)
	c.Redis.Kill()
	copyDir(t, data, copied)
	from := len(people[0].allSaid())
	for n := range 5 { // what waits meanwhile takes the places of what is lost
		for _, p := range people {
			p.say(room, fmt.Sprint("new ", n))
		}
	}
	if err := c.Redis.Start(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	wantKept(people...)
	flowing := time.Since(began)
	talk(10, "newer")

	truth := wantOneFeed(t, c.URL(), room, people...)
	if len(truth) != len(common)+2*15 {
		t.Errorf("the feed has %d events, want %d", len(truth), len(common)+2*15)
	}
	gaps := 0
	for _, p := range people {
		wantAllOf(t, truth, p, from)
		p.mu.Lock()
		if p.out != nil || p.ended != nil || p.closed > 0 {
			t.Errorf("%s: out %v (%v), %d sockets lost", p.User(), p.out, p.ended, p.closed)
		}
		if p.jumps == 0 {
			t.Errorf("%s saw no jump where Redis lost what they had seen", p.User())
		}
		gaps += p.jumps
		p.mu.Unlock()
	}
	// Each position of then: common ones go on, lost ones do not, whatever stands in
	// their place now.
	w := reader.connect(t)
	for n, ev := range old {
		a := w.ok("join", fields{"room": room, "after": string(ev.ID)})
		events := a["events"].([]any)
		if n < len(common) {
			if a["resumed"] != true || len(events) != len(truth)-n-1 {
				t.Errorf("after the common event %d: resumed %v with %d events", n+1, a["resumed"], len(events))
			}
			wantChain(t, events, string(ev.ID))
		} else if a["resumed"] != false || len(events) == 0 || events[len(events)-1].(map[string]any)["event"] != string(truth[len(truth)-1].ID) {
			t.Errorf("after the lost event %d: resumed %v with %d events", n+1, a["resumed"], len(events))
		}
	}
	t.Logf("%d events lost with Redis's data, %d jumps shown; what waited was confirmed %v after it came back", len(old)-len(common), gaps, flowing.Round(time.Millisecond))
}

func testRedisFlushed(t *testing.T, c *cluster.Cluster) {
	redisForgets(t, c, "fl", 25*time.Second, func() {
		if err := rdb(t, c).FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	})
}

func testRedisEmpty(t *testing.T, c *cluster.Cluster) {
	redisForgets(t, c, "em", 10*time.Second, func() {
		c.Redis.Kill()
		if err := os.RemoveAll(filepath.Join(c.RedisDir(), "appendonlydir")); err != nil {
			t.Fatal(err)
		}
		if err := c.Redis.Start(within(t, 20*time.Second)); err != nil {
			t.Fatal(err)
		}
	})
}

// redisForgets lets Redis lose all it has: everybody has to log in again, and is then
// shown what is said from there on, though it has the places of what was said before.
func redisForgets(t *testing.T, c *cluster.Cluster, name string, atMost time.Duration, forget func()) {
	room := name + "-room"
	people := []*chatter{
		enter(t, c.Instances()[0].URL(), name+"-alice", client.Options{}, room),
		enter(t, c.Instances()[1].URL(), name+"-bob", client.Options{}, room),
		enter(t, c.URL(), name+"-cathy", client.Options{}, room),
	}
	raw := guest(t, c.Instances()[0].URL(), name+"-dave")
	w := raw.connect(t)
	for n := range 8 {
		for _, p := range people {
			p.say(room, fmt.Sprint("before ", n))
		}
	}
	old := len(people) * 8
	wantKept(people...)
	had := wantOneFeed(t, c.URL(), room, people...)[old-1]
	forget()
	began := time.Now()
	for _, p := range people {
		p.await("has to log in again", func() bool { return p.out != nil })
	}
	code := w.end()
	out := time.Since(began)
	if code != chat.CloseLoggedOut || out > atMost {
		t.Errorf("closed with %d after %v, want 4401 within %v", code, out, atMost)
	}
	if a := raw.get(t, "/"); a.status != http.StatusSeeOther || a.header.Get("Location") != "/login" {
		t.Errorf("their page is %d to %q", a.status, a.header.Get("Location"))
	}
	from := len(people[0].allSaid())
	for _, p := range people {
		p.logInAgain()
	}
	for n := range 12 {
		for _, p := range people {
			p.say(room, fmt.Sprint("after ", n))
		}
	}
	wantKept(people...)
	truth := wantOneFeed(t, c.URL(), room, people...)
	if len(truth) != len(people)*12 || truth[0].Prev != "" {
		t.Errorf("the feed has %d events, the first behind %q", len(truth), truth[0].Prev)
	}
	for _, p := range people {
		wantAllOf(t, truth, p, from)
		p.mu.Lock()
		if p.jumps == 0 {
			t.Errorf("%s saw no jump", p.User())
		}
		p.mu.Unlock()
	}
	a := guest(t, c.Instances()[1].URL(), name+"-dave").connect(t).ok("join", fields{"room": room, "after": string(had.ID)})
	if a["resumed"] != false {
		t.Errorf("a position of before is resumed: %v", a)
	}
	t.Logf("everybody was asked to log in again within %v", out.Round(time.Millisecond))
}
