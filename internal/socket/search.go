package socket

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"chatd/internal/chat"
)

const (
	// One search request looks at searchPages pages of a room, from the newest back,
	// and brings at most maxHits, pageBytes in all: a client that wants more goes on
	// where it ended. It counts for searchCost requests, and for what was read.
	searchPages = 5
	maxHits     = 50
	searchCost  = 10
)

// search looks for what was said in a room, in the words that it has now.
func (c *conn) search(ctx context.Context, req chat.Request) error {
	name, err := c.feedRoom(req)
	if err != nil {
		return err
	}
	if !c.isHere(name) {
		return &chat.Error{Code: chat.CodeForbidden, Message: "Only a room that one is in can be searched."}
	}
	if _, err := c.srv.Directory.Check(ctx, c.who, name); err != nil {
		return err // also where this connection was not told yet
	}
	cursor, err := chat.ParseEventID("before", req.Before)
	if err != nil {
		return err
	}
	if err := chat.CheckQuery(req.Text); err != nil {
		return err
	}
	if _, err := time.Parse(time.RFC3339, req.Until); req.Until != "" && err != nil {
		return chat.BadRequest("until is not a time")
	}
	done, err := c.readsMuch(ctx)
	if err != nil {
		return err
	}
	defer done()
	hits, next, looked, err := c.srv.search(ctx, name, newQuery(req), cursor)
	c.cost(searchCost + looked/bytesPerAsk)
	if err != nil {
		return err
	}
	c.out.Push(chat.Encode(chat.Hits{Answer: chat.OK(*req.ID), Room: name, Events: chat.Raw(hits), Next: next}))
	return nil
}

// search returns messages, and edits of messages, that fit, newest first, and where to
// go on; next is "" when the room has no more. looked is how many bytes were read.
func (s *Server) search(ctx context.Context, name chat.Room, q query, before chat.EventID) (hits []chat.Event, next chat.EventID, looked int, err error) {
	var found []chat.Event
	targets := map[chat.EventID]chat.EventID{} // of edits
	bytes, full := 0, false
	for range searchPages {
		var page []chat.Event
		if before == "" {
			page, err = s.Feed.Newest(ctx, name, "", chat.MaxHistory)
		} else {
			page, err = s.Feed.Before(ctx, name, before, chat.MaxHistory)
		}
		if errors.Is(err, chat.ErrLost) {
			err, page = nil, nil // what stood there is not kept any more, nor what was before
		}
		if err != nil {
			return nil, "", looked, err
		}
		looked += bytesOf(page)
		for i := len(page) - 1; i >= 0 && !full; i-- {
			target, fits := q.fits(page[i].Data)
			if !fits {
				continue
			}
			found, targets[page[i].ID] = append(found, page[i]), target
			bytes += len(page[i].Data)
			next = page[i].ID
			full = len(found) == maxHits || bytes > pageBytes
		}
		if full {
			break
		}
		if len(page) < chat.MaxHistory || page[0].Prev == "" {
			next = ""
			break
		}
		before = page[0].ID
		next = before
	}
	hits, err = s.current(ctx, name, found, targets)
	return hits, next, looked, err
}

// current leaves out what was edited since.
func (s *Server) current(ctx context.Context, name chat.Room, found []chat.Event, targets map[chat.EventID]chat.EventID) ([]chat.Event, error) {
	ids := make([]chat.EventID, len(found))
	for i, ev := range found {
		if ids[i] = targets[ev.ID]; ids[i] == "" {
			ids[i] = ev.ID
		}
	}
	edited, err := s.Feed.LastEdits(ctx, name, ids)
	if err != nil {
		return nil, err
	}
	var hits []chat.Event
	for i, ev := range found {
		if last := edited[ids[i]]; last == "" || last == ev.ID {
			hits = append(hits, ev)
		}
	}
	return hits, nil
}

// A query is what a text has to have to be found: all words, whatever their case.
type query struct {
	words []string
	from  string
	until string
}

func newQuery(req chat.Request) query {
	q := query{words: strings.Fields(strings.ToLower(req.Text)), from: req.User}
	if at, err := time.Parse(time.RFC3339, req.Until); err == nil {
		q.until = at.UTC().Format("2006-01-02T15:04:05.000Z") // as events have it, which sorts by time
	}
	return q
}

// fits reports whether an event is a message that fits, or an edit of target that does.
func (q query) fits(data []byte) (target chat.EventID, fits bool) {
	var ev struct {
		Type   string       `json:"type"`
		From   string       `json:"from"`
		At     string       `json:"at"`
		Text   string       `json:"text"`
		Target chat.EventID `json:"target"`
	}
	if json.Unmarshal(data, &ev) != nil || ev.Type != chat.Message && ev.Type != chat.Edited {
		return "", false
	}
	if q.from != "" && ev.From != q.from || q.until != "" && ev.At >= q.until {
		return "", false
	}
	text := strings.ToLower(ev.Text)
	for _, word := range q.words {
		if !strings.Contains(text, word) {
			return "", false
		}
	}
	return ev.Target, true
}
