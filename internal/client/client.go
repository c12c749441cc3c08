// Package client is a person's chat client: it keeps one person connected,
// shows every room in order and without gaps, and gets what they write to the
// server once, through crashes, restarts and lost networks. It follows the rules
// that docs/protocol.md sets for clients, as the page in the browser does.
//
// It is for bots, tests and drills: several thousand clients fit in one process,
// with two goroutines each. It judges nothing: an [Observer] is told everything.
// It knows the wire contract and nothing of the server's inside.
package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mrand "math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"chatd/internal/chat"
)

var (
	// ErrLoggedOut says that the server, in clear words, ended the login.
	ErrLoggedOut = errors.New("logged out")
	// ErrOtherUser says that the session is not that of Options.User. Nothing
	// was sent in the other person's name.
	ErrOtherUser = errors.New("the session is another person's")
)

const (
	connectTimeout = 15 * time.Second // refresh, handshake and welcome together
	writeTimeout   = 10 * time.Second
	answerTimeout  = 30 * time.Second // a socket that leaves a request so long is dead
	pingGrace      = 10 * time.Second
	settled        = 5 * time.Second // so long live, and the next loss starts with short waits again
	lingerTimeout  = 2 * time.Second // for answers on the old socket of a move
	closeTimeout   = time.Second     // for the other side's part of the closing handshake
	maxFrameBytes  = 64 << 20        // from the server: a join may bring 500 long messages
)

// Options say who the client is and how it behaves. Only URL and User are needed.
type Options struct {
	URL    string // of the server: http or https, no path
	User   string // folded to its canonical form
	Origin string // of the handshake and of changing requests; "" means URL

	// Transport makes the requests; nil means http.DefaultTransport. Many
	// clients share one.
	Transport http.RoundTripper
	// Jar holds the session's cookie; nil makes one. Clients that share a jar
	// are the tabs of one browser.
	Jar http.CookieJar

	Observer Observer     // nil: nobody looks
	Logger   *slog.Logger // nil: nothing is logged

	// Follow joins all rooms on the person's list, direct conversations that
	// others began included, besides those given to Join.
	Follow bool

	// MinWait and MaxWait bound the random wait before another try; 0 means
	// 0.25 s and 20 s.
	MinWait, MaxWait time.Duration
	// Immediate makes the first try after a loss at once. For benches: a crowd
	// of such clients is a herd.
	Immediate bool
	// Rand returns a number in [0, 1); nil means math/rand/v2.
	Rand func() float64

	MaxQueued int // items that may wait for confirmation; 0 means 1000
	Keep      int // events kept per room to know repeats by; 0 means 64
}

// A Client is one person on one socket, or for a moment two while it moves. Its
// methods are safe for concurrent use.
type Client struct {
	// fixed after New
	opt  Options
	base *url.URL
	user string
	http *http.Client
	log  *slog.Logger
	wake chan struct{} // capacity 1: something below was changed

	running atomic.Bool

	mu      sync.Mutex // guards the following
	out     *Outbox
	waiters map[string]chan answer // of Say, by key
	wants   map[string]want        // rooms to be in, and to leave
	asks    []*ask
	typing  []string

	// owned by Run
	lines  map[string]*Timeline
	lastID int64
}

type want int

const (
	wantIn want = iota
	wantOut
)

// An ask is a question of History, Rooms or Read, repeated until it is answered.
type ask struct {
	ctx      context.Context
	req      request
	underWay bool
	notUntil time.Time
	done     chan answer // capacity 1
}

type answer struct {
	frame frame
	err   error
}

