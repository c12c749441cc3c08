package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"chatd/internal/chat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A script is a server that does what the test says, over pipes in memory, so
// that in a synctest bubble its time is the test's time.
type script struct {
	t     *testing.T
	peers chan *peer
	http  *http.Server

	mu      sync.Mutex
	refresh http.HandlerFunc // nil: 200 for alice
	shake   http.HandlerFunc // nil: accept; it answers instead of the handshake
	tries   []time.Time      // when refreshes came
}

// A peer is the server's end of one socket.
type peer struct {
	t    *testing.T
	ws   *websocket.Conn
	reqs chan map[string]any
	err  chan error // how its reads ended
}

type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "script"} }

// start runs a script and a client of it in a bubble. Options' URL, User,
// Transport and Observer are the kit's, Rand is 0.5 if not set.
func start(t *testing.T, opt Options, test func(*testing.T, *script, *Client, *recorder)) {
	synctest.Test(t, func(t *testing.T) {
		listener := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		s := &script{t: t, peers: make(chan *peer, 10)}
		s.http = &http.Server{Handler: http.HandlerFunc(s.serve)}
		served := make(chan struct{})
		go func() { defer close(served); s.http.Serve(listener) }()

		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			near, far := net.Pipe()
			select {
			case listener.conns <- far:
				return near, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}}
		rec := &recorder{t: t}
		opt.URL, opt.User, opt.Transport, opt.Observer = "http://chat.test", "Alice", transport, rec
		if opt.Rand == nil {
			opt.Rand = func() float64 { return 0.5 }
		}
		c, err := New(opt)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		rec.stop = func() error { cancel(errTestOver); return <-done }
		defer func() {
			if rec.stop != nil {
				rec.stop()
			}
			s.http.Close()
			transport.CloseIdleConnections()
			<-served
		}()
		test(t, s, c, rec)
	})
}

var errTestOver = errors.New("the test is over")

func (s *script) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	refresh, shake := s.refresh, s.shake
	s.mu.Unlock()
	if r.Header.Get("Origin") != "http://chat.test" {
		http.Error(w, "foreign", http.StatusForbidden)
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /session/refresh":
		s.mu.Lock()
		s.tries = append(s.tries, time.Now())
		s.mu.Unlock()
		if refresh != nil {
			refresh(w, r)
			return
		}
		fmt.Fprint(w, `{"user":"alice","instance":"i","expires_at":"2030-01-01T00:00:00Z"}`)
	case "GET /ws":
		if shake != nil {
			shake(w, r)
			return
		}
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{chat.Subprotocol}})
		if err != nil {
			s.t.Errorf("accept: %v", err)
			return
		}
		ws.SetReadLimit(chat.MaxFrameBytes)
		p := &peer{t: s.t, ws: ws, reqs: make(chan map[string]any, 1000), err: make(chan error, 1)}
		s.peers <- p
		for {
			_, b, err := ws.Read(context.Background())
			if err != nil {
				p.err <- err
				close(p.reqs)
				return
			}
			for line := range strings.SplitSeq(string(b), "\n") {
				var req map[string]any
				if err := json.Unmarshal([]byte(line), &req); err != nil {
					s.t.Errorf("client sent %q: %v", line, err)
				}
				p.reqs <- req
			}
		}
	default:
		http.NotFound(w, r)
	}
}

func (s *script) answerRefresh(h http.HandlerFunc) { s.mu.Lock(); s.refresh = h; s.mu.Unlock() }
func (s *script) answerShake(h http.HandlerFunc)   { s.mu.Lock(); s.shake = h; s.mu.Unlock() }

func status(code int, retryAfter string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(code)
	}
}

func (s *script) triedAt() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Time(nil), s.tries...)
}

// accept waits for the next socket and welcomes it.
func (s *script) accept(instance string) *peer {
	s.t.Helper()
	p := s.acceptSilent()
	p.say(`{"type":"welcome","user":"alice","instance":%q,"session_expires_at":"2030-01-01T00:00:00Z","ping_ms":25000,"limits":{"text":4000}}`, instance)
	return p
}

func (s *script) acceptSilent() *peer {
	s.t.Helper()
	select {
	case p := <-s.peers:
		return p
	case <-time.After(time.Hour):
		s.t.Fatal("no socket was opened")
		return nil
	}
}

func (p *peer) say(format string, args ...any) {
	p.t.Helper()
	if err := p.ws.Write(p.t.Context(), websocket.MessageText, fmt.Appendf(nil, format, args...)); err != nil {
		p.t.Fatalf("say: %v", err)
	}
}

// want waits for the next request, which must be of this type with these
// fields ("name", value, ...) and no others but id, and returns its id.
func (p *peer) want(typ string, fields ...any) int64 {
	p.t.Helper()
	var req map[string]any
	select {
	case req = <-p.reqs:
	case <-time.After(time.Hour):
		p.t.Fatalf("no %s came", typ)
	}
	want := map[string]any{"type": typ}
	if id, ok := req["id"]; ok {
		want["id"] = id
	}
	for i := 0; i < len(fields); i += 2 {
		want[fields[i].(string)] = fields[i+1]
		if fields[i+1] == any(anything) {
			want[fields[i].(string)] = req[fields[i].(string)]
		}
	}
	if !reflect.DeepEqual(req, want) {
		p.t.Fatalf("request is %v, want %v", req, want)
	}
	id, _ := req["id"].(float64)
	return int64(id)
}

