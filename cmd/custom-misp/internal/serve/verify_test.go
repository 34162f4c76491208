package serve

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine"
	"custom-misp/misp/mirror"
)

// TestNoticeDamage has a source damaged: it is logged and woken once, also when the sync fails, and again for a new
// damage.
func TestNoticeDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	list := filepath.Join(dir, "list.txt")
	if err := os.WriteFile(list, []byte("evil.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	y := &mirror.Syncer{Dir: dir, Now: clock}
	defer y.Close()
	sync := func() (state mirror.State) {
		t.Helper()
		state, err := y.Sync(t.Context(), mirror.NewList("mine", list, ""), false)
		if err != nil {
			t.Fatal(err)
		}
		return state
	}
	state := sync()
	m := mirror.Open(dir, []string{"mine"}, engine.Filter{})
	defer m.Close()
	m.Now = clock
	var log bytes.Buffer
	d := damages{log: cli.NewLog(&log, slog.LevelInfo, false)}
	wake := d.wakes("mine")
	expect := func(what string, woken, lines int) {
		t.Helper()
		m.Refresh()
		d.notice(m)
		d.notice(m)
		if n := strings.Count(log.String(), "mirror is damaged"); len(wake) != woken || n != lines {
			t.Errorf("%s: woken %d times, %d lines in the log", what, len(wake), n)
		}
		for len(wake) > 0 {
			<-wake
		}
	}
	damage := func() {
		t.Helper()
		if err := os.Truncate(filepath.Join(dir, "mine", state.Base), 50); err != nil {
			t.Fatal(err)
		}
	}
	expect("whole", 0, 0)
	damage()
	expect("damaged", 1, 1)
	expect("still damaged", 0, 1)
	now = now.Add(time.Minute)
	state = sync()
	expect("whole again", 0, 1)
	damage()
	expect("damaged again", 1, 2)

	// A source that is woken does not wait for its usual time.
	wake <- struct{}{}
	if !waitUnless(t.Context(), time.Hour, wake) {
		t.Error("ended")
	}
}
