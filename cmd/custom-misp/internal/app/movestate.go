package app

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine/atomicfile"
)

// oldStateDir is where state was before: Wazuh's containers do not keep var/run. They keep queue and logs, and of these
// only logs lets user wazuh make a directory, so it need not be made before the first call.
const oldStateDir = "var/run/custom-misp"

// OldState returns the state directory of an earlier release if there is one that [MoveState] has not moved; empty for
// none. A configuration that names a directory has none.
func OldState(c *config.Config) State {
	old := filepath.Join(c.Home, oldStateDir)
	if c.StateDir != config.DefaultStateDir(c.Home) {
		return ""
	}
	if st, err := os.Lstat(old); err != nil || !st.IsDir() {
		return ""
	}
	return State(old)
}

// MoveState moves what an earlier release remembers to the present state directory. It goes on with what a killed process
// has begun. What is in the new place already stays. While a serve or a call of the earlier release works there, nothing
// is moved. What cannot be moved is logged and stays where it is; the next process tries again.
func MoveState(c *config.Config, log *slog.Logger) {
	old := OldState(c)
	if old == "" {
		return
	}
	unlock, err := lockOld(old)
	if err == nil && unlock != nil {
		defer unlock()
		err = moveAll(old, StateOf(c))
	}
	switch {
	case err != nil:
		log.Error("state of an earlier release not moved", "error", err.Error(), "from", string(old), "to", c.StateDir)
	case unlock == nil:
		log.Warn("state of an earlier release is in use and is moved later", "from", string(old), "to", c.StateDir)
	default:
		log.Info("state of an earlier release moved", "from", string(old), "to", c.StateDir)
	}
}

// moveAll moves a state directory. The file by which a call knows that serve runs here at times comes last: this process
// has it locked, and what others queue for a serve meanwhile must find the rest in place.
func moveAll(old, to State) error {
	if err := moveTree(string(old), string(to)); err != nil {
		return err
	}
	if err := moveFile(old.Lock(), to.Lock()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(string(old))
}

// lockOld takes the locks of serve and of the spool in a state directory; unlock is nil if another process has one.
func lockOld(old State) (unlock func(), err error) {
	var locks []*os.File
	closeAll := func() {
		for _, f := range locks {
			_ = f.Close()
		}
	}
	for _, name := range []string{old.Lock(), filepath.Join(old.Spool(), "lock")} {
		f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			closeAll()
			return nil, err
		}
		locks = append(locks, f)
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			closeAll()
			return nil, nil //nolint:nilerr // in use
		}
	}
	return closeAll, nil
}

// moveTree moves the files of a directory and those below it, as far as the other directory does not have them. Locks,
// sockets and files that are being written stay behind.
func moveTree(from, to string) error {
	entries, err := atomicfile.ReadDir(from)
	if err != nil {
		return err
	}
	if err := atomicfile.MkdirAll(to, 0o750); err != nil {
		return err
	}
	for _, e := range entries {
		source, target := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		switch {
		case e.IsDir():
			err = moveTree(source, target)
		case !e.Type().IsRegular() || e.Name() == "lock" || strings.HasSuffix(e.Name(), ".lock") || atomicfile.IsPartial(e.Name()):
			continue
		default:
			err = moveFile(source, target)
		}
		if err != nil {
			return err
		}
	}
	return atomicfile.SyncDir(to)
}

// moveFile moves a file, or copies it to another file system, unless it is there already.
func moveFile(from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return nil
	}
	err := testOnlyRename(from, to)
	if !errors.Is(err, syscall.EXDEV) {
		return err
	}
	f, err := os.OpenFile(from, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	copied, err := atomicfile.Create(to)
	if err != nil {
		return err
	}
	defer copied.Discard()
	if _, err := io.Copy(copied, f); err != nil {
		return fmt.Errorf("copy %s to %s: %w", from, to, err)
	}
	return copied.Commit(atomicfile.Durable)
}

// testOnlyRename moves a file within a file system.
var testOnlyRename = os.Rename
