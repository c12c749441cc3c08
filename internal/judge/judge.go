package judge

import (
	"fmt"
	"slices"
	"time"
)

// Grace is how long after the end of a login something may still be served.
const Grace = time.Second

// A Fault is one broken promise.
type Fault struct {
	At     time.Time `json:"at"`
	What   string    `json:"what"` // a word of the package comment
	Room   string    `json:"room,omitempty"`
	Client string    `json:"client,omitempty"`
	Key    string    `json:"key,omitempty"`
	ID     string    `json:"id,omitempty"`
	Detail string    `json:"detail"`
}

func (f Fault) String() string {
	s := f.What + ":"
	for _, p := range [][2]string{{"room", f.Room}, {"client", f.Client}, {"key", f.Key}, {"event", f.ID}} {
		if p[1] != "" {
			s += " " + p[0] + " " + p[1]
		}
	}
	return s + ": " + f.Detail
}

// A Report is the verdict on a history.
type Report struct {
	Faults []Fault `json:"faults"`

	Sent      int `json:"sent"`
	Confirmed int `json:"confirmed"`
	Refused   int `json:"refused"`
	// Unknown messages were neither confirmed nor refused when the history ended;
	// UnknownKept of them stand in a feed. None over a campaign means that the
	// moment between keeping and confirming was never hit.
	Unknown     int `json:"unknown"`
	UnknownKept int `json:"unknown_kept"`
	Shown       int `json:"shown"`
	Recovered   int `json:"recovered"` // of Shown, through a resume and not live
	Gaps        int `json:"gaps"`      // honest ones, by reader
	LostByRedis int `json:"lost_by_redis"`
	OutByRedis  int `json:"out_by_redis"` // logins that Redis lost
	Aged        int `json:"aged"`         // confirmed, and older than what the feed keeps
}

// A Judge takes a history entry by entry. It is not safe for concurrent use.
type Judge struct {
	n       int // entries so far
	lost    int // the last DataLost among them, 0 for none
	kept    int // the last Kept
	losses  []loss
	report  Report
	rooms   map[string]*room
	clients map[string]*client
	outs    map[string]time.Time // user -> when all their logins ended
}

// A loss is a DataLost, and the last Kept before it.
type loss struct{ at, kept int }

type room struct {
	name     string
	messages map[id]*message
	inOrder  []*message // as first sent
	answered []*message // as confirmed
	events   map[string]*Event
	made     map[id]string    // key -> the event last seen with it
	places   map[int64]string // seq -> the event last seen there
	views    map[string]*view
	gaps     []gap
	feed     []Event
	paged    bool
}

type id struct{ user, key string }

type message struct {
	Event
	client    string
	sent      int // which entry
	before    int // how many of the room were confirmed when this was sent
	first     int // which entry confirmed it first, 0 for never
	confirmed int // and last
	at        time.Time
	id        string // as confirmed
	refused   bool
	again     bool // confirmed as another event, after a loss of data
}

// A view is known by its ends: each event in it names the one before.
type view struct {
	last    Event
	open    bool // what comes next need not follow
	first   int64
	ended   bool
	endedAt time.Time
}

type gap struct {
	at     time.Time
	client string
	had    Event
	far    bool
}

type client struct {
	user  string
	in    int // which entry logged it in last
	out   bool
	since time.Time
}

// New returns a judge that has heard nothing.
func New() *Judge {
	return &Judge{rooms: map[string]*room{}, clients: map[string]*client{}, outs: map[string]time.Time{}}
}

// History judges a whole history.
func History(entries []Entry) Report {
	j := New()
	for _, e := range entries {
		j.Add(e)
	}
	return j.Report()
}

func (j *Judge) room(name string) *room {
	r := j.rooms[name]
	if r == nil {
		r = &room{name: name, messages: map[id]*message{}, events: map[string]*Event{},
			made: map[id]string{}, places: map[int64]string{}, views: map[string]*view{}}
		j.rooms[name] = r
	}
	return r
}

func (j *Judge) client(name string) *client {
	c := j.clients[name]
	if c == nil {
		c = &client{}
		j.clients[name] = c
	}
	return c
}

