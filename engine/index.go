package engine

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// An indexKey is a fact about an alert that is cheap to read, and by which the index finds mappings: one of its groups,
// its decoder, an object at its top that few alerts have, a member of data, or the text of a field.
type indexKey struct {
	kind keyKind
	name string // of the group, decoder, object or member; the path of the field
	text string // of the field
}

type keyKind string

const (
	keyGroup   keyKind = "group"
	keyDecoder keyKind = "decoder"
	keyObject  keyKind = "object"
	keyMember  keyKind = "member"
	keyField   keyKind = "field"
)

// String returns a key as explain shows it: group sysmon, field data.win.system.eventID "1".
func (k indexKey) String() string {
	switch k.kind {
	case keyMember:
		return "field data." + k.name
	case keyField:
		return "field " + k.name + " " + strconv.Quote(k.text)
	case keyGroup, keyDecoder, keyObject:
	}
	return string(k.kind) + " " + k.name
}

// common are the names at the top of every alert: no index key can be made of them.
var common = map[string]bool{
	"timestamp": true, "rule": true, "agent": true, "manager": true, "id": true, "cluster": true, "full_log": true,
	"predecoder": true, "decoder": true, "data": true, "location": true, "input": true, "@timestamp": true,
}

// needs are the index keys that an expression requires: it can only be true of an alert that has at least one key of
// each set. Without a set, the expression may be true whatever the alert is. An empty set can never be met.
type needs [][]indexKey

const (
	maxSets = 8   // of an expression
	maxKeys = 100 // of a set
)

// needsOf reads from the syntax tree of a match which index keys it requires. Of what it does not understand it
// requires nothing. So the index may find a mapping that will not match, and never misses one that will.
func needsOf(n ast.Node) needs {
	switch n := n.(type) {
	case *ast.BoolNode:
		if !n.Value {
			return needs{nil}
		}
	case *ast.CallNode:
		return needsOfField(argumentOf(n, "has"), nil)
	case *ast.ConditionalNode:
		// One of the branches has to be true.
		return needsOf(n.Exp1).or(needsOf(n.Exp2))
	case *ast.BuiltinNode:
		if n.Name == "any" && len(n.Arguments) == 2 && isGroups(n.Arguments[0]) {
			return needsOfElement(n.Arguments[1])
		}
	case *ast.BinaryNode:
		if kind, ok := junctions[n.Operator]; ok {
			return needsOf(n.Left).join(kind, needsOf(n.Right))
		}
		if text, ok := n.Left.(*ast.StringNode); ok && n.Operator == "in" && isGroups(n.Right) {
			return needs{{{kind: keyGroup, name: text.Value}}}
		}
		operand, texts, ok := comparedWith(n)
		switch {
		case ok && isDecoderName(operand):
			return needsOfNames(keyDecoder, texts)
		case ok && !slices.Contains(texts, ""): // a field that is not there has the empty text
			return needsOfField(argumentOf(operand, "field"), texts)
		}
	}
	return nil
}

// needsOfElement reads the predicate of any(groups, …): # == "a", # in ["a", "b"], and these joined by and, or.
func needsOfElement(n ast.Node) needs {
	switch n := n.(type) {
	case *ast.PredicateNode:
		return needsOfElement(n.Node)
	case *ast.BinaryNode:
		if kind, ok := junctions[n.Operator]; ok {
			return needsOfElement(n.Left).join(kind, needsOfElement(n.Right))
		}
		if operand, texts, ok := comparedWith(n); ok && isElement(operand) {
			return needsOfNames(keyGroup, texts)
		}
	}
	return nil
}

func needsOfNames(kind keyKind, names []string) needs {
	set := make([]indexKey, 0, len(names))
	for _, name := range names {
		set = append(set, indexKey{kind: kind, name: name})
	}
	return needs{set}
}

// needsOfField returns what has(path) requires, and what it requires that the field has one of the texts.
func needsOfField(path string, texts []string) needs {
	var n needs
	object, rest, nested := strings.Cut(path, ".")
	switch {
	case !nested || !isPlain(object):
	case object == "data":
		if name, _, _ := strings.Cut(rest, "."); isPlain(name) {
			n = append(n, []indexKey{{kind: keyMember, name: name}})
		}
	case !common[object]:
		n = append(n, []indexKey{{kind: keyObject, name: object}})
	}
	if len(texts) > 0 && isPlain(path) {
		set := make([]indexKey, 0, len(texts))
		for _, text := range texts {
			set = append(set, indexKey{keyField, path, text})
		}
		n = append(n, set)
	}
	return n
}

// join returns what two expressions require that are joined by and, or.
func (n needs) join(kind conditionKind, o needs) needs {
	if kind == isOr {
		return n.or(o)
	}
	both := slices.Concat(n, o)
	// The first sets name what most mappings share, the last ones what is their own.
	return both[max(0, len(both)-maxSets):]
}

// or returns what an expression requires of which one half has to be true.
func (n needs) or(o needs) needs {
	var both needs
	for _, a := range n {
		for _, b := range o {
			set := slices.Clone(a)
			for _, x := range b {
				if !slices.Contains(set, x) {
					set = append(set, x)
				}
			}
			if len(both) < maxSets && len(set) <= maxKeys {
				both = append(both, set)
			}
		}
	}
	return both
}

