package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	"custom-misp/engine/yamlfile"
)

// This file warns of comparisons in expressions that can never be true, are always true, or are true by accident.

// An expressionLint looks at one expression.
type expressionLint struct {
	r    reader
	s    yamlfile.Scalar
	what string
	typ  Type          // of the pick, in keep; "" in match and when
	back func(int) int // see definitions.expand
}

// lintExpression warns of what cannot be meant in an expression, with what stands for its names. Its tree is returned, nil if it
// does not parse, and what makes places in the tree places in s.
func (r reader) lintExpression(s yamlfile.Scalar, what string, typ Type) (ast.Node, func(int) int) {
	text, back := r.defined.expand(s.Value)
	tree, err := parser.Parse(text)
	if err != nil {
		return nil, back
	}
	l := expressionLint{r, s, what, typ, back}
	ast.Walk(&tree.Node, visitor(l.node))
	l.unguarded(tree.Node, nil)
	l.contradictions(tree.Node)
	return tree.Node, back
}

func (l expressionLint) warn(n ast.Node, remedy, format string, args ...any) {
	l.r.WarnIn(l.s, l.back(n.Location().From), remedy, l.what+": "+format, args...)
}

func (l expressionLint) node(n ast.Node) {
	switch n := n.(type) {
	case *ast.BinaryNode:
		l.comparison(n, "")
	case *ast.CallNode:
		l.call(n)
	case *ast.BuiltinNode:
		if len(n.Arguments) == 2 && isGroups(n.Arguments[0]) {
			ast.Walk(&n.Arguments[1], visitor(func(inner ast.Node) {
				if b, ok := inner.(*ast.BinaryNode); ok && isElement(b.Left) {
					l.comparison(b, onGroup)
				}
			}))
		}
	}
}

// What an expression compares, for impossible.
const (
	onGroup    = "a group"
	onRuleID   = "rule.id"
	onLevel    = "rule.level"
	onAgentID  = "agent.id"
	onAgentIP  = "agent.ip"
	onLocation = "location"
	onType     = "type"
	onLower    = "lower"
	onUpper    = "upper"
	onAField   = "field"
	onAValue   = "value"
	onADecoder = "decoder.name"
)

// subjectOf says what a node is, and the path of a field; "" if it is nothing that is known.
func subjectOf(n ast.Node) (subject, path string) {
	if p := argumentOf(n, "field"); p != "" {
		return onAField, p
	}
	switch n := n.(type) {
	case *ast.BuiltinNode:
		if n.Name == onLower || n.Name == onUpper {
			return n.Name, ""
		}
	case *ast.IdentifierNode:
		switch n.Value {
		case onLocation, onAValue, onType:
			return n.Value, ""
		}
	case *ast.MemberNode:
		for _, known := range []string{onRuleID, onLevel, onAgentID, onAgentIP, onADecoder} {
			if of, name, _ := strings.Cut(known, "."); isMember(n, of, name) {
				return known, ""
			}
		}
	}
	return "", ""
}

// comparison looks at one comparison; subject says what its left side is, "" to find out.
func (l expressionLint) comparison(n *ast.BinaryNode, subject string) {
	if isGroups(n.Left) || isGroups(n.Right) {
		l.ofGroups(n)
		return
	}
	left, texts, equal := comparedWith(n)
	path := ""
	if equal || n.Operator == "!=" {
		if n.Operator == "!=" {
			text, ok := n.Right.(*ast.StringNode)
			if !ok {
				l.ofLevel(n)
				return
			}
			left, texts = n.Left, []string{text.Value}
		}
		if subject == "" {
			subject, path = subjectOf(left)
		}
		l.texts(n, subject, path, texts)
		return
	}
	if subject == "" {
		subject, path = subjectOf(n.Left)
	}
	text, isText := n.Right.(*ast.StringNode)
	switch n.Operator {
	case "<", "<=", ">", ">=":
		if isText && number().MatchString(text.Value) && !isTime(path) && subject != "" {
			l.warn(n, fmt.Sprintf("compare numbers: has(%q) and int(field(%q)) %s %s", cmpPath(subject, path), cmpPath(subject, path), n.Operator, text.Value),
				"%s compares texts, letter by letter: \"5\" is more than \"10\"", n.Operator)
		}
	case "contains", "startsWith", "endsWith":
		if isText {
			l.part(n, subject, text.Value)
		}
	case "matches":
		if isText {
			l.pattern(n, subject, text.Value)
		}
	}
	l.ofLevel(n)
}

// cmpPath returns the path under which the subject of a comparison is in the alert.
func cmpPath(subject, path string) string {
	if path != "" {
		return path
	}
	return subject
}

var (
	number   = lazily(`^\s*-?[0-9]+(?:\.[0-9]+)?\s*$`)
	timeName = lazily(`(?i)time|date|stamp|_at$|epoch`)
)

// isTime reports whether a path leads to a time: the usual ones compare as texts.
func isTime(path string) bool {
	return timeName().MatchString(path[strings.LastIndexByte(path, '.')+1:])
}

