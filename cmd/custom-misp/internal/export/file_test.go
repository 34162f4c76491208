package export

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/atomicfile"
)

// TestFileIsDurable records by which steps an exported file gets in its place: whoever loads it after a power cut finds it
// whole, or the one before.
func TestFileIsDurable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var steps []string
	t.Cleanup(atomicfile.TestOnlyHook(func(s atomicfile.Step, name string) error {
		if strings.HasPrefix(name, dir) {
			steps = append(steps, string(s))
		}
		return nil
	}))
	f, err := newOutFile(filepath.Join(dir, "list"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.discard()
	if _, err := f.WriteString("value\n"); err != nil {
		t.Fatal(err)
	}
	if err := f.commit(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"create", "write", "sync", "rename", "sync directory"}, steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "list")); err != nil || string(data) != "value\n" {
		t.Errorf("%q, %v", data, err)
	}
}
