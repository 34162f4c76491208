package engine

import (
	"errors"
	"fmt"
	"math/bits"
	"reflect"
	"regexp"
	"slices"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
)

// This file bounds the work of expressions. Whoever writes a log decides how long its texts and lists are, and how many
// values are judged; what an expression does with them may take their product. expr-lang bounds only the values that one
// evaluation holds. So the steps of all expressions on an alert are counted, and one that takes too many ends:
//
//   - Each node of a syntax tree that yields a text or a list takes as many steps as the text has bytes, and as many as the
//     list has items and their bytes. The node around it reads it once. So what is read and what is made is counted.
//   - An evaluation, and each round of a loop (any, filter, map, …), takes steps for each of its nodes.
//   - matches runs a [pattern], in place of Go's regexp, and takes steps for each byte.
//   - Functions that take more than the length of their arguments and their result take steps for that, and refuse what is
//     too long before they make it.
//
// A mapping or a pick may take half of the steps that are left: the mappings behind it have some in any case. See [CutWork].

const (
	// The names of functions that no author can write, since they have a blank.
	countRound = "count round"
	countText  = "count text"
	countValue = "count value"
	runPattern = "run pattern"
	bounded    = "bounded " // before the name of a function of expr-lang

	nodeWork   = 32 // steps for a node, or an instruction: it takes 20 to 60 ns
	itemWork   = 16 // steps for an item of a list
	sortWork   = 8  // as many times the rounds of a loop that sorts or groups
	regexpWork = 4  // steps for a byte of a text and an instruction of a regular expression that needs regexp
)

var (
	errWork   = errors.New("the expression takes too long on this alert; compare shorter texts, or with fewer items")
	errResult = fmt.Errorf("a result is longer than %d bytes; use shorter texts", maxExprText)
)

// boundWork is the option that makes expr-lang compile an expression so.
func boundWork(c *conf.Config) { expr.Patch(&workBounder{})(c) }

// A workBounder puts the counting of steps into a syntax tree. expr-lang has written types into it.
type workBounder struct{}

// Visit implements ast.Visitor. Nodes come before those around them.
func (b *workBounder) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode, *ast.PointerNode, *ast.MemberNode, *ast.SliceNode, *ast.MapNode, *ast.CallNode:
		b.count(node)
	case *ast.ArrayNode:
		if slices.ContainsFunc(n.Nodes, isVariable) { // a list of constants is compared with at once
			b.count(node)
		}
	case *ast.BuiltinNode:
		for _, arg := range n.Arguments {
			if p, ok := arg.(*ast.PredicateNode); ok {
				b.countRounds(n.Name, p)
			}
		}
		if costly[n.Name] != nil {
			ast.Patch(node, &ast.CallNode{Callee: &ast.IdentifierNode{Value: bounded + n.Name}, Arguments: n.Arguments})
		}
		b.count(node)
	case *ast.BinaryNode:
		if n.Operator == "matches" {
			b.bindPattern(node, n)
		} else {
			b.count(node)
		}
	}
}

// count puts a call around a node that may yield a text or a list.
func (*workBounder) count(node *ast.Node) {
	name := countValue
	switch t := (*node).Type(); t.Kind() {
	case reflect.String:
		name = countText
	case reflect.Slice, reflect.Array, reflect.Map, reflect.Interface:
	default:
		return
	}
	ast.Patch(node, &ast.CallNode{Callee: &ast.IdentifierNode{Value: name}, Arguments: []ast.Node{*node}})
}

// countRounds puts a call before what a loop does in each round.
func (*workBounder) countRounds(function string, p *ast.PredicateNode) {
	nodes := 0
	ast.Walk(&p.Node, visitor(func(ast.Node) { nodes++ }))
	if function == "sortBy" || function == "groupBy" {
		nodes *= sortWork
	}
	p.Node = &ast.SequenceNode{Nodes: []ast.Node{&ast.CallNode{
		Callee: &ast.IdentifierNode{Value: countRound}, Arguments: []ast.Node{&ast.IntegerNode{Value: nodes * nodeWork}},
	}, p.Node}}
}

