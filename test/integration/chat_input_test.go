//go:build integration

package integration_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"chatd/internal/chat"
	"chatd/internal/cluster"
)

var inputTests = []part{
	{"BadFramesCloseTheirSocketOnly", testBadFrames},
	{"BadRequestsAreAnswered", testBadRequests},
	{"BadNamesAreRefused", testBadNames},
	{"HandshakesNeedAnOwnOrigin", testOrigins},
	{"BadHTTPIsAnswered", testBadHTTP},
}

// Each bad frame gets its close code; whoever else is on the instance goes on.
func testBadFrames(t *testing.T, c *cluster.Cluster) {
	base := c.Instances()[0].URL()
	p := guest(t, base, "bf-mallory")
	witness := guest(t, base, "bf-alice").connect(t)
	witness.ok("join", fields{"room": "bf-room"})
	pid := c.Instances()[0].PID()
	send := `{"type":"send","id":1,"room":"bf-room","key":"k","text":"from a bad frame"}`
	for n, bad := range []struct {
		name  string
		kind  websocket.MessageType
		frame string
		code  int
	}{
		{"not JSON", websocket.MessageText, "hello", 4400},
		{"half an object", websocket.MessageText, `{"type":"rooms","id":1`, 4400},
		{"an array", websocket.MessageText, `[{"type":"rooms","id":1}]`, 4400},
		{"a string", websocket.MessageText, `"rooms"`, 4400},
		{"a number", websocket.MessageText, `1`, 4400},
		{"null", websocket.MessageText, `null`, 4400},
		{"two objects on a line", websocket.MessageText, `{"type":"rooms","id":1}{"type":"rooms","id":2}`, 4400},
		{"rubbish behind an object", websocket.MessageText, `{"type":"rooms","id":1} x`, 4400},
		{"no id", websocket.MessageText, `{"type":"rooms"}`, 4400},
		{"null for an id", websocket.MessageText, `{"type":"rooms","id":null}`, 4400},
		{"a word for an id", websocket.MessageText, `{"type":"rooms","id":"1"}`, 4400},
		{"half an id", websocket.MessageText, `{"type":"rooms","id":1.5}`, 4400},
		{"an id beyond integers", websocket.MessageText, `{"type":"rooms","id":1e99}`, 4400},
		{"a number for a type", websocket.MessageText, `{"type":7,"id":1}`, 4400},
		{"an object for a room", websocket.MessageText, `{"type":"join","id":1,"room":{}}`, 4400},
		{"a word for a limit", websocket.MessageText, `{"type":"history","id":1,"room":"bf-room","limit":"5"}`, 4400},
		{"positions of numbers", websocket.MessageText, `{"type":"join","id":1,"room":"universe","positions":{"bf-room":5}}`, 4400},
		{"not UTF-8", websocket.MessageText, "{\"type\":\"send\",\"id\":1,\"room\":\"bf-room\",\"key\":\"k\",\"text\":\"\xff\xfe\"}", 4400},
		{"half a code point", websocket.MessageText, "{\"type\":\"rooms\",\"id\":1,\"room\":\"\xe2\x82\"}", 4400},
		{"a good request, then a bad one", websocket.MessageText, send + "\nhello", 4400},
		{"binary", websocket.MessageBinary, send, 4400},
		{"deep nesting", websocket.MessageText, `{"type":"rooms","id":1,"x":` + strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000) + `}`, 4400},
		{"too large", websocket.MessageText, `{"type":"rooms","id":1,"x":"` + strings.Repeat("x", chat.MaxFrameBytes) + `"}`, 1009},
		{"far too large", websocket.MessageText, strings.Repeat("x", 8<<20), 1009},
		{"one byte too large", websocket.MessageText, padded(chat.MaxFrameBytes + 1), 1009},
	} {
		w := p.connect(t)
		err := w.ws.Write(within(t, 10*time.Second), bad.kind, []byte(bad.frame))
		if err != nil && bad.code != 1009 { // who is told 1009 may be told in mid-write
			t.Fatalf("%s: %v", bad.name, err)
		}
		if code := w.end(); code != bad.code {
			t.Errorf("%s: closed with %d, want %d", bad.name, code, bad.code)
		}
		if n%8 == 0 {
			witness.fence()
		}
	}
	w := p.connect(t)
	w.say(padded(chat.MaxFrameBytes)) // just fits
	w.answer(1)
	w.say("\n{\"type\":\"rooms\",\"id\":8}\n\n  {\"type\":\"rooms\",\"id\":9}\r\n")
	w.answer(8)
	w.answer(9)

	for _, o := range witness.fence() {
		if o["seq"] != nil {
			t.Errorf("a bad frame was carried out in part: %v", o)
		}
	}
	witness.ok("send", fields{"room": "bf-room", "key": "w", "text": "still here"})
	if c.Instances()[0].PID() != pid {
		t.Error("the instance is another process now")
	}
}

