//go:build integration

package integration_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"chatd/internal/chat"
	"chatd/internal/client"
	"chatd/internal/cluster"
)

var roomTests = []part{
	{"JoinShowsTheNewestAndResumes", testWindow},
	{"RoomsAreMadeByJoiningAndLeft", testMakeAndLeave},
	{"TwoPeopleOnTwoInstancesTalk", testTalk},
	{"PresenceAndTyping", testPresence},
	{"UniverseShowsAllPublicRooms", testUniverse},
	{"DirectMessages", testDirect},
	{"PrivateRooms", testPrivate},
	{"HistoryPagesBackToTheStart", testHistory},
	{"ReadMarks", testRead},
	{"SearchFindsWhatIsSaidNow", testSearch},
	{"RoomsAreFoundHaveTopicsAndAreMuted", testFind},
	{"AForkIsShownHonestly", testFork},
}

func testWindow(t *testing.T, c *cluster.Cluster) {
	const room = "wi-room"
	alice := guest(t, c.Instances()[0].URL(), "wi-alice").connect(t)
	a := alice.ok("join", fields{"room": room})
	if a["resumed"] != false || a["head"] != "" || len(a["events"].([]any)) != 0 {
		t.Fatalf("an empty room: %v", a)
	}
	var ids []string
	for n := range 30 {
		kept := alice.ok("send", fields{"room": room, "key": fmt.Sprint("k", n), "text": fmt.Sprint("text ", n)})
		if kept["seq"] != float64(n+1) || kept["duplicate"] != false || kept["room"] != room {
			t.Fatalf("message %d: %v", n, kept)
		}
		ids = append(ids, kept["event"].(string))
	}
	bob := guest(t, c.Instances()[1].URL(), "wi-bob").connect(t)
	a = bob.ok("join", fields{"room": strings.ToUpper(room)})
	events := a["events"].([]any)
	if a["room"] != room || a["resumed"] != false || len(events) != 20 || a["head"] != ids[29] {
		t.Fatalf("join brings %d events up to %v, resumed %v, in %v; want the newest 20", len(events), a["head"], a["resumed"], a["room"])
	}
	wantChain(t, events, ids[9])
	first := events[0].(map[string]any)
	if first["text"] != "text 10" || first["from"] != "wi-alice" || first["key"] != "k10" || first["room"] != room || first["at"] == "" || first["type"] != "message" {
		t.Fatalf("first event is %v", first)
	}

	// Resumes, on the same socket and from any instance.
	for n, i := range c.Instances() {
		w := guest(t, i.URL(), "wi-bob").connect(t)
		a = w.ok("join", fields{"room": room, "after": ids[3]})
		if a["resumed"] != true || len(a["events"].([]any)) != 26+n {
			t.Fatalf("resume at %s brings %d events, resumed %v", i.Name, len(a["events"].([]any)), a["resumed"])
		}
		wantChain(t, a["events"], ids[3])
		if a = w.ok("join", fields{"room": room, "after": a["head"]}); a["resumed"] != true || len(a["events"].([]any)) != 0 {
			t.Fatalf("resume from the end: %v", a)
		}
		// What is not in the feed cannot be resumed: another fork's event, one to come.
		for _, after := range []string{"15-1", "30-1", "31-5", "999999-77"} {
			if a = w.ok("join", fields{"room": room, "after": after}); a["resumed"] != false || len(a["events"].([]any)) != 20 {
				t.Fatalf("after %s is resumed: %v with %d events", after, a["resumed"], len(a["events"].([]any)))
			}
		}
		for _, after := range []any{"x", "1", "-1-1", "1-1 ", "0-0"} {
			w.refused("bad_request", "join", fields{"room": room, "after": after})
		}
		// However often it joined, each event comes once.
		key := fmt.Sprint("once-", i.Name)
		alice.ok("send", fields{"room": room, "key": key, "text": key})
		if ev := w.event(room); ev["key"] != key {
			t.Fatalf("next event is %v", ev)
		}
		if more := w.fence(); slices.ContainsFunc(more, func(o map[string]any) bool { return o["seq"] != nil }) {
			t.Fatalf("and then came %v", more)
		}
	}
}

