package drill

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"sync"
	"time"

	"chatd/internal/chat"
	"chatd/internal/client"
)

// browsers are headless Chromiums among the people of an act: each writes in a room
// that only browsers write in, and has the crowd's first room open too. What their
// pages show is held against what a fresh login reads.
type browsers struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Scanner
	names []string
	room  string // where they write
	also  string // where they only read

	mu   sync.Mutex // one command at a time
	said map[string][]string
}

const browserPace = 700 * time.Millisecond

// startBrowsers starts n of them with the node script at path, and lets them in.
func startBrowsers(ctx context.Context, script string, n int, name, url, also string) (*browsers, error) {
	b := &browsers{cmd: exec.CommandContext(ctx, "node", script), room: name + "-pages", also: also, said: map[string][]string{}}
	var err error
	if b.in, err = b.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := b.cmd.Start(); err != nil {
		return nil, fmt.Errorf("browsers: %w", err)
	}
	b.out = bufio.NewScanner(out)
	b.out.Buffer(nil, 16<<20)
	for i := range n {
		who := fmt.Sprintf("%s-b%d", name, i+1)
		b.names = append(b.names, who)
		if err := b.ask("enter", map[string]any{"url": url, "name": who, "rooms": []string{also, b.room}}, nil); err != nil {
			b.close()
			return nil, err
		}
	}
	return b, nil
}

func (b *browsers) ask(command string, args, answer any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	line, err := json.Marshal(map[string]any{command: args})
	if err != nil {
		return err
	}
	if _, err := b.in.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("browsers: %w", err)
	}
	if !b.out.Scan() {
		return fmt.Errorf("browsers: %s: %w", command, errors.Join(io.ErrUnexpectedEOF, b.out.Err()))
	}
	var failed struct{ Error string }
	if err := json.Unmarshal(b.out.Bytes(), &failed); err != nil {
		return err
	}
	if failed.Error != "" {
		return fmt.Errorf("browsers: %s: %s", command, failed.Error)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(b.out.Bytes(), answer)
}

// chatter lets them write in turn until quiet is closed.
func (b *browsers) chatter(quiet <-chan struct{}) error {
	again := time.NewTicker(browserPace)
	defer again.Stop()
	for n := 1; ; n++ {
		select {
		case <-again.C:
		case <-quiet:
			return nil
		}
		who := b.names[n%len(b.names)]
		text := fmt.Sprintf("%s types %d", who, n)
		if err := b.ask("say", map[string]string{"name": who, "room": b.room, "text": text}, nil); err != nil {
			return err
		}
		b.said[who] = append(b.said[who], text)
	}
}

// judge waits until the pages show what truth says, or ctx ends, and returns what
// they show wrong.
func (b *browsers) judge(ctx context.Context, truth func(context.Context, ...string) (map[string][]client.Event, error)) ([]string, error) {
	if len(b.said) < len(b.names) {
		return []string{"a browser has typed nothing"}, nil
	}
	feed, err := truth(ctx, b.room, b.also)
	if err != nil {
		return nil, err
	}
	var wrong []string
	for {
		wrong = wrongFeed(feed[b.room], b.said)
		for _, who := range b.names {
			for _, room := range []string{b.room, b.also} {
				var page struct {
					Lines   []string
					Pending int
				}
				if err := b.ask("lines", map[string]string{"name": who, "room": room}, &page); err != nil {
					return nil, err
				}
				if what := wrongPage(page.Lines, page.Pending, feed[room]); what != "" {
					wrong = append(wrong, fmt.Sprintf("the page of %s in %s: %s", who, room, what))
				}
			}
			var seen struct{ Logins int }
			if err := b.ask("complaints", map[string]string{"name": who}, &seen); err != nil {
				return nil, err
			}
			if seen.Logins > 0 {
				wrong = append(wrong, who+" was sent to the login page")
			}
		}
		if len(wrong) == 0 || ctx.Err() != nil {
			return wrong, nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
		// What was on its way may be in the feed by now.
		if again, err := truth(context.WithoutCancel(ctx), b.room, b.also); err == nil {
			feed = again
		}
	}
}

// lines are what a page shows of a feed: each message with its newest text, but for
// those that were taken back.
func lines(feed []client.Event) []string {
	newest, gone := map[chat.EventID]string{}, map[chat.EventID]bool{}
	for _, ev := range feed {
		switch ev.Type {
		case chat.Edited:
			newest[ev.Target] = ev.Text
		case chat.Retracted:
			gone[ev.Target] = true
		}
	}
	var all []string
	for _, ev := range feed {
		if ev.Type == chat.Message && !gone[ev.ID] {
			text, edited := newest[ev.ID]
			if !edited {
				text = ev.Text
			}
			all = append(all, text)
		}
	}
	return all
}

// wrongFeed says what of that which was typed is not in the feed once and in order.
func wrongFeed(feed []client.Event, said map[string][]string) (wrong []string) {
	for who, want := range said {
		var got []string
		for _, ev := range feed {
			if ev.From == who {
				got = append(got, ev.Text)
			}
		}
		if !slices.Equal(got, want) {
			wrong = append(wrong, fmt.Sprintf("%s typed %d lines, and the feed has %d, or in another order", who, len(want), len(got)))
		}
	}
	return wrong
}

// pageEvents are what a page has at least, where there are so many: what a join brings.
const pageEvents = 50

// wrongPage says how what a page shows is not the end of the feed; "" if it is.
func wrongPage(shown []string, pending int, feed []client.Event) string {
	all, least := lines(feed), len(lines(feed[max(0, len(feed)-pageEvents):]))
	switch {
	case pending > 0:
		return fmt.Sprintf("%d lines still wait", pending)
	case len(shown) < least:
		return fmt.Sprintf("only %d lines, and the end of the feed has %d", len(shown), least)
	case len(shown) > len(all):
		return fmt.Sprintf("%d lines, and the feed has %d", len(shown), len(all))
	case !slices.Equal(shown, all[len(all)-len(shown):]):
		all = all[len(all)-len(shown):]
		n := 0
		for shown[n] == all[n] {
			n++
		}
		return fmt.Sprintf("its %d lines are not the last of the feed: line %d is %q, and there is %q", len(shown), n+1, shown[n], all[n])
	}
	return ""
}

func (b *browsers) close() {
	b.in.Close()
	_ = b.cmd.Wait() // it has said what it had to
}
