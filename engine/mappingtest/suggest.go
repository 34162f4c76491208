package mappingtest

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
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

// Suggest writes a mapping file for the values of alerts that look like indicators and that e does not pick: a mapping for each
// product, with tests. load makes an engine of what e has and of the file, so that the tests can say what is picked in all. The file
// lints and its tests pass as it is; its author is to look at every line. It says which values are left out, and why. It is text that
// a terminal can show, whatever keys and values the alerts have: bytes in it that are no UTF-8 are replaced.
func Suggest(e *engine.Engine, load func(file []byte) (*engine.Engine, error), alerts ...[]byte) ([]byte, error) {
	var list suggestions
	var left leftOut
	unnamed := false
	for _, alert := range alerts {
		found := suggestPicks(e, alert, &left)
		unnamed = unnamed || found.unnamed
		if len(found.picks) > 0 {
			list.add([]byte(string([]rune(string(alert)))), found.picks) // each byte that is no UTF-8 becomes unknownText
		}
	}
	switch {
	case len(list) == 0 && unnamed:
		return nil, errUnnamed
	case len(list) == 0 && len(left.lines) > 0:
		return nil, fmt.Errorf("%w: %s", ErrNothing, strings.Join(left.lines, "; "))
	case len(list) == 0:
		return nil, ErrNothing
	}
	list.name(e)
	with, err := load(list.file(nil, &left))
	if err != nil {
		return nil, fmt.Errorf("suggestion: %w", err)
	}
	return list.file(with, &left), nil
}

// leftOut are the values for which no pick is suggested, with the reason.
type leftOut struct {
	lines []string
	more  int
}

const maxLeftOut = 20

func (l *leftOut) add(path, why string) {
	line := printable(path) + " is " + why
	switch {
	case slices.Contains(l.lines, line):
	case len(l.lines) < maxLeftOut:
		l.lines = append(l.lines, line)
	default:
		l.more++
	}
}

// suggestions are mappings that are being written, one for each product.
type suggestions []*suggestion

// A suggestion is a mapping that is being written.
type suggestion struct {
	alert       []byte   // the first
	more        [][]byte // others, for tests
	id, product string
	match       string
	near        []change // to the first alert, after which the mapping must not match
	picks       []suggestedPick
}

// moreAlerts is how many alerts of a product get a test, besides the first.
const moreAlerts = 8

// add adds the picks for an alert to those for its product.
func (list *suggestions) add(alert []byte, picks []suggestedPick) {
	s := &suggestion{alert: alert, picks: picks}
	s.condition()
	for _, have := range *list {
		if have.product != s.product {
			continue
		}
		news := false
		for _, p := range picks {
			if !slices.ContainsFunc(have.picks, p.same) {
				have.picks, news = append(have.picks, p), true
			}
		}
		if news && len(have.more) < moreAlerts {
			have.more = append(have.more, alert)
		}
		return
	}
	*list = append(*list, s)
}

