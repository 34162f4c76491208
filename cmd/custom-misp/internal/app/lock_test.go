package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"custom-misp/cmd/custom-misp/internal/config"
)

// load writes a configuration and loads it.
func load(t *testing.T, text string) *config.Config {
	t.Helper()
	home := t.TempDir()
	name := filepath.Join(home, "etc/custom-misp.yaml")
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Request{Home: home, File: name})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestLockServe lets one serve run at a time, tells calls how large its spool may be, and forgets it when it ends.
func TestLockServe(t *testing.T) {
	t.Parallel()
	c := load(t, "spool: {max_entries: 7, max_mib: 3}\n")
	state := StateOf(c)
	if _, ok := Running(c.StateDir); ok || ServeRuns(state) || ServeRanHere(state) {
		t.Error("serve runs before it was started")
	}
	lock, err := LockServe(c)
	if err != nil {
		t.Fatal(err)
	}
	running, ok := Running(c.StateDir + "/")
	if !ok || !ServeRuns(state) || !ServeRanHere(state) {
		t.Fatal("serve does not run")
	}
	if spool := SpoolOf(c.StateDir, running); spool.Path != state.Spool() || spool.MaxEntries != 7 || spool.MaxBytes != 3<<20 {
		t.Errorf("the spool of the one that runs: %+v", spool)
	}
	if _, err := LockServe(c); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("(pid %d)", os.Getpid())) || !strings.Contains(err.Error(), state.Lock()) {
		t.Errorf("a second one: %v", err)
	}
	lock.Unlock()
	if _, ok := Running(c.StateDir); ok || ServeRuns(state) || !ServeRanHere(state) {
		t.Error("serve still runs after its end")
	}
	again, err := LockServe(c)
	if err != nil {
		t.Fatal(err)
	}
	again.Unlock()
}

// TestLockServeNoDirectory names the key of a state directory that cannot be.
func TestLockServeNoDirectory(t *testing.T) {
	t.Parallel()
	c := load(t, "state_dir: etc/custom-misp.yaml/state\n")
	if _, err := LockServe(c); err == nil || !strings.HasPrefix(err.Error(), "state_dir: ") {
		t.Error(err)
	}
}
