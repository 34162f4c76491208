package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// module is the path of the module, which every package of ours begins with.
const module = "custom-misp"

// Words for several packages in mayImport.
const (
	libraries = "libraries" // everything outside of cmd, but for tools of tests
	verbParts = "internal"  // everything below cmd/custom-misp/internal
)

// internal is where the parts of the program are, each of which may import only those before it.
const internal = "cmd/custom-misp/internal/"

// mayImport says which packages of ours each package may import, one line for each: the dependencies point one way, and
// no package knows its caller. Files of tests are free to import more.
var mayImport = map[string][]string{
	"engine/atomicfile": {}, // everyone may import it, but for handover
	"engine/yamlfile":   {},
	"misp":              {},
	"mappings":          {},

	"engine":                {"engine/yamlfile"},
	"engine/mappingtest":    {"engine", "engine/yamlfile"},
	"engine/enrich":         {"engine", "engine/enrich/spool", "misp"},
	"engine/enrich/spool":   {},
	"engine/history":        {"engine"},
	"engine/wazuh":          {"engine/enrich"},
	"engine/wazuh/alertlog": {"engine/enrich"},

	"misp/internal/jsonscan": {},
	"misp/api":               {"engine", "engine/enrich", "misp", "misp/internal/jsonscan"},
	"misp/feed":              {"engine", "engine/enrich", "misp", "misp/api", "misp/internal/jsonscan"},
	"misp/mirror":            {"engine", "engine/enrich", "misp", "misp/api", "misp/feed", "misp/internal/jsonscan"},
	"misp/source":            {"engine", "engine/yamlfile", "misp", "misp/api", "misp/internal/jsonscan", "misp/mirror"},
	"misp/misptest":          {"engine", "engine/enrich", "misp"},

	internal + "handover": {}, // everyone in cmd may import it
	internal + "cli":      {"engine/yamlfile"},
	internal + "report":   {internal + "cli"},
	internal + "config":   {libraries, internal + "cli"},
	internal + "manager":  {libraries, internal + "cli", internal + "config"},
	internal + "app":      {libraries, internal + "cli", internal + "config", internal + "manager"},
	internal + "lookback": {libraries},
	internal + "serve":    {libraries, internal + "cli", internal + "config", internal + "manager", internal + "app", internal + "lookback"},
	internal + "doctor":   {libraries, internal + "cli", internal + "config", internal + "manager", internal + "app", internal + "serve"},
	internal + "backtest": {libraries, internal + "cli"},
	internal + "export":   {libraries, internal + "cli", internal + "config", internal + "manager", internal + "app", internal + "serve", internal + "doctor"},
	"cmd/custom-misp":     {libraries, verbParts, "examples"},

	internal + "wazuhtest": {}, // for tests alone, like misp/misptest
	internal + "chaos":     {}, // tests alone

	"examples":       {},
	"examples/bench": {},
}

// covers reports whether an item of mayImport names a package.
func covers(item, name string) bool {
	switch item {
	case libraries:
		return !strings.HasPrefix(name, "cmd/") && !strings.HasPrefix(name, "examples") && name != "misp/misptest"
	case verbParts:
		return strings.HasPrefix(name, internal) && name != internal+"wazuhtest"
	}
	return item == name
}

// A listed is one package as the go command lists it.
type listed struct {
	ImportPath, Name, Dir string
	GoFiles, Imports      []string
}

// ours returns the name of a package within the module; ok is false for packages of others.
func ours(importPath string) (name string, ok bool) { return strings.CutPrefix(importPath, module+"/") }

// listPackages lists all packages of the module.
func listPackages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Name,Dir,GoFiles,Imports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 20 {
		t.Fatalf("go list knows only %d packages", len(all))
	}
	return all
}

// wrongImports returns what a package imports against mayImport.
func wrongImports(p listed) []string {
	name, _ := ours(p.ImportPath)
	allowed, known := mayImport[name]
	if !known {
		return []string{fmt.Sprintf("%s is not in the table; add a line for it to mayImport in cmd/custom-misp/architecture_test.go", name)}
	}
	var wrong []string
	for _, path := range p.Imports {
		imported, ok := ours(path)
		if !ok || imported == "engine/atomicfile" || imported == internal+"handover" && strings.HasPrefix(name, "cmd/") || slices.ContainsFunc(allowed, func(item string) bool { return covers(item, imported) }) {
			continue
		}
		wrong = append(wrong, fmt.Sprintf("%s imports %s; it may import %v", name, imported, allowed))
	}
	return wrong
}

// TestImportDirection fails for each import against the direction of the packages.
func TestImportDirection(t *testing.T) {
	t.Parallel()
	for _, p := range listPackages(t) {
		for _, wrong := range wrongImports(p) {
			t.Error(wrong)
		}
	}
}

// TestImportDirectionFindsFaults proves that the table says no.
func TestImportDirectionFindsFaults(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, imports, want string }{
		{"engine", "engine/enrich", "engine imports engine/enrich"},
		{"misp", "engine", "misp imports engine"},
		{"engine/enrich/spool", "engine", "engine/enrich/spool imports engine"},
		{internal + "app", internal + "serve", "app imports " + internal + "serve"},
		{internal + "serve", "cmd/custom-misp", "serve imports cmd/custom-misp"},
		{internal + "cli", "engine", "cli imports engine"},
		{"cmd/custom-misp", "misp/misptest", "imports misp/misptest"},
		{"cmd/custom-misp", internal + "wazuhtest", "imports " + internal + "wazuhtest"},
		{"engine/brandnew", "engine", "add a line for it to mayImport"},
		{"engine/enrich/spool", "engine/atomicfile", ""},
		{internal + "export", internal + "doctor", ""},
	}
	for _, tt := range tests {
		got := strings.Join(wrongImports(listed{ImportPath: module + "/" + tt.name, Imports: []string{"fmt", module + "/" + tt.imports}}), "\n")
		if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s importing %s: %q, want %q", tt.name, tt.imports, got, tt.want)
		}
	}
}
