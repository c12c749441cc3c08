package chat

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"
)

// maxNameRunes bounds the names of people and rooms, in code points.
const maxNameRunes = 32

// ParseName returns the canonical form of a person's or public room's name: 1
// to 32 letters, digits, '-', '_' and '.', beginning with a letter or digit,
// folded by the UsernameCaseMapped profile of RFC 8265 (width, case, NFC, the
// bidi rule), and in one script, none of whose letters were chosen to look Latin, so
// that no name borrows letters that look like another's. The error is an *Error of code bad_name that a person can read.
func ParseName(s string) (string, error) {
	if s == "" {
		return "", badName("A name is needed.")
	}
	if !utf8.ValidString(s) || len(s) > maxNameRunes*utf8.UTFMax {
		return "", badName("This name is too long: 32 characters at most.")
	}
	name, err := precis.UsernameCaseMapped.String(s)
	if err != nil {
		return "", badName("This name has characters that are not allowed: use letters, digits, '-', '_' and '.'.")
	}
	if utf8.RuneCountInString(name) > maxNameRunes {
		return "", badName("This name is too long: 32 characters at most.")
	}
	for i, r := range name {
		letter := unicode.IsLetter(r) || unicode.IsDigit(r)
		if !letter && (i == 0 || !unicode.IsMark(r) && !strings.ContainsRune("-_.", r)) {
			return "", badName("This name has characters that are not allowed: use letters, digits, '-', '_' and '.', and begin with a letter or digit.")
		}
	}
	if mixesScripts(name) {
		return "", badName("This name mixes alphabets, which makes it look like another's: use one.")
	}
	if looksLatin(name) {
		return "", badName("This name looks as if it were in Latin letters: write it in those, or add a letter that they do not have.")
	}
	if piled(name) {
		return "", badName("This name has too many marks on one letter.")
	}
	return name, nil
}

// Skeleton returns what two names have in common that people take for one another
// (UTS 39, section 4): "rn" for "m", Latin letters for those of other scripts that look
// like them, "o" and "l" for digits. It is for comparing, and no name to show.
func Skeleton(name string) string {
	former, skeleton := "", norm.NFD.String(name)
	for skeleton != former { // a letter may look like one with a mark, whose letter looks like another
		var b strings.Builder
		for _, r := range skeleton {
			if like, ok := lookAlikes[r]; ok {
				b.WriteString(like)
			} else {
				b.WriteRune(r)
			}
		}
		former, skeleton = skeleton, norm.NFD.String(b.String())
	}
	return skeleton
}

const (
	// everyday are letters of other languages in Latin script. A name may have them,
	// though they look like others: Skeleton finds who is meant by it.
	everyday = "ıæœ" // ı æ œ
	// distant are letters whose likeness is too distant to refuse people's own names for
	// it, such as Егор.
	distant = "бгґүγσ" // б г ґ ү γ σ
)

// looksLatin reports whether a name that is not in ASCII looks as if it were.
func looksLatin(name string) bool {
	if isASCII(name) || strings.ContainsAny(name, everyday+distant) {
		return false
	}
	for _, r := range name {
		if unicode.In(r, unicode.Arabic, unicode.Hebrew) { // read from the right
			return false
		}
	}
	skeleton := Skeleton(name)
	return isASCII(skeleton) && !strings.ContainsFunc(skeleton, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r)
	})
}

// maxMarks is how many marks a letter may carry; more hide what stands above and below.
const maxMarks = 4

func piled(name string) bool {
	marks := 0
	for _, r := range norm.NFD.String(name) {
		if !unicode.Is(unicode.Mn, r) {
			marks = 0
		} else if marks++; marks > maxMarks {
			return true
		}
	}
	return false
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// together are scripts that one language writes in one word (UTS 39, section 5.2).
var together = [][]string{
	{"Han", "Hiragana", "Katakana", "Latin"},
	{"Han", "Bopomofo", "Latin"},
	{"Han", "Hangul", "Latin"},
}

func mixesScripts(name string) bool {
	if isASCII(name) {
		return false
	}
	scripts := map[string]bool{}
	for _, r := range name {
		for script, table := range unicode.Scripts {
			if script != "Common" && script != "Inherited" && unicode.Is(table, r) {
				scripts[script] = true
			}
		}
	}
	if len(scripts) <= 1 {
		return false
	}
	for _, set := range together {
		within := 0
		for _, script := range set {
			if scripts[script] {
				within++
			}
		}
		if within == len(scripts) {
			return false
		}
	}
	return true
}

// Universe is the room that shows what is said in all public rooms. It has no
// feed of its own.
const Universe Room = "universe"

// A Room is a room's canonical name: "general", "~board" for a private room, or
// "@alice:bob" for the direct conversation of two people, whose names stand in order.
// So anybody can tell from the name who may be in it.
type Room string

// ParseRoom reads a room's name as user writes it: a public room's name, a private
// one's as "~NAME", a direct conversation as "@NAME" or by its canonical name. The
// error is an *Error: bad_name, or forbidden for a conversation of others.
func ParseRoom(user, s string) (Room, error) {
	if rest, private := strings.CutPrefix(s, "~"); private {
		name, err := ParseName(rest)
		return Room("~" + name), err
	}
	rest, direct := strings.CutPrefix(s, "@")
	if !direct {
		name, err := ParseName(s)
		return Room(name), err
	}
	a, b, canonical := strings.Cut(rest, ":")
	if !canonical {
		b = user
	}
	a, err := ParseName(a)
	if err != nil {
		return "", err
	}
	if b, err = ParseName(b); err != nil {
		return "", err
	}
	if a != user && b != user {
		return "", &Error{Code: CodeForbidden, Message: "This is a conversation of other people."}
	}
	if b < a {
		a, b = b, a
	}
	return Room("@" + a + ":" + b), nil
}

// Private reports whether the room is for those who were invited.
func (r Room) Private() bool { return strings.HasPrefix(string(r), "~") }

// Public reports whether anybody may be in the room.
func (r Room) Public() bool { return !strings.HasPrefix(string(r), "@") && !r.Private() }

// Members is the part of a room that holds who has which role: a hash NAME -> role. In a
// private room that is everybody who is in it, in a public one nobody who is just a
// member. In a room that was removed it has the field "".
const Members = "members"

// Key returns the name under which Redis holds a part of the room. All parts of a room
// are in one slot.
func (r Room) Key(part string) string { return "chatd:{" + string(r) + "}:" + part }

// Direct returns the two people of a direct conversation, the same one twice
// for somebody's notes to self. ok is false for any other room.
func (r Room) Direct() (a, b string, ok bool) {
	rest, direct := strings.CutPrefix(string(r), "@")
	if !direct {
		return "", "", false
	}
	return strings.Cut(rest, ":")
}

// With returns the other person of user's direct conversation, "" for any other
// room.
func (r Room) With(user string) string {
	a, b, _ := r.Direct()
	if a == user {
		return b
	}
	return a
}
