package mappingtest

import (
	"maps"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"custom-misp/engine/yamlfile"
)

// A shape says what is at a path, without the value.
type shape string

const (
	shapeText    shape = "text"
	shapeNumber  shape = "number"
	shapeBool    shape = "bool"
	shapeObject  shape = "object"
	shapeList    shape = "list"    // of texts, numbers or bools
	shapeObjects shape = "objects" // a list of objects
)

// shapeOf returns the shape of a value; "" for null.
func shapeOf(v gjson.Result) shape {
	switch {
	case v.IsObject():
		return shapeObject
	case v.IsArray() && v.Get("0").IsObject():
		return shapeObjects
	case v.IsArray():
		return shapeList
	case v.Type == gjson.String:
		return shapeText
	case v.Type == gjson.Number:
		return shapeNumber
	case v.Type == gjson.True, v.Type == gjson.False:
		return shapeBool
	}
	return ""
}

// eachMember calls yield with the path, as gjson reads it, and the value of each member of an alert, at any depth. Of a list of
// objects, it does so for the members of each, with # in their paths. yield returns false for a member that is not to be looked into.
func eachMember(alert []byte, yield func(path string, v gjson.Result) bool) {
	membersOf("", gjson.ParseBytes(alert), 0, yield)
}

func membersOf(path string, object gjson.Result, depth int, yield func(string, gjson.Result) bool) {
	if depth >= maxNameDepth {
		return
	}
	object.ForEach(func(key, v gjson.Result) bool {
		step := escapeKey(key.Str)
		if step == "" {
			return true
		}
		name := strings.TrimPrefix(path+"."+step, ".")
		if !yield(name, v) {
			return true
		}
		switch shapeOf(v) {
		case shapeObject:
			membersOf(name, v, depth+1, yield)
		case shapeObjects:
			v.ForEach(func(_, item gjson.Result) bool {
				if item.IsObject() {
					membersOf(name+".#", item, depth+1, yield)
				}
				return true
			})
		case shapeText, shapeNumber, shapeBool, shapeList:
		}
		return true
	})
}

// shapes are the paths in some alerts, with what is there.
type shapes struct {
	at     map[string]shape
	sorted []seenPath
}

// A seenPath is a path with the forms in which it is compared.
type seenPath struct{ path, loose, parent, last string }

const maxShapes = 50_000 // paths

func shapesIn(alerts [][]byte) shapes {
	at := map[string]shape{}
	for _, alert := range alerts {
		eachMember(alert, func(path string, v gjson.Result) bool {
			if kind := shapeOf(v); kind != "" && (len(at) < maxShapes || at[path] != "") {
				at[path] = kind
			}
			return len(at) < maxShapes
		})
	}
	return newShapes(at)
}

func newShapes(at map[string]shape) shapes {
	s := shapes{at: at, sorted: make([]seenPath, 0, len(at))}
	for _, path := range slices.Sorted(maps.Keys(at)) {
		s.sorted = append(s.sorted, seenPath{path, loose(path), loose(parentOf(path)), looseStep(path)})
	}
	return s
}

// has reports whether a path, or all of it up to a query or a wildcard, is known. gjson paths that say more than names of
// members are not judged.
func (s shapes) has(path string) bool {
	if s.at[path] != "" {
		return true
	}
	plain, special := beforeSpecial(path)
	return special && (plain == "" || s.at[plain] != "")
}

// beforeSpecial returns a path up to what is no name in it, such as a query, a wildcard, an index or a modifier; special is false
// if there is nothing such.
func beforeSpecial(path string) (plain string, special bool) {
	steps := stepsOf(path)
	for i, step := range steps {
		if step == "#" && i+1 < len(steps) {
			continue
		}
		bare := strings.ReplaceAll(step, `\`, "")
		escaped := strings.Contains(step, `\`)
		if !escaped && strings.ContainsAny(step, `#*?()[]{}|@!"`) || strings.Trim(bare, "0123456789") == "" {
			return strings.Join(slices.DeleteFunc(steps[:i], func(s string) bool { return s == "" }), "."), true
		}
	}
	return path, false
}

