package drill

import (
	"context"
	"errors"
	"fmt"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"time"

	"chatd/internal/client"
	"chatd/internal/judge"
)

// stopReading lets somebody read nothing, and others flood a room that only this
// reader is in, until the server has given up on them.
func stopReading(ctx context.Context, a *act) error {
	c := a.crowd
	i := slices.IndexFunc(c.people, func(p *person) bool { return !p.talks })
	if i < 0 {
		return errors.New("there is nobody who only reads")
	}
	reader := c.people[i]
	flood := strings.TrimSuffix(c.rooms[0], "-room1") + "-flood"
	if _, err := reader.Join(flood); err != nil {
		return err
	}
	c.rec.mu.Lock()
	reader.rooms, c.rooms = append(slices.Clip(reader.rooms), flood), append(slices.Clip(c.rooms), flood)
	c.rec.mu.Unlock()
	if err := c.await(ctx, "the reader is in the room", reader.inAllLocked); err != nil {
		return err
	}

	const givenUp = `chatd_queue_drops_total{kind="slow"}`
	before, err := a.cluster.Metric(ctx, givenUp)
	if err != nil {
		return err
	}
	reader.pause()
	long := " " + strings.Repeat("𝄞", textMax/2)
	for turn := 0; ; {
		now, err := a.cluster.Metric(ctx, givenUp)
		if err != nil {
			return err
		}
		if now > before {
			return nil
		}
		c.rec.mu.Lock()
		for range 10 {
			p := c.people[turn%len(c.people)]
			if turn++; p.talks && p.Queued() < 2 {
				p.writeLocked(flood, long)
			}
		}
		c.rec.mu.Unlock()
		if err := a.pass(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("the reader was not given up: %w", err)
		}
	}
}

func readOn(_ context.Context, a *act) error {
	for _, p := range a.crowd.people {
		p.wake()
	}
	return nil
}

// revoke ends the logins of one in six from elsewhere. Their clients are told, log
// in again and go on.
func revoke(ctx context.Context, a *act) error {
	c := a.crowd
	ended := 0
	base, err := url.Parse(c.url)
	if err != nil {
		return err
	}
	for n, p := range c.people {
		if n%6 != 0 {
			continue
		}
		// From another device, so to say: its answer must not reach the jar of who logs in again.
		jar, err := cookiejar.New(nil)
		if err != nil {
			return err
		}
		jar.SetCookies(base, p.jar.Cookies(base))
		other, err := client.New(client.Options{URL: c.url, User: p.name, Jar: jar, Transport: p.line.transport})
		if err != nil {
			return err
		}
		c.rec.mu.Lock()
		outs := p.outs
		c.rec.addLocked(judge.Entry{Kind: judge.Ending, Client: p.name, User: p.name})
		c.rec.mu.Unlock()
		for {
			err := other.Logout(ctx)
			if err == nil {
				c.rec.mu.Lock()
				if p.outs == outs { // else they may be in again already
					c.rec.addLocked(judge.Entry{Kind: judge.Ended, Client: p.name, User: p.name})
				}
				c.rec.mu.Unlock()
				break
			}
			if err := a.pass(ctx, loginRetry); err != nil {
				return err
			}
		}
		ended++
	}
	return c.await(ctx, "each of them was told", func() bool { return c.out >= ended })
}
