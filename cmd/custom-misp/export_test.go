package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// exportFixture mirrors a list, with values that are bad for a table, and returns where.
func exportFixture(t *testing.T) (home string) {
	t.Helper()
	home = t.TempDir()
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("etc/custom-misp.yaml", "mirror: {lists: [mine=etc/list.csv]}\nlookup: {policy: mirror, withhold: [nothing]}\n")
	write("etc/list.csv", `value,type,category,comment,to_ids,attribute_tag,timestamp
"=cmd|'/C calc'!A0",filename,Payload delivery,"-1, a ""comment""",1,"tlp:red,misp-galaxy:threat-actor=""A group""",1790000000
"@x, y",mutex,,=1+1,0,,1790000001
"#1",mutex,,,1,,
+49,text,,,1,,
10.1.0.0/16,ip-src,,,1,,
bad.example|192.31.196.7,domain|ip,,,1,,
HTTP://Bad.example/A,url,,two values of one,1,,
http://bad.example/A,url,,stronger,1,,1790000002
`)
	exportRun(t, home, "sync")
	return home
}

func exportRun(t *testing.T, home string, args ...string) string {
	t.Helper()
	var out, errs strings.Builder
	args = append([]string{"custom-misp", "--home", home}, args...)
	if code := run(context.Background(), args, strings.NewReader(""), &out, &errs); code != 0 {
		t.Fatalf("%v: exit code %d: %s", args, code, errs.String())
	}
	return out.String()
}

// TestExportCSVRoundTrip mirrors an export as a list: what is exported of that is the same, but for what is the list's.
func TestExportCSVRoundTrip(t *testing.T) {
	home := exportFixture(t)
	first := exportRun(t, home, "export", "csv")
	again := t.TempDir()
	if err := os.MkdirAll(filepath.Join(again, "etc"), 0o750); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"etc/custom-misp.yaml": "mirror: {lists: [mine=etc/list.csv]}\nlookup: {policy: mirror, withhold: [nothing]}\n", "etc/list.csv": first,
	} {
		if err := os.WriteFile(filepath.Join(again, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out := exportRun(t, again, "sync"); strings.Contains(out, "hold no indicator") {
		t.Error(out)
	}
	// The halves of a value have a UUID of their own in the list that is read back.
	uuid := regexp.MustCompile(`(true|false),[0-9a-f-]{36},|(true|false),,`)
	plain := func(s string) string { return uuid.ReplaceAllString(s, "$1$2,UUID,") }
	if diff := cmp.Diff(plain(first), plain(exportRun(t, again, "export", "csv"))); diff != "" {
		t.Errorf("read back (-first +again):\n%s", diff)
	}
	for line := range strings.Lines(first) {
		if strings.ContainsRune("=+-@\t\r", []rune(strings.TrimPrefix(line, `"`))[0]) {
			t.Errorf("a spreadsheet takes the first cell for a formula: %s", line)
		}
	}
	if n := strings.Count(first, "\n"); n != 9 || strings.Count(first, "http://bad.example/A,") != 1 || !strings.Contains(first, ",stronger,") {
		t.Errorf("%d lines:\n%s", n, first)
	}
}