// listed returns how the room stands on the person's list, nil if not at all.
func listed(w *wire, room string) map[string]any {
	w.t.Helper()
	for _, r := range w.ok("rooms", nil)["rooms"].([]any) {
		if r := r.(map[string]any); r["room"] == room {
			return r
		}
	}
	return nil
}

func testMakeAndLeave(t *testing.T, c *cluster.Cluster) {
	const room = "ml-new"
	alice := guest(t, c.Instances()[0].URL(), "ml-alice").connect(t)
	tab := guest(t, c.Instances()[2].URL(), "ml-alice").connect(t)
	bob := guest(t, c.Instances()[1].URL(), "ml-bob").connect(t)
	if r := listed(bob, room); r != nil {
		t.Fatalf("the room is there already: %v", r)
	}
	alice.ok("join", fields{"room": room})
	news := func(joined bool) func(map[string]any) bool {
		return func(o map[string]any) bool { return o["type"] == "room" && o["room"] == room && o["joined"] == joined }
	}
	bob.until("news of the room", news(false))
	tab.until("news of the room on the own list", news(true))
	if r := listed(bob, room); r == nil || r["joined"] != false {
		t.Fatalf("for bob the room is %v", r)
	}
	if r := listed(alice, room); r == nil || r["joined"] != true {
		t.Fatalf("for alice the room is %v", r)
	}
	bob.ok("join", fields{"room": room})
	alice.ok("send", fields{"room": room, "key": "1", "text": "hello"})
	if ev := bob.event(room); ev["text"] != "hello" {
		t.Fatalf("bob hears %v", ev)
	}

	// Closing a socket changes nothing, leaving does.
	alice.ws.Close(1000, "")
	if r := listed(tab, room); r["joined"] != true {
		t.Fatalf("after the socket closed the room is %v", r)
	}
	if a := bob.ok("leave", fields{"room": strings.ToUpper(room)}); a["room"] != room {
		t.Fatalf("leave is answered %v", a)
	}
	if r := listed(bob, room); r == nil || r["joined"] != false {
		t.Fatalf("after leaving the room is %v", r)
	}
	bob.fence()
	tab.ok("join", fields{"room": room})
	tab.ok("send", fields{"room": room, "key": "2", "text": "is bob here?"})
	if ev := tab.event(room); ev["text"] != "is bob here?" {
		t.Fatalf("tab hears %v", ev)
	}
	if heard := bob.fence(); slices.ContainsFunc(heard, func(o map[string]any) bool { return o["room"] == room }) {
		t.Fatalf("bob left and hears %v", heard)
	}
	bob.ok("leave", fields{"room": room}) // once more: nothing to do
	wantTexts(t, bob.ok("join", fields{"room": room})["events"], "hello", "is bob here?")

	// The same list by HTTP.
	if a := guest(t, c.Instances()[0].URL(), "ml-bob").get(t, "/api/rooms"); a.status != http.StatusOK || !strings.Contains(a.body, `{"room":"ml-new","joined":true`) {
		t.Fatalf("GET /api/rooms is %d: %s", a.status, a.body)
	}
}

func testTalk(t *testing.T, c *cluster.Cluster) {
	const room = "tk-room"
	alice := enter(t, c.Instances()[0].URL(), "tk-alice", client.Options{}, room)
	bob := enter(t, c.Instances()[1].URL(), "tk-bob", client.Options{}, room)
	cathy := enter(t, c.URL(), "tk-cathy", client.Options{}, room)
	for n := range 40 {
		alice.say(room, fmt.Sprint("a", n))
		bob.say(room, fmt.Sprint("b", n))
		cathy.say(room, fmt.Sprint("c", n))
	}
	judge(t, c.URL(), []string{room}, alice, bob, cathy)
	for _, p := range []*chatter{alice, bob, cathy} {
		p.await("nothing was disturbed", func() bool { return p.closed+p.gaps+p.jumps == 0 })
	}
}

