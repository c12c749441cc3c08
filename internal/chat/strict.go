package chat

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
)

// fields are the names that a Request's fields have on the wire.
var fields = func() map[string]bool {
	names := map[string]bool{}
	t := reflect.TypeFor[Request]()
	for i := range t.NumField() {
		names[t.Field(i).Tag.Get("json")] = true
	}
	return names
}()

// ambiguous reports whether another reader could find something else in object, which is
// valid JSON: a name that is there twice, of which some take the first and some the last,
// or one that is a field's but for its case, which encoding/json takes for the field.
// Only the names of its own and of the objects right inside it are looked at: there are
// none further in that anything is read from.
func ambiguous(object []byte) bool {
	var seen [2]names // at depths 1 and 2
	depth := 0
	for i := 0; i < len(object); i++ {
		switch object[i] {
		case '{', '[':
			if depth++; depth == 2 {
				seen[1] = names{}
			}
		case '}', ']':
			depth--
		case '"':
			end := i + 1
			for object[end] != '"' {
				if object[end] == '\\' {
					end++
				}
				end++
			}
			quoted := object[i : end+1]
			i = end
			if depth > len(seen) || !isName(object[i+1:]) {
				continue
			}
			name := unquote(quoted)
			if depth == 1 && !fields[string(name)] && nearly(string(name)) {
				return true
			}
			if !seen[depth-1].add(name) {
				return true
			}
		}
	}
	return false
}

// names are the names of one object. Most have a few, strangers' may have thousands.
type names struct {
	few  [16][]byte
	n    int // of few
	many map[string]bool
}

// add reports whether the name is new.
func (n *names) add(name []byte) bool {
	for _, other := range n.few[:n.n] {
		if bytes.Equal(other, name) {
			return false
		}
	}
	switch {
	case n.n < len(n.few):
		n.few[n.n] = name
		n.n++
	case n.many[string(name)]:
		return false
	case n.many == nil:
		n.many = map[string]bool{string(name): true}
	default:
		n.many[string(name)] = true
	}
	return true
}

// isName reports whether what stands before rest is the name of a field.
func isName(rest []byte) bool {
	rest = bytes.TrimLeft(rest, " \t\r\n")
	return len(rest) > 0 && rest[0] == ':'
}

func unquote(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // it was read once already
	return []byte(s)
}

func nearly(name string) bool {
	for field := range fields {
		if strings.EqualFold(field, name) {
			return true
		}
	}
	return false
}
