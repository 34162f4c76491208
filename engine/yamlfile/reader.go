// Package yamlfile reads YAML files that people write, strictly and with the place of everything in them: an
// unknown, repeated, missing or mistyped key is a [Fault] with file, line, column and a remedy, and one pass
// finds all of them. Mapping files, their tests and the configuration are read with it.
package yamlfile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// A Scalar is a value and where it stands. Node is nil if it was left out.
type Scalar struct {
	Value string
	Node  *yaml.Node
}

// Given reports whether the file has the value.
func (s Scalar) Given() bool { return s.Node != nil }

const (
	// MaxSize is the size of the largest file that is read, in bytes.
	MaxSize = 32 << 20
	// maxRepeats bounds how many nodes a file may repeat through aliases.
	maxRepeats = 100_000
	// visitsPerNode is how often reading resolves one node, at most.
	visitsPerNode = 4
)

// A Reader turns one YAML file into its declared shape and collects every fault on the way.
type Reader struct {
	file   string
	data   []byte
	lines  []string
	visits int // of nodes
	limit  int // of visits
	faults Faults
	noted  map[faultID]bool
}

// A faultID tells faults of one file apart.
type faultID struct {
	place
	message string
}

// lineBreaks are what YAML takes for the end of a line.
var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

// NewReader returns a reader of a file that has been read already; name is what faults call it.
func NewReader(name string, data []byte) *Reader {
	lines := strings.Split(lineBreaks.Replace(string(data)), "\n")
	return &Reader{file: name, data: data, lines: lines, limit: maxRepeats}
}

