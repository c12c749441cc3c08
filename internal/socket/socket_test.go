package socket_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"chatd/internal/audit"
	"chatd/internal/chat"
	"chatd/internal/chattest"
	"chatd/internal/directory"
	"chatd/internal/feed"
	"chatd/internal/presence"
	"chatd/internal/room"
	"chatd/internal/session"
	"chatd/internal/socket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A kit is an instance on an embedded Redis; ?user=NAME stands for a login.
type kit struct {
	*testing.T
	*socket.Server
	url    string
	fails  atomic.Int64           // appends that fail from now on
	blind  atomic.Int64           // looks at who may be in a room that fail from now on
	held   chan struct{}          // looks at who may be in a room wait for it, if there is one
	inside atomic.Int64           // that wait
	during atomic.Pointer[func()] // what happens while bob joins
	joins  atomic.Int64           // looks into the lists for a join
	ended  atomic.Value           // the login that Keep says has ended
}

func (k *kit) Append(ctx context.Context, d feed.Draft) (feed.Receipt, error) {
	if d.Text == "a fault" {
		panic("a fault, of which people are told nothing")
	}
	if k.fails.Add(-1) >= 0 {
		return feed.Receipt{}, fmt.Errorf("append: %w", chat.ErrUnavailable)
	}
	return k.Server.Feed.(*failing).Feed.Append(ctx, d)
}

// failing is the feed, but for appends that the kit lets fail.
type failing struct {
	*feed.Feed
	kit *kit
}

func (f *failing) Append(ctx context.Context, d feed.Draft) (feed.Receipt, error) {
	return f.kit.Append(ctx, d)
}

// unsure is the directory, but for looks that the kit lets fail.
type unsure struct {
	*directory.Directory
	kit *kit
}

func (u *unsure) Check(ctx context.Context, who chat.Actor, room chat.Room) (string, error) {
	if u.kit.blind.Add(-1) >= 0 {
		return "", chat.Unavailable("check", errors.New("no answer"))
	}
	if u.kit.held != nil {
		u.kit.inside.Add(1)
		<-u.kit.held
	}
	return u.Directory.Check(ctx, who, room)
}

// Join and Open let something happen between the look and what follows.
func (u *unsure) Join(ctx context.Context, who chat.Actor, room chat.Room) (directory.Joined, error) {
	u.kit.joins.Add(1)
	joined, err := u.Directory.Join(ctx, who, room)
	u.kit.meanwhile(who)
	return joined, err
}

func (u *unsure) Open(ctx context.Context, who chat.Actor) ([]chat.Room, error) {
	rooms, err := u.Directory.Open(ctx, who)
	u.kit.meanwhile(who)
	return rooms, err
}

func (k *kit) meanwhile(who chat.Actor) {
	if do := k.during.Load(); do != nil && who.Name == "bob" {
		(*do)()
	}
}

func (k *kit) Keep(ctx context.Context, logins []string) ([]string, error) {
	if l, _ := k.ended.Load().(string); l != "" {
		return []string{l}, nil
	}
	return nil, nil
}

func newKit(t *testing.T, sendRate int) *kit {
	rdb, _ := chattest.Embedded(t)
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	f := feed.New(rdb, 1000)
	relay := feed.NewRelay(rdb, "one", log)
	hub := room.NewHub(f, relay, 50, log)
	ledger := audit.New(rdb, 1000)
	k := &kit{T: t}
	k.Server = socket.NewServer(socket.Options{
		Instance: "one", TextMax: 100, Max: 100, PerUser: 5, PerAddr: 7, Admit: 1000, SendRate: sendRate,
		Hub: hub, Feed: &failing{f, k}, Relay: relay, Directory: &unsure{directory.New(rdb, socket.News{}, ledger), k},
		Presence: presence.New(rdb, feed.News, log), Sessions: k, Audit: ledger, Log: log,
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { relay.Run(ctx, k.Server) })
	wg.Go(func() { k.Server.Run(ctx) })
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, from := r.URL.Query().Get("user"), netip.Addr{}
		if strings.HasPrefix(user, "near") {
			from = netip.MustParseAddr("192.0.2.1")
		}
		k.Serve(w, r, session.Session{User: user, Login: "login of " + user, Ends: time.Now().Add(time.Hour)}, "", from, func() {})
	}))
	k.url = web.URL
	t.Cleanup(func() {
		k.Server.Close()
		web.Close()
		cancel()
		wg.Wait()
		hub.Close()
	})
	chattest.Eventually(t, "notices are heard", func() bool { _, ever := relay.Deaf(); return ever })
	return k
}

type peer struct {
	*testing.T
	ws   *websocket.Conn
	rest []string
}

func (k *kit) dial(user string) *peer {
	k.Helper()
	ws, _, err := websocket.Dial(k.Context(), k.url+"?user="+user, &websocket.DialOptions{Subprotocols: []string{chat.Subprotocol}})
	if err != nil {
		k.Fatal(err)
	}
	ws.SetReadLimit(1 << 22)
	k.Cleanup(func() { _ = ws.CloseNow() })
	p := &peer{T: k.T, ws: ws}
	p.want(`"type":"welcome"`)
	return p
}

