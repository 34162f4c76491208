package mappingtest

import (
	"fmt"
	"strings"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
	"go.yaml.in/yaml/v4"

	"custom-misp/engine/yamlfile"
)

// This file makes the changes of a case to its alert.

// The two keys of a case that change the alert.
const (
	wordSet = "set"
	wordAdd = "add"
)

const plainPath = "write a plain path, like data.srcip"

// change makes the changes of a case: {gjson path: value}; a null below set takes the field away. A path that set has and the
// alert has not is a fault: a test in which nothing is picked would pass because of a misspelt path.
func (l loader) change(alert []byte, n *yaml.Node, word string) []byte {
	if n.Kind != yaml.MappingNode {
		l.Fault(n, "write {path: value}", "%s must be a set of keys and values, not %s", word, yamlfile.KindOf(n))
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Value == "" {
			l.Fault(key, plainPath, "%s has an empty path", word)
			return nil
		}
		var changed []byte
		var err error
		if v := l.value(value, word+" "+key.Value); v == nil {
			changed, err = sjson.DeleteBytes(alert, key.Value)
		} else {
			changed, err = sjson.SetBytes(alert, key.Value, v)
		}
		if err != nil {
			l.Fault(key, plainPath, "%s %s: %v", word, key.Value, err)
			return nil
		}
		switch {
		case word == wordAdd && l.Resolve(value).ShortTag() == "!!null":
			l.Fault(key, "write it below set, which takes fields away", "add %s: null adds nothing", key.Value)
		case word == wordSet && !gjson.GetBytes(alert, readPath(key.Value)).Exists():
			l.Fault(key, missingRemedy(alert, key.Value), "set %s: the alert has no such field", key.Value)
		}
		alert = changed
	}
	return alert
}

// readPath returns a path for reading: in one for writing, a colon before a number says that it is a name.
func readPath(path string) string {
	return strings.ReplaceAll(strings.TrimPrefix(path, ":"), ".:", ".")
}

// missingRemedy says what to write for a path that an alert does not have.
func missingRemedy(alert []byte, path string) string {
	const add = "write it below add, which adds fields"
	parent, rest, object := "", path, gjson.ParseBytes(alert)
	for {
		step, behind := cutStep(rest)
		inner := object.Get(readPath(step))
		if inner.Exists() {
			parent, rest, object = parent+step+".", behind, inner
			continue
		}
		var names []string
		if object.IsObject() {
			object.ForEach(func(key, _ gjson.Result) bool {
				names = append(names, escapeKey(key.Str))
				return len(names) < maxMembers
			})
		}
		if known := yamlfile.Nearest(step, names); known != "" {
			return fmt.Sprintf("did you mean %q? %s", parent+known, add)
		}
		return add
	}
}

// cutStep cuts a path at its first dot that no backslash stands before.
func cutStep(path string) (step, rest string) {
	for i := 0; i < len(path); i++ {
		switch path[i] {
		case '\\':
			i++
		case '.':
			return path[:i], path[i+1:]
		}
	}
	return path, ""
}
