//go:build integration

package integration_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"chatd/internal/client"
	"chatd/internal/cluster"
)

var sendTests = []part{
	{"OneKeyIsOneEvent", testSameKey},
	{"AKeyIsNotForAnotherContent", testKeyReused},
	{"MessagesAreEditedByTheirAuthor", testEdit},
	{"MessagesAreRepliedAndReactedTo", testReact},
	{"RetractedTextIsGone", testRetract},
	{"TextsHaveLimits", testTexts},
	{"AClientsOrderIsTheFeedsOrder", testOrder},
}

// The same request through two instances at the same moment, as after a socket
// that died before its answer came.
func testSameKey(t *testing.T, c *cluster.Cluster) {
	const room = "sk-room"
	a := guest(t, c.Instances()[0].URL(), "sk-alice").connect(t)
	b := guest(t, c.Instances()[1].URL(), "sk-alice").connect(t)
	reader := guest(t, c.Instances()[2].URL(), "sk-bob").connect(t)
	reader.ok("join", fields{"room": room})
	for round := range 30 {
		f := fields{"room": room, "key": fmt.Sprint("key-", round), "text": fmt.Sprint("text ", round)}
		var answers [2]map[string]any
		var wg sync.WaitGroup
		for n, w := range []*wire{a, b} {
			wg.Go(func() { answers[n] = w.ok("send", f) })
		}
		wg.Wait()
		if t.Failed() {
			t.FailNow()
		}
		if answers[0]["event"] != answers[1]["event"] || answers[0]["duplicate"] == answers[1]["duplicate"] || answers[0]["seq"] != float64(round+1) {
			t.Fatalf("round %d: the answers are %v and %v", round, answers[0], answers[1])
		}
		if ev := reader.event(room); ev["key"] != f["key"] || ev["event"] != answers[0]["event"] || ev["seq"] != float64(round+1) {
			t.Fatalf("round %d: the reader hears %v", round, ev)
		}
	}
	late := a.ok("send", fields{"room": room, "key": "key-3", "text": "text 3"})
	if late["duplicate"] != true || late["seq"] != 4.0 {
		t.Fatalf("a late repeat is answered %v", late)
	}
	if got := texts(reader.ok("history", fields{"room": room, "limit": 100})["events"]); len(got) != 30 {
		t.Fatalf("the feed has %d events: %q", len(got), got)
	}
	for _, o := range reader.fence() {
		if o["seq"] != nil {
			t.Fatalf("and then came %v", o)
		}
	}
}

func testKeyReused(t *testing.T, c *cluster.Cluster) {
	const room = "kr-room"
	alice := guest(t, c.Instances()[0].URL(), "kr-alice").connect(t)
	other := guest(t, c.Instances()[1].URL(), "kr-alice").connect(t)
	bob := guest(t, c.Instances()[1].URL(), "kr-bob").connect(t)
	first := alice.ok("send", fields{"room": room, "key": "k", "text": "one"})["event"]
	other.refused("key_reused", "send", fields{"room": room, "key": "k", "text": "two"})
	other.refused("key_reused", "edit", fields{"room": room, "key": "k", "target": first, "text": "one"})
	other.refused("key_reused", "retract", fields{"room": room, "key": "k", "target": first})
	// A key is its sender's own, in its room.
	for _, kept := range []map[string]any{
		bob.ok("send", fields{"room": room, "key": "k", "text": "one"}),
		alice.ok("send", fields{"room": "kr-other", "key": "k", "text": "one"}),
		alice.ok("send", fields{"room": room, "key": "K", "text": "one"}),
	} {
		if kept["duplicate"] != false || kept["event"] == first {
			t.Errorf("another's key: %v", kept)
		}
	}
	again := other.ok("send", fields{"room": room, "key": "k", "text": "one"})
	if again["duplicate"] != true || again["event"] != first {
		t.Errorf("the same content: %v", again)
	}
	for _, key := range []any{"", strings.Repeat("x", 65), "a b", "a/b", "ключ", "a\x00"} {
		alice.refused("bad_request", "send", fields{"room": room, "key": key, "text": "x"})
	}
	alice.refused("bad_request", "send", fields{"room": room, "text": "x"})
	alice.ok("send", fields{"room": room, "key": strings.Repeat("x", 60) + "-_.:", "text": "x"})
}

