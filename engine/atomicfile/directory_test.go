package atomicfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/atomicfile"
)

// TestMkdirAll checks that the parent of each new directory is synced before anything is made in it.
func TestMkdirAll(t *testing.T) {
	dir := t.TempDir()
	done := steps(t, dir, "")
	if err := atomicfile.MkdirAll(filepath.Join(dir, "a", "b")+"/", 0o750); err != nil {
		t.Fatal(err)
	}
	want := []string{"make directory a", "sync directory", "make directory a/b", "sync directory a"}
	if diff := cmp.Diff(want, *done); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	plain := filepath.Join(t.TempDir(), "plain") // has what the umask leaves of the mode
	if err := os.Mkdir(plain, 0o750); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "a/b"} {
		if got, want := modeOf(t, filepath.Join(dir, name)), modeOf(t, plain); got != want {
			t.Errorf("%s has mode %v, want %v", name, got, want)
		}
	}
	*done = nil
	if err := atomicfile.MkdirAll(filepath.Join(dir, "a", "b"), 0o750); err != nil || len(*done) > 0 {
		t.Errorf("again: %v, %q", err, *done)
	}
	if err := atomicfile.MkdirAll(filepath.Join(dir, "a", "c"), 0o750); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"make directory a/c", "sync directory a"}, *done); diff != "" {
		t.Errorf("beside it (-want +got):\n%s", diff)
	}
}

func modeOf(t *testing.T, name string) fs.FileMode {
	t.Helper()
	st, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return st.Mode()
}

// TestMkdirAllFails makes each step fail. What could not be synced is gone, so that the next try syncs it.
func TestMkdirAllFails(t *testing.T) {
	for _, fail := range []atomicfile.Step{atomicfile.StepMkdir, atomicfile.StepSyncDir} {
		t.Run(string(fail), func(t *testing.T) {
			dir := t.TempDir()
			name := filepath.Join(dir, "a", "b")
			remove := atomicfile.TestOnlyHook(func(s atomicfile.Step, _ string) error {
				if s == fail {
					return syscall.EIO
				}
				return nil
			})
			if err := atomicfile.MkdirAll(name, 0o750); !errors.Is(err, syscall.EIO) {
				t.Errorf("error %v, want %v", err, syscall.EIO)
			}
			remove()
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
			done := steps(t, dir, "")
			if err := atomicfile.MkdirAll(name, 0o750); err != nil || len(*done) != 4 {
				t.Errorf("second try: %v, %q", err, *done)
			}
		})
	}
}

// TestMkdirAllInTheWay finds what is not a directory in its way.
func TestMkdirAllInTheWay(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Symlink(filepath.Join(dir, "gone"), link)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{file: syscall.ENOTDIR, filepath.Join(file, "a", "b"): syscall.ENOTDIR, link: fs.ErrExist} {
		if err := atomicfile.MkdirAll(name, 0o750); !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", name, err, want)
		}
	}
}

// TestMkdirAllGone runs in a directory that was removed, so that no parent of a relative name exists.
func TestMkdirAllGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.MkdirAll("a/b", 0o750); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
}

// TestMkdirAllAtOnce makes the same directories from many goroutines, as processes that start together do.
func TestMkdirAllAtOnce(t *testing.T) {
	dir := t.TempDir()
	for range 50 {
		name := filepath.Join(dir, "a", "b", "c")
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if err := atomicfile.MkdirAll(name, 0o750); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if err := os.RemoveAll(filepath.Join(dir, "a")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSyncDirUnsupported checks that a file system that cannot sync directories can hold state.
func TestSyncDirUnsupported(t *testing.T) {
	for _, err := range []error{syscall.EINVAL, syscall.ENOTSUP} {
		remove := atomicfile.TestOnlyHook(func(s atomicfile.Step, _ string) error {
			if s == atomicfile.StepSyncDir {
				return err
			}
			return nil
		})
		if got := atomicfile.WriteFile(filepath.Join(t.TempDir(), "a"), nil, atomicfile.Durable); got != nil {
			t.Errorf("%v: error is %v", err, got)
		}
		remove()
	}
	if err := atomicfile.SyncDir(filepath.Join(t.TempDir(), "gone")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
}
