package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRefuseReadable refuses files that others than their owner and group can read, write or run.
func TestRefuseReadable(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "key")
	if err := RefuseReadable(name); err == nil {
		t.Error("a file that is not there is accepted")
	}
	for mode, refused := range map[os.FileMode]bool{0o400: false, 0o600: false, 0o640: false, 0o660: false, 0o770: false, 0o644: true, 0o642: true, 0o641: true, 0o604: true, 0o777: true} {
		write(t, name, "x", mode)
		err := RefuseReadable(name)
		if (err != nil) != refused {
			t.Errorf("mode %04o: %v", mode, err)
		}
		if err != nil && !strings.HasSuffix(err.Error(), "; chmod o= "+name) {
			t.Errorf("mode %04o: no remedy in %q", mode, err)
		}
	}
}

// TestKeyRead reads the key from its file. What it says names the key of the configuration, and never the key.
func TestKeyRead(t *testing.T) {
	t.Parallel()
	const secret = "fake-key-for-tests-only"
	dir := t.TempDir()
	name := func(n string) string { return filepath.Join(dir, n) }
	write(t, name("good"), " "+secret+"\n\n", 0o640)
	write(t, name("open"), secret, 0o644)
	write(t, name("empty"), "\n", 0o600)
	for file, want := range map[string]string{"good": "", "empty": "", "open": "misp.key_file: ", "gone": "misp.key_file: ", ".": "misp.key_file: "} {
		key, err := Key{File: name(file), text: "the text does not count"}.Read()
		switch {
		case want == "" && (err != nil || file == "good" && key != secret || file == "empty" && key != ""):
			t.Errorf("%s: %q, %v", file, key, err)
		case want != "" && (err == nil || key != "" || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), secret)):
			t.Errorf("%s: %q, %v", file, key, err)
		}
	}
}

// TestKeyInOpenFile refuses a configuration file with a key in it that is open to everyone, and takes the rest of it.
func TestKeyInOpenFile(t *testing.T) {
	t.Parallel()
	const secret = "fake-key-for-tests-only"
	for text, refused := range map[string]bool{
		"misp: {key: " + secret + "}\nstate_dir: /s\n": true, "misp: {key: ''}\nstate_dir: /s\n": false, "state_dir: /s\n": false,
	} {
		home := t.TempDir()
		write(t, filepath.Join(home, "etc/custom-misp.yaml"), text, 0o644)
		c, err := Load(Request{Home: home})
		if (err != nil) != refused || c.StateDir != "/s" {
			t.Errorf("%q: state_dir %s, %v", text, c.StateDir, err)
		}
		if err != nil && (!strings.HasPrefix(err.Error(), "misp.key: ") || strings.Contains(err.Error(), secret)) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
