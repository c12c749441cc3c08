//go:build integration

package integration_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chatd/internal/cluster"
)

// Whatever people and strangers send, each line of the logs is one that chatd wrote, and
// none has what opens an account, a session or Redis, or what somebody said.
func testLogs(t *testing.T, c *cluster.Cluster) {
	const forged = "x\r\n{\"time\":\"now\",\"level\":\"ERROR\",\"msg\":\"forged\"}\n\x1b[31mred\u0085\u2028next"
	const password, text = "the password is kumquat-42", "the text is persimmon-43"
	secrets := map[string]string{"a password": "kumquat", "a text": "persimmon"}

	p := visitor(t, c.URL())
	if a := p.ask(t, http.MethodPost, "/register", url.Values{"username": {"lg-owner"}, "password": {password}}, nil); a.status != http.StatusSeeOther {
		t.Fatalf("register: %d %s", a.status, a.body)
	}
	secrets["an id"] = secretOf(p)
	for _, name := range []string{"lg-owner", "lg-nobody", forged} {
		visitor(t, c.URL()).ask(t, http.MethodPost, "/login", url.Values{"username": {name}, "password": {password + " wrong"}}, nil)
	}
	if a := p.ask(t, http.MethodPost, "/session/refresh", nil, nil); a.status != http.StatusOK {
		t.Fatalf("refresh: %d", a.status)
	}
	secrets["a refreshed id"] = secretOf(p)
	w := p.connect(t)
	w.ok("join", fields{"room": "lg-room"})
	w.ok("send", fields{"room": "lg-room", "key": "persimmon-key", "text": text})
	w.ok("topic", fields{"room": "lg-room", "text": text})
	w.ok("search", fields{"room": "lg-room", "text": text})
	for _, kind := range []string{"join", "send", "find", forged} {
		w.answer(w.request(kind, fields{"room": forged, "key": forged, "text": forged + text, "user": forged, "after": forged}))
	}
	for _, frame := range []string{forged, text, `{"type":"` + text} {
		bad := guest(t, c.Instances()[0].URL(), "lg-mallory").connect(t)
		bad.say(frame)
		bad.end()
	}
	for _, path := range []string{"/%0d%0a%7b%22level%22:%22ERROR%22%7d", "/%1b[31m", "/api/rooms/%0aforged/events?before=%0aforged", "/static/%0a/x", "/ws?%0aforged"} {
		for _, base := range []string{c.URL(), c.Instances()[0].URL()} {
			visitor(t, base).ask(t, http.MethodGet, path, nil, http.Header{"User-Agent": {"forged {}"}, "Referer": {"x" + text}, "Origin": {"http://forged"}})
		}
	}
	for _, addr := range []string{c.HAProxy.Addr, c.Instances()[0].Addr} {
		s := dialRaw(t, addr)
		_, _ = io.WriteString(s, "GET /\x1b[31m\x00 HTTP/1.1\r\nHost: x\x1b\r\nUser-Agent: \x1b]0;x\x07\r\n\r\n")
		_, _ = io.Copy(io.Discard, s) // whatever the answer is
	}
	visitor(t, c.URL()).ask(t, http.MethodPost, "/session/refresh", nil, http.Header{"Cookie": {"jsessionid=" + strings.Repeat("persimmon", 40)}})

	dir := filepath.Dir(c.RedisDir())
	users, err := os.ReadFile(filepath.Join(dir, "users.acl"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(users), "user chatd on >")
	secrets["Redis' password"], _, _ = strings.Cut(after, " ")

	// What Redis was ever told opens nothing either.
	stored := 0
	err = filepath.WalkDir(c.RedisDir(), func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		stored += bytes.Count(data, []byte("persimmon"))
		for _, what := range []string{"a password", "an id", "a refreshed id"} {
			if bytes.Contains(data, []byte(secrets[what])) {
				t.Errorf("Redis has %s in %s", what, filepath.Base(name))
			}
		}
		return err
	})
	if err != nil || stored == 0 {
		t.Errorf("in what Redis keeps a text stands %d times, %v", stored, err)
	}

	logs, err := filepath.Glob(filepath.Join(dir, "log", "*.log"))
	if err != nil || len(logs) < 4 {
		t.Fatalf("%d logs, %v", len(logs), err)
	}
	lines := 0
	for _, name := range logs {
		log, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for what, secret := range secrets {
			if i := bytes.Index(log, []byte(secret)); secret == "" || i >= 0 {
				t.Errorf("%s has %s (%q): %.200s", filepath.Base(name), what, secret, log[max(0, i-100):])
			}
		}
		for line := range bytes.Lines(log) {
			line = bytes.TrimSuffix(line, []byte("\n"))
			if i := bytes.IndexFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f || r == 0x85 }); i >= 0 {
				t.Errorf("%s has a control character: %q", filepath.Base(name), line)
			}
			if !strings.HasPrefix(filepath.Base(name), "chatd-") {
				continue
			}
			lines++
			var entry struct{ Level, Msg, Instance string }
			if err := json.Unmarshal(line, &entry); err != nil || entry.Instance == "" || strings.Contains(entry.Msg, "forged") {
				t.Errorf("%s: %v: %q", filepath.Base(name), err, line)
			}
		}
	}
	if lines < 5 {
		t.Errorf("%d lines of chatd in all", lines)
	}
}

// secretOf is the part of a session id that is one.
func secretOf(p *person) string {
	_, secret, _ := strings.Cut(p.cookie(), ".")
	return secret
}
