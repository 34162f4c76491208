package serve

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/cmd/custom-misp/internal/wazuhtest"
	"custom-misp/engine/atomicfile"
)

// TestReadsWithoutCheckpoint has a disk that takes no checkpoint at first: serve begins all the same and keeps the file that
// it reads open over midnight, and no call relies on what it reads before the checkpoint is saved.
func TestReadsWithoutCheckpoint(t *testing.T) {
	home := t.TempDir()
	alerts, err := wazuhtest.NewAlertLog(home, time.Date(2026, 1, 5, 12, 0, 0, 0, time.Local))
	must(t, err)
	write := func(id string) {
		_, err := fmt.Fprintf(alerts, `{"id":%q,"rule":{"id":"1"}}`+"\n", id)
		must(t, err)
	}
	id := func(offset int) string { return fmt.Sprintf("%d.%d", time.Now().Unix()+100, offset) }
	write(id(100))
	c := load(t, home, "log: {file: ''}\n")
	state := app.StateOf(c)
	full := atomicfile.TestOnlyHook(func(s atomicfile.Step, name string) error {
		if name == state.Checkpoint(c.Serve.Files()[0]) && s == atomicfile.StepWrite {
			return syscall.ENOSPC
		}
		return nil
	})
	var log strings.Builder
	v := &server{log: slog.New(slog.NewTextHandler(&log, nil))}
	v.lock, err = app.LockServe(c)
	must(t, err)
	defer v.lock.Unlock()
	must(t, v.follow(t.Context(), c))
	defer v.closeAlerts() //nolint:errcheck // only read
	live := filepath.Join(home, wazuhtest.Alerts)
	claims := func(offset int) bool {
		n, ok := app.Running(c.StateDir)
		return ok && n.WillRead(live, id(offset))
	}
	next := func(want ...int) {
		t.Helper()
		for _, offset := range want {
			a, err := followed{v, v.files[0]}.Next(t.Context())
			must(t, err)
			if len(a.Text) != 1 || !strings.Contains(string(a.Text[0]), fmt.Sprintf(".%d\"", offset)) {
				t.Fatalf("read %q, want offset %d", a.Text, offset)
			}
			a.Done()
		}
	}
	if claims(200) || !strings.Contains(log.String(), "checkpoint not written") {
		t.Errorf("no checkpoint is saved, and calls rely on one; log: %s", &log)
	}
	write(id(200))
	last, err := alerts.NextDay()
	must(t, err)
	must(t, os.Remove(last)) // no one else has it
	write(id(50))
	next(200, 50)
	if claims(60) {
		t.Error("no checkpoint is saved, and calls rely on one")
	}
	full()
	must(t, v.files[0].checkpoint.flush())
	write(id(60))
	next(60)
	if claims(60) || !claims(70) {
		t.Errorf("the alert in the file: %t, the next: %t", claims(60), claims(70))
	}
	_, err = alerts.NextDay()
	must(t, err)
	if claims(70) {
		t.Error("claims a file that it does not read yet")
	}
	write(id(5))
	next(5)
	if claims(0) || !claims(5) {
		t.Errorf("of the new file, offset 0: %t, offset 5: %t", claims(0), claims(5))
	}
}

// TestReadsNothing has alerts whose ids say nothing about the place where they were written.
func TestReadsNothing(t *testing.T) {
	home := t.TempDir()
	alerts, err := wazuhtest.NewAlertLog(home, time.Date(2026, 1, 5, 12, 0, 0, 0, time.Local))
	must(t, err)
	_, err = fmt.Fprintln(alerts, `{"id":"a-1"}`)
	must(t, err)
	c := load(t, home, "log: {file: ''}\n")
	v := &server{log: slog.New(slog.DiscardHandler)}
	v.lock, err = app.LockServe(c)
	must(t, err)
	defer v.lock.Unlock()
	must(t, errors.Join(v.follow(t.Context(), c), v.closeAlerts()))
	if v.reads != nil {
		t.Errorf("%+v", v.reads)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// load loads a configuration for a home.
func load(t *testing.T, home, text string) *config.Config {
	t.Helper()
	name := filepath.Join(home, "etc/custom-misp.yaml")
	must(t, os.MkdirAll(filepath.Dir(name), 0o750))
	must(t, os.WriteFile(name, []byte(text), 0o600))
	c, err := config.Load(config.Request{Home: home, File: name})
	must(t, err)
	return c
}
