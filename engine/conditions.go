package engine

import (
	"cmp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

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
	return e.conditions((*run).eval, alerts, ids)
}

// PossibleConditions is Conditions for alerts of which only the names are known: groups, decoder and members, and no value. A
// condition is true that is true of some alert with such names.
func (e *Engine) PossibleConditions(alerts [][]byte, ids ...string) map[string][]Condition {
	possible := func(r *run, p *program) (bool, error) {
		if p.direct == nil {
			return true, nil
		}
		may, _ := r.may(p.direct)
		return may, nil
	}
	return e.conditions(possible, alerts, ids)
}

// may reports whether a condition may be true, and whether it may be false, of an alert of which only the names are known. What
// names are below rule, agent and the like is not known.
func (r *run) may(c *condition) (beTrue, beFalse bool) {
	switch c.is {
	case isAnd, isOr:
		leftTrue, leftFalse := r.may(&c.of[0])
		rightTrue, rightFalse := r.may(&c.of[1])
		if c.is == isAnd {
			return leftTrue && rightTrue, leftFalse || rightFalse
		}
		return leftTrue || rightTrue, leftFalse && rightFalse
	case isNot:
		beTrue, beFalse = r.may(&c.of[0])
		return beFalse, beTrue
	case fieldThere:
		return r.mayHave(c.field), true
	case textIn, textStarts, textMatches:
		if c.on == onField {
			return r.mayHave(c.field) || r.decide(c), true // of an absent field, the text is empty
		}
	case isTrue, isFalse, groupIn, groupStarts, valueUnder:
	}
	ok := r.decide(c)
	return ok, !ok
}

func (r *run) mayHave(p *fieldPath) bool {
	top, _, _ := strings.Cut(p.text, ".")
	return r.has(p) || common[top] && top != "data"
}

func (e *Engine) conditions(eval func(*run, *program) (bool, error), alerts [][]byte, ids []string) map[string][]Condition {
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
			ok, err := eval(r, t.program)
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
	ast.Walk(&tree, visitor(func(n ast.Node) {
		switch n := n.(type) {
		case *ast.CallNode:
			c.addField(argumentOf(n, "field") + argumentOf(n, "has"))
		case *ast.BuiltinNode:
			if n.Name == "any" && len(n.Arguments) == 2 && isGroups(n.Arguments[0]) {
				for _, k := range slices.Concat(needsOfElement(n.Arguments[1])...) {
					c.Groups = append(c.Groups, k.name)
				}
			}
		case *ast.BinaryNode:
			c.readComparison(n)
		}
	}))
}

func (c *Condition) readComparison(n *ast.BinaryNode) {
	if text, ok := n.Left.(*ast.StringNode); ok && n.Operator == "in" && isGroups(n.Right) {
		c.Groups = append(c.Groups, text.Value)
		return
	}
	operand, texts, ok := comparedWith(n)
	switch {
	case ok && isDecoderName(operand):
		c.Decoders = append(c.Decoders, texts...)
	case ok:
		c.addField(cmp.Or(argumentOf(operand, "field"), memberPath(operand)), texts...)
	default:
		c.addField(memberPath(n.Left))
	}
}

func (c *Condition) addField(path string, texts ...string) {
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
