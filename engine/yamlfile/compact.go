package yamlfile

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// This file has a form of declared structs for files that are part of a program: it is read in a small part of the time that
// YAML takes. It is text: each number and each length of a text ends with a colon. A struct is the number of each key that is
// given, from 1, with its value, and then 0; a list its length and its items; a text its length and the text itself. Before a
// struct stands the line of its first text.

// Compact returns the form of a struct that [Reader.Decode] can read, but for fields that hold any YAML. Of places, only the line
// of the first text in each struct is kept.
func Compact(v any) string { return string(compactStruct(nil, reflect.ValueOf(v))) }

func appendNumber(b []byte, n int) []byte { return append(strconv.AppendInt(b, int64(n), 10), ':') }

func appendText(b []byte, text string) []byte { return append(appendNumber(b, len(text)), text...) }

func compactStruct(b []byte, v reflect.Value) []byte {
	b = appendNumber(b, lineOf(v))
	for i, k := range keysOf(v.Type()) {
		if f := v.Field(k.index); !f.IsZero() {
			b = compactField(appendNumber(b, i+1), f)
		}
	}
	return appendNumber(b, 0)
}

// lineOf is the line of the first text of a struct, 0 if it has none.
func lineOf(v reflect.Value) int {
	for _, k := range keysOf(v.Type()) {
		switch f := v.Field(k.index).Interface().(type) {
		case Scalar:
			if f.Given() {
				return f.Node.Line
			}
		case []Scalar:
			if len(f) > 0 {
				return f[0].Node.Line
			}
		}
	}
	return 0
}

func compactField(b []byte, v reflect.Value) []byte {
	switch f := v.Interface().(type) {
	case Scalar:
		return appendText(b, f.Value)
	case Entries:
		b = appendNumber(b, len(f))
		for _, e := range f {
			b = appendText(appendText(b, e.Key.Value), e.Value.Value)
		}
		return b
	case *bool:
		if *f {
			return appendNumber(b, 1)
		}
		return appendNumber(b, 0)
	}
	switch v.Kind() {
	case reflect.Slice:
		b = appendNumber(b, v.Len())
		for i := range v.Len() {
			b = compactField(b, v.Index(i))
		}
		return b
	case reflect.Pointer:
		return compactField(b, v.Elem())
	case reflect.Struct:
		return compactStruct(b, v)
	}
	panic(fmt.Sprintf("yamlfile: no compact form of %s", v.Type()))
}

// errCompact is the error of a text that is not in the compact form of a struct.
var errCompact = errors.New("not the compact form of this version of the program")

// Restore sets the struct that to points to from its compact form. Its texts share the memory of data.
func Restore(data string, to any) error {
	r := restorer{data: data}
	r.restore(reflect.ValueOf(to).Elem())
	if r.wrong || r.data != "" {
		return errCompact
	}
	return nil
}

type restorer struct {
	data  string // that is left
	wrong bool
	node  *yaml.Node // of all texts of the struct that is read
}

func (r *restorer) number() int {
	text, rest, _ := strings.Cut(r.data, ":")
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		r.wrong, r.data = true, ""
		return 0
	}
	r.data = rest
	return n
}

func (r *restorer) text() string {
	n := r.number()
	if n > len(r.data) {
		r.wrong, r.data = true, ""
		return ""
	}
	text := r.data[:n]
	r.data = r.data[n:]
	return text
}

// length is the number of items of a list: each takes a byte or more.
func (r *restorer) length() int {
	n := r.number()
	if n > len(r.data) {
		r.wrong, r.data = true, ""
		return 0
	}
	return n
}

func (r *restorer) restore(v reflect.Value) {
	switch to := v.Addr().Interface().(type) {
	case *Scalar:
		*to = Scalar{r.text(), r.node}
	case *[]Scalar:
		*to = make([]Scalar, r.length())
		for i := range *to {
			(*to)[i] = Scalar{r.text(), r.node}
		}
	case *Entries:
		*to = make(Entries, r.length())
		for i := range *to {
			key := Scalar{r.text(), r.node}
			(*to)[i] = Entry{key, &yaml.Node{Kind: yaml.ScalarNode, Value: r.text()}}
		}
	case **bool:
		*to = new(r.number() == 1)
	default:
		r.restoreAny(v)
	}
}

func (r *restorer) restoreAny(v reflect.Value) {
	switch v.Kind() {
	case reflect.Slice:
		n := r.length()
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			r.restore(v.Index(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		r.restore(v.Elem())
	case reflect.Struct:
		outer := r.node
		r.node = &yaml.Node{Kind: yaml.ScalarNode, Line: r.number()}
		keys := keysOf(v.Type())
		for number := r.number(); number > 0 && !r.wrong; number = r.number() {
			if number > len(keys) {
				r.wrong = true
				return
			}
			r.restore(v.Field(keys[number-1].index))
		}
		r.node = outer
	default:
		r.wrong = true
	}
}
