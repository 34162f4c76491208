package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/yamlfile"
)

// TestProblemMatcher: the pattern in examples/mappings-repository finds every fault that lint prints, and no other line.
func TestProblemMatcher(t *testing.T) {
	data, err := os.ReadFile("../../examples/mappings-repository/problem-matcher.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		ProblemMatcher []struct {
			Owner, Severity string
			Pattern         []struct {
				Regexp                                string
				File, Line, Column, Severity, Message int
			}
		}
	}
	if err := json.Unmarshal(data, &file); err != nil || len(file.ProblemMatcher) != 1 || len(file.ProblemMatcher[0].Pattern) != 1 {
		t.Fatal("not one matcher with one pattern:", err)
	}
	matcher := file.ProblemMatcher[0]
	p := matcher.Pattern[0]
	re := regexp.MustCompile(p.Regexp)

	name := filepath.Join(t.TempDir(), "a b.yaml")
	const text = "version: 1\nmappings:\n  - id: a\n    match: 'feild(\"data.x\") != \"\"'\n    pick: [{path: data.x, type: ipsrc}]\n" +
		"  - id: b\n    match: 'rule.level >= 50'\n    pick: [{path: data.y, type: url}]\n"
	writeFile(t, name, text)
	lint := func(output string) string {
		var out bytes.Buffer
		run(t.Context(), []string{"custom-misp", "lint", "--output", output, name}, strings.NewReader(""), &out, &out)
		return out.String()
	}
	var want yamlfile.Faults
	if err := json.Unmarshal([]byte(lint("json")), &want); err != nil {
		t.Fatal(err)
	}
	var wanted, found []string
	severities := map[string]bool{}
	for _, f := range want {
		wanted = append(wanted, fmt.Sprintf("%s %s:%d:%d %s", level(f), f.File, f.Line, f.Column, f.Sentence()))
		severities[level(f)] = true
	}
	for line := range strings.Lines(lint("table")) {
		m := re.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			continue
		}
		severity := m[p.Severity]
		if severity == "" {
			severity = matcher.Severity
		}
		found = append(found, fmt.Sprintf("%s %s:%s:%s %s", severity, m[p.File], m[p.Line], m[p.Column], m[p.Message]))
	}
	if diff := cmp.Diff(wanted, found); diff != "" {
		t.Errorf("(-lint +matched)\n%s", diff)
	}
	if len(severities) != 2 {
		t.Errorf("severities: %v", severities)
	}
}

// writeFile writes a file, and makes its directory.
func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
