package socket

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"chatd/internal/audit"
	"chatd/internal/chat"
	"chatd/internal/feed"
	"chatd/internal/room"
)

// roomCost is how many requests the making of a room counts for.
const roomCost = 50

// maxStalled bounds the rooms in which a connection has a message that is to be
// repeated.
const maxStalled = 500

// retryAfter is what a client is told to wait when Redis does not answer.
const retryAfter = time.Second

// handlers are the requests of the contract. Each pushes its answer, or returns
// the error that is the answer.
var handlers = map[string]func(*conn, context.Context, chat.Request) error{
	"join":    (*conn).join,
	"leave":   (*conn).leave,
	"send":    (*conn).say,
	"edit":    (*conn).edit,
	"retract": (*conn).retract,
	"react":   (*conn).react,
	"history": (*conn).history,
	"rooms":   (*conn).rooms,
	"read":    (*conn).markRead,
	"typing":  (*conn).typing,
	"find":    (*conn).find,
	"search":  (*conn).search,
	"topic":   (*conn).topic,
	"mute":    (*conn).mute,
	"away":    (*conn).setAway,
	"back":    (*conn).setAway,
	"invite":  (*conn).invite,
	"expel":   (*conn).expel,
	"role":    (*conn).role,
	"remove":  (*conn).remove,
	"members": (*conn).members,
}

// handle answers one request, exactly once.
func (c *conn) handle(ctx context.Context, req chat.Request) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	kind := req.Type
	do, ok := handlers[kind]
	if !ok {
		kind = "unknown" // a stranger's word is no label
		do = func(*conn, context.Context, chat.Request) error {
			return &chat.Error{Code: chat.CodeUnknownType, Message: "There is no request of this type."}
		}
	}
	err := c.tooFast(c.pace.asks)
	if err == nil {
		err = c.do(do, ctx, req)
	}
	if err == nil {
		requests.WithLabelValues(kind, "ok").Inc()
		return
	}
	e := c.forPeople(err)
	c.noteRefusal(ctx, req, kind, e)
	requests.WithLabelValues(kind, e.Code).Inc()
	if e.RetryAfter > 0 {
		c.stall(req)
	}
	if req.ID != nil {
		c.out.Push(chat.Encode(chat.Refuse(*req.ID, e)))
	}
}

// noteRefusal writes into the audit log that somebody tried what they may not, now and
// then: a flood of it must not wash out of the log what it is there for.
func (c *conn) noteRefusal(ctx context.Context, req chat.Request, kind string, e *chat.Error) {
	switch e.Code {
	case chat.CodeForbidden, chat.CodeMuted, chat.CodeBanned:
	default:
		return
	}
	if !c.pace.notes.Allow() || c.near != nil && !c.near.notes.Allow() {
		return
	}
	err := c.srv.Audit.Write(ctx, audit.Entry{
		Action: audit.Refused, Actor: c.who.Name, Target: req.User, Room: chat.Room(req.Room), Address: c.who.Address, Detail: kind + ": " + e.Code,
	})
	if err != nil {
		c.log().Warn("refusal not noted", "err", err) // and nothing was done
	}
}

// do keeps a fault in one request from ending the instance.
func (c *conn) do(f func(*conn, context.Context, chat.Request) error, ctx context.Context, req chat.Request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f(c, ctx, req)
}

// forPeople returns err as a client may see it, and logs what it may not.
func (c *conn) forPeople(err error) *chat.Error {
	var e *chat.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, chat.ErrUnavailable), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		c.log().Warn("request failed, its client tries again", "err", err)
		return &chat.Error{Code: chat.CodeUnavailable, Message: "Messages cannot be stored right now.", RetryAfter: retryAfter}
	case errors.Is(err, chat.ErrLost):
		return &chat.Error{Code: chat.CodeNotFound, Message: "This place of the conversation is not kept any more."}
	default:
		id := rand.Text()[:8]
		c.log().Error("request failed", "err", err, "error_id", id)
		return &chat.Error{Code: chat.CodeInternal, Message: "Something went wrong here (" + id + ").", RetryAfter: retryAfter}
	}
}