// stepsOf splits a path at dots that no backslash stands before.
func stepsOf(path string) []string {
	var steps []string
	start := 0
	for i := 0; i < len(path); i++ {
		switch path[i] {
		case '\\':
			i++
		case '.':
			steps = append(steps, path[start:i])
			start = i + 1
		}
	}
	return append(steps, path[start:])
}

// loose is a path without what differs between spellings of the same: case, the # of lists, backslashes, _ and -.
func loose(path string) string {
	steps := slices.DeleteFunc(stepsOf(path), func(step string) bool { return step == "#" || step == "" })
	return strings.NewReplacer(`\`, "", "_", "", "-", "", " ", "").Replace(strings.ToLower(strings.Join(steps, ".")))
}

// nearest returns the path that one that is not known is probably meant to be, and what is different; both are "" if none is near.
// taken are paths that are not meant, since they are read already.
func (s shapes) nearest(path string, taken ...string) (near, why string) {
	form := loose(path)
	last := looseStep(path)
	var sameLast, sameObject []string
	parent := loose(parentOf(path))
	for _, known := range s.sorted {
		kind := s.at[known.path]
		switch {
		case kind == shapeObject, kind == shapeObjects, slices.Contains(taken, known.path):
			continue
		case known.loose == form:
			return known.path, difference(path, known.path)
		case known.last == last && onOneLine(known.parent, parent):
			sameLast = append(sameLast, known.path)
		case known.parent == parent:
			sameObject = append(sameObject, known.path)
		}
	}
	if len(sameLast) > 0 && len(last) > 1 {
		return slices.MinFunc(sameLast, func(a, b string) int { return len(stepsOf(a)) - len(stepsOf(b)) }), "it is elsewhere"
	}
	if near := yamlfile.Nearest(path, sameObject); near != "" && len(path) > 0 {
		if l := yamlfile.Nearest(lastStep(path), lastSteps(sameObject)); l != "" {
			return near, "its name is another"
		}
	}
	return "", ""
}

func lastSteps(paths []string) []string {
	steps := make([]string, len(paths))
	for i, p := range paths {
		all := stepsOf(p)
		steps[i] = all[len(all)-1]
	}
	return steps
}

// looseStep is the last step of a path in its loose form.
func looseStep(path string) string {
	steps := stepsOf(loose(path))
	return steps[len(steps)-1]
}

// onOneLine reports whether one of two objects is in the other.
func onOneLine(a, b string) bool {
	return a == b || strings.HasPrefix(a, b+".") || strings.HasPrefix(b, a+".")
}

func parentOf(path string) string {
	steps := stepsOf(path)
	return strings.Join(steps[:len(steps)-1], ".")
}

// difference says how a path has to be written that is the same as another but for its spelling.
func difference(path, known string) string {
	switch {
	case strings.Contains(known, `\.`) && !strings.Contains(path, `\.`):
		return "its name has a dot"
	case strings.Count(known, "#") > strings.Count(path, "#"):
		return "it is in a list of objects"
	case strings.Count(known, "#") < strings.Count(path, "#"):
		return "it is not in a list"
	case strings.EqualFold(known, path):
		return "its name is in another case"
	}
	return "it is spelled otherwise"
}

// members returns the names below the deepest object on the way to a path, and that object; none at the top of an alert.
func (s shapes) members(path string) (object string, names []string) {
	steps := stepsOf(path)
	for i := len(steps); i > 0; i-- {
		object = strings.Join(steps[:i], ".")
		switch s.at[object] {
		case shapeObject:
			return object, s.below(object)
		case shapeObjects:
			return object, s.below(object + ".#")
		case shapeText, shapeNumber, shapeBool, shapeList:
		}
	}
	return "", nil
}

func (s shapes) below(object string) []string {
	var names []string
	at, _ := slices.BinarySearchFunc(s.sorted, object+".", func(k seenPath, prefix string) int { return strings.Compare(k.path, prefix) })
	for _, known := range s.sorted[at:] {
		rest, ok := strings.CutPrefix(known.path, object+".")
		if !ok {
			break
		}
		if rest != "#" && len(stepsOf(rest)) == 1 {
			names = append(names, rest)
		}
	}
	return names
}