// New returns a client that does nothing before Login or Run.
func New(opt Options) (*Client, error) {
	base, err := url.Parse(opt.URL)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("client: URL %q is not http or https", opt.URL)
	}
	user, err := chat.ParseName(opt.User)
	if err != nil {
		return nil, fmt.Errorf("client: user %q: %w", opt.User, err)
	}
	if opt.Jar == nil {
		if opt.Jar, err = cookiejar.New(nil); err != nil {
			return nil, fmt.Errorf("client: %w", err)
		}
	}
	opt.Origin = or(opt.Origin, base.Scheme+"://"+base.Host)
	opt.MinWait = or(opt.MinWait, 250*time.Millisecond)
	opt.MaxWait = or(opt.MaxWait, 20*time.Second)
	opt.MaxQueued = or(opt.MaxQueued, 1000)
	opt.Keep = or(opt.Keep, 64)
	if opt.Rand == nil {
		opt.Rand = mrand.Float64
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	return &Client{
		opt:  opt,
		base: base,
		user: user,
		http: &http.Client{
			Transport:     opt.Transport,
			Jar:           opt.Jar,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		log:     opt.Logger.With("user", user),
		wake:    make(chan struct{}, 1),
		out:     NewOutbox(opt.MaxQueued),
		waiters: map[string]chan answer{},
		wants:   map[string]want{},
		lines:   map[string]*Timeline{},
	}, nil
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// User returns the canonical name.
func (c *Client) User() string { return c.user }

// Login logs in as a guest, in one try. Any session of the jar is given up.
func (c *Client) Login(ctx context.Context) error {
	form := url.Values{"username": {c.user}, "password": {""}}
	status, _, _, err := c.post(ctx, "/login", form)
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	if status != http.StatusSeeOther {
		return fmt.Errorf("log in: status %d", status)
	}
	return nil
}

// Logout ends the session, in one try. Run then returns ErrLoggedOut.
func (c *Client) Logout(ctx context.Context) error {
	status, _, _, err := c.post(ctx, "/logout", nil)
	if err != nil {
		return fmt.Errorf("log out: %w", err)
	}
	if status != http.StatusSeeOther {
		return fmt.Errorf("log out: status %d", status)
	}
	return nil
}

// Join puts room among those that the client is in, whenever it is connected.
// It does not wait: Joined or Refused tell what came of it. room may be
// "universe", "@NAME" or any public room's name.
//
// It returns the name under which all facts speak of the room, and an error for
// a name that is not allowed.
func (c *Client) Join(room string) (string, error) { return c.want(room, wantIn) }

// Leave takes room off the person's list, as soon as the server can be told.
func (c *Client) Leave(room string) (string, error) { return c.want(room, wantOut) }

func (c *Client) want(room string, w want) (string, error) {
	canonical, err := chat.ParseRoom(c.user, room)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	c.wants[string(canonical)] = w
	c.mu.Unlock()
	c.nudge()
	return string(canonical), nil
}

// Send queues a message and returns the key under which Confirmed or Refused
// will tell of it. The error is a bad name's or ErrFull.
func (c *Client) Send(room, text string) (key string, err error) {
	return c.queue(Item{Type: "send", Room: room, Text: text}, nil)
}

// Edit queues a new text for target, an event of room.
func (c *Client) Edit(room string, target chat.EventID, text string) (key string, err error) {
	return c.queue(Item{Type: "edit", Room: room, Target: string(target), Text: text}, nil)
}

// Retract queues the removal of target's text from room.
func (c *Client) Retract(room string, target chat.EventID) (key string, err error) {
	return c.queue(Item{Type: "retract", Room: room, Target: string(target)}, nil)
}

// Say is Send that waits. The error is a *chat.Error when the message was
// refused, or the context's: the message then stays queued.
func (c *Client) Say(ctx context.Context, room, text string) (Confirmed, error) {
	return c.say(ctx, Item{Type: "send", Room: room, Text: text})
}

// SayEdit is Edit that waits, as Say does.
func (c *Client) SayEdit(ctx context.Context, room string, target chat.EventID, text string) (Confirmed, error) {
	return c.say(ctx, Item{Type: "edit", Room: room, Target: string(target), Text: text})
}

// SayRetract is Retract that waits, as Say does.
func (c *Client) SayRetract(ctx context.Context, room string, target chat.EventID) (Confirmed, error) {
	return c.say(ctx, Item{Type: "retract", Room: room, Target: string(target)})
}

func (c *Client) say(ctx context.Context, it Item) (Confirmed, error) {
	done := make(chan answer, 1)
	key, err := c.queue(it, done)
	if err != nil {
		return Confirmed{}, err
	}
	select {
	case a := <-done:
		if a.err != nil {
			return Confirmed{Key: key}, a.err
		}
		return confirmed(key, &a.frame), nil
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.waiters, key)
		c.mu.Unlock()
		return Confirmed{Key: key}, context.Cause(ctx)
	}
}

func confirmed(key string, f *frame) Confirmed {
	return Confirmed{key, f.Room, f.ID, f.Seq, f.Duplicate}
}

func (c *Client) queue(it Item, done chan answer) (string, error) {
	room, err := chat.ParseRoom(c.user, it.Room)
	if err != nil {
		return "", err
	}
	it.Room, it.Key = string(room), rand.Text()
	// No instance takes such a frame, and a socket that sends it is closed.
	if len(encode(request{Type: it.Type, ID: 1 << 53, Room: it.Room, Key: it.Key, Target: chat.EventID(it.Target), Text: it.Text})) > chat.MaxFrameBytes {
		return "", &chat.Error{Code: chat.CodeTooLong, Message: "This message is too long for one frame."}
	}
	c.mu.Lock()
	err = c.out.Add(it)
	if err == nil && done != nil {
		c.waiters[it.Key] = done
	}
	c.mu.Unlock()
	if err != nil {
		return "", err
	}
	c.nudge()
	return it.Key, nil
}

// Queued returns how many items are neither confirmed nor refused.
func (c *Client) Queued() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Len()
}

