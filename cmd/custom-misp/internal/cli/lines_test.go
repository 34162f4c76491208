package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/yamlfile"
)

// TestLines prints errors: one line for each fault in them, and each sentence whole.
func TestLines(t *testing.T) {
	t.Parallel()
	one, two := errors.New("one"), errors.New("two")
	faults := yamlfile.Faults{{File: "m.yaml", Line: 3, Column: 5, Message: "bad", Remedy: "write good"}, {File: "m.yaml", Message: "odd", Warning: true}}
	tests := []struct {
		name string
		err  error
		want []string
	}{
		{"one", one, []string{"custom-misp: one"}},
		{"joined", errors.Join(one, two), []string{"custom-misp: one", "custom-misp: two"}},
		{"joined alone", errors.Join(nil, one), []string{"custom-misp: one"}},
		{"joined twice", errors.Join(errors.Join(one, two), fs.ErrNotExist), []string{"custom-misp: one", "custom-misp: two", "custom-misp: file does not exist"}},
		{"wrong use", WrongUse{one}, []string{"custom-misp: one"}},
		{"wrong use joined", WrongUse{errors.Join(one, WrongUsef("three; write %d", 3))}, []string{"custom-misp: one", "custom-misp: three; write 3"}},
		{"faults", faults, []string{"m.yaml:3:5: bad; write good", "m.yaml: warning: odd"}},
		{"faults joined", WrongUse{errors.Join(faults, one)}, []string{"m.yaml:3:5: bad; write good", "m.yaml: warning: odd", "custom-misp: one"}},
		{"faults of a sentence", fmt.Errorf("reload failed: %w", faults), []string{"custom-misp: reload failed: m.yaml:3:5: bad; write good", "custom-misp: m.yaml: warning: odd"}},
		{"two in one sentence", fmt.Errorf("%w, and then %w", one, two), []string{"custom-misp: one, and then two"}},
		{"two in one sentence, joined", errors.Join(fmt.Errorf("%w: %w", one, two), two), []string{"custom-misp: one: two", "custom-misp: two"}},
		{"joined in a sentence", fmt.Errorf("alert 7: %w", errors.Join(one, two)), []string{"custom-misp: alert 7: one", "custom-misp: two"}},
		{"hostile", errors.New(hostile), []string{"custom-misp: a?b?[31mc?2Jd?e?f?g", "custom-misp: h ", "custom-misp: i j k l?m\ufffdn?o"}},
		{"hostile fault", yamlfile.Faults{{File: "m\n.yaml", Line: 1, Column: 1, Message: "id \u202e\x1b"}}, []string{"m .yaml:1:1: id ??"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := Lines(tt.err)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, line := range got {
				checkClean(t, line)
			}
		})
	}
}

// TestReport prints an error and decides the exit code.
func TestReport(t *testing.T) {
	t.Parallel()
	wrong := WrongUsef("no such verb")
	tests := []struct {
		name    string
		err     error
		code    int
		printed string
	}{
		{"none", nil, ExitOK, ""},
		{"failure", errors.New("no"), ExitFailure, "custom-misp: no\n"},
		{"reported already", fmt.Errorf("x: %w", ErrReported), ExitFailure, ""},
		{"wrong use", wrong, ExitWrongUse, "custom-misp: no such verb\n"},
		{"wrong use below", errors.Join(errors.New("no"), fmt.Errorf("a: %w", wrong)), ExitWrongUse, "custom-misp: no\ncustom-misp: a: no such verb\n"},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		if code := Report(&out, tt.err); code != tt.code || out.String() != tt.printed {
			t.Errorf("%s: exit code %d, %q, want %d, %q", tt.name, code, &out, tt.code, tt.printed)
		}
	}
}
