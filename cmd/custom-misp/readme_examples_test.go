package main

import (
	"bytes"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"custom-misp/cmd/custom-misp/internal/cli"
)

// TestReadmeYAML checks every block of YAML in the documents as what it is: files of mappings and of sources are linted and their
// tests run, and a configuration is read.
func TestReadmeYAML(t *testing.T) {
	checked := map[string]int{}
	for _, name := range documents(t) {
		for _, text := range yamlBlocks(readDocument(t, name)) {
			kind, verbs := verbsFor(text)
			checked[kind]++
			for _, verb := range verbs {
				home := t.TempDir()
				file := filepath.Join(home, "etc", "custom-misp.yaml")
				if kind != "configuration" {
					file = filepath.Join(home, "example.yaml")
				}
				writeFile(t, file, text)
				var out bytes.Buffer
				args := []string{"custom-misp", "--home", home, verb}
				if kind != "configuration" {
					args = append(args, file)
				}
				if run(t.Context(), args, strings.NewReader(""), &out, &out) != 0 {
					t.Errorf("%s: %s of this %s:\n%s\n%s", name, verb, kind, text, out.String())
				}
			}
		}
	}
	if checked["mapping"] < 7 || checked["source"] < 3 || checked["configuration"] < 1 {
		t.Errorf("checked only %v", checked)
	}
}

// yamlBlocks returns the blocks of YAML in a document: those between ```yaml and ```, and indented ones that begin as our files do.
func yamlBlocks(text string) []string {
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, m[1])
	}
	for _, m := range regexp.MustCompile(`(?m)^    version: 1\n(?:(?:    .*)?\n)*`).FindAllString(text, -1) {
		blocks = append(blocks, regexp.MustCompile(`(?m)^    `).ReplaceAllString(m, ""))
	}
	return blocks
}

// verbsFor returns what a block of YAML is, and the verbs that check it.
func verbsFor(text string) (kind string, verbs []string) {
	var top map[string]any
	_ = yaml.Unmarshal([]byte(text), &top) // what is wrong with it, the verb says
	switch {
	case top["version"] == nil:
		return "configuration", []string{"config"}
	case top["tests"] == nil && top["sources"] != nil:
		return "source", []string{"lint"}
	case top["sources"] != nil:
		return "source", []string{"lint", "test"}
	case top["tests"] == nil:
		return "mapping", []string{"lint"}
	}
	return "mapping", []string{"lint", "test"}
}

// TestReadmeCommands checks that every command line of ours in the documents has a verb and flags that exist.
func TestReadmeCommands(t *testing.T) {
	checked := map[string]bool{}
	for _, name := range documents(t) {
		for _, line := range commandLines(readDocument(t, name)) {
			checked[line] = true
			if why := wrongCommand(line); why != "" {
				t.Errorf("%s: %s: %s", name, line, why)
			}
		}
	}
	if len(checked) < 40 {
		t.Errorf("only %d command lines found", len(checked))
	}
	for line, want := range map[string]string{
		"lint --profile x y.yaml": "", "lnit x": "unknown verb lnit", "lint --profiel x": "unknown flag: --profiel",
		"export cdb --nope": "unknown flag: --nope", "source lsit": "unknown verb lsit", "lookup 192.31.196.7": "",
	} {
		if got := wrongCommand(line); got != want {
			t.Errorf("%s: %q, not %q", line, got, want)
		}
	}
}

// commandLines returns what follows the name of our program in code: in blocks, and in code within sentences.
func commandLines(text string) []string {
	code := strings.Join(regexp.MustCompile("`([^`\n]+)`").FindAllString(text, -1), "\n") + "\n" +
		strings.Join(regexp.MustCompile(`(?m)^    .*$`).FindAllString(text, -1), "\n") + "\n" +
		strings.Join(regexp.MustCompile("(?s)```(?:console|sh)\n.*?```").FindAllString(text, -1), "\n")
	var lines []string
	for _, m := range regexp.MustCompile("(?m)(?:^|[\\s`$|&;])custom-misp +([a-z][^\n`|;&>#)]*)").FindAllStringSubmatch(code, -1) {
		if line := strings.TrimSpace(m[1]); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// wrongCommand returns what is wrong with the verb or the flags of a command line; "" for nothing.
func wrongCommand(line string) string {
	_, args := splitGlobal(strings.Fields(line))
	if len(args) == 0 || args[0] == "help" || strings.ContainsAny(args[0], "./") { // a call has a file
		return ""
	}
	root := newRoot(cli.Streams{})
	cmd, rest, err := root.Find(args)
	switch {
	case err != nil || cmd == root && !strings.HasPrefix(args[0], "-"):
		return "unknown verb " + args[0]
	case cmd.HasSubCommands() && cmd.ValidateArgs(rest) != nil:
		return "unknown verb " + strings.Join(rest, " ")
	}
	if err := cmd.ParseFlags(rest); err != nil && strings.HasPrefix(err.Error(), "unknown") {
		return err.Error()
	}
	return ""
}
