package feed_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"chatd/internal/chat"
	"chatd/internal/chattest"
	"chatd/internal/feed"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func say(t *testing.T, f *feed.Feed, from, key, text string) feed.Receipt {
	t.Helper()
	r, err := f.Append(t.Context(), feed.Draft{Kind: chat.Message, Room: "general", From: from, Key: key, Text: text})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func ids(events []chat.Event) (s string) {
	for _, ev := range events {
		s += fmt.Sprint(ev.ID.Seq(), " ")
	}
	return strings.TrimSpace(s)
}

func TestEventsFollowOneAnother(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		f := feed.New(rdb, 1000)
		var all []feed.Receipt
		for i := range 5 {
			all = append(all, say(t, f, "alice", fmt.Sprint("k", i), "hello"))
		}
		events, err := f.After(t.Context(), "general", "", "", 100)
		if err != nil || ids(events) != "1 2 3 4 5" {
			t.Fatalf("feed holds %q, %v", ids(events), err)
		}
		prev := chat.EventID("")
		for i, ev := range events {
			want := fmt.Sprintf(`{"type":"message","room":"general","seq":%d,"event":"%s","prev":"%s","at":"20`, i+1, ev.ID, prev)
			if ev.ID != all[i].Event || ev.Prev != prev || !strings.HasPrefix(string(ev.Data), want) ||
				!strings.HasSuffix(string(ev.Data), fmt.Sprintf(`Z","from":"alice","key":"k%d","text":"hello"}`, i)) {
				t.Fatalf("event %d is %+v %s", i+1, ev, ev.Data)
			}
			prev = ev.ID
		}
		if head, err := f.Head(t.Context(), "general"); head != prev || err != nil {
			t.Fatalf("head = %q, %v", head, err)
		}
		for _, c := range []struct{ name, got, want string }{
			{"after 2", ids(must(f.After(t.Context(), "general", all[1].Event, "", 100))), "3 4 5"},
			{"after 2 up to 4", ids(must(f.After(t.Context(), "general", all[1].Event, all[3].Event, 100))), "3 4"},
			{"after 2, at most 2", ids(must(f.After(t.Context(), "general", all[1].Event, "", 2))), "3 4"},
			{"after 2 up to 5, at most 2", ids(must(f.After(t.Context(), "general", all[1].Event, all[4].Event, 2))), "3 4"},
			{"after the newest", ids(must(f.After(t.Context(), "general", all[4].Event, "", 100))), ""},
			{"newest 2", ids(must(f.Newest(t.Context(), "general", "", 2))), "4 5"},
			{"newest 2 up to 3", ids(must(f.Newest(t.Context(), "general", all[2].Event, 2))), "2 3"},
			{"newest 99", ids(must(f.Newest(t.Context(), "general", "", 99))), "1 2 3 4 5"},
			{"2 before 4", ids(must(f.Before(t.Context(), "general", all[3].Event, 2))), "2 3"},
			{"99 before 1", ids(must(f.Before(t.Context(), "general", all[0].Event, 99))), ""},
			{"an empty room", ids(must(f.Newest(t.Context(), "empty", "", 9))), ""},
			{"after nothing in an empty room", ids(must(f.After(t.Context(), "empty", "", "", 9))), ""},
		} {
			if c.got != c.want {
				t.Errorf("%s: %q, want %q", c.name, c.got, c.want)
			}
		}
	})
}

func must(events []chat.Event, err error) []chat.Event {
	if err != nil {
		return []chat.Event{{Data: []byte(err.Error())}}
	}
	return events
}

