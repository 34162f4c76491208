package atomicfile

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// SyncDir makes the names in a directory survive a power cut. It does nothing on a file system that cannot sync directories.
func SyncDir(name string) error {
	err := step(StepSyncDir, name)
	if err == nil {
		err = syncDir(name)
	}
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

func syncDir(name string) error {
	d, err := OpenDir(name)
	if err != nil {
		return err
	}
	return cmp.Or(d.Sync(), d.Close())
}

// MkdirAll makes a directory and those above it that do not exist, like [os.MkdirAll]. It also syncs the parent of each one
// that it makes: without that, a power cut could remove the directory with every durable file in it. A directory that
// exists is taken to be durable. After an error nothing that it could not sync is left behind.
func MkdirAll(name string, mode fs.FileMode) error {
	name = filepath.Clean(name)
	st, err := os.Stat(name)
	switch {
	case err == nil && st.IsDir():
		return nil
	case err == nil:
		return &fs.PathError{Op: "mkdir", Path: name, Err: syscall.ENOTDIR}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(name)
	if err := MkdirAll(parent, mode); err != nil {
		return err
	}
	made, err := mkdir(name, mode)
	if err != nil {
		return err
	}
	if err := SyncDir(parent); err != nil {
		if made {
			_ = os.Remove(name) // so that a further try makes and syncs it again
		}
		return err
	}
	return nil
}

// mkdir makes a directory; made is false if another process made it meanwhile.
func mkdir(name string, mode fs.FileMode) (made bool, err error) {
	if err := step(StepMkdir, name); err != nil {
		return false, err
	}
	if err = os.Mkdir(name, mode); err == nil {
		return true, nil
	}
	if st, statErr := os.Stat(name); errors.Is(err, fs.ErrExist) && statErr == nil && st.IsDir() {
		return false, nil
	}
	return false, err
}