// Add takes the next entry. It returns how many faults are known so far; some
// can be told only at the end.
func (j *Judge) Add(e Entry) int {
	j.n++
	if c := j.clients[e.Client]; c != nil {
		j.login(e, c)
	}
	switch e.Kind {
	case LoggedIn:
		c := j.client(e.Client)
		c.user, c.out, c.in = e.User, false, j.n
		delete(j.outs, e.User)
	case Opened:
		for _, r := range j.rooms {
			delete(r.views, e.Client)
		}
	case Sent:
		j.sent(e)
	case Confirmed:
		j.confirmed(e)
	case Refused:
		j.refused(e)
	case Shown:
		j.report.Shown++
		if e.Replay {
			j.report.Recovered++
		}
		j.see(e, e.Client, e.Event)
		j.shown(e)
	case Replaced:
		j.replaced(e)
	case Gap:
		v := j.view(e.Room, e.Client)
		j.gap(e, v.last)
		v.open = true
	case Wrong:
		j.fault(Fault{At: e.At, What: "wrong", Room: e.Room, Client: e.Client, Detail: e.Note})
	case Ending:
		c := j.client(e.Client)
		c.out, c.since = true, time.Time{}
	case Ended:
		if e.Client != "" {
			c := j.client(e.Client)
			c.out, c.since = true, e.At
		} else {
			j.outs[e.User] = e.At
		}
	case DataLost:
		j.lost = j.n
		j.losses = append(j.losses, loss{j.n, j.kept})
	case Kept:
		j.kept = j.n
	case Feed:
		j.page(e)
	case End:
		v := j.view(e.Room, e.Client)
		v.ended, v.endedAt = true, e.At
	}
	return len(j.report.Faults)
}

func (j *Judge) fault(f Fault) { j.report.Faults = append(j.report.Faults, f) }

// login judges what reaches a client whose login ended.
func (j *Judge) login(e Entry, c *client) {
	since, out := c.since, c.out
	if at, ok := j.outs[c.user]; ok && !out {
		since, out = at, true
	}
	switch e.Kind {
	case LoggedOut:
		switch {
		case out:
		case j.lost > c.in:
			j.report.OutByRedis++
		default:
			j.fault(Fault{At: e.At, What: "wrongly out", Client: e.Client, Detail: "nothing had ended this login"})
		}
	case Confirmed, Shown, Replaced:
		if out && !since.IsZero() && e.At.Sub(since) > Grace {
			j.fault(Fault{At: e.At, What: "wrongly in", Room: e.Room, Client: e.Client, Key: e.Event.Key, ID: e.Event.ID,
				Detail: fmt.Sprintf("served %v after the login had ended", e.At.Sub(since))})
		}
	}
}

func (j *Judge) sent(e Entry) {
	r := j.room(e.Room)
	k := id{e.User, e.Event.Key}
	if r.messages[k] != nil {
		j.fault(Fault{At: e.At, What: "wrong", Room: e.Room, Client: e.Client, Key: e.Event.Key, Detail: "the history sends one key twice"})
		return
	}
	m := &message{Event: e.Event, client: e.Client, sent: j.n, before: len(r.answered), at: e.At}
	m.From = e.User
	r.messages[k] = m
	r.inOrder = append(r.inOrder, m)
	j.report.Sent++
}

func (j *Judge) asked(e Entry) (*room, *message) {
	r := j.room(e.Room)
	m := r.messages[id{e.User, e.Event.Key}]
	if m == nil {
		j.fault(Fault{At: e.At, What: "phantom", Room: e.Room, Client: e.Client, Key: e.Event.Key, Detail: "answered, but never sent"})
	}
	return r, m
}

