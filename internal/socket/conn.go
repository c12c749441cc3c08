package socket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"chatd/internal/chat"
	"chatd/internal/room"
	"chatd/internal/session"
)

const (
	// writeTimeout bounds one write's way into the network, and grows with what is
	// written as for a client that takes slowBytes a second.
	writeTimeout = 15 * time.Second
	slowBytes    = 8 << 10
	// maxHasty is how many requests in a row may be too fast, as those are whose
	// client does not wait for answers, before the connection is closed.
	maxHasty = 200
	// A connection may send so many pings and pongs; libraries send one in some seconds.
	controlsPerSecond = 10
	controlsAtOnce    = 200
)

// closing is a reason to close a socket that its peer is told.
type closing struct {
	code   int
	reason string
}

func (c *closing) Error() string { return fmt.Sprintf("close %d: %s", c.code, c.reason) }

var errBarred = &closing{chat.CloseBarred, "nobody is let in from here"}

var errRestart = &closing{chat.CloseRestart, "this instance restarts"}

// A conn is one WebSocket. One goroutine reads from it; writers write, who do so for all.
type conn struct {
	// Fixed after newConn.
	srv    *Server
	ws     *websocket.Conn
	net    net.Conn
	raw    syscall.RawConn // of net, nil if it has none
	ses    session.Session
	who    chat.Actor
	out    *room.Reader
	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
	closed chan struct{} // what was queued is sent, and the socket is closed

	pace *pace   // fixed by Server.add
	near *nearby // too; nil where the address does not count

	doubts atomic.Int64 // how often something came that may have taken a room, or rights in it, from its person
	stuck  atomic.Int64 // when the write under way takes too long, Unix ns; 0: there is none
	silent atomic.Bool  // the peer has not answered the last ping

	// What presence counts this connection for. Its lock is held while presence is told.
	mu    sync.Mutex
	here  map[chat.Room]bool // rooms
	away  bool               // its person is
	muted map[chat.Room]bool // rooms, and whether its person is muted there, as far as is known

	// Owned by the read loop.
	stalled  map[chat.Room]string // rooms in which a message of this key has to come first
	hasty    int                  // requests in a row that were too fast
	controls *rate.Limiter        // pings and pongs; nil before the first
	flooded  bool                 // there were too many of them
	listed   map[chat.Room]bool   // public rooms that it is not in and that are on its person's list: while
	listedAt int64                // doubts is this

	// Owned by beat, which Server.beat calls.
	ping time.Time // when the next one is due
}

func newConn(s *Server, ws *websocket.Conn, network net.Conn, ses session.Session, who chat.Actor) *conn {
	c := &conn{
		srv: s, ws: ws, net: network, ses: ses, who: who, closed: make(chan struct{}),
		here: map[chat.Room]bool{}, muted: map[chat.Room]bool{}, stalled: map[chat.Room]string{},
		ping: time.Now().Add(chat.PingInterval/2 + rand.N(chat.PingInterval/2)), // #nosec G404 -- so that not all are due at once
	}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	c.out = room.NewReader(ses.User, func() { s.writers.add(c) })
	if sc, ok := network.(syscall.Conn); ok {
		c.raw, _ = sc.SyscallConn()
	}
	return c
}

// controlled counts a ping or a pong, and ends the connection where too many come: each is
// read, and a ping answered, for six bytes of the peer's.
func (c *conn) controlled() (ok bool) {
	if c.controls == nil {
		c.controls = rate.NewLimiter(controlsPerSecond, controlsAtOnce)
	}
	if !c.flooded && !c.controls.Allow() {
		c.flooded = true
		c.end(&closing{chat.CloseTooFast, "too many pings"})
	}
	return !c.flooded
}

func (c *conn) log() *slog.Logger { return c.srv.Log.With("user", c.ses.User) }

// serve runs the connection until it is closed and all its goroutines have ended.
func (c *conn) serve() {
	defer c.cancel()
	err := c.read(c.ctx)
	c.out.Close(err) // what is queued is sent first
	<-c.closed
	c.leaveAll()
}

