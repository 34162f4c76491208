package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// An Origin is a source of attributes: a MISP server, a feed, or a list.
type Origin interface {
	// Name is the Origin of its matches, and the name of its directory.
	Name() string
	// describe returns what it is, and its address or path without secrets.
	describe() (Kind, string)
	// sync brings the set up to date, or fails and leaves it as it is. With full it starts from nothing.
	sync(ctx context.Context, w *writer, y *Syncer, full bool) error
}

// A Syncer brings sets up to date. It is safe for concurrent use, also by several processes: one at a time works on a
// set. The zero value of each field but Dir means the usual. [Syncer.Close] gives its files back.
type Syncer struct {
	// Dir is the directory of all sets.
	Dir string
	// Full is how often a MISP server is walked as a whole, which is what finds the few changes that move no time in MISP;
	// 0 for UsualFull.
	Full time.Duration
	// Reconcile is how often the events are compared with MISP's own list of them; 0 for UsualReconcile.
	Reconcile time.Duration
	// Overlap is how far a poll goes back behind the begin of the last one, so that nothing is lost that was being
	// written then; 0 for UsualOverlap.
	Overlap time.Duration
	// Most is how long the sync of a source may take; 0 for UsualMost. One that takes longer fails; what a walk over MISP has
	// read by then is kept for the next one.
	Most time.Duration
	// Every is how often each source is synced, by its name: no longer is waited after failures. Longest, for one that is not
	// in it.
	Every map[string]time.Duration
	// Accept takes a copy of a declared source that is much smaller than the one before, when it is read as a whole.
	Accept bool
	Log    *slog.Logger     // nil for silence
	Now    func() time.Time // nil for the machine's clock

	mu   sync.Mutex
	sets map[string]*snapshot // directory → the set as the last sync left it, which need not be read again

	testOnlyLeastBase   int // instead of leastBase; 0 for that
	testOnlyMostChanges int // instead of maxChanges; 0 for that
	testOnlyPause       func(time.Duration)
}

// Times that a Syncer is usually given.
const (
	UsualFull      = 24 * time.Hour
	UsualReconcile = 10 * time.Minute
	UsualOverlap   = 10 * time.Minute
	UsualMost      = time.Hour
)

func (y *Syncer) full() time.Duration      { return cmp.Or(y.Full, UsualFull) }
func (y *Syncer) reconcile() time.Duration { return cmp.Or(y.Reconcile, UsualReconcile) }
func (y *Syncer) most() time.Duration      { return cmp.Or(y.Most, UsualMost) }
func (y *Syncer) overlap() time.Duration   { return cmp.Or(y.Overlap, UsualOverlap) }

func (y *Syncer) log() *slog.Logger { return cmp.Or(y.Log, slog.New(slog.DiscardHandler)) }

func (y *Syncer) now() time.Time {
	if y.Now == nil {
		return time.Now()
	}
	return y.Now()
}