// room returns the room that a request names.
func (c *conn) room(req chat.Request) (chat.Room, error) {
	return chat.ParseRoom(c.ses.User, req.Room)
}

func (c *conn) feedRoom(req chat.Request) (chat.Room, error) {
	name, err := c.room(req)
	if err == nil && name == chat.Universe {
		err = errUniverse
	}
	return name, err
}

var errUniverse = &chat.Error{Code: chat.CodeForbidden, Message: "universe only shows what is said in the public rooms."}

func (c *conn) join(ctx context.Context, req chat.Request) error {
	name, err := c.room(req)
	if err != nil {
		return err
	}
	if name == chat.Universe {
		return c.joinUniverse(ctx, req)
	}
	after, err := chat.ParseEventID("after", req.After)
	if err != nil {
		return err
	}
	doubts := c.doubts.Load()
	role, err := c.list(ctx, name)
	if err != nil {
		return err
	}
	c.setMuted(name, role == chat.Muted)
	if role == chat.Plain {
		role = ""
	}
	delete(c.stalled, name)
	err = c.srv.Hub.Join(ctx, c.out, name, after, func(r room.Replay) []byte {
		// The roster is taken when this connection hears the room already: whoever
		// comes or goes from here on follows it.
		roster := c.enter(ctx, name)
		c.charge(r)
		return chat.Encode(chat.Joined{
			Answer: chat.OK(*req.ID), Room: name, Resumed: r.Resumed, Events: chat.Raw(r.Events), Head: r.Head, Role: role, Roster: roster,
		})
	})
	if err == nil && c.doubts.Load() != doubts {
		c.check(ctx, name) // expelled before there was anything to put this connection out of
	}
	return err
}

// bytesPerAsk is how much of a room's history counts for one request more.
const bytesPerAsk = 64 << 10

// cost counts this many more requests of this person.
func (c *conn) cost(requests int) {
	asks := c.pace.asks
	asks.ReserveN(time.Now(), min(requests, asks.Burst())) // of more it would reserve nothing
}

// readsMuch waits for the turn of a look through much, and fails if by then this person is
// too fast. What it costs is counted before done is called.
func (c *conn) readsMuch(ctx context.Context) (done func(), err error) {
	select {
	case c.pace.reads <- struct{}{}:
	case <-ctx.Done():
		return nil, errBusy
	}
	if c.pace.asks.Tokens() < 0 {
		err = c.tooFast(c.pace.asks)
	}
	var looked func()
	if err == nil {
		looked, err = c.srv.look(ctx)
	}
	if err != nil {
		<-c.pace.reads
		return nil, err
	}
	return func() { looked(); <-c.pace.reads }, nil
}

// looksAtOnce is how many looks through much this instance has under way. Each may read
// several megabytes: those of a few hundred people at once would take all memory, here
// and in Redis.
const looksAtOnce = 16

var errBusy = &chat.Error{Code: chat.CodeTooFast, Message: "Many look through much right now. Try again in a moment.", RetryAfter: retryAfter}

// look waits for the turn of a look through much.
func (s *Server) look(ctx context.Context) (done func(), err error) {
	select {
	case s.looks <- struct{}{}:
		return func() { <-s.looks }, nil
	case <-ctx.Done():
		return nil, errBusy
	}
}

// charge counts what a join brings, and what was read in vain for it, among this
// person's requests.
func (c *conn) charge(replays ...room.Replay) {
	bytes := 0
	for _, r := range replays {
		bytes += bytesOf(slices.Concat(r.Events, r.Rest)) + int(r.Looked)
	}
	c.cost(bytes/bytesPerAsk + len(replays) - 1)
}

