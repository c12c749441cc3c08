//go:build integration

package integration_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/redis/go-redis/v9"

	"chatd/internal/chat"
	"chatd/internal/client"
	"chatd/internal/cluster"
)

// TestChat holds one cluster to the contract where nothing fails. Its parts run
// beside one another, each with names and rooms of its own; before them, alone, those
// that take all of an instance's strength or measure how long something takes.
func TestChat(t *testing.T) {
	c := startCluster(t, 3, "CHATD_WINDOW=20", "CHATD_HISTORY=500", rightsAdmins)
	for _, part := range aloneTests {
		t.Run(part.name, func(t *testing.T) { part.run(t, c) })
	}
	for _, part := range slices.Concat(rightsTests, adminTests, loginTests, accountTests, roomTests, sendTests, inputTests) {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			part.run(t, c)
		})
	}
}

type part struct {
	name string
	run  func(*testing.T, *cluster.Cluster)
}

// visitor returns somebody with an empty browser at base: HAProxy's URL, or an
// instance's own. A jar knows hosts, not ports, so who logged in at an instance
// is known at all of them.
func visitor(t *testing.T, base string) *person {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &person{base: u, http: &http.Client{
		Jar: jar, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func guest(t *testing.T, base, name string) *person {
	t.Helper()
	p := visitor(t, base)
	if err := p.login(within(t, 30*time.Second), name); err != nil {
		t.Fatal(err)
	}
	return p
}

// at is the same browser, talking to another address.
func (p *person) at(t *testing.T, base string) *person {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	return &person{base: u, http: p.http}
}

// An answer is an HTTP answer, read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask makes one request with these headers; form may be nil.
func (p *person) ask(t *testing.T, method, path string, form url.Values, header http.Header) answer {
	t.Helper()
	target, err := p.base.Parse(path)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(within(t, 30*time.Second), method, target.String(), strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	maps.Copy(req.Header, header)
	resp, err := p.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

func (p *person) get(t *testing.T, path string) answer {
	t.Helper()
	return p.ask(t, http.MethodGet, path, nil, nil)
}

// A wire is a socket of which the test writes and reads every object itself.
type wire struct {
	t    *testing.T
	ws   *websocket.Conn
	user string

	ahead []map[string]any // read, but not asked for yet
	id    int
}

// shake makes a handshake and returns its answer's status.
func (p *person) shake(t *testing.T, header http.Header) (*websocket.Conn, int, error) {
	t.Helper()
	ws, resp, err := websocket.Dial(within(t, 30*time.Second), p.base.JoinPath("/ws").String(), &websocket.DialOptions{
		HTTPClient: p.http, HTTPHeader: header, Subprotocols: []string{chat.Subprotocol},
	})
	if err == nil {
		t.Cleanup(func() { ws.CloseNow() })
		ws.SetReadLimit(16 << 20)
	}
	if resp == nil {
		return nil, 0, err
	}
	return ws, resp.StatusCode, err
}

func (p *person) origin() http.Header {
	return http.Header{"Origin": {p.base.Scheme + "://" + p.base.Host}}
}

// connect opens a socket that has been welcomed.
func (p *person) connect(t *testing.T) *wire {
	t.Helper()
	ws, _, err := p.shake(t, p.origin())
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{t: t, ws: ws}
	welcome := w.next()
	if welcome["type"] != "welcome" || welcome["ping_ms"].(float64) <= 0 || welcome["limits"].(map[string]any)["text"] != 4000.0 {
		t.Fatalf("first object is %v", welcome)
	}
	w.user = welcome["user"].(string)
	return w
}

// say writes one frame.
func (w *wire) say(frame string) {
	w.t.Helper()
	if err := w.ws.Write(within(w.t, 30*time.Second), websocket.MessageText, []byte(frame)); err != nil {
		w.t.Fatalf("%s: write: %v", w.user, err)
	}
}

// next returns the next object, pings left out.
func (w *wire) next() map[string]any {
	w.t.Helper()
	for {
		if len(w.ahead) > 0 {
			o := w.ahead[0]
			w.ahead = w.ahead[1:]
			return o
		}
		if err := w.read(); err != nil {
			w.t.Fatalf("%s: read: %v", w.user, err)
		}
	}
}

func (w *wire) read() error {
	_, b, err := w.ws.Read(within(w.t, 30*time.Second))
	if err != nil {
		return err
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		var o map[string]any
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			return fmt.Errorf("object %q: %w", line, err)
		}
		if o["type"] != "ping" {
			w.ahead = append(w.ahead, o)
		}
	}
	return nil
}

// until returns the next object for which want is true; those before it stay.
func (w *wire) until(what string, want func(map[string]any) bool) map[string]any {
	w.t.Helper()
	for i := 0; ; i++ {
		for i == len(w.ahead) {
			if err := w.read(); err != nil {
				w.t.Fatalf("%s waits for %s: %v; heard: %v", w.user, what, err, w.ahead)
			}
		}
		if o := w.ahead[i]; want(o) {
			w.ahead = slices.Delete(w.ahead, i, i+1)
			return o
		}
	}
}

type fields map[string]any

// request sends a request and returns its id.
func (w *wire) request(kind string, f fields) int {
	w.t.Helper()
	w.id++
	req := map[string]any{"type": kind, "id": w.id}
	maps.Copy(req, f)
	b, err := json.Marshal(req)
	if err != nil {
		w.t.Fatal(err)
	}
	w.say(string(b))
	return w.id
}

func (w *wire) answer(id int) map[string]any {
	w.t.Helper()
	return w.until(fmt.Sprintf("the answer to request %d", id), func(o map[string]any) bool {
		return (o["type"] == "ok" || o["type"] == "error") && o["id"] == float64(id)
	})
}

// ok sends a request that must succeed.
func (w *wire) ok(kind string, f fields) map[string]any {
	w.t.Helper()
	a := w.answer(w.request(kind, f))
	if a["type"] != "ok" {
		w.t.Fatalf("%s: %s %v: %v", w.user, kind, f, a)
	}
	return a
}

// paced is ok for what is bounded by how often one asks: it comes again when the answer
// says, as clients do, and ten times at most.
func (w *wire) paced(kind string, f fields) map[string]any {
	w.t.Helper()
	for range 10 {
		a := w.answer(w.request(kind, f))
		if a["type"] == "ok" {
			return a
		}
		after, _ := a["retry_after_ms"].(float64)
		if a["code"] != "too_fast" || after <= 0 || after > 5000 {
			w.t.Fatalf("%s: %s %v: %v", w.user, kind, f, a)
		}
		lasts(w.t, time.Duration(after)*time.Millisecond)
	}
	w.t.Fatalf("%s: %s %v: too fast, ten times", w.user, kind, f)
	return nil
}

// refused sends a request that must fail with this code, and for ever.
func (w *wire) refused(code, kind string, f fields) {
	w.t.Helper()
	a := w.answer(w.request(kind, f))
	if a["type"] != "error" || a["code"] != code || a["message"] == "" || a["retry_after_ms"] != nil {
		w.t.Errorf("%s: %s %.200v: got %v, want the final error %s", w.user, kind, fmt.Sprint(f), a, code)
	}
}

// event returns the next durable event of room.
func (w *wire) event(room string) map[string]any {
	w.t.Helper()
	return w.until("an event of "+room, func(o map[string]any) bool { return o["room"] == room && o["seq"] != nil && o["id"] == nil })
}

// fence waits until the server has answered all before, and returns what came
// besides answers.
func (w *wire) fence() []map[string]any {
	w.t.Helper()
	w.ok("rooms", nil)
	heard := w.ahead
	w.ahead = nil
	return heard
}

// end waits until the server closes the socket, and returns the code.
func (w *wire) end() int {
	w.t.Helper()
	for {
		if err := w.read(); err != nil {
			var timeout interface{ Timeout() bool }
			if errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
				w.t.Fatalf("%s: the server keeps the socket: %v", w.user, err)
			}
			return int(websocket.CloseStatus(err))
		}
	}
}

func texts(events any) (texts []string) {
	for _, ev := range events.([]any) {
		ev := ev.(map[string]any)
		text, _ := ev["text"].(string)
		if ev["type"] != "message" {
			text = fmt.Sprintf("<%s>", ev["type"])
		}
		texts = append(texts, text)
	}
	return texts
}

func wantTexts(t *testing.T, events any, want ...string) {
	t.Helper()
	if got := texts(events); !slices.Equal(got, want) {
		t.Fatalf("events are %q, want %q", got, want)
	}
}

// wantChain checks that events follow one another, the first one after prev.
func wantChain(t *testing.T, events any, prev string) {
	t.Helper()
	for i, ev := range events.([]any) {
		ev := ev.(map[string]any)
		if i == 0 && prev == "" {
			prev = ev["prev"].(string)
		}
		if ev["prev"] != prev || chat.EventID(ev["event"].(string)).Seq() != int64(ev["seq"].(float64)) {
			t.Fatalf("event %v does not follow %q", ev, prev)
		}
		prev = ev["event"].(string)
	}
}

// A chatter is somebody with a client, which does all that a person's client
// does, and the record of what they saw.
type chatter struct {
	*client.Client
	t    *testing.T
	also client.Observer // told after the record is made; may be nil
	stop context.CancelFunc
	done chan struct{}

	mu      sync.Mutex
	changed chan struct{} // closed and replaced with each fact
	views   map[string][]client.Event
	joined  map[string]bool // rooms joined on the socket that is used
	said    []said          // in the order sent
	kept    map[string]client.Confirmed
	refused map[string]client.Refused
	wrong   []string
	jumps   int // views replaced after the first
	gaps    int
	closed  int // sockets lost, in any way but a move
	moved   int
	// repeated counts messages that were kept before their confirmation was lost.
	repeated int
	last     time.Time     // when something was confirmed
	pause    time.Duration // the longest between two confirmations
	resumed  int           // events that came through a replay
	on       string
	out      *client.LoggedOut
	ended    error // of Run
}

type said struct{ key, room, text string }

// enter logs name in through base and lets them chat in rooms, which are joined
// when enter returns. An observer in opt is told everything too. At the end nothing
// must have been wrong.
func enter(t *testing.T, base, name string, opt client.Options, rooms ...string) *chatter {
	t.Helper()
	p := &chatter{
		t: t, done: make(chan struct{}), changed: make(chan struct{}), views: map[string][]client.Event{},
		joined: map[string]bool{}, kept: map[string]client.Confirmed{}, refused: map[string]client.Refused{},
	}
	p.also = opt.Observer
	opt.URL, opt.User, opt.Observer = base, name, p
	if opt.Transport == nil {
		transport := &http.Transport{}
		opt.Transport = transport
		t.Cleanup(transport.CloseIdleConnections)
	}
	if opt.MaxWait == 0 {
		opt.MaxWait = 2 * time.Second // of the test's time
	}
	var err error
	if p.Client, err = client.New(opt); err != nil {
		t.Fatal(err)
	}
	if opt.Jar == nil {
		if err := p.Login(within(t, 30*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	p.run()
	t.Cleanup(func() {
		p.leave()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, what := range p.wrong {
			t.Errorf("%s: the server broke the contract: %s", p.User(), what)
		}
	})
	for _, room := range rooms {
		room, err := p.Join(room)
		if err != nil {
			t.Fatal(err)
		}
		p.await("joined "+room, func() bool { return p.joined[room] })
	}
	return p
}

func (p *chatter) run() {
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.Background())
	go func() {
		defer close(p.done)
		err := p.Run(ctx)
		p.note(func() { p.ended = err })
	}()
}

// logInAgain is what somebody does whose login ended: they log in under the same
// name, and their page goes on with what it has.
func (p *chatter) logInAgain() {
	p.t.Helper()
	<-p.done
	p.note(func() { p.out, p.ended = nil, nil })
	if err := p.Login(within(p.t, 30*time.Second)); err != nil {
		p.t.Fatal(err)
	}
	p.done = make(chan struct{})
	p.run()
}

// leave ends the client, as closing the browser does.
func (p *chatter) leave() {
	p.stop()
	<-p.done
}

func (p *chatter) note(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	close(p.changed)
	p.changed = make(chan struct{})
}

// Observe implements client.Observer.
func (p *chatter) Observe(f client.Fact) {
	if p.also != nil {
		defer p.also.Observe(f)
	}
	p.note(func() {
		switch f := f.(type) {
		case client.Shown:
			p.views[f.Event.Room] = append(p.views[f.Event.Room], f.Event)
			if f.Replay {
				p.resumed++
			}
		case client.Replaced:
			if p.views[f.Room] != nil {
				p.jumps++
			}
			p.views[f.Room] = append([]client.Event{}, f.Events...)
		case client.Joined:
			p.joined[f.Room] = true
		case client.Opened:
			clear(p.joined)
		case client.Live:
			p.on = f.Instance
		case client.Gap:
			p.gaps++
		case client.Confirmed:
			p.kept[f.Key] = f
			if !p.last.IsZero() {
				p.pause = max(p.pause, time.Since(p.last))
			}
			p.last = time.Now()
			if f.Duplicate {
				p.repeated++
			}
		case client.Refused:
			p.refused[f.Key] = f
		case client.Closed:
			if f.Code == -1 && strings.Contains(f.Err.Error(), "moved") {
				p.moved++
			} else if p.closed++; p.on == f.Instance {
				p.on = ""
			}
		case client.Wrong:
			p.wrong = append(p.wrong, f.Instance+": "+f.What)
		case client.LoggedOut:
			p.out = &f
		}
	})
}

// await waits until cond, which is asked with the record locked.
func (p *chatter) await(what string, cond func() bool) {
	p.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		p.mu.Lock()
		ok, changed := cond(), p.changed
		p.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			p.mu.Lock()
			defer p.mu.Unlock()
			p.t.Fatalf("%s: not in 30 s: %s (on %q, %d sockets lost, %d queued, wrong: %v)", p.User(), what, p.on, p.closed, p.Queued(), p.wrong)
		}
	}
}

func (p *chatter) instance() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.on
}

// say queues a message and remembers it.
func (p *chatter) say(room, text string) {
	key, err := p.Send(room, text)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.wrong = append(p.wrong, "queue: "+err.Error())
		return
	}
	p.said = append(p.said, said{key, room, text})
}

func (p *chatter) sawAll(room string, want ...string) {
	p.t.Helper()
	p.await(fmt.Sprintf("sees %q in %s", want, room), func() bool {
		var texts []string
		for _, ev := range p.views[room] {
			texts = append(texts, ev.Text)
		}
		return slices.Equal(texts, want)
	})
}

// pages reads all that is kept of room, from the newest page back.
func pages(t *testing.T, p *chatter, room string) []client.Event {
	t.Helper()
	var all []client.Event
	var before chat.EventID
	for {
		page, err := p.History(within(t, 20*time.Second), room, before, chat.MaxHistory)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return all
		}
		all = append(page, all...)
		if before = page[0].ID; page[0].Prev == "" {
			return all
		}
	}
}

