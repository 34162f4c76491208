package mappingtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"custom-misp/engine"
)

// ErrNothing is returned by [Suggest] for an alert from which nothing more could be picked.
var ErrNothing = errors.New("no value in this alert looks like an indicator that is not picked already")

var errUnnamed = errors.New("no value in this alert can be picked but those below members to whose names no path leads, such as an empty one")

// Suggest writes a mapping file for the values of an alert that look like indicators and that e does not pick, with
// two tests in it. load makes an engine of what e has and of the file, so that the tests can say what is picked
// in all. The file lints and its tests pass as it is; its author is to look at every line. It is text that a terminal can
// show, whatever keys and values the alert has: bytes in it that are no UTF-8 are replaced.
func Suggest(e *engine.Engine, alert []byte, load func(file []byte) (*engine.Engine, error)) ([]byte, error) {
	picks, unnamed := suggestPicks(e, alert)
	switch {
	case len(picks) == 0 && unnamed:
		return nil, errUnnamed
	case len(picks) == 0:
		return nil, ErrNothing
	}
	alert = []byte(string([]rune(string(alert)))) // each byte that is no UTF-8 becomes unknownText
	s := suggestion{alert: alert, picks: picks}
	s.name(e)
	with, err := load(s.file(nil, nil))
	if err != nil {
		return nil, fmt.Errorf("suggestion: %w", err)
	}
	near := alert
	for _, change := range s.near {
		if near, err = change.apply(near); err != nil {
			return nil, fmt.Errorf("suggestion: change %s: %w", change.path, err)
		}
	}
	return s.file(Run(with, Case{Alert: alert}).Unexpected, Run(with, Case{Alert: near}).Unexpected), nil
}

// A suggestion is a mapping that is being written.
type suggestion struct {
	alert       []byte
	id, product string
	match       string
	near        []change // to the alert, after which the mapping must not match
	picks       []suggestedPick
}

// A change sets a path of an alert to a text or a list with one text, or takes it away.
type change struct {
	path, text string
	list       bool
}

func (c change) apply(alert []byte) ([]byte, error) {
	switch {
	case c.text == "":
		return sjson.DeleteBytes(alert, c.path)
	case c.list:
		return sjson.SetBytes(alert, c.path, []string{c.text})
	}
	return sjson.SetBytes(alert, c.path, c.text)
}

// String returns the change as YAML.
func (c change) String() string {
	key := quoteYAML(c.path)
	if len(key) > maxYAMLKey {
		key = "? " + key + "\n      "
	}
	switch {
	case c.text == "":
		return key + ": null"
	case c.list:
		return key + ": [" + c.text + "]"
	}
	return key + ": " + c.text
}

// maxYAMLKey is the longest key, in characters with its quotes, that YAML reads without a question mark before it.
const maxYAMLKey = 1024

type suggestedPick struct {
	path, regex string
	typ         engine.Type
	example     string
}

// suggestPicks returns a pick for each path and type of value that no mapping picks, but for values below a member to which no
// path leads. It reports whether there are such.
func suggestPicks(e *engine.Engine, alert []byte) (picks []suggestedPick, unnamed bool) {
	observables, _ := e.Pick(alert)
	picked := map[engine.Indicator]bool{}
	byName := map[string]engine.Observable{} // that a fallback picked: the name of the member decides better than the form of the value
	for _, o := range observables {
		if o.Fallback {
			byName[o.Picks[0].Path+" "+strings.ToLower(o.Value)] = o
		} else {
			picked[o.Indicator()] = true
		}
	}
	for _, l := range Leaves(alert) {
		if picked[engine.Observable{Type: l.Type, Value: l.Value}.Indicator()] || aliased(picked, l) {
			continue
		}
		if hasUnnamed(l.Path) {
			unnamed = true
			continue
		}
		p := suggestedPick{path: l.Path, typ: l.Type, example: l.Value}
		if !l.Whole {
			p.regex = wordRegex(l.Type)
		}
		if o, ok := byName[l.Path+" "+strings.ToLower(l.Value)]; ok {
			p.typ = o.Type
		}
		if p.typ == "ip-dst" && sourceSide.MatchString(lastStep(l.Path)) {
			p.typ = "ip-src"
		}
		if p.typ == "email" {
			p.typ = "email-src"
		}
		if p.typ == "domain" {
			p.typ = "hostname" // MISP is asked for both
		}
		same := func(o suggestedPick) bool { return o.path == p.path && o.typ == p.typ && o.regex == p.regex }
		if !slices.ContainsFunc(picks, same) {
			picks = append(picks, p)
		}
	}
	return picks, unnamed
}

