package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/tidwall/gjson"

	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine/atomicfile"
	"custom-misp/engine/enrich/spool"
)

// This file is how a call by integratord and serve know of each other: by a lock that serve holds, and a note in it,
// which says how large the spool may be. A call that queues its alert for serve reads neither the configuration nor the
// mappings, and ends before a process that does would have begun.

const (
	lockTries  = 20 // a call that looks at the lock has it itself for a moment
	lockWait   = 10 * time.Millisecond
	staleWrite = time.Minute // files of calls that run now are younger
)

// LockServe takes the lock that one serve of an installation has. The error names the process that has it.
func LockServe(c *config.Config) (unlock func(), err error) {
	state := StateOf(c)
	if err := state.check(); err != nil {
		return nil, err
	}
	if err := atomicfile.MkdirAll(state.Spool(), 0o750); err != nil {
		return nil, fmt.Errorf("state_dir: %w; make it for the user that Wazuh runs as", err)
	}
	f, err := atomicfile.Open(state.Lock(), os.O_CREATE|os.O_RDWR)
	if err != nil {
		return nil, fmt.Errorf("state_dir: %w; give the directory to the user that Wazuh runs as", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	for try := 0; err != nil && try < lockTries; try++ {
		time.Sleep(lockWait)
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		note, _ := atomicfile.ReadFile(state.Lock(), maxNote)
		_ = f.Close()
		return nil, fmt.Errorf("serve runs already (pid %s), with the lock %s; see custom-misp status", gjson.GetBytes(note, "pid").String(), state.Lock())
	}
	atomicfile.RemoveStale(string(state), time.Now().Add(-staleWrite))
	_ = f.Truncate(0)
	_, _ = f.WriteAt(fmt.Appendf(nil, `{"version":%d,"pid":%d,"max_entries":%d,"max_mib":%d}`+"\n", noteVersion, os.Getpid(), c.Spool.MaxEntries, c.Spool.MaxBytes>>20), 0)
	return func() { _ = f.Close() }, nil
}

const (
	maxNote     = 512 // bytes
	noteVersion = 1
)

// ServeRuns reports whether serve holds its lock in a state directory.
func ServeRuns(s State) bool {
	_, yes := locked(s)
	return yes
}

// ServeRanHere reports whether serve has ever run with this state directory: what calls send is remembered then, since
// it reads the same alerts in Wazuh's file when it is back.
func ServeRanHere(s State) bool {
	_, err := os.Stat(s.Lock())
	return err == nil
}

// locked reports whether serve holds its lock, and returns the note in it.
func locked(s State) (note []byte, yes bool) {
	f, err := atomicfile.Open(s.Lock(), os.O_RDONLY)
	if err != nil {
		return nil, false
	}
	defer f.Close() //nolint:errcheck // only read
	if !errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK) {
		return nil, false
	}
	note = make([]byte, maxNote)
	n, _ := f.Read(note)
	return note[:n], true
}

// RunningSpool returns the spool that a running serve takes alerts from, as the note in its lock describes it; nil if
// none runs, or if the note is not readable.
func RunningSpool(stateDir string) *spool.Dir {
	state := State(filepath.Clean(stateDir))
	note, yes := locked(state)
	entries, mib := gjson.GetBytes(note, "max_entries").Int(), gjson.GetBytes(note, "max_mib").Int()
	if !yes || entries <= 0 || mib <= 0 || gjson.GetBytes(note, "version").Int() > noteVersion {
		return nil
	}
	return &spool.Dir{Path: state.Spool(), MaxEntries: int(entries), MaxBytes: mib << 20}
}
