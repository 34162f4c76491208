package app

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/cmd/custom-misp/internal/handover"
	"custom-misp/engine/atomicfile"
	"custom-misp/engine/enrich/spool"
)

// This file is the lock of serve, with the note that calls read; see package handover.

const (
	lockTries  = 20 // a call that looks at the lock has it itself for a moment
	lockWait   = 10 * time.Millisecond
	staleWrite = time.Minute // files of calls that run now are younger
)

// A ServeLock is the lock that one serve of an installation has.
type ServeLock struct {
	file *os.File
	note handover.Note
}

// LockServe takes the lock of serve. The error names the process that has it.
func LockServe(c *config.Config) (*ServeLock, error) {
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
		_ = f.Close()
		n, _, _ := handover.Read(state.Lock())
		return nil, fmt.Errorf("serve runs already (pid %d), with the lock %s; see custom-misp status", n.PID, state.Lock())
	}
	l := &ServeLock{f, handover.Note{PID: os.Getpid(), MaxEntries: c.Spool.MaxEntries, MaxMiB: c.Spool.MaxBytes >> 20}}
	_ = f.Truncate(0) // what the last serve wrote is no longer true
	atomicfile.RemoveStale(string(state), time.Now().Add(-staleWrite))
	_ = l.Note(nil)
	return l, nil
}

// Unlock ends the lock.
func (l *ServeLock) Unlock() { _ = l.file.Close() }

// Ended says that serve ends as it should: the note is removed, so that no call takes it for one that died.
func (l *ServeLock) Ended() { _ = l.file.Truncate(0) }

// ServeDied reports whether a serve with a state directory has ended without being told to, and no one has said so yet. It
// is true once.
func ServeDied(s State) (handover.Note, bool) {
	n, died := handover.Died(s.Lock())
	return n, died && handover.Forget(s.Lock())
}

// Note writes down which alerts this serve reads itself; nil if no call may rely on that.
func (l *ServeLock) Note(reads *handover.Reads) error {
	l.note.Reads = reads
	return l.note.Write(l.file)
}

// ServeRuns reports whether serve holds its lock in a state directory.
func ServeRuns(s State) bool {
	_, yes, _ := handover.Read(s.Lock())
	return yes
}

// ServeRanHere reports whether serve has ever run with this state directory: what calls send is remembered then, since
// it reads the same alerts in Wazuh's file when it is back.
func ServeRanHere(s State) bool {
	_, err := os.Stat(s.Lock())
	return err == nil
}

// Running returns what a serve that runs with a state directory has written into its lock; false if none runs, or if that
// cannot be read.
func Running(stateDir string) (handover.Note, bool) {
	n, _, whole := handover.Read(State(filepath.Clean(stateDir)).Lock())
	return n, whole
}

// SpoolOf returns the spool that a running serve takes alerts from.
func SpoolOf(stateDir string, n handover.Note) *spool.Dir {
	return &spool.Dir{Path: State(filepath.Clean(stateDir)).Spool(), MaxEntries: n.MaxEntries, MaxBytes: n.MaxMiB << 20}
}
