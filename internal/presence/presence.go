// Package presence knows who is here, in each room, on all instances.
//
// Redis holds, per room, who is here until when:
//
//	chatd:{ROOM}:here    sorted set: name -> end of the lease, Unix milliseconds of Redis' clock
//	chatd:{ROOM}:awake   the same, of those who are not away
//
// Each instance extends the leases of the people that it has, so a name has one
// entry however many instances and tabs hold it. Nothing is taken away when a
// connection ends: its lease is cut to a grace time, which another instance that
// has the same person extends in time, and which a person who hops there does not
// outlive. What an instance that died has held lapses.
package presence

import (
	"context"
	_ "embed"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"chatd/internal/chat"
)

const (
	// lease bounds how long the people of a dead instance stay listed, grace those
	// who left without a word. Both exceed extendEvery, or somebody whom two
	// instances hold would be shown as gone.
	lease       = 25 * time.Second
	grace       = 10 * time.Second
	extendEvery = 8 * time.Second

	// maxHere bounds the names that a roster lists.
	maxHere = 1000

	// extendAtOnce is in how many rooms leases are extended in one round trip.
	extendAtOnce = 50

	timeout = 2 * time.Second
)

// Presence keeps this instance's leases. It is safe for concurrent use.
type Presence struct {
	rdb  redis.UniversalClient
	news func(chat.Room) (channel, prefix string)
	log  *slog.Logger

	mu   sync.Mutex
	held map[chat.Room]map[string]conns
}

// New returns a Presence without leases. news says where and how a room's
// readers on all instances are told: in the channel, behind the prefix.
func New(rdb redis.UniversalClient, news func(chat.Room) (channel, prefix string), log *slog.Logger) *Presence {
	return &Presence{rdb: rdb, news: news, log: log, held: map[chat.Room]map[string]conns{}}
}

// Enter counts a connection of user, who may be away, into the room, tells the
// room's readers what that changes, and returns who is there. Each Enter is to be
// followed by one Leave, also after an error.
func (p *Presence) Enter(ctx context.Context, room chat.Room, user string, away bool) (chat.Roster, error) {
	p.mu.Lock()
	if p.held[room] == nil {
		p.held[room] = map[string]conns{}
	}
	n := p.held[room][user].add(away, 1)
	p.held[room][user] = n
	p.mu.Unlock()
	return p.update(ctx, room, lease, maxHere, n.sign()+user)
}

// Extend is Enter for a connection that was counted before.
func (p *Presence) Extend(ctx context.Context, room chat.Room, user string) (chat.Roster, error) {
	p.mu.Lock()
	n := p.held[room][user]
	p.mu.Unlock()
	return p.update(ctx, room, lease, maxHere, n.sign()+user)
}

// Away says that a connection that was counted into the room is away from now on, or
// back. Who is away with all connections here is shown as away after the grace time,
// unless they are not so on another instance; who is back is so at once.
func (p *Presence) Away(ctx context.Context, room chat.Room, user string, away bool) error {
	p.mu.Lock()
	n := p.held[room][user].add(!away, -1).add(away, 1)
	p.held[room][user] = n
	p.mu.Unlock()
	sign := n.sign()
	if sign == asleep {
		sign = fallsAsleep
	}
	_, err := p.update(ctx, room, lease, 0, sign+user)
	return err
}

// Leave counts a connection of user, away or not, out of the room. If it was the last
// one here, user is shown as gone after the grace time unless another instance has a
// connection too, or at once if for good.
func (p *Presence) Leave(ctx context.Context, room chat.Room, user string, away, forGood bool) {
	p.mu.Lock()
	was := p.held[room][user]
	n := was.add(away, -1)
	if n.all > 0 {
		p.held[room][user] = n
	} else {
		delete(p.held[room], user)
	}
	if len(p.held[room]) == 0 {
		delete(p.held, room)
	}
	p.mu.Unlock()
	var err error
	switch {
	case forGood:
		_, err = p.update(ctx, room, 0, 0, awake+user)
	case n.all <= 0 && was.all > 0:
		_, err = p.update(ctx, room, grace, 0, awake+user)
	case n.awake == 0 && was.awake > 0:
		_, err = p.update(ctx, room, lease, 0, fallsAsleep+user)
	}
	if err != nil {
		p.log.Debug("presence not told, it lapses", "room", room, "err", err)
	}
}

