package atomicfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/atomicfile"
)

// steps records the steps in dir, and makes one of them fail.
func steps(t *testing.T, dir string, fail atomicfile.Step) *[]string {
	t.Helper()
	var done []string
	t.Cleanup(atomicfile.TestOnlyHook(func(s atomicfile.Step, name string) error {
		if !strings.HasPrefix(name, dir) {
			return nil
		}
		done = append(done, strings.TrimSuffix(string(s)+" "+strings.TrimPrefix(strings.TrimPrefix(name, dir), "/"), " "))
		if s == fail {
			return syscall.ENOSPC
		}
		return nil
	}))
	return &done
}

func TestOrder(t *testing.T) {
	for d, want := range map[atomicfile.Durability][]string{
		atomicfile.Durable:  {"create a", "write a", "sync a", "rename a", "sync directory"},
		atomicfile.Volatile: {"create a", "write a", "rename a"},
	} {
		dir := t.TempDir()
		done := steps(t, dir, "")
		if err := atomicfile.WriteFile(filepath.Join(dir, "a"), []byte("new"), d); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, *done); diff != "" {
			t.Errorf("durable %t (-want +got):\n%s", d, diff)
		}
	}
}

// TestFailure makes each step fail. The old content stays, unless the new one is in place already, and no other file is left
// behind.
func TestFailure(t *testing.T) {
	for _, fail := range []atomicfile.Step{
		atomicfile.StepCreate, atomicfile.StepWrite, atomicfile.StepSync, atomicfile.StepRename, atomicfile.StepSyncDir,
	} {
		t.Run(string(fail), func(t *testing.T) {
			dir := t.TempDir()
			name := filepath.Join(dir, "a")
			if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			steps(t, dir, fail)
			if err := atomicfile.WriteFile(name, []byte("new"), atomicfile.Durable); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("error %v, want %v", err, syscall.ENOSPC)
			}
			want := "old"
			if fail == atomicfile.StepSyncDir {
				want = "new"
			}
			if data, err := os.ReadFile(name); err != nil || string(data) != want {
				t.Errorf("content %q, %v; want %q", data, err, want)
			}
			files, err := os.ReadDir(dir)
			if err != nil || len(files) != 1 {
				t.Errorf("%d files, %v; want the one", len(files), err)
			}
		})
	}
}

func TestMode(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a")
	if err := atomicfile.WriteFile(name, nil, atomicfile.Volatile); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(name)
	if err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v; want 0640", st.Mode().Perm(), err)
	}
}

func TestDiscard(t *testing.T) {
	dir := t.TempDir()
	f, err := atomicfile.Create(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	f.Discard()
	f.Discard()
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("%d files left", len(files))
	}
}

// TestCommitIncomplete ignores the error of a write, as a writer between can do: what is incomplete is not committed.
func TestCommitIncomplete(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "a")
	if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := atomicfile.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("first")); err != nil {
		t.Fatal(err)
	}
	fails := true
	t.Cleanup(atomicfile.TestOnlyHook(func(s atomicfile.Step, _ string) error {
		if s == atomicfile.StepWrite && fails {
			return syscall.ENOSPC
		}
		return nil
	}))
	if _, err := f.Write([]byte("second")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error %v, want %v", err, syscall.ENOSPC)
	}
	fails = false
	if _, err := f.Write([]byte("third")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("next write: error %v, want %v", err, syscall.ENOSPC)
	}
	if err := f.Commit(atomicfile.Volatile); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("commit: error %v, want %v", err, syscall.ENOSPC)
	}
	if data, err := os.ReadFile(name); err != nil || string(data) != "old" {
		t.Errorf("content %q, %v; want the old one", data, err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("%d files left, want the one", len(files))
	}
}

// TestEnded uses files that were committed or discarded, or never created.
func TestEnded(t *testing.T) {
	dir := t.TempDir()
	committed, err := atomicfile.Create(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	if err := committed.Commit(atomicfile.Volatile); err != nil {
		t.Fatal(err)
	}
	discarded, err := atomicfile.Create(filepath.Join(dir, "b"))
	if err != nil {
		t.Fatal(err)
	}
	discarded.Discard()
	for name, f := range map[string]*atomicfile.File{"committed": committed, "discarded": discarded, "zero": {}} {
		f.SetGroup(os.Getgid())
		if n, err := f.Write([]byte("x")); n != 0 || !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%s: %d bytes written, %v", name, n, err)
		}
		if err := f.Commit(atomicfile.Durable); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%s: commit: %v", name, err)
		}
		f.Discard()
	}
	if data, err := os.ReadFile(filepath.Join(dir, "a")); err != nil || len(data) != 0 {
		t.Errorf("content %q, %v", data, err)
	}
}

func TestRemoveStale(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a[b*")
	if err := os.MkdirAll(filepath.Join(dir, ".new-directory"), 0o700); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if err := os.Chtimes(filepath.Join(dir, ".new-directory"), now.Add(-time.Hour), now.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	for name, age := range map[string]time.Duration{".new-old": time.Hour, ".new-young": 0, "old": time.Hour} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	atomicfile.RemoveStale(dir, now.Add(-time.Minute))
	var left []string
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		left = append(left, f.Name())
	}
	if diff := cmp.Diff([]string{".new-directory", ".new-young", "old"}, left); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
