package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// conjunctsOf returns the parts of an expression that are joined by and.
func conjunctsOf(n ast.Node) []ast.Node {
	if b, ok := n.(*ast.BinaryNode); ok && junctions[b.Operator] == isAnd && (b.Operator == "and" || b.Operator == "&&") {
		return append(conjunctsOf(b.Left), conjunctsOf(b.Right)...)
	}
	return []ast.Node{n}
}

// contradictions warns of parts that can never be true together.
func (l expressionLint) contradictions(tree ast.Node) {
	allowed := map[string][]string{}
	seen := map[string]bool{}
	parts := conjunctsOf(tree)
	for _, part := range parts {
		if not, ok := part.(*ast.UnaryNode); ok && (not.Operator == "not" || not.Operator == "!") {
			seen["not "+not.Node.String()] = true
		}
	}
	for _, part := range parts {
		l.onlyOwn(part)
		if seen["not "+part.String()] {
			l.warn(part, "leave one of them out, or join them by or", "this needs %s and not %s, which can never be true", part, part)
			return
		}
		b, ok := part.(*ast.BinaryNode)
		if !ok {
			continue
		}
		if operand, texts, ok := comparedWith(b); ok && !isGroups(operand) {
			key := operand.String()
			before, known := allowed[key]
			if known {
				texts = slices.DeleteFunc(slices.Clone(texts), func(t string) bool { return !slices.Contains(before, t) })
			}
			if allowed[key] = texts; known && len(before) > 0 && len(texts) == 0 {
				l.warn(b, "join them by or, or write "+key+` in ["a", "b"]`, "%s cannot be two texts at once: this can never be true", key)
				return
			}
		}
	}
	l.levels(parts)
}

// levels warns of bounds of rule.level that no level is in.
func (l expressionLint) levels(parts []ast.Node) {
	levels := make([]int, 0, maxLevel+1)
	for level := range maxLevel + 1 {
		levels = append(levels, level)
	}
	for _, part := range parts {
		b, ok := part.(*ast.BinaryNode)
		if !ok || !isMember(b.Left, "rule", "level") {
			continue
		}
		limit, ok := b.Right.(*ast.IntegerNode)
		if !ok || limit.Value < 0 || limit.Value > maxLevel {
			continue
		}
		before := len(levels)
		levels = slices.DeleteFunc(levels, func(level int) bool { return !holds(level, b.Operator, limit.Value) })
		if before > 0 && len(levels) == 0 {
			l.warn(b, "join them by or, or turn one of them round", "no rule.level is in both bounds: this can never be true")
			return
		}
	}
}

// unguarded warns of int(field(path)) and float(field(path)) where nothing before it makes sure that there is a number: the
// expression fails for an alert without the field. known are the paths that were asked for before.
func (l expressionLint) unguarded(n ast.Node, known []string) []string {
	switch n := n.(type) {
	case *ast.BinaryNode:
		known = l.unguarded(n.Left, known)
		return l.unguarded(n.Right, known)
	case *ast.UnaryNode:
		return l.unguarded(n.Node, known)
	case *ast.ConditionalNode:
		known = l.unguarded(n.Cond, known)
		return l.unguarded(n.Exp2, l.unguarded(n.Exp1, known))
	case *ast.CallNode:
		return append(known, argumentOf(n, "field")+argumentOf(n, "has"))
	case *ast.BuiltinNode:
		if (n.Name == "int" || n.Name == "float") && len(n.Arguments) == 1 {
			if path := argumentOf(n.Arguments[0], "field"); path != "" {
				if !slices.Contains(known, path) {
					l.warn(n, fmt.Sprintf("write has(%q) and before it", path), "%s(field(%q)) fails for an alert that does not have the field", n.Name, path)
				}
				return append(known, path)
			}
		}
		for _, arg := range n.Arguments {
			known = l.unguarded(arg, known)
		}
	}
	return known
}

// onlyOwn warns of a keep that is true only for names under a domain that is known at a site alone: those were to be left out.
func (l expressionLint) onlyOwn(n ast.Node) {
	call, ok := n.(*ast.CallNode)
	if !ok || l.typ == "" || len(call.Arguments) < 2 {
		return
	}
	if callee, ok := call.Callee.(*ast.IdentifierNode); !ok || callee.Value != "under_domain" {
		return
	}
	for _, arg := range call.Arguments[1:] {
		text, ok := arg.(*ast.StringNode)
		if !ok || underPublicSuffix(strings.ToLower(text.Value)) && !strings.HasSuffix(text.Value, ".example") {
			return
		}
	}
	l.warn(n, "write not "+n.String(), "this keeps only names under domains that are no public ones")
}
