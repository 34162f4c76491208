package mappingtest

import (
	"fmt"
	"strings"

	"custom-misp/engine"
	"custom-misp/engine/yamlfile"
)

// Schema returns the JSON Schema (2020-12) of mapping files, which are objects, and of test files, which are
// lists.
func Schema() yamlfile.Schema {
	mapping, tests := engine.FileShape().JSONSchema(), FileShape().JSONSchema()
	mapping["properties"].(map[string]yamlfile.Schema)["tests"] = yamlfile.Schema{
		"$ref": "#/$defs/tests", "description": "tests of the mappings, as in a test file",
	}
	return yamlfile.Schema{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"$id":     "mapping.schema.json",
		"title":   "Mapping and test files of custom-misp",
		"$defs":   map[string]any{"mappings": mapping, "tests": tests},
		"if":      yamlfile.Schema{"type": "array"},
		"then":    yamlfile.Schema{"$ref": "#/$defs/tests"},
		"else":    yamlfile.Schema{"$ref": "#/$defs/mappings"},
	}
}

// Reference returns the reference of the mapping language in Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString("<!-- Written by custom-misp schema --output markdown. -->\n\n# Reference of mapping and test files\n\n")
	b.WriteString(engine.FileShape().Markdown(2))
	b.WriteString("## Names in expressions\n\n| name | meaning |\n|---|---|\n")
	for _, n := range engine.Names() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", n.Name, n.Doc)
	}
	b.WriteString("\nAll of [expr-lang](https://expr-lang.org/docs/language-definition) can be used besides.\n\n## Types\n\n")
	for i, t := range engine.Types() {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "`%s`", t)
	}
	b.WriteString("\n\n# Test files\n\nA test file, NAME_test.yaml, is a list of tests; the key `tests` of a mapping file holds the same.\n\n")
	b.WriteString(FileShape().Markdown(2))
	return strings.TrimRight(b.String(), "\n") + "\n"
}
