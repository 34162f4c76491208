package engine

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/tidwall/gjson"
)

// A Trial holds mappings against many alerts, and counts what each mapping and each of its picks does. It is for one goroutine;
// several of one engine can be merged.
type Trial struct {
	engine  *Engine
	alerts  int
	byID    map[string]*MappingTrial
	matched []string // ids, by the last alert
}

// A MappingTrial counts alerts by what a mapping did with them.
type MappingTrial struct {
	ID       string
	File     string
	Line     int
	Builtin  bool
	Fallback bool
	Match    string // the expression
	Matched  int    // alerts
	Failed   int    // alerts on which match could not be evaluated
	Error    string // of one of them
	Picks    []PickTrial
}

// A PickTrial counts alerts by what a pick took from them; values by why they were dropped.
type PickTrial struct {
	MappingPick
	Applied int // alerts that the mapping matched, and for which when was true
	Found   int // of them, with something but null and an empty text at the path; of a pick by name, with a candidate
	Tried   int // of them, with a candidate: what prefix, part and regex leave of a text
	Picked  int // of them, with a value picked
	Dropped []DropCount
	// Object is set if an object was found at the path, from which nothing can be picked.
	Object bool
	// Passed is a text that was found, of which prefix, part or regex left nothing; empty if there was none.
	Passed string

	at [3]int // the number of the last alert with: a note that it was not applied, a candidate, a value
}

// A DropCount counts values that were not picked, for one reason.
type DropCount struct {
	Why     string
	Count   int
	Example string
	Kept    bool // not by the form of the value, but by keep
	Private bool // since it is not public, which private: true lets pass
}

// Bounds of what a trial keeps of alerts that may be anything.
const (
	maxDropReasons = 12
	maxExample     = 80 // characters
)

// NewTrial returns a trial of the mappings of e.
func (e *Engine) NewTrial() *Trial {
	t := &Trial{engine: e, byID: make(map[string]*MappingTrial, len(e.mappings))}
	for _, m := range e.mappings {
		m = m.whole()
		row := &MappingTrial{ID: m.id, File: m.file, Line: m.line, Builtin: m.builtin, Fallback: m.fallback, Match: m.match.source}
		for _, p := range m.picks {
			row.Picks = append(row.Picks, PickTrial{MappingPick: MappingPick{Path: p.path.text, Names: p.names, Type: p.typ, Line: p.line}})
		}
		t.byID[m.id] = row
	}
	return t
}

// Add tries the mappings on an alert.
func (t *Trial) Add(alert []byte) {
	t.alerts++
	t.matched = t.matched[:0]
	r := t.engine.takeRun()
	defer t.engine.runs.Put(r)
	defer r.release()
	r.read(string(alert))
	r.candidates = t.engine.index.candidates(r, r.candidates[:0])
	r.apply(func(m *mapping) bool { return t.matches(r, m) }, t.note)
	for _, id := range t.matched {
		t.count(r, t.byID[id], t.engine.byID[id].whole())
	}
}

// Matched returns the ids of the mappings that matched the alert that was added last. It is valid until the next.
func (t *Trial) Matched() []string { return t.matched }

func (t *Trial) matches(r *run, m *mapping) bool {
	row := t.byID[m.id]
	ok, err := r.matches(m)
	if err != nil {
		row.Failed++
		row.Error = cmp.Or(row.Error, err.Error())
	}
	if ok {
		row.Matched++
		t.matched = append(t.matched, m.id)
	}
	return ok
}

// The uses of PickTrial.at.
const (
	atLeft = iota
	atTried
	atPicked
)

// note counts a candidate; see noter.
func (t *Trial) note(m *mapping, pick int, candidate string, _ Type, _ string, err error) {
	p := &t.byID[m.id].Picks[pick]
	if candidate == "" && (errors.Is(err, errWhen) || errors.Is(err, errProduct)) {
		p.at[atLeft] = t.alerts
		return
	}
	p.at[atTried] = t.alerts
	if err == nil {
		p.at[atPicked] = t.alerts
		return
	}
	p.drop(DropCount{Why: err.Error(), Count: 1, Example: clipped(candidate), Kept: errors.Is(err, errNotKept), Private: isNotPublic(err)})
}

