package chaos

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A disk is the small file system that the state directory is on.
type disk struct{ dir string }

// mountDisk mounts one; nil if that is not possible, which is logged.
func mountDisk(t *testing.T, dir string) *disk {
	t.Helper()
	err := errNoMounts
	if err == nil {
		err = os.MkdirAll(dir, 0o750)
	}
	if err == nil {
		err = syscall.Mount("state", dir, "tmpfs", 0, "size=24m,nr_inodes=6000,mode=0750")
	}
	if err != nil {
		t.Logf("without the faults disk and inodes: %v", err)
		return nil
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return &disk{dir}
}

const fillers = ".fillers"

// diskFaults are those of the disk that the state directory is on.
func diskFaults() []fault {
	hold := func(fill func(d *disk, chance *rand.Rand) error) func(*round, *rand.Rand) func() {
		return func(r *round, chance *rand.Rand) func() {
			if r.disk == nil {
				return nil
			}
			good := r.spoil()
			free := r.disk.hold(func() error { return fill(r.disk, chance) })
			return func() { free(); good() }
		}
	}
	return []fault{
		{name: "disk", lane: laneDisk, least: 100 * time.Millisecond, most: 5 * time.Second, begin: hold((*disk).fill)},
		{name: "inodes", lane: laneDisk, least: 100 * time.Millisecond, most: 5 * time.Second, begin: hold((*disk).useInodes)},
		{name: "failed-calls", off: "a call that cannot hand its alert over to serve on a full disk loses it, although MISP and the queue are there"},
	}
}

// hold calls fill again and again, since others free what they have, until the function that it returns is called. That
// removes all.
func (d *disk) hold(fill func() error) (end func()) {
	dir := filepath.Join(d.dir, fillers)
	stop := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		_ = os.Mkdir(dir, 0o700)
		for {
			_ = fill() // in the end there is no space
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	return func() {
		close(stop)
		done.Wait()
		_ = os.RemoveAll(dir)
	}
}

// fill leaves no room but for what a file system rounds down.
func (d *disk) fill(*rand.Rand) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &st); err != nil || st.Bavail == 0 {
		return err
	}
	f, err := os.OpenFile(filepath.Join(d.dir, fillers, "block"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return syscall.Fallocate(int(f.Fd()), 0, info.Size(), int64(st.Bavail)*st.Bsize) //nolint:gosec // a small file system
}

// useInodes makes files until there can be no more.
func (d *disk) useInodes(chance *rand.Rand) error {
	for {
		f, err := os.Create(filepath.Join(d.dir, fillers, fmt.Sprint(chance.Uint64())))
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
}
