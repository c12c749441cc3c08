//go:build integration

package integration_test

import (
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"chatd/internal/account"
	"chatd/internal/audit"
	"chatd/internal/chat"
	"chatd/internal/cluster"
)

// rightsAdmins is who administers in TestChat: rt-ghost never makes an account.
const rightsAdmins = "CHATD_ADMINS=rt-root,rt-ghost"

var rightsTests = []part{
	{"EachRoleMayDoWhatItMay", testRoles},
	{"ABanTakesEffectAtOnce", testBan},
	{"WhoIsMutedSaysNothing", testMuted},
	{"WhoIsExpelledMayComeBack", testExpelled},
	{"RoomsAreRemoved", testRemoved},
	{"AdministratorsHaveAccounts", testAdmins},
	{"EachDeedHasItsLine", testAuditLog},
	{"StrangersFillNobodysList", testManyDirects},
}

// Everybody asks for everything, by raw frames with ids that they may have guessed.
func testRoles(t *testing.T, c *cluster.Cluster) {
	requests := []string{"join", "send", "edit", "react", "retract", "unsay", "topic", "history", "search", "events", "members", "invite", "mute", "promote", "expel"}
	// In the order of the requests; + is ok, f forbidden, m muted, b banned, n not found, r bad request.
	want := map[string]map[string]string{
		"rt-pub": {
			"owner":     "+ + + + + + + + + + + r + n n",
			"moderator": "+ + + + + + + + + + + r + f n",
			"member":    "+ + + + + f + + + + + r f f f",
			"muted":     "+ m m m + f m + + + + r f f f",
			"banned":    "b b b b b b f b f b b r b b b",
			"nobody":    "+ + + + + f + + + + + r f f f", // is a member by joining
			"root":      "+ + + + + + + + + + + r + n n",
		},
		"~rt-priv": {
			"owner":     "+ + + + + + f + + + + + n n n",
			"moderator": "+ + + + + + f + + + + + n f n",
			"member":    "+ + + + + f f + + + + + f f f",
			"muted":     "+ m m m + f f + + + + m f f f",
			"banned":    "b b b b b b f b f b b b b b b",
			"nobody":    "f f f f f f f f f f f f f f f",
			"root":      "f f f f f f f f f f f f f f f",
		},
	}
	code := map[string]string{"forbidden": "f", "muted": "m", "banned": "b", "not_found": "n", "bad_request": "r"}
	for room, outcomes := range want {
		name := strings.TrimPrefix(room, "~")
		people, wires, mine := map[string]*person{}, map[string]*wire{}, map[string]any{}
		for i, role := range []string{"owner", "moderator", "member", "muted", "banned", "nobody", "root"} {
			base := c.Instances()[i%3].URL()
			if role == "root" {
				people[role] = theRoot(t, c)
			} else {
				people[role] = guest(t, base, name+"-"+role)
			}
			wires[role] = people[role].connect(t)
			if role == "nobody" || role == "root" {
				continue
			}
			if room[0] == '~' && role != "owner" {
				wires["owner"].ok("invite", fields{"room": room, "user": name + "-" + role})
			}
			wires[role].ok("join", fields{"room": room})
			mine[role] = wires[role].ok("send", fields{"room": room, "key": "mine", "text": "by " + role})["event"]
		}
		for _, role := range []string{"moderator", "muted", "banned"} {
			wires["owner"].ok("role", fields{"room": room, "user": name + "-" + role, "role": role})
		}
		mine["stays"] = wires["owner"].ok("send", fields{"room": room, "key": "stays", "text": "stays"})["event"]
		n := 0
		for role, want := range outcomes {
			w, got := wires[role], []string{}
			for _, request := range requests {
				n++
				kind, f := request, fields{"room": room, "key": fmt.Sprint("k", n), "text": "x"}
				target := mine[role]
				if target == nil && slices.Contains([]string{"edit", "retract"}, request) && got[1] == "+" {
					target = w.ok("send", fields{"room": room, "key": fmt.Sprint("own", n), "text": "own"})["event"]
				} else if target == nil {
					target = mine["owner"]
				}
				switch request {
				case "edit", "retract":
					f["target"] = target
				case "react":
					f["target"], f["emoji"], f["on"] = mine["stays"], "👍", true
				case "unsay": // what another said
					kind = "retract"
					f["target"] = wires["owner"].ok("send", fields{"room": room, "key": fmt.Sprint("o", n), "text": "another's"})["event"]
				case "invite":
					f["user"] = fmt.Sprint(name, "-new", n)
				case "mute":
					kind, f["user"], f["role"] = "role", fmt.Sprint(name, "-absent"), "muted"
				case "promote":
					kind, f["user"], f["role"] = "role", fmt.Sprint(name, "-absent"), "moderator"
				case "expel":
					f["user"] = fmt.Sprint(name, "-absent")
				case "events":
					status := map[int]string{http.StatusOK: "+", http.StatusForbidden: "f"}
					a := people[role].get(t, "/api/rooms/"+room+"/events")
					if got = append(got, status[a.status]); strings.Contains(a.body, `"code":"banned"`) {
						got[len(got)-1] = "b"
					}
					continue
				}
				a := w.answer(w.request(kind, f))
				if a["type"] == "ok" {
					got = append(got, "+")
				} else {
					got = append(got, code[a["code"].(string)])
				}
			}
			if got := strings.Join(got, " "); got != want {
				t.Errorf("in %s, for %s\n\t%s\nare %s, want\n    %s", room, role, requests, got, want)
			}
		}
		// What somebody heard who is out.
		for _, role := range []string{"banned", "nobody"} {
			if room[0] != '~' && role == "nobody" {
				continue
			}
			for _, o := range wires[role].fence() {
				if o["room"] == room && (o["seq"] != nil && o["from"] != name+"-"+role && o["text"] == "another's" || o["type"] == "typing" || o["type"] == "presence" && o["user"] == name+"-nobody") {
					t.Errorf("%s hears %v", role, o)
				}
			}
		}
	}
}

