package engine

import (
	"errors"
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
	// Context is what events of the mapping show of the alert, if it matched.
	Context []ContextTrace `json:"context,omitempty"`

	fallback bool
}

// A ContextTrace is a value of the alert that events of a mapping show.
type ContextTrace struct {
	Name  string `json:"name"` // the key in misp.source.context
	Path  string `json:"path"`
	Value string `json:"value"` // empty if the event leaves it out
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
	// Near is the path in the alert that is probably meant, if this one leads to nothing; see mappingtest.AddNeighbours.
	Near string `json:"near,omitempty"`
}

// A PickTrace is what one pick took.
type PickTrace struct {
	Path string `json:"path"` // for a pick by name, of the object that it is about
	// Names are those of members at any depth; empty if Path leads to the value.
	Names []string `json:"names,omitempty"`
	// Left is why the pick was not applied to the alert; empty if it was.
	Left       string           `json:"not_applied,omitempty"`
	Type       Type             `json:"type"`
	Found      string           `json:"found"` // the JSON at the path; empty if there is none
	Candidates []CandidateTrace `json:"candidates,omitempty"`
	Cuts       []CutTrace       `json:"cuts,omitempty"` // what bounds left out
	// Near is as in [FieldValue]. Beside has names that are at the place instead, where none is near.
	Near   string   `json:"near,omitempty"`
	Beside []string `json:"beside,omitempty"`
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
	// decided says that the candidate has the form that the pick asks for, and was dropped on purpose.
	decided bool
}

// Failed reports whether a mapping did not do what its author wants: its match could not be evaluated, or it matches and picks
// nothing, although no candidate was dropped on purpose, as one that is not public. A fallback is there for few alerts, and does
// not fail.
func (t MappingTrace) Failed() bool {
	switch {
	case t.Error != "":
		return true
	case !t.Matched || t.fallback:
		return false
	}
	for _, p := range t.Picks {
		for _, c := range p.Candidates {
			if c.Dropped == "" || c.decided {
				return false
			}
		}
	}
	return true
}

// decidedOn reports whether a candidate is a value that was dropped on purpose.
func decidedOn(err error) bool {
	if _, ignored := errors.AsType[errIgnored](err); ignored {
		return true
	}
	return isOneOf(err, errNotGlobal, errLocalName, errReverse, errService, errNotKept, errKnown, errOwn, errHashOfNone, errPlaceholder)
}

func isOneOf(err error, known ...error) bool {
	return slices.ContainsFunc(known, func(k error) bool { return errors.Is(err, k) })
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
	traces := map[string]*MappingTrace{}
	for i, m := range e.mappings {
		m = m.whole()
		t := MappingTrace{ID: m.id, File: m.file, Line: m.line, Builtin: m.builtin, fallback: m.fallback}
		if slices.Contains(r.candidates, int32(i)) { //nolint:gosec // mappings are counted in thousands
			traces[m.id] = &t
			r.explain(m, &t)
		} else {
			for _, k := range e.index.keys[i] {
				t.Missing = append(t.Missing, k.String())
			}
		}
		x.Mappings = append(x.Mappings, t)
	}
	for i := range x.Mappings {
		if t := &x.Mappings[i]; traces[t.ID] != nil {
			traces[t.ID] = t
		}
	}
	note := func(m *mapping, pick int, candidate string, typ Type, value string, err error) {
		t := &traces[m.id].Picks[pick]
		switch {
		case candidate == "" && (errors.Is(err, errWhen) || errors.Is(err, errProduct)):
			t.Left = err.Error()
		default:
			c := CandidateTrace{Text: strings.Clone(candidate), Type: typ, Value: strings.Clone(value)}
			if err != nil {
				c.Dropped, c.decided = err.Error(), decidedOn(err)
			}
			t.Candidates = append(t.Candidates, c)
		}
	}
	r.apply(func(m *mapping) bool { return traces[m.id].Matched }, note)
	for _, c := range r.cuts {
		for i := range x.Mappings {
			x.Mappings[i].addCut(c)
		}
	}
	x.Observables = append(x.Observables, r.found...)
	return x
}

// addCut adds a cut to the pick that it is of.
func (t *MappingTrace) addCut(c Cut) {
	if t.ID != c.Mapping {
		return
	}
	for i := range t.Picks {
		p := &t.Picks[i]
		if p.Path == c.Path || len(p.Names) > 0 && strings.HasPrefix(c.Path, p.Path+".") {
			p.Cuts = append(p.Cuts, CutTrace{c.What, c.Number})
			return
		}
	}
}

// explain fills in the trace of a mapping that was considered, but for what its picks take.
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
		t.Picks = append(t.Picks, PickTrace{
			Path: p.path.text, Names: p.names, Type: p.typ, Found: strings.Clone(gjson.Get(r.alert, p.path.text).Raw),
		})
	}
	for _, c := range m.context {
		t.Context = append(t.Context, ContextTrace{c.key, c.path, strings.Clone(c.text(gjson.Get(r.alert, c.path)))})
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
			v := FieldValue{Path: path.Value, Value: fmt.Sprintf("%.200s", r.get(path.Value).String())}
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
