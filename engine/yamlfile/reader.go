// Package yamlfile reads YAML files that people write, strictly and with the place of everything in them: an
// unknown, repeated, missing or mistyped key is a [Fault] with file, line, column and a remedy, and one pass
// finds all of them. Mapping files, their tests and the configuration are read with it.
package yamlfile

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// A Scalar is a value and its place in the file. Node is nil if the key was left out.
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

// ReadAll reads a file for [NewReader]. Of one that is longer than [MaxSize] it returns so much that the reader refuses it, so
// that an endless file takes no more memory.
func ReadAll(r io.Reader) ([]byte, error) {
	return io.ReadAll(io.LimitReader(r, int64(MaxSize+len(byteOrderMark)+1)))
}

// A Reader turns one YAML file into its declared shape and collects every fault on the way.
type Reader struct {
	file   string
	data   []byte
	lines  []string
	visits int // of nodes
	limit  int // of visits
	faults Faults
	known  map[faultID]bool // of faults
	noted  int
}

// A faultID is what makes two faults of one file the same.
type faultID struct {
	place
	message string
}

// lineBreaks are what YAML takes for the end of a line, besides a line feed.
var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

// linesOf returns the lines of a text, as YAML counts them, without their ends.
func linesOf(text string) []string {
	for _, lineBreak := range []string{"\r", "\u0085", "\u2028", "\u2029"} {
		if strings.Contains(text, lineBreak) { // replacing takes much longer
			text = lineBreaks.Replace(text)
			break
		}
	}
	return strings.Split(text, "\n")
}

// byteOrderMark may begin a file. It belongs to no line.
const byteOrderMark = "\ufeff"

// NewReader returns a reader of the text of a file, UTF-8; faults name the file by name.
func NewReader(name string, data []byte) *Reader {
	lines := linesOf(strings.TrimPrefix(string(data), byteOrderMark))
	return &Reader{file: name, data: data, lines: lines, limit: maxRepeats}
}

// Name returns how faults call the file.
func (r *Reader) Name() string { return r.file }

// Faults returns what was found so far, in the order of the file; nil if nothing.
func (r *Reader) Faults() Faults {
	slices.SortStableFunc(r.faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return r.faults
}

// Noted returns how many faults were noted so far, repeated ones included. If it is the same before and after a part is
// read, the part has no fault.
func (r *Reader) Noted() int { return r.noted }

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

// FaultIn notes a fault at a character of a scalar, given by its offset in characters from 0. A scalar that was left
// out has its fault at the start of the file.
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
	r.noted++
	id := faultID{p, f.Message}
	if r.known[id] {
		return
	}
	if r.known == nil {
		r.known = map[faultID]bool{}
	}
	r.known[id] = true
	if p.line >= 1 && p.line <= len(r.lines) {
		f.Text = r.lines[p.line-1]
	}
	r.faults = append(r.faults, f)
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

// exhausted reports, and notes as a fault at n, that the file repeats too much.
func (r *Reader) exhausted(n *yaml.Node) bool {
	if r.visits <= r.limit {
		return false
	}
	r.Fault(n, "write less by aliases", "the file has more than %d nodes once its aliases are followed", maxRepeats)
	return true
}

// Object reads a YAML mapping whose keys are all known; faults call it what. Missing required keys are reported where
// the object begins.
func (r *Reader) Object(n *yaml.Node, what string, fields map[string]Field, required ...string) {
	object := r.Resolve(n)
	if object.Kind != yaml.MappingNode {
		r.Fault(n, "write KEY: VALUE, each on a line of its own", "%s must be a set of keys and values, not %s", what, KindOf(object))
		return
	}
	if r.exhausted(n) {
		return
	}
	known := slices.Sorted(maps.Keys(fields))
	first := map[string]int{}    // the line in which a key comes first
	excused := map[string]bool{} // required keys that another key probably stands for
	for i := 0; i+1 < len(object.Content); i += 2 {
		key, value := object.Content[i], object.Content[i+1]
		read, ok := fields[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode:
			r.Fault(key, "write a name", "a key of %s must be a text, not %s", what, KindOf(key))
			continue
		case key.Value == "<<" && key.Style == 0:
			r.Fault(key, "name an anchor as the value of a key, like pick: *picks", "merge keys are not supported")
			for _, k := range required {
				excused[k] = true // the merged object may have them
			}
		case !ok:
			excused[Nearest(key.Value, known)] = true
			r.Fault(key, OneOf(key.Value, known), "unknown key %q in %s", key.Value, what)
		case first[key.Value] > 0:
			r.Fault(key, "keep one of them", "key %q is given twice, first in line %d", key.Value, first[key.Value])
			continue
		case r.isNull(r.Resolve(value)):
			r.Fault(key, "give it a value or leave the key out", "key %q has no value", key.Value)
		default:
			read(value)
		}
		first[key.Value] = key.Line
	}
	for _, k := range required {
		if first[k] == 0 && !excused[k] {
			r.Fault(object, "add the key "+k, "%s lacks the key %q", what, k)
		}
	}
}

// List reads a YAML sequence; faults call it what.
func (r *Reader) List(n *yaml.Node, what string, item Field) {
	list := r.Resolve(n)
	if list.Kind != yaml.SequenceNode {
		r.Fault(n, "begin each item with a hyphen", "%s must be a list, not %s", what, KindOf(list))
		return
	}
	if len(list.Content) == 0 {
		r.Fault(n, "write at least one item", "%s is empty", what)
	}
	for _, c := range list.Content {
		if r.exhausted(n) {
			return
		}
		item(c)
	}
}

// Text returns a field that reads a scalar into to. Numbers and booleans are taken as they are written.
func (r *Reader) Text(what string, to *Scalar) Field {
	return func(n *yaml.Node) {
		scalar := r.Resolve(n)
		if scalar.Kind != yaml.ScalarNode {
			r.Fault(n, "write one value", "%s must be a text, not %s", what, KindOf(scalar))
			return
		}
		*to = Scalar{scalar.Value, scalar}
	}
}

// Flag returns a field that reads a boolean into to.
func (r *Reader) Flag(what string, to **bool) Field {
	return func(n *yaml.Node) {
		flag := r.Resolve(n)
		v := strings.EqualFold(flag.Value, "true")
		if flag.Kind != yaml.ScalarNode || flag.ShortTag() != "!!bool" || !v && !strings.EqualFold(flag.Value, "false") {
			r.Fault(n, "write true or false", "%s must be true or false, not %s", what, KindOf(flag))
			return
		}
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
	case yaml.AliasNode:
		return "an alias"
	}
	return "this"
}
