package drill

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"chatd/internal/client"
	"chatd/internal/judge"
)

// Act is the kind of the entry that begins an act in a history; its Note is the
// act's name. What follows is judged by itself: rooms and people are others.
const Act judge.Kind = "act"

// A record is what happened so far, in one order for all people: the judge needs to
// know that something was sent before somebody saw it. One lock guards it and all
// that people's facts change.
type record struct {
	mu      sync.Mutex
	judge   *judge.Judge // of this act
	file    *bufio.Writer
	fileErr error
	series  series
}

func newRecord(history io.Writer) *record {
	r := &record{judge: judge.New(), series: series{sockets: map[string]int{}}}
	if history != nil {
		r.file = bufio.NewWriterSize(history, 1<<20)
	}
	return r
}

// act begins a new act.
func (r *record) act(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.judge = judge.New()
	r.addLocked(judge.Entry{Kind: Act, Note: name})
}

func (r *record) add(e judge.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addLocked(e)
}

func (r *record) addLocked(e judge.Entry) {
	e.At = time.Now().UTC()
	if e.Kind != Act {
		r.judge.Add(e)
	}
	if r.file != nil && r.fileErr == nil {
		r.fileErr = judge.Write(r.file, e)
	}
}

func (r *record) flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil || r.fileErr != nil {
		return r.fileErr
	}
	return r.file.Flush()
}

// verdict ends the act.
func (r *record) verdict() judge.Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.judge.Report()
}

// Judged is the verdict on one act of a history.
type Judged struct {
	Act    string
	Report judge.Report
}

// Judge judges a history act by act. What stands before the first act is one
// without a name.
func Judge(history io.Reader) ([]Judged, error) {
	var all []Judged
	var j *judge.Judge
	var name string
	end := func() {
		if j != nil {
			all = append(all, Judged{name, j.Report()})
		}
	}
	for e, err := range judge.Read(history) {
		if err != nil {
			return nil, err
		}
		if e.Kind == Act {
			end()
			j, name = judge.New(), e.Note
			continue
		}
		if j == nil {
			j = judge.New()
		}
		j.Add(e)
	}
	end()
	if len(all) == 0 {
		return nil, errors.New("the history is empty")
	}
	return all, nil
}

func event(ev client.Event) judge.Event {
	return judge.Event{ID: string(ev.ID), Prev: string(ev.Prev), Seq: ev.Seq, Type: ev.Type, From: ev.From, Key: ev.Key,
		Target: string(ev.Target), Text: ev.Text}
}

func events(evs []client.Event) []judge.Event {
	all := make([]judge.Event, len(evs))
	for i, ev := range evs {
		all[i] = event(ev)
	}
	return all
}

// Observe implements client.Observer.
func (p *person) Observe(f client.Fact) {
	c := p.crowd
	if hold := p.hold.Load(); hold != nil {
		<-*hold // somebody who reads nothing
	}
	c.rec.mu.Lock()
	defer c.rec.mu.Unlock()
	now := time.Now()
	add := func(e judge.Entry) {
		e.Client, e.User = p.name, p.name
		c.rec.addLocked(e)
	}
	if room := roomOf(f); p.all && room != "" && !p.crowd.public[room] {
		return // universe has the rooms of others too
	}
	switch f := f.(type) {
	case client.Joined:
		p.views[f.Room] = p.views[f.Room] || f.Room == universe
	case client.Shown:
		add(judge.Entry{Kind: judge.Shown, Room: f.Event.Room, Event: event(f.Event), Replay: f.Replay})
		p.sawLocked(now, f.Event)
	case client.Replaced:
		add(judge.Entry{Kind: judge.Replaced, Room: f.Room, Events: events(f.Events), Had: string(f.Had), Far: p.farLocked(f)})
		p.views[f.Room] = true
		for _, ev := range f.Events {
			p.sawLocked(now, ev)
		}
		p.beganLocked(now, f)
	case client.Gap:
		c.rejoined++ // it is a gap only where the join after it does not resume: Replaced
	case client.Confirmed:
		add(judge.Entry{Kind: judge.Confirmed, Room: f.Room, Event: judge.Event{ID: string(f.Event), Key: f.Key, Seq: f.Seq}})
		c.confirmedLocked(now, p, f)
	case client.Refused:
		if f.Key == "" {
			add(judge.Entry{Kind: judge.Wrong, Room: f.Room, Note: "the join was refused: " + f.Code})
			return
		}
		add(judge.Entry{Kind: judge.Refused, Room: f.Room, Event: judge.Event{Key: f.Key}, Code: f.Code})
	case client.Opened:
		p.openedLocked(now, f.Instance)
	case client.Closed:
		p.closedLocked(now, f)
	case client.Failed:
		c.failed++
	case client.Wrong:
		add(judge.Entry{Kind: judge.Wrong, Note: f.Instance + ": " + f.What})
	case client.LoggedOut:
		add(judge.Entry{Kind: judge.LoggedOut, Note: f.How})
		c.out++
		p.outs++
	}
}

