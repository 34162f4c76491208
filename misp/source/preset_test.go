package source

import (
	"io/fs"
	"testing"

	"custom-misp/engine/yamlfile"
)

// TestPresets compiles every built-in declaration.
func TestPresets(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(presetFiles, "presets/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatal("no presets", err)
	}
	taken := map[string]bool{}
	for _, name := range names {
		data, err := presetFiles.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		c := compiler{yamlfile.NewReader(name, data)}
		for _, d := range c.declare().Sources {
			if s := c.compile(d); taken[s.Name] || s.Description == "" {
				t.Errorf("%s: taken, or not described", s.Name)
			}
			taken[d.Name.Value] = true
		}
		for _, f := range c.Faults() {
			t.Error(f.Error())
		}
	}
	if len(taken) < 110 {
		t.Errorf("only %d presets", len(taken))
	}
}
