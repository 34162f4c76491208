package engine

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/expr-lang/expr/ast"

	"custom-misp/engine/yamlfile"
)

// lintMapping warns of what compiles, but can never pick or picks by accident.
func (r reader) lintMapping(d declaredMapping, m *mapping) {
	if !r.builtin && r.vocabulary != nil {
		if file := r.vocabulary.ids[m.id]; file != "" && !sharesPath(d, file) {
			file, _, _ = strings.Cut(file, " ")
			r.Warn(d.ID.Node, "choose another id; mappings.disable leaves a built-in mapping out",
				"id %q is that of a built-in mapping in %s, which this one replaces", m.id, file)
		}
	}
	var tree ast.Node
	var back func(int) int
	if d.Match.Given() {
		r.lintComment(d.Match, "match")
		tree, back = r.lintExpression(d.Match, "match", "")
	}
	first := map[string]int{}
	for i, p := range d.Pick {
		r.lintPick(p)
		if i >= len(m.picks) || !p.Path.Given() {
			continue
		}
		key := fmt.Sprintf("%q %q %q %q %q %q %q %q %q %q", p.When.Value, scalarTexts(p.Decode), p.Path.Value, p.Type.Value, p.Split.Value, p.Prefix.Value, p.Part.Value, p.Regex.Value, p.Pair.Value, p.Keep.Value)
		if line := first[key]; line > 0 {
			r.Warn(p.Path.Node, "remove one of them", "this pick does the same as the one in line %d", line)
		} else {
			first[key] = p.Path.Node.Line
		}
	}
	r.lintContext(d.Context)
	if r.vocabulary == nil || r.vocabulary.ids[m.id] == "" { // the built-in ones know fields in both cases
		r.lintCase(d, tree, back)
	}
	r.lintAbsent(d, tree, back)
}

func scalarTexts(list []yamlfile.Scalar) (texts []string) {
	for _, s := range list {
		texts = append(texts, s.Value)
	}
	return texts
}

// sharesPath reports whether a mapping picks from a path of the built-in mapping that it replaces: then that is meant. listed
// has the file of that mapping and its paths.
func sharesPath(d declaredMapping, listed string) bool {
	for _, p := range d.Pick {
		at := p.Path.Value
		if !p.Path.Given() {
			at = cmp.Or(p.Under.Value, "data")
		}
		if strings.Contains(listed+" ", " "+at+" ") {
			return true
		}
	}
	return false
}

// lintComment warns of a value that a comment probably cuts: in YAML, # behind a blank begins one.
func (r reader) lintComment(s yamlfile.Scalar, key string) {
	comment := s.Node.LineComment
	if s.Node.Style != 0 || len(comment) < 2 || comment[0] != '#' || !strings.ContainsAny(comment[1:2], ".(|)=!") {
		return
	}
	r.Warn(s.Node, fmt.Sprintf("put it into quotes: %s: '%s%s'", key, s.Value, comment), "the value ends before %q: in YAML, # behind a blank begins a comment", comment)
}

// topNames are the names at the top of alerts, besides those that are common to all.
var topNames = setOf("syscheck previous_output previous_log GeoLocation title file oscap program_name srcip srcport srcuser dstip dstport dstuser command tty pwd status action protocol url user hostname event_fingerprint agentless Event")

// lintPath warns of a path, at an offset in a scalar, that leads to nothing in any alert.
func (r reader) lintPath(s yamlfile.Scalar, offset int, path string) {
	if r.vocabulary == nil {
		return
	}
	if remedy := pathDoubt(path); remedy != "" {
		r.WarnIn(s, offset, remedy, "path %q hardly leads to a value", path)
		return
	}
	if strings.ContainsAny(path, "[{(*?@|") || pathFault(path) != "" {
		return
	}
	top, rest, nested := strings.Cut(path, ".")
	switch {
	case common[top] || topNames()[top] || r.vocabulary.hasTop(top):
		if known := r.vocabulary.spelledPath(path); known != "" {
			r.WarnIn(s, offset, "write "+known, "the names of fields are compared with their case, and %s is spelled otherwise in alerts", path)
		}
	case common[strings.ToLower(top)] || topNames()[strings.ToLower(top)]:
		r.WarnIn(s, offset, "write "+strings.ToLower(top)+path[len(top):], "no alert has %q at its top: names are compared with their case", top)
	case top == "_source" && nested:
		r.WarnIn(s, offset, "write "+rest, "no alert has %q at its top: it is taken off from documents of the dashboard", top)
	default:
		r.WarnIn(s, offset, "write data."+path+": decoders write what they read below data", "no alert of Wazuh has %q at its top", top)
	}
}

