package serve

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/config"
)

// TestFingerprint sees each change of each file that the configuration is made of or names, also one that leaves the size
// as it was, and none where nothing has changed.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	c := newState(t, "misp: {key_file: etc/key, ca_file: etc/ca, client_cert_file: etc/cert, client_key_file: etc/own}\n"+
		"feed: {dir: etc/feed}\nmappings: {dirs: [etc/a, etc/b]}\nignore: {files: [etc/i, etc/j]}\n")
	inDir := map[string]string{"etc/feed": "manifest.json", "etc/a": "m.yaml", "etc/b": "below/m.yaml"}
	watched := c.Watched()
	if len(watched) != 2+4+1+2+2+1 {
		t.Fatalf("watched are %v; give each of them a content here", watched)
	}
	now := time.Now()
	for _, name := range watched {
		for dir, file := range inDir {
			if name == filepath.Join(c.Home, dir) {
				name = filepath.Join(name, file)
			}
		}
		changes := []struct {
			what string
			do   func() error
		}{
			{"is there", func() error { return writeAt(name, "one", now) }},
			{"has another content of the same size", func() error { return writeAt(name, "two", now.Add(time.Second)) }},
			{"has another size", func() error { return writeAt(name, "three", now.Add(time.Second)) }},
			{"has another mode", func() error { return os.Chmod(name, 0o640) }}, //nolint:gosec // a mode like others
			{"is gone", func() error { return os.Remove(name) }},
		}
		for _, change := range changes {
			before := same(t, c)
			if err := change.do(); err != nil {
				t.Fatal(err)
			}
			if same(t, c) == before {
				t.Errorf("%s %s: not seen", name, change.what)
			}
		}
	}
}

// same returns the fingerprint, which has to be the same when it is taken again.
func same(t *testing.T, c *config.Config) string {
	t.Helper()
	first := fingerprint(c)
	if again := fingerprint(c); again != first {
		t.Errorf("without a change: %q, then %q", first, again)
	}
	return first
}

func writeAt(name, content string, at time.Time) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		return err
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		return err
	}
	return os.Chtimes(name, at, at)
}
