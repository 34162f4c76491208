package engine

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/expr-lang/expr/ast"

	"custom-misp/engine/yamlfile"
)

// mapping is a mapping ready to run. Immutable.
type mapping struct {
	id, description, source string
	file                    string
	builtin                 bool
	replaces                string // file of the built-in mapping that it replaced
	line, column            int    // of the id
	match                   *program
	needs                   needs
	fallback                bool // it applies after the others, to what they leave
	picks                   []pick
	named                   []namedPicks // picks by name, by the object that they are about
	labels                  map[string]string
	context                 []contextField
	filter                  *Filter
	canonical               string       // only for lint: see canonicalForm
	lazy                    *lazyMapping // of one that has only id, file, builtin, fallback and needs; nil for others
}

// pick is one pick of a mapping, ready to run. Immutable.
type pick struct {
	path    *fieldPath // of the value; for a pick by name, of the object
	names   []string   // of members; empty if path leads to the value
	except  []string   // names of members that a pick by name leaves out
	when    *program   // nil for always
	split   string
	prefix  string
	part    string          // "", or one of parts
	regex   func() *pattern // nil for none
	decode  []decoder
	pair    *fieldPath // of the second half; nil for none
	scan    bool
	typ     Type
	keep    *program // nil for all
	private bool     // also what keepByDefault drops
	line    int
}

// namedPicks are the picks by name of a mapping that are about one object.
type namedPicks struct {
	under *fieldPath
	picks []int // of the mapping; the number in the tree is the place in here
	tree  nameTree
	asked uint64    // picks that do not apply to every alert
	off   [3]uint64 // picks that take nothing from an object by what it holds
}

// parts are what a pick may take of a path.
var parts = []string{partPath, partName}

const (
	partPath = "path"
	partName = "name"
)

// compile checks and compiles what a file declares. The mappings must not be used if a fault was added.
func (r reader) compile(f declaredFile) []*mapping {
	if f.Version.Node != nil && f.Version.Value != "1" {
		r.Fault(f.Version.Node, "write version: 1", "version %q is not supported", f.Version.Value)
	}
	r.defined = r.define(f.Define)
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

const idPattern = `^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`

var idForm = lazily(idPattern)

func (r reader) compileMapping(d declaredMapping) *mapping {
	m := &mapping{
		id: d.ID.Value, description: strings.TrimSpace(d.Description.Value), file: r.file, builtin: r.builtin, filter: r.filter(d.Lookup),
		fallback: d.Fallback != nil && *d.Fallback, labels: r.labels(d.Labels),
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
	r.compileNamed(m, d.Pick)
	m.context = r.compileContext(d.Context)
	if r.lint {
		r.lintMapping(d, m)
	}
	return m
}

func (r reader) compilePick(d declaredPick) pick {
	p := pick{
		path: r.paths.of(d.Path.Value), split: d.Split.Value, typ: Type(d.Type.Value), private: d.Private != nil && *d.Private,
	}
	if d.Path.Node != nil {
		p.line = d.Path.Node.Line
		r.checkPath(d.Path, "path")
	}
	r.compileNames(d, &p)
	if d.When.Node != nil {
		p.when, _ = r.compileExpr(d.When, "when", matchNames)
	}
	p.decode = r.compileDecode(d.Decode)
	r.checkType(d.Type)
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
	r.compilePair(d, &p)
	if d.Keep.Node != nil {
		var tree ast.Node
		p.keep, tree = r.compileExpr(d.Keep, "keep", keepNames)
		if tree != nil && !p.private {
			r.checkKeep(d.Keep, p.typ, tree)
		}
	}
	return p
}

// checkType refuses types that cannot be picked.
func (r reader) checkType(s yamlfile.Scalar) {
	if s.Node == nil || Type(s.Value).Pickable() {
		return
	}
	remedy := "pick each half with its own type"
	if _, composite := composites[Type(s.Value)]; !composite {
		remedy = typeRemedy(s.Value)
	}
	r.Fault(s.Node, remedy, "type %q is not a MISP attribute type that can be picked", s.Value)
}

// compileDecode returns the steps of decode.
func (r reader) compileDecode(list []yamlfile.Scalar) (steps []decoder) {
	for _, s := range list {
		r.oneOf(s, "decode", decodeWords())
		if i := slices.IndexFunc(decoders, func(d decoder) bool { return d.word == s.Value }); i >= 0 {
			steps = append(steps, decoders[i])
		}
	}
	return steps
}

// compilePair sets where the second half of a pair is.
func (r reader) compilePair(d declaredPick, p *pick) {
	if d.Pair.Node == nil {
		return
	}
	p.pair = r.paths.of(d.Pair.Value)
	r.checkPath(d.Pair, "pair")
	if d.Type.Node != nil && p.typ != registryPair {
		r.Fault(d.Pair.Node, "write type: "+string(registryPair)+", or leave the key out", "pair makes values of two halves, which type %q has not", d.Type.Value)
	}
}

// compileRegex compiles a regular expression. That of a built-in mapping is compiled when it is first used: lint and
// tests have shown that it compiles.
func (r reader) compileRegex(s yamlfile.Scalar) func() *pattern {
	if s.Value == "" {
		r.Fault(s.Node, "leave the key out to take the whole value", "regex is empty")
		return nil
	}
	if r.builtin && !r.lint {
		return lazyPattern(s.Value)
	}
	re, err := regexp.Compile(s.Value)
	if err != nil {
		cause := strings.TrimPrefix(err.Error(), "error parsing regexp: ")
		r.Fault(s.Node, patternRemedy(cause), "regex: %s", cause)
		return nil
	}
	return sync.OnceValue(func() *pattern { return newPattern(re) })
}

// checkPath refuses gjson paths that can never lead to a value.
func (r reader) checkPath(s yamlfile.Scalar, what string) {
	if remedy := pathFault(s.Value); s.Node != nil && remedy != "" {
		r.Fault(s.Node, remedy, "%s %q can never lead to a value", what, s.Value)
	}
}
