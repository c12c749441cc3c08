package room

import (
	"context"
	"errors"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"chatd/internal/chat"
)

// universeBytes bounds the events in an answer in which every room has one at least,
// which would be more the more rooms there are.
const universeBytes = 1 << 20

// May says whether a reader's person may be in a room.
type May func(ctx context.Context, name chat.Room) (bool, error)

// JoinUniverse makes rd a reader of all the public rooms that list returns, and of
// those that Appeared tells of later and in which it may be. positions are the last events that rd's client
// has; rooms without one bring their newest events, fewer the more rooms there
// are. reply makes the answer from the rooms' replays; it is pushed to rd before
// any later event of these rooms.
//
// It waits for Redis until ctx ends, and then fails with chat.ErrUnavailable.
func (h *Hub) JoinUniverse(ctx context.Context, rd *Reader, list func(context.Context) ([]chat.Room, error), may May, positions map[chat.Room]chat.EventID, reply func([]Replay) []byte) error {
	rd.turn.Lock()
	defer rd.turn.Unlock()
	h.mu.Lock()
	rd.may = may
	rd.universe = true // before the list: a room made meanwhile is on it, or appears
	h.mu.Unlock()
	rooms, err := list(ctx)
	if err != nil {
		return err
	}

	window := min(h.window, max(1, 4*h.window/max(1, len(rooms))))
	bounds := h.bounds(max(1, len(rooms)))
	subs, replays := make([]*Subscriber, len(rooms)), make([]Replay, len(rooms))
	var size atomic.Int64
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(fillsAtOnce)
	for i, name := range rooms {
		g.Go(func() (err error) {
			subs[i], replays[i], err = h.prepare(gctx, rd, name, positions[name], window, bounds)
			if r := &replays[i]; size.Add(bytesOf(r.Events)) > universeBytes {
				if r.Resumed {
					r.Rest = append(r.Events, r.Rest...)
				}
				r.Events = nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		h.giveUp(rd, rooms)
		return err
	}
	rd.pushJoined([][]byte{reply(replays)})
	for i, s := range subs {
		if !s.GoLive(nil, replays[i].Rest) {
			rd.Push(chat.Encode(chat.Notice{Type: "reset", Room: s.room.Name}))
		}
	}
	return nil
}

// giveUp undoes a half-made join of universe. Rooms that rd reads by name were
// live before it: they start afresh.
func (h *Hub) giveUp(rd *Reader, rooms []chat.Room) {
	h.mu.Lock()
	defer h.mu.Unlock()
	rd.universe = false
	for _, name := range rooms {
		if e := rd.rooms[name]; e != nil && rd.joined[name] {
			e.Unsubscribe(rd)
			rd.Push(chat.Encode(chat.Notice{Type: "reset", Room: name}))
		} else {
			h.leaveLocked(rd, name)
		}
	}
}

// LeaveUniverse ends rd's reading of the public rooms that it did not join.
func (h *Hub) LeaveUniverse(rd *Reader) {
	rd.turn.Lock()
	defer rd.turn.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	rd.universe = false
	for name := range rd.rooms {
		if !rd.joined[name] {
			h.leaveLocked(rd, name)
		}
	}
}

// Appeared tells the readers of universe of public rooms that there are: they
// read those that they do not read yet. It does not block.
func (h *Hub) Appeared(rooms []chat.Room) {
	h.mu.Lock()
	var readers []*Reader
	for rd := range h.readers {
		if rd.universe {
			readers = append(readers, rd)
		}
	}
	h.mu.Unlock()
	if len(readers) == 0 {
		return
	}
	h.wg.Go(func() {
		for _, rd := range readers {
			for _, name := range rooms {
				if err := h.appear(rd, name); err != nil {
					h.log.Warn("a new room does not reach a reader of universe, who starts afresh", "room", name, "err", err)
					rd.Push(chat.Encode(chat.Notice{Type: "reset", Room: chat.Universe}))
					break
				}
			}
		}
	})
}

func (h *Hub) appear(rd *Reader, name chat.Room) error {
	rd.turn.Lock()
	defer rd.turn.Unlock()
	h.mu.Lock()
	wanted, may := rd.universe && rd.rooms[name] == nil && h.readers[rd], rd.may
	h.mu.Unlock()
	if !wanted {
		return nil
	}
	ctx, cancel := context.WithTimeout(h.ctx, fillTimeout)
	defer cancel()
	if may, err := may(ctx, name); err != nil || !may {
		return err
	}
	s, replay, err := h.prepare(ctx, rd, name, "", h.window, h.bounds(1))
	if err != nil {
		return err
	}
	if !s.GoLive(nil, replay.Events) {
		return errors.New("room was reset")
	}
	return nil
}
