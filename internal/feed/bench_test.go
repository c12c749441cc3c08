package feed_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"chatd/internal/chat"
	"chatd/internal/chattest"
	"chatd/internal/feed"
)

// BenchmarkAppend appends to one room, one at a time and 64 at once.
func BenchmarkAppend(b *testing.B) {
	f := feed.New(chattest.Real(b), 10_000)
	var n atomic.Int64
	say := func(b *testing.B) {
		_, err := f.Append(b.Context(), feed.Draft{Kind: chat.Message, Room: "general", From: "alice", Key: fmt.Sprint(n.Add(1)), Text: "hello, all of you, and good morning"})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			say(b)
		}
	})
	b.Run("many", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(32)
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				say(b)
			}
		})
	})
}
