package main

import (
	"os"
	"regexp"
	"testing"

	"custom-misp/cmd/custom-misp/internal/config"
)

// TestReadmeOptions checks that the reference in README.md is that of the options; -update writes it.
func TestReadmeOptions(t *testing.T) {
	const readme = "../../README.md"
	table := config.Reference()
	data, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	section := regexp.MustCompile(`(?s)(<!-- options: [^>]*-->\n)(.*?)(<!-- /options -->)`)
	found := section.FindSubmatch(data)
	if found == nil {
		t.Fatal("README.md has no section of options")
	}
	if string(found[2]) == table {
		return
	}
	if !*update {
		t.Fatalf("README.md is out of date, run: go test ./cmd/custom-misp -run Readme -update\n%s", table)
	}
	data = section.ReplaceAll(data, []byte("${1}"+table+"${3}"))
	if err := os.WriteFile(readme, data, 0o644); err != nil { //nolint:gosec // a document
		t.Fatal(err)
	}
}
