//go:build integration

package integration_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chatd/internal/client"
)

// A roster is what a watcher is told of who comes and goes.
type roster struct {
	mu   sync.Mutex
	news map[string][]change // by person
}

type change struct {
	at   time.Time
	here bool
}

// Observe implements client.Observer.
func (r *roster) Observe(f client.Fact) {
	if n, ok := f.(client.Notice); ok && n.Type == "presence" {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.news[n.User] = append(r.news[n.User], change{time.Now(), n.State == "here"})
	}
}

// since returns what was said of these people after from.
func (r *roster) since(from time.Time, names []string) (all []change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range names {
		for _, c := range r.news[name] {
			if c.at.After(from) {
				all = append(all, c)
			}
		}
	}
	return all
}

// gone returns when each of these people was last shown as gone, after from; all says
// whether each is.
func (r *roster) gone(from time.Time, names []string) (at []time.Time, all bool) {
	for _, name := range names {
		news := r.since(from, []string{name})
		if len(news) > 0 && !news[len(news)-1].here {
			at = append(at, news[len(news)-1].at)
		}
	}
	return at, len(at) == len(names)
}

// Two instances end badly: one is killed, the other stops in its tracks for 40 s. The
// people of both who do not come back are gone in time, and stay so; those who come
// back in time were never gone.
func TestPresenceHasNoGhosts(t *testing.T) {
	t.Parallel()
	const room, hung = "pr-room", 40 * time.Second
	c := startCluster(t, 3)
	killed, stopped, well := c.Instances()[0], c.Instances()[1], c.Instances()[2]
	watch := &roster{news: map[string][]change{}}
	watcher := enter(t, well.URL(), "pr-watcher", client.Options{Observer: watch}, room)

	crowdAt := func(name string, n int, base string) ([]*follower, []string) {
		crowd := startCrowd(t, n, client.Options{}, func(n int) (string, string, []string) {
			return fmt.Sprint("pr-", name, "-", n), base, []string{room}
		})
		var names []string
		for _, f := range crowd {
			names = append(names, f.User())
		}
		return crowd, names
	}
	// Past HAProxy there is no other instance to come back to.
	dead, deadNames := crowdAt("dead", 50, killed.URL())
	frozen, frozenNames := crowdAt("frozen", 20, stopped.URL())
	hoppers, hopperNames := crowdAt("hopper", 30, c.URL())
	all := slices.Concat(deadNames, frozenNames, hopperNames)
	eventually(t, 10*time.Second, "all are shown as here", func() bool {
		return len(watch.since(time.Time{}, all)) == len(all)
	})

	killed.Kill()
	stopped.Pause()
	began := time.Now()
	for _, f := range slices.Concat(dead, frozen) {
		f.stop() // and their browsers are closed
	}
	for _, f := range hoppers {
		f.await("is on the instance that is well", func() bool { return f.on == well.Name && f.joined[room] })
	}
	hopped := time.Since(began)
	if n := total(hoppers, func(f *follower) int { return f.closed }); n < len(hoppers)/3 {
		t.Errorf("only %d people had to hop", n)
	}

	ends := func(who string, names []string) {
		eventually(t, 40*time.Second-time.Since(began), "the "+who+" are gone", func() bool {
			_, all := watch.gone(began, names)
			return all
		})
		at, _ := watch.gone(began, names)
		first, last := slices.MinFunc(at, time.Time.Compare).Sub(began), slices.MaxFunc(at, time.Time.Compare).Sub(began)
		if first < 10*time.Second || last > 35*time.Second {
			t.Errorf("the %s were shown as gone between %v and %v, want 10 s to 35 s", who, first, last)
		}
		if n := len(watch.since(began, names)); n != len(names) {
			t.Errorf("of the %d %s came %d news, want one each", len(names), who, n)
		}
		t.Logf("%d %s: gone after %v to %v", len(names), who, first.Round(time.Millisecond), last.Round(time.Millisecond))
	}
	ends("people of the killed instance", deadNames)
	ends("people of the stopped instance", frozenNames)

	lasts(t, time.Until(began.Add(hung)))
	stopped.Resume()
	woken := time.Now()
	// It extends its people's leases every 8 s: two such moments must pass.
	lasts(t, 20*time.Second)
	ghosts := 0
	for _, c := range watch.since(woken, frozenNames) {
		if c.here {
			ghosts++
		}
	}
	eventually(t, 35*time.Second-time.Since(woken), "no ghost is left", func() bool {
		return !slices.ContainsFunc(here(t, c.URL(), room), func(name string) bool { return strings.HasPrefix(name, "pr-frozen") })
	})

	for _, change := range watch.since(began, hopperNames) {
		if !change.here {
			t.Errorf("somebody who hopped was shown as gone %v after the faults", change.at.Sub(began))
		}
	}
	want := slices.Sorted(slices.Values(append(hopperNames, watcher.User())))
	got := slices.DeleteFunc(here(t, c.URL(), room), func(name string) bool { return name == "pr-fresh" })
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("here are %v, want %v", got, want)
	}
	t.Logf("%d people hopped within %v and were never shown as gone; %d ghosts shown after the stopped instance woke", len(hopperNames), hopped.Round(time.Millisecond), ghosts)
}

// here is the roster as a fresh login is told it.
func here(t *testing.T, base, room string) (names []string) {
	t.Helper()
	w := guest(t, base, "pr-fresh").connect(t)
	defer w.ws.CloseNow()
	for _, name := range w.ok("join", fields{"room": room})["here"].([]any) {
		names = append(names, name.(string))
	}
	return names
}
