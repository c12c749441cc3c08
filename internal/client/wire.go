package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"chatd/internal/chat"
)

// An Event is one durable event of a room, as docs/protocol.md describes it. A
// gone event has only Room, Seq, ID and Prev.
type Event struct {
	Type   string       `json:"type"`
	Room   string       `json:"room"`
	Seq    int64        `json:"seq"`
	ID     chat.EventID `json:"event"`
	Prev   chat.EventID `json:"prev"`
	From   string       `json:"from,omitempty"`
	At     time.Time    `json:"at,omitzero"`
	Key    string       `json:"key,omitempty"`
	Text   string       `json:"text,omitempty"`
	Target chat.EventID `json:"target,omitempty"`
}

// A frame is any object from the server: which fields count is told by its type
// and, for an answer, by the request.
type frame struct {
	Event
	ReqID        *int64                  `json:"id"`
	User         string                  `json:"user"`
	Instance     string                  `json:"instance"`
	PingMillis   int64                   `json:"ping_ms"`
	Resumed      bool                    `json:"resumed"`
	Events       []Event                 `json:"events"`
	Head         chat.EventID            `json:"head"`
	Heads        map[string]chat.EventID `json:"heads"`
	Fresh        []string                `json:"fresh"`
	Here         []string                `json:"here"`
	Duplicate    bool                    `json:"duplicate"`
	Code         string                  `json:"code"`
	Message      string                  `json:"message"`
	RetryAfterMS int64                   `json:"retry_after_ms"`
	Rooms        []chat.RoomInfo         `json:"rooms"`
	State        string                  `json:"state"`
	Joined       *bool                   `json:"joined"`
	With         string                  `json:"with"`
	WithinMS     int64                   `json:"within_ms"`
}

func decode(b []byte) ([]frame, error) {
	if !utf8.Valid(b) {
		return nil, errors.New("frame is not UTF-8")
	}
	var frames []frame
	for line := range bytes.SplitSeq(b, []byte{'\n'}) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var f frame
		if err := json.Unmarshal(line, &f); err != nil {
			return nil, fmt.Errorf("decode frame: %w", err)
		}
		frames = append(frames, f)
	}
	return frames, nil
}

// A request is what goes to the server. It is not chat.Request, which reads
// requests and so has no way to leave a field out.
type request struct {
	Type      string                  `json:"type"`
	ID        int64                   `json:"id,omitempty"`
	Room      string                  `json:"room,omitempty"`
	After     chat.EventID            `json:"after,omitempty"`
	Before    chat.EventID            `json:"before,omitempty"`
	Event     chat.EventID            `json:"event,omitempty"`
	Target    chat.EventID            `json:"target,omitempty"`
	Key       string                  `json:"key,omitempty"`
	Text      string                  `json:"text,omitempty"`
	Limit     int                     `json:"limit,omitempty"`
	Positions map[string]chat.EventID `json:"positions,omitempty"`
}

func encode(req request) []byte { return chat.Encode(req) }

// final reports whether the same request can never succeed.
func (f *frame) final() bool {
	switch f.Code {
	case chat.CodeUnavailable, chat.CodeTooFast, chat.CodeInternal:
		return false
	}
	return f.RetryAfterMS <= 0
}

const universe = string(chat.Universe)

func public(room string) bool { return chat.Room(room).Public() }
