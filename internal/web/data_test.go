package web

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"chatd/internal/account"
	"chatd/internal/audit"
	"chatd/internal/chat"
)

func ownOf(s *Server, user string) (file string, err error) {
	rec := httptest.NewRecorder()
	w := &fileWriter{to: rec, control: http.NewResponseController(rec)}
	err = s.eachOwn(httptest.NewRequest("GET", "/", nil).Context(), chat.Actor{Name: user}, []chat.RoomInfo{{Room: "general"}}, w)
	return rec.Body.String(), err
}

func TestAFileHasAllPagesAndNothingOfOthers(t *testing.T) {
	s, p := newServer(t)
	event := func(id, prev, from string) string {
		return `{"type":"message","event":"` + id + `","prev":"` + prev + `","from":"` + from + `"}`
	}
	p.pages = map[string][]string{
		"":    {event("4-4", "3-3", "bob"), event("5-5", "4-4", "alice")},
		"4-4": {event("2-2", "1-1", "alice"), `{"type":"gone","event":"3-3","prev":"2-2"}`},
		"2-2": {event("1-1", "", "alice")},
	}
	got, err := ownOf(s, "alice")
	if want := event("5-5", "4-4", "alice") + ",\n" + event("2-2", "1-1", "alice") + ",\n" + event("1-1", "", "alice"); err != nil || got != want {
		t.Errorf("the file has %s, %v", got, err)
	}
	p.looked = dataBytes / 2
	if _, err := ownOf(s, "alice"); !errors.Is(err, errMuch) {
		t.Errorf("too much is %v", err)
	}
	p.looked = 0
	for fault, whole := range map[error]bool{chat.ErrLost: true, chat.ErrUnavailable: false, errTooFast: false, &chat.Error{Code: chat.CodeBanned}: true, &chat.Error{Code: chat.CodeForbidden}: true} {
		p.err = fault
		if _, err := ownOf(s, "alice"); (err == nil) != whole {
			t.Errorf("after %v: %v", fault, err)
		}
	}
}

// Of others people learn neither their names nor where they are, and of those who had their
// name before, nothing.
func TestAFileTellsWhatTheLogHasOfOneself(t *testing.T) {
	s, p := newServer(t)
	since := time.Unix(1000, 0)
	for i, e := range []audit.Entry{
		{Action: audit.Login, Actor: "alice", Address: "192.0.2.1"},
		{Action: audit.Login, Actor: "alice", Address: "192.0.2.2"},
		{Action: audit.LoginFailed, Target: "alice", Address: "192.0.2.3"},
		{Action: audit.Role, Actor: "bob", Target: "alice", Room: "general", Address: "192.0.2.4", Detail: "muted"},
		{Action: audit.PersonRead, Actor: "root", Target: "alice", Address: "192.0.2.5"},
		{Action: audit.Login, Actor: "bob", Address: "192.0.2.6"},
	} {
		p.lines = append(p.lines, audit.Line{ID: "1-0", At: since.Add(time.Duration(i-1) * time.Second), Entry: e})
	}
	var got []lineData
	err := s.eachLine(t.Context(), account.Account{Name: "alice", Since: since}, func(line any) error {
		got = append(got, line.(lineData))
		return nil
	})
	slices.Reverse(got)
	if err != nil || len(got) != 3 || got[0].Address != "192.0.2.2" || !got[0].Own || got[1].Action != audit.LoginFailed || got[1].Address != "" || got[2].Detail != "muted" || got[2].Room != "general" || got[2].Own {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAFileIsForWhoHasThePassword(t *testing.T) {
	s, p := newServer(t)
	for name, want := range map[string]int{"wrong": 401, "guest": 403, "nobody": 401} {
		p.guest, p.err = name == "guest", nil
		if name == "nobody" {
			p.err = chat.ErrUnavailable
			want = 503
		}
		w := do(s, "POST", "/account/data")
		if w.Code != want || strings.Contains(w.Header().Get("Content-Type"), "json") || len(s.files) != 0 {
			t.Errorf("%s: %d %v, %d under way", name, w.Code, w.Header(), len(s.files))
		}
	}
}
