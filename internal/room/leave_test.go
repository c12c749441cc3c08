package room

import (
	"context"
	"log/slog"
	"testing"

	"chatd/internal/chat"
	"chatd/internal/chattest"
)

// An empty feed, and a relay that says nothing by itself.
type nothing struct{}

func (nothing) After(context.Context, chat.Room, chat.EventID, chat.EventID, int) ([]chat.Event, error) {
	return nil, nil
}
func (nothing) Newest(context.Context, chat.Room, chat.EventID, int) ([]chat.Event, error) {
	return nil, nil
}
func (nothing) Head(context.Context, chat.Room) (chat.EventID, error) { return "", nil }
func (nothing) Subscribe(chat.Room)                                   {}
func (nothing) Unsubscribe(chat.Room)                                 {}

// A reader of universe goes away while a new room is opened for it.
func TestReaderThatLeftIsNotSubscribed(t *testing.T) {
	h := NewHub(nothing{}, nothing{}, 50, slog.New(slog.NewTextHandler(t.Output(), nil)))
	leaves, stays := NewReader("alice", func() {}), NewReader("bob", func() {})
	h.Add(leaves)
	h.Add(stays)
	leaves.universe, leaves.may = true, func(context.Context, chat.Room) (bool, error) { return true, nil }
	h.Appeared([]chat.Room{"new"})
	joined := make(chan error)
	go func() {
		joined <- h.Join(t.Context(), stays, "new", "", func(Replay) []byte { return nil })
	}()
	var e *entry
	chattest.Eventually(t, "both wait for the room", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		e = h.rooms["new"]
		return e != nil && e.readers == 2
	})
	h.Remove(leaves)
	h.Subscribed("new")
	if err := <-joined; err != nil {
		t.Fatal(err)
	}
	h.wg.Wait()
	h.Close()
	if len(e.subs) != 1 || e.subs[stays] == nil {
		t.Fatalf("%d subscribers", len(e.subs))
	}
}
