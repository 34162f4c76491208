package engine

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"custom-misp/engine/yamlfile"
)

// maxExprNodes bounds the size of an expression. A larger one is a list of values, and a regex holds these better.
const maxExprNodes = 2000

// mapping is a mapping ready to run. Immutable.
type mapping struct {
	id, description, source string
	file                    string
	builtin                 bool
	replaces                string // file of the built-in mapping that it replaced
	line, column            int    // of the id
	match                   *program
	needs                   needs
	picks                   []pick
	context                 []contextField
	filter                  *Filter
	canonical               string          // only for lint: see canonicalForm
	early                   func() *program // match of an outlined mapping; nil for others
	rest                    func() *mapping // an outlined mapping, which has only id, file, builtin and needs, in full; nil for others
}

// pick is one pick of a mapping, ready to run. Immutable.
type pick struct {
	path   *fieldPath
	split  string
	prefix string
	part   string            // "", or one of parts
	regex  func() valueRegex // nil for none
	scan   bool
	typ    Type
	keep   *program // nil: keepByDefault
	line   int
}

// parts are what a pick may take of a path.
var parts = []string{partPath, partName}

const (
	partPath = "path"
	partName = "name"
)

// contextField is a value of the alert that goes into the enrichment, under a short key.
type contextField struct{ key, path string }

