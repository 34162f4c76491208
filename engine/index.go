package engine

import (
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/tidwall/gjson"
)

// An anchor is a fact about an alert that is cheap to read and that mappings are filed under: one of its groups,
// its decoder, or an object at its top that few alerts have, like syscheck.
type anchor struct {
	kind anchorKind
	name string
}

type anchorKind string

const (
	anchorGroup   anchorKind = "group"
	anchorDecoder anchorKind = "decoder"
	anchorObject  anchorKind = "object"
)

// common are the keys at the top of every alert, which tell nothing apart.
var common = map[string]bool{
	"timestamp": true, "rule": true, "agent": true, "manager": true, "id": true, "cluster": true, "full_log": true,
	"predecoder": true, "decoder": true, "data": true, "location": true, "input": true, "@timestamp": true,
}

// needs says which anchors an expression cannot do without: it can only be true for an alert that has at least
// one of them. The zero needs says nothing: the expression may be true whatever the alert is.
type needs struct {
	known bool
	anyOf []anchor // empty and known: never true
}

func need(kind anchorKind, names ...string) needs {
	n := needs{known: true}
	for _, name := range names {
		n.anyOf = append(n.anyOf, anchor{kind, name})
	}
	return n
}

// needsOf reads from the syntax tree of a match which anchors it cannot do without. What it does not
// understand, it says nothing about; so the index may let a mapping through that will not match, and never
// keeps one away that would.
func needsOf(n ast.Node) needs {
	switch n := n.(type) {
	case *ast.BoolNode:
		if !n.Value {
			return need(anchorGroup)
		}
	case *ast.BinaryNode:
		switch n.Operator {
		case "and", "&&":
			return either(needsOf(n.Left), needsOf(n.Right))
		case "or", "||":
			return both(needsOf(n.Left), needsOf(n.Right))
		case "in":
			if text, ok := n.Left.(*ast.StringNode); ok && isGroups(n.Right) {
				return need(anchorGroup, text.Value)
			}
		}
		if set := comparison(n, isDecoderName, anchorDecoder); set.known {
			return set
		}
		return comparison(n, isField, anchorObject)
	case *ast.CallNode:
		if object := objectOf(n, "has"); object != "" {
			return need(anchorObject, object)
		}
	case *ast.ConditionalNode:
		// Whichever way the condition goes, one of the branches has to be true.
		return both(needsOf(n.Exp1), needsOf(n.Exp2))
	case *ast.BuiltinNode:
		if n.Name == "any" && len(n.Arguments) == 2 && isGroups(n.Arguments[0]) {
			return needsOfElement(n.Arguments[1])
		}
	}
	return needs{}
}

// needsOfElement reads the predicate of any(groups, …): # == "a", # in ["a", "b"], and these joined by and, or.
func needsOfElement(n ast.Node) needs {
	switch n := n.(type) {
	case *ast.PredicateNode:
		return needsOfElement(n.Node)
	case *ast.BinaryNode:
		switch n.Operator {
		case "and", "&&":
			return either(needsOfElement(n.Left), needsOfElement(n.Right))
		case "or", "||":
			return both(needsOfElement(n.Left), needsOfElement(n.Right))
		}
		return comparison(n, isElement, anchorGroup)
	}
	return needs{}
}

// comparison reads X == "a", "a" == X and X in ["a", "b"], where is tells what X must be. For a field, the anchor
// is not the text but the object that the field is in, if the text can only be that of a field that is there.
func comparison(n *ast.BinaryNode, is func(ast.Node) bool, kind anchorKind) needs {
	switch n.Operator {
	case "==":
		if text, ok := n.Right.(*ast.StringNode); ok && is(n.Left) {
			return compared(kind, n.Left, text.Value)
		}
		if text, ok := n.Left.(*ast.StringNode); ok && is(n.Right) {
			return compared(kind, n.Right, text.Value)
		}
	case "in":
		list, ok := n.Right.(*ast.ArrayNode)
		if !ok || !is(n.Left) {
			return needs{}
		}
		set := need(kind)
		for _, item := range list.Nodes {
			text, ok := item.(*ast.StringNode)
			if !ok {
				return needs{}
			}
			one := compared(kind, n.Left, text.Value)
			if !one.known {
				return needs{}
			}
			set = both(set, one)
		}
		return set
	}
	return needs{}
}

