package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// assembler is the one package that puts the chain of an alert together.
const assembler = internal + "app"

// assembling are the names that load an engine, build a look-up or open a sink. What they name is used by other packages
// as well, behind a pointer or an interface, but made by the assembler alone.
var assembling = []assemblingName{
	{"engine", "Load"},
	{"engine", "LintWith"},
	{"", "For"}, // of engine.Engine: the filter of the site
	{"misp/api", "New"},
	{"misp/feed", "Open"},
	{"misp/mirror", "Open"},
	{"misp/mirror", "NewFeed"},
	{"misp/source", "List"},
	{"misp/mirror", "Server"},
	{"misp/mirror", "Syncer"},
	{"engine/wazuh", "Queue"},
	{"engine/enrich", "Throttle"},
	{"engine/enrich", "QueueingPipeline"},
	{"engine/enrich", "Pipeline"},
	{"engine/enrich", "NewDedup"},
	{"engine/enrich", "NewBatch"},
	{"engine/enrich", "Circuit"},
	{"engine/enrich", "MirrorFirst"},
}

// An assemblingName is one of a function or a type, or of any method if pkg is empty.
type assemblingName struct{ pkg, name string }

// String returns the name as code has it.
func (a assemblingName) String() string {
	if a.pkg == "" {
		return a.name
	}
	return path.Base(a.pkg) + "." + a.name
}

// A use is a place in a file where one of them is used.
type use struct {
	name string // "engine.Load"
	at   token.Position
}

// uses finds them in a file. A type behind a pointer is not made there, so that *enrich.QueueingPipeline does not count.
func uses(fset *token.FileSet, file *ast.File) []use {
	imports := map[string]string{} // names of ours by the name in this file
	for _, spec := range file.Imports {
		importPath, _ := strconv.Unquote(spec.Path.Value)
		name, ok := ours(importPath)
		if !ok {
			continue
		}
		as := path.Base(name)
		if spec.Name != nil {
			as = spec.Name.Name
		}
		imports[as] = name
	}
	var found []use
	pointed := map[ast.Expr]bool{} // what a type with a star points to
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.StarExpr:
			pointed[n.X] = true
		case *ast.SelectorExpr:
			if pointed[n] {
				break
			}
			pkg := ""
			if x, ok := n.X.(*ast.Ident); ok {
				pkg = imports[x.Name]
			}
			for _, a := range assembling {
				if a.pkg == pkg && a.name == n.Sel.Name {
					found = append(found, use{a.String(), fset.Position(n.Pos())})
				}
			}
		}
		return true
	})
	if as, ok := imports["."]; ok {
		found = append(found, use{"import . of " + as, fset.Position(file.Pos())})
	}
	return found
}

// TestOneAssembly fails if any package of the program but app loads an engine, builds a look-up or opens a sink. It fails
// as well if app makes no use of a name in the list: then that was renamed, and the list is to follow.
func TestOneAssembly(t *testing.T) {
	t.Parallel()
	fset := token.NewFileSet()
	byApp := map[string]bool{}
	for _, p := range listPackages(t) {
		name, _ := ours(p.ImportPath)
		if !strings.HasPrefix(name, "cmd/") {
			continue
		}
		for _, goFile := range p.GoFiles {
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, goFile), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range uses(fset, file) {
				if name == assembler {
					byApp[u.name] = true
					continue
				}
				t.Errorf("%s uses %s; only %s may, see app.Build", u.at, u.name, assembler)
			}
		}
	}
	for _, a := range assembling {
		if !byApp[a.String()] {
			t.Errorf("%s does not use %s any more; correct the list in assembly_test.go", assembler, a)
		}
	}
}

// TestOneAssemblyFindsFaults proves that other ways to write the same are found, and what is only handed on is not.
func TestOneAssemblyFindsFaults(t *testing.T) {
	t.Parallel()
	const imports = `import ("` + module + `/engine"; "` + module + `/engine/enrich"; wq "` + module + `/engine/wazuh"; "other/api")` + "\n"
	tests := map[string][]string{
		"var _ = engine.Load":                                {"engine.Load"},
		"var _, _ = engine.LintWith(nil)":                    {"engine.LintWith"},
		"var _ = &wq.Queue{}":                                {"wazuh.Queue"},
		"var _ = new(wq.Queue)":                              {"wazuh.Queue"},
		"var q wq.Queue":                                     {"wazuh.Queue"},
		"func f(e *engine.Engine) { e.For(engine.Site{}) }":  {"For"},
		"type t struct { enrich.QueueingPipeline }":          {"enrich.QueueingPipeline"},
		"func f(d *enrich.QueueingPipeline, p *wq.Queue) {}": nil,
		"var _ = api.New()":                                  nil,
		"var _ enrich.Lookup":                                nil,
	}
	for body, want := range tests {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, "x.go", fmt.Sprintf("package x\n%s%s\n", imports, body), 0)
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		var got []string
		for _, u := range uses(fset, file) {
			got = append(got, u.name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: found %v, want %v", body, got, want)
		}
	}
}
