package web

import (
	"encoding/csv"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"chatd/internal/audit"
)

const (
	// auditPage is how many lines of the audit log a page shows, auditAtOnce how many
	// are read at a time for a table, and auditMost how many a table has: for more,
	// one names the last line of the former one.
	auditPage   = 100
	auditAtOnce = 1000
	auditMost   = 10_000
)

// administrator says who asks. To anybody but an administrator there is nothing here.
func (s *Server) administrator(c echo.Context) (name string, err error) {
	ses, err := s.Sessions.Read(c.Request())
	if err != nil {
		if statusOf(err).status == http.StatusUnauthorized {
			return "", echo.ErrNotFound
		}
		return "", err
	}
	who := s.Sockets.Actor(ses, c.RealIP())
	if !who.Admin {
		return "", echo.ErrNotFound
	}
	return who.Name, nil
}

// auditLog shows the audit log, newest first.
func (s *Server) auditLog(c echo.Context) error {
	if _, err := s.administrator(c); err != nil {
		return err
	}
	before := c.QueryParam("before")
	lines, err := s.Audit.Read(c.Request().Context(), before, auditPage+1)
	if err != nil {
		return err
	}
	older := ""
	if len(lines) > auditPage {
		lines = lines[:auditPage]
		older = lines[auditPage-1].ID
	}
	return s.pages.render(c, http.StatusOK, "audit.html", map[string]any{
		"Lines": lines, "Older": older, "Before": before, "Instance": s.Instance,
	})
}

// auditTable is the same as a table for other programs.
func (s *Server) auditTable(c echo.Context) error {
	ctx := c.Request().Context()
	name, err := s.administrator(c)
	if err != nil {
		return err
	}
	before := c.QueryParam("before")
	var lines []audit.Line
	for len(lines) < auditMost {
		some, err := s.Audit.Read(ctx, before, auditAtOnce)
		if err != nil {
			return err
		}
		if lines = append(lines, some...); len(some) < auditAtOnce {
			break
		}
		before = lines[len(lines)-1].ID
	}
	// What is taken out of here is told.
	if err := s.Audit.Write(ctx, audit.Entry{Action: audit.LogRead, Actor: name, Address: c.RealIP()}); err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderContentType, "text/csv; charset=utf-8")
	c.Response().Header().Set(echo.HeaderContentDisposition, `attachment; filename="audit.csv"`)
	c.Response().WriteHeader(http.StatusOK)
	w := csv.NewWriter(c.Response())
	w.UseCRLF = true
	_ = w.Write([]string{"line", "time", "action", "actor", "target", "room", "address", "request", "detail"}) // Error says it all
	for _, l := range lines {
		row := []string{l.ID, l.At.Format(time.RFC3339Nano), l.Action, l.Actor, l.Target, string(l.Room), l.Address, l.Request, l.Detail}
		for i := range row {
			row[i] = cell(row[i])
		}
		_ = w.Write(row)
	}
	w.Flush()
	return w.Error()
}

// cell returns a text as programs for tables show it and do not calculate it: some of it
// was typed by strangers. Where a semicolon is taken for the border between cells, as in
// countries whose numbers have commas, what is behind one is a cell too.
func cell(text string) string {
	var b strings.Builder
	begins := true
	for _, r := range text {
		if begins && strings.ContainsRune("=+-@\t\r\n＝＋－＠", r) {
			b.WriteByte('\'')
		}
		b.WriteRune(r)
		begins = r == ';' || begins && (r == ' ' || r == '"')
	}
	return b.String()
}
