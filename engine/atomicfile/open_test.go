package atomicfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"custom-misp/engine/atomicfile"
)

// TestOpenOther opens what others can put in the place of a state file. A pipe would block for ever, in either direction.
func TestOpenOther(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(at("file"), []byte("12345"), 0o600))
	must(os.Symlink(at("file"), at("link")))
	must(syscall.Mkfifo(at("pipe"), 0o600))
	must(os.Mkdir(at("directory"), 0o700))
	for name, want := range map[string]string{"link": "a symbolic link", "pipe": "not a regular file", "directory": "not a regular file"} {
		for _, flag := range []int{os.O_RDONLY, os.O_WRONLY | os.O_APPEND | os.O_CREATE, os.O_RDWR | os.O_CREATE} {
			if name == "directory" && flag != os.O_RDONLY {
				continue // the kernel itself refuses
			}
			f, err := atomicfile.Open(at(name), flag)
			if f != nil || !errors.Is(err, atomicfile.ErrNotState) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), at(name)) {
				t.Errorf("%s with flags %#x: %v", name, flag, err)
			}
		}
	}
	if _, err := atomicfile.Open(at("absent"), os.O_RDONLY); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	f, err := atomicfile.Open(at("new"), os.O_CREATE|os.O_WRONLY)
	must(err)
	must(f.Close())
	if st, err := os.Stat(at("new")); err != nil || st.Mode().Perm()&0o007 != 0 {
		t.Errorf("new: %v, %v", st, err)
	}
}

func TestReadFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(name, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := atomicfile.ReadFile(name, 4); !errors.Is(err, atomicfile.ErrNotState) || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("long: %v", err)
	}
	if data, err := atomicfile.ReadFile(name, 5); err != nil || string(data) != "12345" {
		t.Errorf("%q, %v", data, err)
	}
	if err := os.Truncate(name, 12<<30); err != nil { // a hole of 12 GB
		t.Fatal(err)
	}
	if _, err := atomicfile.ReadFile(name, 1<<20); !errors.Is(err, atomicfile.ErrNotState) {
		t.Errorf("hole: %v", err)
	}
}

// TestOwner gives files to others, which only root can do.
func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	const wazuh, other, group = 1001, 1002, 1003
	tests := []struct {
		name                string
		dirUser, dirGroup   int
		dirMode             fs.FileMode
		fileUser, fileGroup int
		refused             bool
	}{
		{"its own directory", wazuh, group, 0o750, wazuh, group, false},
		{"root's directory, for the group", 0, group, 0o770, wazuh, group, false},
		{"root's directory, not for the group", 0, group, 0o750, wazuh, group, true},
		{"root's file", wazuh, group, 0o750, 0, 0, false},
		{"another user's file", wazuh, group, 0o770, other, other, true},
	}
	for _, tt := range tests {
		dir := filepath.Join(t.TempDir(), "state")
		name := filepath.Join(dir, "a")
		for _, err := range []error{
			os.Mkdir(dir, 0o700), os.WriteFile(name, nil, 0o600), os.Chown(name, tt.fileUser, tt.fileGroup),
			os.Chown(dir, tt.dirUser, tt.dirGroup), os.Chmod(dir, tt.dirMode),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if _, err := atomicfile.ReadFile(name, 10); errors.Is(err, atomicfile.ErrNotState) != tt.refused {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestKeepDamaged keeps what stood in the place of a file, whatever it was: one of it, and in its place until it is replaced.
func TestKeepDamaged(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a")
	for what, make := range map[string]func() error{
		"file":      func() error { return os.WriteFile(name, []byte("x"), 0o600) },
		"pipe":      func() error { return syscall.Mkfifo(name, 0o600) },
		"link":      func() error { return os.Symlink("/dev/null", name) },
		"directory": func() error { return os.MkdirAll(filepath.Join(name, "b"), 0o700) },
	} {
		if err := make(); err != nil {
			t.Fatal(err)
		}
		aside := atomicfile.KeepDamaged(name)
		st, err := os.Lstat(aside)
		if err != nil || aside != name+".broken" {
			t.Fatalf("%s: %s, %v", what, aside, err)
		}
		if there, err := os.Lstat(name); what != "directory" && (err != nil || !os.SameFile(st, there)) {
			t.Errorf("%s: not in its place: %v", what, err)
		}
		if err := atomicfile.WriteFile(name, nil, atomicfile.Durable); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if aside := atomicfile.KeepDamaged(name); aside != name {
		t.Errorf("of nothing: %s", aside)
	}
}
