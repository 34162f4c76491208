package engine

import (
	"strings"

	"github.com/expr-lang/expr/ast"

	"custom-misp/engine/yamlfile"
)

// This file finds keep expressions that were written for values which the filter of addresses and names has dropped before:
// only private: true lets them pass.

const remedyPrivate = "add private: true to pick them"

// checkKeep notes a fault for a keep that can only be true of values that are dropped before, and a warning for one that is
// always true.
func (r reader) checkKeep(s yamlfile.Scalar, t Type, tree ast.Node) {
	if !r.lint {
		return
	}
	if b, ok := tree.(*ast.BoolNode); ok && b.Value {
		switch t.Family() {
		case familyIP, familyHost, familyURL, familyEmail, "":
			r.Warn(s.Node, remedyPrivate+", or leave keep out", "keep: true has no effect: values that are not public are dropped before keep is evaluated")
		}
		return
	}
	if onlyDropped(tree, t) {
		r.Fault(s.Node, remedyPrivate, "keep is true only for addresses that are not public or names that are only known at a site, which are dropped before")
	}
}

// onlyDropped reports whether an expression can be true only for values of a type that keepByDefault drops.
func onlyDropped(n ast.Node, t Type) bool {
	switch n := n.(type) {
	case *ast.UnaryNode:
		return (n.Operator == "not" || n.Operator == "!") && t.Family() == familyIP && len(argumentsOfValue(n.Node, "is_public_ip")) > 0
	case *ast.CallNode:
		if networks := argumentsOfValue(n, "in_network"); len(networks) > 1 {
			return allTexts(networks[1:], isPrivateNetwork)
		}
		if names := argumentsOfValue(n, "under_domain"); len(names) > 1 {
			return allTexts(names[1:], func(s string) bool { return isLocalName(hostKey(s)) })
		}
	case *ast.BinaryNode:
		switch junctions[n.Operator] {
		case isAnd:
			if n.Operator == "and" || n.Operator == "&&" {
				return onlyDropped(n.Left, t) || onlyDropped(n.Right, t)
			}
		case isOr:
			return onlyDropped(n.Left, t) && onlyDropped(n.Right, t)
		}
		return comparesDropped(n)
	}
	return false
}

// comparesDropped reports whether a comparison of the value can be true only for what keepByDefault drops.
func comparesDropped(n *ast.BinaryNode) bool {
	if operand, texts, ok := comparedWith(n); ok {
		if !isValue(operand) || len(texts) == 0 {
			return false
		}
		for _, text := range texts {
			if t, value, err := decide(text); err == nil && keepByDefault(t, value) != nil {
				continue
			}
			if host, err := normalHost(text); err != nil || !isLocalName(host) {
				return false
			}
		}
		return true
	}
	text, ok := n.Right.(*ast.StringNode)
	if !ok || !isValue(n.Left) {
		return false
	}
	switch n.Operator {
	case "startsWith":
		for _, begin := range []string{"10.", "127.", "192.168.", "169.254."} {
			if strings.HasPrefix(text.Value, begin) {
				return true
			}
		}
	case "endsWith":
		return strings.HasPrefix(text.Value, ".") && isLocalName("x"+text.Value)
	}
	return false
}

// argumentsOfValue returns the arguments of a call of a function with the value as the first; nil if n is not one.
func argumentsOfValue(n ast.Node, function string) []ast.Node {
	call, ok := n.(*ast.CallNode)
	if !ok || len(call.Arguments) == 0 || !isValue(call.Arguments[0]) {
		return nil
	}
	if callee, ok := call.Callee.(*ast.IdentifierNode); !ok || callee.Value != function {
		return nil
	}
	return call.Arguments
}

func isValue(n ast.Node) bool {
	name, ok := n.(*ast.IdentifierNode)
	return ok && name.Value == "value"
}

func allTexts(list []ast.Node, is func(string) bool) bool {
	for _, n := range list {
		text, ok := n.(*ast.StringNode)
		if !ok || !is(text.Value) {
			return false
		}
	}
	return true
}

// isPrivateNetwork reports whether no address of a network is public.
func isPrivateNetwork(s string) bool {
	p, err := parsePrefix(s)
	if err != nil {
		return false
	}
	for _, special := range specialPurpose {
		if special.Bits() <= p.Bits() && special.Contains(p.Addr()) {
			return true
		}
	}
	return p.Addr().Is6() && p.Bits() >= 3 && !isPublic(p.Addr())
}
