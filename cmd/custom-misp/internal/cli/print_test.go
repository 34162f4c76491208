package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"custom-misp/engine/yamlfile"
)

func TestPlural(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"0 files": Plural(0, "file"), "1 file": Plural(1, "file"), "2 files": Plural(2, "file"), "1 entry": Plural(1, "entry"), "3 entries": Plural(3, "entry"),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestPrintFaults shows each fault with its line and a marker under the place, whatever stands in the file.
func TestPrintFaults(t *testing.T) {
	t.Parallel()
	faults := yamlfile.Faults{
		{File: "m.yaml", Line: 3, Column: 6, Message: "bad", Text: "\tid: x\u202e\x1b[31my"},
		{File: "m.yaml", Message: "evil \x1b[31m"},
	}
	var out bytes.Buffer
	if n := PrintFaults(&out, faults); n != 2 {
		t.Errorf("%d faults", n)
	}
	const want = "m.yaml:3:6: bad\n  | \tid: x��[31my\n  | \t    ^\nm.yaml: evil ?[31m\n"
	if got := out.String(); got != want {
		t.Errorf("printed\n%q, want\n%q", got, want)
	}
	out.Reset()
	if n := PrintFaults(&out, errors.New(hostile)); n != 1 || !strings.HasPrefix(out.String(), "custom-misp: a?b?[31m") {
		t.Errorf("%d, %q", n, &out)
	}
	for line := range strings.Lines(out.String()) {
		checkClean(t, strings.TrimSuffix(line, "\n"))
	}
}

// TestPrintError writes one line for each line of an error, the first with the place.
func TestPrintError(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	PrintError(&out, "a.json:3 \x1b", errors.Join(errors.New("one\u202e"), errors.New("two")))
	if want := "a.json:3 ?: one?\ntwo\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

// TestWriteJSON keeps texts as they are, for programs.
func TestWriteJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := WriteJSON(&out, map[string]string{"a": "<b> & \x1b\n"}); err != nil {
		t.Fatal(err)
	}
	if want := "{\n  \"a\": \"<b> & \\u001b\\n\"\n}\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

// TestIsTerminal takes no buffer or file for one.
func TestIsTerminal(t *testing.T) {
	t.Parallel()
	if IsTerminal(&bytes.Buffer{}) || IsTerminal(nil) {
		t.Error("a buffer is taken for a terminal")
	}
}