// hasUnnamed reports whether a path has an empty step: a name that escapeKey cannot write.
func hasUnnamed(path string) bool {
	path = "." + regexp.MustCompile(`(?s)\\.`).ReplaceAllString(path, "x") + "."
	return strings.Contains(path, "..")
}

var sourceSide = regexp.MustCompile(`(?i)src|source|client|remote|caller|actor|origin|peer`)

func lastStep(path string) string {
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '#' })
	if len(parts) == 0 {
		return path
	}
	return parts[len(parts)-1]
}

// wordRegex finds values of a type among the words of a text.
func wordRegex(t engine.Type) string {
	switch {
	case t.Family() == "ip":
		return `\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b`
	case t == "url":
		return `\b[a-z]+://[^\s"'<>]+`
	case t.Family() == "email":
		return `[^\s"'<>=,;]+@[A-Za-z0-9.-]+`
	case t == "vulnerability":
		return `\bCVE-[0-9]{4}-[0-9]+\b`
	}
	lengths := map[engine.Type]int{"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128}
	return fmt.Sprintf(`\b[0-9A-Fa-f]{%d}\b`, lengths[t])
}

// generic are groups that say little about the product of an alert.
var generic = []string{"local", "syslog", "windows", "linux", "ossec", "wazuh", "attack", "ids", "firewall", "web", "accesslog", "json"}

// isName reports whether a text from an alert can be the name of a product: a printable one of reasonable length.
func isName(s string) bool {
	unusual := func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }
	return s != "" && len(s) <= 100 && !strings.ContainsFunc(s, unusual)
}

// name gives the mapping its id and condition: by the most telling group or decoder, and the fields to be picked. The id is
// none that e has.
func (s *suggestion) name(e *engine.Engine) {
	decoder := gjson.GetBytes(s.alert, "decoder.name").String()
	if !isName(decoder) {
		decoder = ""
	}
	var groups []string
	for _, g := range gjson.GetBytes(s.alert, "rule.groups").Array() {
		if name := strings.TrimSpace(g.String()); isName(name) && !strings.ContainsAny(name, " ,") {
			groups = append(groups, name)
		}
	}
	condition, product := "", ""
	for _, g := range groups {
		if !slices.Contains(generic, strings.ToLower(g)) {
			condition, product = fmt.Sprintf("%q in groups", g), g
			break
		}
	}
	s.near = []change{{"rule.groups", "something-else", true}}
	switch {
	case condition != "":
	case decoder != "" && decoder != "json":
		condition, product = fmt.Sprintf("decoder.name == %q", decoder), decoder
		s.near = []change{{"decoder.name", "something-else", false}}
	case len(groups) > 0:
		condition, product = fmt.Sprintf("%q in groups", groups[len(groups)-1]), groups[len(groups)-1]
	default:
		condition, product = fmt.Sprintf("has(%q)", objectOf(s.picks[0].path)), lastStep(s.picks[0].path)
		s.near = nil
		for _, p := range s.picks {
			if c := (change{path: knownPath(objectOf(p.path))}); !slices.Contains(s.near, c) { // of two fields of one list
				s.near = append(s.near, c)
			}
		}
	}
	conditions := make([]string, 0, len(s.picks))
	for _, p := range s.picks {
		if c := fmt.Sprintf("has(%q)", objectOf(p.path)); !slices.Contains(conditions, c) {
			conditions = append(conditions, c)
		}
	}
	s.match = condition
	if !strings.HasPrefix(condition, "has(") {
		s.match += "\n      and (" + strings.Join(conditions, "\n           or ") + ")"
	}
	s.product = product
	if !isName(s.product) {
		s.product = "my product"
	}
	s.id = strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(s.product), "-"), "-")
	if s.id == "" {
		s.id = "my-product"
	}
	taken := func(m engine.Mapping) bool { return m.ID == s.id }
	if slices.ContainsFunc(e.Mappings(), taken) {
		s.id += "-more"
	}
}

// helpful are the names of fields that an analyst wants to see beside a hit.
var helpful = regexp.MustCompile(`(?i)user|image|process|command|action|host|computer|file|path|status|method`)

