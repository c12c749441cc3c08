//go:build integration

package integration_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"chatd/internal/cluster"
)

// A room for a few people: nobody else gets in, reads or says anything, and who is
// put out is out at once, whichever instance they are on.
func testPrivate(t *testing.T, c *cluster.Cluster) {
	const room = "~pr-board"
	person := func(n int, name string) (*person, *wire) {
		p := guest(t, c.Instances()[n].URL(), name)
		return p, p.connect(t)
	}
	_, alice := person(0, "pr-alice")
	_, bob := person(1, "pr-bob")
	_, carol := person(2, "pr-carol")
	malloryAtHome, mallory := person(1, "pr-mallory")

	alice.ok("join", fields{"room": "~PR-Board"})
	first := alice.ok("send", fields{"room": room, "key": "1", "text": "only for us"})["event"]
	keptOut := func(w *wire) {
		t.Helper()
		for kind, f := range map[string]fields{
			"join": {}, "send": {"key": "m", "text": "hi"}, "history": {}, "members": {}, "invite": {"user": w.user}, "expel": {"user": "pr-alice"},
			"edit": {"key": "m", "target": first, "text": "x"}, "react": {"key": "m", "target": first, "emoji": "👍", "on": true},
		} {
			f["room"] = room
			w.refused("forbidden", kind, f)
		}
	}
	keptOut(mallory)
	if a := malloryAtHome.get(t, "/api/rooms/"+room+"/events"); a.status != http.StatusForbidden {
		t.Errorf("by HTTP it is %d: %s", a.status, a.body)
	}
	if listed(mallory, room) != nil {
		t.Error("a private room is on everybody's list")
	}
	mallory.ok("join", fields{"room": "universe"})

	// Who is invited hears of it, and reads what was said.
	for _, w := range []*wire{bob, carol} {
		alice.ok("invite", fields{"room": room, "user": w.user})
		w.until("news of the invitation", func(o map[string]any) bool { return o["type"] == "room" && o["room"] == room && o["joined"] == true })
		if r := listed(w, room); r == nil || r["joined"] != true {
			t.Fatalf("on %s's list it is %v", w.user, r)
		}
		wantTexts(t, w.ok("join", fields{"room": room})["events"], "only for us")
	}
	alice.ok("invite", fields{"room": room, "user": "pr-bob"}) // again changes nothing
	members := func(w *wire) string { return fmt.Sprint(w.ok("members", fields{"room": room})["members"]) }
	if got := members(carol); got != "[map[owner:true role:owner user:pr-alice] map[user:pr-bob] map[user:pr-carol]]" {
		t.Errorf("members are %s", got)
	}
	bob.ok("send", fields{"room": room, "key": "1", "text": "thanks"})
	for _, w := range []*wire{alice, bob, carol} {
		w.until("bob's thanks", func(o map[string]any) bool { return o["text"] == "thanks" })
	}
	bob.refused("forbidden", "expel", fields{"room": room, "user": "pr-carol"})
	alice.refused("not_found", "expel", fields{"room": room, "user": "pr-mallory"})
	alice.refused("bad_request", "invite", fields{"room": "pr-public", "user": "pr-bob"})
	alice.refused("bad_name", "invite", fields{"room": room, "user": "not a name"})

	// Out, on a live socket on another instance.
	alice.ok("expel", fields{"room": room, "user": "pr-bob"})
	began := time.Now()
	bob.until("that the list is shorter", func(o map[string]any) bool { return o["type"] == "relist" })
	if took := time.Since(began); took > time.Second {
		t.Errorf("bob is out after %v", took)
	}
	if listed(bob, room) != nil {
		t.Error("the room is on bob's list")
	}
	alice.ok("send", fields{"room": room, "key": "2", "text": "bob is gone"})
	carol.until("what bob does not hear", func(o map[string]any) bool { return o["text"] == "bob is gone" })
	carol.until("that bob is gone", func(o map[string]any) bool {
		return o["type"] == "presence" && o["user"] == "pr-bob" && o["state"] == "gone"
	})
	keptOut(bob)
	// What was kept is kept, also for who did not hear it in time.
	if a := bob.ok("send", fields{"room": room, "key": "1", "text": "thanks"}); a["duplicate"] != true {
		t.Errorf("bob's message, repeated, is answered %v", a)
	}
	for _, w := range []*wire{bob, mallory} {
		if heard := w.fence(); slices.ContainsFunc(heard, func(o map[string]any) bool { return o["room"] == room && o["text"] == "bob is gone" }) {
			t.Errorf("%s hears %v", w.user, heard)
		}
	}

	// The owner goes, and the next one owns it; with the last one the history goes.
	alice.ok("leave", fields{"room": room})
	keptOut(alice)
	if got := members(carol); got != "[map[owner:true role:owner user:pr-carol]]" {
		t.Errorf("members are %s", got)
	}
	carol.ok("leave", fields{"room": room})
	if a := mallory.ok("join", fields{"room": room}); a["head"] != "" || len(a["events"].([]any)) != 0 {
		t.Errorf("who takes the name next finds %v", a)
	}
	keptOut(alice)
}