// ownFields are fields that say where an alert comes from, and hold no indicator.
var ownFields = setOf("agent.ip agent.name agent.id manager.name rule.id rule.level rule.description decoder.name decoder.parent timestamp @timestamp id predecoder.hostname predecoder.timestamp cluster.name cluster.node")

func (r reader) lintPick(d declaredPick) {
	for key, s := range map[string]yamlfile.Scalar{"path": d.Path, "regex": d.Regex, "split": d.Split, "prefix": d.Prefix, "when": d.When, "keep": d.Keep} {
		if s.Given() {
			r.lintComment(s, key)
		}
	}
	typ := Type(d.Type.Value)
	if d.Path.Given() {
		r.lintPath(d.Path, 0, d.Path.Value)
		r.lintPickPath(d, typ)
	}
	if d.Pair.Given() {
		r.lintPath(d.Pair, 0, d.Pair.Value)
	}
	if d.Regex.Given() && len(d.Decode) == 0 { // else it takes something that becomes a value
		r.lintRegex(d, typ)
	}
	r.lintCut(d)
	if d.When.Given() {
		r.lintExpression(d.When, "when", "")
	}
	if d.Keep.Given() {
		r.lintExpression(d.Keep, "keep", typ)
	}
}

func (r reader) lintPickPath(d declaredPick, typ Type) {
	path := d.Path.Value
	last := strings.ToLower(path[strings.LastIndexByte(path, '.')+1:])
	whole := !d.Regex.Given() && !d.Split.Given() && !d.Prefix.Given() && !d.Part.Given() && d.Scan == nil
	switch {
	case strings.HasPrefix(path, "{"):
		r.Warn(d.Path.Node, "write a pick of its own for each field, or [a,b] for a list of them", "{…} makes an object of the fields, and a pick takes nothing from an object")
	case strings.HasSuffix(path, ".#"):
		r.Warn(d.Path.Node, "leave .# out: each item of an array is a candidate", "%q counts the items of an array", path)
	case ownFields()[path]:
		r.Warn(d.Path.Node, "pick the fields that the event is about, below data", "%s says where the alert comes from, and is no indicator", path)
	case whole:
		if want := typeOfName(last); want != "" && autoHashes[hashLengths[typ]] == typ && typ != want {
			r.Warn(d.Type.Node, fmt.Sprintf("write type: %s", want), "%q is the name of a %s, which is never compared with values of type %s", last, want, typ)
		}
	}
}

// namedTypes are types that the name of a field tells, the most special first.
var namedTypes = []struct {
	name string
	typ  Type
}{
	{"imphash", "imphash"},
	{"ja3s", "ja3-fingerprint-md5"},
	{"ja3", "ja3-fingerprint-md5"},
	{"hasshserver", "hasshserver-md5"},
	{"hassh", "hassh-md5"},
	{"jarm", "jarm-fingerprint"},
	{"pehash", "pehash"},
	{"authentihash", "authentihash"},
	{"cdhash", "cdhash"},
	{"sha3", ""},
	{"sha512", "sha512"},
	{"sha384", "sha384"},
	{"sha256", "sha256"},
	{"sha224", "sha224"},
	{"sha1", "sha1"},
	{"md5", "md5"},
}

// typeOfName returns the hash type that the last name of a path, in small letters, says; "" for none.
func typeOfName(name string) Type {
	name = folded(name)
	for _, n := range namedTypes {
		if strings.HasPrefix(name, n.name) || strings.HasSuffix(name, n.name) {
			if n.typ == "sha1" && strings.Contains(name, "x509") || strings.Contains(name, "fingerprint") && !strings.HasPrefix(name, "ja3") {
				return ""
			}
			return n.typ
		}
	}
	return ""
}

var (
	grokWord   = lazily(`%\{[A-Z]+[:}]`)
	patternCut = lazily(`^\[[^\]]{2,}\]|\\[snrt]|\|.|\.[*+]`)
)

