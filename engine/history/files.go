package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"custom-misp/engine/atomicfile"
)

// files are the files of a history, as they are open in this process.
type files struct {
	dir string

	mu       sync.Mutex
	segments map[string]*segment
	faults   map[string]error // of files that cannot be read
	journals []string         // that there are
}

func newFiles(dir string) *files {
	return &files{dir: dir, segments: map[string]*segment{}, faults: map[string]error{}}
}

// tries is how often a directory is read that another process changes meanwhile.
const tries = 20

// refresh opens what is new and closes what is gone.
func (f *files) refresh() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range tries {
		gone, err := f.read()
		if err != nil {
			return err
		}
		if !gone {
			return nil
		}
	}
	return fmt.Errorf("%s changes all the time", f.dir)
}

// read reads the directory once. gone says that a file was removed meanwhile: another one has what it had.
func (f *files) read() (gone bool, err error) {
	entries, err := atomicfile.ReadDir(f.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	f.journals = nil // a view may go through the ones before
	there := map[string]bool{}
	for _, e := range entries {
		name := e.Name()
		switch {
		case strings.HasPrefix(name, journalPrefix):
			f.journals = append(f.journals, name)
		case strings.HasSuffix(name, segmentSuffix):
			there[name] = true
			if f.segments[name] != nil || f.faults[name] != nil {
				continue
			}
			s, err := openSegment(filepath.Join(f.dir, name))
			switch {
			case err == nil:
				f.segments[name] = s
			case errors.Is(err, fs.ErrNotExist):
				return true, nil
			default:
				f.faults[name] = err
			}
		}
	}
	for name, s := range f.segments {
		if !there[name] {
			s.release()
			delete(f.segments, name)
		}
	}
	for name := range f.faults {
		if !there[name] {
			delete(f.faults, name)
		}
	}
	return false, nil
}

// A hiding says which day of which file is in a segment too.
type hiding struct {
	name string
	day  int64
}

// use returns the segments that count, for the caller to release, in the order of their days, what is in them of other files,
// and the journals of the same moment. The error is about those that cannot be read.
func (f *files) use() (list []*segment, hidden map[hiding]bool, journals []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	hidden = map[hiding]bool{}
	for _, s := range f.segments {
		for _, name := range s.trailer.Replaces {
			hidden[hiding{name, s.trailer.Day}] = true
		}
	}
	for name, s := range f.segments {
		if !hidden[hiding{name, s.trailer.Day}] {
			s.users.Add(1)
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b *segment) int {
		return cmp.Or(cmp.Compare(a.trailer.Day, b.trailer.Day), strings.Compare(a.name, b.name))
	})
	for _, fault := range f.faults {
		err = errors.Join(err, fault)
	}
	return list, hidden, f.journals, err
}

// unreadable returns the names of files that cannot be read.
func (f *files) unreadable() map[string]error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.faults)
}

func (f *files) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.segments {
		s.release()
	}
	clear(f.segments)
}

func releaseAll(list []*segment) {
	for _, s := range list {
		s.release()
	}
}

const (
	lockFile = "lock"
	lockWait = 50 * time.Millisecond
	lockMost = time.Minute // that another process is waited for
)

// ErrBusy is the reason if another process changes the history for too long.
var ErrBusy = errors.New("another process changes the history")

// locked calls what removes or replaces files, while no other process does.
func locked(ctx context.Context, dir string, do func() error) error {
	name := filepath.Join(dir, lockFile)
	f, err := atomicfile.Open(name, os.O_CREATE|os.O_RDWR)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // nothing is written
	for waited := time.Duration(0); ; waited += lockWait {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return do()
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		if waited >= lockMost {
			return fmt.Errorf("%w: %s is locked; try again when it has ended", ErrBusy, name)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lockWait):
		}
	}
}