// context returns fields that help an analyst.
func (s *suggestion) context() []string {
	var paths []string
	var walk func(path string, v gjson.Result, depth int)
	walk = func(path string, v gjson.Result, depth int) {
		v.ForEach(func(key, v gjson.Result) bool {
			p := path + "." + escapeKey(key.Str)
			switch {
			case key.Str == "":
			case v.IsObject() && depth < 4:
				walk(p, v, depth+1)
			case v.Type == gjson.String && helpful.MatchString(key.Str) && len(paths) < 6 &&
				!slices.ContainsFunc(s.picks, func(o suggestedPick) bool { return o.path == p }):
				paths = append(paths, p)
			}
			return true
		})
	}
	walk("data", gjson.GetBytes(s.alert, "data"), 0)
	return paths
}

// file writes the mapping file; want and wantNear are what its tests expect.
func (s *suggestion) file(want, wantNear []Pick) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `# yaml-language-server: $schema=mapping.schema.json
#
# Suggested from one alert of rule %s. Before you use it:
#   - Is the condition right? It has to hold for every alert of this product, and for no other.
#   - Is every pick worth asking MISP for, and of the right type? Take out addresses and names of your own.
#   - The test holds the alert: take out what must not leave your site.
#
#   custom-misp lint FILE; custom-misp test FILE; custom-misp explain -m FILE ALERT
version: 1
source: %s
mappings:
  - id: %s
    description: %s
    match: >-
      %s
    pick:
`, printable(gjson.GetBytes(s.alert, "rule.id").String()), quoteYAML(s.product), quoteYAML(s.id),
		quoteYAML("Indicators in alerts of "+s.product), s.match)
	for _, p := range s.picks {
		fmt.Fprintf(&b, "      # here %s\n      - path: %s\n", printable(p.example), quoteYAML(p.path))
		if p.regex != "" {
			fmt.Fprintf(&b, "        regex: %s\n", quoteYAML(p.regex))
		}
		fmt.Fprintf(&b, "        type: %s\n", p.typ)
	}
	if paths := s.context(); len(paths) > 0 {
		b.WriteString("    # Fields that are shown beside a hit.\n    context:\n")
		for _, p := range paths {
			fmt.Fprintf(&b, "      - %s\n", quoteYAML(p))
		}
	}
	var alert strings.Builder
	enc := json.NewEncoder(&alert)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(json.RawMessage(s.alert)) // it was parsed before
	fmt.Fprintf(&b, "\ntests:\n  - name: the alert that this was suggested from\n    alert: &alert %s\n", quoteYAML(strings.TrimSpace(alert.String())))
	writePicks(&b, want)
	b.WriteString("  - name: an alert of something else\n    alert: *alert\n    set:\n")
	for _, n := range s.near {
		fmt.Fprintf(&b, "      %s\n", n)
	}
	writePicks(&b, wantNear)
	return []byte(b.String())
}

func writePicks(b *strings.Builder, picks []Pick) {
	if len(picks) == 0 {
		b.WriteString("    picks: []\n")
		return
	}
	b.WriteString("    picks:\n")
	for _, p := range picks {
		fmt.Fprintf(b, "      - {mapping: %s, type: %s, value: %s}\n", quoteYAML(p.Mapping), p.Type, quoteYAML(p.Value))
	}
}

// quoteYAML writes a text as a YAML scalar in one line, with quotes if it needs them.
func quoteYAML(s string) string {
	if plainYAML.MatchString(s) && !slices.Contains(yamlWords, strings.ToLower(s)) {
		return s
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s) // the escapes of Go are YAML's
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// plainYAML are texts that YAML takes for nothing else, also not for true or null.
var plainYAML = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_./ -]*[A-Za-z0-9]$`)

var yamlWords = []string{"true", "false", "yes", "no", "on", "off", "null", "y", "n"}

// objectOf returns the part of a path before the items of an array.
func objectOf(path string) string { return strings.Split(path, ".#")[0] }

// knownPath returns a path to the member that path, which may have wildcards for bytes that are no text, leads to in an alert
// in which they were replaced.
func knownPath(path string) string {
	var b strings.Builder
	escaped := false
	for _, r := range path {
		if r == '?' && !escaped {
			b.WriteString(unknownText)
		} else {
			b.WriteRune(r)
		}
		escaped = r == '\\' && !escaped
	}
	return b.String()
}