func testPresence(t *testing.T, c *cluster.Cluster) {
	const room = "pr-room"
	alice := guest(t, c.Instances()[0].URL(), "prs-alice").connect(t)
	bob := guest(t, c.Instances()[1].URL(), "prs-bob").connect(t)
	names := func(a map[string]any) []string {
		var names []string
		here, _ := a["here"].([]any)
		for _, n := range here {
			names = append(names, n.(string))
		}
		slices.Sort(names)
		return names
	}
	if here := names(alice.ok("join", fields{"room": room})); !slices.Equal(here, []string{"prs-alice"}) {
		t.Fatalf("alice is here with %v", here)
	}
	if here := names(bob.ok("join", fields{"room": room})); !slices.Equal(here, []string{"prs-alice", "prs-bob"}) {
		t.Fatalf("bob is here with %v", here)
	}
	alice.until("bob's coming", func(o map[string]any) bool {
		return o["type"] == "presence" && o["room"] == room && o["user"] == "prs-bob" && o["state"] == "here"
	})
	bob.say(`{"type":"typing","room":"` + room + `"}`)
	alice.until("bob's typing", func(o map[string]any) bool {
		return o["type"] == "typing" && o["room"] == room && o["from"] == "prs-bob"
	})
	bob.ok("leave", fields{"room": room})
	alice.until("bob's going", func(o map[string]any) bool {
		return o["type"] == "presence" && o["user"] == "prs-bob" && o["state"] == "gone"
	})
	if here := names(alice.ok("join", fields{"room": room})); !slices.Equal(here, []string{"prs-alice"}) {
		t.Fatalf("after bob left %v are here", here)
	}
	// Who was away before comes so, and is back at once.
	hears := func(state string) {
		t.Helper()
		alice.until("bob's "+state, func(o map[string]any) bool {
			return o["type"] == "presence" && o["room"] == room && o["user"] == "prs-bob" && o["state"] == state
		})
	}
	bob.ok("away", nil)
	if a := bob.ok("join", fields{"room": room}); !slices.Equal(names(a), []string{"prs-alice", "prs-bob"}) || fmt.Sprint(a["away"]) != "[prs-bob]" {
		t.Fatalf("bob comes while away and finds %v, away %v", a["here"], a["away"])
	}
	hears("away")
	bob.ok("back", nil)
	hears("here")
	if a := alice.ok("join", fields{"room": room}); a["away"] != nil {
		t.Fatalf("bob is back, and away are %v", a["away"])
	}
}