// isNotPublic reports whether private: true on a pick would let a value pass.
func isNotPublic(err error) bool {
	return slices.ContainsFunc([]error{errNotGlobal, errLocalName, errReverse, errService}, func(known error) bool { return errors.Is(err, known) })
}

func (p *PickTrial) drop(d DropCount) {
	for i := range p.Dropped {
		if have := &p.Dropped[i]; have.Why == d.Why {
			have.Count += d.Count
			have.Example = min(have.Example, d.Example) // the order of the alerts makes no difference
			return
		}
	}
	if len(p.Dropped) < maxDropReasons {
		p.Dropped = append(p.Dropped, d)
	}
}

func clipped(text string) string {
	if runes := []rune(text[:min(len(text), 4*maxExample)]); len(runes) > maxExample {
		return string(runes[:maxExample]) + "…"
	}
	return strings.Clone(text)
}

// count counts the alert for the picks of a mapping that matched it.
func (t *Trial) count(r *run, row *MappingTrial, m *mapping) {
	for i := range row.Picks {
		p := &row.Picks[i]
		if p.at[atLeft] == t.alerts {
			continue
		}
		p.Applied++
		tried := p.at[atTried] == t.alerts
		v := gjson.Result{}
		if len(p.Names) == 0 {
			v = r.value(m.picks[i].path)
		}
		object := v.IsObject() || v.IsArray() && hasObject(v)
		if tried || v.Exists() && v.Type != gjson.Null && v.Raw != `""` && v.Raw != "[]" {
			p.Found++
			p.Object = p.Object || object && !tried
		}
		switch {
		case tried:
			p.Tried++
		case v.Exists() && !object && v.String() != "" && (p.Passed == "" || clipped(v.String()) < p.Passed):
			p.Passed = clipped(v.String())
		}
		if p.at[atPicked] == t.alerts {
			p.Picked++
		}
	}
}

// hasObject reports whether the first item of an array is an object.
func hasObject(v gjson.Result) bool { return v.Get("0").IsObject() }

// Merge adds what another trial of the same engine counted.
func (t *Trial) Merge(o *Trial) {
	t.alerts += o.alerts
	for id, from := range o.byID {
		to := t.byID[id]
		to.Matched += from.Matched
		to.Failed += from.Failed
		to.Error = cmp.Or(to.Error, from.Error)
		for i := range from.Picks {
			to.Picks[i].merge(from.Picks[i])
		}
	}
}

func (p *PickTrial) merge(o PickTrial) {
	p.Applied += o.Applied
	p.Found += o.Found
	p.Tried += o.Tried
	p.Picked += o.Picked
	p.Object = p.Object || o.Object
	if p.Passed == "" || o.Passed != "" && o.Passed < p.Passed {
		p.Passed = o.Passed
	}
	for _, d := range o.Dropped {
		p.drop(d)
	}
}

// Alerts returns how many alerts were added.
func (t *Trial) Alerts() int { return t.alerts }

// Mappings returns what was counted, in the order in which mappings are tried. Reasons for dropped values are sorted, the most
// frequent first.
func (t *Trial) Mappings() []MappingTrial {
	rows := make([]MappingTrial, 0, len(t.engine.mappings))
	for _, m := range t.engine.mappings {
		row := *t.byID[m.id]
		for _, p := range row.Picks {
			slices.SortFunc(p.Dropped, func(a, b DropCount) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Why, b.Why)) })
		}
		rows = append(rows, row)
	}
	return rows
}

