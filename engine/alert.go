package engine

import (
	"math"
	"strings"
	"sync"

	"github.com/tidwall/gjson"
)

// A document is an alert whose objects were read once, so that a path is not searched from the first byte each time. It
// takes any text: what is not JSON has fewer members, or odd ones.
type document struct {
	text    string
	escapes bool // it has a backslash, perhaps in a name
	names   nameFilter
	members []member
}

// A member is a name and a value in an object. The members of an object that is itself a value follow it directly.
type member struct {
	name, nameEnd int32 // of the name in the text, as it is written, without the quotes
	raw, rawEnd   int32 // of the JSON of the value in the text
	next          int32 // the next member of the same object, or the end of its members
}

// name returns the name of a member, as it is written.
func (d *document) name(m *member) string { return d.text[m.name:m.nameEnd] }

// raw returns the JSON of the value of a member.
func (d *document) raw(i int32) string { return d.text[d.members[i].raw:d.members[i].rawEnd] }

func (d *document) read(text string) {
	d.text, d.members, d.escapes = text, d.members[:0], strings.IndexByte(text, '\\') >= 0
	d.names = nameFilter{}
	if len(text) > math.MaxInt32 {
		return
	}
	if start := strings.IndexByte(text, '{'); start >= 0 && strings.TrimSpace(text[:start]) == "" {
		d.object(start, 1)
	}
}

// object reads the object that begins at a place and returns where it ends.
func (d *document) object(at, depth int) int {
	s := d.text
	for at++; at < len(s); {
		if s[at] == '}' {
			return at + 1
		}
		if s[at] != '"' { // blanks, commas
			at++
			continue
		}
		end := stringEnd(s, at)
		m := member{name: int32(at + 1), nameEnd: int32(max(at+1, end-1))} //nolint:gosec // read has seen to it
		d.names.add(d.name(&m))
		for at = end; at < len(s) && (s[at] == ':' || s[at] <= ' '); {
			at++
		}
		i := len(d.members)
		d.members = append(d.members, m)
		m.raw = int32(at) //nolint:gosec // see above
		at = d.value(at, depth)
		m.rawEnd, m.next = int32(at), int32(len(d.members)) //nolint:gosec // see above
		d.members[i] = m
	}
	return len(s)
}

// value returns where the value that begins at a place ends. The members of an object are read.
func (d *document) value(at, depth int) int {
	s := d.text
	if at == len(s) {
		return at
	}
	switch s[at] {
	case '"':
		return stringEnd(s, at)
	case '{':
		if depth < maxObjects {
			return d.object(at, depth+1)
		}
		return nestedEnd(s, at)
	case '[':
		return nestedEnd(s, at)
	}
	for at < len(s) && s[at] > ' ' && s[at] != ',' && s[at] != '}' && s[at] != ']' {
		at++
	}
	return at
}

// stringEnd returns the place behind the string that begins at a place.
func stringEnd(s string, at int) int {
	for start := at + 1; start < len(s); {
		i := strings.IndexByte(s[start:], '"')
		if i < 0 {
			break
		}
		end := start + i
		back := end
		for back > at+1 && s[back-1] == '\\' {
			back--
		}
		if start = end + 1; (end-back)%2 == 0 {
			return start
		}
	}
	return len(s)
}

// nestedEnd returns the place behind the array or object that begins at a place.
func nestedEnd(s string, at int) int {
	for depth := 0; at < len(s); {
		switch s[at] {
		case '"':
			at = stringEnd(s, at)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return at + 1
			}
		}
		at++
	}
	return len(s)
}

// find returns the place of the member of this name in members[from:to], -1 if there is none. Of two, it is the first.
func (d *document) find(from, to int32, name string) int32 {
	if !d.escapes && !d.names.mayHave(name) {
		return -1
	}
	for i := from; i < to; i = d.members[i].next {
		if d.is(&d.members[i], name) {
			return i
		}
	}
	return -1
}

// is reports whether a member has a name.
func (d *document) is(m *member, name string) bool {
	written := d.name(m)
	return written == name || d.escapes && len(written) > len(name) && strings.IndexByte(written, '\\') >= 0 && unescaped(written) == name
}

// inside returns the range of the members of an object that is the value of member i; an empty one for other values.
func (d *document) inside(i int32) (from, to int32) { return i + 1, d.members[i].next }

// all returns the range of the members at the top.
func (d *document) all() (from, to int32) {
	return 0, int32(len(d.members)) //nolint:gosec // fewer than bytes in an alert
}

func unescaped(name string) string { return gjson.Parse(`"` + name + `"`).Str }

// valueOf is gjson.Parse for the JSON of one value, without a copy of a string that has no escapes.
func valueOf(raw string) gjson.Result {
	switch {
	case raw == "":
		return gjson.Result{}
	case raw[0] == '"' && len(raw) >= 2 && strings.IndexByte(raw, '\\') < 0:
		return gjson.Result{Type: gjson.String, Raw: raw, Str: raw[1 : len(raw)-1]}
	case raw[0] == '{' || raw[0] == '[':
		return gjson.Result{Type: gjson.JSON, Raw: raw}
	}
	return gjson.Parse(raw)
}

// A fieldPath is a gjson path that mappings name. A plain path, names of members joined by dots, is looked up in the
// document; gjson follows the others.
type fieldPath struct {
	text   string
	plain  bool
	parent *fieldPath // of a plain path: nil at the top of the alert
	name   string     // of a plain path: its last name
	id     int32      // of a plain path: its place in the memory of a run
}

// paths holds every path of a set of mappings once. Safe for concurrent use.
type paths struct {
	mu   sync.RWMutex
	byID int32
	all  map[string]*fieldPath
}

func newPaths() *paths { return &paths{all: map[string]*fieldPath{}} }

// of returns the path with this text.
func (ps *paths) of(text string) *fieldPath {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return ps.intern(text)
}

func (ps *paths) intern(text string) *fieldPath {
	if p := ps.all[text]; p != nil {
		return p
	}
	p := &fieldPath{text: text, plain: isPlain(text)}
	if p.plain {
		p.name = text
		if i := strings.LastIndexByte(text, '.'); i >= 0 {
			p.parent, p.name = ps.intern(text[:i]), text[i+1:]
		}
		p.id = ps.byID
		ps.byID++
	}
	ps.all[text] = p
	return p
}

// known returns the path with this text, nil if no mapping names it.
func (ps *paths) known(text string) *fieldPath {
	ps.mu.RLock()
	defer ps.mu.RUnlock()
	return ps.all[text]
}

// isPlain reports whether a gjson path is only names of members joined by dots: no character in it has another meaning
// for gjson, and no name can be the index of an item of an array.
func isPlain(text string) bool {
	if strings.Count(text, ".") >= maxObjects {
		return false
	}
	for name := range strings.SplitSeq(text, ".") {
		if name == "" || strings.Trim(name, "0123456789") == "" {
			return false
		}
		for i := range len(name) {
			if c := name[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != ' ' {
				return false
			}
		}
	}
	return true
}
