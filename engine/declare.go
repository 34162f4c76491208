package engine

import (
	"go.yaml.in/yaml/v4"

	"custom-misp/engine/yamlfile"
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
		version  yamlfile.Scalar
		source   yamlfile.Scalar
		mappings []declaredMapping
	}
	declaredMapping struct {
		id          yamlfile.Scalar
		description yamlfile.Scalar
		match       yamlfile.Scalar
		picks       []declaredPick
		context     []yamlfile.Scalar
		lookup      *Filter
	}
	declaredPick struct {
		path  yamlfile.Scalar
		split yamlfile.Scalar
		regex yamlfile.Scalar
		typ   yamlfile.Scalar
		keep  yamlfile.Scalar
	}
)

// A reader reads mapping files.
type reader struct {
	*yamlfile.Reader
	file string
}

// declare reads a whole mapping file.
func (r reader) declare() declaredFile {
	var f declaredFile
	top := r.Document()
	if top == nil {
		return f
	}
	r.Object(top, "a mapping file", map[string]yamlfile.Field{
		"version": r.Text("version", &f.version),
		"source":  r.Text("source", &f.source),
		"mappings": func(n *yaml.Node) {
			r.List(n, "mappings", func(n *yaml.Node) { f.mappings = append(f.mappings, r.declareMapping(n)) })
		},
	}, "version", "mappings")
	return f
}

func (r reader) declareMapping(n *yaml.Node) declaredMapping {
	var m declaredMapping
	r.Object(n, "a mapping", map[string]yamlfile.Field{
		"id":          r.Text("id", &m.id),
		"description": r.Text("description", &m.description),
		"match":       r.Text("match", &m.match),
		"pick": func(n *yaml.Node) {
			r.List(n, "pick", func(n *yaml.Node) { m.picks = append(m.picks, r.declarePick(n)) })
		},
		"context": r.Texts("context", &m.context),
		"lookup":  func(n *yaml.Node) { m.lookup = r.declareFilter(n) },
	}, "id", "match", "pick")
	return m
}

func (r reader) declarePick(n *yaml.Node) declaredPick {
	var p declaredPick
	r.Object(n, "a pick", map[string]yamlfile.Field{
		"path":  r.Text("path", &p.path),
		"split": r.Text("split", &p.split),
		"regex": r.Text("regex", &p.regex),
		"type":  r.Text("type", &p.typ),
		"keep":  r.Text("keep", &p.keep),
	}, "path", "type")
	return p
}

func (r reader) declareFilter(n *yaml.Node) *Filter {
	var f Filter
	var tags, exclude []yamlfile.Scalar
	r.Object(n, "lookup", map[string]yamlfile.Field{
		"to_ids":       r.Flag("to_ids", &f.ToIDs),
		"tags":         r.Texts("tags", &tags),
		"exclude_tags": r.Texts("exclude_tags", &exclude),
		"warninglists": r.Flag("warninglists", &f.Warninglists),
	})
	for _, s := range tags {
		f.Tags = append(f.Tags, s.Value)
	}
	for _, s := range exclude {
		f.ExcludeTags = append(f.ExcludeTags, s.Value)
	}
	return &f
}
