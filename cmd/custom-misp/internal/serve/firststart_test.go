package serve

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/wazuhtest"
	"custom-misp/engine/atomicfile"
)

// TestFirstStartOnFullDisk has no room for the state directory when serve starts for the first time. It waits, and reads what
// Wazuh writes and rotates away meanwhile when there is room.
func TestFirstStartOnFullDisk(t *testing.T) {
	home := t.TempDir()
	alerts, err := wazuhtest.NewAlertLog(home, time.Date(2026, 1, 5, 12, 0, 0, 0, time.Local))
	must(t, err)
	write := func(id string) {
		_, err := fmt.Fprintf(alerts, `{"id":%q,"rule":{"id":"1"}}`+"\n", id)
		must(t, err)
	}
	write("before")
	c := load(t, home, "log: {file: ''}\n")
	state := app.StateOf(c)
	must(t, os.RemoveAll(string(state)))
	tries := 0
	defer atomicfile.TestOnlyHook(func(s atomicfile.Step, name string) error {
		if s != atomicfile.StepMkdir || !strings.HasPrefix(name, string(state)) {
			return nil
		}
		switch tries++; tries {
		case 1:
			return syscall.ENOSPC
		case 2: // the alerts are open by now
			write("meanwhile")
			last, err := alerts.NextDay()
			must(t, err)
			must(t, os.Remove(last)) // no one else has it
			write("next day")
			return syscall.ENOSPC
		}
		return nil
	})()
	var log strings.Builder
	v := &server{log: slog.New(slog.NewTextHandler(&log, nil))}
	must(t, v.takeLock(t.Context(), c, time.Nanosecond))
	if v.lock == nil || v.files == nil || tries < 3 {
		t.Fatalf("lock %v, follower %v, %d tries", v.lock, v.files, tries)
	}
	defer v.lock.Unlock()
	must(t, v.follow(t.Context(), c))
	defer v.files[0].checkpoint.saving.Wait()
	defer v.closeAlerts() //nolint:errcheck // only read
	for _, id := range []string{"meanwhile", "next day"} {
		a, err := followed{v, v.files[0]}.Next(t.Context())
		must(t, err)
		if len(a.Text) != 1 || !strings.Contains(string(a.Text[0]), id) {
			t.Fatalf("read %q, want %q", a.Text, id)
		}
		a.Done()
	}
	if n := strings.Count(log.String(), "keeps the alerts open"); n != 1 {
		t.Errorf("said %d times: %s", n, &log)
	}
	if _, err := os.Stat(filepath.Join(string(state), "serve.lock")); err != nil {
		t.Error(err)
	}
}

// TestFullDiskEnds ends serve while it waits for room, and does not wait for what is no lack of room.
func TestFullDiskEnds(t *testing.T) {
	home := t.TempDir()
	c := load(t, home, "log: {file: ''}\n")
	state := app.StateOf(c)
	must(t, os.RemoveAll(string(state)))
	why := error(syscall.ENOSPC)
	defer atomicfile.TestOnlyHook(func(s atomicfile.Step, name string) error {
		if s == atomicfile.StepMkdir && strings.HasPrefix(name, string(state)) {
			return why
		}
		return nil
	})()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	v := &server{log: slog.New(slog.DiscardHandler)}
	if err := v.takeLock(ctx, c, time.Hour); err != nil || v.lock != nil || v.files != nil {
		t.Errorf("lock %v, %v", v.lock, err)
	}
	why = syscall.EACCES
	if err := v.takeLock(t.Context(), c, time.Hour); err == nil {
		t.Error("no error without the right to write")
	}
}