func testReact(t *testing.T, c *cluster.Cluster) {
	const room = "ra-room"
	alice := guest(t, c.Instances()[0].URL(), "ra-alice").connect(t)
	bob := guest(t, c.Instances()[1].URL(), "ra-bob").connect(t)
	alice.ok("join", fields{"room": room})
	bob.ok("join", fields{"room": room})
	first := alice.ok("send", fields{"room": room, "key": "1", "text": "shall we?"})["event"]
	bob.ok("send", fields{"room": room, "key": "1", "text": "yes", "reply": first})
	alice.event(room)
	if ev := alice.event(room); ev["type"] != "message" || ev["reply"] != first || ev["text"] != "yes" {
		t.Errorf("a reply is %v", ev)
	}
	like := fields{"room": room, "key": "2", "target": first, "emoji": "👍", "on": true}
	kept := bob.ok("react", like)
	ev := alice.event(room)
	if ev["type"] != "reacted" || ev["target"] != first || ev["emoji"] != "👍" || ev["on"] != true || ev["from"] != "ra-bob" || ev["event"] != kept["event"] {
		t.Errorf("a reaction is %v", ev)
	}
	if again := guest(t, c.Instances()[2].URL(), "ra-bob").connect(t).ok("react", like); again["duplicate"] != true || again["event"] != kept["event"] {
		t.Errorf("a repeated reaction is answered %v", again)
	}
	bob.ok("react", fields{"room": room, "key": "3", "target": first, "emoji": "👍", "on": false})
	if ev := alice.event(room); ev["on"] != false || ev["prev"] != kept["event"] {
		t.Errorf("a reaction that is taken away is %v", ev)
	}

	for field, bad := range map[string]any{"emoji": "not one", "target": "7", "on": nil} {
		wrong := maps.Clone(like)
		wrong["key"], wrong[field] = "w", bad
		bob.refused("bad_request", "react", wrong)
	}
	bob.refused("key_reused", "react", fields{"room": room, "key": "2", "target": first, "emoji": "👎", "on": true})
	bob.refused("key_reused", "react", fields{"room": room, "key": "2", "target": first, "emoji": "👍", "on": false})
	bob.refused("key_reused", "send", fields{"room": room, "key": "1", "text": "yes"})
	bob.refused("bad_request", "send", fields{"room": room, "key": "w", "text": "yes", "reply": "that one"})
	bob.refused("not_found", "react", fields{"room": room, "key": "w", "target": kept["event"], "emoji": "👍", "on": true})
	alice.ok("retract", fields{"room": room, "key": "4", "target": first})
	bob.refused("not_found", "react", fields{"room": room, "key": "5", "target": first, "emoji": "👍", "on": true})
	bob.ok("send", fields{"room": room, "key": "6", "text": "to what is gone", "reply": first})
}

func testEdit(t *testing.T, c *cluster.Cluster) {
	const room = "ed-room"
	alice := guest(t, c.Instances()[0].URL(), "ed-alice").connect(t)
	bob := guest(t, c.Instances()[1].URL(), "ed-bob").connect(t)
	alice.ok("join", fields{"room": room}) // and owns it
	bob.ok("join", fields{"room": room})
	first := alice.ok("send", fields{"room": room, "key": "1", "text": "helo"})["event"]
	foreign := alice.ok("send", fields{"room": "ed-other", "key": "1", "text": "elsewhere"})["event"]
	bob.event(room)
	edit := fields{"room": room, "key": "2", "target": first, "text": "hello"}
	kept := alice.ok("edit", edit)
	if kept["seq"] != 2.0 || kept["duplicate"] != false || kept["room"] != room {
		t.Fatalf("edit is answered %v", kept)
	}
	ev := bob.event(room)
	if ev["type"] != "edited" || ev["target"] != first || ev["text"] != "hello" || ev["from"] != "ed-alice" || ev["event"] != kept["event"] || ev["prev"] != first || ev["key"] != "2" {
		t.Fatalf("bob hears %v", ev)
	}
	if again := guest(t, c.Instances()[2].URL(), "ed-alice").connect(t).ok("edit", edit); again["duplicate"] != true || again["event"] != kept["event"] {
		t.Errorf("a repeated edit is answered %v", again)
	}
	bob.refused("forbidden", "edit", fields{"room": room, "key": "e", "target": first, "text": "mine now"})
	bob.refused("forbidden", "retract", fields{"room": room, "key": "r", "target": first})
	for _, target := range []any{"7-7", foreign, "1-1", "999999-1"} {
		alice.refused("not_found", "edit", fields{"room": room, "key": "n", "target": target, "text": "x"})
		alice.refused("not_found", "retract", fields{"room": room, "key": "n", "target": target})
	}
	for _, target := range []any{"", "x", "-"} {
		alice.refused("bad_request", "edit", fields{"room": room, "key": "n", "target": target, "text": "x"})
	}
	alice.refused("empty", "edit", fields{"room": room, "key": "n", "target": first, "text": " "})
	alice.refused("too_long", "edit", fields{"room": room, "key": "n", "target": first, "text": strings.Repeat("x", 4001)})
	alice.refused("forbidden", "edit", fields{"room": "universe", "key": "n", "target": first, "text": "x"})
	// All of it in a replay.
	wantTexts(t, bob.ok("join", fields{"room": room})["events"], "helo", "<edited>")
}

