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
	if ServeRuns(state) || ServeRanHere(state) || RunningSpool(c.StateDir) != nil {
		t.Error("serve runs before it was started")
	}
	unlock, err := LockServe(c)
	if err != nil {
		t.Fatal(err)
	}
	spool := RunningSpool(c.StateDir + "/")
	if !ServeRuns(state) || !ServeRanHere(state) || spool == nil || spool.Path != state.Spool() || spool.MaxEntries != 7 || spool.MaxBytes != 3<<20 {
		t.Errorf("the spool of the one that runs: %+v", spool)
	}
	if _, err := LockServe(c); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("(pid %d)", os.Getpid())) || !strings.Contains(err.Error(), state.Lock()) {
		t.Errorf("a second one: %v", err)
	}
	unlock()
	if ServeRuns(state) || !ServeRanHere(state) || RunningSpool(c.StateDir) != nil {
		t.Error("serve still runs after its end")
	}
	again, err := LockServe(c)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

// TestRunningSpoolWithoutNote trusts no note that does not say how large the spool may be.
func TestRunningSpoolWithoutNote(t *testing.T) {
	t.Parallel()
	c := load(t, "{}")
	unlock, err := LockServe(c)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	for _, note := range []string{"", "{", `{"pid":1}`, `{"max_entries":0,"max_mib":1}`, `{"max_entries":5,"max_mib":-1}`, `{"version":2,"max_entries":5,"max_mib":5}`, strings.Repeat("x", 2*maxNote)} {
		if err := os.WriteFile(StateOf(c).Lock(), []byte(note), 0o600); err != nil { // keeps the file, and so the lock
			t.Fatal(err)
		}
		if spool := RunningSpool(c.StateDir); spool != nil {
			t.Errorf("note %.20q: %+v", note, spool)
		}
	}
}

// TestLockServeNoDirectory names the key of a state directory that cannot be.
func TestLockServeNoDirectory(t *testing.T) {
	t.Parallel()
	c := load(t, "state_dir: etc/custom-misp.yaml/state\n")
	if _, err := LockServe(c); err == nil || !strings.HasPrefix(err.Error(), "state_dir: ") {
		t.Error(err)
	}
}
