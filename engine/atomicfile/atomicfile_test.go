package atomicfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/atomicfile"
)

// steps records what is done in dir, and has one step fail.
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

// TestFailure has each step fail: the old content stays, unless the new one is in place already, and nothing else is
// left behind.
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

func TestRemoveStale(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
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
	if diff := cmp.Diff([]string{".new-young", "old"}, left); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestReadFile reads what is not a state file: a pipe would keep the reader waiting for ever.
func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	pipe, long := filepath.Join(dir, "pipe"), filepath.Join(dir, "long")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(long, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := atomicfile.ReadFile(pipe, 10); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("pipe: %v", err)
	}
	if _, err := atomicfile.ReadFile(long, 4); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("long: %v", err)
	}
	if data, err := atomicfile.ReadFile(long, 5); err != nil || string(data) != "12345" {
		t.Errorf("%q, %v", data, err)
	}
}
