//go:build !race

// The race detector allocates too.

package chat_test

import (
	"encoding/json"
	"strings"
	"testing"

	"chatd/internal/chat"
)

var (
	sendFrame = []byte(`{"type":"send","id":17,"room":"general","key":"mb8k2-1f","text":"` + strings.Repeat("hello ", 20) + `"}`)
	answer    = chat.Kept{Answer: chat.OK(17), Room: "general", Event: "152-8108340212345678", Seq: 152}
)

func decode(tb testing.TB) {
	if reqs, err := chat.DecodeFrame(sendFrame); err != nil || len(reqs) != 1 {
		tb.Fatal(err)
	}
}

func encode(tb testing.TB) {
	if data := chat.Encode(answer); !json.Valid(data) {
		tb.Fatal(string(data))
	}
}

func BenchmarkDecodeFrame(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		decode(b)
	}
}

func BenchmarkEncodeAnswer(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		encode(b)
	}
}

// Allocations are exact where times are not: more of them per message are noticed here.
func TestWhatAMessageAllocates(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(testing.TB)
		most float64
	}{"decode": {decode, 11}, "encode": {encode, 3}} {
		if n := testing.AllocsPerRun(100, func() { c.do(t) }); n > c.most {
			t.Errorf("%s allocates %v times, want at most %v", name, n, c.most)
		}
	}
}
