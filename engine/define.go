package engine

import (
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser/lexer"
	"go.yaml.in/yaml/v4"

	"custom-misp/engine/yamlfile"
)

// This file has the key define of mapping files: names that expressions of the file use for lists and expressions. A name
// is replaced by what it stands for before the expression is compiled.

// definitions are the names of a file, each with the text that stands for it.
type definitions map[string]string

var defineForm = lazily(`^[a-z][a-z0-9_]*$`)

const (
	maxDefined  = 64 << 10 // bytes of an expression once its names are replaced
	defineLists = "write a list of texts, or an expression; a text by itself is an expression with quotes of its own: '\"acme\"'"
)

// define checks the names of a file. A name may use those before it.
func (r reader) define(entries yamlfile.Entries) definitions {
	d := definitions{}
	for _, e := range entries {
		name := e.Key.Value
		switch _, known := keepNames[name]; {
		case !defineForm().MatchString(name):
			r.Fault(e.Key.Node, "use small letters, digits and _", "define: %q is not a usable name", name)
			continue
		case known || isFunction(name) || exprWordsOf(name):
			r.Fault(e.Key.Node, "choose another", "define: %q is a name of the language", name)
			continue
		}
		switch e.Value.Kind {
		case yaml.SequenceNode:
			if text, ok := r.defineList(name, e.Value); ok {
				d[name] = text
			}
		case yaml.ScalarNode:
			s := yamlfile.Scalar{Value: e.Value.Value, Node: e.Value}
			text, back := d.expand(s.Value)
			if r.builtin && !r.lint { // lint and tests have shown that it compiles
				d[name] = "(" + text + ")"
				continue
			}
			if fault := checkDefined(text); fault != nil {
				r.FaultIn(s, back(fault.From), defineLists, "define: %s", firstLine(fault.Message))
				continue
			}
			d[name] = "(" + text + ")"
		default:
			r.Fault(e.Value, defineLists, "define: %q must be a list or an expression, not %s", name, yamlfile.KindOf(e.Value))
		}
	}
	return d
}

// defineList returns a list as an expression.
func (r reader) defineList(name string, n *yaml.Node) (string, bool) {
	items := make([]string, 0, len(n.Content))
	for _, item := range n.Content {
		item = r.Resolve(item)
		if item.Kind != yaml.ScalarNode {
			r.Fault(item, defineLists, "define: an item of %q must be a text, not %s", name, yamlfile.KindOf(item))
			return "", false
		}
		items = append(items, strconv.Quote(item.Value))
	}
	if len(items) == 0 {
		r.Fault(n, "name some", "define: list %q is empty", name)
		return "", false
	}
	return "[" + strings.Join(items, ", ") + "]", true
}

// checkDefined compiles an expression of any type.
func checkDefined(text string) *file.Error {
	_, err := expr.Compile(text, append([]expr.Option{expr.Env(keepNames), expr.MaxNodes(maxExprNodes)}, functionOptions...)...)
	if err == nil {
		return nil
	}
	if e, ok := err.(*file.Error); ok { //nolint:errorlint // expr-lang returns it as it is
		return e
	}
	return &file.Error{Message: err.Error()}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// exprWordsOf reports whether expr-lang has a function or an operator of this name.
func exprWordsOf(name string) bool {
	return slices.Contains(exprWords(nil), name) ||
		slices.Contains([]string{"and", "or", "not", "in", "matches", "contains", "let", "if", "else", "true", "false", "nil"}, name)
}

// expand replaces the names in an expression. back returns where a character of the result was in source, for faults: that
// of the name for all that stands for it. What is no expression stays as it is.
func (d definitions) expand(source string) (text string, back func(int) int) {
	same := func(at int) int { return at }
	if len(d) == 0 || !d.within(source) {
		return source, same
	}
	tokens, err := lexer.Lex(file.NewSource(source))
	if err != nil {
		return source, same
	}
	type replaced struct{ from, to, grown int } // in source; how much longer the text has become behind it
	var all []replaced
	var b strings.Builder
	runes, done, grown := []rune(source), 0, 0
	for i, t := range tokens {
		stands, ok := d[t.Value]
		if !ok || t.Kind != lexer.Identifier || i > 0 && tokens[i-1].Is(lexer.Operator, ".", "?.") || b.Len() > maxDefined {
			continue
		}
		b.WriteString(string(runes[done:t.From]))
		b.WriteString(stands)
		done = t.From + len([]rune(t.Value))
		grown += len([]rune(stands)) - len([]rune(t.Value))
		all = append(all, replaced{t.From, done, grown})
	}
	b.WriteString(string(runes[done:]))
	return b.String(), func(at int) int {
		before := 0
		for _, r := range all {
			if at < r.from+before {
				break
			}
			if at < r.to+r.grown {
				return r.from
			}
			before = r.grown
		}
		return at - before
	}
}

// within reports whether a text may have one of the names.
func (d definitions) within(source string) bool {
	for name := range d {
		if strings.Contains(source, name) {
			return true
		}
	}
	return false
}
