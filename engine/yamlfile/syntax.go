package yamlfile

import (
	"bytes"
	"cmp"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// This file turns the bytes of a file into nodes, and errors of the YAML parser into faults.

// Document parses the file and returns its one top node; nil after a fault.
func (r *Reader) Document() *yaml.Node {
	text := bytes.TrimPrefix(r.data, []byte(byteOrderMark))
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		r.Fault(nil, "write something into it, or remove it", "the file is empty")
		return nil
	case len(text) > MaxSize:
		r.Fault(nil, "split it", "the file has more than %d bytes", MaxSize)
		return nil
	case !utf8.Valid(text):
		p, _ := r.first(isNotUTF8)
		r.note(false, p, "save the file as UTF-8", "not UTF-8")
		return nil
	}
	var doc yaml.Node
	if err := yaml.Load(r.data, &doc); err != nil {
		r.syntax(err)
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 || r.isNull(doc.Content[0]) {
		r.Fault(nil, "", "the file has only comments")
		return nil
	}
	r.limit += visitsPerNode * count(&doc)
	return doc.Content[0]
}

// count returns how many nodes a document has, each alias counted as one.
func count(n *yaml.Node) int {
	sum := 1
	for _, c := range n.Content {
		sum += count(c)
	}
	return sum
}

// syntax notes an error of the YAML parser.
func (r *Reader) syntax(err error) {
	text := err.Error()
	if e, ok := errors.AsType[*yaml.LoadError](err); ok && e.Mark.Line > 0 {
		r.loadError(e)
		return
	}
	switch {
	case strings.Contains(text, "found multiple"):
		r.note(false, place{r.secondDocument(), 1}, "make a file of each", "a second YAML document begins here")
	case strings.Contains(text, "no documents in stream"):
		r.Fault(nil, "", "the file has only comments")
	case strings.Contains(text, "control characters"):
		p, c := r.first(isControl)
		r.note(false, p, "take it out, or write it in double quotes, as "+strconv.Quote(string(c)), "not YAML: control character %U", c)
	default:
		r.Fault(nil, "", "not YAML: %s", firstLine(text))
	}
}

// deepRemedy returns what to do about a file that is nested too deeply.
func deepRemedy(message string) string {
	if strings.Contains(message, "exceeded max depth") {
		return "nest less"
	}
	return ""
}

const notClosed = "something is not closed"

// loadError notes an error that has a place. The parser tells where it stopped, which for something that was never
// closed is the end of the file: then the place where that was opened helps more.
func (r *Reader) loadError(e *yaml.LoadError) {
	last := len(r.lines)
	for last > 1 && strings.TrimSpace(r.lines[last-1]) == "" {
		last--
	}
	p, remedy := place{e.Mark.Line, e.Mark.Column}, ""
	if p.line > last {
		remedy = notClosed
		if p = (place{e.ContextMark.Line, e.ContextMark.Column}); p.line > last || p.line < 1 {
			p = place{last, utf8.RuneCountInString(strings.TrimRight(r.lines[last-1], " \t"))}
		}
	}
	switch {
	case strings.HasPrefix(strings.TrimLeft(r.lines[p.line-1], " "), "\t"):
		remedy = "indent with spaces, not tabs"
	case strings.HasPrefix(e.Message, "unknown anchor") && quotingRemedy("", e.Message) == "":
		remedy = "mark the value that it stands for with & and the same name, in a line above"
	}
	message := firstLine(e.Message)
	if e.ContextMsg != "" {
		message = firstLine(e.ContextMsg) + ": " + message
	}
	if remedy == "" || remedy == notClosed {
		remedy = cmp.Or(r.quotingNear(p, message), remedy, deepRemedy(message), "check the quotes and the indentation of this line and the one above: keys of one object begin in one column")
	}
	r.note(false, p, remedy, "not YAML: %s", message)
}

// quotingNear returns what to write for a mistake with quotes in the line of a place or the one above, in which it often is.
func (r *Reader) quotingNear(p place, message string) string {
	for line := p.line; line >= max(1, p.line-1); line-- {
		if remedy := quotingRemedy(r.lines[line-1], message); remedy != "" {
			return remedy
		}
	}
	return ""
}

// secondDocument returns the line in which the second document of the file begins.
func (r *Reader) secondDocument() int {
	started, ended := false, false
	for i, line := range r.lines {
		switch {
		case isMarker(line, "---"):
			if started {
				return i + 1
			}
			started = true
		case isMarker(line, "..."):
			ended = started
		case strings.TrimSpace(line) == "", strings.HasPrefix(line, "#"), !started && strings.HasPrefix(line, "%"):
		case ended:
			return i + 1
		default:
			started = true
		}
	}
	return 1
}

// isMarker reports whether a line begins with a marker between documents: --- or three dots.
func isMarker(line, marker string) bool {
	rest, ok := strings.CutPrefix(line, marker)
	return ok && (rest == "" || rest[0] == ' ' || rest[0] == '\t')
}

// first returns the first character of the file for which is is true, and its place. size is how many bytes it has.
func (r *Reader) first(is func(c rune, size int) bool) (place, rune) {
	for i, line := range r.lines {
		column := 1
		for rest := line; rest != ""; column++ {
			c, size := utf8.DecodeRuneInString(rest)
			if is(c, size) {
				return place{i + 1, column}, c
			}
			rest = rest[size:]
		}
	}
	return place{1, 1}, 0
}

func isNotUTF8(c rune, size int) bool { return c == utf8.RuneError && size == 1 }

// isControl reports whether a character cannot be written in YAML as it is.
func isControl(c rune, _ int) bool {
	return c < ' ' && c != '\t' || c == 0xfffe || c == 0xffff
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}
