package misp

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// AnyTag reports whether one of the tags equals one of the patterns, without regard to case. A trailing * in a
// pattern stands for any rest.
func AnyTag(patterns, tags []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		p = strings.ToLower(p)
		start, open := strings.CutSuffix(p, "*")
		return slices.ContainsFunc(tags, func(tag string) bool {
			tag = strings.ToLower(tag)
			return tag == p || open && strings.HasPrefix(tag, start)
		})
	})
}

const (
	// MaxTags is how many tags of an attribute, and of an event, are kept: the first ones. Later ones are left out, but
	// for labels of the Traffic Light Protocol.
	MaxTags = 500
	// MaxTag is the longest tag, in bytes, that is kept; MISP's own are at most 255 characters long.
	MaxTag = 1024
)

// A TagList collects tags in the order in which they are added: each once, within [MaxTags] and [MaxTag]. The zero
// TagList is empty.
type TagList struct {
	tags []string
	seen map[string]bool // once there are more than few
	late [6]bool         // labels of TLP that were added after MaxTags
}

// few is how many tags are compared faster one by one than by a set.
const few = 16

// Add adds a tag, unless the list has it or has no room for it. An empty tag is none.
func (l *TagList) Add(tag string) {
	switch {
	case tag == "" || len(tag) > MaxTag:
		return
	case len(l.tags) >= MaxTags:
		l.addLate(tag)
		return
	case len(l.tags) < few:
		if slices.Contains(l.tags, tag) {
			return
		}
	default:
		if l.seen == nil {
			l.seen = set(l.tags)
		}
		if l.seen[tag] {
			return
		}
		l.seen[tag] = true
	}
	l.tags = append(l.tags, tag)
}

// addLate adds a label of TLP to a list that has no room for other tags.
func (l *TagList) addLate(tag string) {
	i := tlpLabel(tag)
	if i < 0 || l.late[i] || l.seen[tag] {
		return
	}
	l.late[i] = true
	l.tags = append(l.tags, tag)
}

// Tags returns what was added. The list must not be added to after that.
func (l *TagList) Tags() []string { return slices.Clip(l.tags) }

func set(tags []string) map[string]bool {
	s := make(map[string]bool, 4*len(tags))
	for _, t := range tags {
		s[t] = true
	}
	return s
}

// JoinTags returns the tags of an attribute: its own ones, then those of its event, without repeats and within
// [MaxTags]. The result may share memory with either.
func JoinTags(own, event []string) []string {
	switch {
	case len(own) == 0 && len(event) <= MaxTags:
		return slices.Clip(event)
	case len(event) == 0 && len(own) <= MaxTags:
		return slices.Clip(own)
	}
	var l TagList
	for _, t := range own {
		l.Add(t)
	}
	for _, t := range event {
		l.Add(t)
	}
	return l.Tags()
}

// OwnTags returns the tags of a that its event does not have.
func (a Attribute) OwnTags() []string {
	of := a.Event.Tags
	has := func(tag string) bool { return slices.Contains(of, tag) }
	if len(of) > few && len(a.Tags) > few {
		s := set(of)
		has = func(tag string) bool { return s[tag] }
	}
	var own []string
	for _, t := range a.Tags {
		if !has(t) {
			own = append(own, t)
		}
	}
	return own
}

// tlpLabels are the labels of the Traffic Light Protocol, strictest first; white is the name of clear in version 1.
var tlpLabels = []string{"red", "amber+strict", "amber", "green", "clear", "white"}

// TLP returns the strictest label of the Traffic Light Protocol among tags, without its prefix; empty for none.
func TLP(tags []string) string {
	strictest := len(tlpLabels)
	for _, t := range tags {
		if i := tlpLabel(t); i >= 0 {
			strictest = min(strictest, i)
		}
	}
	return word(tlpLabels, strictest)
}

// tlpLabel returns which of tlpLabels a tag is; -1 for none.
func tlpLabel(tag string) int {
	const prefix = "tlp:"
	if len(tag) < len(prefix) || !strings.EqualFold(tag[:len(prefix)], prefix) {
		return -1
	}
	return slices.IndexFunc(tlpLabels, func(label string) bool { return strings.EqualFold(tag[len(prefix):], label) })
}

// technique finds the ATT&CK id in a galaxy tag: misp-galaxy:mitre-attack-pattern="PowerShell - T1059.001".
var technique = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^misp-galaxy:mitre-.*\b(T[0-9]{4}(?:\.[0-9]{3})?)"$`)
})

// MitreIDs returns the ids of the ATT&CK techniques among galaxy tags, each once.
func MitreIDs(tags []string) []string {
	var ids []string
	seen := map[string]bool{}
	for _, t := range tags {
		if m := technique().FindStringSubmatch(t); m != nil && !seen[m[1]] {
			seen[m[1]] = true
			ids = append(ids, m[1])
		}
	}
	return ids
}
