package room

import (
	"context"
	"errors"
	"sync"

	"chatd/internal/chat"
)

// queueBytes bounds what waits for one connection, but for what it asked for by
// joining. At half of it, what may be lost is shed; beyond it the connection is too
// slow.
const queueBytes = 1 << 20

// ErrSlow says that a reader's queue was full: its connection is to be closed
// with 4408, and its client resumes.
var ErrSlow = errors.New("reader is too slow")

// A Reader is one connection's end of the rooms that it is in: a queue of what
// goes to it, in order, bounded in bytes. Any goroutine may put into it, one
// takes out.
type Reader struct {
	User string

	// Fixed after NewReader.
	space chan struct{}
	ready chan struct{}

	// turn is held by who joins or leaves: the socket's own requests, and rooms that
	// appear. Outside of all other locks; Redis may be waited for under it.
	turn sync.Mutex

	// Guarded by mu, which is the innermost lock of this package.
	mu    sync.Mutex
	queue [][]byte
	bytes int // of what is in the queue
	asked int // of these: what joins brought
	err   error

	// Guarded by Hub.mu.
	rooms    map[chat.Room]*entry // all that it reads
	joined   map[chat.Room]bool   // those that it joined by name
	universe bool                 // it reads all public rooms in which its person may be
	may      May                  // says which these are
}

// NewReader returns a reader with an empty queue.
func NewReader(user string) *Reader {
	return &Reader{
		User: user, rooms: map[chat.Room]*entry{}, joined: map[chat.Room]bool{},
		space: make(chan struct{}, 1), ready: make(chan struct{}, 1),
	}
}

// Push puts one JSON object into the queue. data is shared and never changed.
// It does not block; a full queue ends the reader with ErrSlow.
func (r *Reader) Push(data []byte) { r.push(data, false) }

// Offer is Push for what may be lost: it does nothing when the queue is half full.
func (r *Reader) Offer(data []byte) { r.push(data, true) }

func (r *Reader) push(data []byte, lossy bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.err != nil:
		return
	case lossy && r.bytes-r.asked > queueBytes/2:
		shed.WithLabelValues("ephemeral").Inc()
		return
	case r.bytes > r.asked && r.bytes-r.asked+len(data) > queueBytes:
		shed.WithLabelValues("slow").Inc()
		r.err = ErrSlow
		r.queue, r.bytes, r.asked = nil, 0, 0
		signal(r.space)
	default:
		r.queue = append(r.queue, data)
		r.bytes += len(data)
	}
	signal(r.ready)
}

// pushJoined puts into the queue what a join brings. It is bounded by itself, and
// Space waits until it is taken, so it does not count against who is slow.
func (r *Reader) pushJoined(objects [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return
	}
	r.queue = append(r.queue, objects...)
	for _, data := range objects {
		r.bytes += len(data)
		r.asked += len(data)
	}
	signal(r.ready)
}

// Next waits for something to send and returns all of it, oldest first, using
// buf. It returns the error given to Close, ErrSlow, or ctx's.
func (r *Reader) Next(ctx context.Context, buf [][]byte) ([][]byte, error) {
	for {
		r.mu.Lock()
		if len(r.queue) > 0 {
			buf = append(buf[:0], r.queue...)
			clear(r.queue)
			r.queue, r.bytes, r.asked = r.queue[:0], 0, 0
			r.mu.Unlock()
			signal(r.space)
			return buf, nil
		}
		err := r.err
		r.mu.Unlock()
		if err != nil {
			return nil, err
		}
		select {
		case <-r.ready:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Space waits until the queue is less than half full, so that a client that
// does not read its answers is not given more of them.
func (r *Reader) Space(ctx context.Context) error {
	for {
		r.mu.Lock()
		room, err := r.bytes <= queueBytes/2, r.err
		r.mu.Unlock()
		switch {
		case err != nil:
			return err
		case room:
			return nil
		}
		select {
		case <-r.space:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Close ends the reader: what is queued still goes out, then Next returns err.
func (r *Reader) Close(err error) {
	r.mu.Lock()
	if r.err == nil {
		r.err = err
	}
	r.mu.Unlock()
	signal(r.ready)
	signal(r.space)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
