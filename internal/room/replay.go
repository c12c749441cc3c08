package room

import (
	"context"
	"errors"

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
}

// ReadReplay reads what a reader who has after ("" for nothing) is given up to
// the event upTo, "" for before the first, in one of so many rooms that are read
// together. It returns chat.ErrLost when upTo itself is not in the feed.
func ReadReplay(ctx context.Context, feed Feed, name chat.Room, after, upTo chat.EventID, window, rooms int) (Replay, error) {
	replay := Replay{Room: name, Head: upTo}
	if upTo == "" { // which to the feed would mean: up to the newest
		return replay, nil
	}
	if after != "" {
		events, err := readAfter(ctx, feed, name, after, upTo, resumeBytes/rooms)
		if err == nil {
			replay.Resumed = true
			replay.Events, replay.Rest = chat.Oldest(events, answerBytes/rooms)
			return replay, nil
		}
		if !errors.Is(err, chat.ErrLost) {
			return replay, err
		}
	}
	events, err := feed.Newest(ctx, name, upTo, window)
	replay.Events = chat.Newest(events, answerBytes/rooms)
	return replay, err
}

// readAfter reads the events that follow after up to upTo, or the newest if that is
// "". It returns chat.ErrLost when one of the two is not in the feed, or when there
// are more than most bytes between them.
func readAfter(ctx context.Context, feed Feed, name chat.Room, after, upTo chat.EventID, most int) (all []chat.Event, err error) {
	for {
		events, err := feed.After(ctx, name, after, upTo, readEvents)
		if err != nil {
			return nil, err
		}
		for _, ev := range events {
			most -= len(ev.Data)
		}
		if most < 0 {
			return nil, chat.ErrLost
		}
		all = append(all, events...)
		if len(events) < readEvents {
			return all, nil
		}
		after = all[len(all)-1].ID
	}
}
