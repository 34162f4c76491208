package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine"
	"custom-misp/engine/mappingtest"
	"custom-misp/mappings"
	"custom-misp/misp/source"
)

// TestSchemaAcceptsTheMappings checks the built-in mappings and their tests against the schema, and that it
// refuses what lint refuses.
func TestSchemaAcceptsTheMappings(t *testing.T) {
	file, err := os.Open("../../mappings/mapping.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // only read
	doc, err := jsonschema.UnmarshalJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mapping.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("mapping.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	check := func(data []byte) error {
		var v any
		if err := yaml.Unmarshal(data, &v); err != nil {
			t.Fatal(err)
		}
		return schema.Validate(v)
	}
	names, err := filepath.Glob("../../mappings/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatal("no mappings", err)
	}
	examples, _ := filepath.Glob("../../examples/mappings/*.yaml")
	for _, name := range append(names, examples...) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := check(data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, wrong := range []string{
		"version: 2\nmappings: []", "version: 1", "version: 1\nmappings: [{id: a, match: x, pick: [{path: x, type: sha265}]}]",
		"version: 1\nmappings: [{id: a, match: x, pick: [{path: x, type: md5}], lokup: {}}]", "- {name: a, alert: {}}",
		"- {name: a, alert: {}, picks: [{mapping: a, type: b}]}", "version: 1\nmappings: [{id: a, match: x, pick: [{path: x, type: md5}]}]\ntests: 1",
		"version: 1\nmappings: [{id: a b, match: x, pick: [{path: x, type: md5}]}]", "version: 1\nmappings: [{id: a, match: x, pick: [{path: /data/x, type: md5}]}]",
		"version: 1\nmappings: [{id: a, match: x, pick: [{path: 'data.x ', type: md5}]}]", "version: 1\nmappings: [{id: a, match: x, pick: [{path: $.data.x, type: md5}]}]",
	} {
		if check([]byte(wrong)) == nil {
			t.Errorf("the schema accepts %q", wrong)
		}
	}
}

// TestGeneratedFiles checks that the schema, the reference and the list in mappings/ are what the program has;
// -update writes them.
func TestGeneratedFiles(t *testing.T) {
	var schema bytes.Buffer
	if err := cli.WriteJSON(&schema, mappingtest.Schema()); err != nil {
		t.Fatal(err)
	}
	sources, err := engine.ReadFS(mappings.FS, "mappings")
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Load(sources...)
	if err != nil {
		t.Fatal(err)
	}
	pack, err := engine.Pack(sources...)
	if err != nil {
		t.Fatal(err)
	}
	var sourceSchema bytes.Buffer
	if err := cli.WriteJSON(&sourceSchema, source.Schema()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"../../misp/source/source.schema.json": sourceSchema.String(), "../../misp/source/REFERENCE.md": source.Reference(),
		"../../mappings/vocabulary.txt":      vocabulary(t, e),
		"../../mappings/pack.txt":            pack,
		"../../mappings/mapping.schema.json": schema.String(), "../../mappings/REFERENCE.md": mappingtest.Reference(),
		"../../mappings/PACK.md": mappingtest.Pack(e.Mappings()),
	} {
		if *update {
			if err := os.WriteFile(name, []byte(want), 0o644); err != nil { //nolint:gosec // a document
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(name)
		if err != nil || string(got) != want {
			t.Errorf("%s is out of date (%v), run: go test ./cmd/custom-misp -run Generated -update", name, err)
		}
	}
}

// vocabulary returns the names in the built-in mappings and in the alerts of their tests.
func vocabulary(t *testing.T, e *engine.Engine) string {
	var v mappingtest.Vocabulary
	v.AddMappings(e.Mappings())
	groups, decoders := e.Required()
	for _, name := range groups {
		v.AddKey("group", name)
	}
	for _, name := range decoders {
		v.AddKey("decoder", name)
	}
	files, err := mappings.FS.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !mappingtest.IsTestFile(file.Name()) {
			continue
		}
		data, err := mappings.FS.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		cases, err := mappingtest.Load(engine.Source{Name: "mappings/" + file.Name(), Data: data}, func(name string) ([]byte, error) {
			return os.ReadFile("../../" + name)
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			if len(c.Want) > 0 { // others have names changed on purpose
				v.Add(c.Alert)
			}
		}
	}
	return v.String()
}
