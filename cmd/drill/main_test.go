package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chatd/internal/drill"
	"chatd/internal/judge"
)

// call runs the command and returns what it wrote.
func call(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	failed := run(context.Background(), args, out)
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text), failed
}

func TestWrongArgumentsAreSaidBeforeAnythingStarts(t *testing.T) {
	for args, want := range map[string]string{
		"-plan kill,earthquake":              `no fault "earthquake"`,
		"-break physics":                     "no such mistake",
		"-break dedupe -chatd /bin/true":     "a build of its own",
		"-people 3":                          "want 4 to 5000",
		"-rooms 40":                          "half as many",
		"-instances 2":                       "want 3 to",
		"-pace 1ms":                          "10ms or more",
		"-browsers 11":                       "want 0 to 10",
		"-minutes 0":                         "want 0.1 to 1440",
		"-exec true":                         "-exec is for -url",
		"-url http://127.0.0.1:1 -plan kill": "runs already",
		"-url http://127.0.0.1:1 -random 1m": "runs already",
		"-logins x":                          "-logins is for -url",
		"-url http://127.0.0.1:1 -logins " + filepath.Join("no", "such"): "no such file",
		"-url http://127.0.0.1:1 -logins " + os.DevNull:                  "0 logins, and -people is 60",
		"kill":  `unexpected argument "kill"`,
		"judge": "usage",
		"judge " + filepath.Join("no", "such.jsonl"): "no such file",
	} {
		_, err := call(t, strings.Fields(args)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("drill %s: got %v, want %q", args, err, want)
		}
	}
}

func TestListNamesFaultsAndMistakes(t *testing.T) {
	out, err := call(t, "-list")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range drill.Standard() {
		if !strings.Contains(out, f.Name) || !strings.Contains(out, f.What) {
			t.Errorf("%s is not in:\n%s", f.Name, out)
		}
	}
	for _, m := range drill.Mistakes {
		if !strings.Contains(out, m.What) {
			t.Errorf("%s is not in:\n%s", m.Name, out)
		}
	}
}

func TestJudgeOfAFile(t *testing.T) {
	at := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	ev := judge.Event{ID: "1-7", Seq: 1, Type: "message", From: "alice", Key: "k", Text: "hello"}
	history := []judge.Entry{
		{At: at, Kind: drill.Act, Note: "kill"},
		{At: at, Kind: judge.LoggedIn, Client: "alice", User: "alice"},
		{At: at, Kind: judge.Sent, Client: "alice", User: "alice", Room: "den", Event: judge.Event{Type: "message", Key: "k", Text: "hello"}},
		{At: at, Kind: judge.Confirmed, Client: "alice", User: "alice", Room: "den", Event: judge.Event{ID: "1-7", Key: "k", Seq: 1}},
		{At: at, Kind: judge.Feed, Room: "den", Events: []judge.Event{ev}},
	}
	file := func() string {
		f, err := os.Create(filepath.Join(t.TempDir(), "h.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := judge.Write(f, history...); err != nil {
			t.Fatal(err)
		}
		return f.Name()
	}
	if out, err := call(t, "judge", file()); err != nil || !strings.Contains(out, "kill") {
		t.Errorf("got %v and:\n%s", err, out)
	}
	history[4].Events = nil
	if out, err := call(t, "judge", file()); !errors.Is(err, errBroken) || !strings.Contains(out, "lost") {
		t.Errorf("a lost message: got %v and:\n%s", err, out)
	}
}

func TestProgressIsLineByLineInAFile(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := newProgress(out)
	p.say("kill: healing")
	p.row(drill.Row{Name: "kill", Confirmed: 3})
	p.row(drill.Row{Name: "redis", Broken: []string{"it is gone"}})
	p.done()
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	if got := string(text); strings.ContainsAny(got, "\r\x1b") || strings.Count(got, "\n") != 3 || !strings.Contains(got, "redis    BROKEN: it is gone") {
		t.Errorf("got %q", got)
	}
}
