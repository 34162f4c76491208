// Package atomicfile replaces files as a whole. Whoever reads a file finds the old content or the new, never a part of
// one; with [Durable] the same is true after a power cut. Everything of this module that keeps state on disk writes it
// through this package, so that the order of the steps (write, sync, rename, sync the directory) is in one place.
//
// A file is written beside the one that it replaces, as .new-*; a process that is killed leaves such a file behind.
// Files have mode 0640, as Wazuh's own have: readable for its group.
package atomicfile

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	fileMode = 0o640
	// prefix is how the names of files begin that are being written.
	prefix = ".new-"
)

// Durability says what a new file survives.
type Durability bool

const (
	// Durable files are there after a power cut, once the call that put them in place has returned.
	Durable Durability = true
	// Volatile files are complete for every reader, but a power cut may bring the old content back or leave the file
	// empty. For state that can be learnt anew.
	Volatile Durability = false
)

// WriteFile replaces the file of a name, whose directory has to exist.
func WriteFile(name string, data []byte, d Durability) error {
	f, err := Create(name)
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Commit(d)
}

// A File is one that is being written. End it with [File.Commit] or [File.Discard].
type File struct {
	name string
	file *os.File // nil once it is committed or discarded
}

// Create begins to write the file of a name. Until [File.Commit] a file of that name stays what it is.
func Create(name string) (*File, error) {
	if err := step(StepCreate, name); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(name), prefix)
	if err != nil {
		return nil, err
	}
	return &File{name, f}, nil
}

// Write implements io.Writer.
func (f *File) Write(p []byte) (int, error) {
	if err := step(StepWrite, f.name); err != nil {
		return 0, err
	}
	return f.file.Write(p)
}

// SetGroup gives the file to a group. A group that the user is not a member of is left as it is.
func (f *File) SetGroup(gid int) { _ = f.file.Chown(-1, gid) }

// Commit puts the file in its place. After an error it is discarded, and what was there stays.
func (f *File) Commit(d Durability) error {
	defer f.Discard()
	err := f.file.Chmod(fileMode)
	if d == Durable && err == nil {
		if err = step(StepSync, f.name); err == nil {
			err = f.file.Sync()
		}
	}
	written := f.file.Name()
	if err = cmp.Or(err, f.file.Close()); err != nil {
		return err
	}
	if err = step(StepRename, f.name); err == nil {
		err = os.Rename(written, f.name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(written))
	}
	f.file = nil
	if d == Volatile {
		return nil
	}
	return SyncDir(filepath.Dir(f.name))
}

// Discard removes what was written, unless it was committed.
func (f *File) Discard() {
	if f.file == nil {
		return
	}
	_, _ = f.file.Close(), os.Remove(f.file.Name())
	f.file = nil
}

// SyncDir makes sure that the names in a directory survive a power cut.
func SyncDir(name string) error {
	if err := step(StepSyncDir, name); err != nil {
		return err
	}
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return cmp.Or(d.Sync(), d.Close())
}

// RemoveStale removes files in dir that a process was writing when it was killed: those that were last written to
// before a time. What cannot be removed stays.
func RemoveStale(dir string, before time.Time) {
	files, err := filepath.Glob(filepath.Join(dir, prefix+"*"))
	if err != nil {
		return
	}
	for _, f := range files {
		if st, err := os.Lstat(f); err == nil && st.ModTime().Before(before) {
			_ = os.Remove(f)
		}
	}
}

// IsPartial reports whether a name is that of a file that is being written, or was when its process was killed.
func IsPartial(name string) bool {
	base := filepath.Base(name)
	return len(base) > len(prefix) && base[:len(prefix)] == prefix
}

// ReadFile reads a state file: a regular one of at most a number of bytes. Whoever can write to the directory could
// put a pipe or an endless file there; neither makes the reader wait or run out of memory.
func ReadFile(name string, most int64) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("not a regular file")}
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("longer than such a file can be (%d bytes)", most)}
	}
	return data, err
}