func (j *Judge) confirmed(e Entry) {
	r, m := j.asked(e)
	if m == nil {
		return
	}
	switch {
	case m.refused:
		j.fault(Fault{At: e.At, What: "clash", Room: e.Room, Client: e.Client, Key: m.Key, Detail: "refused, then confirmed"})
	case m.confirmed == 0:
		j.report.Confirmed++
		m.first = j.n
		r.answered = append(r.answered, m)
	case m.id != e.Event.ID && j.lost < m.sent:
		j.fault(Fault{At: e.At, What: "clash", Room: e.Room, Client: e.Client, Key: m.Key, ID: e.Event.ID, Detail: "confirmed before as event " + m.id})
	}
	if e.Event.ID == "" {
		j.fault(Fault{At: e.At, What: "wrong", Room: e.Room, Client: e.Client, Key: m.Key, Detail: "confirmed without an event"})
	}
	m.again = m.confirmed > 0 && m.id != e.Event.ID
	m.confirmed, m.id, m.Seq, m.at = j.n, e.Event.ID, e.Event.Seq, e.At
}

func (j *Judge) refused(e Entry) {
	_, m := j.asked(e)
	if m == nil {
		return
	}
	if m.confirmed > 0 && j.lost < m.sent {
		j.fault(Fault{At: e.At, What: "clash", Room: e.Room, Client: e.Client, Key: m.Key, Detail: "confirmed, then refused: " + e.Code})
	}
	if !m.refused {
		j.report.Refused++
	}
	m.refused = true
}

// see judges an event by itself, wherever it stands.
func (j *Judge) see(e Entry, who string, ev Event) {
	r := j.room(e.Room)
	bad := func(what, format string, args ...any) {
		j.fault(Fault{At: e.At, What: what, Room: e.Room, Client: who, Key: ev.Key, ID: ev.ID, Detail: fmt.Sprintf(format, args...)})
	}
	known := r.events[ev.ID]
	fresh := known == nil || known.Type == Gone
	switch {
	case known == nil:
		copied := ev
		r.events[ev.ID] = &copied
	case known.Seq != ev.Seq || known.Prev != ev.Prev && known.Prev != "" && ev.Prev != "":
		bad("altered", "it stands at %d behind %q, and stood at %d behind %q", ev.Seq, ev.Prev, known.Seq, known.Prev)
	case ev.Type == Gone:
	case known.Type == Gone:
		*known = ev
	case known.Type != ev.Type || known.From != ev.From || known.Key != ev.Key || known.Target != ev.Target || known.Text != ev.Text:
		bad("altered", "%s was seen before as %s", ev.say(), known.say())
	}
	if other := r.places[ev.Seq]; other != ev.ID {
		if other != "" && j.lost == 0 {
			bad("clash", "event %s stood at the same place", other)
		}
		r.places[ev.Seq] = ev.ID
	}
	if ev.Type == Gone || !fresh {
		return
	}
	k := id{ev.From, ev.Key}
	if other := r.made[k]; other != "" && other != ev.ID && j.lost == 0 {
		bad("doubled", "the same key made event %s", other)
	}
	r.made[k] = ev.ID
	switch m := r.messages[k]; {
	case m == nil:
		bad("phantom", "%s was never sent", ev.say())
	case m.Type != ev.Type || m.Target != ev.Target || m.Text != ev.Text:
		bad("altered", "%s was sent as %s", ev.say(), m.say())
	}
}

func (e *Event) say() string {
	s := e.Type + " of " + e.From
	if e.Target != "" {
		s += " on " + e.Target
	}
	if len(e.Text) > 80 {
		return fmt.Sprintf("%s %.80q…", s, e.Text)
	}
	return fmt.Sprintf("%s %q", s, e.Text)
}

// view returns the client's view of a room; a new one is open.
func (j *Judge) view(name, client string) *view {
	r := j.room(name)
	v := r.views[client]
	if v == nil {
		v = &view{open: true}
		r.views[client] = v
	}
	return v
}

// follows reports whether ev is the event behind last; the zero Event stands
// before the first.
func follows(last, ev Event) bool {
	return ev.Seq == last.Seq+1 && (ev.Prev == last.ID || ev.Prev == "" && ev.Seq > 1)
}