func (p *peer) write(objects ...string) {
	p.Helper()
	if err := p.ws.Write(p.Context(), websocket.MessageText, []byte(strings.Join(objects, "\n"))); err != nil {
		p.Fatal(err)
	}
}

func (p *peer) next() (string, error) {
	ctx, cancel := context.WithTimeout(p.Context(), 30*time.Second)
	defer cancel()
	return p.read(ctx)
}

func (p *peer) read(ctx context.Context) (string, error) {
	for len(p.rest) == 0 {
		_, data, err := p.ws.Read(ctx)
		if err != nil {
			return "", err
		}
		p.rest = strings.Split(string(data), "\n")
	}
	object := p.rest[0]
	p.rest = p.rest[1:]
	return object, nil
}

// want reads until an object has all parts, and returns it.
func (p *peer) want(parts ...string) string {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), 30*time.Second) // in all: pings come for ever
	defer cancel()
	for {
		object, err := p.read(ctx)
		if err != nil {
			p.Fatalf("waiting for %s: %v", parts, err)
		}
		all := true
		for _, part := range parts {
			all = all && strings.Contains(object, part)
		}
		if all {
			return object
		}
	}
}

// closed reads until the socket is closed, and returns the code.
func (p *peer) closed() int {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), 30*time.Second)
	defer cancel()
	for {
		if _, err := p.read(ctx); err != nil {
			return int(websocket.CloseStatus(err))
		}
	}
}

func send(id int, key, text string) string {
	return fmt.Sprintf(`{"type":"send","id":%d,"room":"general","key":"%s","text":"%s"}`, id, key, text)
}

func TestEachRequestIsAnsweredOnce(t *testing.T) {
	k := newKit(t, 1000)
	alice := k.dial("alice")
	alice.write(`{"type":"join","id":1,"room":"General"}`, send(2, "k", "hi"), send(3, "k", "hi"), send(4, "k", "other"),
		`{"type":"dance","id":5}`, `{"type":"typing","room":"general"}`, `{"type":"history","id":6,"room":"general","limit":201}`,
		`{"type":"history","id":7,"room":"general"}`, `{"type":"rooms","id":8}`, `{"type":"send","id":9,"room":"universe","key":"k","text":"x"}`,
		`{"type":"join","id":10,"room":"@bob:cathy"}`, `{"type":"leave","id":11,"room":"general"}`)
	answers := map[int64]string{}
	for len(answers) < 11 {
		object := alice.want(`"id":`)
		var a struct {
			ID             int64
			Type, Code     string
			Room           string
			Duplicate      bool
			RetryAfterMS   int64 `json:"retry_after_ms"`
			Events, Rooms  []json.RawMessage
			Message, Event string
		}
		if err := json.Unmarshal([]byte(object), &a); err != nil {
			t.Fatal(err)
		}
		if answers[a.ID] != "" {
			t.Fatalf("request %d was answered twice", a.ID)
		}
		answers[a.ID] = fmt.Sprint(a.Type, " ", a.Code, a.Room, " ", a.Duplicate, len(a.Events), len(a.Rooms), a.RetryAfterMS)
	}
	for id, want := range map[int64]string{
		1: "ok general false 0 0 0", 2: "ok general false 0 0 0", 3: "ok general true 0 0 0", 4: "error key_reused false 0 0 0",
		5: "error unknown_type false 0 0 0", 6: "error bad_request false 0 0 0", 7: "ok general false 1 0 0", 8: "ok  false 0 1 0",
		9: "error forbidden false 0 0 0", 10: "error forbidden false 0 0 0", 11: "ok general false 0 0 0",
	} {
		if answers[id] != want {
			t.Errorf("request %d: %q, want %q", id, answers[id], want)
		}
	}
}

// Messages sent without waiting for answers, of which one in the middle fails
// for a while: none overtakes it.
func TestABurstIsNotOvertakenByItself(t *testing.T) {
	k := newKit(t, 1000)
	alice := k.dial("alice")
	alice.write(`{"type":"join","id":1,"room":"general"}`, send(2, "a", "a"))
	alice.want(`"id":2`, `"ok"`)
	k.fails.Store(1)
	alice.write(send(3, "b", "b"), send(4, "c", "c"), `{"type":"send","id":5,"room":"other","key":"x","text":"x"}`, send(6, "c", "c"), send(7, "b", "b"), send(8, "c", "c"))
	for _, want := range []string{`"error","id":3,"code":"unavailable"`, `"error","id":4,"code":"unavailable"`, `"ok","id":5`, `"error","id":6`, `"ok","id":7`, `"ok","id":8`} {
		alice.want(want)
	}
	alice.write(`{"type":"history","id":9,"room":"general"}`)
	history := alice.want(`"id":9`)
	if a, b, c := strings.Index(history, `"text":"a"`), strings.Index(history, `"text":"b"`), strings.Index(history, `"text":"c"`); a < 0 || b < a || c < b {
		t.Fatalf("order in %s", history)
	}

	k.fails.Store(1) // whoever gives up on a message says so by joining
	alice.write(send(10, "d", "d"), `{"type":"join","id":11,"room":"general"}`, send(12, "e", "e"))
	alice.want(`"error","id":10`)
	alice.want(`"ok","id":12`)
}

