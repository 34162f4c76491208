package engine

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// A Source is a mapping file that somebody has read.
type Source struct {
	// Name appears in faults: a path, or what a reader will recognise.
	Name string
	// Data is the YAML text, UTF-8.
	Data []byte
}

// The shapes of a mapping file as it is written, before anything in it is understood. They never leave this
// package; README.md and mapping.schema.json describe them to authors.
type (
	declaredFile struct {
		version  scalar
		source   scalar
		mappings []declaredMapping
	}
	declaredMapping struct {
		at          *yaml.Node
		id          scalar
		description scalar
		match       scalar
		picks       []declaredPick
		context     []scalar
		lookup      *Filter
	}
	declaredPick struct {
		at    *yaml.Node
		path  scalar
		split scalar
		regex scalar
		typ   scalar
		keep  scalar
	}
	// A scalar is a value and where it stands; node is nil if it was left out.
	scalar struct {
		value string
		node  *yaml.Node
	}
)

// maxNodes bounds how often a file may repeat itself through aliases.
const maxNodes = 100_000

// A reader turns one YAML file into its declared shape and collects every fault on the way.
type reader struct {
	file   string
	lines  []string
	nodes  int
	faults Faults
}

func newReader(src Source) *reader {
	return &reader{
		file:  src.Name,
		lines: strings.Split(strings.ReplaceAll(string(src.Data), "\r\n", "\n"), "\n"),
	}
}

// fault notes a fault at n, or at the start of the file if n is nil.
func (r *reader) fault(n *yaml.Node, remedy, format string, args ...any) {
	p := place{1, 1}
	if n != nil && n.Line > 0 {
		p = place{n.Line, n.Column}
	}
	r.faultAt(p, remedy, format, args...)
}

func (r *reader) faultAt(p place, remedy, format string, args ...any) {
	f := Fault{File: r.file, Line: p.line, Column: p.column, Message: fmt.Sprintf(format, args...), Remedy: remedy}
	if p.line >= 1 && p.line <= len(r.lines) {
		f.Text = r.lines[p.line-1]
	}
	r.faults = append(r.faults, f)
}

// document parses the file and returns its one top node; nil after a fault.
func (r *reader) document(data []byte) *yaml.Node {
	if len(bytes.TrimSpace(data)) == 0 {
		r.fault(nil, "", "the file is empty")
		return nil
	}
	var doc yaml.Node
	if err := yaml.Load(data, &doc); err != nil {
		r.syntax(err)
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 || r.isNull(doc.Content[0]) {
		r.fault(nil, "", "the file holds nothing but comments")
		return nil
	}
	return doc.Content[0]
}

// syntax notes an error of the YAML parser. The parser tells where it stopped, which for something that was
// never closed is the end of the file: then the place where that was opened helps more.
func (r *reader) syntax(err error) {
	e, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		r.fault(nil, "", "not YAML: %s", firstLine(err.Error()))
		return
	}
	p := place{e.Mark.Line, e.Mark.Column}
	last := len(r.lines)
	for last > 1 && strings.TrimSpace(r.lines[last-1]) == "" {
		last--
	}
	if e.ContextMark.Line > 0 && p.line > last {
		p = place{e.ContextMark.Line, e.ContextMark.Column}
	}
	if p.line < 1 {
		p = place{1, 1}
	}
	msg := e.Message
	if e.ContextMsg != "" {
		msg = e.ContextMsg + ": " + msg
	}
	remedy := ""
	if strings.Contains(msg, "tab") {
		remedy = "indent with spaces"
	}
	r.faultAt(p, remedy, "not YAML: %s", firstLine(msg))
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

func (r *reader) isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// resolve follows an alias to what it names.
func (r *reader) resolve(n *yaml.Node) *yaml.Node {
	r.nodes++
	for range 10 {
		if n.Kind != yaml.AliasNode || n.Alias == nil {
			break
		}
		n = n.Alias
	}
	return n
}

// A field reads the value of one key.
type field func(n *yaml.Node)

// object reads a YAML mapping whose keys are all known; what names it in faults. Missing required keys are
// reported at the first line of the object.
func (r *reader) object(n *yaml.Node, what string, fields map[string]field, required ...string) {
	n = r.resolve(n)
	if n.Kind != yaml.MappingNode {
		r.fault(n, "", "%s must be a set of keys and values, not %s", what, kindOf(n))
		return
	}
	if r.nodes > maxNodes {
		r.fault(n, "", "the file is too large once its aliases are followed")
		return
	}
	known := slices.Sorted(maps.Keys(fields))
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		read, ok := fields[key.Value]
		switch line := seen[key.Value]; {
		case key.Kind != yaml.ScalarNode || !ok:
			r.fault(key, didYouMean(key.Value, known), "unknown key %q in %s", key.Value, what)
		case line > 0:
			r.fault(key, "keep one of them", "key %q stands here a second time, first in line %d", key.Value, line)
		case r.isNull(r.resolve(value)):
			r.fault(key, "give it a value or leave the key out", "key %q has no value", key.Value)
		default:
			read(value)
		}
		seen[key.Value] = key.Line
	}
	for _, k := range required {
		if seen[k] == 0 {
			r.fault(n, "", "%s lacks the key %q", what, k)
		}
	}
}

