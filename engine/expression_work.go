package engine

import (
	"fmt"
	"reflect"
	"regexp"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
)

// This file bounds the work of expressions that expr-lang evaluates. It bounds their memory itself; but whoever writes a
// log decides how long its texts and lists are, and what an expression does with them may take their product.
//
//   - Before each round of a loop (any, filter, map, …), a call counts the round. A round may read the whole alert, so it
//     costs as many bytes as the alert has, and what reduce has made. See maxLoopBytes.
//   - matches runs a pattern, which has a bound of its own, in place of Go's regexp.
//   - Functions that take more than the length of their arguments refuse what is too long.

const (
	// The names of functions that no author can write, since they have a blank.
	countRound  = "count round"
	countResult = "count result"
	runPattern  = "run pattern"
)

var (
	errLoops  = fmt.Errorf("the loops take too long: rounds times bytes of the alert are more than %d MiB; compare with fewer items", maxLoopBytes>>20)
	errResult = fmt.Errorf("a result is longer than %d bytes; use shorter texts", maxExprText)
)

// boundWork is the option that makes expr-lang compile an expression so.
func boundWork(c *conf.Config) {
	expr.Patch(&workBounder{})(c)
	for name, check := range costly {
		original := builtin.Builtins[builtin.Index[name]]
		bounded := *original
		bounded.Func = func(args ...any) (any, error) {
			if err := check(args); err != nil {
				return nil, err
			}
			if original.Safe != nil {
				result, _, err := original.Safe(args...)
				return result, err
			}
			return original.Func(args...)
		}
		bounded.Safe = nil
		c.Functions[name] = &bounded
	}
}

// A workBounder puts the counting of rounds and patterns into a syntax tree.
type workBounder struct{}

// Visit implements ast.Visitor.
func (*workBounder) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.PredicateNode:
		count := &ast.CallNode{Callee: &ast.IdentifierNode{Value: countRound}}
		count.SetLocation(n.Location())
		n.Node = &ast.SequenceNode{Nodes: []ast.Node{count, n.Node}}
	case *ast.PointerNode:
		if n.Name == "acc" { // of reduce
			ast.Patch(node, &ast.CallNode{Callee: &ast.IdentifierNode{Value: countResult}, Arguments: []ast.Node{n}})
		}
	case *ast.BinaryNode:
		text, ok := n.Right.(*ast.StringNode)
		if !ok || n.Operator != "matches" {
			return
		}
		re, err := regexp.Compile(text.Value)
		if err != nil {
			return // expr-lang reports it
		}
		ast.Patch(node, &ast.CallNode{
			Callee: &ast.IdentifierNode{Value: runPattern}, Arguments: []ast.Node{n.Left, &ast.ConstantNode{Value: newPattern(re)}},
		})
	}
}

// boundedNames are the functions that a workBounder calls. A run fills them in.
var boundedNames = map[string]any{
	countRound:  func() bool { return false },
	countResult: func(any) any { return nil },
	runPattern:  func(string, *pattern) bool { return false },
}

// countRound panics, as functions of expr-lang may, when the rounds of an expression are too many.
func (r *run) countRound() bool {
	if r.rounds += max(len(r.alert), r.size, 1<<10); r.rounds > maxLoopBytes {
		panic(errLoops)
	}
	return true
}

// countResult counts the text that reduce has made so far, which the next round copies.
func (r *run) countResult(result any) any {
	if text, ok := result.(string); ok {
		if r.rounds += len(text); r.rounds > maxLoopBytes {
			panic(errLoops)
		}
	}
	return result
}

func (r *run) runPattern(text string, p *pattern) bool {
	ok, err := p.matches(text, &r.patternWork)
	if err != nil {
		panic(err)
	}
	return ok
}

// costly are the functions of expr-lang whose result can be much longer than their arguments, or that compare all of
// them with each other, with a check of the arguments.
var costly = map[string]func(args []any) error{
	"repeat": func(args []any) error {
		return checkProduct(textLen(args, 0), intArg(args, 1))
	},
	"replace": func(args []any) error {
		return checkProduct(textLen(args, 0)+1, textLen(args, 2)+1)
	},
	"join": func(args []any) error {
		return checkProduct(listLen(args, 0), textLen(args, 1)+1)
	},
	"trim": func(args []any) error {
		return checkProduct(textLen(args, 0), textLen(args, 1)+1)
	},
	"uniq": func(args []any) error {
		n := listLen(args, 0)
		return checkProduct(n, n)
	},
}

func checkProduct(a, b int) error {
	if a > 0 && b > maxExprText/a {
		return errResult
	}
	return nil
}

func textLen(args []any, i int) int {
	if i < len(args) {
		if s, ok := args[i].(string); ok {
			return len(s)
		}
	}
	return 0
}

func intArg(args []any, i int) int {
	if i < len(args) {
		if v := reflect.ValueOf(args[i]); v.IsValid() && v.CanInt() {
			return int(v.Int())
		}
	}
	return maxExprText // a count of another kind of number
}

func listLen(args []any, i int) int {
	if i < len(args) {
		if v := reflect.ValueOf(args[i]); v.IsValid() && v.Kind() == reflect.Slice {
			return v.Len()
		}
	}
	return 0
}
