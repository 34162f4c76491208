package engine

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
	"go.yaml.in/yaml/v4"
)

// twins finds mappings that do the same: it holds mappings by their canonical form, in the order in which they were
// added.
type twins map[string][]*mapping

// warnOfTwins warns of mappings of one file that do the same as one before them, there or in loaded: the second only
// makes the enrichment longer.
func (r reader) warnOfTwins(mappings []*mapping, loaded twins) {
	here := twins{}
	for _, m := range mappings {
		if m.match == nil {
			continue
		}
		m.canonical = canonicalForm(m)
		other := loaded.of(m)
		if other == nil {
			other = here.of(m)
		}
		if other != nil {
			r.Warn(&yaml.Node{Line: m.line, Column: m.column}, "remove one of them",
				"mapping %q does the same as %q in %s:%d", m.id, other.id, other.file, other.line)
		}
		here.add(m)
	}
}

// of returns the first mapping that does the same as m and has another id; nil if there is none.
func (t twins) of(m *mapping) *mapping {
	for _, other := range t[m.canonical] {
		if other.id != m.id {
			return other
		}
	}
	return nil
}

// add adds a mapping. One that has the id of the first with its form is left out, so that of needs two steps at most.
func (t twins) add(m *mapping) {
	same := t[m.canonical]
	if len(same) == 0 || same[0].id != m.id {
		t[m.canonical] = append(same, m)
	}
}

// update adds the mappings of a file, and removes those whose place they took.
func (t twins) update(added, replaced []*mapping) {
	for _, m := range replaced {
		t[m.canonical] = slices.DeleteFunc(t[m.canonical], func(o *mapping) bool { return o == m })
	}
	for _, m := range added {
		t.add(m)
	}
}

// canonicalForm returns a text that is the same for two mappings that match, pick and filter the same, whatever they
// are called.
func canonicalForm(m *mapping) string {
	var b strings.Builder
	b.WriteString(canonicalExpr(m.match))
	for i := range m.picks {
		p := &m.picks[i]
		regex, pair := "", ""
		if p.pair != nil {
			pair = p.pair.text
		}
		if p.regex != nil {
			regex = p.regex().regexp().String()
		}
		steps := make([]string, 0, len(p.decode))
		for _, d := range p.decode {
			steps = append(steps, d.word)
		}
		fmt.Fprintf(&b, "\n%q %q %q %q %q %q %t %q %q %q %q %q %q %t", p.path.text, pair, p.split, p.prefix, p.part, p.typ, p.scan, regex,
			canonicalExpr(p.keep), canonicalExpr(p.when), p.names, p.except, steps, p.private)
	}
	fmt.Fprintf(&b, "\n%t %q", m.fallback, m.labels)
	filter, err := json.Marshal(m.filter)
	if err != nil {
		filter = []byte(err.Error()) // cannot be: a filter holds texts and numbers
	}
	return b.String() + "\n" + string(filter)
}

// canonicalExpr returns an expression without what makes no difference: blanks, brackets, and && for and.
func canonicalExpr(p *program) string {
	if p == nil {
		return ""
	}
	tree, err := parser.Parse(p.source)
	if err != nil {
		return p.source
	}
	ast.Walk(&tree.Node, visitor(func(n ast.Node) {
		switch n := n.(type) {
		case *ast.BinaryNode:
			n.Operator = cmp.Or(operatorWords[n.Operator], n.Operator)
		case *ast.UnaryNode:
			n.Operator = cmp.Or(operatorWords[n.Operator], n.Operator)
		}
	}))
	return tree.Node.String()
}

var operatorWords = map[string]string{"&&": "and", "||": "or", "!": "not"}
