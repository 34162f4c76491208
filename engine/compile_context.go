package engine

import (
	"strings"

	"github.com/tidwall/gjson"
)

// This file has the key context of a mapping: values of the alert that its events show.

// contextField is a value of the alert that goes into the event, under a key.
type contextField struct{ key, path string }

// text returns what the event shows of a value; "" if it shows nothing.
func (c contextField) text(v gjson.Result) string {
	s := strings.Join(scalars(nil, v, 0), ", ")
	if isPlaceholder(strings.TrimSpace(s)) {
		return ""
	}
	return unescapePath(s)
}

// scalars appends the texts of a scalar, or of those in an array.
func scalars(texts []string, v gjson.Result, level int) []string {
	switch {
	case v.IsArray() && level <= maxNesting:
		v.ForEach(func(_, item gjson.Result) bool {
			texts = scalars(texts, item, level+1)
			return true
		})
	case v.Type != gjson.JSON && v.Type != gjson.Null:
		texts = append(texts, v.String())
	}
	return texts
}

var contextNameForm = lazily(`^[A-Za-z][A-Za-z0-9_-]{0,39}$`)

// compileContext returns what a mapping shows. Each has the key that the author names, or one made from its path.
func (r reader) compileContext(declared []declaredContext) []contextField {
	fields := make([]contextField, len(declared))
	var unnamed []int
	var paths []string
	named := map[string]declaredContext{}
	for i, d := range declared {
		r.checkPath(d.Path, "a context path")
		fields[i].path = d.Path.Value
		if !d.Name.Given() {
			unnamed, paths = append(unnamed, i), append(paths, d.Path.Value)
			continue
		}
		name := d.Name.Value
		if !contextNameForm().MatchString(name) {
			r.Fault(d.Name.Node, "use letters, digits, _ and -, a letter first, 40 at most", "context name %q is not a usable name", name)
		}
		if other, taken := named[name]; taken {
			r.Fault(d.Name.Node, "give each path a name of its own", "context name %q is already taken in line %d, by %s", name, other.Name.Node.Line, other.Path.Value)
		}
		named[name], fields[i].key = d, name
	}
	for n, key := range contextKeys(paths) {
		d := declared[unnamed[n]]
		fields[unnamed[n]].key = key
		if other, taken := named[key]; taken {
			r.Fault(other.Name.Node, "choose another, or give that path a name too", "context name %q is also the key of %s in line %d", key, d.Path.Value, d.line())
		}
	}
	return fields
}

// line is that of the path, 0 if there is none.
func (d declaredContext) line() int {
	if d.Path.Node == nil {
		return 0
	}
	return d.Path.Node.Line
}

// lintContext warns of a path that is shown twice.
func (r reader) lintContext(declared []declaredContext) {
	first := map[string]int{}
	for _, d := range declared {
		r.lintPath(d.Path, 0, d.Path.Value)
		if line := first[d.Path.Value]; line > 0 {
			r.Warn(d.Path.Node, "remove one of them", "context shows %s twice, first in line %d", d.Path.Value, line)
		} else {
			first[d.Path.Value] = d.line()
		}
	}
}

// contextKeys shortens gjson paths to the keys that they get in an event: the last name of the path, with as many of the
// names before it as make it different from the others.
func contextKeys(paths []string) []string {
	keys := make([]string, len(paths))
	names := make([]int, len(paths))
	for round := 1; round <= 20; round++ {
		count := map[string]int{}
		for i, p := range paths {
			keys[i] = contextKey(p, names[i]+1)
			count[keys[i]]++
		}
		if len(count) == len(paths) {
			break
		}
		for i := range keys {
			if count[keys[i]] > 1 {
				names[i]++
			}
		}
	}
	return keys
}

func contextKey(path string, names int) string {
	parts := strings.FieldsFunc(path, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-' && r != ' '
	})
	parts = parts[max(0, len(parts)-names):]
	return strings.ReplaceAll(strings.Join(parts, "_"), " ", "_")
}