// A message may fail before anybody looks at it: it is not overtaken either.
func TestWhatIsRefusedUnreadIsNotOvertaken(t *testing.T) {
	k := newKit(t, 2) // 20 requests a second, a thousand at once
	alice := k.dial("alice")
	var flood []string
	for i := range 1000 {
		flood = append(flood, fmt.Sprintf(`{"type":"dance","id":%d}`, 1000+i))
	}
	alice.write(flood...)
	key := ""
	for id := 1; ; id++ { // until it is one that comes too soon behind the others
		key = fmt.Sprint("a", id)
		alice.write(append(flood[:60:60], send(id, key, "a"))...)
		if strings.Contains(alice.want(fmt.Sprintf(`"id":%d,`, id)), `"too_fast"`) {
			break
		}
		if id == 50 {
			t.Fatal("nothing is too fast")
		}
	}
	var answer string
	chattest.Eventually(t, "she may ask again", func() bool {
		alice.write(send(100, "b", "b"))
		answer = alice.want(`"id":100,`)
		return !strings.Contains(answer, "too_fast")
	})
	if !strings.Contains(answer, `"unavailable"`) {
		t.Fatalf("b, behind a that was not repeated: %s", answer)
	}
	chattest.Eventually(t, "a is taken", func() bool {
		alice.write(send(101, key, "a"))
		return strings.Contains(alice.want(`"id":101,`), `"ok"`)
	})
}

// It is not known, for a moment, whether somebody may be in a private room: they are not
// left there as if nothing were said.
func TestWhoMayBeThereAfterAllJoinsAgain(t *testing.T) {
	k := newKit(t, 1000)
	alice := k.dial("alice")
	alice.write(`{"type":"join","id":1,"room":"~den"}`)
	alice.want(`"ok","id":1`)
	k.blind.Store(1)
	k.Control([]byte(`{"for":"alice","room":"~den","out":true}`)) // which may have been said of before
	alice.want(`"type":"reset","room":"~den"`)
	alice.write(`{"type":"join","id":2,"room":"~den"}`, `{"type":"send","id":3,"room":"~den","key":"k","text":"still here"}`)
	alice.want(`"ok","id":2`)
	alice.want(`"type":"message"`, "still here")
}

// Who is banned between the look at their role and the first event is out all the same,
// of universe too.
func TestWhoIsBannedWhileTheyJoinIsOut(t *testing.T) {
	for _, name := range []string{"tea", "universe"} {
		k := newKit(t, 1000)
		alice, bob := k.dial("alice"), k.dial("bob")
		alice.write(`{"type":"join","id":1,"room":"tea"}`)
		alice.want(`"ok","id":1`)
		goOn := make(chan struct{})
		ban := func() {
			if _, err := k.Directory.SetRole(t.Context(), chat.Actor{Name: "alice"}, "tea", "bob", chat.Banned); err != nil {
				t.Error(err)
			}
			k.Control([]byte(`{"for":"bob","room":"tea","role":true}`))
			<-goOn
		}
		k.during.Store(&ban)
		bob.write(`{"type":"join","id":2,"room":"` + name + `"}`)
		if name == "tea" {
			bob.want(`"type":"relist"`) // which found nothing to put him out of
		}
		close(goOn)
		bob.want(`"ok","id":2`)
		bob.want(`"type":"relist"`)
		alice.write(`{"type":"send","id":2,"room":"tea","key":"k","text":"bob is gone"}`)
		alice.want("bob is gone")
		bob.write(`{"type":"rooms","id":3}`)
		for {
			object, err := bob.next()
			if err != nil || strings.Contains(object, "bob is gone") {
				t.Fatalf("%s, %v", object, err)
			}
			if strings.Contains(object, `"id":3`) {
				break
			}
		}
	}
}