// ofGroups looks at comparisons of the whole list of groups.
func (l expressionLint) ofGroups(n *ast.BinaryNode) {
	switch n.Operator {
	case "==", "!=":
		l.warn(n, `write "sysmon" in groups, with and or or between several`,
			"%s compares the whole list of groups, with its order, and alerts have several groups", n.Operator)
	case "in":
		if text, ok := n.Left.(*ast.StringNode); ok {
			l.texts(n, onGroup, "", []string{text.Value})
		}
	}
}

// texts warns of texts that a subject never is.
func (l expressionLint) texts(n *ast.BinaryNode, subject, path string, texts []string) {
	for i, text := range texts {
		why, remedy := l.impossible(subject, path, text)
		if why == "" {
			return // one is enough
		}
		if i < len(texts)-1 {
			continue
		}
		verdict := "this can never be true"
		if n.Operator == "!=" {
			verdict = "this is always true"
		}
		l.warn(n, remedy, "%s: %s", verdict, why)
	}
	if n.Operator == "in" && subject != onGroup && len(texts) == 0 && subject != "" {
		l.warn(n, "name values in the list", "this can never be true: the list is empty")
	}
}

var (
	bareFile   = lazily(`(?i)^[^/\\]+\.(?:json|log|txt|csv|gz)$`)
	threeDigit = lazily(`^[0-9]{3,}$`)
	digitsOnly = lazily(`^[0-9]+$`)
)

// impossible says why a subject is never a text, and what to write; "" if it can be.
func (l expressionLint) impossible(subject, path, text string) (why, remedy string) {
	switch subject {
	case onGroup:
		return l.r.vocabulary.impossibleGroup(text)
	case onADecoder:
		if known := l.r.vocabulary.spelled(l.r.vocabulary.decoderNames(), text); known != "" {
			return fmt.Sprintf("the decoder is called %q", known), fmt.Sprintf("write %q", known)
		}
	case onRuleID:
		if !digitsOnly().MatchString(text) {
			return fmt.Sprintf("rule.id has only digits, and %q has others", text), `write it like rule.id == "5710"; groups are compared as "sshd" in groups`
		}
	case onAgentID:
		if !threeDigit().MatchString(text) {
			return fmt.Sprintf("ids of agents have three digits or more, and %q has not", text), fmt.Sprintf("write %q", fmt.Sprintf("%03s", text))
		}
	case onAgentIP:
		if _, err := netip.ParseAddr(text); err != nil {
			return fmt.Sprintf("agent.ip is one address, and %q is none", text), `write in_network(agent.ip, "10.0.0.0/8")`
		}
	case onLocation:
		if bareFile().MatchString(text) {
			return fmt.Sprintf("location is the whole path of a file, and %q has only its name", text), fmt.Sprintf("write location endsWith %q", "/"+text)
		}
	case onLower, onUpper:
		if fold := map[string]func(string) string{onLower: strings.ToLower, onUpper: strings.ToUpper}[subject]; fold(text) != text {
			return fmt.Sprintf("%s() changes the case, and %q has the other", subject, text), fmt.Sprintf("write %q", fold(text))
		}
	case onType:
		return l.impossibleType(Type(text))
	case onAValue:
		return l.impossibleValue(text)
	case onAField:
		return l.impossibleField(path, text)
	}
	return "", ""
}

func (l expressionLint) impossibleField(path, text string) (why, remedy string) {
	switch {
	case path == "rule.groups":
		return "rule.groups is a list, and field() is its JSON text", fmt.Sprintf("write %q in groups", text)
	case len(text) > 1 && (text[0] == '*' || text[len(text)-1] == '*'):
		return fmt.Sprintf("the whole text is compared, and the * in %q stands for itself", text), `write endsWith ".net", startsWith "www." or contains "evil"`
	}
	if _, err := netip.ParsePrefix(text); err == nil {
		return fmt.Sprintf("the whole text is compared, and %q is a network", text), fmt.Sprintf("write in_network(field(%q), %q)", path, text)
	}
	if subject, name, ok := strings.Cut(path, "."); ok && !strings.Contains(name, ".") && (subject == "rule" || subject == "agent" || subject == "decoder") && path != onLevel {
		return l.impossible(path, "", text)
	}
	return "", ""
}

func (l expressionLint) impossibleType(t Type) (why, remedy string) {
	switch {
	case l.typ == Auto && !slices.Contains(autoTypes(), t):
		return fmt.Sprintf("auto decides for one of %s, and not for %q", joined(autoTypes()), t), yamlfile.DidYouMean(string(t), words(autoTypes()))
	case l.typ != Auto && l.typ.Pickable() && t != l.typ:
		return fmt.Sprintf("all values of this pick have the type %s", l.typ), "leave the comparison out"
	}
	return "", ""
}

// autoTypes are the types that auto decides for.
func autoTypes() []Type {
	return []Type{"ip-dst", "domain", "hostname", "url", "email", "vulnerability", "md5", "sha1", "sha224", "sha256", "sha384", "sha512"}
}

func joined(types []Type) string { return strings.Join(words(types), ", ") }

