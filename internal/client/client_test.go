package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"chatd/internal/chat"
)

func mustJoin(t *testing.T, c *Client, rooms ...string) {
	t.Helper()
	for _, room := range rooms {
		if _, err := c.Join(room); err != nil {
			t.Fatal(err)
		}
	}
}

func mustSend(t *testing.T, c *Client, room, text string) string {
	t.Helper()
	key, err := c.Send(room, text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestComesBackAndResumesWhereItWas(t *testing.T) {
	start(t, Options{}, func(t *testing.T, s *script, c *Client, rec *recorder) {
		mustJoin(t, c, "General")
		p := s.accept("one")
		p.joined(p.want("join", "room", "general"), "general", false, ev("general", 4), ev("general", 5))
		p.say("%s\n%s", ev("general", 6), ev("general", 7)) // two in a frame
		rec.want("opened:one general=[4 5] joined:general live:one general/6 general/7")

		lost := time.Now()
		p.ws.Close(1012, "")
		p = s.accept("two")
		tried := s.triedAt()
		if len(tried) != 2 || tried[1].Sub(lost) != 125*time.Millisecond {
			t.Fatalf("refreshes at %v after the loss at %v, want one 125 ms after it", tried, lost)
		}
		p.joined(p.want("join", "room", "general", "after", "7-7"), "general", true, ev("general", 8))
		p.say("%s", ev("general", 9))
		rec.want("closed:one:1012 opened:two +general/8 joined:general live:two general/9")

		p.ws.CloseNow() // no close frame: a crash
		p = s.accept("three")
		p.joined(p.want("join", "room", "general", "after", "9-7"), "general", false, ev("general", 42))
		rec.want("closed:two:lost opened:three general=[42] joined:general live:three")
		if err := rec.ended(); !errors.Is(err, errTestOver) {
			t.Fatalf("Run returned %v", err)
		}
		if code := p.end(); code != websocket.StatusNormalClosure {
			t.Fatalf("left with code %d", code)
		}
	})
}

func TestWaitsLongerEachTimeAndObeysRetryAfter(t *testing.T) {
	start(t, Options{}, func(t *testing.T, s *script, c *Client, rec *recorder) {
		p := s.accept("one")
		rec.want("opened:one live:one")
		s.answerRefresh(status(http.StatusServiceUnavailable, ""))
		time.Sleep(10 * time.Second)
		before := len(s.triedAt())
		p.ws.Close(1001, "")
		lost := time.Now()
		time.Sleep(2 * time.Minute)
		tried := s.triedAt()[before:]
		for i, want := range []time.Duration{125, 250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000} {
			if got := tried[i].Sub(lost); got != want*time.Millisecond {
				t.Fatalf("wait %d is %v, want %d ms", i, got, want)
			}
			lost = tried[i]
		}
		s.answerRefresh(status(http.StatusServiceUnavailable, "7"))
		synctest.Wait()
		before = len(s.triedAt())
		time.Sleep(time.Minute)
		tried = s.triedAt()[before:]
		if got := tried[1].Sub(tried[0]); got != 17*time.Second {
			t.Fatalf("after Retry-After 7 it waits %v, want 7 s and half of 20 s", got)
		}
		// The handshake's answers count as the refresh's do.
		s.answerRefresh(nil)
		s.answerShake(status(http.StatusServiceUnavailable, "30"))
		time.Sleep(time.Minute)
		before = len(s.triedAt())
		time.Sleep(2 * time.Minute)
		tried = s.triedAt()[before:]
		if got := tried[1].Sub(tried[0]); got != 40*time.Second {
			t.Fatalf("after Retry-After 30 it waits %v, want 30 s and half of 20 s", got)
		}
		if words := rec.words(); strings.Contains(words, "out") || !strings.Contains(words, "failed:503") {
			t.Fatalf("happened: %s", words)
		}
		s.answerShake(nil)
		s.accept("two")
		rec.want("opened:two live:two")
	})
}

func TestShortWaitsComeBackOnlyAfterAWhileLive(t *testing.T) {
	start(t, Options{}, func(t *testing.T, s *script, c *Client, rec *recorder) {
		waits := func(live time.Duration) time.Duration {
			p := s.accept("one")
			synctest.Wait()
			time.Sleep(live)
			lost, before := time.Now(), len(s.triedAt())
			p.ws.Close(1001, "")
			time.Sleep(5 * time.Second)
			return s.triedAt()[before].Sub(lost)
		}
		for i, c := range []struct{ live, want time.Duration }{
			{0, 125 * time.Millisecond}, {4900 * time.Millisecond, 250 * time.Millisecond}, {time.Second, 500 * time.Millisecond},
			{5100 * time.Millisecond, 125 * time.Millisecond}, {0, 250 * time.Millisecond},
		} {
			if got := waits(c.live); got != c.want {
				t.Fatalf("loss %d after %v live: waits %v, want %v", i, c.live, got, c.want)
			}
		}
	})
}

func TestOnlyAClearWordLogsOut(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*script, *peer)
		how  string
	}{
		{"401 from the refresh", func(s *script, p *peer) {
			s.answerRefresh(status(http.StatusUnauthorized, ""))
			p.ws.Close(1012, "")
		}, "401"},
		{"401 from the handshake", func(s *script, p *peer) {
			s.answerShake(status(http.StatusUnauthorized, ""))
			p.ws.Close(1012, "")
		}, "401"},
		{"the close code", func(s *script, p *peer) { p.ws.Close(4401, "") }, "close code 4401"},
		{"the notice and the close code", func(s *script, p *peer) {
			p.say(`{"type":"logout"}`)
			p.ws.Close(4401, "")
		}, "close code 4401"},
		{"the notice alone", func(s *script, p *peer) { p.say(`{"type":"logout"}`) }, "logout notice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			start(t, Options{}, func(t *testing.T, s *script, cl *Client, rec *recorder) {
				p := s.accept("one")
				rec.want("opened:one live:one")
				c.do(s, p)
				time.Sleep(time.Minute)
				synctest.Wait()
				if !slices.Contains(rec.facts, Fact(LoggedOut{c.how})) {
					t.Fatalf("happened: %v, want logged out by %s", rec.facts, c.how)
				}
				if err := rec.ended(); !errors.Is(err, ErrLoggedOut) {
					t.Fatalf("Run returned %v", err)
				}
			})
		})
	}
	for _, code := range []int{400, 403, 404, 429, 500, 502, 503} {
		start(t, Options{}, func(t *testing.T, s *script, c *Client, rec *recorder) {
			s.answerRefresh(status(code, ""))
			time.Sleep(time.Minute)
			s.answerRefresh(nil)
			s.accept("one")
			if words := rec.words(); strings.Contains(words, "out") || !strings.HasSuffix(words, "live:one") {
				t.Fatalf("after %d: %s", code, words)
			}
		})
	}
}