// Of roles and topics everybody in the room hears, and the audit log keeps each: who
// changes them without end is slowed down.
func TestDeedsAreBounded(t *testing.T) {
	k := newKit(t, 1000)
	alice := k.dial("alice")
	alice.write(`{"type":"join","id":1,"room":"tea"}`)
	alice.want(`"ok","id":1`)
	began, done := time.Now(), 0
	for i := range 110 {
		role := []string{"muted", "member"}[i%2]
		alice.write(fmt.Sprintf(`{"type":"role","id":%d,"room":"tea","user":"bob","role":"%s"}`, i+2, role))
		if answer := alice.want(fmt.Sprintf(`"id":%d`, i+2)); strings.Contains(answer, `"ok"`) {
			done++
		} else if !strings.Contains(answer, `"too_fast"`) || !strings.Contains(answer, `"retry_after_ms"`) {
			t.Fatal(answer)
		}
	}
	if most := 100 + time.Since(began).Seconds()/2; done < 100 || float64(done) > most { // one comes back every two seconds
		t.Fatalf("%d changes at once", done)
	}
	topics := ""
	for id := 200; id < 203; id++ { // for one of which there may be place again
		alice.write(fmt.Sprintf(`{"type":"topic","id":%d,"room":"tea","text":"x"}`, id))
		topics += alice.want(fmt.Sprintf(`"id":%d`, id))
	}
	if !strings.Contains(topics, `"too_fast"`) {
		t.Fatalf("and topics: %s", topics)
	}
	alice.write(`{"type":"send","id":210,"room":"tea","key":"k","text":"x"}`)
	alice.want(`"ok","id":210`)
	_ = alice.ws.CloseNow()
	again := k.dial("alice")
	again.write(`{"type":"join","id":1,"room":"tea"}`)
	topics = ""
	for id := 2; id < 12; id++ { // there may be place for some
		again.write(fmt.Sprintf(`{"type":"topic","id":%d,"room":"tea","text":"x"}`, id))
		topics += again.want(fmt.Sprintf(`"id":%d`, id))
	}
	if !strings.Contains(topics, `"too_fast"`) {
		t.Fatalf("and by a new socket: %s", topics)
	}

	// All people of one address fill the log no faster than a few.
	began, done = time.Now(), 0
	for n := range 6 {
		p := k.dial(fmt.Sprint("near", n))
		p.write(`{"type":"join","id":1,"room":"tea"}`)
		p.want(`"ok","id":1`)
		for id := 2; id < 102; id++ {
			p.write(fmt.Sprintf(`{"type":"topic","id":%d,"room":"tea","text":"x"}`, id))
			if strings.Contains(p.want(fmt.Sprintf(`"id":%d`, id)), `"ok"`) {
				done++
			}
		}
		_ = p.ws.CloseNow()
	}
	if most := 500 + 2*time.Since(began).Seconds(); done < 500 || float64(done) > most {
		t.Fatalf("%d topics from one address at once", done)
	}
}

// What is remembered of messages that are to be repeated is bounded.
func TestWhoRepeatsNothingIsClosed(t *testing.T) {
	k := newKit(t, 1000)
	alice := k.dial("alice")
	k.fails.Store(1 << 30)
	for i := range 501 {
		alice.write(fmt.Sprintf(`{"type":"send","id":%d,"room":"@bob%d","key":"k","text":"x"}`, i, i))
	}
	if code := alice.closed(); code != chat.CloseTooFast {
		t.Fatalf("closed with %d", code)
	}
}

func TestWhoIsTooFastIsSlowedAndThenClosed(t *testing.T) {
	k := newKit(t, 2)
	alice, bob := k.dial("alice"), k.dial("bob")
	began, n := time.Now(), 1
	for ; ; n++ {
		alice.write(send(n, fmt.Sprint("k", n), "x"))
		answer := alice.want(fmt.Sprintf(`"id":%d`, n))
		if strings.Contains(answer, `"too_fast"`) {
			if n <= 4 || !strings.Contains(answer, `"retry_after_ms":`) {
				t.Fatalf("the %dth message: %s", n, answer)
			}
			break
		}
		if most := 4 + 2*time.Since(began).Seconds(); float64(n) > most { // at once, and what came back meanwhile
			t.Fatalf("%d messages passed", n)
		}
	}
	bob.write(send(1, "k", "not bob's fault"))
	bob.want(`"ok","id":1`)
	// Many in a frame: none is to pass that comes between so many that are too fast.
	again := []byte(strings.Join(slices.Repeat([]string{send(n, fmt.Sprint("k", n), "x")}, 250), "\n"))
	go func() {
		for alice.ws.Write(t.Context(), websocket.MessageText, again) == nil {
		}
	}()
	if code := alice.closed(); code != chat.CloseTooFast {
		t.Fatalf("closed with %d", code)
	}
}

