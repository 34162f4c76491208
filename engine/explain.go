package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/tidwall/gjson"
)

// An Explanation is what the mappings do with one alert, step by step, for people who ask why a value was picked or was
// not. Its JSON form is a promise to scripts: names stay.
type Explanation struct {
	Groups      []string       `json:"groups"`
	Decoder     string         `json:"decoder"`
	Mappings    []MappingTrace `json:"mappings"`    // in the order in which they are tried
	Observables []Observable   `json:"observables"` // what Pick returns
}

// A MappingTrace is what one mapping did with the alert.
type MappingTrace struct {
	Builtin bool   `json:"builtin,omitempty"` // it is part of the program
	ID      string `json:"id"`
	File    string `json:"file"`
	Line    int    `json:"line"`
	// Missing is set if the mapping was not considered: it needs one of these groups, decoders or fields, and the
	// alert has none of them.
	Missing []string `json:"missing,omitempty"`
	// Conjuncts are the parts of match that are joined by and, if the mapping was considered.
	Conjuncts []Conjunct `json:"conjuncts,omitempty"`
	Matched   bool       `json:"matched"`
	Error     string     `json:"error,omitempty"` // match failed on this alert
	// Picks are all picks of the mapping, if it matched.
	Picks []PickTrace `json:"picks,omitempty"`
}

// A Conjunct is one condition of a match, with its value and those of the fields in it.
type Conjunct struct {
	Expression string       `json:"expression"`
	Value      bool         `json:"value"`
	Error      string       `json:"error,omitempty"`
	Fields     []FieldValue `json:"fields,omitempty"`
}

// A FieldValue is what field(path) is for the alert.
type FieldValue struct {
	Path  string `json:"path"`
	Value string `json:"value"`
}

// A PickTrace is what one pick took.
type PickTrace struct {
	Path       string           `json:"path"`
	Type       Type             `json:"type"`
	Found      string           `json:"found"` // the JSON at the path; empty if there is none
	Candidates []CandidateTrace `json:"candidates,omitempty"`
	Cuts       []CutTrace       `json:"cuts,omitempty"` // what bounds left out
}

// A CutTrace is what a bound left out of a pick.
type CutTrace struct {
	What   CutKind `json:"what"`
	Number int     `json:"number"` // at least so many
}

// A CandidateTrace is one candidate, and the value that it gave or why it was dropped.
type CandidateTrace struct {
	Text    string `json:"text"`
	Type    Type   `json:"type,omitempty"`    // given or decided
	Value   string `json:"value,omitempty"`   // the normal form, if it has one
	Dropped string `json:"dropped,omitempty"` // why it was not picked
}

// Explain does what [Engine.Pick] does and returns every step. It costs much more, and is for people.
func (e *Engine) Explain(alert []byte) Explanation {
	r := e.takeRun()
	defer e.runs.Put(r)
	defer r.release()
	r.read(string(alert))
	x := Explanation{
		Groups: append([]string{}, r.groups...), Decoder: r.decoder(),
		Mappings: []MappingTrace{}, Observables: []Observable{},
	}
	r.candidates = e.index.candidates(r, r.candidates[:0])
	for i, m := range e.mappings {
		m = m.whole()
		t := MappingTrace{ID: m.id, File: m.file, Line: m.line, Builtin: m.builtin}
		if slices.Contains(r.candidates, int32(i)) { //nolint:gosec // mappings are counted in thousands
			r.explain(m, &t)
		} else {
			for _, k := range e.index.keys[i] {
				t.Missing = append(t.Missing, k.String())
			}
		}
		x.Mappings = append(x.Mappings, t)
	}
	x.Observables = append(x.Observables, r.found...)
	return x
}

// explain fills in the trace of a mapping that was considered.
func (r *run) explain(m *mapping, t *MappingTrace) {
	for _, part := range conjuncts(m.match.source) {
		t.Conjuncts = append(t.Conjuncts, r.conjunct(part))
	}
	ok, err := r.matches(m)
	if err != nil {
		t.Error = err.Error()
	}
	if t.Matched = ok; !ok {
		return
	}
	for i := range m.picks {
		p := &m.picks[i]
		pt := PickTrace{Path: p.path.text, Type: p.typ, Found: strings.Clone(gjson.Get(r.alert, p.path.text).Raw)}
		before := len(r.cuts)
		r.pickOne(m, p, func(candidate string, typ Type, value string, err error) {
			c := CandidateTrace{Text: strings.Clone(candidate), Type: typ, Value: strings.Clone(value)}
			if err != nil {
				c.Dropped = err.Error()
			}
			pt.Candidates = append(pt.Candidates, c)
		})
		for _, c := range r.cuts[before:] {
			pt.Cuts = append(pt.Cuts, CutTrace{c.What, c.Number})
		}
		t.Picks = append(t.Picks, pt)
	}
}

// conjuncts splits an expression at the ands at its top.
func conjuncts(source string) []string {
	_, tree, err := newProgram(source, matchNames, newPaths())
	if err != nil {
		return []string{source}
	}
	var parts []string
	var split func(ast.Node)
	split = func(n ast.Node) {
		if b, ok := n.(*ast.BinaryNode); ok && (b.Operator == "and" || b.Operator == "&&") {
			split(b.Left)
			split(b.Right)
			return
		}
		parts = append(parts, n.String())
	}
	split(tree)
	return parts
}

func (r *run) conjunct(source string) Conjunct {
	c := Conjunct{Expression: source}
	p, tree, err := newProgram(source, matchNames, r.engine.paths)
	if err != nil {
		c.Error = err.Error()
		return c
	}
	work := r.work
	c.Value, err = r.eval(p)
	r.work = work // that of match is not to be less
	if err != nil {
		c.Error = err.Error()
	}
	ast.Walk(&tree, visitor(func(n ast.Node) {
		call, ok := n.(*ast.CallNode)
		if !ok || len(call.Arguments) != 1 {
			return
		}
		callee, isName := call.Callee.(*ast.IdentifierNode)
		path, isText := call.Arguments[0].(*ast.StringNode)
		if isName && isText && (callee.Value == "field" || callee.Value == "has") {
			v := FieldValue{path.Value, fmt.Sprintf("%.200s", r.get(path.Value).String())}
			if !slices.Contains(c.Fields, v) {
				c.Fields = append(c.Fields, v)
			}
		}
	}))
	return c
}

// visitor is a function that sees every node of a syntax tree.
type visitor func(ast.Node)

// Visit implements ast.Visitor.
func (v visitor) Visit(n *ast.Node) { v(*n) }