func testUniverse(t *testing.T, c *cluster.Cluster) {
	alice := guest(t, c.Instances()[0].URL(), "un-alice").connect(t)
	say := func(room, text string) string {
		return alice.ok("send", fields{"room": room, "key": strings.ReplaceAll(text, " ", "-"), "text": text})["event"].(string)
	}
	alice.ok("join", fields{"room": "un-one"})
	alice.ok("join", fields{"room": "un-two"})
	say("un-one", "one 1")
	two := say("un-two", "two 1")
	// The other tests' rooms are in universe as well.
	mine := func(events any) (mine []any) {
		for _, ev := range events.([]any) {
			if room := ev.(map[string]any)["room"].(string); strings.HasPrefix(room, "un-") || strings.HasPrefix(room, "@un-") {
				mine = append(mine, ev)
			}
		}
		return mine
	}
	bob := guest(t, c.Instances()[1].URL(), "un-bob").connect(t)
	a := bob.ok("join", fields{"room": "universe"})
	heads, fresh := a["heads"].(map[string]any), a["fresh"].([]any)
	if a["room"] != "universe" || heads["un-two"] != two || !slices.Contains(fresh, any("un-one")) || !slices.Contains(fresh, any("un-two")) {
		t.Fatalf("universe is %v", a)
	}
	got := texts(mine(a["events"]))
	slices.Sort(got) // rooms stand in no order
	if !slices.Equal(got, []string{"one 1", "two 1"}) {
		t.Fatalf("universe brings %q", got)
	}
	one := say("un-one", "one 2")
	if ev := bob.event("un-one"); ev["text"] != "one 2" || ev["event"] != one {
		t.Fatalf("universe shows %v", ev)
	}
	// A room made later, from another instance, and a direct conversation, which is not public.
	alice.ok("join", fields{"room": "un-later"})
	later := say("un-later", "later 1")
	say("@un-cathy", "secret")
	if ev := bob.event("un-later"); ev["text"] != "later 1" || ev["prev"] != "" {
		t.Fatalf("universe shows %v", ev)
	}
	// Who is in a room and in universe hears it once.
	bob.ok("join", fields{"room": "un-one", "after": one})
	say("un-one", "one 3")
	say("un-two", "two 2")
	bob.event("un-two")
	if ev := bob.event("un-one"); ev["text"] != "one 3" {
		t.Fatalf("bob hears %v", ev)
	}
	for _, o := range bob.fence() {
		if room, _ := o["room"].(string); o["seq"] != nil && (strings.HasPrefix(room, "un-") || strings.HasPrefix(room, "@")) {
			t.Fatalf("and then came %v", o)
		}
	}
	bob.refused("forbidden", "send", fields{"room": "universe", "key": "u", "text": "hello, all"})
	bob.refused("forbidden", "history", fields{"room": "universe"})
	bob.ws.CloseNow()

	// Resumed by positions; what is not in the feed, and what is new, is fresh.
	say("un-one", "one 4")
	say("un-two", "two 3")
	alice.ok("join", fields{"room": "un-newer"})
	newer := say("un-newer", "newer 1")
	bob = guest(t, c.Instances()[2].URL(), "un-bob").connect(t)
	a = bob.ok("join", fields{"room": "universe", "positions": fields{"un-one": one, "un-two": "1-1", "un-later": later}})
	fresh = a["fresh"].([]any)
	if a["resumed"] != false || slices.Contains(fresh, any("un-one")) || slices.Contains(fresh, any("un-later")) ||
		!slices.Contains(fresh, any("un-two")) || !slices.Contains(fresh, any("un-newer")) || a["heads"].(map[string]any)["un-newer"] != newer {
		t.Fatalf("universe is resumed: %v, fresh %v", a["resumed"], fresh)
	}
	byRoom := map[string][]any{}
	for _, ev := range mine(a["events"]) {
		room := ev.(map[string]any)["room"].(string)
		byRoom[room] = append(byRoom[room], ev)
	}
	wantTexts(t, byRoom["un-one"], "one 3", "one 4")
	wantChain(t, byRoom["un-one"], one)
	if got := texts(byRoom["un-two"]); got[len(got)-1] != "two 3" {
		t.Fatalf("fresh un-two brings %q", got)
	}
	wantTexts(t, byRoom["un-newer"], "newer 1")
	if len(byRoom["un-later"]) != 0 || len(byRoom["@un-alice:un-cathy"]) != 0 {
		t.Fatalf("universe brings %v", byRoom)
	}
	if a := bob.ok("join", fields{"room": "universe", "positions": fields{"un-later": later}}); a["resumed"] != true {
		t.Fatalf("universe with a good position is resumed: %v", a["resumed"])
	}
	bob.ok("leave", fields{"room": "universe"})
	bob.fence()
	say("un-one", "one 5")
	for _, o := range bob.fence() {
		if o["seq"] != nil {
			t.Fatalf("universe was left, and then came %v", o)
		}
	}
}

