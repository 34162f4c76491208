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
// Where they do not agree, the start of the scalar is returned.
func placeIn(lines []string, n *yaml.Node, offset int) place {
	start := placeOf(n)
	if n == nil {
		return start
	}
	w := walker{lines: lines}
	w.begin(n)
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
		after = w.place()
		i++
	}
	return after
}

// isBlank reports whether a character is white space, for YAML or for what its escapes stand for.
func isBlank(r rune) bool {
	switch r {
	case ' ', '\t', '\n', '\r', '\u0085', '\u00a0', '\u2028', '\u2029':
		return true
	}
	return false
}

// A walker reads the characters of a scalar as it is written in the file, white space left out.
type walker struct {
	lines        []string
	line, column int    // of the next character, from 0
	rest         string // of the line
	quote        rune
}

// begin goes to the first character of a scalar.
func (w *walker) begin(n *yaml.Node) {
	w.goTo(n.Line-1, n.Column-1)
	if n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 {
		w.skipProperties()
	}
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		w.goTo(w.line+1, 0) // behind the line with the | or >
	case n.Style&yaml.DoubleQuotedStyle != 0:
		w.quote = '"'
		w.read()
	case n.Style&yaml.SingleQuotedStyle != 0:
		w.quote = '\''
		w.read()
	}
}

func (w *walker) goTo(line, column int) {
	w.line, w.column, w.rest = line, 0, ""
	if line < 0 || line >= len(w.lines) {
		return
	}
	w.rest = w.lines[line]
	for w.column < column && w.rest != "" {
		w.read()
	}
}

// place returns the place of the next character.
func (w *walker) place() place { return place{w.line + 1, w.column + 1} }

// skipProperties goes past the anchor and the tag before a scalar, which may be in lines above it.
func (w *walker) skipProperties() {
	for {
		w.skipBlanks()
		if w.rest == "" || w.rest[0] != '&' && w.rest[0] != '!' {
			return
		}
		for w.rest != "" && !isBlank(rune(w.rest[0])) {
			w.read()
		}
	}
}

// skipBlanks goes past white space and comments.
func (w *walker) skipBlanks() {
	for w.line < len(w.lines) {
		switch {
		case w.rest == "", isBlank(rune(w.rest[0])):
			w.read()
		case w.rest[0] == '#':
			w.goTo(w.line+1, 0)
		default:
			return
		}
	}
}

// next returns the next character that is not white space, as the value holds it, and where it is written.
func (w *walker) next() (place, rune, bool) {
	for {
		at := w.place()
		r, ok := w.read()
		if ok && w.quote == '"' && r == '\\' {
			r, ok = w.escape()
		}
		if !ok {
			return at, 0, false
		}
		if isBlank(r) {
			continue
		}
		if w.quote == '\'' && r == '\'' {
			w.read() // the second of two
		}
		return at, r, true
	}
}

// read returns the next character, a line feed at the end of each line.
func (w *walker) read() (rune, bool) {
	if w.line < 0 || w.line >= len(w.lines) {
		return 0, false
	}
	if w.rest == "" {
		w.goTo(w.line+1, 0)
		return '\n', true
	}
	r, size := utf8.DecodeRuneInString(w.rest)
	w.rest = w.rest[size:]
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
