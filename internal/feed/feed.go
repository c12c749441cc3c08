package feed

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	crand "crypto/rand"

	"github.com/redis/go-redis/v9"

	"chatd/internal/chat"
)

// keyTTL is how long a sender's key is remembered. The contract says at least
// 24 hours; the rest is for a client that repeats at the last moment.
const keyTTL = 25 * time.Hour

//go:embed append.lua
var appendSource string

var appendScript = redis.NewScript(appendSource)

// A Feed reads and appends to the rooms' feeds. It is safe for concurrent use.
type Feed struct {
	rdb     redis.UniversalClient
	appends batcher
	history int
}

// New returns a Feed that keeps about history events per room. rdb must not
// repeat commands by itself (MaxRetries -1): a repeat is the sender's, by key.
func New(rdb redis.UniversalClient, history int) *Feed {
	return &Feed{rdb: rdb, appends: batcher{rdb: rdb, script: appendScript, atOnce: batchesAtOnce}, history: history}
}

// Alone has each append go to Redis by itself, whatever others are under way, for who
// decides by which turns they get there. It returns f.
func (f *Feed) Alone() *Feed {
	f.appends.atOnce = math.MaxInt
	return f
}

// A Draft is an event to be.
type Draft struct {
	Kind   string // chat.Message, chat.Edited, chat.Retracted or chat.Reacted
	Room   chat.Room
	From   string
	Key    string
	Target chat.EventID // what is edited, retracted or reacted to
	Text   string
	Reply  chat.EventID // what a message replies to; it need not be there any more
	Emoji  string       // a reaction
	On     *bool        // whether it is put there or taken away

	Admin bool // From is an administrator
	Noted bool // that another's message is retracted is in the audit log
}

// An Unnoted error says that a draft would retract a message of Author, who is not the
// one who asks: it is appended once that is noted.
type Unnoted struct{ Author string }

func (e *Unnoted) Error() string { return "retraction of a message of " + e.Author + " is not noted" }

// A Receipt says which event a draft became. Duplicate means that it did so
// before, by the same key.
type Receipt struct {
	Event     chat.EventID
	Duplicate bool
}

// Append makes draft the room's next event and publishes it to all instances,
// in one round trip, or answers for the event that the same From, Room and Key
// made within the last 25 hours.
//
// It waits for Redis until ctx ends. The errors are *chat.Error of codes
// key_reused, not_found, forbidden, muted and banned, which are final and have changed
// nothing, *Unnoted, which has not either, or chat.ErrUnavailable: then nothing is
// known, and the same draft may be appended again.
func (f *Feed) Append(ctx context.Context, d Draft) (Receipt, error) {
	head := `{"type":"` + d.Kind + `","room":"` + string(d.Room) + `"`
	tail := chat.Encode(struct {
		From   string       `json:"from"`
		Key    string       `json:"key"`
		Target chat.EventID `json:"target,omitempty"`
		Reply  chat.EventID `json:"reply,omitempty"`
		Text   string       `json:"text,omitempty"`
		Emoji  string       `json:"emoji,omitempty"`
		On     *bool        `json:"on,omitempty"`
	}{d.From, d.Key, d.Target, d.Reply, d.Text, d.Emoji, d.On})
	tail[0] = ',' // it goes on where the script's part ends

	keys := []string{feedKey(d.Room), keyKey(d.Room, d.From, d.Key), editsKey(d.Room), goneKey(d.Room)}
	if _, _, direct := d.Room.Direct(); !direct {
		keys = append(keys, d.Room.Key(chat.Members))
	}
	role, admin, noted := chat.Plain, "", ""
	if d.Room.Private() {
		role = "stranger"
	}
	if d.Admin {
		admin = "admin"
	}
	if d.Noted {
		noted = "noted"
	}
	res, err := f.appends.call(ctx, keys,
		nonce(), f.history, int(keyTTL.Seconds()), d.digest(), d.Kind, string(d.Target), d.From, head, tail, liveChannel(d.Room), role, admin, noted).StringSlice()
	if err != nil {
		return Receipt{}, chat.Unavailable("append", err)
	}
	switch res[0] {
	case "ok", "duplicate":
		appended.WithLabelValues(res[0]).Inc()
		return Receipt{Event: chat.EventID(res[1]), Duplicate: res[0] == "duplicate"}, nil
	case chat.CodeKeyReused:
		return Receipt{}, &chat.Error{Code: chat.CodeKeyReused, Message: "This key was already used for another message."}
	case "stranger":
		return Receipt{}, &chat.Error{Code: chat.CodeForbidden, Message: "You are not a member of this room any more."}
	case chat.Banned:
		return Receipt{}, chat.ErrBanned
	case chat.Muted:
		return Receipt{}, chat.ErrMuted
	case "removed":
		return Receipt{}, &chat.Error{Code: chat.CodeNotFound, Message: "This room was removed."}
	case "note":
		return Receipt{}, &Unnoted{res[1]}
	case chat.CodeForbidden:
		return Receipt{}, &chat.Error{Code: chat.CodeForbidden, Message: "Only one's own messages can be changed."}
	default:
		return Receipt{}, &chat.Error{Code: chat.CodeNotFound, Message: "This message is not there any more."}
	}
}

