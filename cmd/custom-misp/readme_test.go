package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/cmd/custom-misp/internal/wazuhtest"
	"custom-misp/engine/enrich"
)

// This file keeps the documents true. With -update, the generated parts are written: the table of options, and what the
// commands of sessions print.

const (
	root         = "../.."
	topReadme    = root + "/README.md"
	adminReadme  = "README.md"
	eventReadme  = root + "/examples/rules/README.md"
	authorReadme = root + "/mappings/README.md"
)

// TestReadmeOptions checks that the reference in README.md is that of the options.
func TestReadmeOptions(t *testing.T) {
	section := regexp.MustCompile(`(?s)(<!-- options: [^>]*-->\n)(.*?)(<!-- /options -->)`)
	text := readDocument(t, adminReadme)
	found := section.FindStringSubmatchIndex(text)
	if found == nil {
		t.Fatal("README.md has no section of options")
	}
	want := text[:found[4]] + config.Reference() + text[found[5]:]
	compareOrUpdate(t, adminReadme, text, want)
}

// TestReadmeSessions runs the sessions in the documents: lines that begin with "$ " are commands, and what follows is what
// they print. A command runs where the files are that the document says to save, beside testdata.
func TestReadmeSessions(t *testing.T) {
	program, err := wazuhtest.Program()
	if err != nil {
		t.Fatal(err)
	}
	for name, failing := range map[string]int{topReadme: 0, authorReadme: 2, eventReadme: 0} {
		t.Run(filepath.Base(filepath.Dir(name)), func(t *testing.T) {
			text := readDocument(t, name)
			dir := t.TempDir()
			link(t, program, filepath.Join(dir, "custom-misp"))
			testdata, err := filepath.Abs(filepath.Join(root, "testdata"))
			if err != nil {
				t.Fatal(err)
			}
			link(t, testdata, filepath.Join(dir, "testdata"))
			for _, f := range regexp.MustCompile("(?s)Save it as `([a-z.]+)`:\n\n```yaml\n(.*?)```").FindAllStringSubmatch(text, -1) {
				if err := os.WriteFile(filepath.Join(dir, f[1]), []byte(f[2]), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, commands, failed := runSession(t, dir, text)
			if commands < 3 || failed != failing {
				t.Errorf("%s has %d commands of which %d fail, want %d", name, commands, failed, failing)
			}
			compareOrUpdate(t, name, text, want)
		})
	}
}

// runSession runs the commands in a text, and returns the text with what they print now, and how many commands there are and
// how many of them end with another exit code than 0.
func runSession(t *testing.T, dir, text string) (now string, commands, failed int) {
	t.Helper()
	const indent, prompt = "    ", "    $ "
	var b strings.Builder
	skip := false // what a command printed when the text was written
	for line := range strings.Lines(text) {
		command, is := strings.CutPrefix(line, prompt)
		switch {
		case is:
			b.WriteString(line)
			commands++
			cmd := exec.CommandContext(t.Context(), "sh", "-c", command) //nolint:gosec // our own document
			cmd.Dir = dir
			cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "LC_ALL=C"}
			out, err := cmd.CombinedOutput()
			if err != nil {
				failed++
			}
			for printed := range strings.Lines(string(out)) {
				b.WriteString(indent + printed)
			}
			skip = true
		case skip && strings.HasPrefix(line, indent):
		default:
			skip = false
			b.WriteString(line)
		}
	}
	return b.String(), commands, failed
}

// TestReadmeLinks checks that the relative links of all documents lead to a file, and to a heading if they name one.
func TestReadmeLinks(t *testing.T) {
	links := 0
	for _, name := range documents(t) {
		for _, target := range linksIn(readDocument(t, name)) {
			links++
			if why := deadLink(t, name, target); why != "" {
				t.Errorf("%s: link to %s: %s", name, target, why)
			}
		}
	}
	if links < 50 {
		t.Errorf("only %d links found", links)
	}
}

// documents returns the Markdown files of the project.
func documents(t *testing.T) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && name != root && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		if filepath.Ext(name) == ".md" {
			names = append(names, name)
		}
		return err
	})
	if err != nil || len(names) < 6 {
		t.Fatal(names, err)
	}
	return names
}

// linksIn returns the targets of links within the project.
func linksIn(text string) []string {
	var targets []string
	for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(prose(text), -1) {
		if !strings.Contains(m[1], "://") && !strings.HasPrefix(m[1], "mailto:") {
			targets = append(targets, m[1])
		}
	}
	return targets
}

