// Package presence knows who is here, in each room, on all instances.
//
// Redis holds, per room, who is here until when:
//
//	chatd:{ROOM}:here    sorted set: name -> end of the lease, Unix milliseconds of Redis' clock
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

	timeout = 2 * time.Second
)

// Presence keeps this instance's leases. It is safe for concurrent use.
type Presence struct {
	rdb  redis.UniversalClient
	news func(chat.Room) (channel, prefix string)
	log  *slog.Logger

	mu   sync.Mutex
	held map[chat.Room]map[string]int // connections per person
}

// New returns a Presence without leases. news says where and how a room's
// readers on all instances are told: in the channel, behind the prefix.
func New(rdb redis.UniversalClient, news func(chat.Room) (channel, prefix string), log *slog.Logger) *Presence {
	return &Presence{rdb: rdb, news: news, log: log, held: map[chat.Room]map[string]int{}}
}

// Enter counts a connection of user into the room, tells the room's readers if
// user was not here, and returns who is. Each Enter is to be followed by one
// Leave, also after an error.
func (p *Presence) Enter(ctx context.Context, room chat.Room, user string) ([]string, error) {
	p.mu.Lock()
	if p.held[room] == nil {
		p.held[room] = map[string]int{}
	}
	p.held[room][user]++
	p.mu.Unlock()
	return p.update(ctx, room, lease, user)
}

// Extend is Enter for a connection that was counted before.
func (p *Presence) Extend(ctx context.Context, room chat.Room, user string) ([]string, error) {
	return p.update(ctx, room, lease, user)
}

// Leave counts a connection of user out of the room. If it was the last one here,
// user is shown as gone after the grace time unless another instance has a
// connection too, or at once if for good.
func (p *Presence) Leave(ctx context.Context, room chat.Room, user string, forGood bool) {
	p.mu.Lock()
	users := p.held[room]
	last := users[user] == 1
	if last {
		delete(users, user)
	} else if users[user] > 0 {
		users[user]--
	}
	if len(users) == 0 {
		delete(p.held, room)
	}
	p.mu.Unlock()
	if !last && !forGood {
		return
	}
	until := grace
	if forGood {
		until = 0
	}
	if _, err := p.update(ctx, room, until, user); err != nil {
		p.log.Debug("presence not told, it lapses", "room", room, "err", err)
	}
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
		for user := range users {
			held[room] = append(held[room], user)
		}
	}
	p.mu.Unlock()
	for room, users := range held {
		c, cancel := context.WithTimeout(ctx, timeout)
		_, err := p.update(c, room, lease, users...)
		cancel()
		if err != nil {
			p.log.Warn("presence not extended", "err", err)
			return // Redis is away: the next tick is soon enough
		}
	}
}

//go:embed update.lua
var updateSource string

var updateScript = redis.NewScript(updateSource)

func (p *Presence) update(ctx context.Context, room chat.Room, until time.Duration, users ...string) ([]string, error) {
	channel, prefix := p.news(room)
	args := []any{until.Milliseconds(), lease.Milliseconds(), maxHere, channel, prefix, string(room)}
	for _, user := range users {
		args = append(args, user)
	}
	here, err := updateScript.Run(ctx, p.rdb, []string{"chatd:{" + string(room) + "}:here"}, args...).StringSlice()
	if err != nil {
		return nil, chat.Unavailable("update presence", err)
	}
	return here, nil
}
