package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/atomicfile"

	"github.com/google/uuid"
)

// leastBase is how many changes are kept beside a base of any size, before a new base is made of both.
const leastBase = 20_000

// A writer changes a set; there is one at a time in all processes. Readers never wait for it, and see its changes when
// they are complete.
type writer struct {
	dir    string
	lock   *os.File
	state  State
	set    *snapshot // nil until there is a base
	now    func() time.Time
	damage error // why the set that was there cannot be used

	leastBase   int
	mostChanges int
}

// errBusy is another process at work on a set.
var errBusy = errors.New("another process is syncing it")

// openWriter takes the lock of a set, or fails with errBusy, and removes what a writer that was killed left behind.
// have is what this process had open of the set, and may be nil; it stays the caller's.
func openWriter(ctx context.Context, dir string, now func() time.Time, have *snapshot) (*writer, error) {
	if err := atomicfile.MkdirAll(dir, dirMode); err != nil {
		return nil, err
	}
	lock, err := atomicfile.Open(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR)
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
	w := &writer{dir: dir, lock: lock, now: now, leastBase: leastBase, mostChanges: maxChanges}
	if err := w.open(ctx, have); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	if !w.lost() {
		w.clear()
	}
	return w, nil
}

// lost reports whether it is not known which files the set has, since its state is damaged. They stay until there is
// another set: their numbers are not used again.
func (w *writer) lost() bool { return w.damage != nil && w.state.Base == "" }

// open opens the set. One that is damaged is as if it was never written, so that the next sync is a complete one; but
// the state still names its files, so that readers know that it is damaged until then. An error means that the files may
// be whole, or are of a newer version: they stay as they are.
func (w *writer) open(ctx context.Context, have *snapshot) (err error) {
	w.state, err = loadState(w.dir)
	switch {
	case errors.Is(err, errDamaged):
		w.damage, w.state = err, State{Serial: lastSerial(w.dir)}
		return nil
	case err != nil && !errors.Is(err, ErrNever):
		return err
	}
	w.set, err = w.state.open(ctx, w.dir, have, true)
	switch {
	case err == nil:
		w.damage = w.set.damaged()
	case errors.Is(err, ErrNever):
		return nil
	case errors.Is(err, errDamaged) || errors.Is(err, fs.ErrNotExist):
		w.damage = err
	default: // not enough memory, too many open files
		return err
	}
	if n := readNote(w.dir); w.damage == nil && n.about == w.state.identity() {
		w.damage = fmt.Errorf("%w: found by another process: %s", errDamaged, n.text)
	}
	if w.damage != nil {
		w.set.release()
		w.set = nil
	}
	return nil
}

// lastSerial returns the highest number of a segment in a directory.
func lastSerial(dir string) (last uint64) {
	files, err := atomicfile.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, f := range files {
		_, digits, _ := strings.Cut(strings.TrimSuffix(f.Name(), segmentSuffix), "-")
		if n, err := strconv.ParseUint(digits, 10, 63); err == nil {
			last = max(last, n)
		}
	}
	return last
}

// close ends the use of the set, and gives the lock up.
func (w *writer) close() error {
	w.set.release()
	// Closing is not enough while a child process, between fork and exec, has the file open too.
	return errors.Join(syscall.Flock(int(w.lock.Fd()), syscall.LOCK_UN), w.lock.Close())
}

// clear removes files that are not part of the set.
func (w *writer) clear() {
	files, err := atomicfile.ReadDir(w.dir)
	if err != nil {
		return
	}
	for _, f := range files {
		name := f.Name()
		if name == w.state.Base || name == w.state.Changes {
			continue
		}
		if atomicfile.IsPartial(name) || strings.HasSuffix(name, segmentSuffix) {
			_ = os.Remove(filepath.Join(w.dir, name))
		}
	}
}

const segmentSuffix = ".segment"

// next returns the name of the next segment, and its number. The number counts once the state holds it.
func (w *writer) next(what string) (name string, serial uint64) {
	serial = w.state.Serial + 1
	return fmt.Sprintf("%s-%08d%s", what, serial, segmentSuffix), serial
}