// name gives each mapping its condition, for all of its picks, and an id that neither e nor another one has.
func (list suggestions) name(e *engine.Engine) {
	taken := map[string]bool{}
	for _, m := range e.Mappings() {
		taken[m.ID] = true
	}
	for _, s := range list {
		s.name(taken)
		taken[s.id] = true
	}
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

// same reports whether another pick takes the same.
func (p suggestedPick) same(o suggestedPick) bool {
	return o.path == p.path && o.typ == p.typ && o.regex == p.regex
}

// suggestedPicks are the picks for an alert.
type suggestedPicks struct {
	picks   []suggestedPick
	unnamed bool // there are values below a member to which no path leads
}

// suggestPicks returns a pick for each path and type of value that no mapping picks, and is no identifier, user or recipient by its
// name. It adds to left what is left out. What a fallback picks is suggested too, with its type.
func suggestPicks(e *engine.Engine, alert []byte, left *leftOut) suggestedPicks {
	var found suggestedPicks
	observables, _ := e.Pick(alert)
	picked := map[engine.Indicator]engine.Observable{}
	byName := map[string]engine.Observable{} // that a fallback picked: the name of the member decides better than the form of the value
	for _, o := range observables {
		if o.Fallback {
			byName[o.Picks[0].Path+" "+strings.ToLower(o.Value)] = o
		} else {
			picked[o.Indicator()] = o
		}
	}
	for _, l := range Leaves(alert) {
		if o, ok := pickedAs(picked, l); ok {
			left.add(l.Path, "picked by "+o.Picks[0].Mapping+" as "+string(o.Type))
			continue
		}
		if hasUnnamed(l.Path) {
			found.unnamed = true
			continue
		}
		p := suggestedPick{path: l.Path, typ: l.Type, example: l.Value}
		because := ""
		switch known, ok := byName[l.Path+" "+strings.ToLower(l.Value)]; {
		case !l.Whole: // the name is of the whole text, and says only what is no indicator
			p.regex = wordRegex(l.Type)
			_, because = typeByName(l.Path, l.Type)
		default:
			var typ engine.Type
			if typ, because = typeByName(l.Path, l.Type); typ != "" {
				p.typ = typ
			} else if ok {
				p.typ = known.Type
			}
		}
		switch p.typ {
		case "email":
			p.typ = "email-src"
		case "domain":
			p.typ = "hostname" // MISP is asked for both
		}
		if because != "" {
			left.add(l.Path, because)
			continue
		}
		if !slices.ContainsFunc(found.picks, p.same) {
			found.picks = append(found.picks, p)
		}
	}
	for _, path := range notPublic(alert) {
		left.add(path, "an address that is not public, which a pick with private: true takes")
	}
	return found
}

// pickedAs returns the value that mappings picked and that a leaf is: an IMPHASH looks like an MD5.
func pickedAs(picked map[engine.Indicator]engine.Observable, l Leaf) (engine.Observable, bool) {
	if o, ok := picked[engine.Observable{Type: l.Type, Value: l.Value}.Indicator()]; ok {
		return o, true
	}
	for i, o := range picked {
		if i.Key == l.Value && len(l.Value) >= 32 {
			return o, true
		}
	}
	return engine.Observable{}, false
}

// hasUnnamed reports whether a path has an empty step: a name that escapeKey cannot write.
func hasUnnamed(path string) bool {
	path = "." + regexp.MustCompile(`(?s)\\.`).ReplaceAllString(path, "x") + "."
	return strings.Contains(path, "..")
}

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

// condition finds the product of the first alert, the most telling group or decoder of it, and a change that takes it away.
func (s *suggestion) condition() {
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
	telling := slices.IndexFunc(groups, func(g string) bool { return !slices.Contains(generic, strings.ToLower(g)) })
	s.near = []change{{"rule.groups", "something-else", true}}
	switch {
	case telling >= 0:
		s.match, s.product = fmt.Sprintf("%q in groups", groups[telling]), groups[telling]
	case decoder != "" && decoder != "json":
		s.match, s.product = fmt.Sprintf("decoder.name == %q", decoder), decoder
		s.near = []change{{"decoder.name", "something-else", false}}
	case len(groups) > 0:
		s.match, s.product = fmt.Sprintf("%q in groups", groups[len(groups)-1]), groups[len(groups)-1]
	default:
		s.match, s.product = "", lastStep(s.picks[0].path)
	}
	if !isName(s.product) {
		s.product = "my product"
	}
}

// name completes the condition by the fields to be picked, and gives the mapping an id that is not taken.
func (s *suggestion) name(taken map[string]bool) {
	conditions := make([]string, 0, len(s.picks))
	for _, p := range s.picks {
		if c := fmt.Sprintf("has(%q)", objectOf(p.path)); !slices.Contains(conditions, c) {
			conditions = append(conditions, c)
		}
	}
	if s.match == "" {
		s.match, s.near = conditions[0], nil
		for _, p := range s.picks {
			if c := (change{path: knownPath(objectOf(p.path))}); !slices.Contains(s.near, c) && // of two fields of one list
				gjson.GetBytes(s.alert, c.path).Exists() {
				s.near = append(s.near, c)
			}
		}
	} else {
		s.match += "\n      and (" + strings.Join(conditions, "\n           or ") + ")"
	}
	stem := strings.Trim(notOfIDs.ReplaceAllString(strings.ToLower(s.product), "-"), "-")
	stem = cmp.Or(strings.Trim(stem[:min(len(stem), 80)], "-"), "my-product")
	s.id = stem
	for n := 2; taken[s.id]; n++ {
		s.id = fmt.Sprintf("%s-more", stem)
		if n > 2 {
			s.id = fmt.Sprintf("%s-more-%d", stem, n-1)
		}
	}
}

var notOfIDs = regexp.MustCompile(`[^a-z0-9]+`)