// judge holds what people sent and saw in rooms against what a fresh login reads:
// nothing confirmed lost, nothing doubled, altered or out of order, no hole in
// anyone's view, and all views at the end of the one feed.
func judge(t *testing.T, base string, rooms []string, people ...*chatter) {
	t.Helper()
	for _, p := range people {
		p.await("all is confirmed", func() bool { return len(p.kept)+len(p.refused) == len(p.said) })
	}
	fresh := enter(t, base, "judge", client.Options{})
	for _, room := range rooms {
		truth := pages(t, fresh, room)
		if len(truth) == 0 {
			t.Fatalf("room %s is empty", room)
		}
		type ref struct{ from, key string }
		place := map[ref]int{}
		for i, ev := range truth {
			if i > 0 && (ev.Prev != truth[i-1].ID || ev.Seq != truth[i-1].Seq+1) {
				t.Errorf("%s: event %s does not follow %s", room, ev.ID, truth[i-1].ID)
			}
			r := ref{ev.From, ev.Key}
			if former, doubled := place[r]; doubled {
				t.Errorf("%s: key %s of %s at %s and %s", room, ev.Key, ev.From, truth[former].ID, ev.ID)
			}
			place[r] = i
		}
		sent := 0
		for _, p := range people {
			p.mu.Lock()
			last := -1
			for _, s := range p.said {
				if s.room != room {
					continue
				}
				kept, confirmed := p.kept[s.key]
				i, there := place[ref{p.User(), s.key}]
				switch {
				case !confirmed:
					t.Errorf("%s: %q of %s was refused: %v", room, s.text, p.User(), p.refused[s.key])
				case !there:
					t.Errorf("%s: %q of %s was confirmed as %s and is lost", room, s.text, p.User(), kept.Event)
				case truth[i].ID != kept.Event || truth[i].Text != s.text:
					t.Errorf("%s: %q of %s was confirmed as %s, and the feed has %q as %s", room, s.text, p.User(), kept.Event, truth[i].Text, truth[i].ID)
				case i <= last:
					t.Errorf("%s: %q of %s stands before what they sent earlier", room, s.text, p.User())
				}
				last = max(last, i)
				sent++
			}
			p.mu.Unlock()
		}
		if sent != len(truth) {
			t.Errorf("%s: %d were sent, the feed has %d", room, sent, len(truth))
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
	}
}

func sameEvent(a, b client.Event) bool { return a == b }

func eventIDs(events []client.Event) (ids []chat.EventID) {
	for _, ev := range events {
		ids = append(ids, ev.ID)
	}
	return ids
}

// metric is the sum of a metric over all instances.
func metric(t *testing.T, c *cluster.Cluster, name string) (sum float64) {
	t.Helper()
	for _, i := range c.Instances() {
		a := visitor(t, "http://"+i.Admin).get(t, "/metrics")
		for line := range strings.Lines(a.body) {
			if value, ok := strings.CutPrefix(line, name+" "); ok {
				n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
				if err != nil {
					t.Fatal(err)
				}
				sum += n
			}
		}
	}
	return sum
}

// rdb is a client of the cluster's Redis.
func rdb(t *testing.T, c *cluster.Cluster) *redis.Client {
	t.Helper()
	opt, err := redis.ParseURL(c.RedisURL())
	if err != nil {
		t.Fatal(err)
	}
	r := redis.NewClient(opt)
	t.Cleanup(func() { r.Close() })
	return r
}
