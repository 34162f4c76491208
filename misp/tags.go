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

// tlpLabels are the labels of the Traffic Light Protocol, strictest first; white is the name of clear in version 1.
var tlpLabels = []string{"red", "amber+strict", "amber", "green", "clear", "white"}

// TLP returns the strictest label of the Traffic Light Protocol among tags, without its prefix; empty for none.
func TLP(tags []string) string {
	for _, label := range tlpLabels {
		if slices.ContainsFunc(tags, func(t string) bool { return strings.EqualFold(t, "tlp:"+label) }) {
			return label
		}
	}
	return ""
}

// technique finds the ATT&CK id in a galaxy tag: misp-galaxy:mitre-attack-pattern="PowerShell - T1059.001".
var technique = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^misp-galaxy:mitre-.*\b(T[0-9]{4}(?:\.[0-9]{3})?)"$`)
})

// MitreIDs returns the ids of the ATT&CK techniques among galaxy tags, each once.
func MitreIDs(tags []string) []string {
	var ids []string
	for _, t := range tags {
		if m := technique().FindStringSubmatch(t); m != nil && !slices.Contains(ids, m[1]) {
			ids = append(ids, m[1])
		}
	}
	return ids
}