func TestOneKeyMakesOneEvent(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		f := feed.New(rdb, 1000)
		var wg sync.WaitGroup
		receipts := make([]feed.Receipt, 20)
		for i := range receipts {
			wg.Go(func() {
				r, err := f.Append(t.Context(), feed.Draft{Kind: chat.Message, Room: "general", From: "alice", Key: "k", Text: "once"})
				if err != nil {
					t.Error(err)
				}
				receipts[i] = r
			})
		}
		wg.Wait()
		fresh := 0
		for _, r := range receipts {
			if r.Event != receipts[0].Event {
				t.Fatal("one key made two events")
			}
			if !r.Duplicate {
				fresh++
			}
		}
		if got := ids(must(f.After(t.Context(), "general", "", "", 100))); fresh != 1 || got != "1" {
			t.Fatalf("%d fresh answers, feed %q", fresh, got)
		}
		_, err := f.Append(t.Context(), feed.Draft{Kind: chat.Message, Room: "general", From: "alice", Key: "k", Text: "other"})
		wantCode(t, err, chat.CodeKeyReused)
		if r := say(t, f, "bob", "k", "once"); r.Duplicate {
			t.Fatal("alice's key meant something to bob")
		}
		if ttl := rdb.TTL(t.Context(), "chatd:{general}:key:alice:k").Val(); ttl < 24*time.Hour {
			t.Fatalf("a key is remembered for %v", ttl)
		}
	})
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var e *chat.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("error %v, want %s", err, code)
	}
}

func TestRetractedTextLeavesRedis(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		f := feed.New(rdb, 1000)
		ctx := t.Context()
		change := func(from, kind, key string, target chat.EventID, text string) (feed.Receipt, error) {
			return f.Append(ctx, feed.Draft{Kind: kind, Room: "general", From: from, Key: key, Target: target, Text: text})
		}
		first := say(t, f, "alice", "1", "before")
		secret := say(t, f, "alice", "2", "tell nobody xyzzy")
		next := say(t, f, "bob", "3", "between")
		edit, err := change("alice", chat.Edited, "4", secret.Event, "edited xyzzy")
		if err != nil {
			t.Fatal(err)
		}
		_, err = change("bob", chat.Edited, "5", secret.Event, "mine now")
		wantCode(t, err, chat.CodeForbidden)
		_, err = change("bob", chat.Retracted, "5", secret.Event, "")
		wantCode(t, err, chat.CodeForbidden)
		_, err = change("alice", chat.Retracted, "5", edit.Event, "")
		wantCode(t, err, chat.CodeNotFound)
		if _, err = change("alice", chat.Retracted, "6", secret.Event, ""); err != nil {
			t.Fatal(err)
		}
		if r, err := change("alice", chat.Retracted, "6", secret.Event, ""); err != nil || !r.Duplicate {
			t.Fatalf("repeat of a retraction: %+v, %v", r, err)
		}
		_, err = change("alice", chat.Edited, "7", secret.Event, "again xyzzy")
		wantCode(t, err, chat.CodeNotFound)

		if dump := dumpAll(t, rdb); strings.Contains(dump, "xyzzy") {
			t.Fatalf("retracted text is still in Redis:\n%s", dump)
		}
		gone := func(events []chat.Event) (s string) {
			for _, ev := range events {
				if strings.HasPrefix(string(ev.Data), fmt.Sprintf(`{"type":"gone","room":"general","seq":%d,"event":"%s","prev":"%s"}`, ev.ID.Seq(), ev.ID, ev.Prev)) {
					s += "g"
				}
				s += fmt.Sprint(ev.ID.Seq(), " ")
			}
			return strings.TrimSpace(s)
		}
		for _, c := range []struct{ name, got, want string }{
			{"all", gone(must(f.After(ctx, "general", "", "", 100))), "1 g2 3 g4 5"},
			{"after the retracted", gone(must(f.After(ctx, "general", secret.Event, "", 100))), "3 g4 5"},
			{"after the retracted edit", gone(must(f.After(ctx, "general", edit.Event, "", 100))), "5"},
			{"up to the retracted edit", gone(must(f.After(ctx, "general", first.Event, edit.Event, 100))), "g2 3 g4"},
			{"up to the retracted", gone(must(f.After(ctx, "general", first.Event, secret.Event, 100))), "g2"},
			{"newest up to the retracted", gone(must(f.Newest(ctx, "general", secret.Event, 100))), "1 g2"},
			{"before the one behind", gone(must(f.Before(ctx, "general", next.Event, 100))), "1 g2"},
			{"before the retracted edit", gone(must(f.Before(ctx, "general", edit.Event, 2))), "g2 3"},
		} {
			if c.got != c.want {
				t.Errorf("%s: %q, want %q", c.name, c.got, c.want)
			}
		}
	})
}

