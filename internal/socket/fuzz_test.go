package socket

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"chatd/internal/chat"
	"chatd/internal/room"
)

// A notice that somebody else publishes is no end of an instance.
func FuzzNotice(f *testing.F) {
	for _, s := range []string{`{"ended":"x"}`, `{"made":"general"}`, `{"for":"alice","room":"@alice:bob"}`, `{"for":"alice","room":"~den","out":true}`, `{"for":"a","room":"b","read":{"event":"1-1"}}`, `{"read":null}`, `[]`, `{"ended":7}`} {
		f.Add([]byte(s))
	}
	log := slog.New(slog.DiscardHandler)
	s := NewServer(Options{Hub: room.NewHub(nil, nil, 50, log), Log: log, Max: 1, PerUser: 1, PerAddr: 1, Admit: 1, SendRate: 1})
	defer s.Close()
	f.Fuzz(func(t *testing.T, data []byte) { s.Control(data) })
}

// Whatever is looked for in whatever is kept, what fits has all the words.
func FuzzSearch(f *testing.F) {
	f.Add("hello", "alice", "2026-11-21T08:00:00Z", []byte(`{"type":"message","from":"alice","at":"2026-11-21T07:00:00.000Z","text":"Hello"}`))
	f.Add("İ ß", "", "0000-01-01T00:00:00+23:59", []byte(`{"type":"edited","target":"1-1","text":"i̇ SS"}`))
	f.Add("", "", "x", []byte(`{"type":"message","text":7}`))
	f.Fuzz(func(t *testing.T, text, user, until string, data []byte) {
		q := newQuery(chat.Request{Text: text, User: user, Until: until})
		if _, fits := q.fits(data); !fits {
			return
		}
		var ev struct {
			Type, From, Text string
		}
		if err := json.Unmarshal(data, &ev); err != nil {
			t.Fatal(err)
		}
		for _, word := range q.words {
			if !strings.Contains(strings.ToLower(ev.Text), word) || user != "" && ev.From != user {
				t.Errorf("%q of %q is found in %s", text, user, data)
			}
		}
	})
}