func TestAnEndedLoginHasNoSocketASecondLater(t *testing.T) {
	k := newKit(t, 1000)
	alice, other, bob := k.dial("alice"), k.dial("alice"), k.dial("bob")
	start, behind := time.Now(), chattest.Late(t)
	k.LoginEnded(t.Context(), "login of alice")
	alice.want(`"type":"logout"`)
	if code := alice.closed(); code != chat.CloseLoggedOut {
		t.Fatalf("closed with %d", code)
	}
	// The other one does not read, and so does not answer the close.
	chattest.Eventually(t, "both sockets are gone", func() bool { return k.Count() == 1 })
	if took := time.Since(start); took > time.Second+behind() {
		t.Fatalf("the sockets were gone after %v, of which the machine was late %v", took, behind())
	}
	_ = other
	bob.write(`{"type":"rooms","id":1}`)
	bob.want(`"ok","id":1`)

	// A handshake that saw the login as good a moment ago.
	ws, _, err := websocket.Dial(t.Context(), k.url+"?user=alice", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	late := &peer{T: t, ws: ws}
	if code := late.closed(); code != chat.CloseLoggedOut {
		t.Fatalf("closed with %d", code)
	}
}

// A peer that stopped reading has more in its way than the network takes.
func TestAPeerThatDoesNotReadIsNotWaitedFor(t *testing.T) {
	for name, end := range map[string]func(*kit){
		"logout": func(k *kit) { k.LoginEnded(t.Context(), "login of alice") },
		"close":  func(k *kit) { k.Server.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t, 1000)
			alice := k.dial("alice")
			alice.write(`{"type":"join","id":1,"room":"general"}`)
			alice.want(`"ok","id":1`)
			big := []byte(`{"type":"typing","text":"` + strings.Repeat("x", 500<<10) + `"}`)
			for range 40 { // what the queue does not take is shed
				if err := k.Relay.Publish(t.Context(), "general", big); err != nil {
					t.Fatal(err)
				}
			}
			bob := k.dial("bob")
			bob.write(`{"type":"join","id":1,"room":"general"}`, send(2, "k", "fence"))
			bob.want(`"from":"bob"`) // so alice's are in her queue
			_ = bob.ws.Close(websocket.StatusNormalClosure, "")
			start, behind := time.Now(), chattest.Late(t)
			end(k)
			chattest.Eventually(t, "her socket is gone", func() bool { return k.Count() == 0 })
			if took := time.Since(start); took > 1500*time.Millisecond+behind() {
				t.Fatalf("her socket was gone after %v, of which the machine was late %v", took, behind())
			}
		})
	}
}

// A peer that reads little gets all of what it missed, in its order, and its pings are
// answered in between.
func TestWhatIsTakenSlowlyIsWhole(t *testing.T) {
	k := newKit(t, 1000)
	const all = 60 // 3.6 MB, twice: more than the network takes from who does not read
	rooms := []chat.Room{"general", "other"}
	first := map[chat.Room]chat.EventID{}
	for n := range all {
		for _, name := range rooms {
			r, err := k.Feed.Append(t.Context(), feed.Draft{Kind: chat.Message, Room: name, From: "bob", Key: fmt.Sprint(n), Text: strings.Repeat("x", 60_000)})
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				first[name] = r.Event
			}
		}
	}
	bob := k.dial("bob")
	bob.write(`{"type":"join","id":1,"room":"other"}`)
	bob.want(`"id":1`)
	alice := k.dial("alice")
	for i, name := range rooms {
		alice.write(fmt.Sprintf(`{"type":"join","id":%d,"room":"%s","after":"%s"}`, i, name, first[name]))
	}
	bob.want(`"presence"`, `"alice"`) // so it is all on its way to her
	pong := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		pong <- alice.ws.Ping(ctx)
	}()
	type event struct {
		Type   string
		Room   chat.Room
		Seq    int64
		Event  chat.EventID
		Prev   chat.EventID
		Events []event
	}
	seen := maps.Clone(first)
	for seen["general"].Seq() < all || seen["other"].Seq() < all {
		object, err := alice.next()
		if err != nil {
			t.Fatal(err)
		}
		var o event
		if err := json.Unmarshal([]byte(object), &o); err != nil {
			t.Fatal(err)
		}
		if o.Type == chat.Message {
			o.Events = []event{o}
		}
		for _, ev := range o.Events {
			if ev.Prev != seen[ev.Room] {
				t.Fatalf("%s: %s after %s where %s is the last", ev.Room, ev.Event, ev.Prev, seen[ev.Room])
			}
			seen[ev.Room] = ev.Event
		}
	}
	go alice.closed() // reads on
	if err := <-pong; err != nil {
		t.Fatal(err)
	}
}

func TestAnExpiredLoginIsFoundAtItsEnd(t *testing.T) {
	k := newKit(t, 1000)
	k.ended.Store("login of alice")
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.Serve(w, r, session.Session{User: "alice", Login: "login of alice", Ends: time.Now().Add(100 * time.Millisecond)}, "", netip.Addr{}, func() {})
	}))
	t.Cleanup(web.Close)
	k.url = web.URL
	if code := k.dial("alice").closed(); code != chat.CloseLoggedOut {
		t.Fatalf("closed with %d", code)
	}
}

