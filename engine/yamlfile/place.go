package yamlfile

import (
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// A place is a position in a file; lines and columns count from 1, columns in characters.
type place struct{ line, column int }

// placeOf returns where a node begins, or the start of the file if n is nil.
func placeOf(n *yaml.Node) place {
	if n == nil || n.Line < 1 {
		return place{1, 1}
	}
	return place{n.Line, n.Column}
}

// placeIn finds the place in the file of a character of a scalar's value, given by its offset in characters.
//
// A value differs from the text it was written as: quotes, escapes, indentation, folded lines. What is the same
// in both is the sequence of characters that are not white space, so the two are walked side by side over those.
// Where they do not agree (an anchor or a tag before the scalar, say) the start of the scalar is returned.
func placeIn(lines []string, n *yaml.Node, offset int) place {
	start := place{n.Line, n.Column}
	w := walker{lines: lines, line: n.Line - 1, column: n.Column - 1}
	if n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 {
		w.skipProperties()
	}
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		w.line, w.column = w.line+1, 0
	case n.Style&yaml.DoubleQuotedStyle != 0:
		w.quote = '"'
		w.column++
	case n.Style&yaml.SingleQuotedStyle != 0:
		w.quote = '\''
		w.column++
	}
	after := start
	i := 0
	for _, want := range n.Value {
		if isBlank(want) {
			if i >= offset {
				return after
			}
			i++
			continue
		}
		at, got, ok := w.next()
		if !ok || got != want {
			return start
		}
		if i >= offset {
			return at
		}
		after = place{w.line + 1, w.column + 1}
		i++
	}
	return after
}

func isBlank(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' }

// A walker reads the characters of a scalar as it is written in the file, white space left out.
type walker struct {
	lines        []string
	line, column int // of the next character, from 0
	quote        rune
}

// skipProperties goes past the anchor and the tag that stand before a scalar.
func (w *walker) skipProperties() {
	for w.line >= 0 && w.line < len(w.lines) {
		line := []rune(w.lines[w.line])
		if w.column >= len(line) || line[w.column] != '&' && line[w.column] != '!' {
			return
		}
		for w.column < len(line) && !isBlank(line[w.column]) {
			w.column++
		}
		for w.column < len(line) && isBlank(line[w.column]) {
			w.column++
		}
	}
}

// next returns the next character that is not white space, as the value holds it, and where it is written.
func (w *walker) next() (place, rune, bool) {
	for {
		at := place{w.line + 1, w.column + 1}
		r, ok := w.read()
		if !ok {
			return at, 0, false
		}
		if isBlank(r) {
			continue
		}
		switch {
		case w.quote == '"' && r == '\\':
			r, ok = w.escape()
			if !ok {
				return at, 0, false
			}
			if isBlank(r) {
				continue
			}
		case w.quote == '\'' && r == '\'':
			w.read()
		}
		return at, r, true
	}
}

// read returns the next character, a line feed at the end of each line.
func (w *walker) read() (rune, bool) {
	if w.line < 0 || w.line >= len(w.lines) {
		return 0, false
	}
	rest := w.lines[w.line]
	for range w.column {
		_, size := utf8.DecodeRuneInString(rest)
		rest = rest[size:]
	}
	if rest == "" {
		w.line, w.column = w.line+1, 0
		return '\n', true
	}
	r, _ := utf8.DecodeRuneInString(rest)
	w.column++
	return r, true
}

// escape reads what follows a backslash in a double-quoted scalar and returns the character it stands for.
func (w *walker) escape() (rune, bool) {
	r, ok := w.read()
	if !ok {
		return 0, false
	}
	digits := 0
	switch r {
	case 'n', 't', 'r', ' ', '\n', 'N', '_', 'L', 'P':
		return ' ', true
	case 'x':
		digits = 2
	case 'u':
		digits = 4
	case 'U':
		digits = 8
	default:
		return r, true
	}
	var code rune
	for range digits {
		r, ok := w.read()
		if !ok {
			return 0, false
		}
		d := strings.IndexRune("0123456789abcdef", r|0x20)
		if d < 0 {
			return 0, false
		}
		code = code<<4 | rune(d) //nolint:gosec // a digit
	}
	return code, true
}