func testDirect(t *testing.T, c *cluster.Cluster) {
	const room = "@dm-alice:dm-bob"
	alice := guest(t, c.Instances()[0].URL(), "dm-alice").connect(t)
	bob := guest(t, c.Instances()[1].URL(), "dm-bob").connect(t)
	kept := alice.ok("send", fields{"room": "@DM-Bob", "key": "1", "text": "are you there?"})
	if kept["room"] != room {
		t.Fatalf("the room is %v", kept["room"])
	}
	for _, w := range []*wire{alice, bob} {
		with := map[*wire]string{alice: "dm-bob", bob: "dm-alice"}[w]
		n := w.until("news of the conversation", func(o map[string]any) bool { return o["type"] == "room" && o["room"] == room })
		if n["joined"] != true || n["with"] != with {
			t.Fatalf("%s hears %v", w.user, n)
		}
		if r := listed(w, room); r == nil || r["joined"] != true || r["with"] != with {
			t.Fatalf("on %s's list it is %v", w.user, r)
		}
	}
	// Both names, and either order, are one room.
	for _, name := range []string{"@dm-alice", "@dm-alice:dm-bob", "@Dm-Bob:DM-Alice"} {
		if a := bob.ok("join", fields{"room": name}); a["room"] != room {
			t.Fatalf("join of %s is answered for %v", name, a["room"])
		} else {
			wantTexts(t, a["events"], "are you there?")
		}
	}
	alice.ok("join", fields{"room": "@dm-bob"})
	bob.ok("send", fields{"room": "@dm-alice", "key": "1", "text": "yes"})
	for _, w := range []*wire{alice, bob} {
		if ev := w.event(room); ev["text"] != "yes" || ev["from"] != "dm-bob" {
			t.Fatalf("%s hears %v", w.user, ev)
		}
	}
	// To somebody who is not there, and never was.
	alice.ok("send", fields{"room": "@dm-dora", "key": "1", "text": "welcome"})
	dora := guest(t, c.Instances()[2].URL(), "DM-Dora").connect(t)
	if r := listed(dora, "@dm-alice:dm-dora"); r == nil || r["joined"] != true || r["with"] != "dm-alice" {
		t.Fatalf("on dora's list it is %v", r)
	}
	wantTexts(t, dora.ok("join", fields{"room": "@dm-alice"})["events"], "welcome")
	// A client that follows the list finds it by itself, whenever it begins.
	eve := enter(t, c.Instances()[0].URL(), "dm-eve", client.Options{Follow: true})
	alice.ok("send", fields{"room": "@dm-eve", "key": "1", "text": "hello eve"})
	eve.sawAll("@dm-alice:dm-eve", "hello eve")
	eve.leave()
	again := enter(t, c.Instances()[1].URL(), "dm-eve", client.Options{Follow: true})
	again.sawAll("@dm-alice:dm-eve", "hello eve")

	// Nobody else gets in, or to know.
	cathy := guest(t, c.Instances()[2].URL(), "dm-cathy")
	w := cathy.connect(t)
	for _, kind := range []string{"join", "history", "send", "edit", "retract", "leave", "read"} {
		w.refused("forbidden", kind, fields{"room": room, "key": "x", "text": "x", "target": kept["event"], "event": kept["event"]})
	}
	w.say(`{"type":"typing","room":"` + room + `"}`)
	w.ok("join", fields{"room": "universe"})
	if a := cathy.get(t, "/api/rooms/@dm-alice:dm-bob/events"); a.status != http.StatusForbidden {
		t.Errorf("by HTTP it is %d: %s", a.status, a.body)
	}
	if a := cathy.get(t, "/api/rooms"); strings.Contains(a.body, "dm-alice") {
		t.Errorf("cathy's rooms are %s", a.body)
	}
	for _, o := range append(w.fence(), alice.fence()...) {
		if r, _ := o["room"].(string); strings.Contains(r, "@dm-alice:dm-bob") && (o["type"] == "typing" || o["seq"] != nil) {
			t.Errorf("heard %v", o)
		}
	}
	// Notes to oneself.
	if a := w.ok("send", fields{"room": "@dm-cathy", "key": "n", "text": "note"}); a["room"] != "@dm-cathy:dm-cathy" {
		t.Errorf("notes are in %v", a["room"])
	}
}