// What one request brings may be much. Who asks for it over and over is too fast.
func TestMuchHistoryCountsForManyRequests(t *testing.T) {
	k := newKit(t, 1) // ten requests a second, and a thousand at once
	f := k.Feed
	var first chat.EventID
	for n := range 60 {
		r, err := f.Append(t.Context(), feed.Draft{Kind: chat.Message, Room: "general", From: "bob", Key: fmt.Sprint(n), Text: strings.Repeat("x", 60_000)})
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			first = r.Event
		}
	}
	alice := k.dial("alice")
	for n := 1; ; n++ {
		alice.write(fmt.Sprintf(`{"type":"join","id":%d,"room":"general","after":"%s"}`, n, first))
		object := alice.want(fmt.Sprintf(`"id":%d`, n))
		if strings.Contains(object, "too_fast") {
			if n < 10 || !strings.Contains(object, "retry_after_ms") {
				t.Fatalf("after %d joins: %s", n, object)
			}
			return
		}
		if n == 100 {
			t.Fatal("3.5 MB, a hundred times, and nobody minds")
		}
	}
}

// What is read to answer counts, and not only what the answer has.
func TestWhatIsLookedAtCounts(t *testing.T) {
	k := newKit(t, 1)
	for n := range 60 {
		if _, err := k.Feed.Append(t.Context(), feed.Draft{Kind: chat.Message, Room: "general", From: "bob", Key: fmt.Sprint(n), Text: strings.Repeat("x", 60_000)}); err != nil {
			t.Fatal(err)
		}
	}
	var last feed.Receipt
	for n, kind := range []string{chat.Message, chat.Message, chat.Retracted} {
		target := last.Event
		if kind == chat.Message {
			target = ""
		}
		var err error
		if last, err = k.Feed.Append(t.Context(), feed.Draft{Kind: kind, Room: "tea", From: "bob", Key: fmt.Sprint(n), Target: target}); err != nil {
			t.Fatal(err)
		}
	}
	for user, request := range map[string]string{
		"erin":  `{"type":"history","room":"tea","id":`, // there may be many such places, which are all read
		"frank": `{"type":"join","room":"tea","id":`,
		"gina":  `{"type":"join","room":"general","id":`, // 3 MB are read to find that they are too long for an answer
		"alice": `{"type":"history","room":"general","limit":60,"id":`, "carol": `{"type":"search","room":"general","text":"y","id":`, "dave": `{"type":"find","id":`,
	} {
		began := time.Now()
		p := k.dial(user)
		p.write(`{"type":"join","id":1,"room":"general"}`)
		p.want(`"id":1`)
		n := 2
		for ; ; n++ {
			p.write(fmt.Sprint(request, n, "}"))
			object := p.want(fmt.Sprintf(`"id":%d`, n))
			if strings.Contains(object, "too_fast") {
				break
			}
			// A thousand, and what came back meanwhile. Who has anything left may ask once
			// more; each that was answered before cost 17 and more.
			has := 1000 + 10*time.Since(began).Seconds()
			if float64(17*(n-2)) > has || !strings.Contains(object, `"ok"`) {
				t.Fatalf("%s asks for much the %dth time: %.200s", user, n, object)
			}
		}
		if n < 5 {
			t.Errorf("%s is refused the %dth request", user, n)
		}
	}
}

// Who comes and goes is shown to everybody in the room: nobody flickers faster than they
// may speak.
func TestLeavingCountsAsAMessage(t *testing.T) {
	k := newKit(t, 1)
	p := k.dial("alice")
	n, began := 1, time.Now()
	for ; ; n += 2 {
		p.write(fmt.Sprintf(`{"type":"join","id":%d,"room":"tea"}`, n), fmt.Sprintf(`{"type":"leave","id":%d,"room":"tea"}`, n+1))
		if strings.Contains(p.want(fmt.Sprintf(`"id":%d`, n))+p.want(fmt.Sprintf(`"id":%d`, n+1)), "too_fast") {
			break
		}
	}
	if most := 2 * (1000 + 10*time.Since(began).Seconds()) / 11; float64(n) > most || n < 50 {
		t.Errorf("too fast after %d joins and leaves, want %.0f", n, most)
	}
}