// So much was taken back that it is not known any more what stood there: what is known
// goes out, or one person could make a room that nobody can join.
func TestNewestWhereMostWasTakenBack(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		f := feed.New(rdb, 20)
		ctx := t.Context()
		n := 0
		change := func(kind string, target chat.EventID) chat.EventID {
			n++
			r, err := f.Append(ctx, feed.Draft{Kind: kind, Room: "general", From: "alice", Key: fmt.Sprint(n), Target: target, Text: "x"})
			if err != nil {
				t.Fatal(err)
			}
			return r.Event
		}
		var head chat.EventID
		for range 8 {
			target := change(chat.Message, "")
			for range 14 {
				change(chat.Edited, target)
			}
			head = change(chat.Retracted, target) // at 128 the places before 88 are forgotten
		}
		if got := ids(must(f.Newest(ctx, "general", head, 3))); got != "126 127 128" {
			t.Errorf("newest 3: %q", got)
		}
		all := must(f.Newest(ctx, "general", "", 500))
		if len(all) != 41 || all[0].ID.Seq() != 88 || all[40].ID != head {
			t.Fatalf("newest of all: %q", ids(all))
		}
		for i, ev := range all[1:] {
			if ev.Prev != all[i].ID {
				t.Fatalf("%s follows %s", ev.ID, all[i].ID)
			}
		}
		if got := ids(must(f.Before(ctx, "general", all[2].ID, 50))); got != "88 89" {
			t.Errorf("before 90: %q", got)
		}
		if got := ids(must(f.Before(ctx, "general", all[0].ID, 50))); got != "" {
			t.Errorf("before 88: %q", got)
		}
		if _, err := f.Before(ctx, "general", all[0].Prev, 50); !errors.Is(err, chat.ErrLost) {
			t.Errorf("before what is forgotten: %v", err)
		}
	})
}

func dumpAll(t *testing.T, rdb *redis.Client) (s string) {
	t.Helper()
	ctx := t.Context()
	for _, key := range rdb.Keys(ctx, "*").Val() {
		s += key + " "
		switch rdb.Type(ctx, key).Val() {
		case "string":
			s += rdb.Get(ctx, key).Val()
		case "hash":
			s += fmt.Sprint(rdb.HGetAll(ctx, key).Val())
		case "stream":
			s += fmt.Sprint(rdb.XRange(ctx, key, "-", "+").Val())
		default:
			t.Fatalf("key %s has a type that this test does not look into", key)
		}
		s += "\n"
	}
	return s
}

// A position that Redis does not hold is never continued from.
func TestLostPositionsAreNotContinued(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		f := feed.New(rdb, 100)
		ctx := t.Context()
		first := say(t, f, "alice", "0", "hello")
		for i := range 300 {
			say(t, f, "alice", fmt.Sprint("t", i), "hello")
		}
		head := must(f.Newest(ctx, "general", "", 1))[0]
		fork := chat.EventID(fmt.Sprint(head.ID.Seq()-1, "-12345"))
		oldest := rdb.XRangeN(ctx, "chatd:{general}:feed", "-", "+", 1).Val()[0]
		prev := chat.EventID(oldest.Values["p"].(string))

		if _, err := f.After(ctx, "general", prev, "", 1000); err != nil {
			t.Errorf("the place just before the oldest event: %v", err)
		}
		for name, read := range map[string]func() ([]chat.Event, error){
			"after a trimmed event":    func() ([]chat.Event, error) { return f.After(ctx, "general", first.Event, "", 1000) },
			"after nothing, trimmed":   func() ([]chat.Event, error) { return f.After(ctx, "general", "", "", 1000) },
			"after another fork":       func() ([]chat.Event, error) { return f.After(ctx, "general", fork, "", 1000) },
			"up to another fork":       func() ([]chat.Event, error) { return f.After(ctx, "general", prev, fork, 1000) },
			"after what is to come":    func() ([]chat.Event, error) { return f.After(ctx, "general", "999-1", "", 1000) },
			"after, in an empty room":  func() ([]chat.Event, error) { return f.After(ctx, "empty", "1-1", "", 1000) },
			"newest of another fork":   func() ([]chat.Event, error) { return f.Newest(ctx, "general", fork, 10) },
			"before another fork":      func() ([]chat.Event, error) { return f.Before(ctx, "general", fork, 10) },
			"before, in an empty room": func() ([]chat.Event, error) { return f.Before(ctx, "empty", "1-1", 10) },
		} {
			if events, err := read(); !errors.Is(err, chat.ErrLost) {
				t.Errorf("%s: %q, %v; want ErrLost", name, ids(events), err)
			}
		}
	})
}

