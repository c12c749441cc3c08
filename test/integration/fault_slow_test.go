//go:build integration

package integration_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"chatd/internal/client"
	"chatd/internal/cluster"
)

// unfelt is a delay that nobody feels. Below it, three times as long is as good.
const unfelt = 50 * time.Millisecond

// busyRoom lets readers on the first instance and speakers on the second fill a room
// with messages of size bytes.
func busyRoom(t *testing.T, c *cluster.Cluster, room string, readers, speakers int, pace time.Duration, size int) []*follower {
	t.Helper()
	crowd := startCrowd(t, readers+speakers, client.Options{Keep: 5000}, func(n int) (string, string, []string) {
		i := c.Instances()[0]
		if n >= readers {
			i = c.Instances()[1]
		}
		return fmt.Sprint(room, "-", n), i.URL(), []string{room}
	})
	filler := strings.Repeat("語", size/len("語"))
	for _, f := range crowd[readers:] {
		f.speak(room, pace, func(n int) string { return fmt.Sprint(n, " ", filler) })
	}
	return crowd
}

// A clock notes how late the machine is: how much later than asked the test is woken.
type clock struct {
	mu   sync.Mutex
	late []delay
}

func startClock(t *testing.T) *clock {
	const tick = 5 * time.Millisecond
	c, stop := &clock{}, make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			before := time.Now()
			select {
			case <-time.After(tick):
				now := time.Now()
				c.mu.Lock()
				c.late = append(c.late, delay{now, now.Sub(before) - tick})
				c.mu.Unlock()
			case <-stop:
				return
			}
		}
	})
	t.Cleanup(func() { close(stop); wg.Wait() })
	return c
}

// between is how late 99 of 100 were woken at most.
func (c *clock) between(from, to time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []time.Duration
	for _, d := range c.late {
		if d.at.After(from) && !d.at.After(to) {
			all = append(all, d.long)
		}
	}
	return quantile(all, 0.99)
}

// handedOn is how often a message is: by who sends it, an instance, Redis and another
// instance. Each of them waits for its turn on a busy machine.
const handedOn = 4

// wantUnfelt compares how long messages took in these views before and since. What the
// machine was late by meanwhile is nobody's whom the test looks at.
func wantUnfelt(t *testing.T, c *clock, crowd []*follower, began, from, to time.Time) {
	t.Helper()
	before, during := delaysOf(crowd, began, from), delaysOf(crowd, from, to)
	if len(before) < 500 || len(during) < 500 {
		t.Errorf("only %d messages were shown before and %d during: too few to compare", len(before), len(during))
	}
	was, is := quantile(before, 0.99), quantile(during, 0.99)
	late := c.between(from, to)
	if is > max(3*was, unfelt)+handedOn*late {
		t.Errorf("99 %% of the messages took up to %v, and %v before; the machine was late by %v", is, was, late)
	}
	t.Logf("99 %% of the messages took up to %v before, %v during, when the machine was late by %v; the slowest %v and %v", was, is, late, quantile(before, 1), quantile(during, 1))
}

// connectSlow is connect, over a connection that takes little of what is not read.
func (p *person) connectSlow(t *testing.T) *wire {
	t.Helper()
	transport := p.http.Transport.(*http.Transport)
	transport.CloseIdleConnections()
	transport.DialContext = (&net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if e := raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) }); e != nil {
			return e
		}
		return err
	}}).DialContext
	return p.connect(t)
}

