package engine

import (
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// A condition is an expression of the kind that nearly every match is: comparisons of groups, decoder and fields with
// texts, joined by and, or, not. It is decided directly, with the same result as by expr-lang and in a twentieth of the
// time that starting expr-lang's machine takes.
type condition struct {
	is    conditionKind
	of    []condition     // of and, or, not
	on    operand         // of textIn, textStarts, textMatches
	field *fieldPath      // of onField, fieldThere
	texts []string        // of groupIn, groupStarts, textIn, textStarts: one of them
	names map[string]bool // of valueUnder
	regex func() *pattern
}

// operand is what a condition compares.
type operand uint8

const (
	onNothing operand = iota
	onField
	onDecoder
	onValue // of keep
)

type conditionKind uint8

const (
	isAnd conditionKind = iota
	isTrue
	isFalse
	isOr
	isNot
	groupIn     // a group is one of texts
	groupStarts // a group starts with one of texts
	textIn      // the text is one of texts
	textStarts  // the text starts with one of texts
	textMatches // regex matches the text
	fieldThere  // there is a value that is not null
	valueUnder  // the value, or its host, is one of names or below one
)

// conditionOf reads a syntax tree; false if a part of it needs expr-lang.
func conditionOf(n ast.Node, paths *paths) (condition, bool) {
	switch n := n.(type) {
	case *ast.BoolNode:
		if n.Value {
			return condition{is: isTrue}, true
		}
		return condition{is: isFalse}, true
	case *ast.UnaryNode:
		if of, ok := conditionOf(n.Node, paths); ok && (n.Operator == "not" || n.Operator == "!") {
			return condition{is: isNot, of: []condition{of}}, true
		}
	case *ast.CallNode:
		if p := argumentOf(n, "has"); p != "" {
			return condition{is: fieldThere, field: paths.of(p)}, true
		}
		if names := domainsOf(n); names != nil {
			return condition{is: valueUnder, names: names}, true
		}
	case *ast.BuiltinNode:
		if n.Name == "any" && len(n.Arguments) == 2 && isGroups(n.Arguments[0]) {
			return conditionOfElement(n.Arguments[1])
		}
	case *ast.BinaryNode:
		if kind, ok := junctions[n.Operator]; ok {
			left, known := conditionOf(n.Left, paths)
			right, also := conditionOf(n.Right, paths)
			return condition{is: kind, of: []condition{left, right}}, known && also
		}
		if text, ok := n.Left.(*ast.StringNode); ok && isGroups(n.Right) && n.Operator == "in" {
			return condition{is: groupIn, texts: []string{text.Value}}, true
		}
		return conditionOfComparison(n, paths)
	}
	return condition{}, false
}

var junctions = map[string]conditionKind{"and": isAnd, "&&": isAnd, "or": isOr, "||": isOr}

// conditionOfElement reads the predicate of any(groups, …), if it is one comparison or several joined by or.
func conditionOfElement(n ast.Node) (condition, bool) {
	if p, ok := n.(*ast.PredicateNode); ok {
		return conditionOfElement(p.Node)
	}
	b, ok := n.(*ast.BinaryNode)
	if !ok {
		return condition{}, false
	}
	if junctions[b.Operator] == isOr {
		left, known := conditionOfElement(b.Left)
		right, also := conditionOfElement(b.Right)
		return condition{is: isOr, of: []condition{left, right}}, known && also
	}
	if text, ok := b.Right.(*ast.StringNode); ok && b.Operator == "startsWith" && isElement(b.Left) {
		return condition{is: groupStarts, texts: []string{text.Value}}, true
	}
	operand, texts, ok := comparedWith(b)
	return condition{is: groupIn, texts: texts}, ok && isElement(operand)
}

// domainsOf returns the domains of under_domain(value, "a", …), with a list or not; nil for another call.
func domainsOf(n *ast.CallNode) map[string]bool {
	list := argumentsOfValue(n, "under_domain")
	if len(list) < 2 {
		return nil
	}
	list = list[1:]
	if array, ok := list[0].(*ast.ArrayNode); ok && len(list) == 1 {
		list = array.Nodes
	}
	names := map[string]bool{}
	for _, item := range list {
		text, ok := item.(*ast.StringNode)
		if !ok {
			return nil
		}
		names[hostKey(text.Value)] = true
	}
	return names
}

func conditionOfComparison(n *ast.BinaryNode, paths *paths) (condition, bool) {
	c := condition{is: textIn}
	left, texts, ok := comparedWith(n)
	negated := false
	if !ok {
		text, isText := n.Right.(*ast.StringNode)
		if !isText {
			return condition{}, false
		}
		left, texts = n.Left, []string{text.Value}
		switch n.Operator {
		case "startsWith":
			c.is = textStarts
		case "matches":
			tree, err := syntax.Parse(text.Value, syntax.Perl)
			if err != nil {
				return condition{}, false
			}
			c.is, c.regex = textMatches, lazyPatternOf(text.Value, tree)
		case "!=":
			negated = true
		default:
			return condition{}, false
		}
	}
	c.texts = texts
	if p := argumentOf(left, "field"); p != "" {
		c.on, c.field = onField, paths.of(p)
	} else if isDecoderName(left) {
		c.on = onDecoder
	} else if name, ok := left.(*ast.IdentifierNode); ok && name.Value == "value" {
		c.on = onValue
	} else {
		return condition{}, false
	}
	if negated {
		c = condition{is: isNot, of: []condition{c}}
	}
	return c, true
}

// comparedWith reads X == "a", "a" == X and X in ["a", "b"].
func comparedWith(n *ast.BinaryNode) (operand ast.Node, texts []string, ok bool) {
	switch n.Operator {
	case "==":
		if text, ok := n.Right.(*ast.StringNode); ok {
			return n.Left, []string{text.Value}, true
		}
		if text, ok := n.Left.(*ast.StringNode); ok {
			return n.Right, []string{text.Value}, true
		}
	case "in":
		list, ok := n.Right.(*ast.ArrayNode)
		if !ok {
			return nil, nil, false
		}
		for _, item := range list.Nodes {
			text, ok := item.(*ast.StringNode)
			if !ok {
				return nil, nil, false
			}
			texts = append(texts, text.Value)
		}
		return n.Left, texts, true
	}
	return nil, nil, false
}

// argumentOf returns the path in field("path") or has("path"), "" if n is not such a call.
func argumentOf(n ast.Node, function string) string {
	call, ok := n.(*ast.CallNode)
	if !ok || len(call.Arguments) != 1 {
		return ""
	}
	callee, isName := call.Callee.(*ast.IdentifierNode)
	text, isText := call.Arguments[0].(*ast.StringNode)
	if !isName || !isText || callee.Value != function {
		return ""
	}
	return text.Value
}

// isElement reports whether n is the # of a predicate.
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

// decide reports whether a condition is true of the alert.
func (r *run) decide(c *condition) bool {
	switch c.is {
	case isTrue:
		return true
	case isFalse:
	case isAnd:
		return r.decide(&c.of[0]) && r.decide(&c.of[1])
	case isOr:
		return r.decide(&c.of[0]) || r.decide(&c.of[1])
	case isNot:
		return !r.decide(&c.of[0])
	case groupIn:
		r.work -= len(r.groups) * len(c.texts)
		return slices.ContainsFunc(r.groups, func(g string) bool { return slices.Contains(c.texts, g) })
	case groupStarts:
		r.work -= len(r.groups)
		return slices.ContainsFunc(r.groups, func(g string) bool { return strings.HasPrefix(g, c.texts[0]) })
	case textIn:
		r.work -= len(c.texts)
		return slices.Contains(c.texts, r.operand(c))
	case textStarts:
		return strings.HasPrefix(r.operand(c), c.texts[0])
	case textMatches:
		matches, err := c.regex().matches(r.operand(c), &r.work)
		if err != nil && r.failed == nil {
			r.failed = err
		}
		return matches
	case fieldThere:
		return r.has(c.field)
	case valueUnder:
		return isUnder(hostOf(r.current), c.names)
	}
	return false
}

// isUnder reports whether a name is one of several or below one.
func isUnder(host string, names map[string]bool) bool {
	for more := host != ""; more; _, host, more = strings.Cut(host, ".") {
		if names[host] {
			return true
		}
	}
	return false
}

func (r *run) operand(c *condition) string {
	switch c.on {
	case onField:
		return r.text(c.field)
	case onDecoder:
		return r.decoder()
	case onValue:
		return r.current
	case onNothing:
	}
	return ""
}