// prose returns a Markdown text without blocks of code and code within lines.
func prose(text string) string {
	text = regexp.MustCompile("(?ms)^```.*?^```").ReplaceAllString(text, "")
	return regexp.MustCompile("`[^`\n]+`").ReplaceAllStringFunc(text, func(code string) string {
		return strings.Trim(strings.NewReplacer("(", "", "]", "", "[", "", ")", "").Replace(code), "`")
	})
}

// deadLink says why a link in a document leads nowhere; empty if it leads somewhere.
func deadLink(t *testing.T, document, target string) string {
	t.Helper()
	file, anchor, _ := strings.Cut(target, "#")
	name := document
	if file != "" {
		name = filepath.Join(filepath.Dir(document), filepath.FromSlash(file))
	}
	st, err := os.Stat(name)
	switch {
	case err != nil:
		return "no such file"
	case anchor == "":
		return ""
	case st.IsDir() || filepath.Ext(name) != ".md":
		return "only documents have headings"
	case !slices.Contains(anchorsIn(readDocument(t, name)), anchor):
		return "no such heading"
	}
	return ""
}

// anchorsIn returns the anchors of the headings of a document, as GitHub makes them.
func anchorsIn(text string) []string {
	var anchors []string
	for _, m := range regexp.MustCompile(`(?m)^#{1,6} +(.*?) *$`).FindAllStringSubmatch(prose(text), -1) {
		anchors = append(anchors, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[1]))
	}
	return anchors
}

// TestReadmeLinksFindsFaults proves that the check of links says no.
func TestReadmeLinksFindsFaults(t *testing.T) {
	got := map[string]string{}
	for _, target := range []string{"README.md#verbs", "#limits", "../../README.md", "internal", "gone.md", "#gone", "README.md#Verbs", "internal#x"} {
		got[target] = deadLink(t, adminReadme, target)
	}
	want := map[string]string{
		"README.md#verbs": "", "#limits": "", "../../README.md": "", "internal": "", "gone.md": "no such file", "#gone": "no such heading",
		"README.md#Verbs": "no such heading", "internal#x": "only documents have headings",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	links := linksIn("[a](b.md#c) [`f(x)`](d) ![e](f.png) `[no](code)` https://x [g](https://h)\n```\n[no](block)\n```\n[i](j)")
	if diff := cmp.Diff([]string{"b.md#c", "d", "f.png", "j"}, links); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a-b-1-c", "d_e"}, anchorsIn("# A `b` 1: C?\ntext\n```\n# no\n```\n### D_e ")); diff != "" {
		t.Error(diff)
	}
}

// TestReadmeDependencies checks that a document says of every module that is required directly what it is for.
func TestReadmeDependencies(t *testing.T) {
	_, section, _ := strings.Cut(readDocument(t, adminReadme), "\n## Dependencies\n")
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(readDocument(t, root+"/go.mod"), -1) {
		name := m[1]
		if provider, ok := strings.CutPrefix(name, "github.com/knadh/koanf/"); ok && strings.HasPrefix(provider, "providers/") {
			name = provider
		}
		if !strings.Contains(section, "`"+name+"`") {
			t.Errorf("README.md does not say what %s is for", m[1])
		}
	}
}