// theRoot returns the administrator, in a new browser.
func theRoot(t *testing.T, c *cluster.Cluster) *person {
	t.Helper()
	// The account was there before the setting; whoever needs it first makes it.
	r := rdb(t, c)
	_, err := account.New(r, audit.New(r, 1000), 15).Register(t.Context(), account.From{}, "rt-root", phrase)
	if taken := (*chat.Error)(nil); err != nil && !errors.As(err, &taken) {
		t.Fatal(err)
	}
	return again(t, c.Instances()[2].URL(), "rt-root", phrase)
}

// Out on live sockets of another instance, of universe, of what was missed, and back.
func testBan(t *testing.T, c *cluster.Cluster) {
	const room = "bn-room"
	alice := guest(t, c.Instances()[0].URL(), "bn-alice").connect(t)
	bobs := guest(t, c.Instances()[1].URL(), "bn-bob")
	bob, all := bobs.connect(t), bobs.at(t, c.Instances()[2].URL()).connect(t)
	alice.ok("join", fields{"room": room})
	bob.ok("join", fields{"room": room})
	all.ok("join", fields{"room": "universe"})
	before := alice.ok("send", fields{"room": room, "key": "1", "text": "before"})["event"]
	for _, w := range []*wire{bob, all} {
		w.until("the message", func(o map[string]any) bool { return o["event"] == before })
		w.fence()
	}

	began := time.Now()
	alice.ok("role", fields{"room": room, "user": "bn-bob", "role": "banned"})
	for _, w := range []*wire{bob, all} {
		w.until("the ban", func(o map[string]any) bool { return o["type"] == "role" && o["role"] == "banned" && o["room"] == room })
		w.until("that the list is shorter", func(o map[string]any) bool { return o["type"] == "relist" })
	}
	took := time.Since(began)
	t.Logf("out on two other instances after %v", took)
	if took > time.Second {
		t.Errorf("bob is out after %v", took)
	}
	during := alice.ok("send", fields{"room": room, "key": "2", "text": "without bob"})["event"]
	alice.say(`{"type":"typing","room":"bn-room"}`)
	alice.ok("topic", fields{"room": room, "text": "bob"})
	carol := guest(t, c.Instances()[1].URL(), "bn-carol").connect(t)
	carol.ok("join", fields{"room": room})
	carol.ok("leave", fields{"room": room})
	// Messages of all rooms take one way, so what is said elsewhere comes behind.
	carol.ok("send", fields{"room": "bn-fence", "key": "1", "text": "fence"})
	all.until("what is said elsewhere", func(o map[string]any) bool { return o["text"] == "fence" })
	for _, w := range []*wire{bob, all} {
		for _, o := range w.fence() {
			if o["room"] == room && o["user"] != "bn-bob" { // that he goes he may hear
				t.Errorf("bob hears %v", o)
			}
		}
	}
	bob.refused("banned", "join", fields{"room": room, "after": before})
	bob.refused("banned", "history", fields{"room": room, "before": during})
	bob.refused("forbidden", "search", fields{"room": room, "text": "without"})
	bob.refused("bad_request", "read", fields{"room": room, "event": during})
	if a := bob.ok("join", fields{"room": "universe", "positions": map[string]any{room: before}}); a["heads"].(map[string]any)[room] != nil || strings.Contains(fmt.Sprint(a["events"]), "without bob") {
		t.Errorf("universe shows %v", a)
	}
	if found := fmt.Sprint(bob.ok("find", fields{"text": room})["rooms"]); found != "[]" {
		t.Errorf("bob finds %s", found)
	}
	if r := listed(bob, room); r != nil && (r["topic"] != nil || r["joined"] == true) {
		t.Errorf("bob's list has %v", r)
	}
	// A login of that name at another place is out as well.
	guest(t, c.Instances()[0].URL(), "bn-bob").connect(t).refused("banned", "join", fields{"room": room})

	alice.ok("role", fields{"room": room, "user": "bn-bob", "role": "member"})
	all.until("that it is lifted", func(o map[string]any) bool { return o["type"] == "role" && o["role"] == "member" })
	bob.ok("leave", fields{"room": "universe"})
	a := bob.ok("join", fields{"room": room, "after": before})
	if a["resumed"] != true {
		t.Errorf("bob comes back to %v", a)
	}
	wantTexts(t, a["events"], "without bob")
	alice.ok("send", fields{"room": room, "key": "3", "text": "with bob"})
	for _, w := range []*wire{bob, all} {
		w.until("what is said now", func(o map[string]any) bool { return o["text"] == "with bob" })
	}
}

