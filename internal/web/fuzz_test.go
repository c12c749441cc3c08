package web

import (
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"chatd"
)

// newRealServer has the real pages.
func newRealServer(f *testing.F) *Server {
	f.Helper()
	p := &parts{admin: true}
	s, err := New(Options{
		Instance: "chatd-1", Requests: 1_000_000, Guests: true, Registers: true, PasswordMin: 15, Files: chatd.Files,
		Sessions: p, Accounts: names{p}, Audit: ledger{p}, Sockets: p, Directory: rooms{p}, Gate: gates{p}, Redis: p, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		f.Fatal(err)
	}
	return s
}

// forms are what can be sent, with the kind of what is no form.
var forms = map[string]string{"/login": "", "/register": "", "/logout": "", "/account/end": "", "/account/password": "", "/account/delete": "", "/account/data": "", "/admin/lock": "", "/admin/end": "", "/admin/bar": "", "/report": reportKind}

// Whatever is sent as a form, the answer is none of a fault, and what was typed is no markup.
func FuzzForms(f *testing.F) {
	for _, s := range []string{"login=x&old=y&new=z", `{"csp-report":{"effective-directive":"script-src x","blocked-uri":"<b>"}}`, "username=alice", "username=%ff&password=%00", "username=<b>x&password=y", "&&==;%", "username=a&username=b", "password=" + strings.Repeat("x", 300)} {
		f.Add(s)
	}
	s := newRealServer(f)
	f.Fuzz(func(t *testing.T, body string) {
		for path, kind := range forms {
			text := body
			if kind == "" {
				kind, text = "application/x-www-form-urlencoded", body+"&x=%3Cmarkup"
			}
			r := httptest.NewRequest("POST", path, strings.NewReader(text))
			r.Header.Set("Content-Type", kind)
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code >= 500 || strings.Contains(strings.ToLower(w.Body.String()), "<markup") {
				t.Errorf("POST %s of %q: %d %s", path, body, w.Code, w.Body)
			}
		}
	})
}

// Whatever the address and the headers, the answer is none of a fault, and is guarded.
func FuzzRequests(f *testing.F) {
	for _, s := range []string{"/", "/login", "//x", "/static/x/..%2f..%2fgo.mod", "/api/rooms/%00/events?before=1-1&limit=9", "/ws", "/%", "/\\", "/api/rooms/@a:b/events", "/.well-known/security.txt"} {
		f.Add(s, "de;q=0.5", "lang=de; theme=\"<", "http://chat.example")
	}
	s := newRealServer(f)
	f.Fuzz(func(t *testing.T, target, language, cookie, origin string) {
		r := httptest.NewRequest("GET", "/", nil)
		u, err := r.URL.Parse(target)
		if err != nil || u.Host != "" && u.Host != r.Host {
			return
		}
		r.URL, r.RequestURI = u, u.RequestURI()
		r.Header.Set("Accept-Language", language)
		r.Header.Set("Cookie", cookie)
		r.Header.Set("Origin", origin)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code >= 500 || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("GET %q: %d %v", target, w.Code, w.Header())
		}
	})
}
