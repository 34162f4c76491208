package yamlfile

import (
	"fmt"
	"reflect"
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
// Fields are [Scalar], []Scalar, *bool, *yaml.Node (anything), structs of the same kind, pointers to and slices of
// such structs. A blank field with the tag what names the struct in faults.
func (r *Reader) Decode(n *yaml.Node, to any) {
	r.decode(n, reflect.ValueOf(to).Elem())
}

func (r *Reader) decode(n *yaml.Node, v reflect.Value) {
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
				index: i, name: name, doc: f.Tag.Get("doc"), enum: f.Tag.Get("enum"), need: f.Tag.Get("need") == "true",
				mayBeEmpty: f.Tag.Get("empty") == "ok", typ: f.Type,
			})
		}
	}
	keyCache.Store(t, keys)
	return keys
}

// whatIs returns what a struct is called in faults.
func whatIs(t reflect.Type) string {
	if f, ok := t.FieldByName("_"); ok {
		return f.Tag.Get("what")
	}
	return strings.ToLower(t.Name())
}