// Of a few hundred people who look through much in one moment, each takes several
// megabytes: they wait for one another.
func TestLooksThroughMuchWaitForOneAnother(t *testing.T) {
	k := newKit(t, 100)
	k.held = make(chan struct{})
	var wg sync.WaitGroup
	for n := range 16 {
		wg.Go(func() {
			if _, _, err := k.History(t.Context(), chat.Actor{Name: fmt.Sprint("p", n)}, "general", "", 0); err != nil {
				t.Error(err)
			}
		})
	}
	chattest.Eventually(t, "sixteen look", func() bool { return k.inside.Load() == 16 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var told *chat.Error
	if _, _, err := k.History(ctx, chat.Actor{Name: "alice"}, "general", "", 0); !errors.As(err, &told) || told.RetryAfter == 0 || k.inside.Load() != 16 {
		t.Errorf("one more: %v", err)
	}
	close(k.held)
	wg.Wait()
	if _, _, err := k.History(t.Context(), chat.Actor{Name: "alice"}, "general", "", 0); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// The audit log keeps a number of lines: nobody writes so many that others are lost.
func TestTakingBackOthersMessagesIsADeed(t *testing.T) {
	k := newKit(t, 1000)
	alice := k.dial("alice")
	alice.write(`{"type":"join","id":1,"room":"tea"}`)
	alice.want(`"id":1`)
	for n := 2; ; n++ {
		r, err := k.Feed.Append(t.Context(), feed.Draft{Kind: chat.Message, Room: "tea", From: "bob", Key: fmt.Sprint(n), Text: "x"})
		if err != nil {
			t.Fatal(err)
		}
		alice.write(fmt.Sprintf(`{"type":"retract","id":%d,"room":"tea","key":"r%d","target":"%s"}`, n, n, r.Event))
		object := alice.want(fmt.Sprintf(`"id":%d`, n))
		if strings.Contains(object, "too_fast") && n > 90 {
			return
		}
		if n == 150 || !strings.Contains(object, `"ok"`) {
			t.Fatalf("the %dth message is taken back: %s", n, object)
		}
	}
}

// Read positions are kept for rooms that a person reads, not for whatever they name.
// Who speaks in a room without reading it has it on their list, which is not looked at
// for each word, but again when they took it off.
func TestWhereOneSpeaksIsOnTheList(t *testing.T) {
	k := newKit(t, 1000)
	bot, page := k.dial("alice"), k.dial("alice")
	for i := range 5 {
		bot.write(send(i, fmt.Sprint("k", i), "x"))
		bot.want(`"ok"`)
	}
	if n := k.joins.Load(); n != 1 {
		t.Errorf("the lists were looked at %d times for five messages", n)
	}
	page.write(`{"type":"leave","id":1,"room":"general"}`)
	page.want(`"id":1`)
	bot.want(`"relist"`)
	bot.write(`{"type":"rooms","id":10}`)
	if list := bot.want(`"id":10`); !strings.Contains(list, `"joined":false`) {
		t.Fatalf("left, and on the list: %s", list)
	}
	bot.write(send(11, "k11", "x"), `{"type":"rooms","id":12}`)
	if list := bot.want(`"id":12`); strings.Contains(list, `"joined":false`) {
		t.Fatalf("spoken in, and not on the list: %s", list)
	}
}

func TestNobodyMarksWhatTheyDoNotRead(t *testing.T) {
	k := newKit(t, 1000)
	alice := k.dial("alice")
	alice.write(`{"type":"read","id":1,"room":"~board","event":"","back":1}`, `{"type":"read","id":2,"room":"nowhere","event":"","back":1}`,
		`{"type":"join","id":3,"room":"tea"}`, `{"type":"read","id":4,"room":"tea","event":"","back":1}`)
	for id, want := range []string{1: "bad_request", 2: "bad_request", 4: `"ok"`} {
		if want != "" {
			alice.want(fmt.Sprintf(`"id":%d`, id), want)
		}
	}
}

// Clients that move have time to; who does not move is closed with 1012 inside
// the drain, and who comes meanwhile is asked to move too.
func TestDrainIsBounded(t *testing.T) {
	k := newKit(t, 1000)
	moves, stays := k.dial("alice"), k.dial("bob")
	const within = 2 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	start, behind, done := time.Now(), chattest.Late(t), make(chan time.Duration, 1)
	go func() { k.Drain(ctx); done <- time.Since(start) }()
	moves.want(`"type":"drain","within_ms":`)
	if err := moves.ws.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Fatal(err)
	}
	k.dial("cathy").want(`"type":"drain","within_ms":`)
	stays.want(`"type":"drain"`)
	if code := stays.closed(); code != chat.CloseRestart {
		t.Fatalf("closed with %d", code)
	}
	if took := <-done; took < within/2 || took > within+100*time.Millisecond+behind() {
		t.Fatalf("the drain took %v, of which the machine was late %v", took, behind())
	}
}

func TestDrainEndsWhenAllHaveMoved(t *testing.T) {
	k := newKit(t, 1000)
	alice := k.dial("alice")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan struct{})
	go func() { k.Drain(ctx); close(done) }()
	alice.want(`"type":"drain"`)
	_ = alice.ws.Close(websocket.StatusNormalClosure, "")
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the drain waits for nobody")
	}
}

func TestBadFramesCloseOneSocketOnly(t *testing.T) {
	k := newKit(t, 1000)
	good := k.dial("good")
	for name, c := range map[string]struct {
		kind websocket.MessageType
		data string
		want int
	}{
		"not JSON":      {websocket.MessageText, "hello", chat.CloseBadFrame},
		"an array":      {websocket.MessageText, "[]", chat.CloseBadFrame},
		"without an id": {websocket.MessageText, `{"type":"rooms"}`, chat.CloseBadFrame},
		"not UTF-8":     {websocket.MessageText, "{\"type\":\"\xff\"}", chat.CloseBadFrame},
		"binary":        {websocket.MessageBinary, `{"type":"rooms","id":1}`, chat.CloseBadFrame},
		"too large":     {websocket.MessageText, `{"type":"` + strings.Repeat("x", chat.MaxFrameBytes) + `"}`, chat.CloseTooLarge},
	} {
		bad := k.dial("bad")
		if err := bad.ws.Write(t.Context(), c.kind, []byte(c.data)); err != nil {
			t.Fatal(err)
		}
		if code := bad.closed(); code != c.want {
			t.Errorf("%s: closed with %d, want %d", name, code, c.want)
		}
	}
	good.write(`{"type":"rooms","id":1}`)
	good.want(`"ok","id":1`)
}

