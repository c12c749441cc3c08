package chat

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// What passes is what it says, whatever a stranger sent.
func FuzzFields(f *testing.F) {
	for _, s := range []string{"", "1-0", "152-8108340212345678", "01-1", "9007199254740992-1", "01JD-x_y.z:1", "hello\nyou", "👩‍👩‍👧‍👦", "1️⃣", "\u202e👍", "a\x1b[31m", "\xff", "ҋ"} {
		f.Add(s, int64(len(s)))
	}
	f.Fuzz(func(t *testing.T, s string, n int64) {
		if id, err := ParseEventID("after", s); err == nil && s != "" && (id.Seq() < 1 || strings.ContainsAny(s, " +,\n")) {
			t.Errorf("%q is the id of event %d", s, id.Seq())
		}
		if mark, err := ParseMark(s, n); err == nil && (mark.Back != n || n < 0 || mark.Event == "" && n == 0) {
			t.Errorf("%q, %d is the mark %+v", s, n, mark)
		}
		if CheckKey(s) == nil && (s == "" || strings.ContainsAny(s, "{} \r\n\x00*")) {
			t.Errorf("%q is a key", s)
		}
		if CheckEmoji(s) == nil && (utf8.RuneCountInString(s) > maxEmoji || strings.ContainsAny(s, "<>&\"'aA\n\u202e\u200b")) {
			t.Errorf("%q is an emoji", s)
		}
		if CheckTopic(s) == nil && strings.ContainsAny(s, "\r\n\x00\x1b") {
			t.Errorf("%q is a topic", s)
		}
		if err := CheckText(s, 100); err == nil && (utf8.RuneCountInString(s) > 100 || strings.ContainsAny(s, "\x00\x1b")) {
			t.Errorf("%q is a text", s)
		}
		_ = CheckQuery(s)
		if Skeleton(Skeleton(s)) != Skeleton(s) && utf8.ValidString(s) {
			t.Errorf("%q has the skeleton %q, which has another", s, Skeleton(s))
		}
	})
}
