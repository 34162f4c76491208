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