func testHistory(t *testing.T, c *cluster.Cluster) {
	const room = "hi-room"
	p := guest(t, c.Instances()[0].URL(), "hi-alice")
	w := p.connect(t)
	var want []string
	for n := range 95 {
		text := fmt.Sprint("text ", n)
		want = append(want, text)
		w.request("send", fields{"room": room, "key": fmt.Sprint("k", n), "text": text})
	}
	for n := range want {
		if a := w.answer(n + 1); a["type"] != "ok" || a["seq"] != float64(n+1) {
			t.Fatalf("message %d: %v", n, a)
		}
	}
	page := func(w *wire, f fields) []any {
		a := w.ok("history", f)
		if a["room"] != room {
			t.Fatalf("history of %v", a["room"])
		}
		return a["events"].([]any)
	}
	other := guest(t, c.Instances()[1].URL(), "hi-bob").connect(t)
	var got []string
	before, pages := "", 0
	for {
		f := fields{"room": room, "limit": 40}
		if before != "" {
			f["before"] = before
		}
		events := page(other, f)
		if len(events) == 0 {
			break
		}
		wantChain(t, events, "")
		before = events[0].(map[string]any)["event"].(string)
		got = append(texts(events), got...)
		pages++
	}
	if !slices.Equal(got, want) || pages != 3 {
		t.Fatalf("%d pages bring %q", pages, got)
	}
	if n := len(page(other, fields{"room": room, "limit": 200})); n != 95 {
		t.Errorf("limit 200 brings %d", n)
	}
	wantTexts(t, page(other, fields{"room": room, "limit": 1}), "text 94")
	for _, limit := range []any{-1, 201, 1 << 40} {
		other.refused("bad_request", "history", fields{"room": room, "limit": limit})
	}
	other.refused("bad_request", "history", fields{"room": room, "before": "yesterday"})
	other.refused("not_found", "history", fields{"room": room, "before": "1-1"}) // no event of this feed

	a := p.get(t, "/api/rooms/"+room+"/events?limit=2&before="+before)
	if a.status != http.StatusOK || !strings.Contains(a.body, `"events":[]`) {
		t.Errorf("HTTP before the first is %d: %s", a.status, a.body)
	}
	a = p.get(t, "/api/rooms/"+room+"/events?limit=2")
	if a.status != http.StatusOK || !strings.Contains(a.body, `"text 93"`) || strings.Index(a.body, `"text 94"`) < strings.Index(a.body, `"text 93"`) || strings.Contains(a.body, `"text 92"`) {
		t.Errorf("HTTP newest 2 is %d: %s", a.status, a.body)
	}
	for _, path := range []string{"/api/rooms/" + room + "/events?limit=x", "/api/rooms/" + room + "/events?limit=-3", "/api/rooms/" + room + "/events?before=x", "/api/rooms/no%20room/events"} {
		if a := p.get(t, path); a.status != http.StatusBadRequest || !strings.Contains(a.body, `{"error":{"code":"bad_`) {
			t.Errorf("GET %s is %d: %s", path, a.status, a.body)
		}
	}
}

func testRead(t *testing.T, c *cluster.Cluster) {
	const room = "rd-room"
	alice := guest(t, c.Instances()[0].URL(), "rd-alice").connect(t)
	alice.ok("join", fields{"room": room})
	first := alice.ok("send", fields{"room": room, "key": "1", "text": "one"})["event"]
	second := alice.ok("send", fields{"room": room, "key": "2", "text": "two"})["event"]
	phone := guest(t, c.Instances()[1].URL(), "rd-alice").connect(t)
	for _, step := range []struct{ mark, want any }{{first, first}, {second, second}, {first, second}} { // never back
		if a := alice.ok("read", fields{"room": room, "event": step.mark}); a["room"] != room {
			t.Fatalf("read is answered %v", a)
		}
		if r := listed(phone, room); r["read"] != step.want {
			t.Fatalf("after reading %v the room is %v, want %v", step.mark, r, step.want)
		}
	}
	if r := listed(guest(t, c.Instances()[2].URL(), "rd-bob").connect(t), room); r["read"] != nil {
		t.Fatalf("for bob it is %v", r)
	}
	hears := func(w *wire, event any, back any) {
		t.Helper()
		n := w.until("news of the mark", func(o map[string]any) bool { return o["type"] == "read" && o["room"] == room })
		if n["read"] != event || n["read_back"] != back || event != nil && n["read_seq"] != float64(chat.EventID(event.(string)).Seq()) {
			t.Fatalf("%s hears %v, want %v, %v", w.user, n, event, back)
		}
	}
	for _, w := range []*wire{alice, phone} {
		hears(w, first, nil)
		hears(w, second, nil)
	}
	// Marked as unread on the phone: a late mark of another device does not undo it, a new one does.
	phone.ok("join", fields{"room": room})
	for _, step := range []struct {
		who       *wire
		mark      any
		back      int
		want      any
		wantsBack any
	}{
		{phone, first, 1, first, 1.0}, {alice, second, 0, first, 1.0}, {alice, second, 1, second, 1.0}, {phone, "", 2, nil, 2.0},
	} {
		if a := step.who.ok("read", fields{"room": room, "event": step.mark, "back": step.back}); a["read"] != step.want || a["read_back"] != step.wantsBack {
			t.Fatalf("after %v it is %v", step, a)
		}
	}
	for _, w := range []*wire{alice, phone} {
		hears(w, first, 1.0)
		hears(w, second, 1.0)
		hears(w, nil, 2.0)
	}
	if r := listed(alice, room); r["read"] != nil || r["read_back"] != 2.0 {
		t.Fatalf("after it was marked as unread the room is %v", r)
	}
	alice.refused("bad_request", "read", fields{"room": room, "event": ""})
	alice.refused("bad_request", "read", fields{"room": room, "event": second, "back": -1})
	alice.refused("bad_request", "read", fields{"room": room, "event": "never"})
	if chat.EventID(second.(string)).Seq() != 2 {
		t.Fatalf("second event is %v", second)
	}
}

