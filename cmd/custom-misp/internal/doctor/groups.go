package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"custom-misp/engine/wazuh"
	"custom-misp/engine/yamlfile"
)

// This file is about <group>: integratord compares the text between two commas with each group of an alert, as it is. So an
// item with a blank, with | or with a spelling of its own matches no alert, and nothing reports that.

// groupFaults says what is wrong with the <group> elements of a block: one finding with the list as it was meant, and one
// for groups that no rule has.
func (i *examination) groupFaults(b wazuh.Integration) []Finding {
	var elements []wazuh.Element
	var all groupList
	known := i.knownGroups()
	for _, e := range b.Elements {
		if e.Name == "group" {
			elements = append(elements, e)
			all.read(e.Text, known)
		}
	}
	if len(elements) > 1 {
		all.faults = append([]string{fmt.Sprintf("%d <group> elements, of which only the last counts", len(elements))}, all.faults...)
	}
	var findings []Finding
	if len(all.faults) > 0 {
		last := elements[len(elements)-1]
		remedy := i.joinGroups(elements, strings.Join(unique(all.items), ","))
		findings = append(findings, problem(remedy, "line %d: %s", last.Line, strings.Join(unique(all.faults), "; ")))
	}
	for _, item := range unique(all.unknown) {
		remedy := "take " + item + " out of <group> " + i.at(elements[0])
		if near := yamlfile.Nearest(item, sorted(known)); near != "" {
			remedy += ", or did you mean " + near + "?"
		}
		findings = append(findings, warning(remedy, "line %d: no rule has the group %q of <group>, so it matches no alert", elements[0].Line, item))
	}
	return findings
}

// joinGroups returns the command that makes one <group> with a list of several elements, which is the last.
func (i *examination) joinGroups(elements []wazuh.Element, list string) string {
	last := elements[len(elements)-1]
	sentence := "write <group>" + list + "</group> " + i.at(last) + ", and take each other <group> out"
	remedy := i.rewrite(last, list, sentence)
	for _, e := range elements[:len(elements)-1] {
		out := i.rewrite(e, "", sentence)
		if out == sentence && e.Line == last.Line { // it stands twice on one line
			return sentence
		}
		remedy = joined(out, remedy, sentence)
	}
	return remedy
}

// joined returns one command of sed for two that change the same file; the sentence if one of them is none.
func joined(one, two, sentence string) string {
	first, _, ok := strings.Cut(one, "' ")
	first, isSed := strings.CutPrefix(first, "sed -i ")
	rest, alsoSed := strings.CutPrefix(two, "sed -i ")
	if !ok || !isSed || !alsoSed {
		return sentence
	}
	if !strings.HasPrefix(first, "-e ") {
		first = "-e " + first
	}
	if !strings.HasPrefix(rest, "-e ") {
		rest = "-e " + rest
	}
	return "sed -i " + first + "' " + rest
}

func sorted(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }

func unique(list []string) []string {
	var out []string
	for _, item := range list {
		if !slices.Contains(out, item) {
			out = append(out, item)
		}
	}
	return out
}

// A groupList is the text of <group> as it was meant.
type groupList struct {
	items   []string
	faults  []string // what is written otherwise
	unknown []string // items that are groups of no rule
}

// read takes in the text of one element. known are the groups of all rules; none if they are not known.
func (l *groupList) read(text string, known map[string]bool) {
	if strings.ContainsAny(text, "|;") {
		l.faults = append(l.faults, "the items of <group> have commas between them and nothing else: with | or ; the text is one item, which matches no alert")
	}
	for item := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(item) != item {
			l.faults = append(l.faults, fmt.Sprintf("the item %q of <group> has a blank or line break in it and matches no alert", item))
		}
	}
	for _, item := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == '|' || r == ';' }) {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		if len(known) > 0 && !known[item] {
			if meant := spelt(item, known); meant != "" {
				l.faults = append(l.faults, fmt.Sprintf("the item %q of <group> is %s in the rules, and no alert has it as it is", item, meant))
				item = meant
			} else {
				l.unknown = append(l.unknown, item)
			}
		}
		l.items = append(l.items, item)
	}
}

// spelt returns the group that an item is but for capitals, marks and quotes; empty if there is none.
func spelt(item string, known map[string]bool) string {
	plain := func(s string) string {
		return strings.Map(func(r rune) rune {
			if unicode.IsLetter(r) || unicode.IsDigit(r) {
				return unicode.ToLower(r)
			}
			return -1
		}, s)
	}
	for _, word := range sorted(known) {
		if plain(word) == plain(item) {
			return word
		}
	}
	return ""
}

// moved are the prefixes of groups that analysisd takes out of rule.groups and puts into fields of their own.
var moved = []string{"pci_dss_", "gdpr_", "gpg13_", "hipaa_", "nist_800_53_", "tsc_"}

// enoughRules is how many rules a manager has at least; with fewer, some directory could not be read.
const enoughRules = 100

// knownGroups returns the groups of all rules; nil if they are not known.
func (i *examination) knownGroups() map[string]bool {
	known, n := map[string]bool{}, 0
	for _, f := range i.ruleFiles() {
		for _, r := range f.rules {
			n++
			for _, group := range r.Groups {
				known[group] = !slices.ContainsFunc(moved, func(prefix string) bool { return strings.HasPrefix(group, prefix) })
			}
		}
	}
	if n < enoughRules {
		return nil
	}
	maps.DeleteFunc(known, func(_ string, matches bool) bool { return !matches })
	return known
}
