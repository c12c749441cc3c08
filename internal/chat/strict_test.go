package chat

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Two readers of a frame find the same in it, or it is refused.
func TestFramesAreReadInOneWayOnly(t *testing.T) {
	for _, c := range []struct {
		name, frame string
		ok          bool
	}{
		{"plain", `{"type":"send","id":1,"room":"a","key":"k","text":"hi"}`, true},
		{"unknown fields", `{"type":"rooms","id":1,"x":1,"y":{"a":1,"b":[{"a":1},{"a":2}]},"z":null}`, true},
		{"names as values", `{"type":"send","id":1,"room":"room","key":"room","text":"\"room\":\"room\""}`, true},
		{"names in text", `{"type":"send","id":1,"text":"{\"id\":2}","room":"a"}`, true},
		{"spaces", "{ \"type\" : \"rooms\" ,\t\"id\" : 1 }", true},
		{"positions", `{"type":"join","id":1,"room":"universe","positions":{"a":"1-1","b":"1-1"}}`, true},
		{"id twice", `{"type":"rooms","id":1,"id":2}`, false},
		{"room twice, the same", `{"type":"join","id":1,"room":"a","room":"a"}`, false},
		{"room twice, once escaped", `{"type":"join","id":1,"room":"a","r\u006fom":"b"}`, false},
		{"room in capitals", `{"type":"join","id":1,"ROOM":"a"}`, false},
		{"room in both", `{"type":"join","id":1,"room":"a","Room":"b"}`, false},
		{"a letter that folds to k", `{"type":"send","id":1,"room":"a","` + "\u212a" + `ey":"x","text":"x"}`, false},
		{"a letter that folds to s", `{"type":"members","id":1,"u` + "\u017f" + `er":"x"}`, false},
		{"an unknown field twice", `{"type":"rooms","id":1,"x":1,"x":2}`, false},
		{"a position twice", `{"type":"join","id":1,"room":"universe","positions":{"a":"1-1","a":"2-2"}}`, false},
		{"a position twice, once escaped", `{"type":"join","id":1,"room":"universe","positions":{"a":"1-1","\u0061":"2-2"}}`, false},
		{"type twice behind much else", `{"type":"rooms","id":1,` + many(40) + `"type":"leave"}`, false},
		{"numbers with a fraction", `{"type":"read","id":1,"back":1.5}`, false},
		{"numbers beyond integers", `{"type":"read","id":1,"back":9223372036854775808}`, false},
		{"numbers as text", `{"type":"history","id":1,"limit":"5"}`, false},
		{"NaN", `{"type":"history","id":1,"limit":NaN}`, false},
		{"a comment", `{"type":"rooms","id":1/* */}`, false},
		{"a comma too many", `{"type":"rooms","id":1,}`, false},
		{"single quotes", `{'type':'rooms','id':1}`, false},
		{"leading zero", `{"type":"rooms","id":01}`, false},
		{"a byte order mark", "\ufeff" + `{"type":"rooms","id":1}`, false},
		{"half a surrogate", `{"type":"send","id":1,"text":"\ud800"}`, true}, // U+FFFD for all readers
		{"deep", `{"type":"rooms","id":1,"x":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, false},
	} {
		if _, err := DecodeFrame([]byte(c.frame)); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	huge := []byte(`{"type":"rooms","id":1,` + many(6000) + `"z":1}`)
	if began := time.Now(); len(huge) > MaxFrameBytes || ambiguous(huge) || time.Since(began) > 200*time.Millisecond {
		t.Errorf("%d bytes of fields took %v", len(huge), time.Since(began))
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"x%d":1,`, i)
	}
	return b.String()
}

// What is not ambiguous says the same to a reader that knows case and takes the last of two.
func FuzzAmbiguous(f *testing.F) {
	f.Add([]byte(`{"type":"send","id":1,"room":"a","Room":"b","positions":{"a":"1-1"}}`))
	f.Add([]byte(`{"type":"se\"nd","id":1,"t\u0065xt":"\\","x":[{"a":"b"},"c:"]}`))
	f.Fuzz(func(t *testing.T, frame []byte) {
		var req Request
		var exact map[string]json.RawMessage
		if json.Unmarshal(frame, &req) != nil || json.Unmarshal(frame, &exact) != nil || exact == nil || ambiguous(frame) {
			return
		}
		for name, got := range map[string]string{"type": req.Type, "room": req.Room, "text": req.Text, "key": req.Key, "user": req.User} {
			var want string
			if raw, ok := exact[name]; ok {
				if err := json.Unmarshal(raw, &want); err != nil {
					t.Fatal(err)
				}
			}
			if got != want {
				t.Errorf("%s is %q in %q, and %q to another reader", name, got, frame, want)
			}
		}
	})
}

func BenchmarkDecodeFrame(b *testing.B) {
	frame := []byte(`{"type":"send","id":12345,"room":"general","key":"01JDABCDEFGHJKMNPQRSTVWXYZ","text":"` + strings.Repeat("hello there ", 10) + `"}`)
	for b.Loop() {
		if _, err := DecodeFrame(frame); err != nil {
			b.Fatal(err)
		}
	}
}
