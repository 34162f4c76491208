package serve

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"custom-misp/engine/atomicfile"
	"custom-misp/engine/wazuh/alertlog"
)

// TestLaterFile notes places while MISP is unreachable and while it is being asked, and reads what is on disk after each.
func TestLaterFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "delayed.json")
	l, damage := loadLater(name, slog.New(slog.DiscardHandler))
	must(t, damage)
	place := func(day int) alertlog.Checkpoint {
		return alertlog.Checkpoint{File: time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC).Format("2006/Jan/ossec-alerts-02.json")}
	}
	expect := func(when string, day int) {
		t.Helper()
		at, found, err := alertlog.LoadCheckpoint(name)
		must(t, err)
		if found != (day > 0) || found && at.File != place(day).File {
			t.Errorf("%s: %t, %+v; want day %d", when, found, at, day)
		}
	}
	if _, ok := l.begin(); ok {
		t.Error("there is something to ask")
	}
	l.add(place(1))
	expect("first", 1)
	l.add(place(2))
	expect("second", 1)
	if at, ok := l.begin(); !ok || at.File != place(1).File {
		t.Errorf("begins at %+v, %t", at, ok)
	}
	l.add(place(3))
	l.add(place(4))
	l.end(false)
	expect("asked in vain", 1)
	_, _ = l.begin()
	l.savedAt = time.Time{}
	l.moved(place(2))
	expect("some were asked", 2)
	l.add(place(5))
	l.add(place(6))
	l.end(true)
	expect("all are asked but what came meanwhile", 5)
	again, damage := loadLater(name, slog.New(slog.DiscardHandler))
	must(t, damage)
	if _, ok := again.begin(); !ok {
		t.Error("nothing is left after a restart")
	}
	again.end(true)
	expect("all are asked", 0)
}

// TestLaterFileFullDisk has a disk that takes no record of what MISP has to be asked about: the checkpoint is not moved past
// it on the disk before it does.
func TestLaterFileFullDisk(t *testing.T) {
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	l, damage := loadLater(filepath.Join(dir, "delayed.json"), log)
	must(t, damage)
	c := &checkpointFile{name: filepath.Join(dir, "checkpoint.json"), copy: filepath.Join(dir, "copy.json"), log: log, before: l.flush}
	full := atomicfile.TestOnlyHook(func(_ atomicfile.Step, name string) error {
		if name == l.name {
			return syscall.ENOSPC
		}
		return nil
	})
	l.add(alertlog.Checkpoint{})
	c.last, c.dirty = alertlog.Checkpoint{File: "2026/Jan/ossec-alerts-05.json"}, true
	if err := c.flush(); !errors.Is(err, syscall.ENOSPC) || c.due() {
		t.Errorf("checkpoint: %v; due again at once: %t", err, c.due())
	}
	if _, found, err := alertlog.LoadCheckpoint(c.name); found || err != nil {
		t.Errorf("checkpoint on disk: %t, %v", found, err)
	}
	full()
	must(t, c.flush())
	for _, name := range []string{l.name, c.name} {
		if _, found, err := alertlog.LoadCheckpoint(name); !found || err != nil {
			t.Errorf("%s: %t, %v", name, found, err)
		}
	}
}

// TestLaterFileUnreadable has a damaged file, which is moved aside, and one of a later version, which stays as it is.
func TestLaterFileUnreadable(t *testing.T) {
	name := filepath.Join(t.TempDir(), "delayed.json")
	must(t, os.WriteFile(name, []byte("{"), 0o600))
	l, damage := loadLater(name, slog.New(slog.DiscardHandler))
	if _, err := os.Stat(name); damage == nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("damage %v; the file: %v", damage, err)
	}
	l.add(alertlog.Checkpoint{})
	if _, found, err := alertlog.LoadCheckpoint(name); !found || err != nil {
		t.Errorf("found %t, %v", found, err)
	}

	must(t, atomicfile.WriteJSON(name, 1000, alertlog.Checkpoint{}, atomicfile.Volatile))
	before, err := os.ReadFile(name) //nolint:gosec // of this test
	must(t, err)
	l, damage = loadLater(name, slog.New(slog.DiscardHandler))
	l.add(alertlog.Checkpoint{})
	if after, err := os.ReadFile(name); damage == nil || err != nil || string(after) != string(before) { //nolint:gosec // of this test
		t.Errorf("damage %v; the file was %s and is %s, %v", damage, before, after, err)
	}
}
