package judge_test

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"chatd/internal/judge"
)

// ev is an event of the room, from alice: its key is "k" and its text, its id
// the seq and a letter for the branch.
func ev(id, prev, text string) judge.Event {
	var seq int64
	fmt.Sscan(id, &seq)
	return judge.Event{ID: id, Prev: prev, Seq: seq, Type: "message", From: "alice", Key: "k" + text, Text: text}
}

var (
	e1 = ev("1a", "", "one")
	e2 = ev("2a", "1a", "two")
	e3 = ev("3a", "2a", "three")
	f2 = ev("2b", "1a", "two")
	f3 = ev("3b", "2b", "three")
	g2 = judge.Event{ID: "2a", Prev: "1a", Seq: 2, Type: judge.Gone}
)

func send(e judge.Event) judge.Entry {
	return judge.Entry{Kind: judge.Sent, Client: "a", User: "alice", Event: judge.Event{Type: e.Type, Key: e.Key, Text: e.Text, Target: e.Target}}
}

func ok(e judge.Event) judge.Entry {
	return judge.Entry{Kind: judge.Confirmed, Client: "a", User: "alice", Event: judge.Event{Key: e.Key, ID: e.ID, Seq: e.Seq}}
}

func refuse(e judge.Event) judge.Entry {
	return judge.Entry{Kind: judge.Refused, Client: "a", User: "alice", Event: judge.Event{Key: e.Key}}
}

func show(client string, e judge.Event) judge.Entry {
	return judge.Entry{Kind: judge.Shown, Client: client, Event: e}
}

func replace(client, had string, events ...judge.Event) judge.Entry {
	return judge.Entry{Kind: judge.Replaced, Client: client, Had: had, Events: events}
}

func feed(events ...judge.Event) judge.Entry {
	return judge.Entry{Kind: judge.Feed, Events: events}
}

func of(kind judge.Kind, client string) judge.Entry { return judge.Entry{Kind: kind, Client: client} }

var (
	lost = judge.Entry{Kind: judge.DataLost}
	kept = judge.Entry{Kind: judge.Kept}
)

// verdict judges a history whose entries are 0.4 s apart. Sends without an entry
// of their own are put before it.
func verdict(entries ...judge.Entry) judge.Report {
	for i := range entries {
		entries[i].Room = "general"
		entries[i].At = time.Unix(0, 0).Add(time.Duration(i) * 400 * time.Millisecond)
	}
	return judge.History(entries)
}

