package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"go.yaml.in/yaml/v4"

	"custom-misp/engine/yamlfile"
)

// warnOfMatch warns of a match that compiles, but is slow, never true, or names a group that no alert can have.
func (r reader) warnOfMatch(s yamlfile.Scalar, m *mapping, tree ast.Node) {
	constant := true
	ast.Walk(&tree, visitor(func(n ast.Node) {
		switch n := n.(type) {
		case *ast.IdentifierNode:
			constant = constant && functionNamed(n.Value)
		case *ast.BinaryNode:
			text, ok := n.Left.(*ast.StringNode)
			if ok && n.Operator == "in" && isGroups(n.Right) && strings.ContainsAny(text.Value, " \t\n") {
				r.warnIn(s, text.Location().From, fmt.Sprintf("write %q", strings.TrimSpace(text.Value)),
					"group %q is spelt with a blank, and no alert has such a group: blanks around groups are taken off", text.Value)
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
	case len(m.needs) == 0:
		r.Warn(s.Node, `begin with something like "sysmon" in groups and, or decoder.name == "json" and`,
			"match names no group or decoder that is needed, so every alert meets this mapping")
	}
}

func (r reader) warnIn(s yamlfile.Scalar, offset int, remedy, format string, args ...any) {
	r.FaultIn(s, offset, remedy, format, args...)
	r.LastIsWarning()
}

func functionNamed(name string) bool {
	for _, f := range functions {
		if f.name == name {
			return true
		}
	}
	return false
}

// warnOfTwins warns of mappings that do the same as one before them: they only make the enrichment longer.
func (r reader) warnOfTwins(mappings, before []*mapping) {
	for i, m := range mappings {
		for _, other := range append(slices.Clip(before), mappings[:i]...) {
			if m.match != nil && other.match != nil && m.id != other.id && m.same(other) {
				r.Warn(&yaml.Node{Line: m.line, Column: m.column}, "remove one of them",
					"mapping %q does the same as %q in %s:%d", m.id, other.id, other.file, other.line)
				break
			}
		}
	}
}

// same reports whether two mappings match and pick the same, whatever they are called.
func (m *mapping) same(o *mapping) bool {
	if canonical(m.match) != canonical(o.match) || len(m.picks) != len(o.picks) {
		return false
	}
	for i := range m.picks {
		a, b := &m.picks[i], &o.picks[i]
		if a.path.text != b.path.text || a.split != b.split || a.prefix != b.prefix || a.part != b.part || a.typ != b.typ || a.rest() != b.rest() {
			return false
		}
	}
	return true
}

// canonical returns an expression without what makes no difference: blanks, and && for and.
func canonical(p *program) string {
	if p == nil {
		return ""
	}
	_, tree, err := newProgram(p.source, keepNames, newPaths())
	if err != nil {
		return p.source
	}
	return strings.ReplaceAll(strings.ReplaceAll(tree.String(), "&&", "and"), "||", "or")
}

// rest returns what the pick does beyond path, split and type.
func (p *pick) rest() string {
	s := canonical(p.keep)
	if p.regex != nil {
		s = p.regex().String() + "\n" + s
	}
	return s
}
