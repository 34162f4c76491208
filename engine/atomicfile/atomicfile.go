// Package atomicfile replaces files as a whole. A reader finds the old content or the new one, never a part; with [Durable]
// this is also true after a power cut. All state that this module keeps on disk is written through this package, so that
// the order of the steps (write, sync, rename, sync the directory) is in one place.
//
// A file is written beside the one that it replaces, as .new-*. A process that is killed leaves such a file behind;
// [RemoveStale] removes it. Files have mode 0640, like Wazuh's own: its group can read them. A symbolic link in the place of
// the file is replaced, not followed, and not read either: [Open] and [ReadFile] take only what this program may have written.
//
// JSON files have a version and a checksum, see [WriteJSON]. A [Background] writes without anyone waiting for the disk.
package atomicfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	fileMode = 0o640
	// prefix begins the names of files that are being written.
	prefix = ".new-"
)

// Durability says what a new file survives.
type Durability bool

const (
	// Durable files survive a power cut once the call that put them in place has returned.
	Durable Durability = true
	// Volatile files are complete for every reader, but after a power cut the old content may be back or the file may be
	// empty. For state that can be learnt again.
	Volatile Durability = false
)

// WriteFile replaces the file of a name, as [File.Commit] does. Its directory has to exist; see [MkdirAll].
func WriteFile(name string, data []byte, d Durability) error {
	f, err := Create(name)
	if err != nil {
		return err
	}
	defer f.Discard()
	_, _ = f.Write(data) // Commit returns the error
	return f.Commit(d)
}

// A File is one that is being written. [Create] makes it; end it with [File.Commit] or [File.Discard]. The zero value behaves
// like one that was discarded. Its methods are for one goroutine.
type File struct {
	name  string
	file  *os.File // nil once it is committed or discarded
	fault error    // of the first write that failed
}

// Create begins to write the file of a name. Until [File.Commit], a file of that name stays as it is.
func Create(name string) (*File, error) {
	if err := step(StepCreate, name); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(name), prefix)
	if err != nil {
		return nil, err
	}
	return &File{name: name, file: f}, nil
}

// Write implements [io.Writer]. After an error the content is incomplete, and every further write and Commit return that
// error.
func (f *File) Write(p []byte) (n int, err error) {
	if err := f.usable(); err != nil {
		return 0, err
	}
	if err = step(StepWrite, f.name); err == nil {
		n, err = f.file.Write(p)
	}
	f.fault = err
	return n, err
}

// SetGroup changes the group of the file, if the user is a member of that group.
func (f *File) SetGroup(gid int) {
	if f.file != nil {
		_ = f.file.Chown(-1, gid)
	}
}

// Commit puts the file in its place. After an error the new content is discarded and the old one stays, with one exception: if
// only the sync of the directory fails, the new content is in place, but a power cut may bring the old one back.
func (f *File) Commit(d Durability) error {
	defer f.Discard()
	err := f.usable()
	if err == nil {
		err = f.file.Chmod(fileMode)
	}
	if d == Durable && err == nil {
		if err = step(StepSync, f.name); err == nil {
			err = f.file.Sync()
		}
	}
	if err != nil {
		return err
	}
	if err = f.file.Close(); err == nil { // some file systems report a full disk only here
		if err = step(StepRename, f.name); err == nil {
			err = os.Rename(f.file.Name(), f.name)
		}
	}
	if err != nil {
		return err
	}
	f.file = nil
	if d == Volatile {
		return nil
	}
	return SyncDir(filepath.Dir(f.name))
}

// usable returns why nothing can be written or committed any more.
func (f *File) usable() error {
	if f.file == nil {
		return &fs.PathError{Op: "write", Path: f.name, Err: fs.ErrClosed}
	}
	return f.fault
}

// Discard removes what was written, unless it was committed.
func (f *File) Discard() {
	if f.file == nil {
		return
	}
	_, _ = f.file.Close(), os.Remove(f.file.Name())
	f.file = nil
}

// RemoveStale removes files in dir that a killed process was writing: those that were last written before a time. What
// cannot be removed stays.
func RemoveStale(dir string, before time.Time) {
	entries, err := ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !IsPartial(e.Name()) || !e.Type().IsRegular() {
			continue
		}
		if st, err := e.Info(); err == nil && st.ModTime().Before(before) {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// IsPartial reports whether a name is that of a file that is being written, or was when its process was killed.
func IsPartial(name string) bool {
	base := filepath.Base(name)
	return len(base) > len(prefix) && strings.HasPrefix(base, prefix)
}
