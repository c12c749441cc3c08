package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"chatd/internal/account"
	"chatd/internal/audit"
	"chatd/internal/chat"
)

const (
	// dataAtOnce is how many files of people's data are made here at a time.
	dataAtOnce = 2
	// dataWithin and dataBytes bound what is read for one, and chunkWithin how long its
	// reader may take for a part.
	dataWithin  = 2 * time.Minute
	dataBytes   = 256 << 20
	chunkWithin = 20 * time.Second
	// dataLines is how many lines of the audit log are looked at.
	dataLines = 20_000
)

var errManyFiles = &chat.Error{Code: chat.CodeTooFast, Message: "Others download their data right now. Try again in a minute.", RetryAfter: time.Minute}

// takeData answers with all that there is of a person, as a file. What comes first
// fails as a page; what fails later leaves "complete" false, for the file has begun.
func (s *Server) takeData(c echo.Context) error {
	before, cancel := context.WithTimeout(c.Request().Context(), requestTimeout)
	defer cancel()
	after := c.Request()
	c.SetRequest(after.WithContext(before))
	known, f, err := s.beginData(c)
	if err != nil {
		return s.showAccount(c, "", err)
	}
	defer func() { <-s.files }()
	ctx, cancel := context.WithTimeout(after.Context(), dataWithin)
	defer cancel()

	h := c.Response().Header()
	h.Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	h.Set(echo.HeaderContentDisposition, `attachment; filename="chatd.json"`)
	c.Response().WriteHeader(http.StatusOK)
	w := &fileWriter{to: c.Response(), control: http.NewResponseController(c.Response())}
	w.say(`{"at":`)
	w.object(time.Now().UTC())
	w.say(`,"account":`)
	w.object(f.Account)
	w.say(`,"logins":`)
	w.object(f.Logins)
	w.say(`,"rooms":`)
	w.object(f.Rooms)
	w.say(`,"log":[`)
	err = s.eachLine(ctx, known, w.item)
	w.say(`],"messages":[`)
	w.begun = false
	if err == nil {
		err = s.eachOwn(ctx, chat.Actor{Name: known.Name, Address: c.RealIP()}, f.Rooms, w)
	}
	w.say(`],"complete":`)
	w.object(err == nil)
	w.say("}\n")
	if err != nil {
		s.Log.Info("a person's data are not complete", "err", err)
	}
	return nil
}

// A personFile is what stands at the beginning of the file.
type personFile struct {
	Account struct {
		Name     string    `json:"name"`
		Since    time.Time `json:"since"`
		Password bool      `json:"password"` // of which only a hash is kept
		Issuer   string    `json:"issuer,omitempty"`
		Subject  string    `json:"subject,omitempty"`
	}
	Logins []loginData
	Rooms  []chat.RoomInfo
}

type loginData struct {
	Since   time.Time `json:"since"`
	Used    time.Time `json:"used"`
	Ends    time.Time `json:"ends"`
	Address string    `json:"address"`
	Agent   string    `json:"agent"`
}

// beginData checks that it is the person who asks, and reads what is small. It has
// taken one of the places of those who download; the caller gives it back.
func (s *Server) beginData(c echo.Context) (known account.Account, f personFile, err error) {
	ctx := c.Request().Context()
	if known, err = s.sure(c, c.FormValue("password")); err != nil {
		return known, f, err
	}
	select {
	case s.files <- struct{}{}:
	default:
		return known, f, errManyFiles
	}
	defer func() {
		if err != nil {
			<-s.files
		}
	}()
	if err := s.Accounts.TakeData(ctx, s.from(c), known.Name); err != nil {
		return known, f, err
	}
	logins, err := s.Sessions.List(ctx, known.Name)
	if err != nil {
		return known, f, err
	}
	f.Logins = []loginData{}
	for _, l := range logins {
		f.Logins = append(f.Logins, loginData{l.Since.UTC(), l.Used.UTC(), l.Ends.UTC(), l.Address, l.Agent})
	}
	f.Account.Name, f.Account.Since = known.Name, known.Since.UTC()
	f.Account.Issuer, f.Account.Subject = known.Identity.Issuer, known.Identity.Subject
	f.Account.Password = known.Identity == account.Identity{}
	f.Rooms, err = s.Directory.List(ctx, chat.Actor{Name: known.Name, Address: c.RealIP()})
	// Rooms of their list first: what is left out, should it be too much, is elsewhere.
	slices.SortStableFunc(f.Rooms, func(a, b chat.RoomInfo) int {
		switch {
		case a.Joined == b.Joined:
			return 0
		case a.Joined:
			return -1
		}
		return 1
	})
	return known, f, err
}