func testMuted(t *testing.T, c *cluster.Cluster) {
	const room = "mu-room"
	alice := guest(t, c.Instances()[0].URL(), "mu-alice").connect(t)
	bob := guest(t, c.Instances()[1].URL(), "mu-bob").connect(t)
	carol := guest(t, c.Instances()[2].URL(), "mu-carol").connect(t)
	if a := alice.ok("join", fields{"room": room}); a["role"] != "owner" {
		t.Errorf("who makes a room is its %v", a["role"])
	}
	for _, w := range []*wire{bob, carol} {
		if a := w.ok("join", fields{"room": room}); a["role"] != nil {
			t.Errorf("who joins is %v", a["role"])
		}
	}
	said := bob.ok("send", fields{"room": room, "key": "1", "text": "spam"})["event"]
	alice.ok("role", fields{"room": room, "user": "mu-bob", "role": "muted"})
	bob.refused("muted", "send", fields{"room": room, "key": "2", "text": "more"}) // whatever bob has heard
	bob.until("that he is muted", func(o map[string]any) bool {
		return o["type"] == "role" && o["user"] == "mu-bob" && o["role"] == "muted"
	})
	bob.say(`{"type":"typing","room":"mu-room"}`)
	if r := listed(bob, room); r["role"] != "muted" {
		t.Errorf("bob's list has %v", r)
	}
	if a := bob.ok("join", fields{"room": room}); a["role"] != "muted" {
		t.Errorf("bob joins as %v", a["role"])
	}
	alice.ok("role", fields{"room": room, "user": "mu-carol", "role": "moderator"})
	for _, w := range []*wire{alice, bob, carol} {
		w.until("who moderates", func(o map[string]any) bool {
			return o["type"] == "role" && o["user"] == "mu-carol" && o["role"] == "moderator"
		})
	}
	carol.ok("retract", fields{"room": room, "key": "1", "target": said})
	for _, w := range []*wire{alice, bob, carol} {
		ev := w.until("that it is taken back", func(o map[string]any) bool { return o["type"] == "retracted" && o["target"] == said })
		if ev["from"] != "mu-carol" {
			t.Errorf("it is taken back by %v", ev["from"])
		}
	}
	if o := alice.fence(); slices.ContainsFunc(o, func(o map[string]any) bool { return o["type"] == "typing" }) {
		t.Error("who is muted is shown as typing")
	}
	members := func(w *wire) string {
		got := ""
		for _, m := range w.ok("members", fields{"room": room})["members"].([]any) {
			m := m.(map[string]any)
			got += fmt.Sprint(m["user"], " ", m["role"], "|")
		}
		return got
	}
	for _, w := range []*wire{alice, carol, bob} {
		if got := members(w); got != "mu-alice owner|mu-bob muted|mu-carol moderator|" {
			t.Errorf("%s sees %s", w.user, got)
		}
	}
	if got := members(guest(t, c.Instances()[0].URL(), "mu-dave").connect(t)); got != "mu-alice owner|mu-carol moderator|" {
		t.Errorf("others see %s", got)
	}
	carol.ok("role", fields{"room": room, "user": "mu-bob", "role": "member"})
	bob.ok("send", fields{"room": room, "key": "2", "text": "sorry"})
	// The owner hands on, and moderates.
	alice.ok("role", fields{"room": room, "user": "mu-bob", "role": "owner"})
	bob.until("that alice does not own it", func(o map[string]any) bool {
		return o["type"] == "role" && o["user"] == "mu-alice" && o["role"] == "moderator"
	})
	alice.refused("forbidden", "role", fields{"room": room, "user": "mu-carol", "role": "member"})
	alice.ok("role", fields{"room": room, "user": "mu-alice", "role": "member"})
	for _, role := range []any{"king", "", nil, 7} {
		if role == 7 {
			continue // no JSON of the contract's kind: closes the socket
		}
		bob.refused("bad_request", "role", fields{"room": room, "user": "mu-alice", "role": role})
	}
	bob.refused("bad_request", "role", fields{"room": "@mu-alice", "user": "mu-alice", "role": "banned"})
	bob.refused("forbidden", "role", fields{"room": "universe", "user": "mu-alice", "role": "banned"})
	bob.refused("not_found", "role", fields{"room": "mu-nowhere", "user": "mu-alice", "role": "banned"})
}

