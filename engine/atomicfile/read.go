package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// This file reads what others have written: the files of an administrator, of Wazuh, of a feed. They may be reached by a
// symbolic link, unlike state files. In the place of each could be a pipe, which opening it waits for, or a device without an
// end: these are errors at once. All files of the program are read here or in [Open], but for those that a person names on the
// command line.

// ErrNotRegular is the reason if a pipe, a device or a directory stands in the place of a file.
var ErrNotRegular = errors.New("not a regular file")

// OpenRegular opens a regular file for reading, and nothing else. See [ErrNotRegular].
func OpenRegular(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil {
		err = regular(name, st)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// regular returns why a file is none that can be read.
func regular(name string, st fs.FileInfo) error {
	err := ErrNotRegular
	switch {
	case st.Mode().IsRegular():
		return nil
	case st.IsDir():
		err = directoryError{}
	}
	return &fs.PathError{Op: "read", Path: name, Err: err}
}

// directoryError is an [ErrNotRegular] that says what the system says of a directory.
type directoryError struct{}

func (directoryError) Error() string { return syscall.EISDIR.Error() }

func (directoryError) Is(target error) bool { return target == ErrNotRegular }

// ErrTooLong is the reason if a file is longer than such a file can be.
var ErrTooLong = errors.New("longer than such a file can be")

// ReadRegular reads a regular file of at most most bytes. See [ErrTooLong].
func ReadRegular(name string, most int64) ([]byte, error) {
	f, err := OpenRegular(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	tooLong := &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("%w (%d bytes)", ErrTooLong, most)}
	if st, err := f.Stat(); err == nil && st.Size() > most {
		return nil, tooLong
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1)) // it may grow, and some files have no size
	if err == nil && int64(len(data)) > most {
		return nil, tooLong
	}
	return data, err
}

// OpenDir opens a directory, and nothing else.
func OpenDir(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_DIRECTORY, 0)
}

// ReadDir is [os.ReadDir] for a name that may not be that of a directory.
func ReadDir(name string) ([]fs.DirEntry, error) {
	d, err := OpenDir(name)
	if err != nil {
		return nil, err
	}
	defer d.Close() //nolint:errcheck // only read
	entries, err := d.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// DirFS is [os.DirFS] for a directory in which may be more than regular files and directories: these cannot be opened.
func DirFS(dir string) fs.FS { return dirFS(dir) }

type dirFS string

// Open implements [fs.FS].
func (d dirFS) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	full := filepath.Join(string(d), filepath.FromSlash(name))
	f, err := OpenDir(full)
	if errors.Is(err, syscall.ENOTDIR) {
		f, err = OpenRegular(full)
	}
	if err != nil {
		if p, ok := errors.AsType[*fs.PathError](err); ok {
			p.Path = name
		}
		return nil, err
	}
	return f, nil
}
