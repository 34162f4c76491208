package yamlfile

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// A Shape describes files of one kind, as [Reader.Decode] reads them: by a struct with tags.
type Shape struct {
	// Top is a value of the struct, or a slice of it for files that hold a list.
	Top any
	// Enums has the values of fields with the tag enum, by the tag's text.
	Enums map[string][]string
	// Patterns has the regular expressions, in the syntax that RE2 and ECMAScript share, of texts with the tag pattern, by the tag's
	// text. Only the schema has them: a reader says more of what is wrong.
	Patterns map[string]string
}

// A Schema is a JSON Schema (draft 2020-12), or a part of one.
type Schema map[string]any

// JSONSchema returns the schema of the files; editors check and complete with it. That of the zero Shape allows anything.
func (s Shape) JSONSchema() Schema {
	if s.Top == nil {
		return Schema{}
	}
	return s.schema(reflect.TypeOf(s.Top))
}

func (s Shape) schema(t reflect.Type) Schema {
	switch t {
	case reflect.TypeFor[Scalar]():
		return Schema{"type": []string{"string", "number", "boolean"}}
	case reflect.TypeFor[*bool]():
		return Schema{"type": "boolean"}
	case reflect.TypeFor[*yaml.Node]():
		return Schema{}
	case reflect.TypeFor[Entries]():
		return Schema{"type": "object"}
	}
	switch t.Kind() {
	case reflect.Slice:
		return Schema{"type": "array", "items": s.schema(t.Elem())}
	case reflect.Pointer:
		return s.schema(t.Elem())
	case reflect.Struct:
		return s.object(t)
	}
	panic(fmt.Sprintf("yamlfile: no schema for %s", t))
}

// object is the schema of a struct.
func (s Shape) object(t reflect.Type) Schema {
	properties, required := map[string]Schema{}, []string{}
	for _, k := range keysOf(t) {
		p := s.schema(k.typ)
		if k.enum != "" {
			p = Schema{"enum": s.Enums[k.enum]}
			if values := s.Enums[k.enum]; len(values) == 1 {
				p = Schema{"enum": []any{values[0], yamlNumber(values[0])}}
			}
			if k.typ.Kind() == reflect.Slice {
				p = Schema{"type": "array", "items": p}
			}
		}
		if k.pattern != "" {
			p["pattern"] = s.Patterns[k.pattern]
		}
		p["description"] = k.doc
		properties[k.name] = p
		if k.need {
			required = append(required, k.name)
		}
	}
	object := Schema{"type": "object", "additionalProperties": false, "properties": properties, "required": required}
	if names := alternatives(t); len(names) > 0 {
		either := make([]Schema, 0, len(names))
		for _, name := range names {
			either = append(either, Schema{"required": []string{name}})
		}
		object["oneOf"] = either
	}
	if short := blankTag(t, "short"); short != "" {
		return Schema{"anyOf": []any{properties[short], object}}
	}
	return object
}

// yamlNumber returns what YAML makes of a text without quotes.
func yamlNumber(s string) any {
	var v any
	if err := yaml.Unmarshal([]byte(s), &v); err != nil {
		return s
	}
	return v
}

// Markdown returns tables of the keys: one for the top, then one for each kind of object in it, each under a
// heading of the given level. The zero Shape has none.
func (s Shape) Markdown(level int) string {
	if s.Top == nil {
		return ""
	}
	var b strings.Builder
	t := reflect.TypeOf(s.Top)
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	seen := map[reflect.Type]bool{}
	s.markdown(&b, t, level, seen)
	return b.String()
}

func (s Shape) markdown(b *strings.Builder, t reflect.Type, level int, seen map[reflect.Type]bool) {
	if seen[t] {
		return
	}
	seen[t] = true
	fmt.Fprintf(b, "%s %s\n\n| key | needed | meaning |\n|---|---|---|\n", strings.Repeat("#", level), upperFirst(whatIs(t)))
	var inner []reflect.Type
	for _, k := range keysOf(t) {
		need := ""
		if k.need {
			need = "yes"
		}
		if slices.Contains(alternatives(t), k.name) {
			need = "one of these"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", k.name, need, strings.ReplaceAll(k.doc, "|", `\|`))
		e := k.typ
		for e.Kind() == reflect.Slice || e.Kind() == reflect.Pointer {
			e = e.Elem()
		}
		if len(keysOfAny(e)) > 0 {
			inner = append(inner, e)
		}
	}
	b.WriteByte('\n')
	for _, e := range inner {
		s.markdown(b, e, level, seen)
	}
}

func keysOfAny(t reflect.Type) []key {
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[Entry]() {
		return nil
	}
	return keysOf(t)
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