func testExpelled(t *testing.T, c *cluster.Cluster) {
	const room = "ex-room"
	alice := guest(t, c.Instances()[0].URL(), "ex-alice").connect(t)
	bob := guest(t, c.Instances()[1].URL(), "ex-bob").connect(t)
	alice.ok("join", fields{"room": room})
	bob.ok("join", fields{"room": room})
	began := time.Now()
	alice.ok("expel", fields{"room": room, "user": "ex-bob"})
	bob.until("that the list is shorter", func(o map[string]any) bool { return o["type"] == "relist" })
	if took := time.Since(began); took > time.Second {
		t.Errorf("bob is out after %v", took)
	}
	if r := listed(bob, room); r["joined"] == true {
		t.Errorf("the room is on bob's list: %v", r)
	}
	alice.until("that bob is gone", func(o map[string]any) bool {
		return o["type"] == "presence" && o["user"] == "ex-bob" && o["state"] == "gone"
	})
	alice.ok("send", fields{"room": room, "key": "1", "text": "bob is gone"})
	for _, o := range bob.fence() {
		if o["text"] == "bob is gone" {
			t.Error("bob hears it")
		}
	}
	wantTexts(t, bob.ok("join", fields{"room": room})["events"], "bob is gone")
	bob.refused("forbidden", "expel", fields{"room": room, "user": "ex-alice"})
	alice.refused("forbidden", "expel", fields{"room": room, "user": "ex-alice"})
}

