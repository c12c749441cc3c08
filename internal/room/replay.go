package room

import (
	"context"
	"errors"
	"sync/atomic"

	"chatd/internal/chat"
)

const (
	// resumeBytes bounds what a resume brings, and what a room that fell behind reads
	// before it sends its readers to join afresh; all rooms of universe together. It
	// is more than a reader can have missed who was too slow: a queue that is full,
	// and as much that was being written.
	resumeBytes = 4 << 20
	// answerBytes bounds what of it is in the answer, which is one frame that a slow
	// client must be able to take in time. The rest follows as events of their own.
	answerBytes = 256 << 10
	// readEvents is how many events are read from the feed at once: a few megabytes if
	// they are the longest.
	readEvents = 500
)

// A Replay is what a reader is given at a join, before anything live: the
// events after its position up to Head if Resumed, else the newest up to Head.
type Replay struct {
	Room    chat.Room
	Resumed bool
	Events  []chat.Event // for the answer
	Rest    []chat.Event // what follows right behind the answer
	Head    chat.EventID
	Looked  int64 // bytes that were read for it and are in none of them
}

// Bounds are those of the replays of rooms that are read together.
type Bounds struct {
	answer int           // bytes, of each
	resume *atomic.Int64 // bytes, of all, that are left
}

// NewBounds returns the bounds of so many replays.
func NewBounds(rooms int) Bounds {
	b := Bounds{answerBytes / rooms, new(atomic.Int64)}
	b.resume.Store(resumeBytes)
	return b
}

// ReadReplay reads what a reader who has after ("" for nothing) is given up to
// the event upTo, "" for before the first. It returns chat.ErrLost when upTo itself
// is not in the feed.
func ReadReplay(ctx context.Context, feed Feed, name chat.Room, after, upTo chat.EventID, window int, bounds Bounds) (Replay, error) {
	replay := Replay{Room: name, Head: upTo}
	if upTo == "" { // which to the feed would mean: up to the newest
		return replay, nil
	}
	if after != "" {
		events, looked, err := readAfter(ctx, feed, name, after, upTo, bounds.resume)
		if err == nil {
			replay.Resumed = true
			replay.Events, replay.Rest = chat.Oldest(events, bounds.answer)
			return replay, nil
		}
		if !errors.Is(err, chat.ErrLost) {
			return replay, err
		}
		replay.Looked = looked
	}
	events, err := feed.Newest(ctx, name, upTo, window)
	replay.Events = chat.Newest(events, bounds.answer)
	replay.Looked += bytesOf(events) - bytesOf(replay.Events)
	return replay, err
}

// readAfter reads the events that follow after up to upTo, or the newest if that is
// "", and takes their bytes from those that are left. It returns chat.ErrLost, having
// taken nothing, when one of the two is not in the feed, or when not enough are left:
// looked is how many were read by then.
func readAfter(ctx context.Context, feed Feed, name chat.Room, after, upTo chat.EventID, left *atomic.Int64) (all []chat.Event, looked int64, err error) {
	taken := int64(0)
	for {
		events, err := feed.After(ctx, name, after, upTo, readEvents)
		size := bytesOf(events)
		if err == nil && left.Add(-size) < 0 {
			taken, err = taken+size, chat.ErrLost
		}
		if err != nil {
			left.Add(taken)
			return nil, taken, err
		}
		taken += size
		all = append(all, events...)
		if len(events) < readEvents {
			return all, taken, nil
		}
		after = all[len(all)-1].ID
	}
}

func bytesOf(events []chat.Event) (n int64) {
	for _, ev := range events {
		n += int64(len(ev.Data))
	}
	return n
}