// Sync brings the set of a source up to date and returns its state. If that fails, the set is still complete, usually
// as it was before, and its state has the failure. The error is ErrBusy if another process syncs the set.
func (y *Syncer) Sync(ctx context.Context, o Origin, full bool) (State, error) {
	if err := y.check(o); err != nil {
		return State{}, err
	}
	dir := filepath.Join(y.Dir, o.Name())
	have := y.take(dir)
	w, err := openWriter(ctx, dir, y.now, have)
	if err != nil {
		y.put(dir, have)
		return State{}, fmt.Errorf("mirror of %s: %w", o.Name(), err)
	}
	have.release()
	w.leastBase = cmp.Or(y.testOnlyLeastBase, leastBase)
	w.mostChanges = cmp.Or(y.testOnlyMostChanges, maxChanges)
	defer w.close() //nolint:errcheck // the lock ends with the file
	if w.damage != nil {
		y.log().Warn("mirror is damaged; rebuilding it", "origin", o.Name(), "error", w.damage.Error())
	}
	before := w.state
	w.state.Origin = o.Name()
	kind, where := o.describe()
	if until := before.waits(y.now()); !until.IsZero() && before.Place == where && !full {
		w.set.retain()
		y.put(dir, w.set)
		return before, fmt.Errorf("mirror of %s: %w, %s", o.Name(), ErrAskedToWait, until.Format(time.RFC3339))
	}
	if before.Place != "" && (before.Kind != kind || before.Place != where) {
		full = true // another source of that name
	}
	full = full || kind != KindMISP && w.outdated() // a server decides itself, and polls before
	w.state.Kind, w.state.Place = kind, where
	began := y.now()
	bounded, cancel := context.WithTimeout(ctx, y.most())
	defer cancel()
	if err = o.sync(bounded, w, y, full); err == nil {
		err = w.upgrade(bounded)
	}
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("the sync took more than %s: %w", y.most(), err)
	}
	w.set.retain()
	y.put(dir, w.set)
	if err != nil {
		if w.state.Base != "" && w.state.Base == before.Base {
			// It is still a mirror of the old place: the next sync must not take it for one of the new place.
			w.state.Kind, w.state.Place = before.Kind, before.Place
		}
		if ctx.Err() == nil {
			err = errors.Join(err, w.failed(err, y.retry(o.Name(), kind, before.Failures+1, err)))
		}
		return w.state, fmt.Errorf("mirror of %s: %w", o.Name(), err)
	}
	y.log().Debug("mirror synced", "origin", o.Name(), "attributes", w.state.Attributes, "events", w.state.Events,
		"changed", w.state.Serial != before.Serial, "full", w.state.Base != before.Base, "took", y.now().Sub(began).Round(time.Millisecond).String())
	return w.state, nil
}

// check refuses what cannot be synced: a Syncer without a directory, and sources that were not made as they have to be.
func (y *Syncer) check(o Origin) error {
	switch name := o.Name(); {
	case y.Dir == "":
		return errors.New("mirror: no directory; set Syncer.Dir")
	case name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("mirror: %q is not a name for a source, which has a directory of that name; make feeds and lists with NewFeed and NewList", name)
	}
	if s, ok := o.(*Server); ok && s.Client == nil {
		return fmt.Errorf("mirror of %s: no client; set Server.Client", o.Name())
	}
	return nil
}

// take takes out what the last sync of a set left open, for the caller to put back or to release.
func (y *Syncer) take(dir string) *snapshot {
	y.mu.Lock()
	defer y.mu.Unlock()
	s := y.sets[dir]
	delete(y.sets, dir)
	return s
}

// put keeps a snapshot for the next sync, in place of another.
func (y *Syncer) put(dir string, s *snapshot) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.sets == nil {
		y.sets = map[string]*snapshot{}
	}
	y.sets[dir].release()
	y.sets[dir] = s
}

// Close closes the files that a Syncer keeps open from one sync to the next. A Syncer may be used after that, and has
// to be closed again then.
func (y *Syncer) Close() {
	y.mu.Lock()
	defer y.mu.Unlock()
	for dir, s := range y.sets {
		s.release()
		delete(y.sets, dir)
	}
}

// ErrBusy says that another process syncs the set.
var ErrBusy = errBusy

// due reports whether something has to be done again. If our clock was set back, it has: it is not known how long ago
// the last time was.
func due(now, last time.Time, every time.Duration) bool {
	ago := now.Sub(last)
	return ago >= every || ago < 0
}

// done returns the change of a state by a sync that succeeded.
func (y *Syncer) done(began time.Time, more func(*State)) func(*State) {
	return func(s *State) {
		s.SyncedAt, s.FailedAt, s.Failure = began.UTC(), time.Time{}, ""
		s.Failures, s.RetryAt, s.NotBefore = 0, time.Time{}, time.Time{}
		more(s)
	}
}
