package drill

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"chatd/internal/client"
	"chatd/internal/judge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestQuantiles(t *testing.T) {
	var s spread
	var all []time.Duration
	for n := 1; n <= 1000; n++ {
		s.add(time.Duration(n) * time.Millisecond)
		all = append(all, time.Duration(1001-n)*time.Millisecond)
	}
	for _, q := range []float64{0.5, 0.99} {
		want := time.Duration(q*1000) * time.Millisecond
		if got := quantile(all, q); got != want {
			t.Errorf("%v of all: got %v, want %v", q, got, want)
		}
		if got := s.quantile(q); got < want || float64(got) > float64(want)*bucketGrowth {
			t.Errorf("%v in buckets: got %v, want %v or up to a bucket more", q, got, want)
		}
	}
	if got := s.quantile(1); got != time.Second || s.longest != time.Second {
		t.Errorf("the longest: got %v and %v", got, s.longest)
	}
	if got := quantile(nil, 0.99); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	if got := new(spread).quantile(0.99); got != 0 {
		t.Errorf("of no bucket: %v", got)
	}
}

func TestSeriesKeepsSecondsApart(t *testing.T) {
	begin := time.Now()
	s := series{begin: begin, sockets: map[string]int{}}
	s.socket(begin, "one", 1)
	s.socket(begin.Add(100*time.Millisecond), "two", 1)
	s.shown(begin.Add(200*time.Millisecond), 50*time.Millisecond)
	s.shown(begin.Add(3*time.Second), time.Second)
	s.socket(begin.Add(3*time.Second), "two", -1)
	s.close()
	if len(s.seconds) != 4 {
		t.Fatalf("%d seconds", len(s.seconds))
	}
	if got := s.seconds[0]; got.Delivered != 1 || got.Longest != 50*time.Millisecond || got.Sockets["two"] != 1 {
		t.Errorf("second 0: %+v", got)
	}
	if got := s.seconds[1]; got.Delivered != 0 || got.Longest != 0 || got.Sockets["one"] != 1 {
		t.Errorf("second 1, in which nothing happened: %+v", got)
	}
	if got := s.seconds[3]; got.Longest != time.Second || got.Sockets["one"] != 1 || got.Sockets["two"] != 0 {
		t.Errorf("second 3: %+v", got)
	}
}

// alice returns a person of a crowd that is in no system.
func alice(history *bytes.Buffer) *person {
	rec := newRecord(history)
	c := &crowd{rec: rec, codes: map[int]int{}, sent: map[string]time.Time{}, expected: map[string]map[string]bool{}, places: map[string]place{},
		reached: map[int][]chan struct{}{}}
	p := &person{crowd: c, name: "alice", rooms: []string{"den"}, views: map[string]bool{}, ends: map[string]string{}, begins: map[string]int64{}}
	c.people = []*person{p}
	return p
}

func TestTimeWithoutASocket(t *testing.T) {
	var history bytes.Buffer
	p := alice(&history)
	p.Observe(client.Opened{Instance: "one"})
	p.Observe(client.Opened{Instance: "two"}) // a move: the new one first
	p.Observe(client.Closed{Instance: "one", Code: -1, Err: errors.New("moved to another socket")})
	if p.longest != 0 || p.crowd.moved != 1 || p.crowd.closed != 0 {
		t.Errorf("a move: %v without a socket, %d moved, %d closed", p.longest, p.crowd.moved, p.crowd.closed)
	}
	p.Observe(client.Closed{Code: -1}) // one that was never welcomed
	if p.open != 1 {
		t.Errorf("%d sockets", p.open)
	}
	p.Observe(client.Closed{Instance: "two", Code: -1, Err: errors.New("EOF")})
	since := p.since
	p.Observe(client.Opened{Instance: "one"})
	if p.longest <= 0 || p.longest > time.Since(since) || p.crowd.closed != 1 || p.on != "one" {
		t.Errorf("a loss: %v without a socket, %d closed, on %q", p.longest, p.crowd.closed, p.on)
	}
}