func compared(kind anchorKind, n ast.Node, text string) needs {
	if kind != anchorObject {
		return need(kind, text)
	}
	if text == "" {
		return needs{}
	}
	return need(kind, objectOf(n, "field"))
}

// objectOf returns the object at the top of the alert that a call of field or has needs, "" if it needs none
// that tells alerts apart.
func objectOf(n ast.Node, function string) string {
	call, ok := n.(*ast.CallNode)
	if !ok || len(call.Arguments) != 1 {
		return ""
	}
	callee, isName := call.Callee.(*ast.IdentifierNode)
	path, isText := call.Arguments[0].(*ast.StringNode)
	if !isName || !isText || callee.Value != function {
		return ""
	}
	object, _, nested := strings.Cut(path.Value, ".")
	if !nested || common[object] || object == "" || strings.Trim(object, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "" {
		return ""
	}
	return object
}

func isField(n ast.Node) bool { return objectOf(n, "field") != "" }

func isElement(n ast.Node) bool {
	p, ok := n.(*ast.PointerNode)
	return ok && p.Name == ""
}

func isDecoderName(n ast.Node) bool { return isMember(n, "decoder", "name") }

func isGroups(n ast.Node) bool {
	name, ok := n.(*ast.IdentifierNode)
	return ok && name.Value == "groups" || isMember(n, "rule", "groups")
}

// isMember reports whether n is of.name.
func isMember(n ast.Node, of, name string) bool {
	m, ok := n.(*ast.MemberNode)
	if !ok {
		return false
	}
	object, isObject := m.Node.(*ast.IdentifierNode)
	property, isName := m.Property.(*ast.StringNode)
	return isObject && isName && object.Value == of && property.Value == name
}

// either combines the needs of a and b when both must be true: one of them is enough to go by, the narrower.
func either(a, b needs) needs {
	switch {
	case !a.known:
		return b
	case !b.known || len(a.anyOf) <= len(b.anyOf):
		return a
	}
	return b
}

// both combines the needs of a and b when one of them must be true.
func both(a, b needs) needs {
	if !a.known || !b.known {
		return needs{}
	}
	return needs{known: true, anyOf: slices.Concat(a.anyOf, b.anyOf)}
}

// An index finds the mappings that an alert's anchors could satisfy. Mappings are named by their ordinal.
type index struct {
	byGroup   map[string][]int32
	byDecoder map[string][]int32
	byObject  []filed // few: most products write below data
	always    []int32 // whose match says nothing about anchors
}

type filed struct {
	name     string
	mappings []int32
}

func newIndex(mappings []*mapping) index {
	x := index{byGroup: map[string][]int32{}, byDecoder: map[string][]int32{}}
	for i, m := range mappings {
		ordinal := int32(i) //nolint:gosec // mappings are counted in thousands
		if !m.needs.known {
			x.always = append(x.always, ordinal)
			continue
		}
		for _, a := range m.needs.anyOf {
			switch a.kind {
			case anchorGroup:
				x.byGroup[a.name] = append(x.byGroup[a.name], ordinal)
			case anchorDecoder:
				x.byDecoder[a.name] = append(x.byDecoder[a.name], ordinal)
			case anchorObject:
				i := slices.IndexFunc(x.byObject, func(f filed) bool { return f.name == a.name })
				if i < 0 {
					i = len(x.byObject)
					x.byObject = append(x.byObject, filed{name: a.name})
				}
				x.byObject[i].mappings = append(x.byObject[i].mappings, ordinal)
			}
		}
	}
	return x
}

// candidates appends to buf the ordinals of the mappings that could match, in order and without repeats.
// get reads a path of the alert; it is only called for what mappings are filed under.
func (x *index) candidates(groups []string, get func(path string) gjson.Result, buf []int32) []int32 {
	buf = append(buf, x.always...)
	for _, g := range groups {
		buf = append(buf, x.byGroup[g]...)
	}
	if len(x.byDecoder) > 0 {
		buf = append(buf, x.byDecoder[get("decoder.name").String()]...)
	}
	for _, f := range x.byObject {
		if get(f.name).Exists() {
			buf = append(buf, f.mappings...)
		}
	}
	slices.Sort(buf)
	return slices.Compact(buf)
}