// list puts the room on the person's list and tells those whom it concerns.
func (c *conn) list(ctx context.Context, name chat.Room) (role string, err error) {
	joined, err := c.srv.Directory.Join(ctx, c.who, name)
	if err != nil {
		return "", err
	}
	if joined.Made {
		c.pace.asks.ReserveN(time.Now(), roomCost) // everybody hears of it
	}
	if joined.Listed {
		err = c.srv.notify(ctx, notice{For: c.ses.User, Room: name})
	}
	return joined.Role, err
}

// enter counts the connection into the room's presence, once, and returns who is
// here. Chat goes on without presence, so an error only costs the names.
func (c *conn) enter(ctx context.Context, name chat.Room) (roster chat.Roster) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	if c.here[name] {
		roster, err = c.srv.Presence.Extend(ctx, name, c.ses.User)
	} else {
		c.here[name] = true
		roster, err = c.srv.Presence.Enter(ctx, name, c.ses.User, c.away)
	}
	if err != nil {
		c.log().Warn("presence not known", "room", name, "err", err)
	}
	return roster
}

// setAway says whether the person is away from this connection, in all its rooms.
func (c *conn) setAway(ctx context.Context, req chat.Request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if away := req.Type == "away"; away != c.away {
		c.away = away
		c.pace.asks.ReserveN(time.Now(), len(c.here)) // each room costs as a join does
		var err error
		for name := range c.here {
			// All are counted, whatever Redis says: the next extension tells it.
			err = errors.Join(err, c.srv.Presence.Away(ctx, name, c.ses.User, away))
		}
		if err != nil {
			c.log().Warn("presence not told, it is with the next extension", "err", err)
		}
	}
	c.out.Push(chat.Encode(chat.Done{Answer: chat.OK(*req.ID)}))
	return nil
}

func (c *conn) joinUniverse(ctx context.Context, req chat.Request) error {
	positions := make(map[chat.Room]chat.EventID, len(req.Positions))
	for name, after := range req.Positions {
		id, err := chat.ParseEventID("positions", after)
		if err != nil {
			return err
		}
		positions[chat.Room(name)] = id
	}
	open := func(ctx context.Context) ([]chat.Room, error) { return c.srv.Directory.Open(ctx, c.who) }
	may := func(ctx context.Context, name chat.Room) (bool, error) {
		_, err := c.srv.Directory.Check(ctx, c.who, name)
		var refused *chat.Error
		if errors.As(err, &refused) {
			return false, nil
		}
		return err == nil, err
	}
	return c.srv.Hub.JoinUniverse(ctx, c.out, open, may, positions, func(replays []room.Replay) []byte {
		ok := chat.Joined{Answer: chat.OK(*req.ID), Room: chat.Universe, Heads: map[chat.Room]chat.EventID{}}
		var events []chat.Event
		resumed := 0
		c.charge(replays...)
		for _, r := range replays {
			events = append(events, r.Events...)
			ok.Heads[r.Room] = r.Head
			if r.Resumed {
				resumed++
			} else {
				ok.Fresh = append(ok.Fresh, r.Room)
			}
		}
		ok.Resumed = resumed == len(positions)
		ok.Events = chat.Raw(events)
		return chat.Encode(ok)
	})
}

func (c *conn) leave(ctx context.Context, req chat.Request) error {
	name, err := c.room(req)
	if err != nil {
		return err
	}
	if name == chat.Universe {
		c.srv.Hub.LeaveUniverse(c.out)
	} else {
		if err := c.srv.Directory.Leave(ctx, c.ses.User, name); err != nil {
			return err
		}
		c.cost(asksPerSend) // everybody there hears of it at once, as of a message
		c.doubts.Add(1)
		c.quit(ctx, name, false)
		news := notice{For: c.ses.User}
		if name.Private() {
			news.Out, news.Room = true, name
		}
		if err := c.srv.notify(ctx, news); err != nil {
			c.log().Warn("leaving not told to the person's other sockets", "err", err)
		}
	}
	c.out.Push(chat.Encode(chat.Done{Answer: chat.OK(*req.ID), Room: name}))
	return nil
}

