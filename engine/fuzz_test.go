package engine_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"custom-misp/engine"
	"custom-misp/engine/yamlfile"
	"custom-misp/mappings"
)

func builtin(t testing.TB) *engine.Engine {
	t.Helper()
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
	return e
}

func bundledAlerts(t testing.TB) [][]byte {
	t.Helper()
	names, err := filepath.Glob("../testdata/alerts/*.json")
	if err != nil || len(names) == 0 {
		t.Fatal("no bundled alerts", err)
	}
	var alerts [][]byte
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		alerts = append(alerts, data)
	}
	return alerts
}

// FuzzPick feeds any bytes to the built-in mappings and to one that meets every alert. Whatever comes in, Pick
// returns, and what it returns keeps the promises of Observable.
func FuzzPick(f *testing.F) {
	e := builtin(f)
	greedy, err := engine.Load(engine.Source{Name: "greedy.yaml", Data: []byte(`
version: 1
mappings:
  - id: greedy
    match: rule.level >= 0 and (decoder.name != "x" or agent.id != "y" or location != "z")
    pick:
      - {path: "@values", type: auto, regex: '\S+'}
      - {path: data, type: auto}
      - {path: data.*, type: hostname}
      - {path: data.x, type: url, split: ";", keep: 'is_url(value) and not in_network(value, "10.0.0.0/8")'}
      - {path: "data.#.x", type: email, keep: 'not under_domain(value, "corp.example")'}
      - {path: full_log, type: filename}
    context: [data.x, "data.#.x", rule]
`)})
	if err != nil {
		f.Fatal(err)
	}
	for _, a := range bundledAlerts(f) {
		f.Add(a)
	}
	for _, s := range []string{
		"", "{", "null", "[]", `{"rule":{"groups":"a,b"}}`, `{"rule":{"groups":[["a"],{"b":1},null,1]}}`,
		`{"data":["a.example",{"x":["b@c.example"]}]}`, strings.Repeat(`{"data":`, 300), strings.Repeat("[", 5000),
		"{\"data\":{\"x\":\"http://[::1]:80;http://a.example/%zz\"}}", `{"data":{"x":"\ud800\u0000"}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, alert []byte) {
		for _, e := range []*engine.Engine{e, greedy} {
			observables, _ := e.Pick(alert)
			for _, o := range observables {
				if o.Value == "" || len(o.Value) > engine.MaxValue || len(o.Picks) == 0 || o.Type.Family() == "" {
					t.Errorf("bad observable %+v", o)
				}
				if again, err := o.Type.Normal(o.Value); err != nil || again != o.Value {
					t.Errorf("%s %q is not in normal form: %q, %v", o.Type, o.Value, again, err)
				}
			}
			e.Context("greedy", alert)
		}
	})
}

// FuzzLoad feeds any bytes as a mapping file. Every fault has a place inside the file.
func FuzzLoad(f *testing.F) {
	sources, err := engine.ReadFS(mappings.FS, "mappings")
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range sources {
		f.Add(s.Data)
	}
	for _, s := range []string{
		"version: 1\nmappings:\n  - id: a\n    match: >-\n      a\n\n      == é\n    pick: [{path: x, type: auto}]",
		"version: 1\nmappings: &m\n  - *m\n", "a: \"\\u00e9\\\n  b\"", "? [a]\n: b", "--- |\n x\n...\n", "match: 'it''s'",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := engine.Load(engine.Source{Name: "f.yaml", Data: data})
		if err == nil {
			_, _ = e.Pick([]byte(`{"rule":{"groups":["a"]},"data":{"x":"a.example"}}`))
			return
		}
		faults, ok := errors.AsType[yamlfile.Faults](err)
		if !ok || len(faults) == 0 {
			t.Fatalf("error %v is not Faults", err)
		}
		lines := 2
		for _, r := range string(data) {
			if strings.ContainsRune("\n\r\u0085\u2028\u2029", r) {
				lines++
			}
		}
		for _, fault := range faults {
			if fault.Line < 1 || fault.Line > lines || fault.Column < 1 || fault.Message == "" || strings.Contains(fault.Message, "\n") {
				t.Errorf("bad fault %+v", fault)
			}
			if utf8.Valid(data) && !strings.Contains(fault.Error(), "f.yaml:") {
				t.Errorf("fault without file: %v", fault)
			}
			_ = fault.Snippet()
		}
	})
}
