package serve

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"custom-misp/engine/atomicfile"
	"custom-misp/engine/wazuh/alertlog"
)

// TestCheckpointSlowDisk puts places while the disk takes nothing: no one waits, and what came meanwhile is one further save,
// which is not due at once. At the end the last place is saved, and the copy is as old as it may be.
func TestCheckpointSlowDisk(t *testing.T) {
	dir := t.TempDir()
	c := &checkpointFile{name: filepath.Join(dir, "c"), copy: filepath.Join(dir, "copy"), log: slog.New(slog.DiscardHandler)}
	began, disk, saves := make(chan bool, 10), make(chan bool), map[string]int{}
	defer atomicfile.TestOnlyHook(func(s atomicfile.Step, name string) error {
		if s == atomicfile.StepSync && filepath.Dir(name) == dir {
			saves[filepath.Base(name)]++
			began <- true
			<-disk
		}
		return nil
	})()
	place := func(n int) alertlog.Checkpoint {
		return alertlog.Checkpoint{File: "2026/Jan/ossec-alerts-05.json", Inode: uint64(n), Opened: time.Unix(1, 0).UTC()} //nolint:gosec // small
	}
	for n := range 100 {
		c.put(place(n), nil)
		if n == 0 {
			<-began
		}
	}
	close(disk)
	c.saving.Wait()
	if saves["c"] != 1 || saves["copy"] != 1 {
		t.Errorf("saved %v times", saves)
	}
	c.put(place(200), nil)
	if err := c.flush(); err != nil {
		t.Fatal(err)
	}
	if saves["c"] != 2 || saves["copy"] != 1 {
		t.Errorf("at the end: saved %v times", saves)
	}
	for name, want := range map[string]func(inode uint64) bool{
		c.name: func(n uint64) bool { return n == 200 },
		c.copy: func(n uint64) bool { return n == 0 },
	} {
		if at, ok, err := alertlog.LoadCheckpoint(name); err != nil || !ok || !want(at.Inode) {
			t.Errorf("%s: %+v, %t, %v", name, at, ok, err)
		}
	}
}