// A Condition is one of the parts of a match that are joined by and.
type Condition struct {
	Expression string
	// Groups, Decoders and Fields are the names in it; Fields with the texts that they are compared with, if any. A name like
	// rule.id or location is a field too.
	Groups   []string
	Decoders []string
	Fields   []ComparedField
	// Met says of each alert, by its number, whether the condition is true of it.
	Met []bool
	// Error is why the condition could not be evaluated on an alert; empty if it could.
	Error string
}

// A ComparedField is a path in an expression, with the texts that the field is compared with.
type ComparedField struct {
	Path  string
	Texts []string
}

// Conditions evaluates each condition of the matches of mappings on its own, on each of some alerts. The result is by the id of the
// mapping, without unknown ones.
func (e *Engine) Conditions(alerts [][]byte, ids ...string) map[string][]Condition {
	all := make(map[string][]Condition, len(ids))
	var tried []triedCondition
	for _, id := range ids {
		m := e.byID[id]
		if m == nil {
			continue
		}
		parts := conjuncts(m.whole().match.source)
		conditions := make([]Condition, len(parts))
		for i, part := range parts {
			c := &conditions[i]
			c.Expression, c.Met = part, make([]bool, len(alerts))
			p, tree, err := newProgram(part, matchNames, e.paths)
			if err != nil {
				c.Error = err.Error()
				continue
			}
			c.read(tree)
			tried = append(tried, triedCondition{c, p})
		}
		all[id] = conditions
	}
	r := e.takeRun()
	defer e.runs.Put(r)
	for n, alert := range alerts {
		r.read(string(alert))
		for _, t := range tried {
			r.work = maxExprWork
			ok, err := r.eval(t.program)
			t.condition.Met[n] = ok && err == nil
			if err != nil {
				t.condition.Error = cmp.Or(t.condition.Error, err.Error())
			}
		}
		r.release()
	}
	return all
}

type triedCondition struct {
	condition *Condition
	program   *program
}

// read reads the names in a condition.
func (c *Condition) read(tree ast.Node) {
	field := func(path string, texts ...string) {
		if path == "" {
			return
		}
		i := slices.IndexFunc(c.Fields, func(f ComparedField) bool { return f.Path == path })
		if i < 0 {
			i = len(c.Fields)
			c.Fields = append(c.Fields, ComparedField{Path: path})
		}
		c.Fields[i].Texts = append(c.Fields[i].Texts, texts...)
	}
	ast.Walk(&tree, visitor(func(n ast.Node) {
		switch n := n.(type) {
		case *ast.CallNode:
			field(argumentOf(n, "field") + argumentOf(n, "has"))
		case *ast.BuiltinNode:
			if n.Name == "any" && len(n.Arguments) == 2 && isGroups(n.Arguments[0]) {
				for _, set := range needsOfElement(n.Arguments[1]) {
					for _, k := range set {
						c.Groups = append(c.Groups, k.name)
					}
				}
			}
		case *ast.BinaryNode:
			if text, ok := n.Left.(*ast.StringNode); ok && n.Operator == "in" && isGroups(n.Right) {
				c.Groups = append(c.Groups, text.Value)
				return
			}
			operand, texts, ok := comparedWith(n)
			switch {
			case ok && isDecoderName(operand):
				c.Decoders = append(c.Decoders, texts...)
			case ok:
				field(cmp.Or(argumentOf(operand, "field"), memberPath(operand)), texts...)
			default:
				field(memberPath(n.Left))
			}
		}
	}))
}

// memberPath returns the path of a name of the alert in an expression, such as rule.id or location; "" for anything else.
func memberPath(n ast.Node) string {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		if n.Value == "location" {
			return n.Value
		}
	case *ast.MemberNode:
		object, isName := n.Node.(*ast.IdentifierNode)
		member, isText := n.Property.(*ast.StringNode)
		if isName && isText && (object.Value == "rule" || object.Value == "agent" || object.Value == "decoder") && member.Value != "groups" {
			return object.Value + "." + member.Value
		}
	}
	return ""
}