// replace makes a new base of what fill adds. Until it is complete, the set is what it was; an error of fill leaves it
// so. The rest of the state is changed by change.
func (w *writer) replace(ctx context.Context, fill func(*builder) error, change func(*State)) error {
	name, serial := w.next("base")
	b, err := newBuilder(filepath.Join(w.dir, name))
	if err != nil {
		return err
	}
	defer b.abort()
	if err := fill(b); err != nil {
		return err
	}
	if err := b.finish(ctx, w.now()); err != nil {
		return err
	}
	state := w.state
	state.Base, state.Changes, state.Serial, state.Forms = name, "", serial, engine.FormsVersion
	state.Attributes, state.Events = b.trailer.Attributes, b.trailer.Events
	change(&state)
	return w.swap(ctx, state)
}

// keep leaves the set as it is, and changes its state.
func (w *writer) keep(change func(*State)) error {
	state := w.state
	change(&state)
	return w.note(state)
}

// apply writes changes, or only the state if there are no changes.
func (w *writer) apply(ctx context.Context, c *changeSet, change func(*State)) error {
	if c.fault != nil {
		return c.fault
	}
	if !c.dirty {
		return w.keep(change)
	}
	name, serial := w.next("changes")
	if err := c.write(ctx, filepath.Join(w.dir, name), w.now()); err != nil {
		return err
	}
	state := w.state
	state.Changes, state.Serial = name, serial
	if state.Attributes, state.Events = c.total(); c.fault != nil {
		return c.fault
	}
	change(&state)
	if err := w.swap(ctx, state); err != nil {
		return err
	}
	if c.size() <= max(w.leastBase, min(w.set.base.trailer.Attributes/10, w.mostChanges/2)) {
		return nil
	}
	return w.merge(ctx)
}

// outdated reports whether the set was last read as a whole with other forms of values: attributes of types that were not
// compared then are missing.
func (w *writer) outdated() bool { return w.set != nil && w.state.Forms != engine.FormsVersion }

// upgrade makes a new base, without asking the source, of a set in a format that is no longer written, or with other
// forms of values.
func (w *writer) upgrade(ctx context.Context) error {
	for _, g := range w.set.segments() {
		if g.version != version || g.trailer.Forms != engine.FormsVersion {
			return w.merge(ctx)
		}
	}
	return nil
}

// merge makes a new base of base and changes.
func (w *writer) merge(ctx context.Context) error {
	return w.replace(ctx, func(b *builder) error {
		return w.copyTo(ctx, b, func(uuid.UUID) bool { return false })
	}, func(s *State) { s.Forms = w.state.Forms })
}

// copyTo puts what the set has into a base, without some of its events.
func (w *writer) copyTo(ctx context.Context, b *builder, without func(uuid.UUID) bool) error {
	if w.set == nil {
		return nil
	}
	events, err := w.set.events()
	if err != nil {
		return err
	}
	for _, e := range events {
		if e.version == "" || without(e.uuid) {
			continue
		}
		// Also without attributes: a feed would have it read again.
		e.change = eventAsIs
		if _, err := b.addEvent(e); err != nil {
			return err
		}
	}
	for in, err := range w.set.each() {
		if err := cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		e := in.event
		if without(e.uuid) {
			continue
		}
		e.change = eventAsIs
		if err := b.add(in.id, in.attribute, e); err != nil {
			return err
		}
	}
	return nil
}

// swap makes other files the set, unless they cannot be opened, and removes those that were.
func (w *writer) swap(ctx context.Context, state State) error {
	state.Bytes = 0 // of the files that were
	set, err := state.open(ctx, w.dir, w.set, true)
	if err != nil {
		return err
	}
	state.Networks, state.Bytes = set.networks.Size(), set.bytes()
	if err := w.note(state); err != nil {
		set.release()
		return err
	}
	w.set.release()
	set.state = state
	w.set, w.damage = set, nil
	w.clear()
	return removeNote(w.dir)
}

// note writes the state.
func (w *writer) note(state State) error {
	if err := state.save(w.dir); err != nil {
		return err
	}
	w.state = state
	return nil
}

// failed notes why a sync failed, and when it is tried again, without touching the set.
func (w *writer) failed(err error, again retryPlan) error {
	if w.lost() {
		return nil // the damaged state stays: with a new one, there would be no set instead of a damaged one
	}
	state := w.state
	state.FailedAt, state.Failure = w.now().UTC(), err.Error()
	state.Failures, state.RetryAt, state.NotBefore = again.failures, again.at, again.notBefore
	return w.note(state)
}

// versions returns the versions of the events of the set, see [event].
func (w *writer) versions() (map[uuid.UUID]string, error) {
	if w.set == nil {
		return nil, nil
	}
	events, err := w.set.events()
	all := map[uuid.UUID]string{}
	for id, e := range events {
		all[id] = e.version
	}
	return all, err
}
