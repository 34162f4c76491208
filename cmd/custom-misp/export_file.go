package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"custom-misp/engine/enrich"
)

// An exportedFile is written beside the one of its name, and takes its place when it is complete.
type exportedFile struct {
	name string
	file *os.File // nil when it is done with
	*bufio.Writer
}

func newExportedFile(name string) (*exportedFile, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		return nil, fmt.Errorf("%w; name a directory that can be made with --dir", err)
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".new-")
	if err != nil {
		return nil, fmt.Errorf("%w; name a directory that can be written to with --dir", err)
	}
	return &exportedFile{name, f, bufio.NewWriterSize(f, 1<<16)}, nil
}

// commit puts the file in its place. Its group is that of the directory: whose rules and lists lie there can read it,
// also if root wrote it.
func (f *exportedFile) commit() error {
	dir := filepath.Dir(f.name)
	err := cmp.Or(f.Flush(), f.file.Chmod(0o640))
	if st, serr := os.Stat(dir); serr == nil {
		if owner, ok := st.Sys().(*syscall.Stat_t); ok {
			_ = f.file.Chown(-1, int(owner.Gid)) // of a group that is not the user's own: as it is, then
		}
	}
	err = cmp.Or(err, f.file.Sync(), f.file.Close())
	if err == nil {
		err = os.Rename(f.file.Name(), f.name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	f.file = nil
	return enrich.SyncDir(dir)
}

// discard removes what was not committed.
func (f *exportedFile) discard() {
	if f.file == nil {
		return
	}
	_ = errors.Join(f.file.Close(), os.Remove(f.file.Name()))
	f.file = nil
}
