package engine

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"custom-misp/engine/yamlfile"
)

// program is a boolean expression. It is compiled when that is first needed: most are decided directly. Only its source can
// be used without ready.
type program struct {
	source  string
	parse   func()     // sets direct and uses, once; nil if they are set
	direct  *condition // nil if only compile will do
	uses    uses
	compile func() (*vm.Program, error) // does it once
}

// failing is a program that cannot be run.
func failing(err error) *program {
	return &program{compile: func() (*vm.Program, error) { return nil, err }}
}

// uses is a set of names that are costly to provide.
type uses uint8

const (
	usesRule uses = 1 << iota
	usesAgent
	usesDecoder
	usesLocation
)

// compileExpr compiles a boolean expression. Both results are nil after a fault.
func (r reader) compileExpr(s yamlfile.Scalar, what string, names map[string]any) (*program, ast.Node) {
	if strings.TrimSpace(s.Value) == "" {
		r.Fault(s.Node, `write a comparison, like "sysmon" in groups`, "%s is empty", what)
		return nil, nil
	}
	text, back := r.defined.expand(s.Value)
	if r.packed {
		return lazyProgram(text, names, r.paths), nil
	}
	if r.builtin && !r.lint {
		if p, tree, err := parseProgram(text, names, r.paths); err == nil {
			return p, tree
		}
	}
	p, tree, err := newProgram(text, names, r.paths)
	if err == nil {
		ast.Walk(&tree, &literals{r: r, s: s, what: what, back: back})
		return p, tree
	}
	if !r.explainExpr(s, what, names, back, err) {
		remedy := ""
		if strings.HasPrefix(err.Error(), "expected bool") {
			remedy = `compare the value with something, like field("data.srcip") != ""`
		}
		kind := kindWord(strings.TrimPrefix(err.Error(), "expected bool, but got "))
		r.Fault(s.Node, remedy, "%s must be true or false, and is %s", what, kind)
	}
	return nil, nil
}

// explainExpr notes an error of expr-lang that has a place in the expression, of which back makes the place in s. It returns
// false for any other.
func (r reader) explainExpr(s yamlfile.Scalar, what string, names map[string]any, back func(int) int, err error) bool {
	e, ok := errors.AsType[*file.Error](err)
	if !ok {
		return false
	}
	message, _, _ := strings.Cut(e.Message, "\n")
	remedy := ""
	if name, ok := strings.CutPrefix(message, "unknown name "); ok {
		words := exprWords(names)
		for name := range r.defined {
			words = append(words, name)
		}
		remedy = yamlfile.DidYouMean(name, words)
	}
	if m := noField().FindStringSubmatch(message); m != nil {
		message, remedy = m[1]+" has no field "+m[2], yamlfile.DidYouMean(m[2], fieldsOf[m[1]])
	}
	if cause, ok := strings.CutPrefix(message, "error parsing regexp: "); ok {
		message, remedy = "the pattern of matches: "+cause, patternRemedy(cause)
	}
	if s.Node.Style == 0 && strings.Contains(message, "EOF") {
		remedy = "if there is more to it: in YAML a # after a blank starts a comment, so put the expression into quotes or behind >-"
	}
	message, remedy = inAuthorsWords(message, remedy, s.Value, back(e.From))
	r.FaultIn(s, back(e.From), remedy, "%s: %s", what, message)
	return true
}

// newProgram compiles a boolean expression. Errors are expr-lang's.
func newProgram(source string, names map[string]any, paths *paths) (*program, ast.Node, error) {
	p, tree, err := parseProgram(source, names, paths)
	if err != nil {
		return nil, nil, err
	}
	if err := checkTypes(source, names); err != nil {
		return nil, nil, err
	}
	if p.direct == nil {
		_, err = p.compile()
	}
	return p, tree, err
}

// checkTypes finds what compile does not: boundWork makes types less exact.
func checkTypes(source string, names map[string]any) error {
	c := conf.CreateNew()
	for _, option := range append([]expr.Option{expr.Env(names), expr.AsBool(), expr.WarnOnAny(), expr.MaxNodes(maxExprNodes)}, functionOptions...) {
		option(c)
	}
	c.Check()
	_, err := checker.ParseCheck(source, c)
	return err
}