func (r reader) lintRegex(d declaredPick, typ Type) {
	s := d.Regex
	switch {
	case grokWord().MatchString(s.Value):
		r.Warn(s.Node, "write what it stands for, in RE2 syntax", "%q is a word of grok, which RE2 does not know", grokWord().FindString(s.Value))
	case len(s.Value) > 2 && s.Value[0] == '/' && s.Value[len(s.Value)-1] == '/':
		r.Warn(s.Node, "leave the slashes out", "the slashes around the regular expression are part of it")
	case (d.Scan == nil || !*d.Scan) && !yields(s.Value, typ):
		remedy := "put the value, and nothing else, into the first group or one named value: (?P<value>…); other groups are written as (?:…)"
		if strings.Contains(s.Value, `\\`) {
			remedy = "in single quotes and without quotes, write a backslash once"
		}
		r.Warn(s.Node, remedy, "what the regular expression takes is never a value of type %s", typ)
	}
}

// lintCut looks at split and prefix.
func (r reader) lintCut(d declaredPick) {
	split, prefix := d.Split.Value, d.Prefix.Value
	if split != "" && patternCut().MatchString(split) {
		remedy := "write the text itself, or use regex"
		if strings.HasPrefix(split, `\`) {
			remedy = `write it in double quotes: "` + split + `"`
		}
		r.Warn(d.Split.Node, remedy, "split is a text and no regular expression, and %q stands for itself", split)
	}
	switch {
	case prefix == "":
	case split != "" && strings.Contains(prefix, split):
		r.Warn(d.Prefix.Node, "leave the separator out", "no candidate begins with %q: they are split at %q before", prefix, split)
	case prefix[0] == '^' || strings.HasSuffix(prefix, "*"):
		r.Warn(d.Prefix.Node, "write the text that the values begin with", "prefix is a text and no pattern, and %q stands for itself", prefix)
	case windowsHash()[strings.TrimSuffix(strings.ToUpper(prefix), "=")] && strings.ToUpper(strings.TrimSuffix(prefix, "="))+"=" != prefix:
		r.Warn(d.Prefix.Node, fmt.Sprintf("write prefix: '%s='", strings.TrimSuffix(strings.ToUpper(prefix), "=")),
			"prefix is compared with its case and the sign behind it, and Windows writes it otherwise than %q", prefix)
	}
}

var windowsHash = setOf("MD5 SHA1 SHA256 IMPHASH")

// lintCase warns of two fields of one mapping that differ only in their case.
func (r reader) lintCase(d declaredMapping, tree ast.Node, back func(int) int) {
	first := map[string]string{}
	see := func(s yamlfile.Scalar, offset int, path string) {
		other := first[strings.ToLower(path)]
		if other == "" {
			first[strings.ToLower(path)] = path
		} else if other != path && !r.vocabulary.hasTop(path) && (r.vocabulary == nil || !r.vocabulary.paths.all[path] || !r.vocabulary.paths.all[other]) {
			r.WarnIn(s, offset, "write both as they are in the alert", "%s and %s differ only in their case, and alerts have one of them", path, other)
		}
	}
	if tree != nil {
		ast.Walk(&tree, visitor(func(n ast.Node) {
			if path := argumentOf(n, "field") + argumentOf(n, "has"); path != "" {
				see(d.Match, back(n.Location().From), path)
			}
		}))
	}
	for _, p := range d.Pick {
		if p.Path.Given() {
			see(p.Path, 0, p.Path.Value)
		}
	}
}

// lintAbsent warns of a match that is true only where every pick has nothing.
func (r reader) lintAbsent(d declaredMapping, tree ast.Node, back func(int) int) {
	if tree == nil || len(d.Pick) == 0 {
		return
	}
	for _, part := range conjunctsOf(tree) {
		absent := ""
		if not, ok := part.(*ast.UnaryNode); ok {
			absent = argumentOf(not.Node, "has")
		} else if b, ok := part.(*ast.BinaryNode); ok && b.Operator == "==" {
			if text, ok := b.Right.(*ast.StringNode); ok && text.Value == "" {
				absent = argumentOf(b.Left, "field")
			}
		}
		if absent == "" {
			continue
		}
		all := true
		for _, p := range d.Pick {
			all = all && (p.Path.Value == absent || strings.HasPrefix(p.Path.Value, absent+"."))
		}
		if all {
			r.WarnIn(d.Match, back(part.Location().From), fmt.Sprintf("write has(%q)", absent), "match needs %s to be absent, and all picks are from it", absent)
			return
		}
	}
}