// A lineData is what a person is told of a line of the audit log: of their own deeds all, of
// what was done to them not who did it, and from where.
type lineData struct {
	At      time.Time `json:"at"`
	Action  string    `json:"action"`
	Own     bool      `json:"own"`
	Target  string    `json:"target,omitempty"`
	Room    chat.Room `json:"room,omitempty"`
	Address string    `json:"address,omitempty"`
	Detail  string    `json:"detail,omitempty"`
}

// eachLine tells of the lines of the audit log that are about somebody, newest first,
// since the account is theirs: guests of the name before were others.
func (s *Server) eachLine(ctx context.Context, of account.Account, tell func(any) error) error {
	before := ""
	for range dataLines / auditAtOnce {
		lines, err := s.Audit.Read(ctx, before, auditAtOnce)
		if err != nil {
			return err
		}
		for _, l := range lines {
			line := lineData{At: l.At, Action: l.Action, Room: l.Room, Detail: l.Detail}
			switch {
			case l.At.Before(of.Since):
				return nil
			case l.Actor == of.Name:
				line.Own, line.Target, line.Address = true, l.Target, l.Address
			case l.Target != of.Name, l.Action == audit.PersonRead:
				continue
			}
			if err := tell(line); err != nil {
				return err
			}
		}
		if len(lines) < auditAtOnce {
			return nil
		}
		before = lines[len(lines)-1].ID
	}
	return nil
}

var errMuch = errors.New("it is too much for one file")

// eachOwn tells of what somebody said in these rooms, as far as they are kept and may be
// read, newest first.
func (s *Server) eachOwn(ctx context.Context, who chat.Actor, rooms []chat.RoomInfo, w *fileWriter) error {
	looked := 0
	for _, room := range rooms {
		for before := chat.EventID(""); ; {
			page, bytes, err := s.Sockets.History(ctx, who, room.Room, string(before), chat.MaxHistory)
			var told *chat.Error
			if errors.Is(err, chat.ErrLost) || errors.As(err, &told) && (told.Code == chat.CodeForbidden || told.Code == chat.CodeBanned) {
				break // it is not kept any more, or they were put out meanwhile
			}
			if err != nil {
				return err
			}
			if looked += bytes; looked > dataBytes {
				return errMuch
			}
			var ev struct {
				Event chat.EventID `json:"event"`
				Prev  chat.EventID `json:"prev"`
				From  string       `json:"from"`
			}
			for _, data := range slices.Backward(page) {
				ev.From = ""
				if err := json.Unmarshal(data, &ev); err != nil {
					return err
				}
				if ev.From != who.Name {
					continue
				}
				if err := w.item(data); err != nil {
					return err
				}
			}
			if len(page) == 0 || ev.Prev == "" {
				break
			}
			before = ev.Event
		}
	}
	return nil
}

// A fileWriter writes a file to somebody who reads it, at least slowly. After an error it
// writes no more.
type fileWriter struct {
	to      http.ResponseWriter
	control *http.ResponseController
	begun   bool // a list has an item
	err     error
}

func (w *fileWriter) say(text string) { w.write([]byte(text)) }

func (w *fileWriter) write(data []byte) {
	if w.err == nil {
		_ = w.control.SetWriteDeadline(time.Now().Add(chunkWithin)) // a recorder of tests has none
		_, w.err = w.to.Write(data)
	}
}

func (w *fileWriter) object(v any) {
	data, err := json.Marshal(v)
	if err != nil && w.err == nil {
		w.err = err
	}
	w.write(data)
}

// item writes one more of a list.
func (w *fileWriter) item(v any) error {
	if w.begun {
		w.say(",\n")
	}
	w.begun = true
	w.object(v)
	return w.err
}
