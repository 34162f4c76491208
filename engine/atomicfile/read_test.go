package atomicfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"custom-misp/engine/atomicfile"
)

// TestReadRegular reads what is a file, also behind a link, and waits for nothing else.
func TestReadRegular(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := func(s string) string { return filepath.Join(dir, s) }
	for _, err := range []error{
		os.WriteFile(name("file"), []byte("12345"), 0o600), os.WriteFile(name("long"), []byte("123456"), 0o600), os.Symlink("file", name("link")),
		syscall.Mkfifo(name("pipe"), 0o600), os.Symlink("/dev/zero", name("device")), os.Mkdir(name("dir"), 0o700), os.Symlink("none", name("dangling")),
		os.WriteFile(name("huge"), nil, 0o600), os.Truncate(name("huge"), 12<<30),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	late := time.AfterFunc(time.Minute, func() { panic("waits") })
	defer late.Stop()
	for file, want := range map[string]error{
		"file": nil, "link": nil, "long": atomicfile.ErrTooLong, "huge": atomicfile.ErrTooLong, "pipe": atomicfile.ErrNotRegular, "device": atomicfile.ErrNotRegular,
		"dir": atomicfile.ErrNotRegular, "dangling": fs.ErrNotExist, "none": fs.ErrNotExist,
	} {
		data, err := atomicfile.ReadRegular(name(file), 5)
		if !errors.Is(err, want) || want == nil && string(data) != "12345" || err != nil && !strings.Contains(err.Error(), name(file)) {
			t.Errorf("%s: %q, %v; want %v", file, data, err, want)
		}
		if _, err := atomicfile.ReadDir(name(file)); (err == nil) != (file == "dir") {
			t.Errorf("%s as a directory: %v", file, err)
		}
		f, err := atomicfile.DirFS(dir).Open(file)
		if err == nil {
			_ = f.Close()
		}
		if opens := want == nil || errors.Is(want, atomicfile.ErrTooLong) || file == "dir"; opens != (err == nil) {
			t.Errorf("%s in a directory: %v", file, err)
		}
	}
	if data, err := atomicfile.ReadRegular("/proc/self/stat", 4096); err != nil || len(data) == 0 { // it has no size
		t.Errorf("%q, %v", data, err)
	}
}

// TestDirFS checks that it is a file system as the others are.
func TestDirFS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "a/b"), 0o700), os.WriteFile(filepath.Join(dir, "a/b/c"), []byte("x"), 0o600), os.WriteFile(filepath.Join(dir, "d"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(atomicfile.DirFS(dir), "a/b/c", "d"); err != nil {
		t.Error(err)
	}
}