// quit ends this connection's reading of a room, and its presence there; of what it
// reads as part of universe only if it is barred.
func (c *conn) quit(ctx context.Context, name chat.Room, barred bool) {
	if barred {
		c.srv.Hub.Bar(c.out, name)
	} else {
		c.srv.Hub.Leave(c.out, name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.here[name] {
		delete(c.here, name)
		delete(c.muted, name)
		c.srv.Presence.Leave(ctx, name, c.ses.User, c.away, true)
	}
}

// check puts the connection out of a room in which its person may not be any more. Where
// that is not known it is put out too, and joins again: the list would still have the
// room, and so would not tell its client that it hears nothing of it. It returns the
// person's role, "" where that is not known, and may be called from any goroutine.
func (c *conn) check(ctx context.Context, name chat.Room) (role string) {
	c.doubts.Add(1)
	var refused *chat.Error
	role, err := c.srv.Directory.Check(ctx, c.who, name)
	switch {
	case errors.As(err, &refused):
		c.putOut(ctx, name, true)
		if refused.Code == chat.CodeBanned {
			return chat.Banned
		}
	case err != nil:
		c.startAfresh(ctx, name)
	default:
		c.setMuted(name, role == chat.Muted)
	}
	return role
}

// startAfresh puts the connection out of a room, if it reads it, and has it join again.
func (c *conn) startAfresh(ctx context.Context, name chat.Room) {
	if c.srv.Hub.Reads(c.out, name) {
		c.quit(ctx, name, true)
		c.out.Push(chat.Encode(chat.Notice{Type: "reset", Room: name}))
	}
}

// putOut is quit for somebody who did not ask for it. It may be called from any
// goroutine.
func (c *conn) putOut(ctx context.Context, name chat.Room, barred bool) {
	c.quit(ctx, name, barred)
	c.out.Push(chat.Encode(chat.Notice{Type: "relist"}))
}

func (c *conn) setMuted(name chat.Room, muted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if muted {
		c.muted[name] = true
	} else {
		delete(c.muted, name)
	}
}

// speaks reports whether the person is in the room and, as far as is known, not muted.
func (c *conn) speaks(name chat.Room) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.here[name] && !c.muted[name]
}

func (c *conn) isHere(name chat.Room) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.here[name]
}

// leaveAll ends the presence of a connection that is closed.
func (c *conn) leaveAll() {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.here {
		c.srv.Presence.Leave(ctx, name, c.ses.User, c.away, false)
	}
	clear(c.here)
}

func (c *conn) say(ctx context.Context, req chat.Request) error {
	if err := chat.CheckText(req.Text, c.srv.TextMax); err != nil {
		return err
	}
	reply, err := chat.ParseEventID("reply", req.Reply)
	if err != nil {
		return err
	}
	return c.append(ctx, req, feed.Draft{Kind: chat.Message, Text: req.Text, Reply: reply})
}

func (c *conn) edit(ctx context.Context, req chat.Request) error {
	if err := chat.CheckText(req.Text, c.srv.TextMax); err != nil {
		return err
	}
	return c.change(ctx, req, feed.Draft{Kind: chat.Edited, Text: req.Text})
}

func (c *conn) retract(ctx context.Context, req chat.Request) error {
	return c.change(ctx, req, feed.Draft{Kind: chat.Retracted})
}

func (c *conn) react(ctx context.Context, req chat.Request) error {
	if err := chat.CheckEmoji(req.Emoji); err != nil {
		return err
	}
	if req.On == nil {
		return chat.BadRequest("on is missing")
	}
	return c.change(ctx, req, feed.Draft{Kind: chat.Reacted, Emoji: req.Emoji, On: req.On})
}

