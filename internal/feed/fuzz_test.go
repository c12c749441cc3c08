package feed

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"chatd/internal/chat"
)

type heard struct {
	rooms    []chat.Room
	controls int
}

func (h *heard) Event(room chat.Room, _ chat.Event) { h.rooms = append(h.rooms, room) }
func (h *heard) Ephemeral(room chat.Room, _ []byte) { h.rooms = append(h.rooms, room) }
func (h *heard) Control([]byte)                     { h.controls++ }
func (h *heard) Subscribed(chat.Room)               {}
func (h *heard) Regained() <-chan struct{}          { return nil }

// What somebody else publishes or stores in Redis is no end of an instance, and reaches
// nobody but the room whose channel it came by.
func FuzzRedis(f *testing.F) {
	for _, s := range [][2]string{{"chatd:{general}:live", "2-1 1-1\n{}"}, {"chatd:{general}:live", "\n{}"}, {"chatd:{}:live", "x"}, {"chatd:control", "{}"}, {"chatd:{a", "\n\n"}, {"other", ""}} {
		f.Add(s[0], s[1])
	}
	r := NewRelay(nil, "one", slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, channel, payload string) {
		var h heard
		r.deliver(&h, &redis.Message{Channel: channel, Payload: payload})
		if len(h.rooms)+h.controls > 1 || len(h.rooms) == 1 && liveChannel(h.rooms[0]) != channel || h.controls == 1 && channel != Control {
			t.Errorf("%q in %q reached %+v", payload, channel, h)
		}
		events := parse([]redis.XMessage{{ID: channel, Values: map[string]any{"e": payload, "p": channel}}, {ID: payload, Values: map[string]any{"e": 7, strings.ToUpper(channel): nil}}})
		for _, ev := range events {
			_, _ = ev.ID.Seq(), ev.Prev.Seq() // of whatever it is
		}
	})
}
