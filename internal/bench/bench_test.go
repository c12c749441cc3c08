package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "floor" { // this program is the floor's too
		if err := Floor(context.Background(), os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func TestFramesAreReadAsTheyAreWritten(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 100_000} {
		payload := bytes.Repeat([]byte("y"), n)
		frame := appendFrame(nil, opText, payload)
		// A server's frame has no mask: neither the bit nor the four bytes.
		head := len(frame) - n - 4
		server := append(bytes.Clone(frame[:head]), payload...)
		server[1] &^= 0x80
		for cut := range min(len(server), 20) {
			if _, _, rest, ok := cutFrame(server[:cut]); ok || len(rest) != cut {
				t.Fatalf("%d bytes: a frame was read from its first %d", n, cut)
			}
		}
		op, got, rest, ok := cutFrame(append(server, "next"...))
		if !ok || op != opText || !bytes.Equal(got, payload) || string(rest) != "next" {
			t.Errorf("%d bytes: got opcode %d, %d bytes, rest %q, %v", n, op, len(got), rest, ok)
		}
	}
}

func TestATextSaysWhenItWasSentAndItsNumber(t *testing.T) {
	text := appendText(nil, 1234*time.Millisecond, 7)
	text = append(append(text, `","x":1}`+"\n"...), appendText(nil, time.Hour, 1<<31)...)
	if n := bytes.Count(text, []byte{mark}); n != 2 || len(appendText(nil, 0, 0)) != textBytes {
		t.Errorf("%d marks, %q", n, text)
	}
	var got []string
	stamps(text, func(at time.Duration, number int) { got = append(got, fmt.Sprint(at, " ", number)) })
	if want := "1.234s 7, 1h0m0s 2147483648"; strings.Join(got, ", ") != want {
		t.Errorf("got %q, want %s", got, want)
	}
	stamps([]byte("~00"), func(time.Duration, int) { t.Error("half a stamp was read") })
}

func TestDialects(t *testing.T) {
	login := "me"
	for name, test := range map[string]struct {
		d       dialect
		s       socket
		payload string
		want    said
		after   socket // what it remembers
	}{
		"chatd welcomes":        {chatdDialect{}, socket{}, `{"type":"welcome","user":"a"}`, welcome, socket{}},
		"chatd's other answer":  {chatdDialect{}, socket{id: 2}, `{"type":"ok","id":21,"room":"r"}`, nothing, socket{}},
		"chatd, joined":         {chatdDialect{}, socket{id: 2}, `{"type":"ok","id":2,"room":"r","resumed":false}`, joined, socket{}},
		"chatd, resumed":        {chatdDialect{}, socket{id: 2, last: "4-1"}, `{"type":"ok","id":2,"room":"r","resumed":true}`, joined, socket{last: "4-1"}},
		"chatd, lost":           {chatdDialect{}, socket{id: 2, last: "4-1"}, `{"type":"ok","id":2,"room":"r","resumed":false}`, afresh, socket{last: "4-1"}},
		"chatd refuses":         {chatdDialect{}, socket{id: 2}, `{"type":"error","id":2,"code":"banned"}`, refused, socket{}},
		"chatd is busy":         {chatdDialect{}, socket{id: 2}, `{"type":"error","id":2,"code":"unavailable","retry_after_ms":1000}`, busy, socket{}},
		"Centrifugo welcomes":   {centrifugoDialect{}, socket{}, `{"id":1,"connect":{"client":"c","ping":25}}`, welcome, socket{}},
		"Centrifugo, joined":    {centrifugoDialect{}, socket{}, `{"id":2,"subscribe":{"recoverable":true,"epoch":"ab","positioned":true}}`, joined, socket{epoch: "ab", last: "0"}},
		"Centrifugo, recovered": {centrifugoDialect{}, socket{epoch: "ab", last: "1"}, `{"id":2,"subscribe":{"epoch":"ab","publications":[{"data":1,"offset":2}],"recovered":true,"offset":3}}`, joined, socket{epoch: "ab", last: "3"}},
		"Centrifugo, lost":      {centrifugoDialect{}, socket{epoch: "ab", last: "1"}, `{"id":2,"subscribe":{"epoch":"cd","offset":1}}`, afresh, socket{epoch: "cd", last: "1"}},
		"Centrifugo refuses":    {centrifugoDialect{}, socket{}, `{"id":1,"error":{"code":101}}`, refused, socket{}},
		"Socket.IO welcomes":    {socketIODialect{}, socket{}, `40{"sid":"s","pid":"p"}`, welcome, socket{epoch: "p"}},
		"Socket.IO, joined":     {socketIODialect{}, socket{id: 1, epoch: "p"}, `431[]`, joined, socket{epoch: "p"}},
		"Socket.IO, recovered":  {socketIODialect{}, socket{epoch: "p", last: "9-0"}, `40{"sid":"s","pid":"p"}`, resumed, socket{epoch: "p", last: "9-0"}},
		"Socket.IO, lost":       {socketIODialect{}, socket{id: 1, epoch: "q", last: "9-0", lostTrack: true}, `431[]`, afresh, socket{epoch: "q", last: "9-0"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := test.s
			s.login = &login
			got, _ := test.d.heard(&s, []byte(test.payload))
			if got != test.want || s.last != test.after.last || s.epoch != test.after.epoch {
				t.Errorf("got %v, last %q, epoch %q; want %v, %q, %q", got, s.last, s.epoch, test.want, test.after.last, test.after.epoch)
			}
		})
	}
}

func TestDialectsRememberTheLastMessage(t *testing.T) {
	for _, test := range []struct {
		d             dialect
		payload, want string
	}{
		{chatdDialect{}, `{"seq":1,"event":"1-5","prev":""}` + "\n" + `{"seq":2,"event":"2-7","prev":"1-5"}`, "2-7"},
		{centrifugoDialect{}, `{"push":{"channel":"r","pub":{"data":{},"offset":12}}}`, "12"},
		{socketIODialect{}, `42["message","~0","1763-4"]`, "1763-4"},
	} {
		var s socket
		if test.d.remember(&s, []byte(test.payload)); s.last != test.want {
			t.Errorf("%T: got %q, want %q", test.d, s.last, test.want)
		}
	}
}

func TestHeartbeatsAreAnswered(t *testing.T) {
	for _, test := range []struct {
		d       dialect
		payload string
		want    string
	}{
		{chatdDialect{}, `{"type":"ping"}`, ""},
		{centrifugoDialect{}, `{}`, "{}"},
		{centrifugoDialect{}, `{"push":{}}` + "\n{}", "{}"},
		{centrifugoDialect{}, "{}\n" + `{"push":{}}`, "{}"},
		{centrifugoDialect{}, `{"id":3,"publish":{}}`, ""},
		{socketIODialect{}, "2", "3"},
		{socketIODialect{}, `2["message"]`, ""},
	} {
		if got := string(test.d.beat([]byte(test.payload))); got != test.want {
			t.Errorf("%T %q: got %q, want %q", test.d, test.payload, got, test.want)
		}
	}
}

func TestAWatchSeesWhatIsMissingAndWhatCameTwice(t *testing.T) {
	w := &watch{next: 1}
	for _, n := range []int{1, 2, 4, 130, 4} {
		w.saw(n)
	}
	if w.next != 3 || w.doubled != 1 || w.has(3) || !w.has(130) || w.has(500) {
		t.Errorf("got next %d, doubled %d", w.next, w.doubled)
	}
	if w.saw(3); w.next != 5 {
		t.Errorf("next is %d after the hole was filled", w.next)
	}
}

// figures are two rounds in which chatd is so many times as good as is wanted.
func figures(good float64) *Result {
	r := &Result{Sizes: Quick, Systems: []string{floorName, chatdName, centrifugoName}, Machine: "a machine", Versions: []string{"chatd"}}
	for _, noise := range []float64{1, 10} { // of the machine: all systems suffer
		one := round{}
		one.add(fanOut, floorName, Figures{serverCPU: 6 * noise})
		one.add(fanOut, chatdName, Figures{serverCPU: 7 * noise / good, p99: 2 * noise / good})
		one.add(fanOut, centrifugoName, Figures{serverCPU: 12 * noise, p99: 3 * noise})
		one.add(kill, chatdName, Figures{lost: 0, doubled: 0})
		r.rounds = append(r.rounds, one)
	}
	return r
}

func verdict(t *testing.T, r *Result, what, bar string) Bar {
	t.Helper()
	for _, b := range r.Bars() {
		if strings.HasPrefix(b.What, what) && strings.Contains(b.Bar, bar) {
			return b
		}
	}
	t.Fatalf("no bar %s %s", what, bar)
	return Bar{}
}

func TestBarsCompareWithinARound(t *testing.T) {
	if b := verdict(t, figures(1), "fan-out: server CPU", "floor"); b.Verdict != "yes" || b.Measured != "1.17 ×" {
		t.Errorf("got %+v", b)
	}
	if b := verdict(t, figures(0.5), "fan-out: server CPU", "floor"); b.Verdict != "no" {
		t.Errorf("got %+v", b)
	}
	if b := verdict(t, figures(0.5), "fan-out: p99", "Centrifugo"); b.Verdict != "no" {
		t.Errorf("got %+v", b)
	}
	if b := verdict(t, figures(1), "saturated", "Centrifugo"); b.Verdict != "" || b.Measured != "" {
		t.Errorf("what was not measured has a verdict: %+v", b)
	}
}

func TestOneLostMessageInOneRoundBreaksTheBar(t *testing.T) {
	r := figures(1)
	r.rounds[1][subject{kill, chatdName}][lost] = 1
	if b := verdict(t, r, "kill -9: lost", "0"); b.Verdict != "no" {
		t.Errorf("got %+v", b)
	}
	if got := r.cell(subject{kill, chatdName}, lost); got != "1" {
		t.Errorf("the table says %q", got)
	}
}

func TestAPageKeepsWhatPeopleWrote(t *testing.T) {
	page := "# What it costs\n\n" + pageBegin + "\nold\n" + pageEnd + "\n\n## What comes next\n"
	got, err := figures(1).Page(page)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(got, "# What it costs\n\n"+pageBegin) || !strings.HasSuffix(got, pageEnd+"\n\n## What comes next\n") || strings.Contains(got, "old") {
		t.Errorf("got %s", got)
	}
	if !strings.Contains(got, "| chatd | 38.5 (7 to 70) |") {
		t.Errorf("the figures are not there: %s", got)
	}
	if again, err := figures(1).Page(got); err != nil || again != got {
		t.Errorf("written twice it differs: %v", err)
	}
	if _, err := figures(1).Page("# Another page"); err == nil {
		t.Error("a page without the lines was written")
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.314: "0.31", 7: "7", 7.123: "7.12", 14.06: "14.1", 214.4: "214", 20000: "20,000", 1234567.8: "1,234,568"} {
		if got := number(v); got != want {
			t.Errorf("%v: got %s, want %s", v, got, want)
		}
	}
}
