package mappings_test

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"testing"

	"custom-misp/engine"
	"custom-misp/engine/mappingtest"
	"custom-misp/mappings"
)

// TestMappings runs the tests that stand beside the mappings, and demands of every mapping one test that picks.
// Tests where nothing is picked are demanded of every file.
func TestMappings(t *testing.T) {
	sources, err := engine.ReadFS(mappings.FS, "mappings")
	if err != nil {
		t.Fatal(err)
	}
	for i := range sources {
		sources[i].Builtin = true // as the program has them
	}
	e, err := engine.Load(sources...)
	if err != nil {
		t.Fatal(err)
	}
	readFile := func(name string) ([]byte, error) { return os.ReadFile(filepath.Join("..", filepath.FromSlash(name))) }
	picked := map[string]int{}
	for _, src := range sources {
		name := path.Base(src.Name[:len(src.Name)-len(".yaml")]) + "_test.yaml"
		data, err := mappings.FS.ReadFile(name)
		if err != nil {
			t.Errorf("%s has no tests: %v", src.Name, err)
			continue
		}
		cases, err := mappingtest.Load(engine.Source{Name: path.Join("mappings", name), Data: data}, readFile)
		if err != nil {
			t.Error(err)
		}
		misses := 0
		for _, c := range cases {
			t.Run(path.Base(src.Name)+"/"+c.Name, func(t *testing.T) {
				if r := mappingtest.Run(e, c); !r.OK() {
					t.Error(r)
				}
			})
			if len(c.Want) == 0 {
				misses++
			}
			for _, p := range c.Want {
				picked[p.Mapping]++
			}
		}
		if misses == 0 {
			t.Errorf("%s has no test in which nothing is picked", name)
		}
	}
	for _, m := range e.Mappings() {
		if picked[m.ID] == 0 {
			t.Errorf("%s:%d: mapping %q has no test in which it picks", m.File, m.Line, m.ID)
		}
	}
}

var example = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// TestExamples lints each example in README.md and runs its tests, with the built-in mappings.
func TestExamples(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	sources, err := engine.ReadFS(mappings.FS, "mappings")
	if err != nil {
		t.Fatal(err)
	}
	for i := range sources {
		sources[i].Builtin = true
	}
	examples := example.FindAllSubmatch(text, -1)
	if len(examples) < 5 {
		t.Fatalf("README.md has %d examples", len(examples))
	}
	for i, m := range examples {
		src := engine.Source{Name: fmt.Sprintf("example-%d.yaml", i+1), Data: m[1]}
		e, faults := engine.Lint(append(sources, src)...)
		for _, f := range faults {
			if f.File == src.Name {
				t.Error(f)
			}
		}
		cases, err := mappingtest.Load(src, os.ReadFile)
		if err != nil || len(cases) == 0 {
			t.Errorf("%s: %d tests, %v", src.Name, len(cases), err)
		}
		for _, c := range cases {
			if r := mappingtest.Run(e, c); !r.OK() {
				t.Error(r)
			}
		}
	}
}
