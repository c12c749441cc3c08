package client

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"chatd/internal/chat"
)

// vectors reads cases that the browser's modules must pass as well.
func vectors[T any](t *testing.T, name string) []T {
	t.Helper()
	b, err := os.ReadFile("../../test/vectors/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []T `json:"cases"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) == 0 {
		t.Fatalf("%s has no cases", name)
	}
	return file.Cases
}

func TestTimelineVectors(t *testing.T) {
	type testCase struct {
		Name  string
		Steps []struct {
			Join *struct {
				Resumed bool
				Events  []Event
				Head    chat.EventID
			}
			Live *Event
			Want struct {
				Replaced bool
				Shown    []chat.EventID
				OK       bool
				Outcome  string
				Last     chat.EventID
			}
		}
	}
	for _, c := range vectors[testCase](t, "timeline.json") {
		t.Run(c.Name, func(t *testing.T) {
			var line Timeline
			var view []chat.EventID
			for i, step := range c.Steps {
				if step.Live != nil {
					got := map[Outcome]string{Show: "show", Repeat: "repeat", Broken: "broken"}[line.Live(*step.Live)]
					if got != step.Want.Outcome {
						t.Fatalf("step %d: live %s is %s, want %s", i, step.Live.ID, got, step.Want.Outcome)
					}
					if got == "show" {
						view = append(view, step.Live.ID)
					}
				} else {
					shown, replaced, ok := line.Joined(step.Join.Resumed, step.Join.Events, step.Join.Head)
					if !slices.Equal(ids(shown), step.Want.Shown) || replaced != step.Want.Replaced || ok != step.Want.OK {
						t.Fatalf("step %d: join = %v, replaced %v, ok %v; want %+v", i, ids(shown), replaced, ok, step.Want)
					}
					if replaced {
						view = nil
					}
					view = append(view, ids(shown)...)
				}
				if line.Last() != step.Want.Last {
					t.Fatalf("step %d: last is %q, want %q", i, line.Last(), step.Want.Last)
				}
				if !slices.Equal(ids(line.Events()), view) {
					t.Fatalf("step %d: kept %v, shown so far %v", i, ids(line.Events()), view)
				}
			}
		})
	}
}

func testID(seq int64) chat.EventID { return chat.EventID(strconv.FormatInt(seq, 10) + "-7") }

func ids(events []Event) []chat.EventID {
	ids := make([]chat.EventID, len(events))
	for i, ev := range events {
		ids[i] = ev.ID
	}
	return ids
}

func TestTimelineKeepsTheNewestOnly(t *testing.T) {
	line := Timeline{Keep: 4}
	line.Joined(false, nil, "")
	var prev chat.EventID
	for seq := int64(1); seq <= 100; seq++ {
		ev := Event{Seq: seq, ID: testID(seq), Prev: prev}
		if got := line.Live(ev); got != Show {
			t.Fatalf("event %d: outcome %d", seq, got)
		}
		if n := len(line.Events()); n > 8 || n < min(4, int(seq)) {
			t.Fatalf("%d events kept after %d", n, seq)
		}
		prev = ev.ID
	}
	if got := line.Live(Event{Seq: 99, ID: testID(99), Prev: testID(98)}); got != Repeat {
		t.Fatalf("a repeat of a kept event is %d", got)
	}
}

func TestOutboxVectors(t *testing.T) {
	type ref struct{ Room, Key string }
	type testCase struct {
		Name  string
		Steps []struct {
			Add        *Item
			Take       []string
			AtMS       int64  `json:"at_ms"`
			NextMS     *int64 `json:"next_ms"`
			Done       *ref
			Known      bool
			Again      *ref
			NotUntilMS int64 `json:"not_until_ms"`
		}
	}
	at := func(ms int64) time.Time { return time.UnixMilli(1_700_000_000_000 + ms) }
	for _, c := range vectors[testCase](t, "outbox.json") {
		t.Run(c.Name, func(t *testing.T) {
			out := NewOutbox(100)
			sent := map[string]Item{} // by key: a repeat must be the same
			for i, step := range c.Steps {
				switch {
				case step.Add != nil:
					if err := out.Add(*step.Add); err != nil {
						t.Fatalf("step %d: %v", i, err)
					}
				case step.Done != nil:
					if known := out.Done(step.Done.Room, step.Done.Key); known != step.Known {
						t.Fatalf("step %d: done is known %v, want %v", i, known, step.Known)
					}
				case step.Again != nil:
					out.Again(step.Again.Room, step.Again.Key, at(step.NotUntilMS))
				default:
					items, next := out.Take(at(step.AtMS))
					var keys []string
					for _, it := range items {
						keys = append(keys, it.Key)
						if first, ok := sent[it.Key]; ok && first != it {
							t.Fatalf("step %d: repeat %+v differs from %+v", i, it, first)
						}
						sent[it.Key] = it
					}
					if !slices.Equal(keys, step.Take) {
						t.Fatalf("step %d: take %v, want %v", i, keys, step.Take)
					}
					var want time.Time
					if step.NextMS != nil {
						want = at(*step.NextMS)
					}
					if !next.Equal(want) {
						t.Fatalf("step %d: next at %v, want %v", i, next, want)
					}
				}
			}
		})
	}
}

func TestOutboxIsBounded(t *testing.T) {
	out := NewOutbox(2)
	for _, want := range []error{nil, nil, ErrFull} {
		if err := out.Add(Item{Room: "r", Key: "k"}); err != want {
			t.Fatalf("add: %v, want %v", err, want)
		}
	}
	out.Take(time.Now())
	out.Done("r", "k")
	if err := out.Add(Item{Room: "r", Key: "k"}); err != nil || out.Len() != 2 {
		t.Fatalf("after an answer: %v, %d items", err, out.Len())
	}
}

func TestBackoffVectors(t *testing.T) {
	type testCase struct {
		Name   string
		MinMS  int64 `json:"min_ms"`
		MaxMS  int64 `json:"max_ms"`
		Rand   float64
		WantMS []int64 `json:"want_ms"`
	}
	for _, c := range vectors[testCase](t, "backoff.json") {
		t.Run(c.Name, func(t *testing.T) {
			b := backoff{min: time.Duration(c.MinMS) * time.Millisecond, max: time.Duration(c.MaxMS) * time.Millisecond, rand: func() float64 { return c.Rand }}
			for i, want := range c.WantMS {
				if got := b.next().Milliseconds(); got != want {
					t.Fatalf("wait %d is %d ms, want %d", i, got, want)
				}
			}
			for range 100 { // no overflow brings the wait down or up
				b.next()
			}
			if got, want := b.next(), time.Duration(c.Rand*float64(c.MaxMS))*time.Millisecond; got != want {
				t.Fatalf("wait after many tries is %v, want %v", got, want)
			}
		})
	}
}