// Ten people in a busy room stop reading. Half of them read on when their queues have
// overflowed, and come back at once: they resume. Nobody else feels it.
func TestSlowReadersDelayNobody(t *testing.T) {
	c := startCluster(t, 2)
	const room, slow, each = "sr-room", 10, 4 << 20 // bytes: a queue, what is being written, a resume
	i := c.Instances()[0]
	crowd, watch := busyRoom(t, c, room, 8, 2, 25*time.Millisecond, 11_000), startClock(t)
	const look = 200 * time.Millisecond // seldom: each look costs the instance a connection
	sockets := func() float64 { return metric(t, c, "chatd_sockets") }
	drops := func() float64 { return metric(t, c, `chatd_queue_drops_total{kind="slow"}`) }
	began := time.Now()
	lasts(t, 4*time.Second)
	resumed := 0
	quiet, dropped, calm := sockets(), drops(), rss(t, i.PID())

	var people []*person
	var wires []*wire
	var had []string // the last event that each has
	for n := range slow {
		p := guest(t, i.URL(), fmt.Sprint("sr-slow-", n))
		w := p.connectSlow(t)
		had = append(had, w.ok("join", fields{"room": room})["head"].(string))
		people, wires = append(people, p), append(wires, w)
	}
	stopped := time.Now()
	most := calm
	eventually(t, 40*time.Second, "all queues have overflowed", func() bool {
		lasts(t, look)
		most = max(most, rss(t, i.PID()))
		return drops() == dropped+slow
	})
	full := time.Since(stopped)
	for n, w := range wires[:slow/2] {
		if code := w.end(); code != 4408 {
			t.Errorf("slow reader %d reads on and is closed with %d, want 4408", n, code)
		}
		for _, o := range w.ahead {
			if o["room"] == room && o["seq"] != nil {
				if o["prev"] != had[n] {
					t.Fatalf("slow reader %d hears %v after %v", n, o["event"], had[n])
				}
				had[n] = o["event"].(string)
			}
		}
		back := people[n].connect(t)
		a := back.ok("join", fields{"room": room, "after": had[n]})
		events := a["events"].([]any)
		for n := len(events); a["resumed"] == true && events[n-1].(map[string]any)["event"] != a["head"]; n++ {
			events = append(events, back.event(room))
		}
		if a["resumed"] != true {
			t.Errorf("slow reader %d comes back at once and starts afresh", n)
		}
		wantChain(t, events, had[n])
		had[n] = a["head"].(string)
		resumed += len(events)
	}
	eventually(t, 30*time.Second, "those who never read are cut off", func() bool {
		lasts(t, look)
		most = max(most, rss(t, i.PID()))
		return sockets() == quiet
	})
	gone := time.Now()
	hush(crowd)
	wantUnfelt(t, watch, crowd[:8], began, stopped, gone)
	if growth := most - calm; growth > slow*each {
		t.Errorf("the instance grew by %d MiB for %d slow readers, want %d MiB at most for each", growth>>20, slow, each>>20)
	}
	judge(t, c.URL(), []string{room}, chatters(crowd)...)
	wantNotNoticed(t, crowd)

	// The others come back later, and have everything: by the resume, or page by page behind it.
	crowd[0].chatter.mu.Lock()
	truth := slices.Clone(crowd[0].views[room])
	crowd[0].chatter.mu.Unlock()
	missed := 0
	for n := slow / 2; n < slow; n++ {
		w := people[n].connect(t)
		a := w.ok("join", fields{"room": room, "after": had[n]})
		events := a["events"].([]any)
		for a["resumed"] == true && events[len(events)-1].(map[string]any)["event"] != a["head"] {
			events = append(events, w.event(room))
		}
		for a["resumed"] != true {
			page := w.paced("history", fields{"room": room, "before": events[0].(map[string]any)["event"], "limit": 100})["events"].([]any)
			if len(page) == 0 {
				t.Fatalf("slow reader %d pages back and never finds %s", n, had[n])
			}
			events = append(page, events...)
			if at := slices.IndexFunc(events, func(ev any) bool { return ev.(map[string]any)["event"] == had[n] }); at >= 0 {
				events = events[at+1:]
				break
			}
		}
		wantChain(t, events, had[n])
		if last := events[len(events)-1].(map[string]any)["event"]; last != string(truth[len(truth)-1].ID) {
			t.Errorf("slow reader %d is at %v, the room at %v", n, last, truth[len(truth)-1].ID)
		}
		missed += len(events)
	}
	t.Logf("%d people stopped reading: their queues were full after %v, all were gone after %v; those who came back at once resumed with %d events each, the others had missed %d; the instance grew by %d MiB from %d MiB",
		slow, full.Round(time.Millisecond), gone.Sub(stopped).Round(time.Millisecond), resumed/(slow/2), missed/(slow/2), (most-calm)>>20, calm>>20)
}

// A flood is what came of somebody's sending without waiting.
type flood struct {
	kept  map[string]string // key -> event
	codes map[string]int    // of errors
	code  int               // that the socket was closed with
}

