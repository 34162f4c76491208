package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/tidwall/gjson"

	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine/atomicfile"
	"custom-misp/engine/enrich/spool"
	"custom-misp/engine/wazuh"
)

// This file is how a call by integratord and serve know of each other: by a lock that serve holds, and a note in it. The
// note says how large the spool may be, and which alerts serve reads itself. A call that finds its alert among them, or
// queues it for serve, reads neither the configuration nor the mappings, and ends before a process that does would have
// begun.

const (
	lockTries  = 20 // a call that looks at the lock has it itself for a moment
	lockWait   = 10 * time.Millisecond
	staleWrite = time.Minute // files of calls that run now are younger
)

// A ServeLock is the lock that one serve of an installation has.
type ServeLock struct {
	file *os.File
	note note
}

// LockServe takes the lock of serve. The error names the process that has it.
func LockServe(c *config.Config) (*ServeLock, error) {
	state := StateOf(c)
	if err := state.check(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(state.Spool(), 0o750); err != nil {
		return nil, fmt.Errorf("state_dir: %w; make it for the user that Wazuh runs as", err)
	}
	f, err := os.OpenFile(state.Lock(), os.O_CREATE|os.O_RDWR|syscall.O_NONBLOCK, 0o640) //nolint:gosec // as Wazuh has it: for its group
	if err != nil {
		return nil, fmt.Errorf("state_dir: %w; give the directory to the user that Wazuh runs as", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	for try := 0; err != nil && try < lockTries; try++ {
		time.Sleep(lockWait)
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		text, _ := atomicfile.ReadFile(state.Lock(), maxNote)
		_ = f.Close()
		return nil, fmt.Errorf("serve runs already (pid %s), with the lock %s; see custom-misp status", gjson.GetBytes(text, "pid").String(), state.Lock())
	}
	l := &ServeLock{f, note{PID: os.Getpid(), MaxEntries: c.Spool.MaxEntries, MaxMiB: c.Spool.MaxBytes >> 20}}
	_ = f.Truncate(0) // what the last serve wrote is no longer true
	atomicfile.RemoveStale(string(state), time.Now().Add(-staleWrite))
	_ = l.Note(nil)
	return l, nil
}

// Unlock ends the lock.
func (l *ServeLock) Unlock() { _ = l.file.Close() }

// Note writes down which alerts this serve reads itself; nil if no call may rely on that.
func (l *ServeLock) Note(reads *Reads) error {
	l.note.Reads = reads
	_, err := l.file.WriteAt(l.note.text(), 0)
	return err
}

// A note is what serve writes into its lock.
type note struct {
	PID        int    `json:"pid"`
	MaxEntries int    `json:"max_entries"` // of the spool
	MaxMiB     int64  `json:"max_mib"`     // of the spool
	Reads      *Reads `json:"reads,omitempty"`
}

// Reads says which alerts a serve reads in Wazuh's file itself: those of a file that were written after it began, by two
// signs. The seconds of an id are of a time before the alert was written, and the offset grows with each alert.
type Reads struct {
	Inode uint64 `json:"inode"` // of the file that it reads
	// Since is when it began, in seconds since 1970.
	Since int64 `json:"since"`
	// After is the offset in the id of the last alert that the file had then; 0 if it had none.
	After int64 `json:"after"`
}

const maxNote = 512 // bytes

// text returns a note with a checksum: it is written in place, and a reader may see half of it.
func (n note) text() []byte {
	data, _ := json.Marshal(n) // of numbers
	return fmt.Appendf(nil, "%s %08x\n", data, crc32.ChecksumIEEE(data))
}

// parseNote returns false for a note that is not whole.
func parseNote(text []byte) (n note, ok bool) {
	line, _, whole := bytes.Cut(text, []byte("\n"))
	at := bytes.LastIndexByte(line, ' ')
	if !whole || at < 0 || fmt.Sprintf("%08x", crc32.ChecksumIEEE(line[:at])) != string(line[at+1:]) {
		return note{}, false
	}
	err := json.Unmarshal(line[:at], &n)
	return n, err == nil
}

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
	f, err := os.OpenFile(s.Lock(), os.O_RDONLY|syscall.O_NONBLOCK, 0)
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

// A RunningServe is a serve that holds its lock, as its note describes it.
type RunningServe struct {
	state State
	note  note
}

// Running returns the serve that runs with a state directory; nil if none does, or if its note is not readable.
func Running(stateDir string) *RunningServe {
	state := State(filepath.Clean(stateDir))
	text, yes := locked(state)
	n, ok := parseNote(text)
	if !yes || !ok || n.MaxEntries <= 0 || n.MaxMiB <= 0 {
		return nil
	}
	return &RunningServe{state, n}
}

// Spool returns the spool that it takes alerts from.
func (r *RunningServe) Spool() *spool.Dir {
	return &spool.Dir{Path: r.state.Spool(), MaxEntries: r.note.MaxEntries, MaxBytes: r.note.MaxMiB << 20}
}

// WillRead reports whether it is certain that it reads an alert itself, or has done so. file is the alerts.json that the
// alert is in.
func (r *RunningServe) WillRead(file, alertID string) bool {
	reads, id, ok := r.note.Reads, wazuh.AlertID{}, false
	if reads != nil {
		id, ok = wazuh.ParseAlertID(alertID)
	}
	if !ok || id.Seconds <= reads.Since || id.Offset <= reads.After {
		return false
	}
	st, err := os.Stat(file)
	if err != nil {
		return false
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && sys.Ino == reads.Inode
}