func (c *conn) change(ctx context.Context, req chat.Request, d feed.Draft) error {
	target, err := chat.ParseEventID("target", req.Target)
	if err != nil {
		return err
	}
	if target == "" {
		return chat.BadRequest("target is missing")
	}
	d.Target = target
	return c.append(ctx, req, d)
}

// stall notes that a message failed for now, for whatever reason: this connection's
// later messages to the room fail too until the same key comes again (or a join starts
// afresh), as a client that does not wait for answers must not be overtaken by itself.
func (c *conn) stall(req chat.Request) {
	switch req.Type {
	case "send", "edit", "retract", "react":
	default:
		return
	}
	name, err := c.feedRoom(req)
	if _, stalled := c.stalled[name]; err != nil || stalled || chat.CheckKey(req.Key) != nil {
		return
	}
	c.stalled[name] = req.Key
	if len(c.stalled) > maxStalled {
		c.hasty = maxHasty + 1
	}
}

// append makes the draft an event, unless another one has to come first.
func (c *conn) append(ctx context.Context, req chat.Request, d feed.Draft) (err error) {
	if err := chat.CheckKey(req.Key); err != nil {
		return err
	}
	if d.Room, err = c.feedRoom(req); err != nil {
		return err
	}
	d.From, d.Key, d.Admin = c.who.Name, req.Key, c.who.Admin
	if first, ok := c.stalled[d.Room]; ok && first != d.Key {
		return &chat.Error{Code: chat.CodeUnavailable, Message: "An earlier message has to be repeated first.", RetryAfter: retryAfter}
	}
	r, err := c.appendNow(ctx, d)
	var final *chat.Error
	if err == nil || errors.As(err, &final) && final.RetryAfter == 0 {
		delete(c.stalled, d.Room)
	}
	if err != nil {
		return err
	}
	c.out.Push(chat.Encode(chat.Kept{
		Answer: chat.OK(*req.ID), Room: d.Room, Event: r.Event, Seq: r.Event.Seq(), Duplicate: r.Duplicate,
	}))
	return nil
}

func (c *conn) appendNow(ctx context.Context, d feed.Draft) (feed.Receipt, error) {
	if err := c.tooFast(c.pace.sends); err != nil {
		return feed.Receipt{}, err
	}
	if err := c.listForAll(ctx, d.Room); err != nil {
		return feed.Receipt{}, err
	}
	r, err := c.srv.Feed.Append(ctx, d)
	var unnoted *feed.Unnoted
	if !errors.As(err, &unnoted) {
		return r, err
	}
	if err := c.tooManyDeeds(); err != nil {
		return feed.Receipt{}, err
	}
	err = c.srv.Audit.Write(ctx, audit.Entry{
		Action: audit.Retracted, Actor: c.who.Name, Target: unnoted.Author, Room: d.Room, Address: c.who.Address, Detail: string(d.Target),
	})
	if err != nil {
		return feed.Receipt{}, err
	}
	d.Noted = true
	return c.srv.Feed.Append(ctx, d)
}

// tooFast returns an error if this person is.
func (c *conn) tooFast(limit *rate.Limiter) error {
	if limit.Allow() {
		if limit == c.pace.sends {
			c.hasty = 0
		}
		return nil
	}
	c.hasty++
	r := limit.Reserve()
	wait := r.Delay()
	r.Cancel()
	return &chat.Error{Code: chat.CodeTooFast, Message: "Too many messages at once: slow down a little.", RetryAfter: max(wait, 50*time.Millisecond)}
}