func testSearch(t *testing.T, c *cluster.Cluster) {
	const room = "se-room"
	alice := guest(t, c.Instances()[0].URL(), "se-alice").connect(t)
	bob := guest(t, c.Instances()[1].URL(), "se-bob").connect(t)
	search := func(w *wire, f fields) (found []string, next any) {
		t.Helper()
		f["room"] = room
		a := w.ok("search", f)
		for _, ev := range a["events"].([]any) {
			found = append(found, ev.(map[string]any)["text"].(string))
		}
		return found, a["next"]
	}
	want := func(w *wire, f fields, want ...string) {
		t.Helper()
		if found, next := search(w, f); !slices.Equal(found, want) || next != "" {
			t.Fatalf("%v finds %q and goes on with %q, want %q", f, found, next, want)
		}
	}
	bob.refused("forbidden", "search", fields{"room": room, "text": "x"})
	for _, w := range []*wire{alice, bob} {
		w.ok("join", fields{"room": room})
	}
	n := 0
	say := func(w *wire, text string) any {
		n++
		return w.ok("send", fields{"room": room, "key": fmt.Sprint("k", n), "text": text})["event"]
	}
	want(bob, fields{"text": "tea"})
	say(alice, "Green TEA and Äpfel")
	cake := say(alice, "tea with cake")
	say(bob, "more tea")
	gone := say(bob, "secret tea")
	want(bob, fields{"text": "tea"}, "secret tea", "more tea", "tea with cake", "Green TEA and Äpfel")
	want(bob, fields{"text": "äpfel tea"}, "Green TEA and Äpfel")
	want(bob, fields{"text": "tea", "user": "se-bob"}, "secret tea", "more tea")
	for i, text := range []string{"coffee with cake", "tea again, without"} {
		alice.ok("edit", fields{"room": room, "key": fmt.Sprint("e", i), "target": cake, "text": text})
	}
	bob.ok("retract", fields{"room": room, "key": "r", "target": gone})
	want(bob, fields{"text": "tea"}, "tea again, without", "more tea", "Green TEA and Äpfel")
	want(bob, fields{"text": "cake"})
	want(bob, fields{"text": "tea", "until": "2001-01-01T00:00:00+01:00"})
	bob.refused("bad_request", "search", fields{"room": room, "until": "yesterday"})

	// More than a piece holds: each piece goes on where the former ended.
	for i := range 80 {
		say(alice, fmt.Sprint("number ", i))
	}
	var all []string
	f, pieces := fields{"text": "NUMBER"}, 0
	for {
		found, next := search(bob, f)
		all = append(all, found...)
		pieces++
		if next == "" {
			break
		}
		f["before"] = next
	}
	if len(all) != 80 || all[0] != "number 79" || all[79] != "number 0" || pieces != 2 {
		t.Fatalf("%d pieces find %d: %q", pieces, len(all), all)
	}
	want(bob, fields{"text": "x", "before": "1-1"}) // not kept any more
}

