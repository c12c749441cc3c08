package socket

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

// RFC 6455, section 5.2: 7 bits, 16 bits or 64 bits of length, of these the fewest.
func TestFrameHeaders(t *testing.T) {
	for n, want := range map[int]string{
		0: "8100", 2: "8102", 125: "817d", 126: "817e007e", 65_535: "817effff", 65_536: "817f0000000000010000",
	} {
		if got := hex.EncodeToString(appendHeader(nil, n)); got != want {
			t.Errorf("%d bytes: header %s, want %s", n, got, want)
		}
	}
}

// What waits shares frames, which are not too large, in its order; control frames stand
// between them.
func TestObjectsShareFrames(t *testing.T) {
	object := func(n int) []byte { return []byte("{" + strings.Repeat("x", n-2) + "}") }
	o := newOutput()
	for _, size := range []int{10, 40_000, 20_000, 20_000, 10, 300_000, 10} {
		o.objects = append(o.objects, object(size))
	}
	o.objects = append(o.objects, pingFrame, object(10), pongFrame([]byte("hello")), object(11), object(12))
	var all []byte
	for !o.empty() {
		o.fill()
		if len(o.bytes) > 301_000 {
			t.Fatalf("%d bytes for one write", len(o.bytes))
		}
		all = append(all, o.bytes...)
		o.bytes = nil
	}
	var want []byte
	for _, frame := range [][][]byte{
		{object(10), object(40_000), object(20_000)}, {object(20_000), object(10)}, {object(300_000)}, {object(10)}, {pingFrame}, {object(10)}, {pongFrame([]byte("hello"))}, {object(11), object(12)},
	} {
		if isControl(frame[0]) {
			want = append(want, frame[0]...)
			continue
		}
		content := bytes.Join(frame, []byte{'\n'})
		want = append(appendHeader(want, len(content)), content...)
	}
	if !bytes.Equal(all, want) {
		t.Error("objects are in other frames than they should be")
	}
}