// A fault in what carries out one request is one request's.
func TestAFaultEndsOneRequestOfASocketOnly(t *testing.T) {
	k := newKit(t, 1000)
	alice, bob := k.dial("alice"), k.dial("bob")
	bob.write(`{"type":"join","id":1,"room":"general"}`)
	bob.want(`"ok","id":1`)
	alice.write(send(1, "a", "a fault"))
	if answer := alice.want(`"error","id":1,"code":"internal"`); strings.Contains(answer, "people are told") || strings.Contains(answer, "goroutine") || !strings.Contains(answer, `"retry_after_ms"`) {
		t.Errorf("the answer to a fault is %s", answer)
	}
	alice.write(`{"type":"join","id":2,"room":"general"}`, send(3, "b", "still here"))
	alice.want(`"ok","id":3`)
	bob.want("still here")
}

// One person or address cannot have all sockets of an instance. Proxies are not counted.
func TestSocketsOfOnePersonAndAddressAreBounded(t *testing.T) {
	s := socket.NewServer(socket.Options{Max: 100, PerUser: 2, PerAddr: 3, Admit: 1000, SendRate: 1, Log: slog.New(slog.DiscardHandler)})
	defer s.Close()
	var release []func()
	take := func(user, from string, want error) {
		t.Helper()
		var addr netip.Addr
		if from != "" {
			addr = netip.MustParseAddr(from)
		}
		done, err := s.Reserve(user, addr)
		if !errors.Is(err, want) {
			t.Errorf("%s from %q: %v, want %v", user, from, err, want)
		}
		if err == nil {
			release = append(release, done)
		}
		full := errors.Is(want, socket.ErrTooMany) && user == "new"
		if err := s.Admit(t.Context(), addr); errors.Is(err, socket.ErrTooMany) != full && user == "new" {
			t.Errorf("from %q: admitted with %v", from, err)
		}
	}
	take("alice", "192.0.2.1", nil)
	take("alice", "192.0.2.2", nil)
	take("alice", "192.0.2.3", socket.ErrTooMany) // the third of one person
	take("bob", "192.0.2.1", nil)
	take("cathy", "192.0.2.1", nil)
	take("new", "192.0.2.1", socket.ErrTooMany) // the fourth of one address
	take("new", "::ffff:192.0.2.1", socket.ErrTooMany)
	take("new", "192.0.2.9", nil)
	for i := range 3 {
		take(fmt.Sprint("six", i), fmt.Sprintf("2001:db8::%d:1", i), nil)
	}
	take("new", "2001:db8::ffff:2", socket.ErrTooMany) // of one /64
	take("seven", "2001:db8:0:1::1", nil)
	for i := range 10 {
		take(fmt.Sprint("behind", i), "", nil)
	}
	for _, done := range release {
		done()
	}
	release = nil
	take("alice", "192.0.2.1", nil)
	take("new", "2001:db8::1", nil)
}

func TestHandshakesWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := socket.NewServer(socket.Options{Admit: 10, Max: 100})
		defer s.Close()
		var admitted, refused atomic.Int64
		var wg sync.WaitGroup
		start := time.Now()
		for range 50 {
			wg.Go(func() {
				switch err := s.Admit(t.Context(), netip.Addr{}); {
				case err == nil:
					admitted.Add(1)
				case errors.Is(err, socket.ErrPutOff):
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		// Ten at once, and those whose turn, each a tenth of a second, is near.
		if n, took := admitted.Load(), time.Since(start); n < 12 || n > 13 || n+refused.Load() != 50 || took > 300*time.Millisecond {
			t.Fatalf("%d admitted, %d put off, in %v", n, refused.Load(), took)
		}
	})
}

// A guest who came under an administrator's name before it was one has no rights by it.
func TestNoGuestIsAnAdministrator(t *testing.T) {
	s := socket.NewServer(socket.Options{Admins: []string{"root"}, Admit: 1, Log: slog.New(slog.DiscardHandler)})
	defer s.Close()
	for _, c := range []struct {
		ses  session.Session
		want bool
	}{
		{session.Session{User: "root"}, true}, {session.Session{User: "root", Guest: true}, false}, {session.Session{User: "alice"}, false},
	} {
		if who := s.Actor(c.ses, "192.0.2.1"); who.Admin != c.want || who.Name != c.ses.User {
			t.Errorf("%+v is %+v", c.ses, who)
		}
	}
}
