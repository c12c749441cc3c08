package drill

import (
	"context"
	"errors"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"chatd/internal/client"
	"chatd/internal/judge"
)

// stopReading lets two people read nothing, and others flood their rooms until
// the server has given up on both.
func stopReading(ctx context.Context, a *act) error {
	c := a.crowd
	var slow []*person
	for _, p := range c.people {
		if !p.talks && len(slow) < 2 {
			slow = append(slow, p)
		}
	}
	if len(slow) == 0 {
		return errors.New("there is nobody who only reads")
	}
	const givenUp = `chatd_queue_drops_total{kind="slow"}`
	before, err := a.cluster.Metric(ctx, givenUp)
	if err != nil {
		return err
	}
	for _, p := range slow {
		p.pause()
	}
	// Long lines, and few: who comes back must find no more than one resume brings.
	long := " " + strings.Repeat("𝄞", textMax*3/4)
	const enough = 600 // lines; in mixtures the readers may be gone by then for another reason
	for turn := 0; turn < enough; {
		now, err := a.cluster.Metric(ctx, givenUp)
		if err == nil && now-before >= float64(len(slow)) {
			return nil
		}
		// A few at a time, in turn: who reads on must not feel it.
		c.rec.mu.Lock()
		for range 3 {
			p := c.people[turn%len(c.people)]
			if turn++; p.talks && p.Queued() == 0 {
				p.writeLocked(p.rooms[turn%len(p.rooms)], long)
			}
		}
		c.rec.mu.Unlock()
		if err := a.pass(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
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
		for {
			c.rec.add(judge.Entry{Kind: judge.Ended, Client: p.name, User: p.name})
			err := other.Logout(ctx)
			if err == nil {
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
