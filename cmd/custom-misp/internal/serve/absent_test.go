package serve

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAbsence has a file of alerts that does not exist be a fault after a while, and none once it is there.
func TestAbsence(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "alerts.json")
	var a absence
	now := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	step := func(after time.Duration, wrong bool) {
		t.Helper()
		now = now.Add(after)
		a.look(file, now)
		err := a.err(now)
		if (err != nil) != wrong || err != nil && !strings.Contains(err.Error(), file+" does not exist since 2026-11-25T10:00:00Z") {
			t.Errorf("at %s: %v", now, err)
		}
	}
	step(0, false)
	step(absentAfter-time.Second, false)
	step(time.Second, true)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	step(time.Second, false)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	step(time.Second, false)
	var none absence
	none.look("", now)
	if err := none.err(now.Add(time.Hour)); err != nil {
		t.Errorf("no file is followed: %v", err)
	}
}
