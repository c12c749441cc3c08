package drill

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"chatd/internal/chat"
	"chatd/internal/client"
)

func TestPageShowsTheEndOfTheFeed(t *testing.T) {
	feed := []string{"a", "b", "c"}
	for n := range pageEvents {
		feed = append([]string{fmt.Sprint("before ", n)}, feed...)
	}
	var events []client.Event
	for n, text := range feed {
		events = append(events, client.Event{ID: chat.EventID(fmt.Sprint(n)), Type: chat.Message, Text: text})
	}
	page := func(last ...string) []string { return append(slices.Clone(feed[:pageEvents]), last...) }
	for name, c := range map[string]struct {
		lines   []string
		pending int
		want    string
	}{
		"all":     {page("a", "b", "c"), 0, ""},
		"the end": {feed[3:], 0, ""},
		"too few": {[]string{"b", "c"}, 0, "only 2"},
		"lost":    {page("a", "c"), 0, "not the last"},
		"stale":   {page("a", "b"), 0, "not the last"},
		"doubled": {page("a", "b", "c", "c"), 0, "54 lines"},
		"swapped": {page("a", "c", "b"), 0, "not the last"},
		"waits":   {feed, 1, "still wait"},
		"empty":   {nil, 0, "only 0"},
	} {
		got := wrongPage(c.lines, c.pending, events)
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestPageShowsTheNewestTextAndNothingThatWasTakenBack(t *testing.T) {
	ev := func(id, kind, target, text string) client.Event {
		return client.Event{ID: chat.EventID(id), Type: kind, Target: chat.EventID(target), Text: text}
	}
	feed := []client.Event{ev("1", chat.Gone, "", ""), ev("2", chat.Message, "", "hallo"), ev("3", chat.Message, "", "not sent to you"),
		ev("4", chat.Edited, "2", "hello"), ev("5", chat.Retracted, "3", ""), ev("6", chat.Edited, "2", "hello!"), ev("7", chat.Message, "", "bye")}
	if got, want := lines(feed), []string{"hello!", "bye"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
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
