package source

import (
	"cmp"
	"embed"
	"io/fs"
	"slices"
	"sync"

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
		c.Decode(top, &f)
	}
	if f.Version.Given() && f.Version.Value != "1" {
		c.Fault(f.Version.Node, "write version: 1", "version %q is unknown", f.Version.Value)
	}
	return f
}

// Load checks and compiles files of sources. The faults are of all files; the sources are those without fault, in the
// order of the files.
func Load(files ...File) ([]*Source, yamlfile.Faults) {
	var sources []*Source
	var faults yamlfile.Faults
	for _, f := range files {
		if f.Err != nil {
			faults = append(faults, yamlfile.Fault{File: f.Name, Message: f.Err.Error(), Remedy: "the file is left out; let Wazuh's user read it"})
			continue
		}
		c := compiler{yamlfile.NewReader(f.Name, f.Data)}
		for _, d := range c.declare().Sources {
			before := c.Noted()
			s := c.source(d)
			if i := slices.IndexFunc(sources, func(other *Source) bool { return other.Name == s.Name }); i >= 0 {
				c.Fault(d.Name.Node, "give each source a name of its own", "the name %q is already taken in %s:%d", s.Name, sources[i].File, sources[i].Line)
			}
			if c.Noted() == before {
				sources = append(sources, s)
			}
		}
		faults = append(faults, c.Faults()...)
	}
	return sources, faults
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
