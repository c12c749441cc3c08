package chat

import (
	"strings"
	"testing"
	"unicode"
)

// Nobody is taken for somebody else because of a letter, or several: such a name is
// refused, or is the same name, or can be found by its skeleton.
func TestNamesThatLookAlikeAreRefusedOrFound(t *testing.T) {
	likes := map[string][]rune{}
	for r, like := range lookAlikes {
		likes[like] = append(likes[like], r)
	}
	cases, refused := 0, 0
	for _, name := range []string{"admin", "alice", "root", "paypal", "moderator", "coco", "support", "system", "a1"} {
		var variants []string
		whole := map[string]string{} // by script
		for i, letter := range name {
			skeleton := Skeleton(string(letter))
			for _, like := range likes[skeleton] {
				variants = append(variants, name[:i]+string(like)+name[i+1:])
			}
			for script, table := range unicode.Scripts {
				for _, like := range likes[skeleton] {
					if unicode.Is(table, like) && len([]rune(whole[script])) == i {
						whole[script] += string(like)
					}
				}
			}
		}
		for _, v := range whole {
			variants = append(variants, v)
		}
		variants = append(variants, strings.ReplaceAll(name, "m", "rn"), strings.ReplaceAll(name, "l", "1"), strings.ReplaceAll(name, "o", "0"))
		for _, v := range variants {
			if len([]rune(v)) < len([]rune(name)) {
				continue // no letter of that script for each of the name's
			}
			cases++
			got, err := ParseName(v)
			switch {
			case err != nil:
				refused++
			case got != name && Skeleton(got) != Skeleton(name):
				t.Errorf("%q (%+q) looks like %q, and is told from it", got, got, name)
			case !isASCII(got) && !strings.ContainsAny(got, everyday) && looksLatin(got):
				t.Errorf("%q (%+q) came through", got, got)
			}
		}
	}
	t.Logf("%d names, %d refused", cases, refused)
	if cases < 400 || refused < 300 {
		t.Errorf("of %d names %d were refused", cases, refused)
	}
	for _, v := range []string{"\u0441\u043e\u0441\u043e", "\u0440\u0430\u0443\u0440\u0430", "\u03bf\u03c1\u03b1", "\uabaa\uabaf", "\u0251lice", "\u1d20\u1d21", "\ua4d0\ua4d3"} {
		if got, err := ParseName(v); err == nil {
			t.Errorf("%+q looks Latin and is the name %q", v, got)
		}
	}
	for _, v := range []string{"\u0435\u0433\u043e\u0440", "\u0430\u043b\u0438\u0441\u0430", "\u03b3\u03b9\u03b1\u03bd\u03bd\u03b7", "\u05e1\u05d5\u05e1", "y\u0131ld\u0131z", "caf\u00e9", "\u65e5\u672c", "\u0938\u0940\u0924\u093e", "\u0e2a\u0e21\u0e0a\u0e32\u0e22", "\ud55c\uae00", "\u0627\u062d\u0645\u062f", "h\u00e6gt", "stra\u00dfe", "tr\u1ea7n"} {
		if _, err := ParseName(v); err != nil {
			t.Errorf("%q is somebody's name: %v", v, err)
		}
	}
	if Skeleton("modern") != Skeleton("rnodern") || Skeleton("alice") == Skeleton("bob") {
		t.Error("skeletons")
	}
}

// What nobody sees, or what turns the direction of what stands beside it, makes no other name.
func TestNothingHidesInAName(t *testing.T) {
	var hidden []rune
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zs, unicode.Zl, unicode.Zp, unicode.Co, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector, unicode.Bidi_Control) {
			if r < 0xe000 || r > 0xf8ff && r < 0xf0000 {
				hidden = append(hidden, r)
			}
		}
	}
	if len(hidden) < 400 {
		t.Fatalf("%d characters", len(hidden))
	}
	for _, r := range append(hidden, 0xfffd, 0xfffe, 0xffff, 0xe000, 0x2800, '<', '>', '&', '"', '\'', '`', '\\', '/', '?', '#', '%', '=', '(', '$', '|', ';', ':', '@', '~', '*', '{', '[', 0x2024, 0xff0e, 0xff20, 0xff1c) {
		for _, name := range []string{"al" + string(r) + "ice", "alice" + string(r), string(r) + "alice"} {
			if got, err := ParseName(name); err == nil && got != "alice" && got != "al.ice" && got != "alice." {
				t.Errorf("%+q is the name %+q", name, got)
			}
		}
	}
	for _, name := range []string{"z" + strings.Repeat("\u0300", 5), "a\u0300\u0301\u0302\u0303\u0304lice", strings.Repeat("\u0300", 3)} {
		if got, err := ParseName(name); err == nil {
			t.Errorf("%+q is the name %+q", name, got)
		}
	}
}

// Each letter of the table has one skeleton, also by the way of others.
func TestASkeletonIsItsOwn(t *testing.T) {
	for letter := range lookAlikes {
		if once := Skeleton(string(letter)); Skeleton(once) != once || Skeleton("x"+once) != "x"+once {
			t.Errorf("%q has the skeleton %q, which has %q", letter, once, Skeleton(once))
		}
	}
	if Skeleton("ҋ") != Skeleton("й\u0326") {
		t.Errorf("%q and %q", Skeleton("ҋ"), Skeleton("й\u0326"))
	}
}
