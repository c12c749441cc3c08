package directory

import "testing"

// What is stored can be read, whatever it is.
func FuzzStored(f *testing.F) {
	for _, s := range []string{"", "1763712000123 All and nothing", "x", "152-8108340212345678 3", " ", "9999999999999999999 x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		if topic, _ := parseTopic(entry); len(topic) > len(entry) {
			t.Errorf("%q is the topic %q", entry, topic)
		}
		if mark := parseMark(entry); mark.Event.Seq() < 0 {
			t.Errorf("%q is the mark %+v", entry, mark)
		}
	})
}