func (j *Judge) shown(e Entry) {
	r, v := j.room(e.Room), j.view(e.Room, e.Client)
	ev := e.Event
	switch {
	case v.open:
		v.first, v.open = ev.Seq, false
	case follows(v.last, ev):
	case ev.Seq <= v.last.Seq && ev.Seq >= v.first && r.events[ev.ID].Seq == ev.Seq && r.inView(v, ev.ID):
		j.fault(Fault{At: e.At, What: "doubled", Room: e.Room, Client: e.Client, Key: ev.Key, ID: ev.ID, Detail: "shown again"})
	default:
		j.fault(Fault{At: e.At, What: "hole", Room: e.Room, Client: e.Client, Key: ev.Key, ID: ev.ID,
			Detail: fmt.Sprintf("shown at %d behind %q, where the view ended with %q", ev.Seq, ev.Prev, v.last.ID)})
	}
	if v.first == 0 {
		v.first = ev.Seq
	}
	v.last = ev
}

// inView walks back from the view's end.
func (r *room) inView(v *view, want string) bool {
	for at := v.last.ID; at != ""; {
		if at == want {
			return true
		}
		ev := r.events[at]
		if ev == nil || ev.Seq <= v.first {
			return false
		}
		at = ev.Prev
	}
	return false
}

func (j *Judge) replaced(e Entry) {
	v := j.view(e.Room, e.Client)
	if v.last.ID != "" || e.Had != "" {
		if e.Had != v.last.ID {
			j.fault(Fault{At: e.At, What: "silent", Room: e.Room, Client: e.Client, ID: v.last.ID,
				Detail: fmt.Sprintf("the view was replaced; it had ended with %q, and the reader was told %q", v.last.ID, e.Had)})
		}
		j.gap(e, v.last)
	}
	j.chain(e, e.Client, e.Events)
	v.last, v.first, v.open = Event{}, 0, false
	if n := len(e.Events); n > 0 {
		v.last, v.first = e.Events[n-1], e.Events[0].Seq
	}
}

func (j *Judge) gap(e Entry, had Event) {
	r := j.room(e.Room)
	j.report.Gaps++
	r.gaps = append(r.gaps, gap{e.At, e.Client, had, e.Far})
}

// chain judges events that are told as following one another.
func (j *Judge) chain(e Entry, who string, events []Event) {
	for i, ev := range events {
		j.see(e, who, ev)
		if i > 0 && !follows(events[i-1], ev) {
			j.fault(Fault{At: e.At, What: "hole", Room: e.Room, Client: who, Key: ev.Key, ID: ev.ID,
				Detail: fmt.Sprintf("%d behind %q follows %q", ev.Seq, ev.Prev, events[i-1].ID)})
		}
	}
}

func (j *Judge) page(e Entry) {
	r := j.room(e.Room)
	j.chain(e, "", e.Events)
	r.feed, r.paged = e.Events, true
	seen := map[id]string{}
	taken := map[string]bool{}
	for _, ev := range e.Events {
		if ev.Type == Retracted {
			taken[ev.Target] = true
		}
	}
	for _, ev := range e.Events {
		if ev.Type == Gone {
			continue
		}
		if ev.Type != Retracted && (taken[ev.ID] || taken[ev.Target]) {
			j.fault(Fault{At: e.At, What: "taken back", Room: e.Room, Key: ev.Key, ID: ev.ID, Detail: ev.say() + " was retracted, and can still be read"})
		}
		k := id{ev.From, ev.Key}
		if first := seen[k]; first != "" && j.lost > 0 { // else see told it
			j.fault(Fault{At: e.At, What: "doubled", Room: e.Room, Key: ev.Key, ID: ev.ID, Detail: "the same key made " + first})
		}
		seen[k] = ev.ID
		if m := r.messages[k]; m != nil && m.refused && j.lost == 0 {
			j.fault(Fault{At: e.At, What: "phantom", Room: e.Room, Client: m.client, Key: ev.Key, ID: ev.ID, Detail: "it was refused for ever"})
		}
	}
}

// Report judges what only the end can tell, and returns the verdict. The judge
// takes no more entries.
func (j *Judge) Report() Report {
	names := make([]string, 0, len(j.rooms))
	for name := range j.rooms {
		names = append(names, name)
	}
	slices.Sort(names) // one history has one report
	for _, name := range names {
		j.end(j.rooms[name])
	}
	return j.report
}

