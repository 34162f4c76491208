package config

import (
	"os"
	"path/filepath"
	"testing"

	"custom-misp/cmd/custom-misp/internal/cli"
)

// newHome returns a home with a configuration file; without one if text is empty.
func newHome(t testing.TB, text string) string {
	t.Helper()
	home := t.TempDir()
	if text != "" {
		write(t, filepath.Join(home, "etc/custom-misp.yaml"), text, 0o600)
	}
	return home
}

func write(t testing.TB, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

// lines returns an error as it is printed; none for nil.
func lines(err error) []string {
	if err == nil {
		return nil
	}
	return cli.Lines(err)
}