func testRetract(t *testing.T, c *cluster.Cluster) {
	const room = "re-room"
	const word = "wysiwygxyzzy"
	alice := guest(t, c.Instances()[0].URL(), "re-alice").connect(t)
	bob := guest(t, c.Instances()[1].URL(), "re-bob").connect(t)
	bob.ok("join", fields{"room": room})
	before := alice.ok("send", fields{"room": room, "key": "1", "text": "stays"})["event"]
	secret := alice.ok("send", fields{"room": room, "key": "2", "text": word + " in the open"})["event"]
	alice.ok("send", fields{"room": room, "key": "3", "text": "stays too"})
	edit := alice.ok("edit", fields{"room": room, "key": "4", "target": secret, "text": word + " once more"})["event"]
	if found := search(t, c, word); len(found) == 0 {
		t.Fatal("the search does not even find what is there")
	}
	kept := alice.ok("retract", fields{"room": room, "key": "5", "target": secret})
	if kept["seq"] != 5.0 {
		t.Fatalf("retract is answered %v", kept)
	}
	for range 4 {
		bob.event(room)
	}
	ev := bob.event(room)
	if ev["type"] != "retracted" || ev["target"] != secret || ev["from"] != "re-alice" || ev["text"] != nil {
		t.Fatalf("bob hears %v", ev)
	}
	if found := search(t, c, word); len(found) > 0 {
		t.Errorf("the text is still in %q", found)
	}
	again := guest(t, c.Instances()[2].URL(), "re-alice").connect(t).ok("retract", fields{"room": room, "key": "5", "target": secret})
	if again["duplicate"] != true || again["event"] != kept["event"] {
		t.Errorf("a repeated retract is answered %v", again)
	}

	// Everyone's replay has something in its place, and nothing else of it.
	check := func(how string, events any) {
		t.Helper()
		wantTexts(t, events, "stays", "<gone>", "stays too", "<gone>", "<retracted>")
		wantChain(t, events, "")
		for n, id := range map[int]any{1: secret, 3: edit} {
			gone := events.([]any)[n].(map[string]any)
			if gone["event"] != id || gone["text"] != nil || gone["key"] != nil || gone["from"] != nil {
				t.Errorf("%s: in its place is %v", how, gone)
			}
		}
	}
	check("join", bob.ok("join", fields{"room": room})["events"])
	check("history", bob.ok("history", fields{"room": room})["events"])
	resumed := bob.ok("join", fields{"room": room, "after": before})
	if resumed["resumed"] != true {
		t.Errorf("after the event before it is resumed: %v", resumed["resumed"])
	}
	wantTexts(t, resumed["events"], "<gone>", "stays too", "<gone>", "<retracted>")
	// And who has it as their last event goes on after it.
	for id, want := range map[any][]string{secret: {"stays too", "<gone>", "<retracted>"}, edit: {"<retracted>"}} {
		resumed = bob.ok("join", fields{"room": room, "after": id})
		if resumed["resumed"] != true {
			t.Errorf("after the retracted event %v is resumed: %v", id, resumed["resumed"])
		}
		wantTexts(t, resumed["events"], want...)
	}
	before2 := bob.ok("history", fields{"room": room, "before": secret})
	wantTexts(t, before2["events"], "stays")

	alice.refused("not_found", "edit", fields{"room": room, "key": "6", "target": secret, "text": "back?"})
	alice.refused("not_found", "retract", fields{"room": room, "key": "7", "target": secret})
	// The repeat of its own send is still a repeat, and brings nothing back.
	if again := alice.ok("send", fields{"room": room, "key": "2", "text": word + " in the open"}); again["duplicate"] != true || again["event"] != secret {
		t.Errorf("the send repeated: %v", again)
	}
	if found := search(t, c, word); len(found) > 0 {
		t.Errorf("after the repeat the text is in %q", found)
	}
}

