package socket

import (
	"log/slog"
	"testing"

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
