package engine

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"custom-misp/engine/yamlfile"
)

// An Expression is an expr-lang expression of a file that is no mapping, over names of its own. It has the functions of
// the mapping language and its bounds. It is immutable; an [Evaluator] runs it.
type Expression struct {
	source  string
	code    *vm.Program
	members map[string][]string // by name; that of a name that is also used as a whole has wholeName
}

// wholeName stands among the members of a name for all of them.
const wholeName = "*"

// CompileExpression compiles an expression over names, whose values only give the types. With truth, its result is true
// or false. It returns nil after a fault, which r has with its place in the file.
func CompileExpression(r *yamlfile.Reader, s yamlfile.Scalar, what string, names map[string]any, truth bool) *Expression {
	if strings.TrimSpace(s.Value) == "" {
		r.Fault(s.Node, "write an expression, or leave the key out", "%s is empty", what)
		return nil
	}
	env := maps.Clone(names)
	maps.Copy(env, boundedNames)
	options := append([]expr.Option{expr.Env(env), expr.MaxNodes(maxExprNodes), boundWork}, functionOptions...)
	if truth {
		options = append(options, expr.AsBool())
	}
	tree, err := parser.Parse(s.Value)
	var code *vm.Program
	if err == nil {
		code, err = expr.Compile(s.Value, options...)
	}
	if err == nil {
		e := &Expression{source: s.Value, code: code, members: map[string][]string{}}
		v := memberVisitor{e.members, map[string]int{}}
		ast.Walk(&tree.Node, v)
		for name, n := range v.uses {
			if n > len(e.members[name]) {
				e.members[name] = append(e.members[name], wholeName)
			}
		}
		return e
	}
	faults := reader{Reader: r}
	if !faults.explainExpr(s, what, names, func(at int) int { return at }, err) {
		kind := kindWord(strings.TrimPrefix(err.Error(), "expected bool, but got "))
		r.Fault(s.Node, "compare the value with something", "%s must be true or false, and is %s", what, kind)
	}
	return nil
}

// String returns the expression as it was written.
func (e *Expression) String() string { return e.source }

// Members returns the names that the expression reads of a name: "url" for row.url and for row["url"]. whole is set if it
// may read any other too.
func (e *Expression) Members(of string) (names []string, whole bool) {
	for _, name := range e.members[of] {
		if name == wholeName {
			whole = true
			continue
		}
		names = append(names, name)
	}
	return names, whole
}

// A memberVisitor collects constant members of names, and counts how often names are used.
type memberVisitor struct {
	found map[string][]string
	uses  map[string]int
}

// Visit implements ast.Visitor.
func (v memberVisitor) Visit(n *ast.Node) {
	if name, ok := (*n).(*ast.IdentifierNode); ok {
		v.uses[name.Value]++
		return
	}
	m, ok := (*n).(*ast.MemberNode)
	if !ok {
		return
	}
	of, ok := m.Node.(*ast.IdentifierNode)
	if !ok {
		return
	}
	if name, ok := m.Property.(*ast.StringNode); ok {
		v.found[of.Value] = append(v.found[of.Value], name.Value)
	}
}

// An Evaluator runs expressions one after the other. It is not safe for concurrent use.
type Evaluator struct{ run *run }

// NewEvaluator returns an Evaluator.
func NewEvaluator() *Evaluator { return &Evaluator{newRun(noMappings())} }

// Run runs an expression over names, to which it adds those of its own. It takes a bounded number of steps, see [Pick].
func (v *Evaluator) Run(e *Expression, names map[string]any) (any, error) {
	r := v.run
	r.work = maxExprWork
	for name := range boundedNames {
		names[name] = r.names[name]
	}
	out, err := r.vm.Run(e.code, names)
	if err != nil {
		r.vm = vm.VM{MemoryBudget: exprMemory}
		if errors.Is(err, errWork) {
			return nil, errWork
		}
		if e, ok := errors.AsType[*file.Error](err); ok {
			return nil, fmt.Errorf("%s (character %d of the expression)", e.Message, e.From+1)
		}
	}
	return out, err
}