func testRemoved(t *testing.T, c *cluster.Cluster) {
	const room = "rm-room"
	alice := guest(t, c.Instances()[0].URL(), "rm-alice").connect(t)
	bob := guest(t, c.Instances()[1].URL(), "rm-bob").connect(t)
	alice.ok("join", fields{"room": room})
	bob.ok("join", fields{"room": room})
	alice.ok("send", fields{"room": room, "key": "1", "text": "all of this goes"})
	bob.refused("forbidden", "remove", fields{"room": room})
	alice.ok("remove", fields{"room": room})
	for _, w := range []*wire{alice, bob} {
		w.until("that the list is shorter", func(o map[string]any) bool { return o["type"] == "relist" })
		if r := listed(w, room); r != nil {
			t.Errorf("%s's list has %v", w.user, r)
		}
	}
	if a := bob.ok("join", fields{"room": room}); a["head"] != "" || a["role"] != "owner" {
		t.Errorf("who takes the name next finds %v", a)
	}
	alice.refused("forbidden", "remove", fields{"room": room})
	alice.refused("bad_request", "remove", fields{"room": "~rm-room"})
}

// The setting gives rights to an account of that name, and to no guest.
func testAdmins(t *testing.T, c *cluster.Cluster) {
	stranger := visitor(t, c.URL())
	for _, name := range []string{"RT-Ghost", "rt-gh0st"} {
		if a := stranger.ask(t, http.MethodPost, "/register", url.Values{"username": {name}, "password": {phrase}}, nil); a.status == http.StatusSeeOther || !strings.Contains(a.body, "taken") {
			t.Errorf("an administrator's name is given away: %s, %d", name, a.status)
		}
		if a := stranger.enters(t, name, ""); a.status != http.StatusUnauthorized || !strings.Contains(a.body, "belongs to somebody") {
			t.Errorf("a guest comes under an administrator's name: %s, %d", name, a.status)
		}
	}
	alice := guest(t, c.Instances()[1].URL(), "ad-alice").connect(t)
	root := theRoot(t, c).connect(t)
	alice.ok("join", fields{"room": "ad-room"})
	alice.ok("join", fields{"room": "~ad-room"})
	said := alice.ok("send", fields{"room": "ad-room", "key": "1", "text": "x"})["event"]
	for kind, f := range map[string]fields{"join": {}, "history": {}, "members": {}, "role": {"user": "ad-alice", "role": "banned"}} {
		f = maps.Clone(f)
		f["room"] = "~ad-room"
		root.refused("forbidden", kind, f)
	}
	root.ok("join", fields{"room": "general"}) // which nobody owns, whoever comes first
	alice.refused("forbidden", "role", fields{"room": "general", "user": "ad-bob", "role": "banned"})
	root.ok("role", fields{"room": "general", "user": "ad-bob", "role": "banned"})
	guest(t, c.Instances()[0].URL(), "ad-bob").connect(t).refused("banned", "join", fields{"room": "general"})
	// Not even the owner keeps an administrator out, or quiet.
	alice.ok("role", fields{"room": "ad-room", "user": "rt-root", "role": "banned"})
	root.ok("retract", fields{"room": "ad-room", "key": "1", "target": said})
	root.ok("role", fields{"room": "ad-room", "user": "ad-alice", "role": "banned"})
	alice.until("that the list is shorter", func(o map[string]any) bool { return o["type"] == "relist" })
	root.ok("remove", fields{"room": "ad-room"})
}

