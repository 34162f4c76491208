package yamlfile

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v4"
)

// Decode reads a YAML mapping into the struct that to points to. The tags of its fields say how:
//
//	key:"name"    the key in the file
//	need:"true"   a file without it has a fault
//	doc:"…"       what it means, for the schema and the reference
//	empty:"ok"    the list may be empty
//	enum:"name"   the values it can have, named in [Shape.Enums]
//
// Fields are [Scalar], []Scalar, [Entries], *bool, *yaml.Node (anything), structs of the same kind, pointers to and slices of
// such structs. A blank field with the tag what names the struct in faults; its tag oneof names keys, with blanks between
// them, of which a file needs exactly one; its tag short names a key whose value can stand alone, in place of an object with
// only this key.
func (r *Reader) Decode(n *yaml.Node, to any) {
	r.decode(n, reflect.ValueOf(to).Elem())
}

func (r *Reader) decode(n *yaml.Node, v reflect.Value) {
	if short := blankTag(v.Type(), "short"); short != "" && r.alone(n, v, short) {
		return
	}
	fields := map[string]Field{}
	var required []string
	for _, k := range keysOf(v.Type()) {
		fields[k.name] = r.field(k.name, v.Field(k.index))
		if k.mayBeEmpty {
			fields[k.name] = unlessEmpty(r, fields[k.name])
		}
		if k.need {
			required = append(required, k.name)
		}
	}
	r.Object(n, whatIs(v.Type()), fields, required...)
	r.oneOf(n, v.Type())
}

// alone reads what stands for an object with one key only, and reports whether it did. What can be neither has a fault.
func (r *Reader) alone(n *yaml.Node, v reflect.Value, short string) bool {
	switch value := r.Resolve(n); value.Kind {
	case yaml.MappingNode:
		return false
	case yaml.ScalarNode:
		for _, k := range keysOf(v.Type()) {
			if k.name == short {
				r.field(whatIs(v.Type()), v.Field(k.index))(n)
			}
		}
	default:
		r.Fault(n, "write a "+short+", or {"+short+": …}", "%s must be a %s or a set of keys and values, not %s", whatIs(v.Type()), short, KindOf(value))
	}
	return true
}

// oneOf notes a fault unless an object has exactly one of the keys of the tag oneof. One that is misspelt may be it.
func (r *Reader) oneOf(n *yaml.Node, t reflect.Type) {
	names, object := alternatives(t), r.Resolve(n)
	if len(names) == 0 || object.Kind != yaml.MappingNode {
		return
	}
	known := make([]string, 0, t.NumField())
	for _, k := range keysOf(t) {
		known = append(known, k.name)
	}
	slices.Sort(known)
	var given []*yaml.Node
	for i := 0; i < len(object.Content); i += 2 {
		key := object.Content[i]
		if slices.Contains(names, key.Value) || !slices.Contains(known, key.Value) && slices.Contains(names, Nearest(key.Value, known)) || key.Value == "<<" {
			given = append(given, key)
		}
	}
	switch {
	case len(given) == 0:
		r.Fault(object, "or the key "+strconv.Quote(names[1]), "%s lacks the key %q", whatIs(t), names[0])
	case len(given) > 1:
		r.Fault(given[1], "keep one of them", "%s has both %q and %q", whatIs(t), given[0].Value, given[1].Value)
	}
}

// alternatives returns the keys of the tag oneof: two, or none.
func alternatives(t reflect.Type) []string {
	return strings.Fields(blankTag(t, "oneof"))
}

// blankTag returns a tag of the blank field of a struct.
func blankTag(t reflect.Type, name string) string {
	f, _ := t.FieldByName("_")
	return f.Tag.Get(name)
}

// Entries are the keys and values of an object whose keys are the author's own, in the order of the file.
type Entries []Entry

// An Entry is one of them.
type Entry struct {
	Key   Scalar
	Value *yaml.Node // resolved
}

// entries returns a field that reads an object with any keys. Keys that are given twice have a fault.
func (r *Reader) entries(what string, to *Entries) Field {
	return func(n *yaml.Node) {
		object := r.Resolve(n)
		if object.Kind != yaml.MappingNode {
			r.Fault(n, "write {name: value}", "%s must be a set of keys and values, not %s", what, KindOf(object))
			return
		}
		first := map[string]int{}
		for i := 0; i+1 < len(object.Content) && !r.exhausted(n); i += 2 {
			key, value := object.Content[i], r.Resolve(object.Content[i+1])
			switch {
			case key.Kind != yaml.ScalarNode:
				r.Fault(key, "write a name", "a key of %s must be a text, not %s", what, KindOf(key))
			case first[key.Value] > 0:
				r.Fault(key, "keep one of them", "key %q is given twice, first in line %d", key.Value, first[key.Value])
			case r.isNull(value):
				r.Fault(key, "give it a value or leave the key out", "key %q has no value", key.Value)
			default:
				first[key.Value] = key.Line
				*to = append(*to, Entry{Scalar{key.Value, key}, value})
			}
		}
	}
}

// unlessEmpty reads a list with read, and nothing from one without items.
func unlessEmpty(r *Reader, read Field) Field {
	return func(n *yaml.Node) {
		if list := r.Resolve(n); list.Kind != yaml.SequenceNode || len(list.Content) > 0 {
			read(n)
		}
	}
}

func (r *Reader) field(name string, v reflect.Value) Field {
	switch to := v.Addr().Interface().(type) {
	case *Scalar:
		return r.Text(name, to)
	case *[]Scalar:
		return r.Texts(name, to)
	case *Entries:
		return r.entries(name, to)
	case **bool:
		return r.Flag(name, to)
	case **yaml.Node:
		return func(n *yaml.Node) { *to = r.Resolve(n) }
	}
	switch v.Kind() {
	case reflect.Slice:
		return func(n *yaml.Node) {
			r.List(n, name, func(n *yaml.Node) {
				item := reflect.New(v.Type().Elem()).Elem()
				r.decode(n, item)
				v.Set(reflect.Append(v, item))
			})
		}
	case reflect.Pointer:
		return func(n *yaml.Node) {
			v.Set(reflect.New(v.Type().Elem()))
			r.decode(n, v.Elem())
		}
	}
	panic(fmt.Sprintf("yamlfile: cannot decode %s into %s", name, v.Type()))
}

// A key is what the tags of a field say.
type key struct {
	index      int
	name, doc  string
	enum       string
	pattern    string
	need       bool
	mayBeEmpty bool
	typ        reflect.Type
}

// keyCache has the keys of each struct type: to read tags takes longer than to read a mapping.
var keyCache sync.Map // reflect.Type → []key

func keysOf(t reflect.Type) []key {
	if keys, ok := keyCache.Load(t); ok {
		return keys.([]key)
	}
	var keys []key
	for i := range t.NumField() {
		f := t.Field(i)
		if name := f.Tag.Get("key"); name != "" {
			keys = append(keys, key{
				index: i, name: name, doc: f.Tag.Get("doc"), enum: f.Tag.Get("enum"), pattern: f.Tag.Get("pattern"), need: f.Tag.Get("need") == "true",
				mayBeEmpty: f.Tag.Get("empty") == "ok", typ: f.Type,
			})
		}
	}
	keyCache.Store(t, keys)
	return keys
}

// whatIs returns what a struct is called in faults.
func whatIs(t reflect.Type) string {
	return cmp.Or(blankTag(t, "what"), strings.ToLower(t.Name()))
}
