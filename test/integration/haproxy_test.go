//go:build integration

package integration_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"chatd/internal/chattest"
	"chatd/internal/cluster"
)

// traffic is people who load the page and refresh their session, over and over: all
// that is safe to repeat, and so must never fail.
type traffic struct {
	stop context.CancelFunc
	late func() time.Duration // the machine
	wg   sync.WaitGroup

	mu      sync.Mutex
	done    int
	slowest time.Duration
	failed  []error
	cut     int // answers that had begun
}

const (
	trafficPeople = 6
	trafficPace   = 10 * time.Millisecond // between two requests of one person

	// Less than the second that HAProxy waits before it tries a dead instance again.
	soon = 900 * time.Millisecond
)

func startTraffic(t *testing.T, c *cluster.Cluster) *traffic {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	tr := &traffic{stop: stop, late: chattest.Late(t)}
	t.Cleanup(stop)
	for n := range trafficPeople {
		p := login(t, c, fmt.Sprintf("walker%d", n))
		tr.wg.Go(func() {
			pace := time.NewTicker(trafficPace)
			defer pace.Stop()
			for {
				tr.count(ctx, p.page)
				tr.count(ctx, func(ctx context.Context) error { _, err := p.refresh(ctx); return err })
				select {
				case <-pace.C:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	return tr
}

func (tr *traffic) count(ctx context.Context, request func(context.Context) error) {
	began, late := time.Now(), tr.late()
	err := request(ctx)
	took := time.Since(began) - (tr.late() - late)
	if ctx.Err() != nil {
		return // the test is over, and cut this one off
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.done++
	tr.slowest = max(tr.slowest, took)
	if errors.Is(err, errCut) {
		tr.cut++
	} else if err != nil {
		tr.failed = append(tr.failed, err)
	}
}

// more waits until n more requests were answered.
func (tr *traffic) more(t *testing.T, n int) {
	t.Helper()
	tr.mu.Lock()
	want := tr.done + n
	tr.mu.Unlock()
	eventually(t, 20*time.Second, fmt.Sprintf("%d more requests", n), func() bool {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		return tr.done >= want
	})
}

// mustBeWhole ends the traffic: none of it may have failed, and nobody may have
// waited longer than patience. Of answers that an instance was just giving when it came
// to an end without a word, or hung, so many may be cut.
func (tr *traffic) mustBeWhole(t *testing.T, patience time.Duration, cuts int) {
	t.Helper()
	tr.stop()
	tr.wg.Wait()
	t.Logf("%d of %d requests failed, %d were cut, the slowest took %s", len(tr.failed), tr.done, tr.cut, tr.slowest.Round(time.Millisecond))
	if tr.cut > cuts {
		t.Errorf("%d answers were cut, want %d at most", tr.cut, cuts)
	}
	if tr.slowest > patience {
		t.Errorf("somebody waited longer than %s", patience)
	}
	for i, err := range tr.failed {
		if i == 5 {
			t.Error("and so on")
			break
		}
		t.Error(err)
	}
}

func eventually(t *testing.T, within time.Duration, what string, look func() bool) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	deadline := time.After(within)
	for !look() {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

// openSockets logs n people in and gives each a socket, opened as the protocol says:
// refresh first.
func openSockets(t *testing.T, c *cluster.Cluster, n int) (sockets []*socket, people []*person) {
	t.Helper()
	for i := range n {
		p := login(t, c, fmt.Sprintf("sitter%d", i))
		s := reopen(t, p)
		t.Cleanup(s.close)
		sockets, people = append(sockets, s), append(people, p)
	}
	return sockets, people
}

// reopen comes back as the protocol says, and the page and the socket must meet.
func reopen(t *testing.T, p *person) *socket {
	t.Helper()
	ctx := within(t, 10*time.Second)
	refreshed, err := p.refresh(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if s.instance != refreshed || p.pin() != refreshed {
		t.Errorf("refreshed at %s, socket at %s, pinned to %q", refreshed, s.instance, p.pin())
	}
	return s
}

// split parts sockets into those on an instance and the others.
func split(sockets []*socket, instance string) (on, elsewhere []*socket) {
	for _, s := range sockets {
		if s.instance == instance {
			on = append(on, s)
		} else {
			elsewhere = append(elsewhere, s)
		}
	}
	return on, elsewhere
}

// mustEnd waits for the end of all, and says how long after since the last one ended.
func mustEnd(t *testing.T, sockets []*socket, since time.Time, within time.Duration) (last time.Duration) {
	t.Helper()
	deadline := time.After(within)
	for _, s := range sockets {
		select {
		case <-s.ended:
			last = max(last, s.at.Sub(since))
		case <-deadline:
			t.Fatalf("a socket still stands %s later", within)
		}
	}
	return last
}

func mustStand(t *testing.T, sockets []*socket) {
	t.Helper()
	for _, s := range sockets {
		select {
		case <-s.ended:
			t.Errorf("a socket on %s ended: %v", s.instance, s.err)
		default:
		}
	}
}

func instance(t *testing.T, c *cluster.Cluster, name string) *cluster.Instance {
	t.Helper()
	all := c.Instances()
	i := slices.IndexFunc(all, func(i *cluster.Instance) bool { return i.Name == name })
	if i < 0 {
		t.Fatalf("no instance %s", name)
	}
	return all[i]
}

func TestPageAndSocketAreOnOneInstance(t *testing.T) {
	c := startCluster(t, 3)
	sockets, people := openSockets(t, c, 12)
	for _, i := range c.Instances() {
		on, _ := split(sockets, i.Name)
		t.Logf("%s has %d of %d sockets", i.Name, len(on), len(sockets))
		if len(on) == 0 {
			t.Errorf("%s has no socket: people are not spread", i.Name)
		}
	}
	// And again when the instance is lost: all meet anew, elsewhere.
	lost := instance(t, c, sockets[0].instance)
	lost.Kill()
	moved := 0
	for n, s := range sockets {
		if s.instance != lost.Name {
			continue
		}
		again := reopen(t, people[n])
		defer again.close()
		if again.instance == lost.Name {
			t.Errorf("a new socket on the dead %s", lost.Name)
		}
		moved++
	}
	t.Logf("%d people moved, and met page and socket on one instance", moved)
}

func TestKilledInstanceFailsNoRequest(t *testing.T) {
	c := startCluster(t, 3)
	sockets, _ := openSockets(t, c, 9)
	tr := startTraffic(t, c)
	tr.more(t, 200)
	for _, i := range c.Instances() {
		on, _ := split(sockets, i.Name)
		began := time.Now()
		i.Kill()
		t.Logf("%s killed: its %d sockets ended after %s", i.Name, len(on), mustEnd(t, on, began, 2*time.Second))
		if err := c.AwaitState(within(t, 5*time.Second), i, "DOWN"); err != nil {
			t.Fatal(err)
		}
		t.Logf("HAProxy knew after %s", time.Since(began).Round(time.Millisecond))
		tr.more(t, 200)
		if err := i.Start(within(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
		if err := c.AwaitState(within(t, 20*time.Second), i, "UP"); err != nil {
			t.Fatal(err)
		}
		tr.more(t, 200)
	}
	tr.mustBeWhole(t, soon, trafficPeople)
}

func TestPlannedRestartIsNotNoticed(t *testing.T) {
	c := startCluster(t, 3, "CHATD_DRAIN=3s")
	sockets, people := openSockets(t, c, 9)
	tr := startTraffic(t, c)
	tr.more(t, 200)
	for _, i := range c.Instances() {
		began := time.Now()
		i.Term()
		moved := 0
		for n, s := range sockets {
			if s.instance != i.Name {
				continue
			}
			// The new socket is open before the old one is let go: nobody is without.
			select {
			case <-s.drain:
			case <-s.ended:
				t.Fatalf("%s cut a socket before it asked to move: %v", i.Name, s.err)
			case <-time.After(5 * time.Second):
				t.Fatalf("%s drains, and says nothing", i.Name)
			}
			again := reopen(t, people[n])
			t.Cleanup(again.close)
			if again.instance == i.Name {
				t.Errorf("a new socket on %s, which leaves", i.Name)
			}
			mustStand(t, []*socket{s})
			s.close()
			sockets[n] = again
			moved++
		}
		if err := i.Wait(within(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s moved %d sockets and ended after %s", i.Name, moved, time.Since(began).Round(time.Millisecond))
		if err := i.Start(within(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
		if err := c.AwaitState(within(t, 20*time.Second), i, "UP"); err != nil {
			t.Fatal(err)
		}
		tr.more(t, 200)
	}
	mustStand(t, sockets)
	tr.mustBeWhole(t, soon, 0)
}

func TestTwoOfThreeMayLeaveTogether(t *testing.T) {
	c := startCluster(t, 3, "CHATD_DRAIN=3s")
	// Sockets that do not move keep the two draining for their whole time.
	sockets, _ := openSockets(t, c, 6)
	tr := startTraffic(t, c)
	tr.more(t, 200)
	leaving, stays := c.Instances()[:2], c.Instances()[2]
	for _, i := range leaving {
		i.Term()
	}
	tr.more(t, 200)
	for _, i := range leaving {
		if err := i.Wait(within(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	tr.more(t, 200)
	on, _ := split(sockets, stays.Name)
	mustStand(t, on)
	tr.mustBeWhole(t, soon, 0)
}

func TestSocketsThatStayAreClosedWith1012(t *testing.T) {
	c := startCluster(t, 2, "CHATD_DRAIN=1s")
	sockets, _ := openSockets(t, c, 4)
	leaving := c.Instances()[0]
	on, elsewhere := split(sockets, leaving.Name)
	began := time.Now()
	leaving.Term()
	t.Logf("sockets that did not move ended after %s", mustEnd(t, on, began, 6*time.Second))
	for _, s := range on {
		if got := websocket.CloseStatus(s.err); got != websocket.StatusServiceRestart {
			t.Errorf("closed with %d (%v), want 1012", got, s.err)
		}
	}
	mustStand(t, elsewhere)
	if err := leaving.Wait(within(t, 5*time.Second)); err != nil {
		t.Error(err)
	}
}

func TestHungInstanceIsLeftWithinSeconds(t *testing.T) {
	c := startCluster(t, 3)
	sockets, _ := openSockets(t, c, 9)
	tr := startTraffic(t, c)
	tr.more(t, 200)
	hung := c.Instances()[0]
	on, elsewhere := split(sockets, hung.Name)
	began := time.Now()
	hung.Pause()
	t.Logf("%s hangs: its %d sockets were freed after %s", hung.Name, len(on), mustEnd(t, on, began, 4*time.Second))
	tr.more(t, 400)
	hung.Resume()
	if err := c.AwaitState(within(t, 20*time.Second), hung, "UP"); err != nil {
		t.Fatal(err)
	}
	tr.more(t, 200)
	mustStand(t, elsewhere)
	tr.mustBeWhole(t, 4*time.Second, trafficPeople)
}

// probe is where somebody new lands.
func probe(t *testing.T, c *cluster.Cluster) string {
	t.Helper()
	p := login(t, c, "newcomer")
	defer p.http.CloseIdleConnections()
	return p.pin()
}

func TestSlotIsAddedAndTakenAwayAtRunTime(t *testing.T) {
	c := startCluster(t, 2, "CHATD_DRAIN=2s")
	tr := startTraffic(t, c)
	tr.more(t, 200)
	added, err := c.Add(within(t, 15*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if added.Name != "chatd-3" {
		t.Errorf("added as %s", added.Name)
	}
	var newcomers []string
	eventually(t, 10*time.Second, "a newcomer lands on "+added.Name, func() bool {
		newcomers = append(newcomers, probe(t, c))
		return slices.Contains(newcomers, added.Name)
	})
	t.Logf("newcomers landed on %s", strings.Join(newcomers, ", "))

	// A reload keeps what was set at run time.
	if err := c.ReloadHAProxy(within(t, 15*time.Second)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "a newcomer lands on "+added.Name+" after a reload", func() bool { return probe(t, c) == added.Name })

	if err := c.Remove(within(t, 15*time.Second), added); err != nil {
		t.Fatal(err)
	}
	tr.more(t, 200)
	tr.mustBeWhole(t, soon, 0)

	// A start goes by what there is now, not by what the reload had saved.
	c.HAProxy.Kill()
	if err := c.HAProxy.Start(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := c.AwaitState(within(t, 20*time.Second), added, "MAINT"); err != nil {
		t.Error(err)
	}
	if again, err := c.Add(within(t, 15*time.Second)); err != nil || again.Name != added.Name {
		t.Errorf("the slot is not free again: %v, %v", again, err)
	}
}

func TestReloadOfHAProxyCutsNothing(t *testing.T) {
	c := startCluster(t, 3)
	sockets, _ := openSockets(t, c, 6)
	tr := startTraffic(t, c)
	// One connection waits through them all, and is asked once more.
	waits, err := net.Dial("tcp", strings.TrimPrefix(c.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer waits.Close()
	if err := waits.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(waits)
	ask := func(when string) {
		t.Helper()
		fmt.Fprint(waits, "GET /login HTTP/1.1\r\nHost: chat.example\r\n\r\n")
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("a connection that waits is closed %s: %v", when, err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v", when, resp.Status, err)
		}
	}
	ask("at once")
	const reloads = 5
	for n := range reloads {
		tr.more(t, 200)
		if n == reloads-1 {
			ask("by a reload")
		}
		if err := c.ReloadHAProxy(within(t, 15*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	tr.more(t, 200)
	mustStand(t, sockets)
	t.Logf("%d reloads, %d sockets stand", reloads, len(sockets))
	tr.mustBeWhole(t, soon, 0)
}

func TestWhatIsNotForPeopleDoesNotPass(t *testing.T) {
	c := startCluster(t, 1)
	p, err := newPerson(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t, 10*time.Second)
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/vars"} {
		body, err := p.do(ctx, http.MethodGet, path, nil, http.StatusNotFound)
		if err != nil || string(body) != "not found" { // HAProxy's words, not chatd's
			t.Errorf("%s: %v, %q", path, err, body)
		}
	}
	huge := url.Values{"username": {strings.Repeat("x", 70_000)}}
	body, err := p.do(ctx, http.MethodPost, "/login", huge, http.StatusRequestEntityTooLarge)
	if err != nil || string(body) != "too large" {
		t.Errorf("70,000 bytes: %v, %q", err, body)
	}
}

func TestNobodySaysWhoForwardedThem(t *testing.T) {
	c := startCluster(t, 1)
	ctx := within(t, 15*time.Second)
	heard := make(chan http.Header, 100)
	instead := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			heard <- r.Header
		}
	}))
	defer instead.Close()
	_, port, err := net.SplitHostPort(instead.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{
		"set server chatd/chatd-16 addr 127.0.0.1 port " + port,
		"set server chatd/chatd-16 state ready",
		"set server chatd/chatd-1 state maint",
	} {
		if _, err := c.Runtime(ctx, command); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.AwaitState(ctx, c.Instances()[0], "MAINT"); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded", "X-Real-Ip"} {
		req.Header.Set(name, "forged")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	got := <-heard
	for name, values := range got {
		if strings.Contains(strings.Join(values, " "), "forged") {
			t.Errorf("%s: %q passed", name, values)
		}
	}
	if got.Get("X-Forwarded-For") != "127.0.0.1" || got.Get("X-Forwarded-Proto") != "http" {
		t.Errorf("for %q, proto %q", got["X-Forwarded-For"], got["X-Forwarded-Proto"])
	}

	// Nor can anybody have them taken away, as headers of one hop only.
	s := dialRaw(t, c.HAProxy.Addr)
	if _, err := io.WriteString(s, "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: forged\r\nConnection: close, X-Forwarded-For, X-Forwarded-Proto\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if got := <-heard; strings.Join(got["X-Forwarded-For"], " ") != "127.0.0.1" || strings.Join(got["X-Forwarded-Proto"], " ") != "http" {
		t.Errorf("of one hop: %v", got)
	}
}
