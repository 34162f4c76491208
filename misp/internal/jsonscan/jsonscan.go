// Package jsonscan goes through a JSON document piece by piece, without memory of its own: whoever reads an answer can
// count its elements, or stop, before anything is made of them. A document of a few bytes may have millions of elements.
//
// The document has to be valid ([encoding/json.Valid]). One that is not ends early, but never makes a function panic or
// read on for ever. Each function takes time in proportion to what it goes over.
package jsonscan

import (
	"bytes"
	"iter"
)

// Elements yields the elements of a list; nothing for any other value. They are parts of data.
func Elements(data []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		rest, ok := open(data, '[')
		for ok && rest[0] != ']' {
			n := length(rest)
			if n == 0 || !yield(rest[:n]) {
				return
			}
			rest, ok = next(rest[n:])
		}
	}
}

// Members yields the keys and values of an object; nothing for any other value. They are parts of data. A key is what
// stands between the quotes, with its escapes.
func Members(data []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		rest, ok := open(data, '{')
		for ok && rest[0] == '"' {
			n := stringLength(rest)
			if n < 2 || rest[n-1] != '"' {
				return
			}
			key := rest[1 : n-1]
			rest = trim(rest[n:])
			if len(rest) == 0 || rest[0] != ':' {
				return
			}
			rest = trim(rest[1:])
			n = length(rest)
			if n == 0 || !yield(key, rest[:n]) {
				return
			}
			rest, ok = next(rest[n:])
		}
	}
}

// Member returns the last value of an object with a key; nil for none.
func Member(data []byte, key string) (last []byte) {
	for k, v := range Members(data) {
		if string(k) == key {
			last = v
		}
	}
	return last
}

// Longer reports whether a list has more than a number of elements. It looks at no more of them than that.
func Longer(data []byte, than int) bool {
	n := 0
	for range Elements(data) {
		if n++; n > than {
			return true
		}
	}
	return false
}

// open returns what follows the first bracket, without blanks; false if that is nothing, or there is no such bracket.
func open(data []byte, bracket byte) ([]byte, bool) {
	data = trim(data)
	if len(data) == 0 || data[0] != bracket {
		return nil, false
	}
	data = trim(data[1:])
	return data, len(data) > 0
}

// next returns what follows the comma after a value; false if there is no comma.
func next(data []byte) ([]byte, bool) {
	data = trim(data)
	if len(data) == 0 || data[0] != ',' {
		return nil, false
	}
	data = trim(data[1:])
	return data, len(data) > 0
}

func trim(data []byte) []byte {
	for i, c := range data {
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return data[i:]
		}
	}
	return nil
}

// length returns how long the value is that data begins with; 0 if that is not known.
func length(data []byte) int {
	if len(data) == 0 {
		return 0
	}
	switch data[0] {
	case '"':
		return stringLength(data)
	case '{', '[':
		return nestLength(data)
	}
	for i, c := range data {
		switch c {
		case ',', ']', '}', ' ', '\n', '\t', '\r':
			return i
		}
	}
	return len(data)
}

// stringLength returns the length of a string with its quotes; that of data if the string does not end.
func stringLength(data []byte) int {
	n := 1 + bytes.IndexByte(data[1:], '"')
	switch {
	case n == 0:
		return len(data)
	case data[n-1] != '\\': // in most strings the first quote is the end
		return n + 1
	}
	for i := 1; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(data)
}

// nestLength returns the length of a list or an object; 0 if it does not end.
func nestLength(data []byte) int {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			i += stringLength(data[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}
