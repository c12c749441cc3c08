package room

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"chatd/internal/chat"
)

// feedOf returns n events that follow after, with random nonces.
func feedOf(rng *rand.Rand, after chat.EventID, n int) (events []chat.Event) {
	for range n {
		id := chat.EventID(fmt.Sprintf("%d-%d", after.Seq()+1, rng.Int64()))
		events = append(events, chat.Event{ID: id, Prev: after, Data: []byte("x")})
		after = id
	}
	return events
}

// What goes out is the feed, each event once and in order, whatever the relay
// loses, repeats, delays or brings from a fork, and however reads and events
// interleave.
func TestMergeGivesOutTheFeed(t *testing.T) {
	const seeds = 3000
	filled, forks := 0, 0
	for seed := range uint64(seeds) {
		rng := rand.New(rand.NewPCG(seed, 1))
		feed := feedOf(rng, "", rng.IntN(120)+1)
		first := rng.IntN(len(feed)) // events before the room was opened
		kept := first                // events that the feed holds by now
		var m merge
		var wire []chat.Event // published, not yet heard
		var out []chat.Event

		var read func() (more bool) // a read under way
		begin := func(after chat.EventID, known bool) {
			m.reading()
			snapshot := append([]chat.Event(nil), feed[:kept]...)
			read = func() bool {
				if !known {
					head := chat.EventID("")
					if len(snapshot) > 0 {
						head = snapshot[len(snapshot)-1].ID
					}
					first = len(snapshot)
					o, gap := m.start(head)
					out = append(out, o...)
					return gap
				}
				filled++
				o, gap := m.filled(snapshot[after.Seq():])
				out = append(out, o...)
				return gap
			}
		}
		begin("", false)
		hear := func(ev chat.Event) {
			o, gap := m.event(ev)
			out = append(out, o...)
			if gap {
				begin(m.head, true)
			}
		}
		for kept < len(feed) || read != nil || len(wire) > 0 {
			switch rng.IntN(8) {
			case 0, 1, 2: // an append
				if kept < len(feed) {
					if rng.IntN(5) > 0 {
						wire = append(wire, feed[kept])
					}
					kept++
				}
			case 3, 4: // the relay brings something, perhaps once more later
				if len(wire) > 0 {
					i := rng.IntN(min(3, len(wire)))
					ev := wire[i]
					if rng.IntN(6) > 0 {
						wire = append(wire[:i:i], wire[i+1:]...)
					}
					hear(ev)
				}
			case 5: // the read under way ends
				if read != nil {
					done := read
					read = nil
					if done() {
						begin(m.head, true)
					}
				}
			case 6: // a resubscription
				if read == nil && rng.IntN(10) == 0 && m.doubt() {
					begin(m.head, true)
				} else if read != nil && rng.IntN(10) == 0 && m.doubt() {
					t.Fatalf("seed %d: a second read was asked for", seed)
				}
			case 7: // an old master publishes what the feed does not hold
				if rng.IntN(6) == 0 {
					base := feed[rng.IntN(len(feed))]
					fork := feedOf(rng, base.ID, 2)
					hear(fork[1])
					forks++
				}
			}
		}
		// The last events may have been lost: a doubt finds them.
		for m.doubt() || read != nil {
			if read == nil {
				begin(m.head, true)
			}
			done := read
			read = nil
			if done() {
				begin(m.head, true)
				continue
			}
			break
		}
		want := feed[first:]
		if len(out) != len(want) {
			t.Fatalf("seed %d: %d events went out, want %d", seed, len(out), len(want))
		}
		for i, ev := range out {
			if ev.ID != want[i].ID {
				t.Fatalf("seed %d: event %d is %s, want %s", seed, i, ev.ID, want[i].ID)
			}
		}
	}
	if filled < seeds || forks < seeds/10 {
		t.Fatalf("%d gaps and %d forks in %d seeds: the faults did not bite", filled, forks, seeds)
	}
}

func TestMergeHoldsWithinBounds(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	feed := feedOf(rng, "", 200)
	for i := range feed {
		feed[i].Data = make([]byte, heldBytes/50)
	}
	var m merge
	m.reading()
	for _, ev := range feed {
		m.event(ev)
		if m.size > heldBytes || len(m.held) > 51 {
			t.Fatalf("%d bytes are held", m.size)
		}
	}
	out, gap := m.start("")
	if len(out) != 0 || !gap {
		t.Fatalf("events were let go, and %d went out, gap %v", len(out), gap)
	}
	m.reading()
	if out, gap = m.filled(feed); len(out) != 200 || gap {
		t.Fatalf("%d events went out, gap %v", len(out), gap)
	}
}

func TestMergeKnowsRepeatsWithoutReading(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	feed := feedOf(rng, "", 70)
	var m merge
	m.start("")
	for _, ev := range feed {
		if out, gap := m.event(ev); len(out) != 1 || gap {
			t.Fatal("an event in order did not go out")
		}
	}
	if out, gap := m.event(feed[69]); len(out) != 0 || gap {
		t.Fatal("a repeat went out, or had the feed read")
	}
	if out, gap := m.event(feed[10]); len(out) != 0 || gap {
		t.Fatal("a late repeat went out, or had the feed read")
	}
}

func TestMergeFindsGapsAtOnceAndReadsOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	feed := feedOf(rng, "", 10)
	var m merge
	m.start("")
	m.event(feed[0])
	if out, gap := m.event(feed[2]); len(out) != 0 || !gap {
		t.Fatal("an event behind a gap went out, or no gap was found")
	}
	m.reading()
	m.event(feed[3]) // while the read is under way, which shows it
	m.event(feed[4]) // and one that the read does not show
	if out, gap := m.filled(feed[1:4]); len(out) != 4 || gap {
		t.Fatalf("%d events went out, and another read is wanted: %v", len(out), gap)
	}

	if !m.doubt() {
		t.Fatal("a doubt has the feed read")
	}
	m.reading()
	if m.doubt() {
		t.Fatal("a doubt during a read wants a second one beside it")
	}
	if out, gap := m.filled(nil); len(out) != 0 || !gap {
		t.Fatal("a doubt during a read is not followed by another read")
	}
	m.reading()
	if _, gap := m.filled(nil); gap {
		t.Fatal("a read that shows nothing new ends the doubt")
	}
}
