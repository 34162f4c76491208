// Package handover is how a call by integratord and serve know of each other: by a lock that serve holds, and a note in
// it. The note says how large the spool may be, and which alerts serve reads in Wazuh's file itself.
//
// A call whose alert is among those ends when the program is loaded, see early.go. It imports nothing but small packages of
// the standard library, for the reason given there.
package handover

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"syscall"
)

// Places below Wazuh's home directory.
const (
	StateDir   = "logs/custom-misp"        // state_dir, unless the configuration names another
	AlertsFile = "logs/alerts/alerts.json" // where a manager writes its alerts
)

// LockFile is the file in the state directory that serve has locked while it runs.
const LockFile = "serve.lock"

// A Note is what serve writes into its lock.
type Note struct {
	Version    int    `json:"version"` // of the note, set by [Note.Write]
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

const (
	maxNote     = 512 // bytes
	noteVersion = 1
)

// Write writes the note into the lock file, in place: the file is the lock.
func (n Note) Write(lock *os.File) error {
	_, err := lock.WriteAt(n.text(), 0)
	return err
}

// text returns the note with a checksum: a reader may see half of it.
func (n Note) text() []byte {
	n.Version = noteVersion
	data, _ := json.Marshal(n) // of numbers
	return fmt.Appendf(nil, "%s %08x\n", data, crc32.ChecksumIEEE(data))
}

// parse returns false for a note that is not whole.
func parse(text []byte) (n Note, ok bool) {
	line, _, whole := bytes.Cut(text, []byte("\n"))
	at := bytes.LastIndexByte(line, ' ')
	if !whole || at < 0 || fmt.Sprintf("%08x", crc32.ChecksumIEEE(line[:at])) != string(line[at+1:]) {
		return Note{}, false
	}
	err := json.Unmarshal(line[:at], &n)
	return n, err == nil && n.Version <= noteVersion && n.MaxEntries > 0 && n.MaxMiB > 0
}

// Read returns the note in a lock file. running says that serve holds the lock, whole that the note can be relied on.
func Read(lock string) (n Note, running, whole bool) {
	f, err := os.OpenFile(lock, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return Note{}, false, false
	}
	defer f.Close() //nolint:errcheck // only read
	if !errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK) {
		return Note{}, false, false
	}
	text := make([]byte, maxNote)
	length, _ := f.Read(text)
	n, whole = parse(text[:length])
	return n, true, whole
}

// Died returns the note of a serve that ended without being told to: it has left its note in the lock file, which no one
// holds.
func Died(lock string) (Note, bool) {
	f, err := os.OpenFile(lock, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return Note{}, false
	}
	defer f.Close() //nolint:errcheck // only read
	if syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil {
		return Note{}, false // it runs
	}
	text := make([]byte, maxNote)
	length, _ := f.Read(text)
	return parse(text[:length])
}

// Forget removes the note of a serve that does not run; it reports whether this process was the one that did.
func Forget(lock string) bool {
	f, err := os.OpenFile(lock, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // it was only emptied
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Size() > 0 && f.Truncate(0) == nil
}

// WillRead reports whether it is certain that the serve of a note reads an alert itself, or has done so. file is the
// alerts.json that the alert is in.
func (n Note) WillRead(file, alertID string) bool {
	if n.Reads == nil {
		return false
	}
	id, ok := ParseAlertID(alertID)
	if !ok || id.Seconds <= n.Reads.Since || id.Offset <= n.Reads.After {
		return false
	}
	st, err := os.Stat(file)
	if err != nil {
		return false
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && sys.Ino == n.Reads.Inode
}
