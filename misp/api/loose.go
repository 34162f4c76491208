package api

import (
	"bytes"
	"encoding/json"
	"strings"
)

// MISP writes ids and numbers as texts, but not everywhere and not in every version, and PHP writes an empty list for
// many kinds of nothing. One odd field must not cost a whole answer.

// text returns a text that may be written as a number. A list, an object, null and what is too long count as an empty
// text.
func text(value []byte) string {
	if len(value) == 0 || len(value) > maxText {
		return ""
	}
	switch value[0] {
	case '"':
		if plain(value) {
			return string(value[1 : len(value)-1])
		}
		var s string
		if json.Unmarshal(value, &s) != nil {
			return ""
		}
		return s
	case '{', '[', 'n':
		return ""
	}
	return string(value)
}

// plain reports whether a string of JSON means what stands between its quotes.
func plain(value []byte) bool {
	for _, c := range value {
		if c == '\\' || c >= 0x80 {
			return false
		}
	}
	return len(value) >= 2
}

// flag returns a boolean that may be written as 1, "1" or "true".
func flag(value []byte) bool {
	switch string(value) {
	case "true", "1", `"1"`:
		return true
	case "", "false", "0", `"0"`, "null":
		return false
	}
	return strings.EqualFold(text(value), "true")
}

// loose is a text as [text] reads it.
type loose string

// UnmarshalJSON implements json.Unmarshaler.
func (l *loose) UnmarshalJSON(data []byte) error {
	*l = loose(text(data))
	return nil
}

// looseFlag is a boolean as [flag] reads it.
type looseFlag bool

// UnmarshalJSON implements json.Unmarshaler.
func (f *looseFlag) UnmarshalJSON(data []byte) error {
	*f = looseFlag(flag(bytes.TrimSpace(data)))
	return nil
}