func testManyDirects(t *testing.T, c *cluster.Cluster) {
	mallory := guest(t, c.Instances()[0].URL(), "md-mallory").connect(t)
	// They began 150 of 200 a moment ago, each of which takes a minute to come back.
	if err := rdb(t, c).Set(t.Context(), "chatd:user:{md-mallory}:begun", time.Now().Add(150*time.Minute).UnixMilli(), time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	begun := 0
	for i := range 60 {
		a := mallory.answer(mallory.request("send", fields{"room": fmt.Sprint("@md-", i), "key": "k", "text": "buy"}))
		switch {
		case a["type"] == "ok":
			begun++
		case a["code"] != "too_fast" || a["retry_after_ms"].(float64) < 1000:
			t.Fatalf("it is answered %v", a)
		}
	}
	if begun < 50 || begun > 51 {
		t.Errorf("%d conversations were begun at once", begun)
	}
	mallory.ok("send", fields{"room": "@md-0", "key": "k2", "text": "still"}) // one that was begun goes on
}

// Each deed has its line, and those who may not read it find nothing.
func testAuditLog(t *testing.T, c *cluster.Cluster) {
	const room = "au-room"
	alice := guest(t, c.Instances()[0].URL(), "au-alice").connect(t)
	bobs := guest(t, c.Instances()[1].URL(), "au-bob")
	bob := bobs.connect(t)
	alice.ok("join", fields{"room": room})
	bob.ok("join", fields{"room": room})
	said := bob.ok("send", fields{"room": room, "key": "1", "text": "x"})["event"]
	alice.ok("role", fields{"room": room, "user": "au-bob", "role": "muted"})
	alice.ok("retract", fields{"room": room, "key": "2", "target": said})
	alice.ok("retract", fields{"room": room, "key": "2", "target": said}) // repeated, it is done once
	alice.ok("expel", fields{"room": room, "user": "au-bob"})
	alice.ok("topic", fields{"room": room, "text": "=1+1"})
	bob.refused("forbidden", "remove", fields{"room": room})
	alice.ok("remove", fields{"room": room})
	roots := theRoot(t, c)
	want := "login||au-alice|guest;login||au-bob|guest;role|au-bob|au-alice|muted;retracted|au-bob|au-alice|" + said.(string) +
		";expelled|au-bob|au-alice|;topic||au-alice|;refused||au-bob|remove: forbidden;room_removed||au-alice|"
	rows, err := csv.NewReader(strings.NewReader(roots.get(t, "/admin/audit.csv").body)).ReadAll()
	if err != nil || len(rows) == 0 {
		t.Fatal(len(rows), err)
	}
	var got []string
	slices.Reverse(rows)
	for _, r := range rows {
		if slices.Contains(r, "au-alice") || slices.Contains(r, "au-bob") {
			got = append(got, fmt.Sprint(r[2], "|", r[4], "|", r[3], "|", r[8]))
			if r[6] != "127.0.0.1" {
				t.Errorf("%v has no address", r)
			}
		}
	}
	if got := strings.Join(got, ";"); got != want {
		t.Errorf("the audit log has\n\t%s, want\n\t%s", got, want)
	}
	if a := roots.get(t, "/admin/audit"); a.status != http.StatusOK || !strings.Contains(a.body, "<table>") {
		t.Errorf("the page is %d", a.status)
	}
	for _, p := range []*person{bobs, visitor(t, c.URL())} {
		for _, path := range []string{"/admin/audit", "/admin/audit.csv"} {
			if a := p.get(t, path); a.status != http.StatusNotFound || strings.Contains(a.body, "au-alice") {
				t.Errorf("%s is %d for others", path, a.status)
			}
		}
	}
}

// The instance of somebody who is banned hears nothing of it: it hangs, and its
// subscription is cut meanwhile. What it may have missed it looks up.
func testLostBan(t *testing.T, c *cluster.Cluster) {
	const room = "lb-room"
	i := c.Instances()[1]
	alice := guest(t, c.Instances()[0].URL(), "lb-alice").connect(t)
	bobs := guest(t, i.URL(), "lb-bob")
	bob, all := bobs.connect(t), bobs.connect(t)
	alice.ok("join", fields{"room": room})
	bob.ok("join", fields{"room": room})
	all.ok("join", fields{"room": "universe"})
	i.Pause()
	if _, err := c.RedisSay(within(t, 10*time.Second), "CLIENT KILL TYPE pubsub"); err != nil {
		t.Fatal(err)
	}
	alice.ok("role", fields{"room": room, "user": "lb-bob", "role": "banned"})
	alice.ok("send", fields{"room": room, "key": "0", "text": "already without bob"}) // is not made up for
	i.Resume()
	for _, w := range []*wire{bob, all} {
		w.until("that the list is shorter", func(o map[string]any) bool { return o["type"] == "relist" })
	}
	said := alice.ok("send", fields{"room": room, "key": "1", "text": "without bob"})["event"]
	alice.until("what bob does not hear", func(o map[string]any) bool { return o["event"] == said })
	alice.ok("send", fields{"room": "lb-fence", "key": "1", "text": "fence"})
	all.until("what is said elsewhere", func(o map[string]any) bool { return o["text"] == "fence" })
	for _, w := range []*wire{bob, all} {
		for _, o := range w.fence() {
			if o["room"] == room && o["seq"] != nil {
				t.Errorf("bob hears %v", o)
			}
		}
	}
	bob.refused("banned", "send", fields{"room": room, "key": "1", "text": "x"})
}
