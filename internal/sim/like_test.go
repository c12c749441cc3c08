package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"chatd/internal/chat"
	"chatd/internal/chattest"
	"chatd/internal/feed"
)

// TestStoreAnswersAsRedis gives the same random commands to the simulation's
// store and to Redis: the embedded one and, where it is installed, the real one.
func TestStoreAnswersAsRedis(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		// The embedded one forgets the last id of a stream whose newest entry was
		// deleted. A feed never deletes its newest: that is the retraction.
		embedded := strings.HasSuffix(t.Name(), "embedded")
		rng := rand.New(rand.NewPCG(1, 2))
		s := newStore(100)
		fx := effects{now: time.Now(), publish: func(string, string) {}}
		pick := func(of ...string) string { return of[rng.IntN(len(of))] }
		id := func() string { return fmt.Sprint(1+rng.IntN(12), "-", rng.IntN(4)) }
		end := func() string { return pick("-", "+", id(), id(), fmt.Sprint(rng.IntN(12))) }
		key := func() string { return pick("a", "b") }
		hash := func() string { return pick("h", "i") }
		name := func() string { return pick("x", "y", "z") }
		for n := range 3000 {
			var cmd []string
			switch rng.IntN(12) {
			case 0, 1:
				cmd = []string{"XADD", key(), id(), "p", "before", "e", fmt.Sprint(n)}
			case 2:
				cmd = []string{"XRANGE", key(), end(), end()}
			case 3:
				cmd = []string{"XREVRANGE", key(), end(), end(), "COUNT", fmt.Sprint(1 + rng.IntN(3))}
			case 4:
				cmd = []string{"XDEL", key(), id()}
			case 5:
				cmd = []string{"SET", name(), fmt.Sprint(n), "EX", "100"}
			case 6:
				cmd = []string{"GET", name()}
			case 7:
				cmd = []string{"EXISTS", pick(key(), hash(), name(), "none")}
			case 8:
				cmd = []string{"HSET", hash(), name(), fmt.Sprint(n)}
			case 9:
				cmd = []string{pick("HGET", "HDEL"), hash(), name()}
			case 10:
				cmd = []string{pick("HKEYS", "HGETALL"), hash()}
			case 11:
				if n%50 == 0 { // or the streams' last ids leave no place
					rdb.FlushAll(t.Context())
					s = newStore(100)
				}
				continue
			}
			if st := s.streams[cmd[1]]; cmd[0] == "XDEL" && embedded && st != nil && cmd[2] == st.last.String() {
				continue
			}
			got, gotErr := s.do(fx, cmd)
			want, wantErr := rdb.Do(t.Context(), list(cmd)...).Result()
			if errors.Is(wantErr, redis.Nil) {
				wantErr = nil
			}
			if (gotErr == nil) != (wantErr == nil) || gotErr == nil && !reflect.DeepEqual(plain(cmd[0], got), plain(cmd[0], want)) {
				t.Fatalf("command %d, %q: %#v, %v; Redis says %#v, %v", n, cmd, got, gotErr, want, wantErr)
			}
		}
	})
}

// plain makes replies comparable: hashes come in any order, and as maps or lists.
func plain(command string, v any) any {
	switch v := v.(type) {
	case status:
		return string(v)
	case map[any]any:
		return v
	case []any:
		if command == "HKEYS" {
			v = slices.Clone(v)
			slices.SortFunc(v, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
		}
		if command == "HGETALL" {
			m := map[any]any{}
			for i := 0; i < len(v); i += 2 {
				m[v[i]] = v[i+1]
			}
			return m
		}
		return v
	default:
		return v
	}
}

// TestAppendRunsAsInRedis gives the same drafts to the product's feed on Redis and
// on the simulation's store, and compares what is answered, read and published.
func TestAppendRunsAsInRedis(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		var published []string
		s, m, scripts := newStore(100), newMachine(), map[string]string{}
		own := newRedisClient(func(_ context.Context, args []string) (any, error) {
			return m.serve(s, effects{time.Now(), func(channel, payload string) {
				published = append(published, channel+" "+payload)
			}, false}, scripts, args)
		})
		defer own.Close()
		sub := rdb.Subscribe(t.Context(), "chatd:{general}:live")
		defer sub.Close()
		if _, err := sub.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
		heard := func() (all []string) {
			for range published {
				msg, err := sub.ReceiveTimeout(t.Context(), 5*time.Second)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, msg.(*redis.Message).Channel+" "+msg.(*redis.Message).Payload)
			}
			return all
		}

		theirs, ours := run(t, rdb, 150), run(t, own, 150)
		for i, want := range append(theirs.said, theirs.blank(heard())...) {
			got := append(ours.said, ours.blank(published)...)
			if i >= len(got) || got[i] != want {
				t.Fatalf("line %d:\n%s\nRedis says\n%s", i, got[min(i, len(got)-1)], want)
			}
		}
		if len(ours.ids) < 50 {
			t.Errorf("only %d events", len(ours.ids))
		}
	})
}

type script struct {
	said []string
	ids  []chat.EventID
}

// run appends random drafts, the same ones each time, and tells what came of it.
func run(t *testing.T, rdb redis.UniversalClient, drafts int) (s script) {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 4))
	f := feed.New(rdb, 1000).Alone()
	for n := range drafts {
		d := feed.Draft{Kind: chat.Message, Room: "general", From: fmt.Sprint("user", rng.IntN(2)), Key: fmt.Sprint("k", rng.IntN(n+20)), Text: "Grüße, \"du\"\\ \n"}
		if k := len(s.ids); k > 0 && rng.IntN(3) == 0 {
			d.Kind = []string{chat.Edited, chat.Retracted}[rng.IntN(2)]
			d.Target = s.ids[rng.IntN(k)]
		}
		r, err := f.Append(t.Context(), d)
		if err == nil && !r.Duplicate {
			s.ids = append(s.ids, r.Event)
		}
		s.said = append(s.said, fmt.Sprint(d.Kind, " ", r.Event.Seq(), r.Duplicate, err))
	}
	events, err := f.After(t.Context(), "general", "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, ev := range events {
		all = append(all, fmt.Sprint(ev.ID, " ", ev.Prev, " ", string(ev.Data)))
	}
	s.said = append(s.said, s.blank(all)...)
	return s
}

// blank takes out what differs from run to run: the ids' random halves, the time.
func (s *script) blank(lines []string) []string {
	var pairs []string
	for _, id := range slices.Backward(s.ids) {
		pairs = append(pairs, string(id), fmt.Sprint(id.Seq(), "-R"))
	}
	r := strings.NewReplacer(pairs...)
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = r.Replace(line)
		if head, rest, ok := strings.Cut(out[i], `"at":"`); ok {
			_, rest, _ = strings.Cut(rest, `"`)
			out[i] = head + rest
		}
	}
	return out
}
