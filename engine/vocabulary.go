package engine

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"custom-misp/engine/yamlfile"
)

// A Vocabulary is what names groups, decoders and fields have in alerts, without any value. [LintWith] tells a name that is
// spelled otherwise by it. It is immutable. The nil Vocabulary knows nothing.
type Vocabulary struct {
	groups, decoders, paths names
	ids                     map[string]string // of built-in mappings, with their file
}

// names are names by a form without what differs between spellings.
type names struct {
	all  map[string]bool
	fold map[string]string
}

func (n *names) add(name string) { n.addAs(name, folded(name)) }

func (n *names) addAs(name, fold string) {
	if n.all == nil {
		n.all, n.fold = map[string]bool{}, map[string]string{}
	}
	if !n.all[name] {
		n.all[name] = true
		n.fold[fold] = name
	}
}

var foldName = strings.NewReplacer("_", "", "-", "", " ", "")

func folded(name string) string { return foldName.Replace(strings.ToLower(name)) }

// The first words of the lines of a vocabulary file.
const (
	wordGroup   = "group"
	wordDecoder = "decoder"
	wordField   = "field"
	wordMapping = "mapping"
)

// ParseVocabulary reads a vocabulary file: a line for each name, of a word (group, decoder, field, or mapping for the id of a
// built-in one) and the name with a tab between them. A line with another word is left out.
func ParseVocabulary(text string) *Vocabulary {
	v := &Vocabulary{ids: map[string]string{}}
	for line := range strings.Lines(text) {
		columns := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(columns) < 2 {
			continue
		}
		switch name := columns[1]; columns[0] {
		case wordGroup:
			v.groups.add(name)
		case wordDecoder:
			v.decoders.add(name)
		case wordField:
			v.addPath(name)
		case wordMapping:
			v.ids[name] = strings.Join(columns[2:], " ")
		}
	}
	return v
}

// addPath adds a path and those to the objects that it is in.
func (v *Vocabulary) addPath(path string) {
	for i, c := range path {
		if c == '.' && i > 0 && path[i-1] != '\\' {
			v.paths.addAs(path[:i], strings.ToLower(path[:i]))
		}
	}
	v.paths.addAs(path, strings.ToLower(path))
}

func (v *Vocabulary) decoderNames() names {
	if v == nil {
		return names{}
	}
	return v.decoders
}

// spelled returns the name that a text is another spelling of; "" if it is one, or like none.
func (v *Vocabulary) spelled(known names, text string) string {
	if v == nil || known.all[text] {
		return ""
	}
	return known.fold[folded(text)]
}

// impossibleGroup says why no alert has a group, and what to write; "" if it may.
func (v *Vocabulary) impossibleGroup(text string) (why, remedy string) {
	switch {
	case strings.TrimSpace(text) != text && text != "":
		return "", "" // warnOfMatch says so
	case text == "":
		return "no group has an empty name", "name a group"
	case strings.Contains(text, ","):
		parts := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
		for i, part := range parts {
			parts[i] = fmt.Sprintf("%q in groups", part)
		}
		return "a group has no comma: it stands between groups", "write " + strings.Join(parts, " and ")
	case v == nil || v.groups.all[text]:
		return "", ""
	}
	if known := v.spelled(v.groups, text); known != "" {
		return fmt.Sprintf("the group is spelled %q in the built-in mappings and alerts", known), fmt.Sprintf("write %q", known)
	}
	if unicode.IsUpper([]rune(text)[0]) && strings.ToUpper(text) != text || strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII }) {
		return fmt.Sprintf("no known rule has a group like %q: groups are compared with their case, and are written in small letters of ASCII", text),
			fmt.Sprintf("write %q, or add a test with an alert that has the group", strings.ToLower(text))
	}
	if near := v.nearGroup(text); near != "" {
		return fmt.Sprintf("no known rule has the group %q", text), fmt.Sprintf("did you mean %q? If not, add a test with an alert that has the group", near)
	}
	return "", ""
}

// nearGroup returns a known group of which text is probably a misspelling: one letter is another.
func (v *Vocabulary) nearGroup(text string) string {
	if len(text) < 6 {
		return ""
	}
	withoutDigits := func(s string) string { return strings.Trim(s, "0123456789") }
	near := yamlfile.Nearest(text, slices.Sorted(keysWithin(v.groups.all, len(text))))
	if near == "" || near[0] != text[0] || withoutDigits(near) == withoutDigits(text) || len(near) < 6 {
		return ""
	}
	if !oneLetterApart(text, near) {
		return ""
	}
	return near
}

// keysWithin yields the names that are as long as n, or one letter shorter or longer.
func keysWithin(all map[string]bool, n int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range all {
			if d := len(name) - n; d >= -1 && d <= 1 && !yield(name) {
				return
			}
		}
	}
}

// oneLetterApart reports whether one letter is left out, added, changed, or swapped with the next.
func oneLetterApart(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) < len(b) {
		return len(b) == len(a)+1 && a[i:] == b[i+1:]
	}
	if i == len(a) {
		return false
	}
	swapped := i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
	return a[i+1:] == b[i+1:] || swapped
}

// ofProduct are the objects below data that only one product has, so that its fields have one spelling.
var ofProduct = setOf("win aws gcp office365 osquery audit virustotal ms-graph docker github okta")

// spelledPath returns the known path that a path is in another case, with what follows; "" if its names are known or new.
func (v *Vocabulary) spelledPath(path string) string {
	if v == nil || v.paths.all[path] {
		return ""
	}
	names := strings.Split(path, ".")
	for i := len(names); i > 0; i-- {
		known := v.paths.fold[strings.ToLower(strings.Join(names[:i], "."))]
		if known == "" {
			continue
		}
		if i >= 3 && ofProduct()[strings.ToLower(names[1])] || i >= 2 && names[0] != "data" {
			if prefix := strings.Join(names[:i], "."); !v.paths.all[prefix] {
				return strings.Join(append([]string{known}, names[i:]...), ".")
			}
		}
		return ""
	}
	return ""
}

// hasTop reports whether a name is known at the top of an alert.
func (v *Vocabulary) hasTop(name string) bool { return v != nil && v.paths.all[name] }
