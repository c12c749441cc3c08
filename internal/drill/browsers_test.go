package drill

import (
	"strings"
	"testing"

	"chatd/internal/client"
)

func TestPageShowsTheEndOfTheFeed(t *testing.T) {
	feed := []string{"a", "b", "c"}
	for name, c := range map[string]struct {
		lines   []string
		pending int
		want    string
	}{
		"all":     {[]string{"a", "b", "c"}, 0, ""},
		"the end": {[]string{"b", "c"}, 0, ""},
		"lost":    {[]string{"a", "c"}, 0, "not the last"},
		"stale":   {[]string{"a", "b"}, 0, "not the last"},
		"doubled": {[]string{"a", "b", "c", "c"}, 0, "4 lines"},
		"swapped": {[]string{"a", "c", "b"}, 0, "not the last"},
		"waits":   {[]string{"b", "c"}, 1, "still wait"},
		"empty":   {nil, 0, "empty"},
	} {
		got := wrongPage(c.lines, c.pending, feed)
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestWhatWasTypedIsInTheFeedOnce(t *testing.T) {
	said := map[string][]string{"alice": {"one", "two"}}
	ev := func(text string) client.Event { return client.Event{From: "alice", Text: text} }
	for name, c := range map[string]struct {
		feed []client.Event
		want int
	}{
		"well":      {[]client.Event{ev("one"), {From: "bob", Text: "hi"}, ev("two")}, 0},
		"lost":      {[]client.Event{ev("one")}, 1},
		"doubled":   {[]client.Event{ev("one"), ev("two"), ev("two")}, 1},
		"reordered": {[]client.Event{ev("two"), ev("one")}, 1},
	} {
		if got := wrongFeed(c.feed, said); len(got) != c.want {
			t.Errorf("%s: got %q", name, got)
		}
	}
}