// roomOf is the room of what was shown, "" of other facts.
func roomOf(f client.Fact) string {
	switch f := f.(type) {
	case client.Shown:
		return f.Event.Room
	case client.Replaced:
		return f.Room
	}
	return ""
}

func (p *person) openedLocked(now time.Time, instance string) {
	if p.open == 0 && !p.since.IsZero() {
		p.crowd.offline = append(p.crowd.offline, now.Sub(p.since))
		p.longest = max(p.longest, now.Sub(p.since))
	}
	p.open++
	p.on = instance
	p.crowd.rec.series.socket(now, instance, 1)
}

func (p *person) closedLocked(now time.Time, f client.Closed) {
	c := p.crowd
	if f.Instance == "" {
		return // it was never welcomed
	}
	p.open--
	c.rec.series.socket(now, f.Instance, -1)
	switch {
	case c.over:
	case f.Err != nil && strings.Contains(f.Err.Error(), "moved"):
		c.moved++
	default:
		c.closed++
		c.codes[f.Code]++
	}
	if p.open == 0 {
		p.since, p.on = now, ""
		if c.over {
			p.since = time.Time{}
		}
	}
}

// sawLocked notes that ev is in the person's view.
func (p *person) sawLocked(now time.Time, ev client.Event) {
	c := p.crowd
	p.ends[ev.Room] = string(ev.ID)
	if sent, ok := c.sent[ev.Key]; ok && !p.held {
		delay := now.Sub(sent)
		c.delays.add(delay)
		c.rec.series.shown(now, delay)
	}
	c.expectLocked(now, ev.Key, p.name)
}

const (
	joinBytes  = 4 << 20 // what a join of universe brings, of all rooms together
	eventBytes = 400     // of what people here say, at most
)

// farLocked says that a reader of universe may have missed more of a room than what a
// join brings of all.
func (p *person) farLocked(f client.Replaced) bool {
	if !p.all || f.Had == "" || len(f.Events) == 0 {
		return false
	}
	missed := f.Events[len(f.Events)-1].Seq - f.Had.Seq()
	return missed*eventBytes > joinBytes
}

// beganLocked notes where a view begins now that was replaced: what stands before is
// seen by paging back, and nobody waits for that. The judge knows whether there was
// cause for it.
func (p *person) beganLocked(now time.Time, f client.Replaced) {
	delete(p.begins, f.Room)
	if f.Had == "" || len(f.Events) == 0 {
		return
	}
	p.begins[f.Room] = f.Events[0].Seq
	for key, at := range p.crowd.places {
		if at.room == f.Room && at.seq < p.begins[f.Room] {
			p.crowd.expectLocked(now, key, p.name)
		}
	}
}

func (c *crowd) confirmedLocked(now time.Time, p *person, f client.Confirmed) {
	c.confirmed++
	for _, some := range c.reached[c.confirmed] {
		close(some)
	}
	delete(c.reached, c.confirmed)
	if f.Duplicate {
		c.duplicates++
	}
	if room, ok := p.wrote[f.Key]; ok {
		delete(p.wrote, f.Key)
		p.mine = append(p.mine, own{room, f.Event})
		p.mine = p.mine[max(0, len(p.mine)-ownKept):]
	}
	c.rec.series.at(now).Confirmed++
	if c.expected[f.Key] != nil {
		c.places[f.Key] = place{f.Room, f.Seq}
		for _, reader := range c.people {
			if f.Seq < reader.begins[f.Room] {
				c.expectLocked(now, f.Key, reader.name)
			}
		}
	}
	c.expectLocked(now, f.Key, "")
}

// expectLocked notes that reader has seen what all are waiting for; reader "" is
// the sender, who was told that it is kept.
func (c *crowd) expectLocked(now time.Time, key, reader string) {
	who := c.expected[key]
	if who == nil || !who[reader] {
		return
	}
	delete(who, reader)
	if len(who) == 0 {
		delete(c.expected, key)
		c.caughtUp = now
	}
}

// missing names some of those who have not yet seen what they should.
func (c *crowd) missing() string {
	c.rec.mu.Lock()
	defer c.rec.mu.Unlock()
	late := map[string]bool{}
	for _, who := range c.expected {
		for name := range who {
			if name == "" {
				name = "a sender, for a confirmation"
			}
			late[name] = true
		}
	}
	var names []string
	for name := range late {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) > 5 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:5], ", "), len(names)-5)
	}
	return strings.Join(names, ", ")
}
