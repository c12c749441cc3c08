package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"

	"chatd/internal/chat"
)

// Reasons of the client's own for letting go of a socket.
var (
	errSilent   = errors.New("nothing heard for too long")
	errNoAnswer = errors.New("a request was not answered")
	errMoved    = errors.New("moved to another socket")
	errBroken   = errors.New("the server broke the contract")
	errStopped  = errors.New("the client stops")
)

type phase int

const (
	dialing   phase = iota // refresh and handshake under way
	opening                // open, not yet welcomed
	replaying              // welcomed, its rooms being joined
	live                   // all rooms were joined: items may go out
)

// A socket is one try to be connected, and what came of it. Its goroutine,
// serve, writes ws and nothing else; all other fields are Run's.
type socket struct {
	ws     *websocket.Conn
	cancel context.CancelCauseFunc

	gone     bool // let go of: what it still brings is ignored
	phase    phase
	instance string
	silence  time.Duration // more than this without a word, and it is dead
	heard    time.Time
	liveAt   time.Time
	moveAt   time.Time // when a drain asks it to move; zero: never
	dropAt   time.Time // when an old socket is closed at the latest
	pending  map[int64]*pending
	subs     map[string]*sub
	later    map[string]time.Time // rooms to join or leave again, and when
}

// pending is a request that has no answer yet.
type pending struct {
	req request
	ask *ask
	at  time.Time
}

// sub is a room on one socket.
type sub struct {
	state subState
	own   bool         // joined by its name, not only heard through universe
	last  chat.EventID // last event that came on this socket
	again int64        // seq up to which events may come again
	tries int          // joins since an event last followed as it should
}

type subState int

const (
	joining subState = iota
	joined
	waiting // to be joined again: see later
	refused // for ever
)

// An input is what a socket's goroutine tells Run.
type input struct {
	s      *socket
	opened bool
	frames []frame

	ended      bool
	err        error
	code       int // close code, -1 without one
	status     int // HTTP status that ended the try, 0 without one
	retryAfter time.Duration
}

// serve refreshes the session, shakes hands and reads until the socket is gone.
// Its last input is one that is ended. Cancelling ctx closes the socket.
func (c *Client) serve(ctx context.Context, s *socket, tell func(input)) {
	end := input{s: s, ended: true, code: -1}
	defer func() { tell(end) }()

	dialCtx, cancel := context.WithTimeout(ctx, connectTimeout)
	if end.status, end.retryAfter, end.err = c.refresh(dialCtx); end.err != nil {
		cancel()
		return
	}
	ws, resp, err := websocket.Dial(dialCtx, c.base.JoinPath("/ws").String(), &websocket.DialOptions{
		HTTPClient:   c.http,
		HTTPHeader:   http.Header{"Origin": {c.opt.Origin}},
		Subprotocols: []string{chat.Subprotocol},
	})
	cancel()
	if err != nil {
		end.err = err
		if resp != nil {
			end.status, end.retryAfter = resp.StatusCode, retryAfterOf(resp)
		}
		return
	}
	defer ws.CloseNow()
	ws.SetReadLimit(maxFrameBytes)
	// The ctx of a read cuts the connection when it ends, so a polite close is
	// made beside the read, which then ends by the other side's close frame.
	readCtx, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		if errors.Is(context.Cause(ctx), errSilent) {
			cut()
			return
		}
		timer := time.AfterFunc(closeTimeout, cut)
		defer timer.Stop()
		ws.Close(websocket.StatusNormalClosure, "") // its error adds nothing: the socket is given up
	})
	defer func() {
		if !stop() {
			<-closed
		}
	}()
	if ws.Subprotocol() != chat.Subprotocol {
		end.err = fmt.Errorf("%w: subprotocol %q", errBroken, ws.Subprotocol())
		return
	}
	s.ws = ws
	tell(input{s: s, opened: true})

	var buf bytes.Buffer
	for {
		typ, r, err := ws.Reader(readCtx)
		if err == nil {
			buf.Reset()
			_, err = buf.ReadFrom(r)
		}
		if err != nil {
			end.err, end.code = err, int(websocket.CloseStatus(err))
			return
		}
		frames, err := decode(buf.Bytes())
		if err == nil && typ != websocket.MessageText {
			err = errors.New("frame is not text")
		}
		if err != nil {
			end.err = fmt.Errorf("%w: %w", errBroken, err)
			return
		}
		if buf.Cap() > 64<<10 { // one large replay must not stay for ever
			buf = bytes.Buffer{}
		}
		tell(input{s: s, frames: frames})
	}
}

// refresh gives the session a fresh id. An error with status 401 means that the
// login ended; with any other, that another try may succeed.
func (c *Client) refresh(ctx context.Context) (status int, retryAfter time.Duration, err error) {
	status, retryAfter, body, err := c.post(ctx, "/session/refresh", nil)
	if err != nil {
		return 0, 0, fmt.Errorf("refresh the session: %w", err)
	}
	if status != http.StatusOK {
		return status, retryAfter, fmt.Errorf("refresh the session: status %d", status)
	}
	var who struct {
		User string `json:"user"`
	}
	if err := json.Unmarshal(body, &who); err != nil {
		return 0, 0, fmt.Errorf("refresh the session: %w", err)
	}
	if who.User != c.user {
		return 0, 0, fmt.Errorf("%w: %q", ErrOtherUser, who.User)
	}
	return 0, 0, nil
}

// retryAfterOf reads whole seconds; anything else is none.
func retryAfterOf(resp *http.Response) time.Duration {
	n, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || n < 0 || n > 3600 {
		return 0
	}
	return time.Duration(n) * time.Second
}