// bindPattern replaces a comparison with a pattern.
func (*workBounder) bindPattern(node *ast.Node, n *ast.BinaryNode) {
	text, ok := n.Right.(*ast.StringNode)
	if !ok {
		return // a fault, see literals
	}
	re, err := regexp.Compile(text.Value)
	if err != nil {
		return // expr-lang reports it
	}
	ast.Patch(node, &ast.CallNode{
		Callee: &ast.IdentifierNode{Value: runPattern}, Arguments: []ast.Node{n.Left, &ast.ConstantNode{Value: newPattern(re)}},
	})
}

// isVariable reports whether a node is more than a constant.
func isVariable(n ast.Node) bool {
	switch n.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NilNode, *ast.ConstantNode:
		return false
	}
	return true
}

// boundedNames are the functions that a workBounder calls, by their types. A run fills them in.
var boundedNames = func() map[string]any {
	names := map[string]any{
		countRound: func(int) bool { return false },
		countText:  func(string) string { return "" },
		countValue: func(...any) any { return nil },
		runPattern: func(string, *pattern) bool { return false },
	}
	for name := range costly {
		names[bounded+name] = func(...any) any { return nil }
	}
	return names
}()

// bound gives expressions the functions that a workBounder calls. They panic, as functions of expr-lang may.
func (r *run) bound() {
	r.names[countRound] = func(steps int) bool { r.spend(steps); return true }
	r.names[countText] = func(text string) string { r.spend(len(text)); return text }
	r.names[countValue] = func(args ...any) any { r.spendOn(args[0]); return args[0] }
	r.names[runPattern] = func(text string, p *pattern) bool {
		ok, err := p.matches(text, &r.work)
		if err != nil {
			panic(err)
		}
		return ok
	}
	for name, steps := range costly {
		function := builtin.Builtins[builtin.Index[name]]
		r.names[bounded+name] = func(args ...any) any {
			n, err := steps(args)
			if err != nil {
				panic(err)
			}
			r.spend(n)
			var result any
			if function.Safe != nil {
				result, _, err = function.Safe(args...)
			} else {
				result, err = function.Func(args...)
			}
			if err != nil {
				panic(err)
			}
			return result
		}
	}
}

// spend takes steps.
func (r *run) spend(steps int) {
	if r.work -= steps; r.work < 0 {
		panic(errWork)
	}
}

// spendOn takes the steps for a value.
func (r *run) spendOn(value any) {
	switch v := value.(type) {
	case nil, bool, int, float64:
	case string:
		r.spend(len(v))
	case []string:
		for _, text := range v {
			r.spend(itemWork + len(text))
		}
	case []any:
		for _, item := range v {
			r.spend(itemWork)
			r.spendOn(item)
		}
	default:
		r.spendOnOther(reflect.ValueOf(value))
	}
}

// spendOnOther takes the steps for a list or a map of a less common type.
func (r *run) spendOnOther(v reflect.Value) {
	switch v.Kind() {
	case reflect.Slice, reflect.Array:
		switch v.Type().Elem().Kind() {
		case reflect.Interface, reflect.String, reflect.Slice, reflect.Array, reflect.Map:
			for _, item := range v.Seq2() {
				r.spend(itemWork)
				r.spendOn(item.Interface())
			}
		default:
			r.spend(itemWork * v.Len())
		}
	case reflect.Map:
		for key, item := range v.Seq2() {
			r.spend(2 * itemWork)
			r.spendOn(key.Interface())
			r.spendOn(item.Interface())
		}
	default:
	}
}

// costly are the functions of expr-lang whose result can be much longer than their arguments, or that compare all of
// them with each other, with the steps that they take. An error says that the result would be too long.
var costly = map[string]func(args []any) (steps int, err error){
	"repeat":  func(args []any) (int, error) { return product(textLen(args, 0), intArg(args, 1)) },
	"replace": func(args []any) (int, error) { return product(textLen(args, 0)+1, textLen(args, 2)+1) },
	"join":    func(args []any) (int, error) { return product(listLen(args, 0), textLen(args, 1)+1) },
	"trim":    func(args []any) (int, error) { return product(textLen(args, 0), textLen(args, 1)+1) },
	"uniq":    func(args []any) (int, error) { n := listLen(args, 0); return product(n, n) },
	"sort":    sortSteps,
	"median":  sortSteps,
}

func sortSteps(args []any) (int, error) {
	n := listLen(args, 0)
	return n * bits.Len(uint(n)) * itemWork, nil //nolint:gosec // a length
}

func product(a, b int) (int, error) {
	if a > 0 && b > maxExprText/a {
		return 0, errResult
	}
	return max(0, a*b), nil
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
