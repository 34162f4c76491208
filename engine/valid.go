package engine

import (
	"encoding/binary"
	"math"
	"math/bits"
	"unsafe"
)

// maxValid is how deep a text may be nested that is checked here.
const maxValid = 100

// readValid reads a text that is one JSON object with nothing around it, nested at most maxValid deep, and reports whether it
// is. The members are those that read finds.
func (d *document) readValid(text string) bool {
	d.text, d.members, d.escapes = text, d.members[:0], false
	d.names = nameFilter{}
	if text == "" || text[0] != '{' || len(text) > math.MaxInt32 {
		return false
	}
	v := validator{text: unsafe.Slice(unsafe.StringData(text), len(text)), to: d} //nolint:gosec // only read
	return v.object(1, 1, true) == len(text)
}

// A validator checks JSON by RFC 8259, in any bytes above 127, and fills a document on the way. Its methods return the place
// behind what begins at a place, noPlace if that is not JSON or nested too deep.
type validator struct {
	text []byte
	to   *document
}

const noPlace = -1

// object checks an object, from behind its bracket. Its members are noted if they are kept, as far as read goes down.
func (v *validator) object(at, depth int, kept bool) int {
	if at = v.blanks(at); v.is(at, '}') {
		return at + 1
	}
	for v.is(at, '"') {
		m := member{name: int32(at + 1)} //nolint:gosec // readValid has seen to it
		if at = v.str(at + 1); at == noPlace {
			return noPlace
		}
		m.nameEnd = int32(at - 1) //nolint:gosec // see above
		if at = v.blanks(at); !v.is(at, ':') {
			return noPlace
		}
		at = v.blanks(at + 1)
		m.raw = int32(at) //nolint:gosec // see above
		i := len(v.to.members)
		if kept {
			v.to.names.add(v.to.name(&m))
			v.to.members = append(v.to.members, m)
		}
		if at = v.value(at, depth, kept && depth < maxObjects); at == noPlace {
			return noPlace
		}
		if kept {
			m.rawEnd, m.next = int32(at), int32(len(v.to.members)) //nolint:gosec // see above
			v.to.members[i] = m
		}
		if at = v.blanks(at); v.is(at, '}') {
			return at + 1
		}
		if !v.is(at, ',') {
			return noPlace
		}
		at = v.blanks(at + 1)
	}
	return noPlace
}

// array checks an array, from behind its bracket.
func (v *validator) array(at, depth int) int {
	if at = v.blanks(at); v.is(at, ']') {
		return at + 1
	}
	for {
		if at = v.value(at, depth, false); at == noPlace {
			return noPlace
		}
		if at = v.blanks(at); v.is(at, ']') {
			return at + 1
		}
		if !v.is(at, ',') {
			return noPlace
		}
		at = v.blanks(at + 1)
	}
}

// value checks a value; the members of an object are noted if they are kept. depth is that of what the value is in.
func (v *validator) value(at, depth int, kept bool) int {
	if at >= len(v.text) {
		return noPlace
	}
	switch c := v.text[at]; c {
	case '"':
		return v.str(at + 1)
	case '{', '[':
		switch {
		case depth >= maxValid:
			return noPlace
		case c == '{':
			return v.object(at+1, depth+1, kept)
		}
		return v.array(at+1, depth+1)
	case 't':
		return v.word(at, "true")
	case 'f':
		return v.word(at, "false")
	case 'n':
		return v.word(at, "null")
	}
	return v.number(at)
}

// is reports whether a byte is at a place.
func (v *validator) is(at int, c byte) bool { return at < len(v.text) && v.text[at] == c }

func (v *validator) word(at int, word string) int {
	if len(v.text)-at < len(word) || string(v.text[at:at+len(word)]) != word {
		return noPlace
	}
	return at + len(word)
}

// blanks returns the place behind blanks, of which Wazuh writes none.
func (v *validator) blanks(at int) int {
	if at < len(v.text) && v.text[at] > ' ' {
		return at
	}
	return v.someBlanks(at)
}

func (v *validator) someBlanks(at int) int {
	for at < len(v.text) {
		switch v.text[at] {
		case ' ', '\t', '\n', '\r':
			at++
		default:
			return at
		}
	}
	return at
}

// str checks a string, from behind its first quote. It looks at eight bytes at once for one that is not plain.
func (v *validator) str(at int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	text := v.text
	for {
		for at+8 <= len(text) {
			w := binary.LittleEndian.Uint64(text[at:])
			quote, slash := w^ones*'"', w^ones*'\\'
			// A high bit is set for the first byte that is a control character, a quote or a backslash; for those behind it, perhaps.
			odd := ((w-ones*' ')&^w | (quote-ones)&^quote | (slash-ones)&^slash) & highs
			if odd != 0 {
				at += bits.TrailingZeros64(odd) / 8
				break
			}
			at += 8
		}
		for at < len(text) && text[at] >= ' ' && text[at] != '"' && text[at] != '\\' {
			at++ // near the end of the text
		}
		switch {
		case at >= len(text) || text[at] < ' ':
			return noPlace
		case text[at] == '"':
			return at + 1
		}
		v.to.escapes = true
		if at = v.escape(at + 1); at == noPlace {
			return noPlace
		}
	}
}

// escape checks what is behind a backslash.
func (v *validator) escape(at int) int {
	if at >= len(v.text) {
		return noPlace
	}
	switch v.text[at] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return at + 1
	case 'u':
	default:
		return noPlace
	}
	if len(v.text)-at < 5 {
		return noPlace
	}
	for _, c := range v.text[at+1 : at+5] {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return noPlace
		}
	}
	return at + 5
}

func (v *validator) number(at int) int {
	if v.is(at, '-') {
		at++
	}
	if v.is(at, '0') {
		at++
	} else if at = v.digits(at); at == noPlace {
		return noPlace
	}
	if v.is(at, '.') {
		if at = v.digits(at + 1); at == noPlace {
			return noPlace
		}
	}
	if v.is(at, 'e') || v.is(at, 'E') {
		if at++; v.is(at, '+') || v.is(at, '-') {
			at++
		}
		return v.digits(at)
	}
	return at
}

// digits checks digits, one at least.
func (v *validator) digits(at int) int {
	from := at
	for at < len(v.text) && v.text[at]-'0' <= 9 {
		at++
	}
	if at == from {
		return noPlace
	}
	return at
}