// floods sends n messages in one frame, and then the one that was too fast over and
// over, without waiting, until the socket is closed.
func floods(t *testing.T, w *wire, room string, from, n int) flood {
	t.Helper()
	f := flood{kept: map[string]string{}, codes: map[string]int{}}
	send := func(n int) string {
		return fmt.Sprintf(`{"type":"send","id":%d,"room":%q,"key":"k-%d","text":"flood %d"}`, n, room, n, n)
	}
	ctx := within(t, 30*time.Second)
	write := func(lines ...string) error {
		return w.ws.Write(ctx, websocket.MessageText, []byte(strings.Join(lines, "\n")))
	}
	var lines []string
	for at := range n {
		lines = append(lines, send(from+at))
	}
	if err := write(lines...); err != nil {
		t.Fatal(err)
	}
	var again sync.WaitGroup
	defer again.Wait()
	for {
		_, b, err := w.ws.Read(ctx)
		if err != nil {
			f.code = int(websocket.CloseStatus(err))
			return f
		}
		for line := range strings.SplitSeq(string(b), "\n") {
			var a struct {
				Type, Code, Room, Event string
				ID                      int
				Retry                   int `json:"retry_after_ms"`
			}
			if err := json.Unmarshal([]byte(line), &a); err != nil {
				t.Fatal(err)
			}
			switch a.Type {
			case "ok":
				key := fmt.Sprint("k-", a.ID)
				if was := f.kept[key]; was != "" && was != a.Event {
					t.Errorf("%s is confirmed as %s and %s", key, was, a.Event)
				}
				f.kept[key] = a.Event
			case "error":
				if a.Retry <= 0 {
					t.Fatalf("too fast, and no time to wait: %s", line)
				}
				if f.codes[a.Code]++; a.Code == "too_fast" && f.codes[a.Code] == 1 {
					again.Go(func() {
						for write(slices.Repeat([]string{send(a.ID)}, 50)...) == nil {
						}
					})
				}
			}
		}
	}
}

// Somebody sends as fast as they can, does not wait when they are asked to, and comes
// back as soon as they are thrown out. Nobody else feels it.
func TestFloodDelaysNobody(t *testing.T) {
	const room, flooded, each, rate = "fd-room", "fd-flooded", 300, 10
	c := startCluster(t, 2, fmt.Sprint("CHATD_SEND_RATE=", rate))
	crowd, watch := busyRoom(t, c, room, 8, 4, 125*time.Millisecond, 60), startClock(t)
	began := time.Now()
	lasts(t, 4*time.Second)
	alice := guest(t, c.Instances()[0].URL(), "fd-alice")

	from := time.Now()
	kept, codes, thrownOut, sent := map[string]string{}, map[string]int{}, 0, 0
	for time.Since(from) < 4*time.Second {
		f := floods(t, alice.connect(t), flooded, sent, each)
		if f.code != 4429 {
			t.Fatalf("closed with %d, want 4429; %d kept, errors %v", f.code, len(f.kept), f.codes)
		}
		if f.codes["too_fast"] < 200 {
			t.Errorf("closed after %d answers that it was too fast", f.codes["too_fast"])
		}
		thrownOut++
		sent += each
		maps.Copy(kept, f.kept)
		for code, n := range f.codes {
			codes[code] += n
		}
	}
	to := time.Now()
	hush(crowd)
	wantUnfelt(t, watch, crowd, began, from, to)
	judge(t, c.URL(), []string{room}, chatters(crowd)...)
	wantNotNoticed(t, crowd)

	// What was confirmed is there, once, in the order sent, and nothing besides.
	back := enter(t, c.URL(), "fd-alice", client.Options{}, flooded)
	last := -1
	for _, ev := range pages(t, back, flooded) {
		var n int
		if _, err := fmt.Sscanf(ev.Key, "k-%d", &n); err != nil || n <= last {
			t.Errorf("key %s stands behind number %d", ev.Key, last)
		}
		if last = n; kept[ev.Key] != "" && kept[ev.Key] != string(ev.ID) {
			t.Errorf("%s stands at %s, and was confirmed as %s", ev.Key, ev.ID, kept[ev.Key])
		}
		delete(kept, ev.Key)
	}
	if len(kept) > 0 {
		t.Errorf("%d confirmed messages are lost", len(kept))
	}
	if atMost := rate*int(to.Sub(from).Seconds()+1) + 2*rate*thrownOut; last < 0 || sent < 2*atMost {
		t.Errorf("%d were sent where %d may be: that is no flood", sent, atMost)
	}
	t.Logf("%d sends in %v: errors %v, thrown out %d times", sent, to.Sub(from).Round(time.Millisecond), codes, thrownOut)
}