// History asks for at most limit events of room before the event of that id,
// oldest first; before "" means the newest, limit 0 the server's own choice. It
// asks again on the next socket until ctx ends.
func (c *Client) History(ctx context.Context, room string, before chat.EventID, limit int) ([]Event, error) {
	f, err := c.ask(ctx, request{Type: "history", Room: room, Before: before, Limit: limit})
	return f.Events, err
}

// Rooms asks for the list of rooms. It asks again on the next socket until ctx ends.
func (c *Client) Rooms(ctx context.Context) ([]chat.RoomInfo, error) {
	f, err := c.ask(ctx, request{Type: "rooms"})
	return f.Rooms, err
}

// Read says that the person has read room up to event. It repeats that on the
// next socket until ctx ends.
func (c *Client) Read(ctx context.Context, room string, event chat.EventID) error {
	_, err := c.ask(ctx, request{Type: "read", Room: room, Event: event})
	return err
}

// Typing says that the person writes in room, where there is a live socket.
func (c *Client) Typing(room string) {
	c.mu.Lock()
	c.typing = append(c.typing[:0:0], room) // the newest is enough: it may be lost
	c.mu.Unlock()
	c.nudge()
}

func (c *Client) ask(ctx context.Context, req request) (frame, error) {
	if req.Type != "rooms" {
		room, err := chat.ParseRoom(c.user, req.Room)
		if err != nil {
			return frame{}, err
		}
		req.Room = string(room)
	}
	a := &ask{ctx: ctx, req: req, done: make(chan answer, 1)}
	c.mu.Lock()
	c.asks = append(c.asks, a)
	c.mu.Unlock()
	c.nudge()
	select {
	case got := <-a.done:
		return got.frame, got.err
	case <-ctx.Done(): // flush finds it ended and forgets it
		c.nudge()
		return frame{}, context.Cause(ctx)
	}
}

func (c *Client) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// post makes one request and reads its answer to the end, at most 4 KiB of it.
func (c *Client) post(ctx context.Context, path string, form url.Values) (status int, retryAfter time.Duration, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.JoinPath(path).String(), strings.NewReader(form.Encode()))
	if err != nil {
		return 0, 0, nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", c.opt.Origin)
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		return 0, 0, nil, fmt.Errorf("read the answer: %w", err)
	}
	return resp.StatusCode, retryAfterOf(resp), body, nil
}
