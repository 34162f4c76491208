package export

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"custom-misp/engine/atomicfile"
)

// An outFile is written beside the one of its name, and replaces it when it is complete.
type outFile struct {
	name string
	file *atomicfile.File
	*bufio.Writer
}

func newOutFile(name string) (*outFile, error) {
	if err := atomicfile.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		return nil, fmt.Errorf("%w; name a directory that can be made with --dir", err)
	}
	f, err := atomicfile.Create(name)
	if err != nil {
		return nil, fmt.Errorf("%w; name a directory that can be written to with --dir", err)
	}
	return &outFile{name, f, bufio.NewWriterSize(f, 1<<16)}, nil
}

// commit puts the file in its place. Its group is that of the directory: whoever can read the rules and lists there can
// read it, also if root wrote it.
func (f *outFile) commit() error {
	if st, err := os.Stat(filepath.Dir(f.name)); err == nil {
		if owner, ok := st.Sys().(*syscall.Stat_t); ok {
			f.file.SetGroup(int(owner.Gid))
		}
	}
	if err := f.Flush(); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	if err := f.file.Commit(atomicfile.Durable); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	return nil
}

// discard removes what was not committed.
func (f *outFile) discard() { f.file.Discard() }