// mayBeLost says that a loss of data is reason enough for m not to be there.
func (j *Judge) mayBeLost(m *message) bool {
	return slices.ContainsFunc(j.losses, func(l loss) bool { return l.at > m.sent && l.kept < m.first })
}

func (j *Judge) end(r *room) {
	places := make(map[string]int, len(r.feed)) // event -> where in the feed, from 1
	keys := make(map[id]int, len(r.feed))
	var first, last Event
	for i, ev := range r.feed {
		places[ev.ID] = i + 1
		if ev.Type != Gone {
			keys[id{ev.From, ev.Key}] = i + 1
		}
	}
	if n := len(r.feed); n > 0 {
		first, last = r.feed[0], r.feed[n-1]
	}
	// aged says that the feed is too young to know of a place.
	aged := func(seq int64) bool { return seq > 0 && seq < first.Seq }

	// place is where a message stands in the feed, 0 for nowhere.
	place := func(m *message) int {
		if n := places[m.id]; n > 0 {
			return n
		}
		return keys[id{m.From, m.Key}]
	}

	highest := make([]int, len(r.answered)+1) // place of the furthest among the first n confirmed
	for i, m := range r.answered {
		if highest[i+1] = highest[i]; !m.again {
			highest[i+1] = max(highest[i], places[m.id])
		}
	}
	of := map[string]*message{} // client -> its message that stands furthest so far
	for _, m := range r.inOrder {
		n := place(m)
		if m.confirmed == 0 && !m.refused {
			j.report.Unknown++
			if n > 0 {
				j.report.UnknownKept++
			}
		}
		if !r.paged {
			continue
		}
		if m.confirmed > 0 && places[m.id] == 0 {
			switch {
			case aged(m.Seq) && j.lost < m.sent:
				j.report.Aged++
			case j.mayBeLost(m): // its answer may have been on the way when Redis lost it
				j.report.LostByRedis++
				continue // if it is in the feed, it came again, late
			default:
				j.fault(Fault{At: m.at, What: "lost", Room: r.name, Client: m.client, Key: m.Key, ID: m.id, Detail: m.say() + " was confirmed, and is not in the feed"})
			}
		}
		if n == 0 || m.again {
			continue
		}
		if before := of[m.client]; before != nil && place(before) > n {
			j.fault(Fault{At: m.at, What: "out of order", Room: r.name, Client: m.client, Key: m.Key, ID: r.feed[n-1].ID,
				Detail: fmt.Sprintf("%s was sent after %s, and stands before it", m.say(), before.say())})
		} else {
			of[m.client] = m
		}
		if highest[m.before] > n {
			j.fault(Fault{At: m.at, What: "out of order", Room: r.name, Client: m.client, Key: m.Key, ID: r.feed[n-1].ID,
				Detail: fmt.Sprintf("%s was sent after event %s was confirmed, and stands before it", m.say(), r.feed[highest[m.before]-1].ID)})
		}
	}
	if !r.paged {
		return
	}
	for _, g := range r.gaps {
		if j.lost == 0 && !g.far && !aged(g.had.Seq) { // after a loss nobody knows what the feed held then
			j.fault(Fault{At: g.at, What: "gap", Room: r.name, Client: g.client, ID: g.had.ID, Detail: "a gap was shown behind this event, and Redis had lost nothing"})
		}
	}
	clients := make([]string, 0, len(r.views))
	for c := range r.views {
		clients = append(clients, c)
	}
	slices.Sort(clients)
	for _, c := range clients {
		v := r.views[c]
		switch {
		case v.ended && v.last.ID != last.ID:
			j.fault(Fault{At: v.endedAt, What: "stale", Room: r.name, Client: c, ID: v.last.ID, Detail: fmt.Sprintf("the view ended here, the feed with %q", last.ID)})
		case !v.ended && v.last.ID != "" && places[v.last.ID] == 0 && !aged(v.last.Seq) && j.lost == 0:
			j.fault(Fault{What: "phantom", Room: r.name, Client: c, ID: v.last.ID, Detail: "shown, and not in the feed"})
		}
	}
	slices.SortStableFunc(j.report.Faults, func(a, b Fault) int { return a.At.Compare(b.At) })
}
