package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeOptions checks that the reference in README.md is that of the options; -update writes it.
func TestReadmeOptions(t *testing.T) {
	const readme = "../../README.md"
	var table strings.Builder
	table.WriteString("| key | default | meaning |\n|---|---|---|\n")
	for _, o := range options {
		def := fmt.Sprint(o.def)
		if list, ok := o.def.([]string); ok {
			def = strings.Join(list, " ")
		}
		if def != "" {
			def = "`" + def + "`"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", o.key, def, o.help)
	}
	data, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	section := regexp.MustCompile(`(?s)(<!-- options: [^>]*-->\n)(.*?)(<!-- /options -->)`)
	found := section.FindSubmatch(data)
	if found == nil {
		t.Fatal("README.md has no section of options")
	}
	if string(found[2]) == table.String() {
		return
	}
	if !*update {
		t.Fatalf("README.md is out of date, run: go test ./cmd/custom-misp -run Readme -update\n%s", table.String())
	}
	data = section.ReplaceAll(data, []byte("${1}"+table.String()+"${3}"))
	if err := os.WriteFile(readme, data, 0o644); err != nil { //nolint:gosec // a document
		t.Fatal(err)
	}
}