func testFind(t *testing.T, c *cluster.Cluster) {
	const room = "fd-zebra"
	alice := guest(t, c.Instances()[0].URL(), "fd-alice").connect(t)
	phone := guest(t, c.Instances()[2].URL(), "fd-alice").connect(t)
	bob := guest(t, c.Instances()[1].URL(), "fd-bob").connect(t)
	found := func(w *wire, text string) []any { return w.ok("find", fields{"text": text})["rooms"].([]any) }
	alice.refused("forbidden", "topic", fields{"room": room, "text": "I am not there"})
	for _, w := range []*wire{alice, bob} {
		w.ok("join", fields{"room": room})
	}
	alice.ok("topic", fields{"room": room, "text": "Stripes \"and\" Hoofs"})
	n := bob.until("the topic", func(o map[string]any) bool { return o["type"] == "topic" })
	if n["room"] != room || n["topic"] != `Stripes "and" Hoofs` || n["from"] != "fd-alice" {
		t.Fatalf("bob hears %v", n)
	}
	if r := listed(phone, room); r["topic"] != n["topic"] || r["topic_at"] != n["topic_at"] {
		t.Fatalf("the room is %v", r)
	}
	for _, query := range []string{"zebra", "HOOFS fd-z"} {
		rooms := found(bob, query)
		if len(rooms) != 1 || rooms[0].(map[string]any)["members"] != 2.0 || rooms[0].(map[string]any)["joined"] != true || rooms[0].(map[string]any)["topic"] != n["topic"] {
			t.Fatalf("%q finds %v", query, rooms)
		}
	}
	if rooms := found(bob, "no such zebra"); len(rooms) != 0 {
		t.Fatalf("found %v", rooms)
	}
	for _, topic := range []string{"two\nlines", strings.Repeat("x", 251)} {
		if a := alice.answer(alice.request("topic", fields{"room": room, "text": topic})); a["type"] != "error" {
			t.Fatalf("the topic %q is taken: %v", topic, a)
		}
	}
	alice.refused("forbidden", "topic", fields{"room": "@fd-bob", "text": "x"})

	phone.fence()
	alice.ok("mute", fields{"room": room, "mute": true})
	phone.until("relist", func(o map[string]any) bool { return o["type"] == "relist" })
	if r := listed(phone, room); r["muted"] != true {
		t.Fatalf("the room is %v", r)
	}
	if r := listed(bob, room); r["muted"] != nil {
		t.Fatalf("for bob the room is %v", r)
	}
	alice.ok("leave", fields{"room": room})
	if rooms := found(bob, "zebra"); rooms[0].(map[string]any)["members"] != 1.0 {
		t.Fatalf("after alice left it is %v", rooms)
	}
}

// Redis comes back from an older copy: two confirmed messages are not in it, and
// the next ones take their places. Nobody may take the new for the old.
func testFork(t *testing.T, c *cluster.Cluster) {
	const room, feed = "fk-room", "chatd:{fk-room}:feed"
	alice := enter(t, c.Instances()[0].URL(), "fk-alice", client.Options{}, room)
	bob := enter(t, c.Instances()[1].URL(), "fk-bob", client.Options{}, room)
	for n := range 5 {
		alice.say(room, fmt.Sprint("text ", n))
	}
	for _, p := range []*chatter{alice, bob} {
		p.sawAll(room, "text 0", "text 1", "text 2", "text 3", "text 4")
	}
	r, ctx := rdb(t, c), within(t, 20e9)
	entries, err := r.XRange(ctx, feed, "-", "+").Result()
	if err != nil || len(entries) != 5 {
		t.Fatalf("the feed is %v (%v)", entries, err)
	}
	keys, err := r.Keys(ctx, "chatd:{fk-room}:*").Result()
	if err != nil {
		t.Fatal(err)
	}
	restore := r.TxPipeline()
	restore.Del(ctx, keys...)
	for _, e := range entries[:3] {
		restore.XAdd(ctx, &redis.XAddArgs{Stream: feed, ID: e.ID, Values: e.Values})
	}
	if _, err := restore.Exec(ctx); err != nil {
		t.Fatal(err)
	}
	alice.say(room, "another 3")
	bob.say(room, "another 4")
	for _, p := range []*chatter{alice, bob} {
		p.await("sees the feed that there is", func() bool {
			view := p.views[room]
			return len(view) == 5 && strings.HasPrefix(view[3].Text, "another") && strings.HasPrefix(view[4].Text, "another") && view[3].Seq == 4 && view[2].Text == "text 2"
		})
		p.await("was told", func() bool { return p.gaps == 1 && p.jumps == 1 && p.closed == 0 })
	}
	late := guest(t, c.Instances()[2].URL(), "fk-cathy").connect(t)
	if a := late.ok("join", fields{"room": room, "after": entries[4].ID}); a["resumed"] != false || len(a["events"].([]any)) != 5 {
		t.Fatalf("after an event of the other fork: %v", a)
	}
	if a := late.ok("join", fields{"room": room, "after": entries[2].ID}); a["resumed"] != true || len(a["events"].([]any)) != 2 {
		t.Fatalf("after an event that both forks have: %v", a)
	}
}
