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
	"time"

	"github.com/coder/websocket"

	"chatd/internal/chat"
	"chatd/internal/room"
	"chatd/internal/session"
)

const (
	// writeTimeout bounds one frame's way into the network, and grows with a frame
	// as for a client that takes slowBytes a second. frameBytes bounds a frame of
	// several objects.
	writeTimeout = 15 * time.Second
	slowBytes    = 8 << 10
	frameBytes   = 64 << 10
	// maxHasty is how many requests in a row may be too fast, as those are whose
	// client does not wait for answers, before the connection is closed.
	maxHasty = 200
)

// closing is a reason to close a socket that its peer is told.
type closing struct {
	code   int
	reason string
}

func (c *closing) Error() string { return fmt.Sprintf("close %d: %s", c.code, c.reason) }

var errBarred = &closing{chat.CloseBarred, "nobody is let in from here"}

var errRestart = &closing{chat.CloseRestart, "this instance restarts"}

// A conn is one WebSocket. One goroutine reads from it; another one writes, while
// there is something to write.
type conn struct {
	// Fixed after newConn.
	srv    *Server
	ws     *websocket.Conn
	net    net.Conn
	ses    session.Session
	who    chat.Actor
	out    *room.Reader
	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
	closed chan struct{} // what was queued is sent, and the socket is closed

	pace *pace   // fixed by Server.add
	near *nearby // too; nil where the address does not count

	doubts atomic.Int64 // how often something came that may have taken rights from its person
	stuck  atomic.Int64 // when the write under way takes too long, Unix ns; 0: there is none

	// What presence counts this connection for. Its lock is held while presence is told.
	mu    sync.Mutex
	here  map[chat.Room]bool // rooms
	away  bool               // its person is
	muted map[chat.Room]bool // rooms, and whether its person is muted there, as far as is known

	// Owned by the read loop.
	stalled map[chat.Room]string // rooms in which a message of this key has to come first
	hasty   int                  // requests in a row that were too fast

	// Owned by Server.beat.
	ping time.Time // when the next one is due
}

func newConn(s *Server, ws *websocket.Conn, network net.Conn, ses session.Session, who chat.Actor) *conn {
	c := &conn{
		srv: s, ws: ws, net: network, ses: ses, who: who, closed: make(chan struct{}),
		here: map[chat.Room]bool{}, muted: map[chat.Room]bool{}, stalled: map[chat.Room]string{},
		ping: time.Now().Add(chat.PingInterval/2 + rand.N(chat.PingInterval/2)), // #nosec G404 -- so that not all are due at once
	}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	c.out = room.NewReader(ses.User, func() { go c.write() })
	return c
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

// A draft is what a writer works with.
type draft struct {
	batch [][]byte
	frame []byte
}

var drafts = sync.Pool{New: func() any { return new(draft) }}

// write sends what is queued until nothing is, or the queue ends: then it closes the
// connection. There is one at a time.
func (c *conn) write() {
	d := drafts.Get().(*draft)
	defer drafts.Put(d)
	for {
		batch, err := c.out.Take(d.batch)
		if err == nil && len(batch) == 0 {
			return
		}
		if err == nil {
			d.batch = nil // it is the queue's now
			err = c.send(d, batch)
			clear(batch)
			d.batch = batch
		}
		if err != nil {
			c.log().Debug("socket closes", "reason", err)
			c.close(err)
			c.cancel()
			close(c.closed)
			return
		}
	}
}

// send writes objects, several to a frame where more than one waits.
func (c *conn) send(d *draft, objects [][]byte) error {
	for len(objects) > 0 {
		frame := objects[0]
		objects = objects[1:]
		if len(objects) > 0 && len(frame)+len(objects[0]) < frameBytes {
			frame = append(d.frame[:0], frame...)
			for len(objects) > 0 && len(frame)+len(objects[0]) < frameBytes {
				frame = append(append(frame, '\n'), objects[0]...)
				objects = objects[1:]
			}
			d.frame = frame
		}
		// A deadline of its own would cost more than the write.
		c.stuck.Store(time.Now().Add(writeTimeout + time.Duration(len(frame)/slowBytes)*time.Second).UnixNano())
		err := c.ws.Write(context.Background(), websocket.MessageText, frame)
		c.stuck.Store(0)
		if err != nil {
			return err
		}
	}
	return nil
}

var pingObject = chat.Encode(chat.Notice{Type: "ping"})

// sayPing says that this instance lives, by an object that a page can see, and finds
// out whether the peer lives, by a WebSocket ping.
func (c *conn) sayPing() {
	c.out.Push(pingObject)
	pong, cancel := context.WithTimeout(c.ctx, chat.PingInterval)
	defer cancel()
	if err := c.ws.Ping(pong); err != nil && c.ctx.Err() == nil {
		c.out.Close(&closing{chat.CloseGoingAway, "no answer to a ping"})
		_ = c.net.Close() // a write under way would wait for a peer that is silent
	}
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
