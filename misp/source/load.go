package source

import (
	"cmp"
	"embed"
	"io/fs"
	"slices"
	"sync"

	"go.yaml.in/yaml/v4"

	"custom-misp/engine/yamlfile"
)

// A File is a file of declared sources that has been read.
type File struct {
	Name string
	Data []byte
	Err  error // why it could not be read; a fault of this file
}

//go:embed presets/*.yaml
var presetFiles embed.FS

// A preset is a built-in declaration, as it is written and compiled.
type preset struct {
	declared declaredSource
	*Source
}

// presets are the built-in declarations, in the order of their files.
var presets = sync.OnceValue(func() []preset {
	var list []preset
	names, _ := fs.Glob(presetFiles, "presets/*.yaml") // the pattern is right
	for _, name := range names {
		data, _ := presetFiles.ReadFile(name) // it was listed
		c := compiler{yamlfile.NewReader(name, data)}
		for _, d := range c.declare().Sources {
			list = append(list, preset{d, c.compile(d)})
		}
	}
	return list
})

// Presets returns the built-in declarations.
func Presets() []*Source {
	list := make([]*Source, 0, len(presets()))
	for _, p := range presets() {
		list = append(list, p.Source)
	}
	return list
}

// Preset returns a built-in declaration; nil for none of that name.
func Preset(name string) *Source {
	for _, p := range presets() {
		if p.Name == name {
			return p.Source
		}
	}
	return nil
}

// PresetNames returns the names of the built-in declarations.
func PresetNames() []string {
	names := make([]string, 0, len(presets()))
	for _, p := range presets() {
		names = append(names, p.Name)
	}
	return names
}

func (c compiler) declare() declaredFile {
	var f declaredFile
	if top := c.Document(); top != nil {
		before := c.Noted()
		if c.Decode(top, &f); f.Sources == nil && f.Servers == nil && f.Tests == nil && c.Noted() == before && !declaresEmpty(top) {
			c.Fault(top, `or the key "servers"`, "a file of sources lacks the key %q", "sources")
		}
	}
	if f.Version.Given() && f.Version.Value != "1" {
		c.Fault(f.Version.Node, "write version: 1", "version %q is unknown", f.Version.Value)
	}
	return f
}

// declaresEmpty reports whether a file has a list of sources or servers without items.
func declaresEmpty(top *yaml.Node) bool {
	return slices.ContainsFunc(top.Content, func(n *yaml.Node) bool { return n.Value == "sources" || n.Value == "servers" })
}

// Declared is what files of sources declare.
type Declared struct {
	Sources []*Source
	Servers []*Server
}

// Load checks and compiles files of sources. The faults are of all files; the sources are those without fault, in the
// order of the files.
func Load(files ...File) ([]*Source, yamlfile.Faults) {
	d, faults := LoadAll(files...)
	return d.Sources, faults
}

// LoadAll is [Load] for all that the files declare.
func LoadAll(files ...File) (all Declared, faults yamlfile.Faults) {
	for _, f := range files {
		if f.Err != nil {
			faults = append(faults, yamlfile.Fault{File: f.Name, Message: f.Err.Error(), Remedy: "the file is left out; let Wazuh's user read it"})
			continue
		}
		c := compiler{yamlfile.NewReader(f.Name, f.Data)}
		declared := c.declare()
		if c.Noted() > 0 { // a key that is misspelt may be a filter, or the key of another server
			declared.Servers = nil
		}
		for _, d := range declared.Sources {
			before := c.Noted()
			s := c.source(d)
			c.taken(d.Name, all)
			if c.Noted() == before {
				all.Sources = append(all.Sources, s)
			}
		}
		for _, d := range declared.Servers {
			before := c.Noted()
			s := c.server(d)
			c.taken(d.Name, all)
			c.sameURL(d.URL, s, all.Servers)
			if c.Noted() == before {
				all.Servers = append(all.Servers, s)
			}
		}
		faults = append(faults, c.Faults()...)
	}
	return all, faults
}

// taken notes a fault for a name that a source or server has already.
func (c compiler) taken(name yamlfile.Scalar, all Declared) {
	const remedy = "give each source a name of its own"
	if i := slices.IndexFunc(all.Sources, func(other *Source) bool { return other.Name == name.Value }); i >= 0 {
		c.Fault(name.Node, remedy, "the name %q is already taken in %s:%d", name.Value, all.Sources[i].File, all.Sources[i].Line)
	}
	if i := slices.IndexFunc(all.Servers, func(other *Server) bool { return other.Name == name.Value }); i >= 0 {
		c.Fault(name.Node, remedy, "the name %q is already taken in %s:%d", name.Value, all.Servers[i].File, all.Servers[i].Line)
	}
}

// source compiles a declaration over its preset.
func (c compiler) source(d declaredSource) *Source {
	line := 0
	if d.Name.Node != nil {
		line = d.Name.Node.Line
	}
	merged := d
	if d.Preset.Given() {
		i := slices.IndexFunc(presets(), func(p preset) bool { return p.Name == d.Preset.Value })
		if i < 0 {
			c.Fault(d.Preset.Node, cmp.Or(yamlfile.DidYouMean(d.Preset.Value, PresetNames()), "custom-misp source list --presets shows them"), "preset %q is unknown", d.Preset.Value)
		} else {
			base := presets()[i].declared
			if d.URL.Given() || d.Path.Given() {
				base.URL, base.Path = yamlfile.Scalar{}, yamlfile.Scalar{}
			}
			if d.Format.Given() && d.Format.Value != base.Format.Value {
				base.CSV, base.Lines, base.JSON = nil, nil, nil
			}
			merged = over(d, base)
		}
	}
	s := c.compile(merged)
	s.Line = line
	s.File = c.Name()
	return s
}
