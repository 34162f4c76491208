package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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
	if ServeRuns(state) || ServeRanHere(state) || Running(c.StateDir) != nil {
		t.Error("serve runs before it was started")
	}
	lock, err := LockServe(c)
	if err != nil {
		t.Fatal(err)
	}
	running := Running(c.StateDir + "/")
	if !ServeRuns(state) || !ServeRanHere(state) || running == nil {
		t.Fatal("serve does not run")
	}
	if spool := running.Spool(); spool.Path != state.Spool() || spool.MaxEntries != 7 || spool.MaxBytes != 3<<20 {
		t.Errorf("the spool of the one that runs: %+v", spool)
	}
	if _, err := LockServe(c); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("(pid %d)", os.Getpid())) || !strings.Contains(err.Error(), state.Lock()) {
		t.Errorf("a second one: %v", err)
	}
	lock.Unlock()
	if ServeRuns(state) || !ServeRanHere(state) || Running(c.StateDir) != nil {
		t.Error("serve still runs after its end")
	}
	again, err := LockServe(c)
	if err != nil {
		t.Fatal(err)
	}
	again.Unlock()
}

// TestRunningWithoutNote trusts no note that is not whole, or does not say how large the spool may be.
func TestRunningWithoutNote(t *testing.T) {
	t.Parallel()
	c := load(t, "{}")
	lock, err := LockServe(c)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	write := func(text string) {
		if err := os.WriteFile(StateOf(c).Lock(), []byte(text), 0o600); err != nil { // keeps the file, and so the lock
			t.Fatal(err)
		}
	}
	whole := string(note{PID: 1, MaxEntries: 5, MaxMiB: 5, Reads: &Reads{Inode: 123, Since: 456, After: 789}}.text())
	write(whole + "the rest of a longer one")
	if Running(c.StateDir) == nil {
		t.Errorf("note %q is not read", whole)
	}
	bad := []string{"", "{", `{"pid":1}`, `{"max_entries":5,"max_mib":5}` + "\n", strings.Repeat("x", 2*maxNote)}
	for _, n := range []note{{MaxMiB: 1}, {MaxEntries: 5, MaxMiB: -1}} {
		bad = append(bad, string(n.text()))
	}
	for i := range whole {
		bad = append(bad, whole[:i])
		bad = append(bad, whole[:i]+string(whole[i]^1)+whole[i+1:])
	}
	for _, text := range bad {
		write(text)
		if r := Running(c.StateDir); r != nil {
			t.Errorf("note %q: %+v", text, r)
		}
	}
}

// TestWillRead asks which alerts a serve reads itself. What cannot be told is not.
func TestWillRead(t *testing.T) {
	t.Parallel()
	c := load(t, "{}")
	lock, err := LockServe(c)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	file := c.FromHome("etc/custom-misp.yaml")
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	inode := st.Sys().(*syscall.Stat_t).Ino
	reads := &Reads{Inode: inode, Since: 1000, After: 500}
	for _, tt := range []struct {
		name, file, id string
		reads          *Reads
		want           bool
	}{
		{"later", file, "1001.501", reads, true},
		{"nothing is said", file, "1001.501", nil, false},
		{"the second in which it began", file, "1000.501", reads, false},
		{"earlier", file, "999.501", reads, false},
		{"the last one before", file, "1001.500", reads, false},
		{"one before, after the clock was set back", file, "1001.7", reads, false},
		{"first of a new file, or no alerts.log", file, "1001.0", &Reads{Inode: inode, Since: 1000}, false},
		{"in a new file", file, "1001.1", &Reads{Inode: inode, Since: 1000}, true},
		{"another file", file, "1001.501", &Reads{Inode: inode + 1, Since: 1000, After: 500}, false},
		{"no file", file + "x", "1001.501", reads, false},
		{"no offset", file, "1001", reads, false},
		{"no id", file, "", reads, false},
		{"an id that is no number", file, "1001.5o1", reads, false},
		{"a negative one", file, "1001.-501", reads, false},
		{"a large one", file, "1001.99999999999999999999", reads, false},
	} {
		if err := lock.Note(tt.reads); err != nil {
			t.Fatal(err)
		}
		if got := Running(c.StateDir).WillRead(tt.file, tt.id); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
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