func TestEverybodyMustSeeAndTheSenderBeTold(t *testing.T) {
	var history bytes.Buffer
	p := alice(&history)
	c := p.crowd
	c.expected["k"] = map[string]bool{"": true, "alice": true}
	p.Observe(client.Shown{Event: client.Event{Room: "den", ID: "1-1", Seq: 1, Key: "k"}})
	if c.expected["k"] == nil || c.missing() != "a sender, for a confirmation" {
		t.Errorf("not confirmed, and nobody waits: %q", c.missing())
	}
	p.Observe(client.Confirmed{Key: "k", Room: "den", Event: "1-1", Seq: 1})
	if len(c.expected) != 0 || c.caughtUp.IsZero() {
		t.Error("seen and confirmed, and still waited for")
	}
}

func TestHistoryIsJudgedActByAct(t *testing.T) {
	var history bytes.Buffer
	p := alice(&history)
	rec := p.crowd.rec
	say := func(key, text string) {
		rec.add(judge.Entry{Kind: judge.Sent, Client: "alice", User: "alice", Room: "den", Event: judge.Event{Type: "message", Key: key, Text: text}})
	}
	ev := client.Event{Type: "message", Room: "den", ID: "1-1", Seq: 1, From: "alice", Key: "k", Text: "hello"}
	for _, act := range []string{"well", "lost"} {
		rec.act(act)
		rec.add(judge.Entry{Kind: judge.LoggedIn, Client: "alice", User: "alice"})
		say("k", "hello")
		p.Observe(client.Confirmed{Key: "k", Room: "den", Event: "1-1", Seq: 1})
		p.Observe(client.Replaced{Room: "den", Events: []client.Event{ev}})
		feed := judge.Entry{Kind: judge.Feed, Room: "den"}
		if act == "well" {
			feed.Events = events([]client.Event{ev})
		}
		rec.add(feed)
	}
	live := rec.verdict()
	if err := rec.flush(); err != nil {
		t.Fatal(err)
	}
	acts, err := Judge(&history)
	if err != nil {
		t.Fatal(err)
	}
	if len(acts) != 2 || acts[0].Act != "well" || acts[1].Act != "lost" {
		t.Fatalf("acts: %+v", acts)
	}
	if faults := acts[0].Report.Faults; len(faults) > 0 || acts[0].Report.Confirmed != 1 {
		t.Errorf("the first act: %+v", acts[0].Report)
	}
	if faults := acts[1].Report.Faults; len(faults) == 0 || len(live.Faults) != len(faults) || !slices.ContainsFunc(faults, func(f judge.Fault) bool { return f.What == "lost" }) {
		t.Errorf("the second act: %v, and while it ran: %v", faults, live.Faults)
	}
	if _, err := Judge(strings.NewReader(`{"at":"2026-11-21T08:00:00Z","ki`)); err == nil {
		t.Error("a history that was cut is no history")
	}
	if _, err := Judge(strings.NewReader("")); err == nil {
		t.Error("nor is an empty one")
	}
}

func TestFaultsHaveNamesAndMistakesHaveFaults(t *testing.T) {
	names := map[string]bool{}
	for _, f := range Standard() {
		if names[f.Name] || f.Name == "" || f.What == "" || f.make == nil || f.on == "" {
			t.Errorf("fault %q is not whole, or there twice", f.Name)
		}
		names[f.Name] = true
	}
	for _, m := range Mistakes {
		if _, err := Find(m.Faults); err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
	}
	if _, err := Find([]string{"kill", "earthquake"}); err == nil || !strings.Contains(err.Error(), "earthquake") {
		t.Errorf("got %v", err)
	}
	mixed, err := Find([]string{"kill+redis"})
	if err != nil || mixed[0].Name != "kill+redis" || mixed[0].unnoticed {
		t.Errorf("got %+v, %v", mixed, err)
	}
}

