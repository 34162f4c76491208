package mappingtest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/tidwall/gjson"

	"custom-misp/engine"
)

// This file writes suggestions as YAML.

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

// file writes the mapping file; its tests expect what with picks, and nothing if that is nil.
func (list suggestions) file(with *engine.Engine, left *leftOut) []byte {
	var b strings.Builder
	from := "one alert"
	if len(list) > 1 || len(list[0].more) > 0 {
		from = "alerts, the first"
	}
	source := list[0].product
	if len(list) > 1 {
		source = "several products"
	}
	fmt.Fprintf(&b, `# yaml-language-server: $schema=mapping.schema.json
#
# Suggested from %s of rule %s. Before you use it:
#   - Is the condition right? It has to hold for every alert of this product, and for no other.
#   - Is every pick worth asking MISP for, and of the right type? Take out addresses and names of your own.
#   - The test holds the alert: take out what must not leave your site.
#
#   custom-misp lint FILE; custom-misp test FILE; custom-misp explain -m FILE ALERT
`, from, printable(gjson.GetBytes(list[0].alert, "rule.id").String()))
	if len(left.lines) > 0 {
		b.WriteString("#\n# Left out:\n")
		for _, line := range left.lines {
			fmt.Fprintf(&b, "#   %s\n", line)
		}
		if left.more > 0 {
			fmt.Fprintf(&b, "#   and %d more\n", left.more)
		}
	}
	fmt.Fprintf(&b, "version: 1\nsource: %s\nmappings:\n", quoteYAML(source))
	for _, s := range list {
		s.writeMapping(&b)
	}
	b.WriteString("\ntests:\n")
	for i, s := range list {
		anchor := "alert"
		if i > 0 {
			anchor = fmt.Sprintf("alert%d", i+1)
		}
		s.writeTests(&b, with, anchor, len(list) > 1)
	}
	return []byte(b.String())
}

func (s *suggestion) writeMapping(b *strings.Builder) {
	fmt.Fprintf(b, `  - id: %s
    description: %s
    match: >-
      %s
    pick:
`, quoteYAML(s.id), quoteYAML("Indicators in alerts of "+s.product), s.match)
	for _, p := range s.picks {
		fmt.Fprintf(b, "      # here %s\n      - path: %s\n", printable(p.example), quoteYAML(p.path))
		if p.regex != "" {
			fmt.Fprintf(b, "        regex: %s\n", quoteYAML(p.regex))
		}
		fmt.Fprintf(b, "        type: %s\n", p.typ)
	}
	if paths := s.context(); len(paths) > 0 {
		b.WriteString("    # Fields that are shown beside a hit.\n    context:\n")
		for _, p := range paths {
			fmt.Fprintf(b, "      - %s\n", quoteYAML(p))
		}
	}
}

func (s *suggestion) writeTests(b *strings.Builder, with *engine.Engine, anchor string, several bool) {
	of := ""
	if several {
		of = s.id + ": "
	}
	picks := func(alert []byte) []Pick {
		if with == nil {
			return nil
		}
		return Run(with, Case{Alert: alert}).Unexpected
	}
	fmt.Fprintf(b, "  - name: %s\n    alert: &%s %s\n", quoteYAML(of+"the alert that this was suggested from"), anchor, alertYAML(s.alert))
	writePicks(b, picks(s.alert))
	for i, alert := range s.more {
		fmt.Fprintf(b, "  - name: %s\n    alert: %s\n", quoteYAML(fmt.Sprintf("%sanother alert, %d", of, i+1)), alertYAML(alert))
		writePicks(b, picks(alert))
	}
	fmt.Fprintf(b, "  - name: %s\n    alert: *%s\n    set:\n", quoteYAML(of+"an alert of something else"), anchor)
	near := s.alert
	for _, n := range s.near {
		fmt.Fprintf(b, "      %s\n", n)
		if changed, err := n.apply(near); err == nil {
			near = changed
		}
	}
	writePicks(b, picks(near))
}

// alertYAML returns an alert as YAML, in one line.
func alertYAML(alert []byte) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(json.RawMessage(alert)) // it was parsed before
	return quoteYAML(strings.TrimSpace(b.String()))
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
