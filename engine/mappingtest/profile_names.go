package mappingtest

import (
	"encoding/json"
	"hash/maphash"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"custom-misp/engine"
)

// This file decides which names of members are data, so that they do not get into a profile.

// anyName stands for names of members that are data. It is the wildcard of gjson.
const anyName = "*"

// A nameTree holds the names of the members of objects at one place of alerts.
type nameTree struct {
	children map[string]*nameTree
	alerts   int // that have it
	last     int // the alert that was counted last
	objects  int // times that it is an object
}

// child returns the member of an object with a name; nil if there are too many names.
func (p *Profile) child(in *nameTree, name string) *nameTree {
	c := in.children[name]
	if c != nil {
		return c
	}
	if p.size >= maxProfiledNames {
		p.more = true
		return nil
	}
	p.size++
	if in.children == nil {
		in.children = map[string]*nameTree{}
	}
	c = &nameTree{}
	in.children[name] = c
	return c
}

func (p *Profile) merge(t, o *nameTree) {
	t.alerts += o.alerts
	t.objects += o.objects
	for name, from := range o.children {
		if to := p.child(t, name); to != nil {
			p.merge(to, from)
		}
	}
}

// Bounds by which names below one object are data.
const (
	seldom       = 20 // a name in fewer than one of so many alerts that have the object is rare
	mostRare     = 12 // rare names
	alikeObjects = 3  // objects with the same members, by names that are not known
)

// dataNames returns which of the members of an object have names that are data.
func (p *Profile) dataNames(t *nameTree) map[string]bool {
	data := map[string]bool{}
	var own, rare []string
	alike := map[string][]string{}
	all := t.objects
	for name, c := range t.children {
		all = max(all, c.alerts)
		bare := unescapeStep(name)
		if name == anyName || p.known[name] {
			continue
		}
		own = append(own, name)
		if p.values[maphash.String(seed, strings.ToLower(bare))] {
			data[name] = true
		}
		if members := c.signature(); members != "" {
			alike[members] = append(alike[members], name)
		}
	}
	for _, name := range own {
		if t.children[name].alerts*seldom < all {
			rare = append(rare, name)
		}
	}
	mark := func(names []string) {
		for _, name := range names {
			data[name] = true
		}
	}
	if len(rare) > mostRare {
		mark(rare)
	}
	for _, names := range alike {
		if len(names) >= alikeObjects {
			mark(names)
		}
	}
	return data
}

// signature is the names of the members of an object that is nothing else; empty for others.
func (t *nameTree) signature() string {
	if t.objects == 0 || len(t.children) == 0 {
		return ""
	}
	names := make([]string, 0, len(t.children))
	for name := range t.children {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, "\t")
}

// rewrite returns a path in which names that are data are *.
func (p *Profile) rewrite(k *profiledKind, path string, data map[*nameTree]map[string]bool) string {
	steps := stepsOf(path)
	t := &k.names
	for i, step := range steps {
		if step == "#" || t == nil {
			continue
		}
		names, judged := data[t]
		if !judged {
			names = p.dataNames(t)
			data[t] = names
		}
		if names[step] {
			steps[i] = anyName
		}
		t = t.children[step]
	}
	return strings.Join(steps, ".")
}

func unescapeStep(step string) string {
	if !strings.Contains(step, `\`) {
		return step
	}
	return regexp.MustCompile(`(?s)\\(.)`).ReplaceAllString(step, "$1")
}

var (
	longDigits  = regexp.MustCompile(`[0-9]{4}`)
	hexadecimal = regexp.MustCompile(`^[0-9A-Fa-f:-]{8,}$`)
	securityID  = regexp.MustCompile(`^S-1-[0-9-]+$`)
)

// isDataName reports whether a name of a member is data by its form: an address, a name of a host or a user, a number, an
// identifier, a date, a path.
func isDataName(name string) bool {
	if _, _, indicator := engine.Recognise(name); indicator {
		return true
	}
	unusual := func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-. @()?", r)
	}
	digits := 0
	for _, r := range name {
		if unicode.IsDigit(r) {
			digits++
		}
	}
	switch {
	case len(name) > 64, strings.ContainsFunc(name, unusual), strings.LastIndexByte(name, '@') > 0:
		return true
	case longDigits.MatchString(name), digits*2 > len(name), securityID.MatchString(name), looksLikeAddress(name):
		return true
	}
	return digits > 0 && hexadecimal.MatchString(name) || looksLikeHost(name)
}

func looksLikeAddress(name string) bool {
	host, _, _ := strings.Cut(name, "/")
	_, err := netip.ParseAddr(strings.ReplaceAll(host, "_", "."))
	return err == nil
}

// looksLikeHost reports whether a name is that of a host: WS-0142, dc01.corp.example, fileserver-03.
func looksLikeHost(name string) bool {
	return strings.Count(name, ".") > 1 || hostForm.MatchString(name)
}

var hostForm = regexp.MustCompile(`^(?i:[a-z][a-z0-9]*-[a-z0-9-]*[0-9][a-z0-9-]*|[a-z0-9-]+\.(?:local|lan|corp|internal|home|intranet|private|example))$`)

// jsonText reports whether a text is a JSON object or list.
func jsonText(s string) bool {
	return len(s) > 1 && (s[0] == '{' || s[0] == '[') && json.Valid([]byte(s))
}