// padded returns a request that is n bytes long.
func padded(n int) string {
	const head, tail = `{"type":"rooms","id":1,"x":"`, `"}`
	return head + strings.Repeat("x", n-len(head)-len(tail)) + tail
}

func testBadRequests(t *testing.T, c *cluster.Cluster) {
	w := guest(t, c.Instances()[1].URL(), "br-mallory").connect(t)
	w.ok("join", fields{"room": "br-room"})
	for _, kind := range []string{"", "Join", "shutdown", "ok", "message", strings.Repeat("x", 5000), "\u202e", "__proto__"} {
		w.refused("unknown_type", kind, fields{"room": "br-room"})
	}
	for _, kind := range []string{"join", "leave", "send", "edit", "retract", "react", "history", "read"} {
		w.refused("bad_name", kind, fields{"key": "k", "text": "x", "target": "1-1", "event": "1-1", "emoji": "👍", "on": true})
	}
	w.say(`{"type":"typing"}` + "\n" + `{"type":"typing","room":"\u0000"}` + "\n" + `{"type":"nothing","id":77}`) // typing has no answer
	if a := w.answer(77); a["code"] != "unknown_type" {
		t.Errorf("answer to nothing is %v", a)
	}
	// Ids are the client's: any integer, also twice, is answered as it is.
	// Read as text: one of them is no number that a float64 holds. News of rooms that
	// other tests make may come between.
	for _, id := range []string{"0", "-5", "9007199254740993", "-9223372036854775808", "0"} {
		w.say(`{"type":"rooms","id":` + id + `}`)
		for {
			_, b, err := w.ws.Read(within(t, 10*time.Second))
			if err != nil {
				t.Fatalf("no answer to id %s: %v", id, err)
			}
			if bytes.Contains(b, []byte(`{"type":"ok","id":`+id+`,`)) {
				break
			}
		}
	}
	w.refused("bad_request", "join", fields{"room": "universe", "positions": fields{"br-room": "yesterday"}})
	w.refused("unknown_type", "history ", fields{"room": "br-room"})
	w.ok("history", fields{"room": "br-room", "unknown": fields{"field": []int{1}}})
}

var badNames = []string{
	"", " ", "a b", "a\tb", "a\nb", "a\x00b", "a\u200bb", "a\u202eb", "a\u2066b", "\u202eadmin", "a\u00adb", "\ufeffa", "p\u0430ypal", "\u0430dmin1\u0061",
	"-a", ".a", "_a", "#general", "a/b", "a\\b", "a:b", "a{b}", "a*", "a?b", "a%20b", "../a", "a@b", "\U0001f600", strings.Repeat("x", 33), strings.Repeat("\u00e9", 33), strings.Repeat("x", 60_000), "a\u0300\u0301\u0302" + strings.Repeat("\u0300", 40),
}

func testBadNames(t *testing.T, c *cluster.Cluster) {
	w := guest(t, c.Instances()[2].URL(), "bn-mallory").connect(t)
	for _, name := range badNames {
		w.refused("bad_name", "join", fields{"room": name})
		if !strings.Contains(name, ":") { // with it, it is a conversation's canonical name
			w.refused("bad_name", "send", fields{"room": "@" + name, "key": "k", "text": "x"})
		}
	}
	for _, name := range []string{"@", "@:", "@bn-mallory:", "@:bn-mallory", "@@bn-mallory", "@a:b:bn-mallory", "@universe:"} {
		w.refused("bad_name", "join", fields{"room": name})
	}
	w.refused("forbidden", "join", fields{"room": "@somebody:else"})
	// Different spellings of one name are one room.
	for _, name := range []string{"bn-Caf\u00e9", "bn-cafe\u0301", "BN-CAF\u00c9", "\uff42\uff4e-caf\u00e9"} {
		if a := w.ok("join", fields{"room": name}); a["room"] != "bn-caf\u00e9" {
			t.Errorf("%q is the room %v", name, a["room"])
		}
	}
	for _, r := range w.ok("rooms", nil)["rooms"].([]any) {
		name := r.(map[string]any)["room"].(string)
		if _, err := chat.ParseRoom("bn-mallory", name); err != nil {
			t.Errorf("the list has %q: %v", name, err)
		}
	}
}