// listForAll sees to it that what is said in the room will be found: by both
// people of a direct conversation, and for a public room by everyone. It tells
// before it lists, and lists before the append, so that an instance that dies in
// between leaves nothing untold: the client repeats, and all of it is repeated.
func (c *conn) listForAll(ctx context.Context, name chat.Room) error {
	a, b, direct := name.Direct()
	if !direct {
		if name.Private() || c.isHere(name) {
			return nil // it was listed when joined, or is not for this person, which the append finds
		}
		return c.listOnce(ctx, name)
	}
	without, err := c.srv.Directory.Without(ctx, name, slices.Compact([]string{a, b})...)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(without, func(user string) bool { return user != c.who.Name }); i >= 0 {
		if err := c.srv.Directory.Takes(ctx, without[i]); err != nil {
			return err
		}
		if err := c.srv.Directory.Begin(ctx, c.who.Name); err != nil {
			return err
		}
	}
	for _, user := range without {
		if err := c.srv.notify(ctx, notice{For: user, Room: name}); err != nil {
			return err
		}
		if _, err := c.srv.Directory.Join(ctx, chat.Actor{Name: user}, name); err != nil {
			return err
		}
	}
	return nil
}

// listOnce is list for a room that this connection speaks in and does not read: not for
// each word, but again when the list may have changed.
func (c *conn) listOnce(ctx context.Context, name chat.Room) error {
	doubts := c.doubts.Load()
	if c.listedAt == doubts && c.listed[name] {
		return nil
	}
	if _, err := c.list(ctx, name); err != nil {
		return err
	}
	if c.listed == nil || c.listedAt != doubts {
		c.listed, c.listedAt = map[chat.Room]bool{}, doubts
	}
	c.listed[name] = true
	return nil
}

func (c *conn) history(ctx context.Context, req chat.Request) error {
	name, err := c.feedRoom(req)
	if err != nil {
		return err
	}
	done, err := c.readsMuch(ctx)
	if err != nil {
		return err
	}
	defer done()
	events, looked, err := c.srv.history(ctx, c.who, name, req.Before, req.Limit)
	if err != nil {
		return err
	}
	c.cost(max(looked, pageBytes) / bytesPerAsk)
	c.out.Push(chat.Encode(chat.Page{Answer: chat.OK(*req.ID), Room: name, Events: events}))
	return nil
}