func words(r judge.Report) string {
	var all []string
	for _, f := range r.Faults {
		if !slices.Contains(all, f.What) {
			all = append(all, f.What)
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func TestWhatIsAFault(t *testing.T) {
	sent := []judge.Entry{send(e1), send(e2), send(e3)}
	edit := judge.Event{ID: "2a", Prev: "1a", Seq: 2, Type: "edited", From: "alice", Key: "e", Target: "1a", Text: "won"}
	g1 := judge.Event{ID: "1a", Seq: 1, Type: judge.Gone}
	take := judge.Event{ID: "2a", Prev: "1a", Seq: 2, Type: judge.Retracted, From: "alice", Key: "r", Target: "1a"}
	take3 := judge.Event{ID: "3a", Prev: "2a", Seq: 3, Type: judge.Retracted, From: "alice", Key: "r", Target: "1a"}
	with := func(base []judge.Entry, more ...judge.Entry) []judge.Entry {
		return append(slices.Clone(base), more...)
	}
	change := func(e judge.Event, f func(*judge.Event)) judge.Event { f(&e); return e }
	for _, c := range []struct {
		name    string
		history []judge.Entry
		want    string
	}{
		{"nothing", nil, ""},
		{"a good day", with(sent, replace("b", ""), ok(e1), show("b", e1), show("b", e2), ok(e2), ok(e3), show("b", e3), feed(e1, e2, e3), of(judge.End, "b")), ""},
		{"a view that begins late", with(sent, replace("b", "", e2), show("b", e3), feed(e1, e2, e3), of(judge.End, "b")), ""},
		{"ids of before not known", with(sent, replace("b", "", e1), show("b", change(e2, func(e *judge.Event) { e.Prev = "" })), feed(e1, e2)), ""},
		{"a page loaded again", with(sent, replace("b", "", e1, e2), of(judge.Opened, "b"), replace("b", "", e1, e2, e3), feed(e1, e2, e3), of(judge.End, "b")), ""},
		{"an edit", []judge.Entry{send(e1), send(edit), replace("b", "", e1), show("b", edit), ok(edit), feed(e1, edit)}, ""},
		{"a retraction", with(sent, replace("b", "", e1, e2), ok(e2), replace("c", "", e1, g2), feed(e1, g2, e3)), ""},
		{"taken back", []judge.Entry{send(e1), send(take), ok(take), feed(g1, take)}, ""},
		{"taken back, and still there", []judge.Entry{send(e1), send(take), feed(e1, take)}, "taken back"},
		{"taken back, and its edit still there", []judge.Entry{send(e1), send(edit), send(take3), feed(g1, edit, take3)}, "taken back"},
		{"refused and not kept", with(sent, refuse(e2), feed(e1)), ""},
		{"unknown, kept or not", with(sent, feed(e1)), ""},

		{"confirmed and gone", with(sent, ok(e2), feed(e1)), "lost"},
		{"confirmed and trimmed", with(sent, ok(e1), feed(e2, e3)), ""},
		{"confirmed as another event", with(sent, ok(change(e1, func(e *judge.Event) { e.ID = "7z" })), feed(e1)), "lost"},

		{"never sent, shown", []judge.Entry{replace("b", ""), show("b", e1)}, "phantom"},
		{"never sent, in the feed", []judge.Entry{feed(e1)}, "phantom"},
		{"never sent, answered", []judge.Entry{ok(e1)}, "phantom"},
		{"refused and kept", with(sent, refuse(e1), feed(e1)), "phantom"},
		{"shown and not kept", with(sent, replace("b", ""), show("b", e1), feed()), "phantom"},
		{"another's key", with(sent, feed(change(e1, func(e *judge.Event) { e.From = "bob" }))), "phantom"},

		{"another text", with(sent, feed(change(e1, func(e *judge.Event) { e.Text = "0ne" }))), "altered"},
		{"another kind", with(sent, feed(change(e1, func(e *judge.Event) { e.Type = "retracted" }))), "altered"},
		{"another target", []judge.Entry{send(e1), send(edit), feed(e1, change(edit, func(e *judge.Event) { e.Target = "9z" }))}, "altered"},
		{"another text for some", with(sent, replace("b", "", e1), replace("c", "", change(e1, func(e *judge.Event) { e.Text = "0ne" }))), "altered"},
		{"another place for some", with(sent, replace("b", "", e1, e2), replace("c", "", change(e2, func(e *judge.Event) { e.Prev = "1z" }))), "altered"},

		{"one key twice in the feed", with(sent, feed(e1, e2, ev("3a", "2a", "two"))), "doubled"},
		{"one key twice in the feed, data lost", with(sent, lost, feed(e1, e2, ev("3a", "2a", "two"))), "doubled"},
		{"one key for two readers", with(sent, replace("b", "", e1, e2), replace("c", "", ev("3a", "2a", "two"))), "doubled"},
		{"shown twice", with(sent, replace("b", "", e1, e2), show("b", e1)), "doubled"},
		{"shown twice at once", with(sent, replace("b", "", e1, e2), show("b", e2)), "doubled"},

		{"two events at one place", with(sent, replace("b", "", e1, e2), replace("c", "", ev("2b", "1a", "three"))), "clash"},
		{"two answers for one key", with(sent, ok(e2), ok(f2)), "clash"},
		{"refused after all", with(sent, ok(e2), refuse(e2)), "clash"},
		{"confirmed after all", with(sent, refuse(e2), ok(e2)), "clash"},
		{"one answer twice", with(sent, ok(e2), ok(e2), feed(e1, e2)), ""},

		{"a jump live", with(sent, replace("b", "", e1), show("b", e3)), "hole"},
		{"a jump in the view", with(sent, replace("b", "", e1, e3)), "hole"},
		{"a jump in the feed", with(sent, feed(e1, e3)), "hole"},
		{"a first event that is not", with(sent, replace("b", ""), show("b", e2)), "hole"},
		{"another branch, in silence", with(sent, lost, replace("b", "", e1, e2), show("b", f3)), "hole"},
		{"a jump that was told", with(sent, lost, replace("b", "", e1), of(judge.Gap, "b"), show("b", e3), feed(e1, e2, e3), of(judge.End, "b")), ""},

		{"overtaken by a later one", with(sent, feed(e1, ev("2a", "1a", "three"), ev("3a", "2a", "two"))), "out of order"},
		{"behind what was said after it", []judge.Entry{
			send(e2), ok(e2), {Kind: judge.Sent, Client: "c", User: "bob", Event: judge.Event{Type: "message", Key: "b", Text: "first"}},
			feed(judge.Event{ID: "1a", Seq: 1, Type: "message", From: "bob", Key: "b", Text: "first"}, e2)}, "out of order"},

		{"behind at the end", with(sent, replace("b", "", e1), feed(e1, e2), of(judge.End, "b")), "stale"},
		{"never there", with(sent, feed(e1), of(judge.End, "b")), "stale"},
		{"an empty room", []judge.Entry{replace("b", ""), feed(), of(judge.End, "b")}, ""},
		{"on another branch at the end", with(sent, replace("b", "", e1, e2), lost, feed(e1, f2), of(judge.End, "b")), "stale"},

		{"replaced, not told", with(sent, lost, replace("b", "", e1), replace("b", "", e2)), "silent"},
		{"replaced, told of something else", with(sent, lost, replace("b", "", e1, e2), replace("b", "1a", e3)), "silent"},
		{"a gap without cause", with(sent, replace("b", "", e1, e2), replace("b", "2a", e1), feed(e1, e2, e3)), "gap"},
		{"a gap for somebody too far behind", with(sent, replace("b", "", e1), judge.Entry{Kind: judge.Replaced, Client: "b", Had: "1a", Events: []judge.Event{e3}, Far: true}, feed(e1, e2, e3)), ""},
		{"a gap for what was trimmed", with(sent, replace("b", "", e1), replace("b", "1a", e3), feed(e3)), ""},

		{"lost by Redis", with(sent, ok(e2), replace("b", "", e1, e2), lost, replace("b", "2a", e1), show("b", f2), feed(e1, f2), of(judge.End, "b")), ""},
		{"confirmed anew after a loss", with(sent, ok(e2), lost, ok(f2), feed(e1, f2)), ""},
		{"confirmed while Redis lost it", with(sent, lost, ok(e2), feed(e1)), ""},
		{"sent again after a loss", []judge.Entry{send(e1), ok(e1), lost, send(e2), ok(ev("1b", "", "two")), ok(ev("2b", "1b", "one")),
			feed(ev("1b", "", "two"), ev("2b", "1b", "one"))}, ""},
		{"lost after a loss", []judge.Entry{lost, send(e1), send(e2), ok(e2), feed(e1)}, "lost"},
		{"out of order after a loss", with(sent, ok(e2), lost, feed(e1, ev("2b", "1a", "three"), ev("3b", "2b", "two"))), ""},
		{"two branches after a loss", with(sent, replace("b", "", e1, e2), lost, replace("c", "", e1, f2, f3), feed(e1, f2, f3), of(judge.End, "c")), ""},

		{"lost, and Redis had it", with(sent, ok(e1), kept, ok(e2), lost, feed()), "lost"},
		{"lost, and Redis had only what was before", with(sent, ok(e1), kept, ok(e2), lost, feed(e1)), ""},
		{"lost once, and kept since", with(sent, ok(e1), ok(e2), lost, kept, lost, feed(e1)), ""},
		{"lost by the second loss, had by the first", with(sent, ok(e1), ok(e2), kept, lost, lost, feed(e1)), "lost"},
		{"confirmed before it was kept, and again after a loss", with(sent, ok(e1), ok(e2), kept, lost, ok(e2), feed(e1)), "lost"},

		{"a contract broken", []judge.Entry{{Kind: judge.Wrong, Client: "b", Note: "no answer"}}, "wrong"},
		{"logged out for nothing", []judge.Entry{of(judge.LoggedIn, "b"), of(judge.LoggedOut, "b")}, "wrongly out"},
		{"logged out by a loss", []judge.Entry{of(judge.LoggedIn, "b"), lost, of(judge.LoggedOut, "b")}, ""},
		{"logged out after a loss", []judge.Entry{lost, of(judge.LoggedIn, "b"), of(judge.LoggedOut, "b")}, "wrongly out"},
		{"logged out", []judge.Entry{of(judge.LoggedIn, "b"), of(judge.Ended, "b"), of(judge.LoggedOut, "b")}, ""},
		{"logged out everywhere", []judge.Entry{{Kind: judge.LoggedIn, Client: "b", User: "bob"}, {Kind: judge.Ended, User: "bob"}, of(judge.LoggedOut, "b")}, ""},
		{"served for a moment", with(sent, of(judge.LoggedIn, "b"), replace("b", ""), of(judge.Ended, "b"), show("b", e1), show("b", e2)), ""},
		{"served for ever", with(sent, of(judge.LoggedIn, "b"), replace("b", ""), of(judge.Ended, "b"), show("b", e1), show("b", e2), show("b", e3)), "wrongly in"},
		{"served while it is ended", with(sent, of(judge.LoggedIn, "b"), replace("b", ""), of(judge.Ending, "b"), show("b", e1), show("b", e2), show("b", e3), of(judge.LoggedOut, "b"), of(judge.Ended, "b")), ""},
		{"served after it was ended", with(sent, of(judge.LoggedIn, "b"), replace("b", ""), of(judge.Ending, "b"), of(judge.Ended, "b"), show("b", e1), show("b", e2), show("b", e3)), "wrongly in"},
		{"logged in again", with(sent, of(judge.LoggedIn, "b"), replace("b", ""), of(judge.Ended, "b"), show("b", e1), show("b", e2), of(judge.LoggedIn, "b"), show("b", e3)), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if r := verdict(c.history...); words(r) != c.want {
				t.Errorf("%q, want %q:\n%v", words(r), c.want, r.Faults)
			}
		})
	}
}

func TestWhatIsCounted(t *testing.T) {
	resumed := show("b", e2)
	resumed.Replay = true
	r := verdict(send(e1), send(e2), send(e3), send(ev("4a", "", "four")), send(ev("", "", "never")), send(ev("", "", "no")),
		ok(e1), refuse(ev("", "", "no")), replace("b", "", e1), resumed, ok(e2), lost,
		replace("b", "2a", e1), show("b", f2), ok(f2), show("b", f3), feed(e1, f2, f3))
	if len(r.Faults) > 0 {
		t.Error(r.Faults)
	}
	r.Faults = nil
	want := judge.Report{Sent: 6, Confirmed: 2, Refused: 1, Unknown: 3, UnknownKept: 1, Shown: 3, Recovered: 1, Gaps: 1}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("%+v\nwant %+v", r, want)
	}
	if r = verdict(of(judge.LoggedIn, "a"), lost, of(judge.LoggedOut, "a")); r.OutByRedis != 1 {
		t.Errorf("logged out by Redis: %d, want 1: %v", r.OutByRedis, r.Faults)
	}
	r = verdict(send(e1), send(e2), ok(e1), ok(e2), lost, feed(ev("1b", "", "two")))
	if r.LostByRedis != 2 {
		t.Errorf("lost by Redis: %d, want 2: %v", r.LostByRedis, r.Faults)
	}
	if r = verdict(send(e1), send(e2), ok(e1), feed(e2)); r.Aged != 1 {
		t.Errorf("aged: %d, want 1: %v", r.Aged, r.Faults)
	}
}

func TestFaultsOfOneEntryAreKnownAtOnce(t *testing.T) {
	j := judge.New()
	for _, e := range []judge.Entry{send(e1), send(e3), replace("b", "", e1)} {
		if n := j.Add(e); n != 0 {
			t.Fatalf("%d faults after %+v", n, e)
		}
	}
	if n := j.Add(show("b", e3)); n != 1 {
		t.Fatalf("%d faults after a jump, want 1", n)
	}
}

func TestHistoriesAreJudgedAgainFromAFile(t *testing.T) {
	all := []judge.Entry{send(e1), ok(e1), replace("b", "", e1, e2), lost, feed(e1), {Kind: judge.Wrong, Note: "<&>\n"}}
	for i := range all {
		all[i].At = time.Unix(1, int64(i)).UTC()
	}
	var buf bytes.Buffer
	if err := judge.Write(&buf, all...); err != nil {
		t.Fatal(err)
	}
	file := buf.String()
	if lines := strings.Count(file, "\n"); lines != len(all) || strings.Contains(file, `"event":{}`) {
		t.Errorf("%d lines for %d entries:\n%s", lines, len(all), file)
	}
	var back []judge.Entry
	for e, err := range judge.Read(strings.NewReader(strings.ReplaceAll(file, `"kind"`, `"unknown":1,"kind"`))) {
		if err != nil {
			t.Fatal(err)
		}
		back = append(back, e)
	}
	if !reflect.DeepEqual(back, all) {
		t.Errorf("%+v\nwant %+v", back, all)
	}
	n, last := 0, error(nil)
	for _, err := range judge.Read(strings.NewReader(file[:len(file)-4])) {
		n, last = n+1, err
	}
	if n != len(all) || last == nil {
		t.Errorf("a cut file gave %d entries, %v", n, last)
	}
}
