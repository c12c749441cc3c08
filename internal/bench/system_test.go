//go:build integration

package bench

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chatd/internal/cluster"
)

// Everything but the peers, in small: it runs, nothing is lost, and each load has its
// figures.
func TestSmallBench(t *testing.T) {
	dir, err := os.MkdirTemp("", "bench-") // t.TempDir is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	chatd := filepath.Join(dir, "program")
	if err := cluster.Build(t.Context(), chatd); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	result, err := Run(ctx, Options{
		Dir: dir, Chatd: chatd, Floor: []string{os.Args[0], "floor"}, Rounds: 1, Report: func(text string) { t.Log(time.Now().Format("05.000"), text) },
		Sizes: Sizes{Warm: 100 * time.Millisecond, Silence: 100 * time.Millisecond, Sockets: 40, Rooms: 4, Rate: 50, FanOut: 500 * time.Millisecond, Saturated: 200 * time.Millisecond, Window: 8,
			Idle: 100, IdleFor: 200 * time.Millisecond, Most: 200, Senders: 8, SendRooms: 16, Sends: 200 * time.Millisecond,
			Quiet: 20, Resumes: 2, KillRate: 100, Herd: 100},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range result.Failed {
		t.Error(what)
	}
	var table bytes.Buffer
	if err := result.Table(&table); err != nil {
		t.Fatal(err)
	}
	for _, a := range about {
		if len(result.rounds[0][subject{a.load, chatdName}]) == 0 {
			t.Errorf("no figures of %s", a.load)
		}
		if !strings.Contains(table.String(), "\n"+a.load+" ") {
			t.Errorf("the table does not tell of %s:\n%s", a.load, &table)
		}
	}
	for _, load := range []string{kill, herd} {
		f := result.rounds[0][subject{load, chatdName}]
		if f[lost] != 0 || f[doubled] != 0 || f[caughtUp] <= 0 {
			t.Errorf("%s: %v", load, f)
		}
	}
	if f := result.rounds[0][subject{quietSend, chatdName}]; f[trips] < 1 || f[p99] <= 0 {
		t.Errorf("%s: %v", quietSend, f)
	}
}