// After a loss of data the feed goes on, and old positions do not fit it.
func TestFeedOutlivesItsData(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		f := feed.New(rdb, 1000)
		ctx := t.Context()
		old := say(t, f, "alice", "1", "hello")
		say(t, f, "alice", "2", "hello")

		rdb.XTrimMaxLen(ctx, "chatd:{general}:feed", 0)
		if r := say(t, f, "alice", "3", "the stream was emptied"); r.Event.Seq() != 3 {
			t.Fatalf("seq %d after the stream was emptied, want 3", r.Event.Seq())
		}
		rdb.FlushAll(ctx)
		rdb.ScriptFlush(ctx)
		again := say(t, f, "alice", "4", "all was lost")
		if again.Event.Seq() != 1 || again.Event == old.Event {
			t.Fatalf("first event %q after the loss, %q before", again.Event, old.Event)
		}
		if _, err := f.After(ctx, "general", old.Event, "", 100); !errors.Is(err, chat.ErrLost) {
			t.Fatalf("an event from before the loss was continued: %v", err)
		}
	})
}

func TestAppendWithoutRedisIsUnavailable(t *testing.T) {
	rdb, m := chattest.Embedded(t)
	f := feed.New(rdb, 100)
	m.SetError("LOADING Redis is loading the dataset in memory")
	_, err := f.Append(t.Context(), feed.Draft{Kind: chat.Message, Room: "general", From: "alice", Key: "k", Text: "x"})
	if !errors.Is(err, chat.ErrUnavailable) {
		t.Fatal(err)
	}
	m.SetError("")
	if r := say(t, f, "alice", "k", "x"); r.Duplicate {
		t.Fatal("the refused append was remembered")
	}
}

func TestErasedIsTheNameAndNothingElse(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		f := feed.New(rdb, 10_000)
		quoting := `she wrote {"from":"alice","key":"x"} \"from\":\"alice\"`
		for i := range 1100 { // more than one look
			say(t, f, "bob", fmt.Sprint("b", i), "alice said so")
		}
		say(t, f, "bob", "quote", quoting)
		mine := say(t, f, "alice", "a1", quoting)
		edit, err := f.Append(t.Context(), feed.Draft{Kind: chat.Edited, Room: "general", From: "alice", Key: "a2", Target: mine.Event, Text: "edited"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Append(t.Context(), feed.Draft{Kind: chat.Message, Room: "other", From: "alicia", Key: "k", Text: "not her"}); err != nil {
			t.Fatal(err)
		}
		before, err := f.After(t.Context(), "general", "", "", 10_000)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // it may be done again
			if err := f.Erase(t.Context(), "alice"); err != nil {
				t.Fatal(err)
			}
		}
		after, err := f.After(t.Context(), "general", "", "", 10_000)
		if err != nil || len(after) != len(before) {
			t.Fatalf("%d events of %d, %v", len(after), len(before), err)
		}
		for i := range after {
			want := string(before[i].Data)
			if before[i].ID == mine.Event || before[i].ID == edit.Event {
				want = strings.Replace(want, `Z","from":"alice"`, `Z","from":""`, 1)
			}
			if after[i].ID != before[i].ID || after[i].Prev != before[i].Prev || string(after[i].Data) != want {
				t.Fatalf("%s, want %s", after[i].Data, want)
			}
		}
		if other, err := f.Newest(t.Context(), "other", "", 1); err != nil || !strings.Contains(string(other[0].Data), `"from":"alicia"`) {
			t.Fatalf("another's: %v, %v", other, err)
		}
		// The feed goes on where it was, and what was said can still be taken back.
		next := say(t, f, "bob", "next", "hello")
		if got, err := f.After(t.Context(), "general", edit.Event, "", 10); err != nil || len(got) != 1 || got[0].ID != next.Event || got[0].Prev != edit.Event {
			t.Fatalf("after it: %v, %v", got, err)
		}
		if keys := rdb.Keys(t.Context(), "*anew*").Val(); len(keys) != 0 {
			t.Fatalf("left: %v", keys)
		}
	})
}

