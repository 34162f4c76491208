package mappingtest

import (
	"strings"

	"github.com/tidwall/gjson"

	"custom-misp/engine"
	"custom-misp/engine/yamlfile"
)

// This file finds what a path probably means that leads to nothing in an alert.

// Bounds of the search.
const (
	maxNeighbours = 2000 // members of an alert that are looked at
	maxBeside     = 8    // names that are listed
)

// AddNeighbours adds to an explanation, for each path of a pick or a condition that leads to nothing in the alert, the path that is
// probably meant. Of built-in mappings it does so only where the spelling differs: they know products that leave fields out.
func AddNeighbours(x *engine.Explanation, alert []byte) {
	root := gjson.ParseBytes(alert)
	for i := range x.Mappings {
		m := &x.Mappings[i]
		for c := range m.Conjuncts {
			for f := range m.Conjuncts[c].Fields {
				if v := &m.Conjuncts[c].Fields[f]; v.Value == "" && !gjson.GetBytes(alert, v.Path).Exists() {
					v.Near, _ = near(root, v.Path, m.Builtin)
				}
			}
		}
		for p := range m.Picks {
			if t := &m.Picks[p]; t.Found == "" && len(t.Names) == 0 && t.Left == "" {
				t.Near, t.Beside = near(root, t.Path, m.Builtin)
			}
		}
	}
}

// near returns the path in an alert that one which leads to nothing is most like; if there is none, the names beside it.
func near(root gjson.Result, path string, spellingOnly bool) (near string, beside []string) {
	steps := stepsOf(path)
	found, object, missing := resolve(root, steps)
	switch {
	case found != "" && found != path:
		return found, nil
	case spellingOnly:
		return "", nil
	}
	names := namesIn(object)
	if guess := yamlfile.Nearest(missing, names); guess != "" && len(missing) > 3 {
		at := strings.Join(append(stepsBefore(steps, missing), escapeKey(guess)), ".")
		rest := strings.TrimPrefix(strings.TrimPrefix(path, strings.Join(append(stepsBefore(steps, missing), missing), ".")), ".")
		if rest != "" {
			at += "." + rest
		}
		if root.Get(at).Exists() {
			return at, nil
		}
	}
	if at := elsewhere(root, steps[len(steps)-1]); at != "" {
		return at, nil
	}
	return "", names[:min(len(names), maxBeside)]
}

// stepsBefore returns the steps of a path before one.
func stepsBefore(steps []string, step string) []string {
	for i, s := range steps {
		if s == step {
			return append([]string{}, steps[:i]...)
		}
	}
	return nil
}

// resolve follows a path without regard to how names are spelt, and whether lists are in between. It returns the path as the
// alert has it. If that fails it returns the object in which it did, and the step that is missing there.
func resolve(at gjson.Result, steps []string) (found string, object gjson.Result, missing string) {
	var path []string
	for i := 0; i < len(steps); i++ {
		step := steps[i]
		switch {
		case step == "#" && at.IsArray():
			if i+1 == len(steps) {
				return strings.Join(append(path, step), "."), at, ""
			}
			path, at = append(path, step), at.Get("0")
			continue
		case step == "#":
			continue // the value is no list here
		case at.IsArray() && !isIndex(step):
			path, at = append(path, "#"), at.Get("0")
		}
		name, v, used := memberLike(at, steps[i:])
		if used == 0 {
			return "", at, step
		}
		path, at = append(path, escapeKey(name)), v
		i += used - 1
	}
	return strings.Join(path, "."), at, ""
}

func isIndex(step string) bool { return strings.Trim(step, "0123456789") == "" }

// memberLike returns the member of an object or list that the first steps of a path lead to: one with the same name, or one that is
// spelt otherwise, also if it has the dots of several steps in it. used is how many steps; 0 if there is no such member.
func memberLike(at gjson.Result, steps []string) (name string, v gjson.Result, used int) {
	if at.IsArray() {
		if v = at.Get(steps[0]); v.Exists() {
			return steps[0], v, 1
		}
		return "", v, 0
	}
	n := 0
	at.ForEach(func(key, value gjson.Result) bool {
		n++
		form := spelling(key.Str)
		for k := 1; k <= len(steps); k++ {
			same := form != "" && form == spelling(strings.Join(steps[:k], "."))
			exact := k == 1 && escapeKey(key.Str) == steps[0]
			if exact || same && used == 0 {
				name, v, used = key.Str, value, k
			}
			if exact {
				return false
			}
		}
		return n < maxNeighbours
	})
	return name, v, used
}

// spelling is a name without what differs between spellings of it.
func spelling(name string) string { return withoutSigns.Replace(strings.ToLower(name)) }

var withoutSigns = strings.NewReplacer(`\`, "", "_", "", "-", "", " ", "", ".", "")

// namesIn returns the names of an object, or of the first object in a list.
func namesIn(object gjson.Result) (names []string) {
	if object.IsArray() {
		object = object.Get("0")
	}
	if !object.IsObject() {
		return nil
	}
	object.ForEach(func(key, _ gjson.Result) bool {
		names = append(names, key.Str)
		return len(names) < maxNeighbours
	})
	return names
}

// elsewhere returns the path of a member with a name, at any depth outside of the envelope; empty if there is none.
func elsewhere(root gjson.Result, last string) (path string) {
	wanted := spelling(last)
	if wanted == "" || wanted == "#" {
		return ""
	}
	left := maxNeighbours
	var search func(prefix string, at gjson.Result, depth int)
	search = func(prefix string, at gjson.Result, depth int) {
		at.ForEach(func(key, v gjson.Result) bool {
			left--
			if depth == 0 && envelope[key.Str] {
				return true
			}
			step := prefix + escapeKey(key.Str)
			switch {
			case spelling(key.Str) == wanted && !v.IsObject():
				path = step
			case v.IsObject() && depth < maxLeafDepth:
				search(step+".", v, depth+1)
			case v.IsArray() && v.Get("0").IsObject() && depth < maxLeafDepth:
				search(step+".#.", v.Get("0"), depth+1)
			}
			return path == "" && left > 0
		})
	}
	search("", root, 0)
	return path
}

// stepsOf splits a path at the dots that no backslash stands before.
func stepsOf(path string) []string {
	var steps []string
	start := 0
	for i := 0; i < len(path); i++ {
		switch path[i] {
		case '\\':
			i++
		case '.':
			steps, start = append(steps, path[start:i]), i+1
		}
	}
	return append(steps, path[min(start, len(path)):])
}
