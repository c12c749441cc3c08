package room

import (
	"context"
	"errors"

	"chatd/internal/chat"
)

const (
	// resumeEvents and replayBytes bound what a join brings, all rooms of universe
	// together. Who is further behind gets the newest window and pages back. It is
	// one frame, which a slow client must be able to take in time.
	resumeEvents = 2000
	replayBytes  = 256 << 10
)

// A Replay is what a reader is given at a join, before anything live: the
// events after its position up to Head if Resumed, else the newest up to Head.
type Replay struct {
	Room    chat.Room
	Resumed bool
	Events  []chat.Event
	Head    chat.EventID
}

// ReadReplay reads what a reader who has after ("" for nothing) is given up to
// the event upTo, "" for before the first. It returns chat.ErrLost when upTo
// itself is not in the feed.
func ReadReplay(ctx context.Context, feed Feed, name chat.Room, after, upTo chat.EventID, window int) (Replay, error) {
	return readReplay(ctx, feed, name, after, upTo, window, 1)
}

// readReplay is ReadReplay for one of so many rooms that are read together.
func readReplay(ctx context.Context, feed Feed, name chat.Room, after, upTo chat.EventID, window, rooms int) (Replay, error) {
	replay := Replay{Room: name, Head: upTo}
	if upTo == "" { // which to the feed would mean: up to the newest
		return replay, nil
	}
	most, bytes := max(window, resumeEvents/rooms), replayBytes/rooms
	if after != "" {
		events, err := feed.After(ctx, name, after, upTo, most+1)
		switch {
		case err == nil && len(events) <= most && len(chat.Newest(events, bytes)) == len(events):
			replay.Resumed, replay.Events = true, events
			return replay, nil
		case err != nil && !errors.Is(err, chat.ErrLost):
			return replay, err
		}
	}
	events, err := feed.Newest(ctx, name, upTo, window)
	replay.Events = chat.Newest(events, bytes)
	return replay, err
}