// History returns up to limit events, and up to 256 KiB of them, (1 to chat.MaxHistory; 0 means 50) before
// an event, or the newest if before is "", if who may read the room. looked is how many bytes were read for that,
// which may be more. Errors are *chat.Error, chat.ErrUnavailable, or chat.ErrLost.
func (s *Server) History(ctx context.Context, who chat.Actor, name chat.Room, before string, limit int) (page []json.RawMessage, looked int, err error) {
	done, err := s.look(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer done()
	return s.history(ctx, who, name, before, limit)
}

func (s *Server) history(ctx context.Context, who chat.Actor, name chat.Room, before string, limit int) (page []json.RawMessage, looked int, err error) {
	if name == chat.Universe {
		return nil, 0, errUniverse
	}
	id, err := chat.ParseEventID("before", before)
	if err != nil {
		return nil, 0, err
	}
	if limit == 0 {
		limit = 50
	}
	if limit < 1 || limit > chat.MaxHistory {
		return nil, 0, chat.BadRequest("limit must be 1 to %d", chat.MaxHistory)
	}
	if _, err := s.Directory.Check(ctx, who, name); err != nil {
		return nil, 0, err
	}
	var events []chat.Event
	if id == "" {
		events, err = s.Feed.Newest(ctx, name, "", limit)
	} else {
		events, err = s.Feed.Before(ctx, name, id, limit)
	}
	return chat.Raw(chat.Newest(events, pageBytes)), bytesOf(events), err
}

// goneBytes is about what a room keeps of which of its places are empty. All of it is read
// where a page has one.
const goneBytes = 1 << 20

// bytesOf returns about how many bytes are read of Redis for a page.
func bytesOf(page []chat.Event) (n int) {
	var gone bool
	for _, ev := range page {
		n += len(ev.Data)
		gone = gone || bytes.HasPrefix(ev.Data, []byte(`{"type":"`+chat.Gone+`"`))
	}
	if gone {
		n += goneBytes
	}
	return n
}

// pageBytes bounds a page of history, which is one frame.
const pageBytes = 256 << 10

// roomsPerAsk is how many rooms of a list count for one request.
const roomsPerAsk = 100

func (c *conn) rooms(ctx context.Context, req chat.Request) error {
	rooms, err := c.srv.Directory.List(ctx, c.who)
	if err != nil {
		return err
	}
	c.cost(len(rooms) / roomsPerAsk)
	c.out.Push(chat.Encode(chat.RoomList{Answer: chat.OK(*req.ID), Rooms: rooms}))
	return nil
}

// findCost is how many requests a look through all rooms, and their topics, counts for.
const findCost = 50

func (c *conn) find(ctx context.Context, req chat.Request) error {
	if err := chat.CheckQuery(req.Text); err != nil {
		return err
	}
	done, err := c.readsMuch(ctx)
	if err != nil {
		return err
	}
	defer done()
	c.cost(findCost)
	rooms, more, err := c.srv.Directory.Find(ctx, c.who, req.Text)
	if err != nil {
		return err
	}
	c.out.Push(chat.Encode(chat.Found{Answer: chat.OK(*req.ID), Rooms: rooms, More: more}))
	return nil
}

func (c *conn) topic(ctx context.Context, req chat.Request) error {
	name, err := c.feedRoom(req)
	if err != nil {
		return err
	}
	if err := chat.CheckTopic(req.Text); err != nil {
		return err
	}
	if !name.Public() || !c.isHere(name) {
		return &chat.Error{Code: chat.CodeForbidden, Message: "Only who is in a public room says what it is about."}
	}
	if err := c.deed(); err != nil {
		return err
	}
	if err := c.srv.Directory.SetTopic(ctx, c.who, name, req.Text); err != nil {
		return err
	}
	c.out.Push(chat.Encode(chat.Done{Answer: chat.OK(*req.ID), Room: name}))
	return nil
}

func (c *conn) mute(ctx context.Context, req chat.Request) error {
	name, err := c.feedRoom(req)
	if err != nil {
		return err
	}
	if !c.isHere(name) {
		return &chat.Error{Code: chat.CodeForbidden, Message: "Only a room that one is in can be muted."}
	}
	if err := c.srv.Directory.Mute(ctx, c.ses.User, name, req.Mute); err != nil {
		return err
	}
	if err := c.srv.notify(ctx, notice{For: c.ses.User}); err != nil {
		c.log().Debug("muting not told to the person's other sockets", "err", err)
	}
	c.out.Push(chat.Encode(chat.Done{Answer: chat.OK(*req.ID), Room: name}))
	return nil
}

func (c *conn) markRead(ctx context.Context, req chat.Request) error {
	name, err := c.feedRoom(req)
	if err != nil {
		return err
	}
	mark, err := chat.ParseMark(req.Event, req.Back)
	if err != nil {
		return err
	}
	if !c.srv.Hub.Reads(c.out, name) || mark.Event.Seq() > c.srv.Hub.Head(c.out, name).Seq() {
		return chat.BadRequest("event is not one of a room that is joined here")
	}
	if mark, err = c.srv.Directory.MarkRead(ctx, c.ses.User, name, mark); err != nil {
		return err
	}
	c.out.Push(chat.Encode(chat.Marked{Answer: chat.OK(*req.ID), Room: name, MarkInfo: mark.Info()}))
	return nil
}

func (c *conn) typing(ctx context.Context, req chat.Request) error {
	name, err := c.feedRoom(req)
	if err != nil || !c.speaks(name) || c.tooFast(c.pace.sends) != nil {
		return err
	}
	return c.srv.Relay.Publish(ctx, name, chat.Encode(chat.Notice{Type: "typing", Room: name, From: c.ses.User}))
}

func (c *conn) invite(ctx context.Context, req chat.Request) error {
	name, user, err := c.roomAndUser(req)
	if err != nil {
		return err
	}
	if !name.Private() {
		return chat.BadRequest("room is not a private one")
	}
	if err := c.deed(); err != nil {
		return err
	}
	if err := c.srv.Directory.Invite(ctx, c.who, name, user); err != nil {
		return err
	}
	return c.told(ctx, req, name, notice{For: user, Room: name})
}

func (c *conn) expel(ctx context.Context, req chat.Request) error {
	name, user, err := c.roomAndUser(req)
	if err != nil {
		return err
	}
	if err := c.deed(); err != nil {
		return err
	}
	if err := c.srv.Directory.Expel(ctx, c.who, name, user); err != nil {
		return err
	}
	return c.told(ctx, req, name, notice{For: user, Room: name, Out: name.Private(), Kick: name.Public()})
}

func (c *conn) role(ctx context.Context, req chat.Request) error {
	name, user, err := c.roomAndUser(req)
	if err != nil {
		return err
	}
	if err := chat.CheckRole(req.Role); err != nil {
		return err
	}
	if err := c.deed(); err != nil {
		return err
	}
	changes, err := c.srv.Directory.SetRole(ctx, c.who, name, user, req.Role)
	if err != nil {
		return err
	}
	var notices []notice
	for _, change := range changes {
		notices = append(notices, notice{For: change.User, Room: name, Role: true})
		if !change.Shown {
			continue
		}
		role := change.Role
		if role == chat.Muted || role == chat.Banned {
			role = chat.Plain // the rest is between them and those who moderate
		}
		if err := c.srv.Relay.Publish(ctx, name, chat.Encode(chat.Notice{Type: "role", Room: name, User: change.User, Role: role})); err != nil {
			return err
		}
	}
	return c.told(ctx, req, name, notices...)
}

func (c *conn) remove(ctx context.Context, req chat.Request) error {
	name, err := c.feedRoom(req)
	if err != nil {
		return err
	}
	if err := c.deed(); err != nil {
		return err
	}
	if err := c.srv.Directory.Remove(ctx, c.who, name); err != nil {
		return err
	}
	return c.told(ctx, req, name, notice{Room: name, Gone: true})
}

// membersCost is how many requests a look at all roles of a room counts for.
const membersCost = 10

// deed counts something that changes a room for everybody.
func (c *conn) deed() error {
	c.pace.asks.ReserveN(time.Now(), membersCost)
	return c.tooManyDeeds()
}

func (c *conn) tooManyDeeds() error {
	err := c.tooFast(c.pace.deeds)
	if err == nil && c.near != nil {
		err = c.tooFast(c.near.deeds)
	}
	return err
}

// told tells all instances of what was done in a room, and then who asked for it.
func (c *conn) told(ctx context.Context, req chat.Request, name chat.Room, notices ...notice) error {
	for _, n := range notices {
		if err := c.srv.notify(ctx, n); err != nil {
			return err
		}
	}
	c.out.Push(chat.Encode(chat.Done{Answer: chat.OK(*req.ID), Room: name}))
	return nil
}

func (c *conn) members(ctx context.Context, req chat.Request) error {
	name, err := c.feedRoom(req)
	if err != nil {
		return err
	}
	c.pace.asks.ReserveN(time.Now(), membersCost)
	members, err := c.srv.Directory.Members(ctx, c.who, name)
	if err != nil {
		return err
	}
	c.out.Push(chat.Encode(chat.MemberList{Answer: chat.OK(*req.ID), Room: name, Members: members}))
	return nil
}

// roomAndUser returns the room and the person that a request names.
func (c *conn) roomAndUser(req chat.Request) (chat.Room, string, error) {
	name, err := c.feedRoom(req)
	if err != nil {
		return "", "", err
	}
	user, err := chat.ParseName(req.User)
	return name, user, err
}