// TestReadmeVerbs checks that each verb is in the table of verbs, and the verbs of the table exist.
func TestReadmeVerbs(t *testing.T) {
	_, section, _ := strings.Cut(readDocument(t, adminReadme), "\n## Verbs\n")
	section, _, _ = strings.Cut(section, "\n| exit code")
	var want, got []string
	for _, c := range newRoot(cli.Streams{}).Commands() {
		want = append(want, c.Name())
	}
	want = append(want, "completion", "help") // cobra adds them when it runs
	for _, m := range regexp.MustCompile("(?m)^\\| (`.*?`) \\|").FindAllStringSubmatch(section, -1) {
		for verb := range strings.SplitSeq(m[1], ", ") {
			got = append(got, strings.Fields(strings.Trim(verb, "`"))[0])
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("verbs (-want +got):\n%s", diff)
	}
}

// TestReadmeEvent checks that the table of the event has every field.
func TestReadmeEvent(t *testing.T) {
	_, section, _ := strings.Cut(readDocument(t, eventReadme), "\n## The event\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, field := range fieldsOf(reflect.TypeFor[enrich.Body](), "") {
		if !strings.Contains(section, "`"+field+"`") {
			t.Errorf("README.md does not say what misp.%s is", field)
		}
	}
}

// fieldsOf returns the names of JSON fields, with those of structs below them.
func fieldsOf(typ reflect.Type, prefix string) []string {
	var names []string
	for f := range typ.Fields() {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Type.Kind() == reflect.Pointer {
			names = append(names, fieldsOf(f.Type.Elem(), prefix+tag+".")...)
			continue
		}
		names = append(names, prefix+tag)
	}
	return names
}

// TestReadmeNames checks that the names of Go in the documents for maintainers exist, and that these describe every package.
func TestReadmeNames(t *testing.T) {
	declared, packages := declarations(t)
	var all strings.Builder
	for _, name := range []string{adminReadme, root + "/engine/README.md", root + "/misp/README.md"} {
		text := readDocument(t, name)
		all.WriteString(text)
		for _, m := range regexp.MustCompile("`([a-z]+)\\.([A-Z]\\w*(?:\\.[A-Z]\\w*)?)`").FindAllStringSubmatch(text, -1) {
			if declared[m[1]] && !declared[m[1]+"."+m[2]] {
				t.Errorf("%s: there is no %s.%s", name, m[1], m[2])
			}
		}
	}
	for _, p := range packages {
		short := strings.TrimPrefix(p, "cmd/custom-misp/internal/")
		if strings.Contains(all.String(), "| `"+short+"` |") || strings.Contains(all.String(), "| [`"+short+"`]") {
			continue
		}
		t.Errorf("no document describes the package %s", p)
	}
}

// declarations returns what the packages declare, as package, package.Name and package.Type.Method, and the libraries and
// internal packages of the project.
func declarations(t *testing.T) (declared map[string]bool, packages []string) {
	t.Helper()
	declared = map[string]bool{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(name))
		if err != nil {
			return err
		}
		if dir = filepath.ToSlash(dir); strings.HasPrefix(dir, "cmd/custom-misp/internal/") || strings.HasPrefix(dir, "engine") || strings.HasPrefix(dir, "misp") {
			packages = append(packages, dir)
		}
		declared[f.Name.Name] = true
		for _, decl := range f.Decls {
			for _, what := range declaredBy(decl) {
				declared[f.Name.Name+"."+what] = true
			}
		}
		return nil
	})
	if err != nil || len(declared) < 100 {
		t.Fatal(len(declared), err)
	}
	slices.Sort(packages)
	return declared, slices.Compact(packages)
}

// declaredBy returns the names of types and functions in a declaration, with the type before that of a method.
func declaredBy(decl ast.Decl) []string {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		if decl.Recv == nil {
			return []string{decl.Name.Name}
		}
		of := decl.Recv.List[0].Type
		if star, ok := of.(*ast.StarExpr); ok {
			of = star.X
		}
		if typ, ok := of.(*ast.Ident); ok {
			return []string{typ.Name + "." + decl.Name.Name}
		}
	case *ast.GenDecl:
		var names []string
		for _, spec := range decl.Specs {
			if typ, ok := spec.(*ast.TypeSpec); ok {
				names = append(names, typ.Name.Name)
			}
		}
		return names
	}
	return nil
}

// TestReadmeFirstCommand checks the form of the first command in README.md, which .ci/run takes out of it and runs.
func TestReadmeFirstCommand(t *testing.T) {
	first := regexp.MustCompile(`(?m)^    (go run \./cmd/custom-misp enrich .*)$`).FindStringSubmatch(readDocument(t, topReadme))
	if first == nil {
		t.Fatal("README.md shows no first command")
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", strings.Replace(first[1], "go run ./cmd/custom-misp", "\"$PROGRAM\"", 1)) //nolint:gosec // our own document
	program, err := wazuhtest.Program()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Dir, cmd.Env = root, []string{"PROGRAM=" + program, "PATH=" + os.Getenv("PATH")}
	out, err := cmd.Output()
	if events := strings.Count(string(out), `{"integration":"misp"`); err != nil || events < 8 {
		t.Errorf("%s: %d events, %v", first[1], events, err)
	}
}

func readDocument(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func link(t *testing.T, to, name string) {
	t.Helper()
	if err := os.Symlink(to, name); err != nil {
		t.Fatal(err)
	}
}

// compareOrUpdate compares a document with what it is to be, or writes it.
func compareOrUpdate(t *testing.T, name, is, want string) {
	t.Helper()
	diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(is, "\n"))
	switch {
	case diff == "":
	case *update:
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil { //nolint:gosec // a document
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is out of date (-want +got), run: go test ./cmd/custom-misp -run Readme -update\n%s", name, diff)
	}
}