// list reads a YAML sequence; what names the whole in faults.
func (r *reader) list(n *yaml.Node, what string, item field) {
	n = r.resolve(n)
	if n.Kind != yaml.SequenceNode {
		r.fault(n, "begin each item with a hyphen", "%s must be a list, not %s", what, kindOf(n))
		return
	}
	if len(n.Content) == 0 {
		r.fault(n, "", "%s is empty", what)
	}
	for _, c := range n.Content {
		if r.nodes > maxNodes {
			r.fault(n, "", "the file is too large once its aliases are followed")
			return
		}
		item(c)
	}
}

// text returns a field that reads a scalar into to. Numbers and booleans are taken as they are written.
func (r *reader) text(what string, to *scalar) field {
	return func(n *yaml.Node) {
		n = r.resolve(n)
		if n.Kind != yaml.ScalarNode {
			r.fault(n, "", "%s must be a text, not %s", what, kindOf(n))
			return
		}
		*to = scalar{n.Value, n}
	}
}

// flag returns a field that reads a boolean.
func (r *reader) flag(what string, to **bool) field {
	return func(n *yaml.Node) {
		n = r.resolve(n)
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
			r.fault(n, "write true or false", "%s must be true or false, not %s", what, kindOf(n))
			return
		}
		v := strings.EqualFold(n.Value, "true")
		*to = &v
	}
}

// texts returns a field that reads a list of scalars.
func (r *reader) texts(what string, to *[]scalar) field {
	return func(n *yaml.Node) {
		r.list(n, what, func(n *yaml.Node) {
			var s scalar
			r.text("an item of "+what, &s)(n)
			if s.node != nil {
				*to = append(*to, s)
			}
		})
	}
}

// kindOf describes a node for a person: the value itself if it is short.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a set of keys and values"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if n.Value == "" {
			return "empty"
		}
		if len(n.Value) <= 40 && !strings.Contains(n.Value, "\n") {
			return fmt.Sprintf("%q", n.Value)
		}
		return "a text"
	}
	return "this"
}

// declare reads a whole mapping file.
func (r *reader) declare(data []byte) declaredFile {
	var f declaredFile
	top := r.document(data)
	if top == nil {
		return f
	}
	r.object(top, "a mapping file", map[string]field{
		"version": r.text("version", &f.version),
		"source":  r.text("source", &f.source),
		"mappings": func(n *yaml.Node) {
			r.list(n, "mappings", func(n *yaml.Node) { f.mappings = append(f.mappings, r.declareMapping(n)) })
		},
	}, "version", "mappings")
	return f
}

func (r *reader) declareMapping(n *yaml.Node) declaredMapping {
	m := declaredMapping{at: r.resolve(n)}
	r.object(n, "a mapping", map[string]field{
		"id":          r.text("id", &m.id),
		"description": r.text("description", &m.description),
		"match":       r.text("match", &m.match),
		"pick": func(n *yaml.Node) {
			r.list(n, "pick", func(n *yaml.Node) { m.picks = append(m.picks, r.declarePick(n)) })
		},
		"context": r.texts("context", &m.context),
		"lookup":  func(n *yaml.Node) { m.lookup = r.declareFilter(n) },
	}, "id", "match", "pick")
	return m
}

func (r *reader) declarePick(n *yaml.Node) declaredPick {
	p := declaredPick{at: r.resolve(n)}
	r.object(n, "a pick", map[string]field{
		"path":  r.text("path", &p.path),
		"split": r.text("split", &p.split),
		"regex": r.text("regex", &p.regex),
		"type":  r.text("type", &p.typ),
		"keep":  r.text("keep", &p.keep),
	}, "path", "type")
	return p
}

func (r *reader) declareFilter(n *yaml.Node) *Filter {
	var f Filter
	var tags, exclude []scalar
	r.object(n, "lookup", map[string]field{
		"to_ids":       r.flag("to_ids", &f.ToIDs),
		"tags":         r.texts("tags", &tags),
		"exclude_tags": r.texts("exclude_tags", &exclude),
		"warninglists": r.flag("warninglists", &f.Warninglists),
	})
	for _, s := range tags {
		f.Tags = append(f.Tags, s.value)
	}
	for _, s := range exclude {
		f.ExcludeTags = append(f.ExcludeTags, s.value)
	}
	return &f
}
