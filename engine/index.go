package engine

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// An anchor is a fact about an alert that is cheap to read and that mappings are filed under: one of its groups, its
// decoder, an object at its top that few alerts have, a member of data, or the text of a field.
type anchor struct {
	kind anchorKind
	name string // of the group, decoder, object or member; the path of the field
	text string // of the field
}

type anchorKind string

const (
	anchorGroup   anchorKind = "group"
	anchorDecoder anchorKind = "decoder"
	anchorObject  anchorKind = "object"
	anchorMember  anchorKind = "member"
	anchorField   anchorKind = "field"
)

// String returns an anchor as explain shows it: group sysmon, field data.win.system.eventID "1".
func (a anchor) String() string {
	switch a.kind {
	case anchorMember:
		return "field data." + a.name
	case anchorField:
		return "field " + a.name + " " + strconv.Quote(a.text)
	case anchorGroup, anchorDecoder, anchorObject:
	}
	return string(a.kind) + " " + a.name
}

// common are the keys at the top of every alert, which tell nothing apart.
var common = map[string]bool{
	"timestamp": true, "rule": true, "agent": true, "manager": true, "id": true, "cluster": true, "full_log": true,
	"predecoder": true, "decoder": true, "data": true, "location": true, "input": true, "@timestamp": true,
}

// needs says which anchors an expression cannot do without. It can only be true of an alert that has at least one
// anchor of each set. No sets say nothing: the expression may be true whatever the alert is. An empty set can never
// be met.
type needs [][]anchor

const (
	maxSets    = 8   // of an expression
	maxAnchors = 100 // of a set
)

// needsOf reads from the syntax tree of a match which anchors it cannot do without. What it does not understand, it
// says nothing about; so the index may let a mapping through that will not match, and never keeps one away that
// would.
func needsOf(n ast.Node) needs {
	switch n := n.(type) {
	case *ast.BoolNode:
		if !n.Value {
			return needs{nil}
		}
	case *ast.CallNode:
		return needsOfField(argumentOf(n, "has"), nil)
	case *ast.ConditionalNode:
		// Whichever way the condition goes, one of the branches has to be true.
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
			return needs{{{kind: anchorGroup, name: text.Value}}}
		}
		operand, texts, ok := comparedWith(n)
		switch {
		case ok && isDecoderName(operand):
			return needsOfNames(anchorDecoder, texts)
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
			return needsOfNames(anchorGroup, texts)
		}
	}
	return nil
}

func needsOfNames(kind anchorKind, names []string) needs {
	set := make([]anchor, 0, len(names))
	for _, name := range names {
		set = append(set, anchor{kind: kind, name: name})
	}
	return needs{set}
}

// needsOfField returns what a field that is there needs, and one that has one of the texts.
func needsOfField(path string, texts []string) needs {
	var n needs
	object, rest, nested := strings.Cut(path, ".")
	switch {
	case !nested || !isPlain(object):
	case object == "data":
		if name, _, _ := strings.Cut(rest, "."); isPlain(name) {
			n = append(n, []anchor{{kind: anchorMember, name: name}})
		}
	case !common[object]:
		n = append(n, []anchor{{kind: anchorObject, name: object}})
	}
	if len(texts) > 0 && isPlain(path) {
		set := make([]anchor, 0, len(texts))
		for _, text := range texts {
			set = append(set, anchor{anchorField, path, text})
		}
		n = append(n, set)
	}
	return n
}

// join returns what two expressions need that are joined by and, or.
func (n needs) join(kind conditionKind, o needs) needs {
	if kind == isOr {
		return n.or(o)
	}
	both := slices.Concat(n, o)
	// The first sets name what most mappings share, the last ones what is their own.
	return both[max(0, len(both)-maxSets):]
}

// or returns what an expression needs of which one half has to be true.
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
			if len(both) < maxSets && len(set) <= maxAnchors {
				both = append(both, set)
			}
		}
	}
	return both
}

// never reports whether no alert can meet the needs.
func (n needs) never() bool {
	return slices.ContainsFunc(n, func(set []anchor) bool { return len(set) == 0 })
}

// An index finds the mappings that an alert's anchors could satisfy. Mappings are named by their ordinal.
type index struct {
	byGroup   map[string][]int32
	byDecoder map[string][]int32
	byObject  map[string][]int32
	byMember  map[string][]int32
	byField   []filed
	always    []int32    // whose match says nothing about anchors
	filed     [][]anchor // what each mapping is filed under
}

// filed are the mappings that need one field to have a certain text.
type filed struct {
	field  *fieldPath
	byText map[string][]int32
}

// newIndex files every mapping under that set of the anchors it needs which the fewest mappings share.
func newIndex(mappings []*mapping, paths *paths) index {
	sharing := map[anchor]int{}
	for _, m := range mappings {
		for _, set := range m.needs {
			for _, a := range set {
				sharing[a]++
			}
		}
	}
	x := index{
		byGroup: map[string][]int32{}, byDecoder: map[string][]int32{}, byObject: map[string][]int32{}, byMember: map[string][]int32{},
		filed: make([][]anchor, len(mappings)),
	}
	fields := map[string]map[string][]int32{}
	for i, m := range mappings {
		ordinal := int32(i) //nolint:gosec // mappings are counted in thousands
		if len(m.needs) == 0 {
			x.always = append(x.always, ordinal)
			continue
		}
		x.filed[i] = slices.MinFunc(m.needs, func(a, b []anchor) int { return cmp.Compare(shared(sharing, a), shared(sharing, b)) })
		for _, a := range x.filed[i] {
			switch a.kind {
			case anchorGroup:
				x.byGroup[a.name] = append(x.byGroup[a.name], ordinal)
			case anchorDecoder:
				x.byDecoder[a.name] = append(x.byDecoder[a.name], ordinal)
			case anchorObject:
				x.byObject[a.name] = append(x.byObject[a.name], ordinal)
			case anchorMember:
				x.byMember[a.name] = append(x.byMember[a.name], ordinal)
			case anchorField:
				if fields[a.name] == nil {
					fields[a.name] = map[string][]int32{}
					x.byField = append(x.byField, filed{paths.of(a.name), fields[a.name]})
				}
				fields[a.name][a.text] = append(fields[a.name][a.text], ordinal)
			}
		}
	}
	return x
}

// shared returns how many mappings could be met for one of the anchors.
func shared(sharing map[anchor]int, set []anchor) int {
	sum := 0
	for _, a := range set {
		sum += sharing[a]
	}
	return sum
}

// candidates appends to buf the ordinals of the mappings that could match the alert, in order and without repeats.
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
		buf = r.named(x.byObject, from, to, buf)
	}
	if i := r.member(r.engine.data); i >= 0 && len(x.byMember) > 0 {
		from, to := r.doc.inside(i)
		buf = r.named(x.byMember, from, to, buf)
	}
	for i := range x.byField {
		if text := r.text(x.byField[i].field); text != "" {
			buf = append(buf, x.byField[i].byText[text]...)
		}
	}
	slices.Sort(buf)
	return slices.Compact(buf)
}

// named appends what is filed under the names of members.
func (r *run) named(by map[string][]int32, from, to int32, buf []int32) []int32 {
	for i := from; i < to; i = r.doc.members[i].next {
		name := r.doc.name(&r.doc.members[i])
		if strings.IndexByte(name, '\\') >= 0 {
			name = unescaped(name)
		}
		buf = append(buf, by[name]...)
	}
	return buf
}
