package room

import (
	"context"
	"errors"

	"chatd/internal/chat"
)

const (
	// resumeEvents and resumeBytes bound what a resume brings. Who is further
	// behind gets the newest window and pages back.
	resumeEvents = 2000
	resumeBytes  = queueBytes / 2
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
// the event upTo. It returns chat.ErrLost when upTo itself is not in the feed.
func ReadReplay(ctx context.Context, feed Feed, name chat.Room, after, upTo chat.EventID, window int) (Replay, error) {
	replay := Replay{Room: name, Head: upTo}
	if after != "" {
		events, err := feed.After(ctx, name, after, upTo, resumeEvents+1)
		switch {
		case err == nil && len(events) <= resumeEvents && size(events) <= resumeBytes:
			replay.Resumed, replay.Events = true, events
			return replay, nil
		case err != nil && !errors.Is(err, chat.ErrLost):
			return replay, err
		}
	}
	if upTo == "" {
		return replay, nil
	}
	var err error
	replay.Events, err = feed.Newest(ctx, name, upTo, window)
	return replay, err
}

func size(events []chat.Event) (n int) {
	for _, ev := range events {
		n += len(ev.Data)
	}
	return n
}
