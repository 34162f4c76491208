package mirror

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
)

// leastBase is how many changes are kept beside a base of whatever size, before a new base is made of both.
const leastBase = 20_000

// A writer is the one process, and the one part of it, that changes a set. Readers never wait for it, and see what it
// has done when it is complete.
type writer struct {
	dir   string
	lock  *os.File
	state State
	set   *snapshot // nil until there is a base
	now   func() time.Time
}

// errBusy is another process at work on a set.
var errBusy = errors.New("another process is syncing it")

// openWriter takes the lock of a set, errBusy if another has it, and clears away what one that was killed left
// behind.
func openWriter(dir string, now func() time.Time) (*writer, error) {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, fileMode)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errBusy
		}
		return nil, err
	}
	w := &writer{dir: dir, lock: lock, now: now}
	if w.state, err = loadState(dir); err != nil && !errors.Is(err, ErrNever) {
		return nil, cmp.Or(err, lock.Close())
	}
	w.clear()
	if err := w.reopen(); err != nil {
		// What cannot be read is as good as never written: the next sync is a complete one.
		w.set, w.state.Base, w.state.Changes = nil, "", ""
		w.state.Watermark, w.state.Tag = time.Time{}, ""
	}
	return w, nil
}

func (w *writer) close() error { return w.lock.Close() }

func (w *writer) reopen() error {
	w.set = nil
	if w.state.Base == "" {
		return nil
	}
	set, err := w.state.open(w.dir, false)
	if err != nil {
		return err
	}
	w.set = set
	return nil
}

// clear removes files that are not part of the set.
func (w *writer) clear() {
	files, err := os.ReadDir(w.dir)
	if err != nil {
		return
	}
	for _, f := range files {
		name := f.Name()
		if name == w.state.Base || name == w.state.Changes {
			continue
		}
		if strings.HasPrefix(name, ".new-") || strings.HasSuffix(name, segmentSuffix) {
			_ = os.Remove(filepath.Join(w.dir, name))
		}
	}
}

const segmentSuffix = ".segment"

func (w *writer) next(what string) string {
	w.state.Serial++
	return fmt.Sprintf("%s-%08d%s", what, w.state.Serial, segmentSuffix)
}

// replace makes a new base of what fill adds. Until it is complete, the set is what it was; an error of fill leaves it
// so. The rest of the state is changed by change.
func (w *writer) replace(fill func(*Builder) error, change func(*State)) error {
	b, err := newBuilder(w.dir)
	if err != nil {
		return err
	}
	if err := fill(b); err != nil {
		b.abort()
		return err
	}
	name := w.next("base")
	if err := b.finish(filepath.Join(w.dir, name), w.now()); err != nil {
		return err
	}
	state := w.state
	state.Base, state.Changes = name, ""
	state.Attributes, state.Events, state.Networks = b.trailer.Attributes, b.trailer.Events, len(b.trailer.Networks)
	change(&state)
	return w.swap(state)
}

// apply writes changes, or nothing but the state if there are none.
func (w *writer) apply(c *Changes, change func(*State)) error {
	state := w.state
	if !c.dirty {
		change(&state)
		return w.note(state)
	}
	name := w.next("changes")
	if err := c.write(w.dir, name, w.now()); err != nil {
		return err
	}
	state.Serial, state.Changes = w.state.Serial, name
	state.Attributes, state.Events = c.total()
	change(&state)
	if err := w.swap(state); err != nil {
		return err
	}
	state = w.state
	state.Networks = w.set.networks.Size()
	if len(c.attributes) <= max(leastBase, w.set.base.trailer.Attributes/10) {
		return w.note(state)
	}
	return w.merge()
}

// merge makes a new base of base and changes.
func (w *writer) merge() error {
	return w.replace(func(b *Builder) error {
		for id, in := range w.set.each() {
			e := in.event
			e.change = eventAsIs
			if err := b.add(id, in.attribute, e); err != nil {
				return err
			}
		}
		return nil
	}, func(*State) {})
}

// swap makes other files the set, and removes those that were.
func (w *writer) swap(state State) error {
	state.Serial = w.state.Serial
	state.Bytes = 0
	for _, name := range []string{state.Base, state.Changes} {
		if name == "" {
			continue
		}
		st, err := os.Stat(filepath.Join(w.dir, name))
		if err != nil {
			return err
		}
		state.Bytes += st.Size()
	}
	if err := w.note(state); err != nil {
		return err
	}
	if err := w.reopen(); err != nil {
		return err
	}
	w.clear()
	return nil
}

// note writes the state.
func (w *writer) note(state State) error {
	if err := state.save(w.dir); err != nil {
		return err
	}
	w.state = state
	return nil
}

// failed notes why a sync failed, without touching the set.
func (w *writer) failed(err error) error {
	state := w.state
	state.FailedAt, state.Failure = w.now().UTC(), err.Error()
	return w.note(state)
}

// versions returns the events of the set and what their origin tells changes by.
func (w *writer) versions() map[uuid.UUID]string {
	if w.set == nil {
		return nil
	}
	all := map[uuid.UUID]string{}
	for id, e := range w.set.events() {
		all[id] = e.version
	}
	return all
}
