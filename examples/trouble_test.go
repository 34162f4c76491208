package examples_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTroublesAreReal has the messages in the table of troubles be those that the program prints: they are what people search
// for.
func TestTroublesAreReal(t *testing.T) {
	_, table, ok := strings.Cut(string(read(t, "README.md")), "\n## The ten most likely troubles\n")
	if !ok {
		t.Fatal("README.md has no such section")
	}
	table, _, _ = strings.Cut(table, "\n## ")
	var source strings.Builder
	for _, dir := range []string{"../cmd", "../misp/api", "../engine"} {
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
				return err
			}
			data, err := os.ReadFile(name)
			source.Write(data)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	others := map[string]bool{ // of Wazuh and of MISP
		"Unable to enable integration for: 'custom-misp'. File not found inside 'integrations'.": true, "has write permissions": true,
		"Couldn't execute command": true, "answered 403": true, "Authentication failed": true,
	}
	rows, quoted := 0, 0
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| what you see") {
			continue
		}
		rows++
		cells := strings.Split(strings.ReplaceAll(line, `\|`, "/"), "|")
		for _, m := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(cells[1], -1) {
			quoted++
			if !others[m[1]] && !strings.Contains(source.String(), m[1]) {
				t.Errorf("nothing prints %q", m[1])
			}
		}
	}
	if rows != 10 || quoted < 10 {
		t.Errorf("%d troubles with %d messages", rows, quoted)
	}
}