// conns counts a person's connections in a room: all, and those that are not away.
type conns struct{ all, awake int }

func (c conns) add(away bool, n int) conns {
	c.all += n
	if !away {
		c.awake += n
	}
	return c
}

// Signs of the script.
const (
	awake       = "+"
	asleep      = "-"
	fallsAsleep = "~"
)

func (c conns) sign() string {
	if c.awake > 0 {
		return awake
	}
	return asleep
}

// Run extends this instance's leases and clears away lapsed ones until ctx ends.
func (p *Presence) Run(ctx context.Context) {
	tick := time.NewTicker(extendEvery)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		late := time.Since(last)
		last = time.Now()
		if late > grace {
			// This process stood still. Its people may be elsewhere by now, and it
			// is about to find out: their leases are not to be extended before.
			continue
		}
		p.extend(ctx)
	}
}

func (p *Presence) extend(ctx context.Context) {
	p.mu.Lock()
	held := make(map[chat.Room][]string, len(p.held))
	for room, users := range p.held {
		for user, n := range users {
			held[room] = append(held[room], n.sign()+user)
		}
	}
	p.mu.Unlock()
	for some := range slices.Chunk(slices.Collect(maps.Keys(held)), extendAtOnce) {
		if err := p.extendRooms(ctx, some, held); err != nil {
			p.log.Warn("presence not extended", "err", err)
			return // Redis is away: the next tick is soon enough
		}
	}
}

// extendRooms extends leases in one round trip: one for each room would take longer than
// the leases last, where somebody is in tens of thousands of them.
func (p *Presence) extendRooms(ctx context.Context, rooms []chat.Room, held map[chat.Room][]string) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for first := true; ; first = false {
		pipe := p.rdb.Pipeline()
		for _, room := range rooms {
			keys, args := p.updating(room, lease, 0, held[room])
			updateScript.EvalSha(ctx, pipe, keys, args...)
		}
		_, err := pipe.Exec(ctx)
		switch {
		case err == nil:
			return nil
		case !first || !redis.HasErrorPrefix(err, "NOSCRIPT"):
			return chat.Unavailable("extend presence", err)
		}
		if err := updateScript.Load(ctx, p.rdb).Err(); err != nil {
			return chat.Unavailable("load script", err)
		}
	}
}

//go:embed update.lua
var updateSource string

var updateScript = redis.NewScript(updateSource)

// updating returns what the script needs to set leases, and to name so many of who is there.
func (p *Presence) updating(room chat.Room, until time.Duration, most int, users []string) (keys []string, args []any) {
	channel, prefix := p.news(room)
	args = []any{until.Milliseconds(), lease.Milliseconds(), grace.Milliseconds(), most, channel, prefix, string(room)}
	for _, user := range users {
		args = append(args, user)
	}
	return []string{room.Key("here"), room.Key("awake")}, args
}

// update sets the leases of people, each behind a sign, and returns who is there, as most.
func (p *Presence) update(ctx context.Context, room chat.Room, until time.Duration, most int, users ...string) (chat.Roster, error) {
	keys, args := p.updating(room, until, most, users)
	names, err := updateScript.Run(ctx, p.rdb, keys, args...).StringSlice()
	if err != nil {
		return chat.Roster{}, chat.Unavailable("update presence", err)
	}
	var r chat.Roster
	for _, name := range names {
		sign, user := name[:1], name[1:]
		r.Here = append(r.Here, user)
		if sign != awake {
			r.Away = append(r.Away, user)
		}
	}
	return r, nil
}