// impossibleValue says why the value of a pick is never a text: it is compared in its normal form.
func (l expressionLint) impossibleValue(text string) (why, remedy string) {
	if text == "" {
		return "", ""
	}
	if len(text) > 1 && (text[0] == '*' || text[len(text)-1] == '*') {
		return fmt.Sprintf("the whole value is compared, and the * in %q stands for itself", text), `write endsWith ".net", startsWith "www." or contains "evil"`
	}
	_, normal, err := l.typ.Resolve(text)
	switch {
	case err != nil && l.typ == Auto, err == nil && normal == text:
		return "", ""
	case err != nil:
		return fmt.Sprintf("the value has the type %s, and %q is %v", l.typ, text, err), "compare with a value of this type, in its normal form"
	}
	return fmt.Sprintf("the value is compared in its normal form, and that of %q is %q", text, normal), fmt.Sprintf("write %q", normal)
}

// part looks at contains, startsWith and endsWith.
func (l expressionLint) part(n *ast.BinaryNode, subject, text string) {
	lower := subject == onLower
	if subject == onAValue {
		if f, ok := spellingOf(l.typ); ok && l.typ.Family() != familyURL && l.typ.Family() != familyCVE && l.typ.Family() != familyEmail {
			if strings.ContainsFunc(text, func(r rune) bool { return !f.allowed(r) || r == ' ' }) {
				l.warn(n, "compare with a part of a value in its normal form", "this can never be true: no value of type %s contains %q", l.typ, text)
				return
			}
			lower = true
		}
	}
	switch {
	case lower && strings.ToLower(text) != text:
		l.warn(n, fmt.Sprintf("write %q", strings.ToLower(text)), "this can never be true: what is compared is in small letters, and %q is not", text)
	case subject == onUpper && strings.ToUpper(text) != text:
		l.warn(n, fmt.Sprintf("write %q", strings.ToUpper(text)), "this can never be true: what is compared is in capitals, and %q is not", text)
	case strings.HasSuffix(text, "*") && len(text) > 1, strings.HasPrefix(text, "*") && len(text) > 1:
		l.warn(n, "leave it out: "+n.Operator+" needs no *", "the * in %q stands for itself", text)
	}
}

var dottedName = lazily(`^\^?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+\$?$`)

// pattern looks at a regular expression that a subject is compared with.
func (l expressionLint) pattern(n *ast.BinaryNode, subject, text string) {
	switch {
	case len(text) > 2 && text[0] == '/' && (text[len(text)-1] == '/' || strings.HasSuffix(text, "/i")):
		l.warn(n, "leave the slashes out; (?i) at the start takes no notice of case", "the slashes around the pattern are part of it")
	case dottedName().MatchString(text):
		l.warn(n, fmt.Sprintf("write %q", strings.ReplaceAll(text, ".", `\.`)), "a dot in a pattern stands for any character")
	case subject == onLower && hasCapital(text):
		l.warn(n, "write the pattern in small letters", "this can never be true: what is compared is in small letters, and the pattern has capitals")
	}
}

var escapeInPattern = lazily(`\\.|\(\?[a-zA-Z]+|\[[^\]]*\]|\{[^}]*\}|P<[^>]*>`)

func hasCapital(pattern string) bool {
	pattern = escapeInPattern().ReplaceAllString(pattern, "")
	return strings.ToLower(pattern) != pattern && !strings.Contains(pattern, "(?i")
}

// maxLevel is the highest level of a rule.
const maxLevel = 16

// ofLevel warns of comparisons of the rule's level that are the same for all levels.
func (l expressionLint) ofLevel(n *ast.BinaryNode) {
	limit, ok := n.Right.(*ast.IntegerNode)
	if subject, _ := subjectOf(n.Left); !ok || subject != onLevel {
		return
	}
	count := 0
	for level := range maxLevel + 1 {
		if holds(level, n.Operator, limit.Value) {
			count++
		}
	}
	switch count {
	case 0:
		l.warn(n, "compare with a level from 0 to 16", "this can never be true: rule.level is 0 to 16")
	case maxLevel + 1:
		l.warn(n, "compare with a level from 0 to 16, or leave it out", "this is always true: rule.level is 0 to 16")
	}
}

func holds(a int, operator string, b int) bool {
	return map[string]bool{"==": a == b, "!=": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[operator]
}

// call looks at the arguments of functions, and at functions that a value of this type never meets.
func (l expressionLint) call(n *ast.CallNode) {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		return
	}
	if path := argumentOf(n, "field") + argumentOf(n, "has"); path != "" {
		l.r.lintPath(l.s, l.back(n.Arguments[0].Location().From), path)
		return
	}
	if callee.Value != "under_domain" {
		return
	}
	for _, arg := range n.Arguments[min(1, len(n.Arguments)):] {
		text, ok := arg.(*ast.StringNode)
		if !ok {
			continue
		}
		name := strings.Trim(strings.TrimPrefix(text.Value, "*."), ".")
		if _, err := normalHost(name); err != nil && strings.ContainsAny(name, "*/:@ ") || strings.ContainsAny(text.Value, "*/:@ ") {
			l.warn(text, "write the domain alone, like corp.example: names below it are meant too", "%q is no domain, and no name is below it", text.Value)
		}
	}
}