func testOrigins(t *testing.T, c *cluster.Cluster) {
	for _, base := range []string{c.URL(), c.Instances()[1].URL()} {
		p := guest(t, base, "og-alice")
		own := p.base.Host
		for name, origins := range map[string][]string{
			"none": nil, "null": {"null"}, "empty": {""}, "foreign": {"http://evil.example"}, "foreign port": {"http://127.0.0.1:1"},
			"another scheme": {"https://" + own}, "the host in another's path": {"http://evil.example/" + own}, "the host as another's user": {"http://" + own + "@evil.example"},
			"a longer host": {"http://" + own + ".evil.example"}, "no scheme": {own}, "a path": {"http://" + own + "/x"}, "two": {"http://" + own, "http://evil.example"}, "a list": {"http://" + own + ", http://evil.example"}, "a wildcard": {"*"},
		} {
			if _, status, err := p.shake(t, http.Header{"Origin": origins}); err == nil || status != http.StatusForbidden {
				t.Errorf("origin %s: handshake is %d at %s", name, status, base)
			}
		}
		for _, path := range []string{"/login", "/logout", "/session/refresh"} {
			for name, header := range map[string]http.Header{
				"a foreign Origin":       {"Origin": {"http://evil.example"}},
				"a null Origin":          {"Origin": {"null"}},
				"a foreign fetch site":   {"Sec-Fetch-Site": {"cross-site"}},
				"a sibling's fetch site": {"Sec-Fetch-Site": {"same-site"}},
			} {
				if a := p.ask(t, http.MethodPost, path, url.Values{"username": {"og-mallory"}}, header); a.status != http.StatusForbidden || a.header.Get("Set-Cookie") != "" {
					t.Errorf("POST %s with %s is %d and sets %q at %s", path, name, a.status, a.header.Get("Set-Cookie"), base)
				}
			}
		}
		// None of that ended or changed the login.
		if w := p.connect(t); w.user != "og-alice" {
			t.Errorf("the socket is %q's", w.user)
		}
	}
}

func testBadHTTP(t *testing.T, c *cluster.Cluster) {
	p := guest(t, c.Instances()[0].URL(), "bh-alice")
	behind := p.at(t, c.URL())
	for _, x := range []struct {
		method, path string
		form         url.Values
		want         int // 0: any 4xx, the contract does not say which
	}{
		{"GET", "/nowhere", nil, 404},
		{"GET", "/static/../../etc/passwd", nil, 404},
		{"GET", "/static/x/%2e%2e/%2e%2e/go.mod", nil, 404},
		{"GET", "/metrics", nil, 404},
		{"GET", "/debug/pprof/", nil, 404},
		{"GET", "/logout", nil, 0},
		{"GET", "/session/refresh", nil, 0},
		{"DELETE", "/", nil, 0},
		{"POST", "/login", url.Values{"username": {strings.Repeat("x", 40_000)}}, 413},
		{"POST", "/session/refresh", url.Values{"x": {strings.Repeat("x", 40_000)}}, 413},
		{"GET", "/api/rooms/%00/events", nil, 400},
		{"GET", "/api/rooms/universe/events", nil, 403},
		{"GET", "/api/rooms/" + strings.Repeat("x", 200) + "/events", nil, 400},
		{"GET", "/ws", nil, 403}, // no Origin
	} {
		for _, p := range []*person{p, behind} {
			if a := p.ask(t, x.method, x.path, x.form, nil); a.status != x.want && (x.want != 0 || a.status < 400 || a.status > 499) {
				t.Errorf("%s %s is %d at %s, want %d: %.200s", x.method, x.path, a.status, p.base, x.want, a.body)
			} else if strings.Contains(a.body, "root:") || strings.Contains(a.body, "module chatd") || strings.Contains(a.body, "goroutine ") {
				t.Errorf("%s %s lets out %.200s", x.method, x.path, a.body)
			}
		}
	}
	if a := p.ask(t, http.MethodGet, "/ws", nil, p.origin()); a.status < 400 || a.status > 499 {
		t.Errorf("GET /ws without an upgrade is %d", a.status)
	}
	// A socket for another subprotocol is not one of ours, and does the instance no harm.
	if a := p.get(t, "/"); a.status != http.StatusOK || a.header.Get("Content-Security-Policy") == "" || a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the page is %d with %v", a.status, a.header)
	}
	for _, i := range c.Instances() {
		for path, want := range map[string]string{"/livez": "alive", "/readyz": "ready"} {
			if a := visitor(t, i.URL()).get(t, path); a.status != http.StatusOK || !strings.Contains(a.body, want) {
				t.Errorf("%s%s is %d: %s", i.Name, path, a.status, fmt.Sprint(a.body))
			}
		}
	}
}