// Faults returns what was found so far, in the order of the file; nil if nothing.
func (r *Reader) Faults() Faults {
	slices.SortStableFunc(r.faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return r.faults
}

// Fault notes a fault at n, or at the start of the file if n is nil.
func (r *Reader) Fault(n *yaml.Node, remedy, format string, args ...any) {
	r.note(false, placeOf(n), remedy, format, args...)
}

// Warn notes something at n that can be read, but is probably not as intended.
func (r *Reader) Warn(n *yaml.Node, remedy, format string, args ...any) {
	r.note(true, placeOf(n), remedy, format, args...)
}

// WarnIn is Warn at a character of a scalar, given by its offset in characters from 0.
func (r *Reader) WarnIn(s Scalar, offset int, remedy, format string, args ...any) {
	r.note(true, placeIn(r.lines, s.Node, offset), remedy, format, args...)
}

// Failed reports whether there is a fault that is not a warning.
func (r *Reader) Failed() bool {
	return slices.ContainsFunc(r.faults, func(f Fault) bool { return !f.Warning })
}

// FaultIn notes a fault at a character of a scalar, given by its offset in characters from 0.
func (r *Reader) FaultIn(s Scalar, offset int, remedy, format string, args ...any) {
	r.note(false, placeIn(r.lines, s.Node, offset), remedy, format, args...)
}

// FaultAt notes a fault at a line and column.
func (r *Reader) FaultAt(line, column int, remedy, format string, args ...any) {
	r.note(false, place{line, column}, remedy, format, args...)
}

// note adds a fault. One that is there already is left out: what an alias names is read once for each alias.
func (r *Reader) note(warning bool, p place, remedy, format string, args ...any) {
	f := Fault{Warning: warning, File: r.file, Line: p.line, Column: p.column, Message: fmt.Sprintf(format, args...), Remedy: remedy}
	id := faultID{p, f.Message}
	if r.noted[id] {
		return
	}
	if r.noted == nil {
		r.noted = map[faultID]bool{}
	}
	r.noted[id] = true
	if p.line >= 1 && p.line <= len(r.lines) {
		f.Text = r.lines[p.line-1]
	}
	r.faults = append(r.faults, f)
}

// Document parses the file and returns its one top node; nil after a fault.
func (r *Reader) Document() *yaml.Node {
	if len(bytes.TrimSpace(r.data)) == 0 {
		r.Fault(nil, "", "the file is empty")
		return nil
	}
	if len(r.data) > MaxSize {
		r.Fault(nil, "split it", "the file has %d MiB, and %d are read", len(r.data)>>20, MaxSize>>20)
		return nil
	}
	var doc yaml.Node
	if err := yaml.Load(r.data, &doc); err != nil {
		r.syntax(err)
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 || r.isNull(doc.Content[0]) {
		r.Fault(nil, "", "the file holds nothing but comments")
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

// exhausted reports, and notes as a fault at n, that the file repeats too much.
func (r *Reader) exhausted(n *yaml.Node) bool {
	if r.visits <= r.limit {
		return false
	}
	r.Fault(n, "write less by aliases", "the file has more than %d nodes once its aliases are followed", maxRepeats)
	return true
}

// syntax notes an error of the YAML parser. The parser tells where it stopped, which for something that was
// never closed is the end of the file: then the place where that was opened helps more.
func (r *Reader) syntax(err error) {
	if strings.Contains(err.Error(), "found multiple") {
		line := slices.IndexFunc(r.lines[min(1, len(r.lines)):], func(l string) bool { return strings.HasPrefix(l, "---") })
		r.note(false, place{max(0, line) + 2, 1}, "make a file of each", "a second YAML document begins here, and a file holds one")
		return
	}
	if !utf8.Valid(r.data) {
		i := 0
		for i < len(r.data) {
			c, size := utf8.DecodeRune(r.data[i:])
			if c == utf8.RuneError && size == 1 {
				break
			}
			i += size
		}
		before := lineBreaks.Replace(string(r.data[:i]))
		start := strings.LastIndexByte(before, '\n') + 1
		r.note(false, place{strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[start:]) + 1}, "save the file as UTF-8", "not UTF-8")
		return
	}
	if strings.Contains(err.Error(), "no documents in stream") {
		r.Fault(nil, "", "the file holds nothing but comments")
		return
	}
	e, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		r.Fault(nil, "", "not YAML: %s", firstLine(err.Error()))
		return
	}
	last := len(r.lines)
	for last > 1 && strings.TrimSpace(r.lines[last-1]) == "" {
		last--
	}
	p, remedy := place{e.Mark.Line, e.Mark.Column}, ""
	if p.line > last {
		remedy = "something is not closed"
		if p = (place{e.ContextMark.Line, e.ContextMark.Column}); p.line > last || p.line < 1 {
			line := r.lines[last-1]
			p = place{last, utf8.RuneCountInString(strings.TrimRight(line, " \t"))}
		}
	}
	if p.line < 1 {
		p = place{1, 1}
	}
	message := firstLine(e.Message)
	if e.ContextMsg != "" {
		message = firstLine(e.ContextMsg) + ": " + message
	}
	if line := r.lines[min(p.line, len(r.lines))-1]; strings.HasPrefix(strings.TrimLeft(line, " "), "\t") {
		remedy = "indent with spaces, not tabs"
	}
	r.note(false, p, remedy, "not YAML: %s", message)
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

func (r *Reader) isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// Resolve follows an alias to what it names.
func (r *Reader) Resolve(n *yaml.Node) *yaml.Node {
	r.visits++
	for range 10 {
		if n.Kind != yaml.AliasNode || n.Alias == nil {
			break
		}
		n = n.Alias
	}
	return n
}

// A Field reads the value of one key.
type Field func(n *yaml.Node)

// Object reads a YAML mapping whose keys are all known; what names it in faults. Missing required keys are
// reported at the first line of the object.
func (r *Reader) Object(n *yaml.Node, what string, fields map[string]Field, required ...string) {
	n = r.Resolve(n)
	if n.Kind != yaml.MappingNode {
		r.Fault(n, "", "%s must be a set of keys and values, not %s", what, KindOf(n))
		return
	}
	if r.exhausted(n) {
		return
	}
	known := slices.Sorted(maps.Keys(fields))
	seen := map[string]int{}
	meant := map[string]bool{} // keys that an unknown key was probably meant to be
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		read, ok := fields[key.Value]
		switch line := seen[key.Value]; {
		case key.Value == "<<" && key.Style == 0:
			r.Fault(key, "name an anchor as the value of a key, like pick: *picks", "merge keys are not supported")
			for _, k := range required {
				meant[k] = true // they may have come that way
			}
		case key.Kind != yaml.ScalarNode || !ok:
			meant[Nearest(key.Value, known)] = true
			r.Fault(key, DidYouMean(key.Value, known), "unknown key %q in %s", key.Value, what)
		case line > 0:
			r.Fault(key, "keep one of them", "key %q stands here a second time, first in line %d", key.Value, line)
		case r.isNull(r.Resolve(value)):
			r.Fault(key, "give it a value or leave the key out", "key %q has no value", key.Value)
		default:
			read(value)
		}
		seen[key.Value] = key.Line
	}
	for _, k := range required {
		if seen[k] == 0 && !meant[k] {
			r.Fault(n, "", "%s lacks the key %q", what, k)
		}
	}
}

// List reads a YAML sequence; what names the whole in faults.
func (r *Reader) List(n *yaml.Node, what string, item Field) {
	n = r.Resolve(n)
	if n.Kind != yaml.SequenceNode {
		r.Fault(n, "begin each item with a hyphen", "%s must be a list, not %s", what, KindOf(n))
		return
	}
	if len(n.Content) == 0 {
		r.Fault(n, "", "%s is empty", what)
	}
	for _, c := range n.Content {
		if r.exhausted(n) {
			return
		}
		item(c)
	}
}

// Text returns a field that reads a scalar into to. Numbers and booleans are taken as they are written.
func (r *Reader) Text(what string, to *Scalar) Field {
	return func(n *yaml.Node) {
		n = r.Resolve(n)
		if n.Kind != yaml.ScalarNode {
			r.Fault(n, "", "%s must be a text, not %s", what, KindOf(n))
			return
		}
		*to = Scalar{n.Value, n}
	}
}

// Flag returns a field that reads a boolean.
func (r *Reader) Flag(what string, to **bool) Field {
	return func(n *yaml.Node) {
		n = r.Resolve(n)
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
			r.Fault(n, "write true or false", "%s must be true or false, not %s", what, KindOf(n))
			return
		}
		v := strings.EqualFold(n.Value, "true")
		*to = &v
	}
}

// Texts returns a field that reads a list of scalars.
func (r *Reader) Texts(what string, to *[]Scalar) Field {
	return func(n *yaml.Node) {
		r.List(n, what, func(n *yaml.Node) {
			var s Scalar
			r.Text("an item of "+what, &s)(n)
			if s.Node != nil {
				*to = append(*to, s)
			}
		})
	}
}

// KindOf describes a node for a person: the value itself if it is short.
func KindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a set of keys and values"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if n.Value == "" {
			return "empty"
		}
		if len(n.Value) <= 40 && !strings.Contains(n.Value, "\n") {
			return fmt.Sprintf("%q", n.Value)
		}
		return "a text"
	}
	return "this"
}
