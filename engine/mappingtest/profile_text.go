package mappingtest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// profileVersion is the version of the format of a profile.
const profileVersion = "1"

// profileHead is how a profile begins, before its version.
const profileHead = "custom-misp profile "

const profileComment = `# What alerts look like, without a value of them. Written by custom-misp profile, read by custom-misp lint --profile.
# A kind is a decoder with the groups of its rules. * stands for names that are data themselves. Read it before you pass it on:
# a name of a field that is data in a way that cannot be told is in it.
`

// String returns the profile as text: a line for each name, sorted, so that two profiles can be compared by diff.
func (p *Profile) String() string {
	var b strings.Builder
	b.WriteString(profileHead + profileVersion + "\n" + profileComment)
	fmt.Fprintf(&b, "alerts\t%d\n", p.alerts)
	if p.more {
		b.WriteString("# There is more than is kept.\n")
	}
	data := map[*nameTree]map[string]bool{}
	for _, k := range p.sorted() {
		b.WriteString("\nkind\n")
		if k.decoder != "" {
			b.WriteString("decoder\t" + k.decoder + "\n")
		}
		for _, g := range k.groups {
			b.WriteString("group\t" + g + "\n")
		}
		for _, rule := range slices.Sorted(maps.Keys(k.rules)) {
			b.WriteString("rule\t" + rule + "\n")
		}
		fields := map[string]form{}
		for path, f := range k.fields {
			fields[p.rewrite(k, path, data)] |= f
		}
		for _, path := range slices.Sorted(maps.Keys(fields)) {
			b.WriteString("field\t" + path + "\t" + fields[path].String() + "\n")
		}
	}
	return b.String()
}

// ParseProfile reads what [Profile.String] writes. Lines with words that are not known, of a later release, are left out. Errors
// name the line.
func ParseProfile(text string) (*Profile, error) {
	p := NewProfile("")
	first, rest, _ := strings.Cut(text, "\n")
	version, ok := strings.CutPrefix(strings.TrimSpace(first), profileHead)
	switch {
	case !ok:
		return nil, errors.New("1: not a profile; write one with custom-misp profile ALERTS > FILE")
	case version != profileVersion:
		return nil, fmt.Errorf("1: a profile of version %q, and this program reads version %s; write it again with custom-misp profile", version, profileVersion)
	}
	var k *profiledKind
	number := 1
	for line := range strings.Lines(rest) {
		number++
		line = strings.TrimRight(line, "\r\n")
		word, value, _ := strings.Cut(line, "\t")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case word == "alerts":
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("%d: alerts is %q, and not a number", number, value)
			}
			p.alerts = n
		case word == "kind":
			k = &profiledKind{rules: map[string]bool{}, fields: map[string]form{}}
			p.kinds[strconv.Itoa(number)] = k
		case k == nil:
			return nil, fmt.Errorf("%d: %q is before the first kind", number, word)
		default:
			k.read(word, value)
		}
	}
	return p, nil
}

// read reads a line of a kind.
func (k *profiledKind) read(word, value string) {
	switch word {
	case "decoder":
		k.decoder = value
	case "group":
		k.groups = append(k.groups, value)
	case "rule":
		k.rules[value] = true
	case "field":
		path, forms, _ := strings.Cut(value, "\t")
		k.fields[path] |= parseForm(forms)
	}
}