// read takes requests until the connection ends, and returns why.
func (c *conn) read(ctx context.Context) error {
	for {
		if err := c.out.Space(ctx); err != nil {
			return err
		}
		// Not ctx: the socket is closed by who writes, and says why.
		kind, frame, err := c.ws.Read(context.Background())
		switch {
		case websocket.CloseStatus(err) != -1:
			return err
		case errors.Is(err, websocket.ErrMessageTooBig):
			return &closing{chat.CloseTooLarge, "frame too large"}
		case err != nil:
			return err
		case kind != websocket.MessageText:
			return &closing{chat.CloseBadFrame, "frames are text"}
		}
		// By a goroutine of its own: what an answer takes of the stack is not kept by a
		// connection that waits, which is what most do most of the time.
		answered := make(chan error)
		go func() { answered <- c.answer(ctx, frame) }()
		if err := <-answered; err != nil {
			return err
		}
	}
}

// answer handles the requests of a frame. An error ends the connection.
func (c *conn) answer(ctx context.Context, frame []byte) error {
	reqs, err := chat.DecodeFrame(frame)
	if err != nil {
		var e *chat.Error
		if errors.As(err, &e) {
			return &closing{chat.CloseBadFrame, e.Message}
		}
		return err
	}
	for _, req := range reqs {
		if err := c.out.Space(ctx); err != nil {
			return err
		}
		c.handle(ctx, req)
		if c.hasty > maxHasty {
			return &closing{chat.CloseTooFast, "too fast"}
		}
	}
	return nil
}

// finish closes the connection, whose queue has ended by err.
func (c *conn) finish(err error) {
	c.log().Debug("socket closes", "reason", err)
	c.close(err)
	c.cancel()
	close(c.closed)
}

var pingObject = chat.Encode(chat.Notice{Type: "ping"})

// beat says now and then that this instance lives, by an object that a page can see, and
// finds out whether the peer lives, by a WebSocket ping. It cuts who does not take what is
// written.
func (c *conn) beat(now time.Time) {
	if late := c.stuck.Load(); late != 0 {
		c.silent.Store(false) // who is slow may not have come to the last ping yet
		if now.UnixNano() > late {
			_ = c.net.Close() // who writes hears it
		}
	}
	if now.Before(c.ping) {
		return
	}
	c.ping = now.Add(chat.PingInterval)
	if c.silent.Swap(true) {
		c.out.Close(&closing{chat.CloseGoingAway, "no answer to a ping"})
		_ = c.net.Close() // a write under way would wait for a peer that is silent
		return
	}
	c.out.Push(pingFrame)
	c.out.Push(pingObject)
}

// logOut tells the peer that its login ended, and closes the connection.
func (c *conn) logOut() {
	c.out.Push(chat.Encode(chat.Notice{Type: "logout"}))
	c.end(&closing{chat.CloseLoggedOut, "the login ended"})
}

// end closes the connection: after what is queued, or soon, whatever the peer reads.
func (c *conn) end(why *closing) {
	c.out.Close(why)
	time.AfterFunc(closeTimeout, func() { _ = c.net.Close() })
}

// close tells the peer why, as err is for peers, and ends the connection. A peer
// that closed, or is gone, is told nothing.
func (c *conn) close(err error) {
	var why *closing
	switch {
	case errors.As(err, &why):
	case errors.Is(err, room.ErrSlow):
		why = &closing{chat.CloseTooSlow, "too slow, resume"}
	case errors.Is(err, context.Canceled):
		why = errRestart
	default:
		closed.WithLabelValues("peer").Inc()
		_ = c.ws.CloseNow()
		return
	}
	closed.WithLabelValues(fmt.Sprint(why.code)).Inc()
	// Close waits for the peer's answer for 5 s, and CloseNow waits for Close.
	kill := time.AfterFunc(closeTimeout, func() { _ = c.net.Close() })
	defer kill.Stop()
	_ = c.ws.Close(websocket.StatusCode(why.code), why.reason)
	_ = c.ws.CloseNow()
}