// parseProgram is newProgram for expressions that are known to compile: those of the built-in mappings, which lint and
// tests have compiled.
func parseProgram(source string, names map[string]any, paths *paths) (*program, ast.Node, error) {
	tree, err := parser.Parse(source)
	if err != nil {
		return nil, nil, err
	}
	p := &program{source: strings.TrimSpace(source)}
	p.compile = sync.OnceValues(func() (*vm.Program, error) {
		env := maps.Clone(names)
		maps.Copy(env, boundedNames)
		options := append([]expr.Option{
			expr.Env(env), expr.AsBool(), expr.WarnOnAny(), expr.MaxNodes(maxExprNodes), boundWork,
		}, functionOptions...)
		return expr.Compile(source, options...)
	})
	if c, ok := conditionOf(tree.Node, paths); ok {
		p.direct = &c
	}
	ast.Walk(&tree.Node, &p.uses)
	return p, tree.Node, nil
}

// lazyProgram is parseProgram when the program is first needed.
func lazyProgram(source string, names map[string]any, paths *paths) *program {
	p := &program{source: strings.TrimSpace(source)}
	p.parse = sync.OnceFunc(func() {
		parsed, _, err := parseProgram(source, names, paths)
		if err != nil {
			parsed = failing(err)
		}
		p.direct, p.uses, p.compile = parsed.direct, parsed.uses, parsed.compile
	})
	return p
}

// ready returns a program with direct and uses set.
func (p *program) ready() *program {
	if p.parse != nil {
		p.parse()
	}
	return p
}

// Visit implements ast.Visitor: it adds the costly names.
func (u *uses) Visit(n *ast.Node) {
	name, ok := (*n).(*ast.IdentifierNode)
	if !ok {
		return
	}
	switch name.Value {
	case "rule":
		*u |= usesRule
	case "agent":
		*u |= usesAgent
	case "decoder":
		*u |= usesDecoder
	case "location":
		*u |= usesLocation
	}
}

// noField matches expr-lang's message about an unknown name behind a dot; fieldsOf are the known ones.
var (
	noField  = lazily(`^type engine\.(\w+)Names has no field (\w+)`)
	fieldsOf = map[string][]string{
		"rule": {"id", "level", "description", "groups"}, "agent": {"id", "name", "ip"}, "decoder": {"name", "parent"},
	}
)

func exprWords(names map[string]any) []string {
	words := slices.Collect(maps.Keys(names))
	for _, f := range functions {
		words = append(words, f.name)
	}
	words = append(words, builtin.Names...)
	slices.Sort(words)
	return words
}

// literals finds constants in an expression that can never be right.
type literals struct {
	r    reader
	s    yamlfile.Scalar
	what string
	back func(int) int // from a character of the expression to one of s
}

// Visit implements ast.Visitor.
func (l *literals) Visit(n *ast.Node) {
	if b, ok := (*n).(*ast.BinaryNode); ok && b.Operator == "matches" {
		if _, ok := b.Right.(*ast.StringNode); !ok {
			l.fault(b, "write one text in quotes, with | between alternatives; compare texts of the alert with contains, startsWith or ==",
				"the pattern of matches is not a text in quotes")
		}
		return
	}
	call, ok := (*n).(*ast.CallNode)
	if !ok {
		return
	}
	callee, ok := call.Callee.(*ast.IdentifierNode)
	if !ok {
		return
	}
	for i, arg := range call.Arguments {
		text, ok := arg.(*ast.StringNode)
		if !ok {
			continue
		}
		switch {
		case callee.Value == "field" || callee.Value == "has":
			if remedy := pathFault(text.Value); remedy != "" {
				l.fault(text, remedy, "path %q can never lead to a value", text.Value)
			}
		case callee.Value == "in_network" && i > 0:
			if _, err := parsePrefix(text.Value); err != nil {
				l.fault(text, "write an address and the number of its fixed bits, at most 32, or 128 for IPv6", "%v", err)
			}
		}
	}
}

func (l *literals) fault(n ast.Node, remedy, format string, args ...any) {
	l.r.FaultIn(l.s, l.back(n.Location().From), remedy, l.what+": "+format, args...)
}
