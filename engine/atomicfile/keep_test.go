package atomicfile

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestKeepDamagedFullDisk has no room for a second name: the file stays where it is, so that it is found damaged again.
func TestKeepDamagedFullDisk(t *testing.T) {
	testOnlyLink = func(string, string) error { return syscall.ENOSPC }
	defer func() { testOnlyLink = os.Link }()
	name := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	aside := KeepDamaged(name)
	if data, err := os.ReadFile(name); err != nil || string(data) != "x" || aside != name { //nolint:gosec // of this test
		t.Errorf("%s, %q, %v", aside, data, err)
	}
}
