package chat_test

import (
	"errors"
	"strings"
	"testing"

	"chatd/internal/chat"
)

func TestParseName(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "alice", "alice"},
		{"case is folded", "Alice", "alice"},
		{"width is folded", "ａｌｉｃｅ", "alice"},
		{"NFD and NFC are one name", "rene\u0301", "ren\u00e9"},
		{"signs inside", "a-b_c.d", "a-b_c.d"},
		{"one other script", "алиса", "алиса"},
		{"Japanese mixes its own", "日本のカナ", "日本のカナ"},
		{"32 letters", strings.Repeat("a", 32), strings.Repeat("a", 32)},
		{"empty", "", ""},
		{"33 letters", strings.Repeat("a", 33), ""},
		{"huge", strings.Repeat("a", 1<<20), ""},
		{"space", "a b", ""},
		{"sign first", "-a", ""},
		{"at sign", "@alice", ""},
		{"colon", "a:b", ""},
		{"braces", "a{b}", ""},
		{"slash", "a/b", ""},
		{"newline", "a\nb", ""},
		{"escape", "a\x1b[31m", ""},
		{"right-to-left override", "a\u202eb", ""},
		{"zero width joiner", "a\u200db", ""},
		{"Cyrillic a among Latin letters", "p\u0430ypal", ""},
		{"not UTF-8", "a\xff", ""},
		{"emoji", "a😀", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := chat.ParseName(c.in)
			if got != c.want || (err == nil) != (c.want != "") {
				t.Fatalf("ParseName(%q) = %q, %v; want %q", c.in, got, err, c.want)
			}
			var e *chat.Error
			if err != nil && (!errors.As(err, &e) || e.Code != chat.CodeBadName) {
				t.Fatalf("error %v is not bad_name", err)
			}
		})
	}
}

func TestParseRoom(t *testing.T) {
	for _, c := range []struct{ user, in, want, code string }{
		{"alice", "General", "general", ""},
		{"alice", "@Bob", "@alice:bob", ""},
		{"bob", "@alice", "@alice:bob", ""},
		{"bob", "@alice:bob", "@alice:bob", ""},
		{"bob", "@bob:alice", "@alice:bob", ""},
		{"alice", "@alice", "@alice:alice", ""},
		{"cathy", "@alice:bob", "", chat.CodeForbidden},
		{"alice", "@", "", chat.CodeBadName},
		{"alice", "@alice:", "", chat.CodeBadName},
		{"alice", "@a:b:alice", "", chat.CodeBadName},
		{"alice", "", "", chat.CodeBadName},
	} {
		got, err := chat.ParseRoom(c.user, c.in)
		var e *chat.Error
		if errors.As(err, &e); string(got) != c.want || (e == nil) != (c.code == "") || e != nil && e.Code != c.code {
			t.Errorf("ParseRoom(%q, %q) = %q, %v; want %q %s", c.user, c.in, got, err, c.want, c.code)
		}
	}
	if got := chat.Room("@alice:bob").With("bob"); got != "alice" {
		t.Errorf("With = %q", got)
	}
}

func TestParseEventID(t *testing.T) {
	for in, ok := range map[string]bool{
		"": true, "1-0": true, "152-8108340212345678": true, "9007199254740991-9223372036854775807": true,
		"0-1": false, "-1-1": false, "1": false, "01-1": false, "1-": false, "1-1-1": false, "9007199254740992-1": false, "+": false, "1-18446744073709551616": false,
	} {
		if _, err := chat.ParseEventID("after", in); (err == nil) != ok {
			t.Errorf("ParseEventID(%q) error = %v", in, err)
		}
	}
}

func TestDecodeFrame(t *testing.T) {
	for in, want := range map[string]int{
		`{"type":"join","id":1,"room":"a"}`:                     1,
		"{\"type\":\"join\",\"id\":1}\n{\"type\":\"typing\"}\n": 2,
		"": 0, `[]`: -1, `{`: -1, `"x"`: -1, "null": -1, `{"type":"send"}`: -1, `{"type":"send","id":"1"}`: -1,
		`{"type":"send","id":1.5}`: -1, "{\"type\":\"send\",\"id\":1,\"text\":\"\xff\"}": -1, `{"id":1} {"id":2}`: -1,
	} {
		reqs, err := chat.DecodeFrame([]byte(in))
		if (err != nil) != (want < 0) || err == nil && len(reqs) != want {
			t.Errorf("DecodeFrame(%q) = %d requests, %v; want %d", in, len(reqs), err, want)
		}
	}
}

func TestCheckTextAndKey(t *testing.T) {
	for in, ok := range map[string]bool{
		"hello": true, "a\nb\tc": true, "مرحبا": true, "äöü😀": true,
		"": false, " \n\t ": false, "\u200b": true, "a\x00b": false, "a\x1b[31m": false, "12345678901": false, "1234567890": true, "😀😀😀😀😀😀😀😀😀😀": true,
	} {
		if err := chat.CheckText(in, 10); (err == nil) != ok {
			t.Errorf("CheckText(%q) = %v", in, err)
		}
	}
	for in, ok := range map[string]bool{"01JD-x_y.z:1": true, "": false, strings.Repeat("k", 65): false, "a b": false, "ä": false, "{": false} {
		if err := chat.CheckKey(in); (err == nil) != ok {
			t.Errorf("CheckKey(%q) = %v", in, err)
		}
	}
}

func TestEmoji(t *testing.T) {
	for _, good := range []string{"👍", "❤️", "👩‍👩‍👧‍👦", "👍🏽", "🇩🇪", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "1️⃣", "✅", "→", "‼️"} {
		if err := chat.CheckEmoji(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "a", "ok", ":+1:", "1", "👍 👍", "👍a", "\u202e👍", "\u200d", "👍\n", "<b>", "é", "\u0301👍", strings.Repeat("👍", 17)} {
		if err := chat.CheckEmoji(bad); err == nil {
			t.Errorf("%q is taken for an emoji", bad)
		}
	}
}

func FuzzDecodeFrame(f *testing.F) {
	f.Add([]byte(`{"type":"send","id":1,"room":"a","key":"k","text":"hi"}`))
	f.Add([]byte("{\"type\":\"join\",\"id\":1,\"positions\":{\"a\":\"1-2\"}}\n{}"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		reqs, err := chat.DecodeFrame(frame)
		if err != nil && reqs != nil {
			t.Fatal("requests beside an error")
		}
		for _, r := range reqs {
			if r.ID == nil && r.Type != "typing" {
				t.Fatal("a request without an id came through")
			}
		}
	})
}

// A canonical name is its own canonical form, whatever a stranger typed.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"alice", "@bob", "@alice:bob", "ﬁ", "İ", "ǅ", "p\u0430ypal", "\u202e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		room, err := chat.ParseRoom("alice", s)
		if err != nil {
			return
		}
		again, err := chat.ParseRoom("alice", string(room))
		if err != nil || again != room {
			t.Fatalf("%q gives %q, which gives %q, %v", s, room, again, err)
		}
		if strings.ContainsAny(string(room), "{} \n\x00/") {
			t.Fatalf("room %q would break a Redis key", room)
		}
	})
}
