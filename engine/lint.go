package engine

import (
	"fmt"
	"strings"

	"github.com/expr-lang/expr/ast"

	"custom-misp/engine/yamlfile"
)

// warnOfMatch warns of a match that is evaluated for every alert, is never true, or names a group that no alert can have.
func (r reader) warnOfMatch(s yamlfile.Scalar, m *mapping, tree ast.Node) {
	constant := true
	_, back := r.defined.expand(s.Value)
	ast.Walk(&tree, visitor(func(n ast.Node) {
		switch n := n.(type) {
		case *ast.IdentifierNode:
			constant = constant && isFunction(n.Value)
		case *ast.BinaryNode:
			text, ok := n.Left.(*ast.StringNode)
			if ok && n.Operator == "in" && isGroups(n.Right) && strings.ContainsAny(text.Value, " \t\n") {
				r.WarnIn(s, back(text.Location().From), fmt.Sprintf("write %q", strings.TrimSpace(text.Value)),
					"group %q has blanks around it, and no alert has such a group: blanks around groups are removed", text.Value)
			}
		}
	}))
	if constant {
		run := newRun(&Engine{paths: r.paths})
		if ok, err := run.eval(m.match); err == nil && !ok {
			r.Warn(s.Node, "", "match can never be true")
			return
		}
	}
	switch {
	case m.needs.never():
		r.Warn(s.Node, "", "match can never be true")
	case len(m.needs) == 0 && !m.fallback:
		r.Warn(s.Node, `begin with something like "sysmon" in groups and, or decoder.name == "json" and`,
			"match requires no group, decoder or field, so it is evaluated for every alert")
	}
}

func isFunction(name string) bool {
	for _, f := range functions {
		if f.name == name {
			return true
		}
	}
	return false
}