// digest tells contents apart that come under one key. It is salted by the
// event's other fields and cut, and a guess at a short text could still be
// tested against it, so it lapses with its key.
func (d Draft) digest() string {
	h := sha256.New()
	parts := []string{d.Kind, string(d.Room), d.From, d.Key, string(d.Target), d.Text}
	if d.Reply != "" || d.Emoji != "" { // only then: instances of before know those above
		on := d.On != nil && *d.On
		parts = append(parts, string(d.Reply), d.Emoji, strconv.FormatBool(on))
	}
	for _, s := range parts {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// nonce returns 63 random bits in decimal.
func nonce() string {
	var b [8]byte
	_, _ = crand.Read(b[:]) // never fails (Go 1.24)
	return strconv.FormatUint(binary.BigEndian.Uint64(b[:])>>1, 10)
}

// Head returns the room's newest event, "" for a room without any.
func (f *Feed) Head(ctx context.Context, room chat.Room) (chat.EventID, error) {
	entries, err := f.rdb.XRevRangeN(ctx, feedKey(room), "+", "-", 1).Result()
	if err != nil {
		return "", chat.Unavailable("read head", err)
	}
	if len(entries) == 0 {
		return "", nil
	}
	return chat.EventID(entries[0].ID), nil
}

// After returns the events that follow after, in order and without a hole, up
// to and with to (or the newest, if to is ""), and of these the first limit: when
// it returns that many there may be more. after "" stands before the first event
// of the room. It returns chat.ErrLost when after or to is not in the feed that
// Redis holds.
func (f *Feed) After(ctx context.Context, room chat.Room, after, to chat.EventID, limit int) ([]chat.Event, error) {
	if after == to && to != "" {
		return nil, nil
	}
	from, end := "-", "+"
	if after != "" {
		from = string(after)
	}
	if to != "" {
		end = string(to)
	}
	entries, err := f.rdb.XRangeN(ctx, feedKey(room), from, end, int64(limit)+1).Result()
	if err != nil {
		return nil, chat.Unavailable("read after", err)
	}
	if len(entries) == 0 && after != "" && to == "" {
		return nil, chat.ErrLost // not even after is there
	}
	if len(entries) > limit {
		to = "" // cut before it
	}
	events := parse(entries)
	if len(events) > 0 && events[0].ID == after {
		events = events[1:]
	}
	if events, err = f.mend(ctx, room, after, events, to); err != nil {
		return nil, err
	}
	return events[:min(len(events), limit)], nil
}

// Newest returns the room's last n events, oldest first, ending with to, or
// with the newest if to is "", and fewer where it is not known what stood before. It
// returns chat.ErrLost when to is not in the feed.
func (f *Feed) Newest(ctx context.Context, room chat.Room, to chat.EventID, n int) ([]chat.Event, error) {
	end := "+"
	if to != "" {
		end = string(to)
	}
	return f.last(ctx, room, end, to, n)
}

// Before returns up to n events that precede before, oldest first. It returns
// chat.ErrLost when before is not in the feed.
func (f *Feed) Before(ctx context.Context, room chat.Room, before chat.EventID, n int) ([]chat.Event, error) {
	events, err := f.last(ctx, room, string(before), before, n+1)
	if err != nil || len(events) == 0 {
		return nil, err
	}
	return events[:len(events)-1], nil
}

func (f *Feed) last(ctx context.Context, room chat.Room, end string, to chat.EventID, n int) ([]chat.Event, error) {
	entries, err := f.rdb.XRevRangeN(ctx, feedKey(room), end, "-", int64(n)).Result()
	if err != nil {
		return nil, chat.Unavailable("read newest", err)
	}
	slices.Reverse(entries)
	events := parse(entries)
	if to == "" {
		if len(events) == 0 {
			return nil, nil
		}
		to = events[len(events)-1].ID
	}
	if whole(events) && len(events) > 0 && events[len(events)-1].ID == to {
		return events, nil
	}

	gone, err := f.gone(ctx, room)
	if err != nil {
		return nil, err
	}
	there := make(map[chat.EventID]chat.Event, len(events))
	for _, ev := range events {
		there[ev.ID] = ev
	}
	var chain []chat.Event
	for id := to; id != "" && len(chain) < n; {
		ev, ok := there[id]
		if !ok {
			prev, ok := gone[string(id)]
			if !ok {
				break // what stood there is forgotten, and what is before it ends there
			}
			ev = goneEvent(room, id, chat.EventID(prev))
		}
		chain = append(chain, ev)
		id = ev.Prev
	}
	if len(chain) == 0 {
		return nil, chat.ErrLost
	}
	slices.Reverse(chain)
	return chain, nil
}

// LastEdits returns, of those messages that were edited, the event that did so last.
func (f *Feed) LastEdits(ctx context.Context, room chat.Room, messages []chat.EventID) (map[chat.EventID]chat.EventID, error) {
	if len(messages) == 0 {
		return nil, nil
	}
	messages = slices.Clone(messages) // many may be one, whose list of edits is long
	slices.Sort(messages)
	messages = slices.Compact(messages)
	fields := make([]string, len(messages))
	for i, id := range messages {
		fields[i] = string(id)
	}
	values, err := f.rdb.HMGet(ctx, editsKey(room), fields...).Result()
	if err != nil {
		return nil, chat.Unavailable("read edits", err)
	}
	edited := map[chat.EventID]chat.EventID{}
	for i, value := range values {
		if ids, ok := value.(string); ok {
			edited[messages[i]] = chat.EventID(ids[strings.LastIndex(ids, " ")+1:])
		}
	}
	return edited, nil
}

// whole reports whether each event follows the one before.
func whole(events []chat.Event) bool {
	for i := 1; i < len(events); i++ {
		if events[i].Prev != events[i-1].ID {
			return false
		}
	}
	return true
}

// gone returns what preceded each event of the room whose content was retracted.
func (f *Feed) gone(ctx context.Context, room chat.Room) (map[string]string, error) {
	gone, err := f.rdb.HGetAll(ctx, goneKey(room)).Result()
	if err != nil {
		return nil, chat.Unavailable("read gone", err)
	}
	return gone, nil
}

// mend returns events as an unbroken chain from after (not included) to to
// (included, unless ""). Places whose content was retracted are filled with gone
// events; a place that nobody knows of is chat.ErrLost.
func (f *Feed) mend(ctx context.Context, room chat.Room, after chat.EventID, events []chat.Event, to chat.EventID) ([]chat.Event, error) {
	prev := after
	if n := len(events); n > 0 {
		prev = events[n-1].ID
	}
	if (len(events) == 0 || events[0].Prev == after) && whole(events) && (to == "" || prev == to) {
		return events, nil
	}

	gone, err := f.gone(ctx, room)
	if err != nil {
		return nil, err
	}
	var chain []chat.Event
	last := after
	bridge := func(to chat.EventID) error {
		start := len(chain)
		for id := to; id != last; {
			prev, ok := gone[string(id)]
			if !ok {
				return chat.ErrLost
			}
			chain = append(chain, goneEvent(room, id, chat.EventID(prev)))
			id = chat.EventID(prev)
		}
		slices.Reverse(chain[start:])
		return nil
	}
	for _, ev := range events {
		if err := bridge(ev.Prev); err != nil {
			return nil, err
		}
		chain = append(chain, ev)
		last = ev.ID
	}
	if to != "" && to != last {
		if err := bridge(to); err != nil {
			return nil, err
		}
	}
	return chain, nil
}

func goneEvent(room chat.Room, id, prev chat.EventID) chat.Event {
	return chat.Event{ID: id, Prev: prev, Data: chat.Encode(struct {
		Type  string       `json:"type"`
		Room  chat.Room    `json:"room"`
		Seq   int64        `json:"seq"`
		Event chat.EventID `json:"event"`
		Prev  chat.EventID `json:"prev"`
	}{chat.Gone, room, id.Seq(), id, prev})}
}

func parse(entries []redis.XMessage) []chat.Event {
	events := make([]chat.Event, len(entries))
	for i, entry := range entries {
		prev, _ := entry.Values["p"].(string)
		data, _ := entry.Values["e"].(string)
		events[i] = chat.Event{ID: chat.EventID(entry.ID), Prev: chat.EventID(prev), Data: []byte(data)}
	}
	return events
}

func feedKey(room chat.Room) string     { return room.Key("feed") }
func editsKey(room chat.Room) string    { return room.Key("edits") }
func goneKey(room chat.Room) string     { return room.Key("gone") }
func liveChannel(room chat.Room) string { return room.Key("live") }

func keyKey(room chat.Room, user, key string) string {
	return room.Key("key:" + user + ":" + key)
}