// never reports whether no alert can meet the needs.
func (n needs) never() bool {
	return slices.ContainsFunc(n, func(set []indexKey) bool { return len(set) == 0 })
}

// An index finds the mappings that an alert can match. It holds posting lists: for each index key, the ordinals of the
// mappings that are listed under it.
type index struct {
	byGroup   map[string][]int32
	byDecoder map[string][]int32
	byObject  map[string][]int32
	byMember  map[string][]int32
	objects   nameFilter // of the names in byObject
	members   nameFilter // of those in byMember
	byField   []fieldPostings
	always    []int32      // mappings that require no key
	keys      [][]indexKey // that each mapping is listed under
}

// fieldPostings are the posting lists of one field, by its text.
type fieldPostings struct {
	field  *fieldPath
	byText map[string][]int32
}

// newIndex lists every mapping under that set of the keys it requires which the fewest mappings share.
func newIndex(mappings []*mapping, paths *paths) index {
	sharing := newSharing(mappings)
	x := index{
		byGroup: map[string][]int32{}, byDecoder: map[string][]int32{}, byObject: map[string][]int32{}, byMember: map[string][]int32{},
		keys: make([][]indexKey, len(mappings)),
	}
	fields := map[string]map[string][]int32{}
	for i, m := range mappings {
		ordinal := int32(i) //nolint:gosec // mappings are counted in thousands
		if len(m.needs) == 0 {
			x.always = append(x.always, ordinal)
			continue
		}
		x.keys[i] = m.needs[0]
		if len(m.needs) > 1 {
			x.keys[i] = slices.MinFunc(m.needs, func(a, b []indexKey) int { return cmp.Compare(shared(sharing, a), shared(sharing, b)) })
		}
		for _, k := range x.keys[i] {
			switch k.kind {
			case keyGroup:
				x.byGroup[k.name] = append(x.byGroup[k.name], ordinal)
			case keyDecoder:
				x.byDecoder[k.name] = append(x.byDecoder[k.name], ordinal)
			case keyObject:
				x.byObject[k.name] = append(x.byObject[k.name], ordinal)
				x.objects.add(k.name)
			case keyMember:
				x.byMember[k.name] = append(x.byMember[k.name], ordinal)
				x.members.add(k.name)
			case keyField:
				if fields[k.name] == nil {
					fields[k.name] = map[string][]int32{}
					x.byField = append(x.byField, fieldPostings{paths.of(k.name), fields[k.name]})
				}
				fields[k.name][k.text] = append(fields[k.name][k.text], ordinal)
			}
		}
	}
	return x
}

// newSharing counts the mappings that require each key. It is nil where none has a choice: those of a pack have made it.
func newSharing(mappings []*mapping) map[indexKey]int {
	if !slices.ContainsFunc(mappings, func(m *mapping) bool { return len(m.needs) > 1 }) {
		return nil
	}
	sharing := make(map[indexKey]int, 3*len(mappings))
	for _, m := range mappings {
		for _, set := range m.needs {
			for _, k := range set {
				sharing[k]++
			}
		}
	}
	return sharing
}

// shared returns how many mappings require one of the keys, counted once for each key.
func shared(sharing map[indexKey]int, set []indexKey) int {
	sum := 0
	for _, k := range set {
		sum += sharing[k]
	}
	return sum
}

// candidates appends to buf the ordinals of the mappings that can match the alert, in order and without repeats.
func (x *index) candidates(r *run, buf []int32) []int32 {
	buf = append(buf, x.always...)
	if len(x.byGroup) > 0 {
		for _, g := range r.groups {
			buf = append(buf, x.byGroup[g]...)
		}
	}
	if len(x.byDecoder) > 0 {
		buf = append(buf, x.byDecoder[r.decoder()]...)
	}
	if len(x.byObject) > 0 {
		from, to := r.doc.all()
		buf = r.named(x.byObject, &x.objects, from, to, buf)
	}
	if i := r.member(r.engine.data); i >= 0 && len(x.byMember) > 0 {
		from, to := r.doc.inside(i)
		buf = r.named(x.byMember, &x.members, from, to, buf)
	}
	for i := range x.byField {
		if text := r.text(x.byField[i].field); text != "" {
			buf = append(buf, x.byField[i].byText[text]...)
		}
	}
	slices.Sort(buf)
	return slices.Compact(buf)
}

// named appends the posting lists of the names of members.
func (r *run) named(by map[string][]int32, filter *nameFilter, from, to int32, buf []int32) []int32 {
	for i := from; i < to; i = r.doc.members[i].next {
		name := r.doc.name(&r.doc.members[i])
		if strings.IndexByte(name, '\\') >= 0 {
			name = unescaped(name)
		}
		if filter.mayHave(name) {
			buf = append(buf, by[name]...)
		}
	}
	return buf
}

// A nameFilter says of most names that are not among some that they are not, in less time than a map takes: by length, first
// and last byte.
type nameFilter [32]uint64

func (f *nameFilter) add(name string) {
	bit := nameBit(name)
	f[bit/64] |= 1 << (bit % 64)
}

func (f *nameFilter) mayHave(name string) bool {
	bit := nameBit(name)
	return f[bit/64]&(1<<(bit%64)) != 0
}

func nameBit(name string) uint {
	if name == "" {
		return 0
	}
	return (uint(len(name)) ^ uint(name[0])<<3 ^ uint(name[len(name)-1])<<6) % (32 * 64)
}
