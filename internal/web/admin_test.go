package web

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"chatd/internal/audit"
	"chatd/internal/session"
)

func TestTheAuditLogIsForAdministrators(t *testing.T) {
	s, p := newServer(t)
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	for _, path := range []string{"/admin/audit", "/admin/audit.csv", "/admin/audit?before=1-0"} {
		if w := get(path); w.Code != http.StatusNotFound {
			t.Errorf("%s is %d for others", path, w.Code)
		}
		p.err = session.ErrNone
		if w := get(path); w.Code != http.StatusNotFound {
			t.Errorf("%s is %d for nobody", path, w.Code)
		}
		p.err = nil
		p.admin = true
		if w := get(path); w.Code != http.StatusOK {
			t.Errorf("%s is %d for an administrator", path, w.Code)
		}
		p.admin = false
	}
}

func TestTheTableCalculatesNothing(t *testing.T) {
	s, p := newServer(t)
	p.admin = true
	texts := []string{`=cmd|' /C calc'!A0`, "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "＝1", `"quoted", and more`, `x;=cmd|' /C calc'!A0;y`, ` "; "=1+1`, "two\nlines", "plain"}
	for _, text := range texts {
		if err := (ledger{p}).Write(t.Context(), audit.Entry{Action: audit.LoginFailed, Target: text, Detail: text}); err != nil {
			t.Fatal(err)
		}
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/admin/audit.csv", nil))
	if kind := w.Header().Get("Content-Type"); kind != "text/csv; charset=utf-8" || !strings.HasPrefix(w.Header().Get("Content-Disposition"), "attachment") {
		t.Errorf("it comes as %s", kind)
	}
	rows, err := csv.NewReader(w.Body).ReadAll()
	if err != nil || len(rows) != len(texts)+1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for i, row := range rows[1:] {
		for _, text := range row {
			for cell := range strings.SplitSeq(text, ";") {
				if cell = strings.TrimLeft(cell, ` "`); cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r\n") {
					t.Errorf("row %d has %q", i, cell)
				}
			}
		}
	}
	if got := rows[len(rows)-1][4]; got != "'"+texts[0] { // the oldest comes last
		t.Errorf("the text is %q", got)
	}
	if last := p.lines[len(p.lines)-1]; last.Action != audit.LogRead || last.Actor != "alice" {
		t.Errorf("that it was taken is told by %+v", last)
	}
}

func TestTheAuditLogHasPages(t *testing.T) {
	s, p := newServer(t)
	p.admin = true
	for i := range 250 {
		_ = (ledger{p}).Write(t.Context(), audit.Entry{Action: audit.Login, Actor: fmt.Sprint("u", i)})
	}
	seen, path := 0, "/admin/audit"
	for range 5 {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		seen += strings.Count(w.Body.String(), "[u")
		_, older, more := strings.Cut(w.Body.String(), "older=")
		if !more {
			break
		}
		path = "/admin/audit?before=" + strings.TrimSpace(older)
	}
	if seen != 250 {
		t.Errorf("%d of 250 lines are shown", seen)
	}
}
