package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ErrNotState is the reason if something else stands in the place of a state file: a symbolic link, a pipe, a directory, a
// file of another user, or one that is too long.
var ErrNotState = errors.New("not a state file")

// Open opens a state file, in the ways that flag says (see [os.OpenFile]). A file that is made has mode 0640. Whoever can
// write to the directory could put something else in the place of the file, so Open follows no symbolic link, does not wait
// for the other end of a pipe, and takes only a regular file of the expected owner. See [ErrNotState].
func Open(name string, flag int) (*os.File, error) {
	f, err := os.OpenFile(name, flag|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, fileMode)
	switch {
	case errors.Is(err, syscall.ELOOP):
		return nil, notState(name, "a symbolic link")
	case errors.Is(err, syscall.ENXIO): // a pipe that no one reads, or a socket
		return nil, notState(name, "not a regular file")
	case err != nil:
		return nil, err
	}
	if err := check(f); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// check returns why an open file is no state file.
func check(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return notState(f.Name(), "not a regular file")
	}
	dir, err := os.Stat(filepath.Dir(f.Name()))
	if err != nil {
		return err
	}
	if !expected(st, dir, os.Geteuid()) {
		return notState(f.Name(), "it belongs to another user")
	}
	return nil
}

// expected reports whether a file has an owner that a state file can have: this user, root, the owner of its directory, or,
// as its group shows, one of those for whom the directory is writable.
func expected(file, dir fs.FileInfo, user int) bool {
	f, ok := file.Sys().(*syscall.Stat_t)
	d, ok2 := dir.Sys().(*syscall.Stat_t)
	if !ok || !ok2 {
		return false
	}
	return f.Uid == 0 || int(f.Uid) == user || f.Uid == d.Uid || f.Gid == d.Gid && dir.Mode().Perm()&0o020 != 0
}

func notState(name, why string) error {
	return &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("%w: %s", ErrNotState, why)}
}

// ReadFile reads a state file of at most most bytes. The error of a file that is not there is [fs.ErrNotExist].
func ReadFile(name string, most int64) ([]byte, error) {
	f, err := Open(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, notState(name, fmt.Sprintf("longer than such a file can be (%d bytes)", most))
	}
	return data, nil
}

// KeepDamaged gives a file that cannot be used a second name, which ends in .broken, and returns it. There is one of that name:
// it takes the place of an earlier one. The file itself stays until it is replaced, so that a process that ends in between
// finds it again; only a directory, which cannot be replaced, is moved. If none of this can be done, the name is that of the
// file itself.
func KeepDamaged(name string) (aside string) {
	aside = name + ".broken"
	_ = os.RemoveAll(aside)
	keep := testOnlyLink
	if st, err := os.Lstat(name); err == nil && st.IsDir() {
		keep = os.Rename
	}
	if keep(name, aside) != nil { // the disk may be full
		return name
	}
	return aside
}

// testOnlyLink gives a file a second name, for which a full disk may have no room.
var testOnlyLink = os.Link