func TestItemsOutliveALogout(t *testing.T) {
	start(t, Options{}, func(t *testing.T, s *script, c *Client, rec *recorder) {
		mustJoin(t, c, "general")
		p := s.accept("one")
		p.joined(p.want("join", "room", "general"), "general", false)
		key := mustSend(t, c, "general", "hello")
		p.want("send", "room", "general", "key", key, "text", "hello")
		p.ws.Close(4401, "")
		if err := rec.ended(); !errors.Is(err, ErrLoggedOut) {
			t.Fatalf("Run returned %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		p = s.accept("two")
		join := p.want("join", "room", "general")
		p.quiet() // nothing is sent where its echo would not be heard
		p.joined(join, "general", false)
		p.kept(p.want("send", "room", "general", "key", key, "text", "hello"), "general", 1)
		synctest.Wait()
		cancel()
		<-done
	})
}

func TestASilentSocketIsDead(t *testing.T) {
	start(t, Options{}, func(t *testing.T, s *script, c *Client, rec *recorder) {
		p := s.accept("one")
		rec.want("opened:one live:one")
		for range 5 { // pings keep it
			time.Sleep(25 * time.Second)
			p.say(`{"type":"ping"}`)
		}
		p.open()
		heard := time.Now()
		if code := p.end(); code != -1 {
			t.Fatalf("closed with code %d: a dead peer has no use for one", code)
		}
		if got := time.Since(heard); got != 35*time.Second {
			t.Fatalf("given up after %v, want ping_ms and 10 s", got)
		}
		s.accept("two")
		rec.want("closed:one:nothing heard for too long opened:two live:two")
	})
}

func TestAServerThatAcceptsAndSaysNothingIsLeft(t *testing.T) {
	start(t, Options{}, func(t *testing.T, s *script, c *Client, rec *recorder) {
		p := s.acceptSilent()
		p.end()
		s.accept("two")
		rec.want("closed::nothing heard for too long opened:two live:two")
	})
}

func TestARequestWithoutAnswerCostsTheSocket(t *testing.T) {
	start(t, Options{}, func(t *testing.T, s *script, c *Client, rec *recorder) {
		p := s.accept("one")
		key := mustSend(t, c, "general", "hello")
		p.want("send", "room", "general", "key", key, "text", "hello")
		time.Sleep(25 * time.Second)
		p.say(`{"type":"ping"}`)
		p = s.accept("two")
		p.kept(p.want("send", "room", "general", "key", key, "text", "hello"), "general", 1)
		rec.want("opened:one live:one wrong closed:one:a request was not answered opened:two live:two kept:general/1")
	})
}

func TestASendIsRepeatedWithItsKeyBeforeAnythingLater(t *testing.T) {
	start(t, Options{}, func(t *testing.T, s *script, c *Client, rec *recorder) {
		p := s.accept("one")
		a, b := mustSend(t, c, "general", "a"), mustSend(t, c, "general", "b")
		p.want("send", "room", "general", "key", a, "text", "a")
		p.quiet() // b waits for a's answer
		p.ws.CloseNow()
		d := mustSend(t, c, "other", "d")

		p = s.accept("two")
		p.want("send", "room", "general", "key", a, "text", "a")
		p.want("send", "room", "other", "key", d, "text", "d") // rooms do not wait for each other
		p.ws.CloseNow()
		p = s.accept("three")
		id := p.want("send", "room", "general", "key", a, "text", "a")
		p.kept(p.want("send", "room", "other", "key", d, "text", "d"), "other", 1)
		p.say(`{"type":"error","id":%d,"code":"unavailable","message":"","retry_after_ms":2000}`, id)
		asked := time.Now()
		id = p.want("send", "room", "general", "key", a, "text", "a")
		if got := time.Since(asked); got != 2500*time.Millisecond {
			t.Fatalf("repeated after %v, want the 2 s asked for and some more", got)
		}
		p.kept(id, "general", 1)
		p.say(`{"type":"error","id":%d,"code":"too_long","message":"no"}`, p.want("send", "room", "general", "key", b, "text", "b"))
		e := mustSend(t, c, "general", "e")
		p.kept(p.want("send", "room", "general", "key", e, "text", "e"), "general", 2)
		rec.want("opened:one live:one closed:one:lost opened:two live:two closed:two:lost opened:three live:three" +
			" kept:other/1 delayed:unavailable kept:general/1 refused:too_long kept:general/2")
		if n := c.Queued(); n != 0 {
			t.Fatalf("%d still queued", n)
		}
	})
}

func TestSayWaits(t *testing.T) {
	start(t, Options{}, func(t *testing.T, s *script, c *Client, rec *recorder) {
		p := s.accept("one")
		type result struct {
			kept Confirmed
			err  error
		}
		got := make(chan result, 1)
		say := func(ctx context.Context) {
			kept, err := c.Say(ctx, "@Bob", "psst")
			got <- result{kept, err}
		}
		go say(t.Context())
		p.kept(p.want("send", "room", "@alice:bob", "key", anything, "text", "psst"), "@alice:bob", 3)
		if r := <-got; r.err != nil || r.kept.Event != "3-7" || r.kept.Room != "@alice:bob" {
			t.Fatalf("said: %+v", r)
		}
		go say(t.Context())
		p.say(`{"type":"error","id":%d,"code":"forbidden","message":"no"}`, p.want("send", "room", "@alice:bob", "key", anything, "text", "psst"))
		var refused *chat.Error
		if r := <-got; !errors.As(r.err, &refused) || refused.Code != "forbidden" {
			t.Fatalf("refused: %+v", r)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go say(ctx)
		if r := <-got; !errors.Is(r.err, context.DeadlineExceeded) || c.Queued() != 1 {
			t.Fatalf("given up: %+v, %d queued", r, c.Queued())
		}
		p.kept(p.want("send", "room", "@alice:bob", "key", anything, "text", "psst"), "@alice:bob", 4)
		synctest.Wait()
		if c.Queued() != 0 {
			t.Fatal("the answer after giving up was not taken")
		}
	})
}

func TestADrainIsMakeBeforeBreak(t *testing.T) {
	start(t, Options{}, func(t *testing.T, s *script, c *Client, rec *recorder) {
		mustJoin(t, c, "general")
		p := s.accept("one")
		p.joined(p.want("join", "room", "general"), "general", false, ev("general", 1))
		rec.want("opened:one general=[1] joined:general live:one")
		asked := time.Now()
		p.say(`{"type":"drain","within_ms":8000}`)
		p.say(`{"type":"drain","within_ms":60000}`) // does not put it off
		q := s.accept("two")
		if got := time.Since(asked); got != 4*time.Second {
			t.Fatalf("moved after %v, want half of the 8 s", got)
		}
		join := q.want("join", "room", "general", "after", "1-7")
		// The old socket goes on until the new one has everything.
		p.say("%s", ev("general", 2))
		key := mustSend(t, c, "general", "on the old one")
		send := p.want("send", "room", "general", "key", key, "text", "on the old one")
		q.quiet()
		q.joined(join, "general", true, ev("general", 2), ev("general", 3))
		later := mustSend(t, c, "general", "on the new one")
		q.quiet() // it waits for the answer that the old one owes
		p.open()
		p.say("%s", ev("general", 3))
		p.kept(send, "general", 4)
		q.kept(q.want("send", "room", "general", "key", later, "text", "on the new one"), "general", 5)
		if code := p.end(); code != websocket.StatusNormalClosure {
			t.Fatalf("the old socket was closed with %d", code)
		}
		q.say("%s\n%s", ev("general", 4), ev("general", 5))
		rec.want("drain:one drain:one opened:two general/2 +general/3 joined:general live:two kept:general/4 closed:one:moved to another socket kept:general/5 general/4 general/5")
	})
}

func TestAMoveThatOutlastsTheOldSocketRepeatsOnTheNewOne(t *testing.T) {
	start(t, Options{}, func(t *testing.T, s *script, c *Client, rec *recorder) {
		p := s.accept("one")
		rec.want("opened:one live:one")
		key := mustSend(t, c, "general", "a")
		p.want("send", "room", "general", "key", key, "text", "a")
		p.say(`{"type":"drain","within_ms":2000}`)
		q := s.accept("two")
		moved := time.Now()
		q.kept(q.want("send", "room", "general", "key", key, "text", "a"), "general", 1)
		if got := time.Since(moved); got != 2*time.Second {
			t.Fatalf("repeated after %v, want the time that the old socket is given", got)
		}
		p.end()
		rec.want("drain:one opened:two live:two closed:one:moved to another socket kept:general/1")
	})
}

func TestAMoveThatFailsIsTriedAgain(t *testing.T) {
	start(t, Options{}, func(t *testing.T, s *script, c *Client, rec *recorder) {
		p := s.accept("one")
		rec.want("opened:one live:one")
		s.answerRefresh(status(http.StatusServiceUnavailable, "1"))
		p.say(`{"type":"drain","within_ms":2000}`)
		time.Sleep(3500 * time.Millisecond)
		p.open()
		s.answerRefresh(nil)
		q := s.accept("two")
		p.end()
		rec.want("drain:one failed:503 failed:503 failed:503 opened:two live:two closed:one:moved to another socket")
		q.open()
	})
}

func TestAnOldSocketThatDiesDuringAMoveLeavesTheNewOne(t *testing.T) {
	start(t, Options{}, func(t *testing.T, s *script, c *Client, rec *recorder) {
		mustJoin(t, c, "general")
		p := s.accept("one")
		p.joined(p.want("join", "room", "general"), "general", false, ev("general", 1))
		p.say(`{"type":"drain","within_ms":2000}`)
		q := s.accept("two")
		join := q.want("join", "room", "general", "after", "1-7")
		p.ws.Close(1012, "")
		synctest.Wait()
		q.joined(join, "general", true, ev("general", 2))
		rec.want("opened:one general=[1] joined:general live:one drain:one opened:two closed:one:1012 +general/2 joined:general live:two")
		if n := len(s.triedAt()); n != 2 {
			t.Fatalf("%d tries, want 2", n)
		}
	})
}

// While a client has two sockets, an answer on one may come after the view went on
// through the other: what it says of the end of the view is then out of date.
func TestAnAnswerThatTheOtherSocketOvertookReplacesNothing(t *testing.T) {
	for name, late := range map[string]struct {
		resumed bool
		events  []string
		want    string
	}{
		"a window from before":        {false, []string{ev("general", 1)}, ""},
		"an empty room":               {false, nil, ""},
		"what the view has already":   {true, []string{ev("general", 2)}, "joined:general"},
		"more than the view has":      {true, []string{ev("general", 2), ev("general", 3)}, "+general/3 joined:general"},
		"what follows something else": {true, []string{ev("general", 9)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			start(t, Options{}, func(t *testing.T, s *script, c *Client, rec *recorder) {
				mustJoin(t, c, "general", "random")
				p := s.accept("one")
				p.joined(p.want("join", "room", "general"), "general", false, ev("general", 1))
				p.joined(p.want("join", "room", "random"), "random", false, ev("random", 1))
				p.say(`{"type":"drain","within_ms":2000}`)
				q := s.accept("two")
				join := q.want("join", "room", "general", "after", "1-7")
				q.want("join", "room", "random", "after", "1-7") // unanswered: the move goes on
				p.say(`{"type":"reset","room":"general"}`)
				answer := p.want("join", "room", "general", "after", "1-7")
				q.joined(join, "general", true, ev("general", 2))
				rec.want("opened:one general=[1] joined:general random=[1] joined:random live:one drain:one opened:two gap:general@1 +general/2 joined:general")
				p.joined(answer, "general", late.resumed, late.events...)
				rec.want(late.want)
				if late.want == "" {
					p.joined(p.want("join", "room", "general", "after", "2-7"), "general", true)
				}
			})
		})
	}
}

func TestAGapIsJoinedAgain(t *testing.T) {
	start(t, Options{}, func(t *testing.T, s *script, c *Client, rec *recorder) {
		mustJoin(t, c, "general")
		p := s.accept("one")
		p.joined(p.want("join", "room", "general"), "general", false, ev("general", 1))
		rec.want("opened:one general=[1] joined:general live:one")
		p.say("%s", ev("general", 3))
		rec.want("wrong gap:general@1")
		join := p.want("join", "room", "general", "after", "1-7")
		p.say("%s", ev("general", 4)) // from before the join: the replay has it
		p.joined(join, "general", true, ev("general", 2), ev("general", 3), ev("general", 4))
		p.say("%s", ev("general", 5))
		rec.want("+general/2 +general/3 +general/4 joined:general general/5")

		p.say(`{"type":"reset","room":"general"}`) // the server says so itself: nothing wrong
		p.joined(p.want("join", "room", "general", "after", "5-7"), "general", false, ev("general", 9))
		rec.want("gap:general@5 general=[9] joined:general")

		// A server that cannot get it right is not asked without a pause.
		p.say("%s", ev("general", 20))
		p.joined(p.want("join", "room", "general", "after", "9-7"), "general", true, ev("general", 11))
		broken := time.Now()
		p.joined(p.want("join", "room", "general", "after", "9-7"), "general", true, ev("general", 10))
		if got := time.Since(broken); got < 200*time.Millisecond {
			t.Fatalf("joined again after %v", got)
		}
		rec.want("wrong gap:general@9 wrong gap:general@9 +general/10 joined:general")
	})
}

func TestARepeatOnOneSocketIsWrongAndNotShown(t *testing.T) {
	start(t, Options{}, func(t *testing.T, s *script, c *Client, rec *recorder) {
		mustJoin(t, c, "general")
		p := s.accept("one")
		p.joined(p.want("join", "room", "general"), "general", false, ev("general", 1))
		p.say("%s\n%s\n%s", ev("general", 2), ev("general", 2), ev("general", 3))
		rec.want("opened:one general=[1] joined:general live:one general/2 wrong general/3")
	})
}

func TestWhatTheServerDoesWrongIsTold(t *testing.T) {
	for name, c := range map[string]struct{ frame, want string }{
		"an answer nobody waits for":  {`{"type":"ok","id":77}`, "wrong"},
		"an answer without an id":     {`{"type":"ok"}`, "wrong"},
		"a second welcome":            {`{"type":"welcome","user":"alice"}`, "wrong closed:one:the server broke the contract"},
		"not JSON":                    {`hello`, "wrong closed:one:the server broke the contract"},
		"not UTF-8":                   {"{\"type\":\"\xff\"}", "wrong closed:one:the server broke the contract"},
		"a room that was not joined":  {ev("secret", 1), "wrong"},
		"a type of a later version":   {`{"type":"confetti","room":"general"}`, ""},
		"a field of a later version":  {`{"type":"ping","colour":"red"}`, ""},
		"presence, which may be lost": {`{"type":"presence","room":"general","user":"bob","state":"here"}`, "notice:presence"},
	} {
		t.Run(name, func(t *testing.T) {
			start(t, Options{}, func(t *testing.T, s *script, cl *Client, rec *recorder) {
				p := s.accept("one")
				rec.want("opened:one live:one")
				p.say("%s", c.frame)
				rec.want(c.want)
				if strings.Contains(c.want, "closed") {
					s.accept("two")
					rec.want("opened:two live:two")
				}
			})
		})
	}
}

func TestAnotherPersonsSessionEndsTheClient(t *testing.T) {
	const bob = `{"type":"welcome","user":"bob","instance":"one","ping_ms":25000,"limits":{"text":4000}}`
	for name, do := range map[string]func(*script){
		"the refresh": func(s *script) {
			s.answerRefresh(func(w http.ResponseWriter, _ *http.Request) {
				json.NewEncoder(w).Encode(map[string]string{"user": "bob"})
			})
		},
		"the welcome": func(s *script) {},
	} {
		t.Run(name, func(t *testing.T) {
			start(t, Options{}, func(t *testing.T, s *script, c *Client, rec *recorder) {
				mustSend(t, c, "general", "as alice")
				p := s.acceptSilent()
				if do(s); name == "the refresh" {
					p.ws.Close(1001, "")
				} else {
					p.say(bob)
				}
				time.Sleep(time.Second)
				if err := rec.ended(); !errors.Is(err, ErrOtherUser) {
					t.Fatalf("Run returned %v", err)
				}
				p.quiet()
			})
		})
	}
}

func TestRoomsAreJoinedAndLeftWheneverConnected(t *testing.T) {
	start(t, Options{}, func(t *testing.T, s *script, c *Client, rec *recorder) {
		mustJoin(t, c, "general", "@bob")
		p := s.accept("one")
		p.joined(p.want("join", "room", "@alice:bob"), "@alice:bob", false)
		p.joined(p.want("join", "room", "general"), "general", false, ev("general", 1))
		rec.want("opened:one @alice:bob=[] joined:@alice:bob general=[1] joined:general live:one")
		if _, err := c.Leave("general"); err != nil {
			t.Fatal(err)
		}
		id := p.want("leave", "room", "general")
		p.say("%s", ev("general", 2)) // it may come before the answer
		p.ws.CloseNow()
		p = s.accept("two")
		p.joined(p.want("join", "room", "@alice:bob"), "@alice:bob", false)
		if again := p.want("leave", "room", "general"); again <= id {
			t.Fatalf("request ids %d, %d do not grow", id, again)
		} else {
			p.say(`{"type":"error","id":%d,"code":"unavailable","message":"","retry_after_ms":1000}`, again)
			p.quiet()
			p.say(`{"type":"ok","id":%d,"room":"general"}`, p.want("leave", "room", "general"))
		}
		p.say("%s", ev("general", 3))
		rec.want("general/2 closed:one:lost opened:two joined:@alice:bob live:two delayed:unavailable wrong")

		mustJoin(t, c, "general")
		p.joined(p.want("join", "room", "general", "after", "2-7"), "general", true, ev("general", 3))
		rec.want("+general/3 joined:general")

		mustJoin(t, c, "forbidden")
		p.say(`{"type":"error","id":%d,"code":"forbidden","message":"no"}`, p.want("join", "room", "forbidden"))
		mustJoin(t, c, "busy")
		p.say(`{"type":"error","id":%d,"code":"unavailable","message":"","retry_after_ms":1000}`, p.want("join", "room", "busy"))
		asked := time.Now()
		p.joined(p.want("join", "room", "busy"), "busy", false)
		if got := time.Since(asked); got != 1250*time.Millisecond {
			t.Fatalf("joined again after %v", got)
		}
		rec.want("refused:forbidden delayed:unavailable busy=[] joined:busy")
		p.ws.CloseNow()
		p = s.accept("three") // and not forbidden again
		p.want("join", "room", "@alice:bob")
		p.want("join", "room", "busy")
		p.want("join", "room", "general", "after", "3-7")
		p.quiet()
	})
}

func TestFollowJoinsWhatStandsOnTheList(t *testing.T) {
	start(t, Options{Follow: true}, func(t *testing.T, s *script, c *Client, rec *recorder) {
		p := s.accept("one")
		p.say(`{"type":"ok","id":%d,"rooms":[{"room":"general","joined":true},{"room":"other","joined":false},{"room":"@alice:bob","joined":true,"with":"bob"}]}`, p.want("rooms"))
		p.joined(p.want("join", "room", "@alice:bob"), "@alice:bob", false)
		p.joined(p.want("join", "room", "general"), "general", false)
		p.say(`{"type":"room","room":"@alice:cathy","joined":true,"with":"cathy"}` + "\n" + `{"type":"room","room":"new","joined":false}`)
		p.joined(p.want("join", "room", "@alice:cathy"), "@alice:cathy", false)
		rec.want("opened:one @alice:bob=[] joined:@alice:bob general=[] joined:general live:one notice:room notice:room @alice:cathy=[] joined:@alice:cathy")
		p.say(`{"type":"relist"}`)
		p.say(`{"type":"ok","id":%d,"rooms":[{"room":"@alice:dora","joined":true,"with":"dora"}]}`, p.want("rooms"))
		p.want("join", "room", "@alice:dora")
	})
}

func TestUniverseShowsEachRoomOnce(t *testing.T) {
	start(t, Options{}, func(t *testing.T, s *script, c *Client, rec *recorder) {
		mustJoin(t, c, "universe", "general")
		p := s.accept("one")
		p.joined(p.want("join", "room", "general"), "general", false, ev("general", 1))
		universe := p.want("join", "room", "universe")
		p.say("%s", ev("general", 2)) // live, while universe is being joined
		p.say(`{"type":"ok","id":%d,"room":"universe","resumed":true,"events":[%s,%s,%s],"heads":{"general":"3-7","random":"6-7","empty":""},"fresh":["random","empty","general"]}`,
			universe, ev("random", 6), ev("general", 2), ev("general", 3))
		p.say("%s\n%s\n%s\n%s", ev("random", 7), ev("general", 4), ev("empty", 1), ev("made-later", 1))
		rec.want("opened:one general=[1] joined:general general/2 empty=[] general/3 random=[6] joined:universe live:one" +
			" random/7 general/4 empty/1 made-later/1")

		p.ws.CloseNow()
		p = s.accept("two")
		p.joined(p.want("join", "room", "general", "after", "4-7"), "general", true, ev("general", 5))
		id := p.want("join", "room", "universe", "positions", map[string]any{"general": "4-7", "random": "7-7", "empty": "1-7", "made-later": "1-7"})
		p.say(`{"type":"ok","id":%d,"room":"universe","resumed":false,"events":[%s,%s,%s,%s],"heads":{"general":"5-7","random":"90-7","empty":"1-7","made-later":"2-7","newer":"1-7"},"fresh":["random","newer"]}`,
			id, ev("random", 90), ev("general", 5), ev("made-later", 2), ev("newer", 1))
		rec.want("closed:one:lost opened:two +general/5 joined:general +made-later/2 newer=[1] random=[90] joined:universe live:two")

		// A gap in a room that is heard through universe only joins universe again.
		p.say("%s", ev("random", 95))
		id = p.want("join", "room", "universe", "positions", map[string]any{"general": "5-7", "random": "90-7", "empty": "1-7", "made-later": "2-7", "newer": "1-7"})
		p.say("%s", ev("general", 6))
		p.say(`{"type":"ok","id":%d,"room":"universe","resumed":true,"events":[%s,%s],"heads":{"general":"6-7","random":"91-7","empty":"1-7","made-later":"3-7","newer":"1-7"},"fresh":[]}`, id, ev("random", 91), ev("made-later", 3))
		p.say("%s\n%s\n%s", ev("random", 92), ev("made-later", 4), ev("general", 7))
		rec.want("wrong gap:random@90 general/6 made-later/3 +random/91 joined:universe random/92 made-later/4 general/7")

		// What cannot be resumed is replaced, though it was live on this socket.
		p.say(`{"type":"reset","room":"random"}`)
		id = p.want("join", "room", "universe", "positions", anything)
		p.say(`{"type":"ok","id":%d,"room":"universe","resumed":false,"events":[%s],"heads":{"general":"7-7","random":"92-7","empty":"1-7","made-later":"40-7","newer":"1-7"},"fresh":["made-later"]}`, id, ev("made-later", 40))
		p.say("%s\n%s", ev("made-later", 41), ev("random", 93))
		rec.want("gap:random@92 made-later=[40] joined:universe made-later/41 random/93")

		// What came live while universe was joined again may come once more behind the
		// answer, as the rest of a replay that was too long for it. Later events may not.
		p.say(`{"type":"reset","room":"random"}`)
		id = p.want("join", "room", "universe", "positions", anything)
		p.say("%s\n%s\n%s", ev("general", 8), ev("general", 9), ev("general", 10))
		p.say(`{"type":"ok","id":%d,"room":"universe","resumed":true,"events":[%s],"heads":{"general":"10-7","random":"93-7","empty":"1-7","made-later":"41-7","newer":"1-7"},"fresh":[]}`, id, ev("general", 8))
		p.say("%s\n%s\n%s\n%s", ev("general", 9), ev("general", 10), ev("general", 11), ev("general", 11))
		rec.want("gap:random@93 general/8 general/9 general/10 joined:universe general/11 wrong")

		// Whoever leaves a room still hears it through universe, and not when that is left.
		if _, err := c.Leave("general"); err != nil {
			t.Fatal(err)
		}
		p.say(`{"type":"ok","id":%d,"room":"general"}`, p.want("leave", "room", "general"))
		p.say("%s", ev("general", 12))
		rec.want("general/12")
		if _, err := c.Leave("universe"); err != nil {
			t.Fatal(err)
		}
		p.say(`{"type":"ok","id":%d,"room":"universe"}`, p.want("leave", "room", "universe"))
		p.say("%s", ev("general", 13))
		rec.want("wrong")
	})
}

func TestUniverseOfVeryManyRoomsFitsAFrame(t *testing.T) {
	for name, letters := range map[string]string{"long names": strings.Repeat("\u044f", 25), "short names": "r"} {
		t.Run(name, func(t *testing.T) { universeFitsAFrame(t, letters) })
	}
}

func universeFitsAFrame(t *testing.T, letters string) {
	start(t, Options{}, func(t *testing.T, s *script, c *Client, rec *recorder) {
		mustJoin(t, c, "universe")
		p := s.accept("one")
		var events, heads, fresh []string
		for i := range 2000 {
			room := letters + string(rune('0'+i/1000)) + string(rune('0'+i/100%10)) + string(rune('0'+i/10%10)) + string(rune('0'+i%10))
			events = append(events, ev(room, 1))
			heads = append(heads, `"`+room+`":"1-7"`)
			fresh = append(fresh, `"`+room+`"`)
		}
		p.say(`{"type":"ok","id":%d,"room":"universe","resumed":true,"events":[%s],"heads":{%s},"fresh":[%s]}`,
			p.want("join", "room", "universe"), strings.Join(events, ","), strings.Join(heads, ","), strings.Join(fresh, ","))
		synctest.Wait()
		p.ws.CloseNow()
		p = s.accept("two")
		req := <-p.reqs
		if n := len(req["positions"].(map[string]any)); n < 200 || n > 1000 {
			t.Fatalf("%d positions", n)
		}
	})
}

func TestQuestionsAreAskedAgainOnTheNextSocket(t *testing.T) {
	start(t, Options{}, func(t *testing.T, s *script, c *Client, rec *recorder) {
		got := make(chan []Event, 1)
		go func() {
			events, err := c.History(t.Context(), "general", "9-7", 3)
			if err != nil {
				t.Error(err)
			}
			got <- events
		}()
		p := s.accept("one")
		p.want("history", "room", "general", "before", "9-7", "limit", 3.0)
		p.ws.CloseNow()
		p = s.accept("two")
		p.say(`{"type":"ok","id":%d,"room":"general","events":[%s,%s]}`, p.want("history", "room", "general", "before", "9-7", "limit", 3.0), ev("general", 7), ev("general", 8))
		if events := <-got; len(events) != 2 || events[1].Seq != 8 || events[1].From != "bob" || events[1].At.IsZero() {
			t.Fatalf("history is %+v", events)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Rooms(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("rooms without an answer: %v", err)
		}
		p.want("rooms")
		c.Typing("general")
		if id := p.want("typing", "room", "general"); id != 0 {
			t.Fatalf("typing has id %d", id)
		}
	})
}

func TestImmediateComesBackAtOnceAndThenWaits(t *testing.T) {
	start(t, Options{Immediate: true}, func(t *testing.T, s *script, c *Client, rec *recorder) {
		p := s.accept("one")
		synctest.Wait()
		s.answerRefresh(status(http.StatusServiceUnavailable, ""))
		lost := time.Now()
		p.ws.Close(1001, "")
		time.Sleep(time.Second)
		tried := s.triedAt()
		if got := tried[1].Sub(lost); got != 0 {
			t.Fatalf("the first try came after %v", got)
		}
		if got := tried[2].Sub(tried[1]); got != 250*time.Millisecond {
			t.Fatalf("the second try came after %v", got)
		}
	})
}

func TestTooFastAndNoRoomWaitLonger(t *testing.T) {
	for _, code := range []websocket.StatusCode{4429, 4503} {
		start(t, Options{}, func(t *testing.T, s *script, c *Client, rec *recorder) {
			p := s.accept("one")
			synctest.Wait()
			lost := time.Now()
			p.ws.Close(code, "")
			s.accept("two")
			if got := time.Since(lost); got != 500*time.Millisecond {
				t.Fatalf("after %d it waits %v, want half of 1 s", code, got)
			}
		})
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	for _, opt := range []Options{{}, {URL: "chat.test", User: "a"}, {URL: "ws://chat.test", User: "a"}, {URL: "http://chat.test", User: "a b"}} {
		if _, err := New(opt); err == nil {
			t.Errorf("New(%+v) did not fail", opt)
		}
	}
	c, err := New(Options{URL: "http://chat.test", User: "alice", MaxQueued: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send("no room", "x"); err == nil {
		t.Error("Send took a bad name")
	}
	var e *chat.Error
	if _, err := c.Send("general", strings.Repeat("\x01", chat.MaxFrameBytes/6)); !errors.As(err, &e) || e.Code != chat.CodeTooLong {
		t.Errorf("Send took what no frame can hold: %v", err)
	}
	if _, err := c.Send("general", "x"); err != nil {
		t.Error(err)
	}
	if _, err := c.Send("general", "y"); !errors.Is(err, ErrFull) {
		t.Errorf("Send beyond MaxQueued: %v", err)
	}
}