func TestRowThatWasNoticedDoesNotHold(t *testing.T) {
	for name, c := range map[string]struct {
		fault Fault
		row   Row
		want  string
	}{
		"well":       {Fault{unnoticed: true, bites: socketsMoved}, Row{SocketsMoved: 3}, ""},
		"a loss":     {Fault{unnoticed: true}, Row{SocketsLost: 1}, "noticed"},
		"a refusal":  {Fault{unnoticed: true}, Row{Failed: 1}, "noticed"},
		"a long one": {Fault{delay: time.Second}, Row{DelayLongest: 2 * time.Second}, "waited"},
		"no bite":    {Fault{bites: socketsLost}, Row{}, "bite"},
	} {
		a := &act{row: c.row}
		c.fault.hold(a)
		got := strings.Join(a.row.Broken, "; ")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// A view that had to be begun anew, behind a line, need not show it. One that did not
// has to.
func TestNobodyWaitsForWhatStandsBeforeANewView(t *testing.T) {
	for name, facts := range map[string][]client.Fact{
		"replaced, then confirmed": {client.Replaced{Room: "den", Had: "5-1", Events: []client.Event{{Room: "den", ID: "8-2", Seq: 8}}}, client.Confirmed{Key: "k", Room: "den", Event: "7-2", Seq: 7}},
		"confirmed, then replaced": {client.Confirmed{Key: "k", Room: "den", Event: "7-2", Seq: 7}, client.Replaced{Room: "den", Had: "5-1", Events: []client.Event{{Room: "den", ID: "8-2", Seq: 8}}}},
		"a first view":             {client.Confirmed{Key: "k", Room: "den", Event: "7-2", Seq: 7}, client.Replaced{Room: "den", Events: []client.Event{{Room: "den", ID: "8-2", Seq: 8}}}},
		"before the line":          {client.Confirmed{Key: "k", Room: "den", Event: "9-2", Seq: 9}, client.Replaced{Room: "den", Had: "5-1", Events: []client.Event{{Room: "den", ID: "8-2", Seq: 8}}}},
	} {
		p := alice(&bytes.Buffer{})
		p.crowd.expected["k"] = map[string]bool{"": true, "alice": true}
		for _, f := range facts {
			p.Observe(f)
		}
		if waits, want := len(p.crowd.expected) > 0, !strings.Contains(name, "replaced"); waits != want {
			t.Errorf("%s: waits %t", name, waits)
		}
	}
}

func TestLoginsAreReadLineByLine(t *testing.T) {
	logins, err := ReadLogins(strings.NewReader("# ours\nalice a.b\n\n bob  jsessionid=chatd-1~c.d\n"))
	if want := []Login{{"alice", "a.b"}, {"bob", "chatd-1~c.d"}}; err != nil || !slices.Equal(logins, want) {
		t.Errorf("got %v, %v", logins, err)
	}
	for text, want := range map[string]string{"alice": "line 1: want a name and a cookie", "alice a.b\nalice c.d": "line 2: alice is there already"} {
		if _, err := ReadLogins(strings.NewReader(text)); err == nil || err.Error() != want {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

// A join of universe brings so much, and no more.
func TestReaderOfUniverseMayBeTooFarBehind(t *testing.T) {
	p := alice(&bytes.Buffer{})
	for _, c := range []struct {
		all  bool
		last int64
		want bool
	}{{true, 2000, false}, {true, 20_000, true}, {false, 20_000, false}} {
		p.all = c.all
		if got := p.farLocked(client.Replaced{Room: "den", Had: "1-1", Events: []client.Event{{Seq: c.last}}}); got != c.want {
			t.Errorf("%+v: got %t", c, got)
		}
	}
}

// What Redis lost is no broken promise where the history says so, and is counted; there
// may be nothing left to edit then.
func TestLossOfRedisIsCounted(t *testing.T) {
	for _, loses := range []bool{true, false} {
		p := alice(&bytes.Buffer{})
		a := &act{drill: &drill{rec: p.crowd.rec}, crowd: p.crowd, fault: Fault{loses: loses, bites: dataLost}}
		ev := judge.Event{Type: "message", Key: "k", Text: "hello"}
		edit := judge.Event{Type: "edited", Key: "e", Target: "1-1", Text: "hullo"}
		for _, e := range []judge.Entry{
			{Kind: judge.LoggedIn}, {Kind: judge.Sent, Event: ev}, {Kind: judge.Confirmed, Event: judge.Event{ID: "1-1", Key: "k", Seq: 1}},
			{Kind: judge.DataLost}, {Kind: judge.LoggedOut}, {Kind: judge.LoggedIn}, {Kind: judge.Sent, Event: edit},
			{Kind: judge.Refused, Event: edit, Code: "not_found"}, {Kind: judge.Feed},
		} {
			e.Client, e.User, e.Room = "alice", "alice", "den"
			p.crowd.rec.add(e)
		}
		a.judge()
		if a.row.LostByRedis != 1 || a.row.OutByRedis != 1 || a.row.Lost != 0 {
			t.Errorf("got %+v", a.row)
		}
		if got := strings.Join(a.row.Broken, "; "); loses != (got == "") {
			t.Errorf("loses %t: %q", loses, got)
		}
	}
}

func TestFindOfTwoThatNoSystemHas(t *testing.T) {
	if _, err := Find([]string{"cut+failover"}); err == nil || !strings.Contains(err.Error(), "no such system") {
		t.Errorf("got %v", err)
	}
	if f, err := Find([]string{"kill+failover"}); err != nil || !f[0].replicas || !f[0].loses {
		t.Errorf("got %+v, %v", f, err)
	}
}

func TestTailIsTheFileThatRedisAppendsTo(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := tail(dir); err == nil {
		t.Error("an empty folder has one")
	}
	if err := os.Mkdir(filepath.Join(dir, "appendonlydir"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"appendonly.aof.1.base.rdb": "base", "appendonly.aof.1.incr.aof": "seven b", "appendonly.aof.manifest": "m"} {
		if err := os.WriteFile(filepath.Join(dir, "appendonlydir", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if file, size, err := tail(dir); err != nil || size != 7 || !strings.HasSuffix(file, ".incr.aof") {
		t.Errorf("got %s of %d, %v", file, size, err)
	}
}

func result() *Result {
	began := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	r := &Result{Seed: 7, Began: began, Ended: began.Add(20 * time.Second), Rows: []Row{
		{Name: "kill", What: "kill -9 of <one>", Made: began.Add(3 * time.Second), Healed: began.Add(6 * time.Second), People: 6, Confirmed: 100, CaughtUp: 1500 * time.Millisecond},
		{Name: "redis", What: "kill -9 of Redis", Made: began.Add(12 * time.Second), Healed: began.Add(14 * time.Second), People: 6, Confirmed: 50},
	}}
	for n := range 20 {
		r.Seconds = append(r.Seconds, Second{Sockets: map[string]int{"chatd-1": 3, "chatd-2": n % 4}, Sent: n, Confirmed: n, Delivered: 5 * n,
			P50: 2 * time.Millisecond, P99: 9 * time.Millisecond, Longest: time.Duration(n) * 100 * time.Millisecond})
	}
	return r
}

func TestTableSaysWhatBroke(t *testing.T) {
	r := result()
	var out bytes.Buffer
	if err := r.Table(&out); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !r.Held() || !strings.Contains(got, "Every promise held: 2 faults, 12 people, 150 messages") || !strings.Contains(got, "1.5 s") {
		t.Errorf("got:\n%s", got)
	}
	r.Rows[1].Broken = []string{"nothing came back"}
	r.Rows[1].Faults = []judge.Fault{{What: "lost", Room: "den", Detail: "it is gone"}}
	out.Reset()
	if err := r.Table(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"PROMISES WERE BROKEN: 1 of 2", "redis: nothing came back", "lost: room den: it is gone", "NO"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in:\n%s", want, out.String())
		}
	}
	if r.Held() || (&Result{}).Held() {
		t.Error("a broken run, or one without rows, held")
	}
}

func TestReportStandsAlone(t *testing.T) {
	r := result()
	r.Rows[1].Broken = []string{"<script>"}
	var page bytes.Buffer
	if err := r.HTML(&page); err != nil {
		t.Fatal(err)
	}
	html := page.String()
	for _, want := range []string{"Promises were broken", "kill -9 of &lt;one&gt;", "&lt;script&gt;", "chatd-2", "prefers-color-scheme: dark", "band bad"} {
		if !strings.Contains(html, want) {
			t.Errorf("%q is not in the page", want)
		}
	}
	for _, never := range []string{"http://", "https://", "<script", "src=", "NaN", "Inf", "ZgotmplZ"} {
		if strings.Contains(html, never) {
			t.Errorf("%q is in the page", never)
		}
	}
	if got := strings.Count(html, "<svg"); got != 4 {
		t.Errorf("%d plots", got)
	}
	var text bytes.Buffer
	if err := r.JSON(&text); err != nil {
		t.Fatal(err)
	}
	var back struct {
		Held bool
		Rows []Row
	}
	if err := json.Unmarshal(text.Bytes(), &back); err != nil || back.Held || len(back.Rows) != 2 || back.Rows[0].CaughtUp != 1500*time.Millisecond {
		t.Errorf("got %+v, %v", back, err)
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0", time.Microsecond: "1 ms", 250 * time.Millisecond: "250 ms", 12340 * time.Millisecond: "12.3 s"} {
		if got := Short(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}
