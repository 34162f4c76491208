package app

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/cmd/custom-misp/internal/config"
)

// oldFiles is a state directory as releases before this one have it, with what is in its files.
var oldFiles = map[string]string{
	"checkpoint.json": `{"offset":7}`,
	"misp.json":       `{"since":"2026-01-02T03:04:05Z"}`,
	"misp.json.lock":  "",
	"sent":            "12345678",
	"serve.lock":      `{"pid":7}`,
	"spool/lock":      "",
	"spool/alerts/2026-01-02T03:04:05.000000001Z.ABCDEFGH.0.2.json": "{}",
	"spool/aside/alerts/2026-01-02T03:04:05.0Z.ABCDEFGH.0.2.json":   "{}",
	"spool/alerts/.new-123": "half",
	"mirror/misp/segment-1": "segment",
	"sightings/u":           "",
}

// movedFiles are those of them that are worth keeping.
func movedFiles() map[string]string {
	want := map[string]string{}
	for name, text := range oldFiles {
		if name == "serve.lock" || !strings.HasSuffix(name, "lock") && !strings.Contains(name, ".new-") {
			want[name] = text
		}
	}
	return want
}

// earlier makes a home with the state of an earlier release.
func earlier(t *testing.T) (*config.Config, State) {
	t.Helper()
	c := load(t, "log: {file: ''}\n")
	old := State(c.FromHome(oldStateDir))
	for name, text := range oldFiles {
		name = old.path(name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o750), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return c, old
}

// files returns what is in the files below a directory.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(name) //nolint:gosec // of this test
		found[strings.TrimPrefix(name, dir+"/")] = string(data)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return found
}

// TestMoveState moves the state of an earlier release, within a file system and to another one, at once and after it was
// stopped at each file.
func TestMoveState(t *testing.T) {
	defer func() { testOnlyRename = os.Rename }()
	for _, across := range []bool{false, true} {
		for stop := range len(oldFiles) + 1 {
			c, old := earlier(t)
			n := 0
			testOnlyRename = func(from, to string) error {
				if n++; n == stop {
					return errors.New("stopped")
				}
				if across {
					return &os.LinkError{Op: "rename", Old: from, New: to, Err: syscall.EXDEV}
				}
				return os.Rename(from, to)
			}
			log := slog.New(slog.DiscardHandler)
			MoveState(c, log)
			if stop > 0 && stop <= len(movedFiles()) && OldState(c) == "" {
				t.Errorf("stopped at %d: the old directory is gone", stop)
			}
			MoveState(c, log)
			if diff := cmp.Diff(movedFiles(), files(t, c.StateDir)); diff != "" || OldState(c) != "" {
				t.Errorf("across file systems %t, stopped at %d: old directory %q; (-want +got):\n%s", across, stop, OldState(c), diff)
			}
			if len(files(t, string(old))) > 0 {
				t.Errorf("left behind: %v", files(t, string(old)))
			}
		}
	}
}

// TestMoveStateKeepsNew has a newer file in the new place already.
func TestMoveStateKeepsNew(t *testing.T) {
	c, _ := earlier(t)
	name := StateOf(c).Checkpoint(config.AlertsFile{Main: true})
	if err := errors.Join(os.MkdirAll(c.StateDir, 0o750), os.WriteFile(name, []byte("new"), 0o600)); err != nil {
		t.Fatal(err)
	}
	MoveState(c, slog.New(slog.DiscardHandler))
	want := movedFiles()
	want["checkpoint.json"] = "new"
	if diff := cmp.Diff(want, files(t, c.StateDir)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestMoveStateInUse has a serve, or a call, of the earlier release at work: nothing is moved before it ends.
func TestMoveStateInUse(t *testing.T) {
	for _, lock := range []string{"serve.lock", "spool/lock"} {
		c, old := earlier(t)
		f, err := os.OpenFile(old.path(lock), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close() //nolint:errcheck // only locked
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		MoveState(c, slog.New(slog.NewTextHandler(&log, nil)))
		if len(files(t, c.StateDir)) > 0 || len(files(t, string(old))) != len(oldFiles) || !strings.Contains(log.String(), "is in use") {
			t.Errorf("%s: moved; log: %s", lock, &log)
		}
		_ = f.Close()
		MoveState(c, slog.New(slog.DiscardHandler))
		if diff := cmp.Diff(movedFiles(), files(t, c.StateDir)); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", lock, diff)
		}
	}
}

// TestMoveStateNowhere has nothing to move: another directory is configured, or there is none, or a file in its place.
func TestMoveStateNowhere(t *testing.T) {
	c, old := earlier(t)
	c.StateDir = c.FromHome("elsewhere")
	MoveState(c, slog.New(slog.DiscardHandler))
	if len(files(t, string(old))) != len(oldFiles) {
		t.Error("moved although the configuration names a directory")
	}
	c.StateDir = config.DefaultStateDir(c.Home)
	if err := errors.Join(os.RemoveAll(string(old)), os.WriteFile(string(old), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	MoveState(c, slog.New(slog.DiscardHandler))
	if _, err := os.Stat(c.StateDir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("state directory: %v", err)
	}
}
