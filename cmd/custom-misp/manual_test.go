package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"custom-misp/cmd/custom-misp/internal/cli"
)

// TestManual has a page for each verb that says what its help says, in which no text acts as a request.
func TestManual(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"custom-misp", "manual", dir}, strings.NewReader(""), &out, &errs); code != cli.ExitOK {
		t.Fatal(code, errs.String())
	}
	for _, c := range newRoot(cli.Streams{}).Commands() {
		if c.Hidden {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, "man1", "custom-misp-"+c.Name()+".1"))
		if err != nil {
			t.Error(err)
			continue
		}
		page := string(data)
		for _, part := range []string{".SH NAME\ncustom\\-misp\\-" + c.Name() + ` \- `, ".SH SYNOPSIS\n", ".SH DESCRIPTION\n"} {
			if !strings.Contains(page, part) {
				t.Errorf("%s lacks %q", c.Name(), part)
			}
		}
		for line := range strings.Lines(page) {
			request, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			if strings.HasPrefix(line, ".") && !strings.Contains(".TH .SH .PP .TP .B .BR .RS .RE .nf .fi", request) || strings.HasPrefix(line, "'") {
				t.Errorf("%s: text acts as a request: %q", c.Name(), line)
			}
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "man5", "custom-misp.yaml.5"))
	if err != nil || !strings.Contains(string(data), ".B misp.url\n") || !strings.Contains(string(data), "default: 10s") {
		t.Errorf("custom-misp.yaml.5: %v\n%s", err, data)
	}
	if got := roffText(`.x \d - 'a'`); got != `\&.x \ed \- 'a'` {
		t.Errorf("roffText: %q", got)
	}
}

// TestVersionFlag has --version be the same as version.
func TestVersionFlag(t *testing.T) {
	t.Parallel()
	var verb, flag, errs bytes.Buffer
	if code := run(t.Context(), []string{"custom-misp", "version"}, strings.NewReader(""), &verb, &errs); code != cli.ExitOK {
		t.Fatal(code, errs.String())
	}
	if code := run(t.Context(), []string{"custom-misp", "--version"}, strings.NewReader(""), &flag, &errs); code != cli.ExitOK || flag.String() != verb.String() || verb.Len() == 0 {
		t.Errorf("%d, %q and %q, %s", code, flag.String(), verb.String(), errs.String())
	}
}