// program is a boolean expression. It is compiled when that is first needed: most are decided directly.
type program struct {
	source  string
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

// compile checks and compiles what a file declares. The mappings must not be used if a fault was added.
func (r reader) compile(f declaredFile) []*mapping {
	if f.Version.Node != nil && f.Version.Value != "1" {
		r.Fault(f.Version.Node, "write version: 1", "version %q is not supported", f.Version.Value)
	}
	compiled := make([]*mapping, 0, len(f.Mappings))
	first := map[string]int{}
	for _, d := range f.Mappings {
		m := r.compileMapping(d)
		m.source = f.Source.Value
		if line := first[m.id]; line > 0 && m.id != "" {
			r.Fault(d.ID.Node, "give each mapping an id of its own", "id %q is already taken in line %d", m.id, line)
		} else if d.ID.Node != nil {
			first[m.id] = d.ID.Node.Line
		}
		compiled = append(compiled, m)
	}
	return compiled
}

var idForm = lazily(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

func (r reader) compileMapping(d declaredMapping) *mapping {
	m := &mapping{
		id: d.ID.Value, description: strings.TrimSpace(d.Description.Value), file: r.file, builtin: r.builtin, filter: r.filter(d.Lookup),
	}
	if d.ID.Given() {
		m.line, m.column = d.ID.Node.Line, d.ID.Node.Column
	}
	if d.ID.Node != nil && !idForm().MatchString(d.ID.Value) {
		r.Fault(d.ID.Node, "use letters, digits, and . _ - between them, 100 at most", "id %q is not a usable name", d.ID.Value)
	}
	if d.Match.Node != nil {
		var tree ast.Node
		m.match, tree = r.compileExpr(d.Match, "match", matchNames)
		if tree != nil {
			m.needs = needsOf(tree)
			if r.lint {
				r.warnOfMatch(d.Match, m, tree)
			}
		}
	}
	for _, p := range d.Pick {
		m.picks = append(m.picks, r.compilePick(p))
	}
	paths := make([]string, 0, len(d.Context))
	for _, c := range d.Context {
		r.checkPath(c, "a context path")
		paths = append(paths, c.Value)
	}
	for i, key := range contextKeys(paths) {
		m.context = append(m.context, contextField{key, paths[i]})
	}
	return m
}

func (r reader) compilePick(d declaredPick) pick {
	p := pick{path: r.paths.of(d.Path.Value), split: d.Split.Value, typ: Type(d.Type.Value)}
	if d.Path.Node != nil {
		p.line = d.Path.Node.Line
		r.checkPath(d.Path, "path")
	}
	if d.Type.Node != nil && !p.typ.Pickable() {
		remedy := ""
		if _, composite := composites[p.typ]; composite {
			remedy = "pick each half with its own type"
		} else {
			words := make([]string, 0, len(families)+1)
			for _, t := range Types() {
				words = append(words, string(t))
			}
			remedy = yamlfile.DidYouMean(d.Type.Value, words)
		}
		r.Fault(d.Type.Node, remedy, "type %q is not a MISP attribute type that can be picked", d.Type.Value)
	}
	if d.Split.Node != nil && d.Split.Value == "" {
		r.Fault(d.Split.Node, "name a separator or leave the key out", "split is empty")
	}
	if p.prefix = d.Prefix.Value; d.Prefix.Node != nil && p.prefix == "" {
		r.Fault(d.Prefix.Node, "name what the values begin with or leave the key out", "prefix is empty")
	}
	if p.part = d.Part.Value; d.Part.Node != nil {
		r.oneOf(d.Part, "part", parts)
	}
	if d.Regex.Node != nil {
		p.regex = r.compileRegex(d.Regex)
	}
	if d.Scan != nil && *d.Scan {
		p.scan = true
		if d.Type.Node != nil && p.typ != Auto {
			r.Fault(d.Type.Node, "write type: auto", "scan finds values of every type, so type %q has no effect", d.Type.Value)
		}
	}
	if d.Keep.Node != nil {
		p.keep, _ = r.compileExpr(d.Keep, "keep", keepNames)
	}
	return p
}

// valueRegex is a regular expression and which of its groups is the value.
type valueRegex struct {
	*regexp.Regexp
	group int
}

// compileRegex compiles a regular expression. That of a built-in mapping is compiled when it is first used: lint and
// tests have shown that it compiles.
func (r reader) compileRegex(s yamlfile.Scalar) func() valueRegex {
	if s.Value == "" {
		r.Fault(s.Node, "leave the key out to take the whole value", "regex is empty")
		return nil
	}
	if r.builtin && !r.lint {
		return sync.OnceValue(func() valueRegex { return withGroup(regexp.MustCompile(s.Value)) })
	}
	re, err := regexp.Compile(s.Value)
	if err != nil {
		r.Fault(s.Node, "write RE2 syntax", "regex: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		return nil
	}
	v := withGroup(re)
	return func() valueRegex { return v }
}

func withGroup(re *regexp.Regexp) valueRegex {
	if i := re.SubexpIndex("value"); i > 0 {
		return valueRegex{re, i}
	}
	return valueRegex{re, min(1, re.NumSubexp())}
}

// checkPath refuses gjson paths that can never lead to a value.
func (r reader) checkPath(s yamlfile.Scalar, what string) {
	if remedy := pathFault(s.Value); s.Node != nil && remedy != "" {
		r.Fault(s.Node, remedy, "%s %q can never lead to a value", what, s.Value)
	}
}

// pathFault returns the remedy for a gjson path that can never lead to a value, or "".
func pathFault(path string) string {
	switch {
	case strings.TrimSpace(path) == "":
		return "name a field of the alert, like data.srcip"
	case strings.TrimSpace(path) != path:
		return "remove the blanks around it"
	case strings.HasPrefix(path, "$"):
		return "this is JSONPath; write a gjson path, like data.srcip"
	case strings.HasPrefix(path, ".") || strings.HasSuffix(path, "."):
		return "remove the dot at its end"
	case strings.Contains(path, "..") && !strings.HasPrefix(path, ".."):
		return "remove one of the two dots"
	case strings.Contains(path, "[") && !strings.ContainsAny(path, "#{|@"):
		return "write array indexes as .0 and all items as .#"
	}
	return ""
}

// compileExpr compiles a boolean expression. Both results are nil after a fault.
func (r reader) compileExpr(s yamlfile.Scalar, what string, names map[string]any) (*program, ast.Node) {
	if strings.TrimSpace(s.Value) == "" {
		r.Fault(s.Node, "", "%s is empty", what)
		return nil, nil
	}
	if r.builtin && !r.lint {
		if p, tree, err := parseProgram(s.Value, names, r.paths); err == nil {
			return p, tree
		}
	}
	p, tree, err := newProgram(s.Value, names, r.paths)
	if err == nil {
		ast.Walk(&tree, &literals{r: r, s: s, what: what})
		return p, tree
	}
	e, ok := errors.AsType[*file.Error](err)
	if !ok {
		remedy := ""
		if strings.HasPrefix(err.Error(), "expected bool") {
			remedy = `compare the value with something, like field("data.srcip") != ""`
		}
		r.Fault(s.Node, remedy, "%s must be true or false: %v", what, err)
		return nil, nil
	}
	message, _, _ := strings.Cut(e.Message, "\n")
	remedy := ""
	if name, ok := strings.CutPrefix(message, "unknown name "); ok {
		remedy = yamlfile.DidYouMean(name, exprWords(names))
	}
	if m := noField().FindStringSubmatch(message); m != nil {
		message, remedy = m[1]+" has no field "+m[2], yamlfile.DidYouMean(m[2], fieldsOf[m[1]])
	}
	if s.Node.Style == 0 && strings.Contains(message, "EOF") {
		remedy = "if there is more to it: in YAML a # after a blank starts a comment, so put the expression into quotes or behind >-"
	}
	r.FaultIn(s, e.From, remedy, "%s: %s", what, message)
	return nil, nil
}

// newProgram compiles a boolean expression. Errors are expr-lang's.
func newProgram(source string, names map[string]any, paths *paths) (*program, ast.Node, error) {
	p, tree, err := parseProgram(source, names, paths)
	if err != nil {
		return nil, nil, err
	}
	_, err = p.compile()
	return p, tree, err
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
		options := append([]expr.Option{
			expr.Env(names), expr.AsBool(), expr.WarnOnAny(), expr.MaxNodes(maxExprNodes),
		}, functionOptions...)
		return expr.Compile(source, options...)
	})
	if c, ok := conditionOf(tree.Node, paths); ok {
		p.direct = &c
	}
	ast.Walk(&tree.Node, &p.uses)
	return p, tree.Node, nil
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
}

// Visit implements ast.Visitor.
func (l *literals) Visit(n *ast.Node) {
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
				l.fault(text, "", "%v", err)
			}
		}
	}
}

func (l *literals) fault(n ast.Node, remedy, format string, args ...any) {
	l.r.FaultIn(l.s, n.Location().From, remedy, l.what+": "+format, args...)
}

// contextKeys shortens gjson paths to the keys that they get in an enrichment: the last name of the path, with as many
// of the names before it as make it different from the others.
func contextKeys(paths []string) []string {
	keys := make([]string, len(paths))
	names := make([]int, len(paths))
	for round := 1; round <= 20; round++ {
		count := map[string]int{}
		for i, p := range paths {
			keys[i] = contextKey(p, names[i]+1)
			count[keys[i]]++
		}
		if len(count) == len(paths) {
			break
		}
		for i := range keys {
			if count[keys[i]] > 1 {
				names[i]++
			}
		}
	}
	return keys
}

func contextKey(path string, names int) string {
	parts := strings.FieldsFunc(path, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-' && r != ' '
	})
	parts = parts[max(0, len(parts)-names):]
	return strings.ReplaceAll(strings.Join(parts, "_"), " ", "_")
}
