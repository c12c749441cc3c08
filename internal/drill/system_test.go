//go:build integration

package drill

import (
	"bytes"
	"fmt"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chatd/internal/client"
	"chatd/internal/cluster"
)

// build returns a folder for a run, and a chatd that makes the mistake, if any.
func build(t *testing.T, mistake *Mistake) (dir, chatd string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "drill-") // t.TempDir is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			os.RemoveAll(dir)
		}
	})
	chatd = filepath.Join(dir, "chatd")
	if err := mistake.Build(t.Context(), chatd); err != nil {
		t.Fatal(err)
	}
	return dir, chatd
}

// run drills a chatd that makes the mistake, if any.
func run(t *testing.T, names []string, mistake *Mistake) *Result {
	t.Helper()
	faults, err := Find(names)
	if err != nil {
		t.Fatal(err)
	}
	dir, chatd := build(t, mistake)
	history, err := os.Create(filepath.Join(dir, "history.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer history.Close()
	result, err := Run(t.Context(), Options{Faults: faults, Seed: 1, People: 30, Rooms: 3, Pace: 500 * time.Millisecond,
		Instances: 3, Dir: dir, Chatd: chatd, History: history})
	if err != nil {
		t.Fatal(err)
	}
	if err := result.Table(t.Output()); err != nil {
		t.Fatal(err)
	}
	// The history says the same as the run.
	if _, err := history.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	acts, err := Judge(history)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range acts {
		if row := result.Rows[i]; a.Act != row.Name || a.Report.Confirmed != row.Confirmed || len(a.Report.Faults) == 0 != (len(row.Faults) == 0) {
			t.Errorf("judged again, %s has %d confirmed and %d faults", a.Act, a.Report.Confirmed, len(a.Report.Faults))
		}
	}
	return result
}

// The five faults that tell most, and one of a link.
func TestShortPlan(t *testing.T) {
	if !run(t, []string{"kill", "rolling", "redis", "pubsub", "herd", "cut"}, nil).Held() {
		t.Error("a promise was broken")
	}
}

func TestEachMistakeIsFound(t *testing.T) {
	for _, m := range Mistakes {
		t.Run(m.Name, func(t *testing.T) {
			found := map[string]func(r *Row) int{
				"dedupe":      func(r *Row) int { return r.Doubled },
				"gap-check":   func(r *Row) int { return r.Disagree + r.Other },
				"join-buffer": func(r *Row) int { return r.Disagree + r.Other },
				"shutdown":    func(r *Row) int { return r.SocketsLost },
			}[m.Name]
			result := run(t, m.Faults, &m)
			n := 0
			for i := range result.Rows {
				n += found(&result.Rows[i])
			}
			if result.Held() || n == 0 {
				t.Errorf("%s, and the drill did not notice", m.What)
			}
		})
	}
}

// Somebody's own system, whose owner kills an instance.
func TestWatch(t *testing.T) {
	dir, chatd := build(t, nil)
	c, err := cluster.Start(t.Context(), cluster.Options{Dir: filepath.Join(dir, "own"), Chatd: chatd, Instances: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	opts := Options{Seed: 1, People: 20, Rooms: 2, Pace: 300 * time.Millisecond}
	result, err := Watch(t.Context(), opts, c.URL(), 4*time.Second, fmt.Sprint("kill -9 ", c.Instances()[0].PID()))
	if err != nil {
		t.Fatal(err)
	}
	if row := result.Rows[0]; !result.Held() || row.SocketsLost == 0 || row.OfflineLongest == 0 || row.Confirmed == 0 {
		t.Errorf("got %+v", row)
	}
	// With logins that the owner made, as where guests are not allowed.
	at, err := url.Parse(c.URL())
	if err != nil {
		t.Fatal(err)
	}
	for n := range opts.People {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		own, err := client.New(client.Options{URL: c.URL(), User: fmt.Sprint("own-", n), Jar: jar})
		if err == nil {
			err = own.Login(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		opts.Logins = append(opts.Logins, Login{own.User(), jar.Cookies(at)[0].Value})
	}
	var history bytes.Buffer
	opts.History = &history
	result, err = Watch(t.Context(), opts, c.URL(), time.Second, "echo no such luck; false")
	if err != nil {
		t.Fatal(err)
	}
	if row := result.Rows[0]; result.Held() || !strings.Contains(row.Broken[0], "no such luck") {
		t.Errorf("a command that failed: %+v", row)
	} else if row.Confirmed == 0 || len(row.Broken) != 1 || !strings.Contains(history.String(), `"user":"own-19"`) || strings.Contains(history.String(), `"user":"d`) {
		t.Errorf("with logins: %+v", row)
	}
}

func TestBrowsersAmongThePeople(t *testing.T) {
	dir, chatd := build(t, nil)
	faults, err := Find([]string{"haproxy"})
	if err != nil {
		t.Fatal(err)
	}
	result, err := Run(t.Context(), Options{Faults: faults, Seed: 1, People: 10, Rooms: 2, Pace: 500 * time.Millisecond, Instances: 3,
		Dir: dir, Chatd: chatd, Browsers: 1, Script: "../../cmd/drill/browsers.js"})
	if err != nil {
		t.Fatal(err)
	}
	if err := result.Table(t.Output()); err != nil {
		t.Fatal(err)
	}
	if !result.Held() || result.Rows[0].Pages != 1 {
		t.Errorf("got %+v", result.Rows[0])
	}
}