// What each role may do, in the append itself: so it holds for the very next message.
func TestRoles(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		f := feed.New(rdb, 1000)
		kinds := []string{chat.Message, chat.Edited, chat.Reacted, chat.Retracted, "another's"}
		for _, c := range []struct {
			room  chat.Room
			role  string
			admin bool
			want  string // for each kind
		}{
			{"tea", "", false, "ok ok ok ok forbidden"},
			{"tea", chat.Plain, false, "ok ok ok ok forbidden"},
			{"tea", chat.Owner, false, "ok ok ok ok note"},
			{"tea", chat.Moderator, false, "ok ok ok ok note"},
			{"tea", chat.Muted, false, "muted muted muted ok forbidden"},
			{"tea", chat.Banned, false, "banned banned banned banned banned"},
			{"tea", chat.Banned, true, "ok ok ok ok note"},
			{"~tea", "", false, "forbidden forbidden forbidden forbidden forbidden"},
			{"~tea", "", true, "forbidden forbidden forbidden forbidden forbidden"},
			{"~tea", chat.Banned, true, "banned banned banned banned banned"},
			{"~tea", chat.Plain, false, "ok ok ok ok forbidden"},
			{"~tea", chat.Plain, true, "ok ok ok ok note"},
			{"~tea", chat.Muted, false, "muted muted muted ok forbidden"},
			{"~tea", chat.Owner, false, "ok ok ok ok note"},
			{"@alice:bob", "", true, "ok ok ok ok forbidden"},
		} {
			got := ""
			for _, kind := range kinds {
				rdb.FlushAll(t.Context())
				members := c.room.Key(chat.Members)
				rdb.HSet(t.Context(), members, "alice", chat.Plain, "bob", chat.Plain)
				target := func(from string) chat.EventID {
					r, err := f.Append(t.Context(), feed.Draft{Kind: chat.Message, Room: c.room, From: from, Key: "first", Text: "x"})
					if err != nil {
						t.Fatal(err)
					}
					return r.Event
				}
				d := feed.Draft{Kind: kind, Room: c.room, From: "alice", Key: "k", Admin: c.admin}
				switch on := true; kind {
				case chat.Message:
					d.Text = "x"
				case chat.Edited:
					d.Text, d.Target = "y", target("alice")
				case chat.Reacted:
					d.Emoji, d.On, d.Target = "👍", &on, target("bob")
				case chat.Retracted:
					d.Target = target("alice")
				default:
					d.Kind, d.Target = chat.Retracted, target("bob")
				}
				rdb.HDel(t.Context(), members, "alice")
				if c.role != "" {
					rdb.HSet(t.Context(), members, "alice", c.role)
				}
				_, err := f.Append(t.Context(), d)
				var refused *chat.Error
				var unnoted *feed.Unnoted
				switch {
				case err == nil:
					got += " ok"
				case errors.As(err, &refused):
					got += " " + refused.Code
				case errors.As(err, &unnoted):
					got += " note"
					if unnoted.Author != "bob" {
						t.Errorf("a message of bob's is one of %q", unnoted.Author)
					}
					d.Noted = true
					if _, err := f.Append(t.Context(), d); err != nil {
						t.Errorf("noted, it is %v", err)
					}
				default:
					t.Fatal(err)
				}
			}
			if got[1:] != c.want {
				t.Errorf("%q (admin %t) in %s: %s, want %s", c.role, c.admin, c.room, got[1:], c.want)
			}
		}
	})
}

func TestARemovedRoomTakesNothing(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	f := feed.New(rdb, 1000)
	rdb.HSet(t.Context(), "chatd:{general}:members", "", "removed", "alice", chat.Owner)
	_, err := f.Append(t.Context(), feed.Draft{Kind: chat.Message, Room: "general", From: "alice", Key: "k", Text: "x", Admin: true})
	wantCode(t, err, chat.CodeNotFound)
	if n := rdb.Exists(t.Context(), "chatd:{general}:feed").Val(); n != 0 {
		t.Fatal("it has a feed")
	}
}
