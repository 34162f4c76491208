package engine

import (
	"slices"

	"github.com/expr-lang/expr/ast"
)

// An anchor is a fact about an alert that is cheap to read and that mappings are filed under: one of its groups,
// or its decoder.
type anchor struct {
	decoder bool
	name    string
}

// needs says which anchors an expression cannot do without: it can only be true for an alert that has at least
// one of them. The zero needs says nothing: the expression may be true whatever the alert is.
type needs struct {
	known bool
	anyOf []anchor // empty and known: never true
}

func need(decoder bool, names ...string) needs {
	n := needs{known: true}
	for _, name := range names {
		n.anyOf = append(n.anyOf, anchor{decoder, name})
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
			return need(false)
		}
	case *ast.BinaryNode:
		switch n.Operator {
		case "and", "&&":
			return either(needsOf(n.Left), needsOf(n.Right))
		case "or", "||":
			return both(needsOf(n.Left), needsOf(n.Right))
		case "in":
			if text, ok := n.Left.(*ast.StringNode); ok && isGroups(n.Right) {
				return need(false, text.Value)
			}
		}
		return comparison(n, isDecoderName, true)
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
		return comparison(n, isElement, false)
	}
	return needs{}
}

// comparison reads X == "a", "a" == X and X in ["a", "b"], where is tells what X must be.
func comparison(n *ast.BinaryNode, is func(ast.Node) bool, decoder bool) needs {
	switch n.Operator {
	case "==":
		if text, ok := n.Right.(*ast.StringNode); ok && is(n.Left) {
			return need(decoder, text.Value)
		}
		if text, ok := n.Left.(*ast.StringNode); ok && is(n.Right) {
			return need(decoder, text.Value)
		}
	case "in":
		list, ok := n.Right.(*ast.ArrayNode)
		if !ok || !is(n.Left) {
			return needs{}
		}
		set := need(decoder)
		for _, item := range list.Nodes {
			text, ok := item.(*ast.StringNode)
			if !ok {
				return needs{}
			}
			set.anyOf = append(set.anyOf, anchor{decoder, text.Value})
		}
		return set
	}
	return needs{}
}

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

// An index finds the mappings that an alert's groups and decoder could satisfy. Mappings are named by their
// ordinal.
type index struct {
	byGroup   map[string][]int32
	byDecoder map[string][]int32
	always    []int32 // whose match says nothing about anchors
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
			if a.decoder {
				x.byDecoder[a.name] = append(x.byDecoder[a.name], ordinal)
			} else {
				x.byGroup[a.name] = append(x.byGroup[a.name], ordinal)
			}
		}
	}
	return x
}

// candidates appends to buf the ordinals of the mappings that could match, in order and without repeats.
// decoder is only called if there are mappings filed under decoders.
func (x *index) candidates(groups []string, decoder func() string, buf []int32) []int32 {
	buf = append(buf, x.always...)
	for _, g := range groups {
		buf = append(buf, x.byGroup[g]...)
	}
	if len(x.byDecoder) > 0 {
		buf = append(buf, x.byDecoder[decoder()]...)
	}
	slices.Sort(buf)
	return slices.Compact(buf)
}
