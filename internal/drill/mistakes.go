package drill

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"chatd/internal/cluster"
)

// A Mistake is one that chatd makes in a build for that, and the faults under which
// the drill must find it. The program knows nothing of it: its source is changed
// while it is compiled, and nowhere else.
type Mistake struct {
	Name, What string
	Faults     []string

	changes []change
}

// A change puts other words in the place of some that stand once in a file.
type change struct{ file, words, others string }

// Mistakes are those that -break knows.
var Mistakes = []Mistake{
	{"dedupe", "a repeat of a message makes another one", []string{"herd", "herd"}, []change{
		{"internal/feed/feed.go", `keyKey(d.Room, d.From, d.Key),`, `keyKey(d.Room, d.From, d.Key) + nonce(),`},
	}},
	{"gap-check", "what the relay missed is not looked for", []string{"pubsub"}, []change{
		{"internal/room/merge.go", `case ev.Prev == m.head:
		m.advance(ev.ID)
		return`, `case true:
		m.advance(ev.ID)
		return`},
		{"internal/room/merge.go", `doubt() (gap bool) {`, `doubt() (gap bool) {
	return false`},
	}},
	// Far from Redis, a read of the history takes long enough for something to come
	// meanwhile. What is lost has something behind it: else nobody could tell before the
	// next message, and the run would wait for it.
	{"join-buffer", "what comes while somebody joins is not always kept for them", []string{"far+herd", "far+herd"}, []change{
		{"internal/room/room.go", `s.held = append(s.held, ev.Data)`, `if n := len(s.held); n > 0 && ev.ID.Seq()%4 == 0 {
				s.held = s.held[:n-1]
			}
			s.held = append(s.held, ev.Data)`},
	}},
	{"shutdown", "SIGTERM ends an instance without asking anybody to move", []string{"term"}, []change{
		{"internal/socket/server.go", `s.tell(drainNotice(total/2), "")`, `return`},
	}},
}

// Build builds a chatd that makes the mistake, or none if m is nil, as cluster.Build
// does.
func (m *Mistake) Build(ctx context.Context, out string) error {
	if m == nil {
		return cluster.Build(ctx, out)
	}
	dir, err := os.MkdirTemp("", "mistake-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	overlay, err := m.overlay(dir)
	if err != nil {
		return fmt.Errorf("mistake %s: %w", m.Name, err)
	}
	return cluster.Build(ctx, out, "-overlay", overlay)
}

// overlay writes the changed files into dir, and what `go help build` says of
// -overlay wants to know of them. It returns the name of that.
func (m *Mistake) overlay(dir string) (string, error) {
	root, err := cluster.Root()
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for i, c := range m.changes {
		name := filepath.Join(root, c.file)
		changed := replace[name]
		if changed == "" {
			changed = filepath.Join(dir, fmt.Sprint(i, ".go"))
			replace[name] = changed
		} else {
			name = changed
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		if n := strings.Count(string(source), c.words); n != 1 {
			return "", fmt.Errorf("%q stands %d times in %s, not once", c.words, n, c.file)
		}
		if err := os.WriteFile(changed, []byte(strings.Replace(string(source), c.words, c.others, 1)), 0o644); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, text, 0o644)
}