const anything = "\x00"

func (p *peer) quiet() {
	p.t.Helper()
	synctest.Wait()
	select {
	case req, open := <-p.reqs:
		if open {
			p.t.Fatalf("unwanted request %v", req)
		}
	default:
	}
}

// joined answers a join of room with events that end at head.
func (p *peer) joined(id int64, room string, resumed bool, events ...string) {
	p.t.Helper()
	head := ""
	if n := len(events); n > 0 {
		var ev Event
		if err := json.Unmarshal([]byte(events[n-1]), &ev); err != nil {
			p.t.Fatal(err)
		}
		head = string(ev.ID)
	}
	p.say(`{"type":"ok","id":%d,"room":%q,"resumed":%v,"events":[%s],"head":%q,"here":["alice"]}`, id, room, resumed, strings.Join(events, ","), head)
}

func (p *peer) kept(id int64, room string, seq int64) {
	p.t.Helper()
	p.say(`{"type":"ok","id":%d,"room":%q,"event":%q,"seq":%d,"duplicate":false}`, id, room, testID(seq), seq)
}

// ev returns an event's JSON.
func ev(room string, seq int64) string {
	prev := chat.EventID("")
	if seq > 1 {
		prev = testID(seq - 1)
	}
	return fmt.Sprintf(`{"type":"message","room":%q,"seq":%d,"event":%q,"prev":%q,"from":"bob","at":"2026-11-21T08:00:00.123Z","key":"k%d","text":"text %d"}`, room, seq, testID(seq), prev, seq, seq)
}

// end returns the code with which the client closed the socket.
func (p *peer) end() websocket.StatusCode {
	p.t.Helper()
	select {
	case err := <-p.err:
		return websocket.CloseStatus(err)
	case <-time.After(time.Hour):
		p.t.Fatal("the client keeps the socket")
		return 0
	}
}

func (p *peer) open() {
	p.t.Helper()
	synctest.Wait()
	select {
	case err := <-p.err:
		p.t.Fatalf("socket is closed: %v", err)
	default:
	}
}

// A recorder is an Observer that keeps all facts as short words.
type recorder struct {
	t    *testing.T
	stop func() error // ends Run and returns its error; nil when it has ended

	mu    sync.Mutex
	facts []Fact
}

func (r *recorder) Observe(f Fact) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.facts = append(r.facts, f)
}

// ended waits for Run.
func (r *recorder) ended() error {
	r.t.Helper()
	stop := r.stop
	r.stop = nil
	synctest.Wait()
	return stop()
}

// words returns what happened since the last call, one word per fact: what a
// person sees as SEQ, replays as +SEQ, a new view as =[SEQ ...].
func (r *recorder) words() string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	var words []string
	for _, f := range r.facts {
		words = append(words, word(f))
	}
	r.facts = nil
	return strings.Join(words, " ")
}

func word(f Fact) string {
	switch f := f.(type) {
	case Shown:
		if f.Replay {
			return fmt.Sprintf("+%s/%d", f.Event.Room, f.Event.Seq)
		}
		return fmt.Sprintf("%s/%d", f.Event.Room, f.Event.Seq)
	case Replaced:
		seqs := []int64{}
		for _, ev := range f.Events {
			seqs = append(seqs, ev.Seq)
		}
		return fmt.Sprintf("%s=%d", f.Room, seqs)
	case Joined:
		return "joined:" + f.Room
	case Gap:
		return fmt.Sprintf("gap:%s@%d", f.Room, f.Have.Seq())
	case Confirmed:
		return fmt.Sprintf("kept:%s/%d", f.Room, f.Seq)
	case Refused:
		return "refused:" + f.Code
	case Delayed:
		return "delayed:" + f.Code
	case Opened:
		return "opened:" + f.Instance
	case Live:
		return "live:" + f.Instance
	case Draining:
		return "drain:" + f.Instance
	case Closed:
		if f.Code > 0 {
			return fmt.Sprintf("closed:%s:%d", f.Instance, f.Code)
		}
		for _, err := range []error{errSilent, errNoAnswer, errMoved, errBroken, errStopped} {
			if errors.Is(f.Err, err) {
				return fmt.Sprintf("closed:%s:%v", f.Instance, err)
			}
		}
		return "closed:" + f.Instance + ":lost"
	case Failed:
		return fmt.Sprintf("failed:%d", f.Status)
	case Notice:
		return "notice:" + f.Type
	case Wrong:
		return "wrong"
	case LoggedOut:
		return "out"
	}
	return fmt.Sprintf("%T", f)
}

func (r *recorder) want(words string) {
	r.t.Helper()
	if got := r.words(); got != words {
		r.t.Fatalf("happened:\n  %s\nwant:\n  %s", got, words)
	}
}