// search returns the keys of Redis in whose name or content word stands.
func search(t *testing.T, c *cluster.Cluster, word string) (found []string) {
	t.Helper()
	r := rdb(t, c)
	ctx := within(t, 20e9)
	keys := r.Scan(ctx, 0, "*", 1000).Iterator()
	for keys.Next(ctx) {
		key := keys.Val()
		content, err := dump(ctx, r, key)
		if err != nil {
			t.Fatalf("read key %s: %v", key, err)
		}
		if strings.Contains(key+content, word) {
			found = append(found, key)
		}
	}
	if err := keys.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

func dump(ctx context.Context, r *redis.Client, key string) (string, error) {
	kind, err := r.Type(ctx, key).Result()
	if err != nil {
		return "", err
	}
	var content any
	switch kind {
	case "string":
		content, err = r.Get(ctx, key).Result()
	case "hash":
		content, err = r.HGetAll(ctx, key).Result()
	case "set":
		content, err = r.SMembers(ctx, key).Result()
	case "zset":
		content, err = r.ZRangeWithScores(ctx, key, 0, -1).Result()
	case "list":
		content, err = r.LRange(ctx, key, 0, -1).Result()
	case "stream":
		content, err = r.XRange(ctx, key, "-", "+").Result()
	case "none": // lapsed since the scan
	default:
		err = fmt.Errorf("unknown kind %s", kind)
	}
	if err == redis.Nil {
		err = nil
	}
	return fmt.Sprint(content), err
}

func testTexts(t *testing.T, c *cluster.Cluster) {
	const room = "tx-room"
	w := guest(t, c.Instances()[0].URL(), "tx-alice").connect(t)
	w.ok("join", fields{"room": room})
	for n, text := range []string{
		strings.Repeat("x", 4000), strings.Repeat("\U0001f600", 4000), strings.Repeat("\u00e9", 4000), // code points, not bytes
		"two\nlines\tand a tab", " \u200f\u05e9\u05dc\u05d5\u05dd ", `"quotes" \ & <b>markup</b> ]]> ${x} %s`, "a\u2028b", "{\"type\":\"message\"}", "a\r\nb",
	} {
		w.ok("send", fields{"room": room, "key": fmt.Sprint("good-", n), "text": text})
		if ev := w.event(room); ev["text"] != text {
			t.Errorf("text %d came back as %.100q", n, ev["text"])
		}
	}
	for _, text := range []string{"", " ", "\n\t \r", "\u00a0\u2003"} {
		w.refused("empty", "send", fields{"room": room, "key": "empty", "text": text})
	}
	w.refused("empty", "send", fields{"room": room, "key": "empty"})
	for _, text := range []string{strings.Repeat("x", 4001), strings.Repeat("\U0001f600", 4001), strings.Repeat("x", 60_000)} {
		w.refused("too_long", "send", fields{"room": room, "key": "long", "text": text})
	}
	for _, text := range []string{"nul\x00", "esc\x1b[31m", "bell\a", "del\x7f", "c1\u0085x\u009b"} {
		w.refused("bad_request", "send", fields{"room": room, "key": "control", "text": text})
	}
	for _, o := range w.fence() {
		if o["seq"] != nil {
			t.Errorf("a refused text became %v", o)
		}
	}
}

func testOrder(t *testing.T, c *cluster.Cluster) {
	const room = "or-room"
	alice := enter(t, c.URL(), "or-alice", client.Options{}, room, "or-second")
	var want []string
	for n := range 100 {
		text := fmt.Sprint("text ", n)
		want = append(want, text)
		alice.say(room, text)
		alice.say("or-second", text)
	}
	judge(t, c.URL(), []string{room, "or-second"}, alice)
	alice.sawAll(room, want...)

	// Who does not wait for answers on one socket keeps their order all the same.
	w := guest(t, c.Instances()[1].URL(), "or-bob").connect(t)
	w.ok("join", fields{"room": "or-third"})
	for n, text := range want {
		w.request("send", fields{"room": "or-third", "key": fmt.Sprint("k", n), "text": text})
	}
	var got []string
	for range want {
		got = append(got, w.event("or-third")["text"].(string))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the feed's order is %q", got)
	}
}
