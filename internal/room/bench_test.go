//go:build !race

// The race detector allocates too.

package room_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"chatd/internal/chat"
	"chatd/internal/room"
)

// A crowd is a room full of readers, and events without end for it.
type crowd struct {
	room    *room.Room
	readers []*room.Reader
	events  []chat.Event // the last one is followed by the first
	next    int
	batch   [][]byte
}

func newCrowd(readers int) *crowd {
	const ring = 1024
	c := &crowd{room: room.NewRoom("general"), events: make([]chat.Event, ring)}
	for i := range c.events {
		id := func(i int) chat.EventID { return chat.EventID(fmt.Sprintf("%d-4611686018427387904", i%ring+1)) }
		c.events[i] = chat.Event{ID: id(i), Prev: id(i + ring - 1), Data: make([]byte, 300)}
	}
	c.room.Doubt()
	c.room.Reading()
	c.room.Start(c.events[0].Prev)
	for range readers {
		rd := room.NewReader("alice", func() {})
		c.readers = append(c.readers, rd)
		c.room.Subscribe(rd).GoLive(nil, nil)
	}
	return c
}

// fanOut gives an event to all readers, and takes it out of their queues.
func (c *crowd) fanOut(tb testing.TB) {
	if c.room.Event(c.events[c.next]) {
		tb.Fatal("a gap")
	}
	c.next = (c.next + 1) % len(c.events)
	for _, rd := range c.readers {
		var err error
		if c.batch, err = rd.Take(c.batch); err != nil || len(c.batch) != 1 {
			tb.Fatalf("%d events, %v", len(c.batch), err)
		}
		clear(c.batch)
		if nothing, err := rd.Take(nil); len(nothing) != 0 || err != nil { // it waits to be woken
			tb.Fatalf("%d events more, %v", len(nothing), err)
		}
	}
}

func BenchmarkFanOut(b *testing.B) {
	const readers = 1000
	c := newCrowd(readers)
	b.ReportAllocs()
	for b.Loop() {
		c.fanOut(b)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*readers), "ns/delivery")
}

func TestFanOutAllocatesNothingForAReader(t *testing.T) {
	cost := func(readers int) float64 {
		c := newCrowd(readers)
		c.fanOut(t)
		return testing.AllocsPerRun(100, func() { c.fanOut(t) })
	}
	if one, many := cost(1), cost(1000); one > 1 || many != one {
		t.Errorf("an event allocates %v times for one reader, %v times for a thousand", one, many)
	}
}

// shelf is a feed that nobody appends to, with an ear that hears nothing.
type shelf struct {
	hub    *room.Hub
	events []chat.Event
}

func (s *shelf) Head(context.Context, chat.Room) (chat.EventID, error) {
	return s.events[len(s.events)-1].ID, nil
}
func (s *shelf) After(_ context.Context, _ chat.Room, after, _ chat.EventID, limit int) ([]chat.Event, error) {
	from := after.Seq()
	return s.events[from:min(int(from)+limit, len(s.events))], nil
}
func (s *shelf) Newest(_ context.Context, _ chat.Room, _ chat.EventID, n int) ([]chat.Event, error) {
	return s.events[max(0, len(s.events)-n):], nil
}
func (s *shelf) Subscribe(name chat.Room) { go s.hub.Subscribed(name) }
func (s *shelf) Unsubscribe(chat.Room)    {}

// resumes returns what has a reader come back after twenty events that it missed.
func resumes(tb testing.TB) func() {
	s := &shelf{events: make([]chat.Event, 100)}
	prev := chat.EventID("")
	for i := range s.events {
		s.events[i] = chat.Event{ID: chat.EventID(fmt.Sprintf("%d-1", i+1)), Prev: prev, Data: fmt.Appendf(nil, `{"type":"message","text":%q}`, strings.Repeat("x", 270))}
		prev = s.events[i].ID
	}
	s.hub = room.NewHub(s, s, 50, slog.New(slog.DiscardHandler))
	tb.Cleanup(s.hub.Close)
	stays := room.NewReader("bob", func() {})
	s.hub.Add(stays)
	tb.Cleanup(func() { s.hub.Remove(stays) })
	join := func(rd *room.Reader) {
		err := s.hub.Join(tb.Context(), rd, "general", s.events[79].ID, func(r room.Replay) []byte {
			if !r.Resumed || len(r.Events) != 20 {
				tb.Fatalf("resumed %v with %d events", r.Resumed, len(r.Events))
			}
			return chat.Encode(chat.Joined{Answer: chat.OK(1), Room: "general", Resumed: true, Events: chat.Raw(r.Events), Head: r.Head})
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	join(stays) // the room is there
	return func() {
		rd := room.NewReader("alice", func() {})
		s.hub.Add(rd)
		join(rd)
		s.hub.Remove(rd)
	}
}

func BenchmarkResume(b *testing.B) {
	resume := resumes(b)
	b.ReportAllocs()
	for b.Loop() {
		resume()
	}
}

func TestAResumeAllocatesLittle(t *testing.T) {
	const most = 20
	if n := testing.AllocsPerRun(100, resumes(t)); n > most {
		t.Errorf("a resume of 20 events allocates %v times, want at most %d", n, most)
	}
}
