package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"
)

// An Origin is where a set comes from: a MISP server, a feed, a list.
type Origin interface {
	// Name is what matches from it bear; also the name of its directory.
	Name() string
	// describe says what it is, and where, without secrets.
	describe() (Kind, string)
	// sync brings the set up to date, or leaves it as it is with an error. full has it start from nothing.
	sync(ctx context.Context, w *writer, y *Syncer, full bool) error
}

// A Syncer brings sets up to date. It is safe for concurrent use, also by several processes: one at a time works on a
// set.
type Syncer struct {
	// Dir is the directory of all sets.
	Dir string
	// Full is how often a MISP server is walked as a whole, which is what finds attributes that were deleted for good.
	Full time.Duration
	// Reconcile is how often the events are compared with MISP's own list of them.
	Reconcile time.Duration
	// Overlap is how far a poll goes back behind the begin of the last one: what was being written then is not lost.
	Overlap time.Duration
	Log     *slog.Logger
	Now     func() time.Time

	sets sync.Map // directory → *snapshot that was compared with its sums, so that the next sync need not
}

// Times that a Syncer is usually given.
const (
	UsualFull      = 24 * time.Hour
	UsualReconcile = 10 * time.Minute
	UsualOverlap   = 10 * time.Minute
)

// Sync brings the set of an origin up to date and returns what it is then. If that fails, the set is a complete one all
// the same, mostly what it was, and its state tells the failure. ErrBusy if another process is at it.
func (y *Syncer) Sync(ctx context.Context, o Origin, full bool) (State, error) {
	dir := filepath.Join(y.Dir, o.Name())
	known, _ := y.sets.Load(dir)
	have, _ := known.(*snapshot)
	w, err := openWriter(dir, y.Now, have)
	if err != nil {
		return State{}, fmt.Errorf("mirror of %s: %w", o.Name(), err)
	}
	defer w.close() //nolint:errcheck // the lock ends with the file
	if w.damage != nil {
		y.Log.Warn("mirror is damaged; making it anew", "origin", o.Name(), "error", w.damage.Error())
	}
	before := w.state
	w.state.Origin = o.Name()
	kind, where := o.describe()
	if before.Place != "" && (before.Kind != kind || before.Place != where) {
		full = true // another origin of that name
	}
	w.state.Kind, w.state.Place = kind, where
	began := y.Now()
	err = o.sync(ctx, w, y, full)
	y.sets.Store(dir, w.set)
	if err != nil {
		if w.state.Base != "" && w.state.Base == before.Base {
			// It is still a copy of what it was: the next sync must not take it for one of another place.
			w.state.Kind, w.state.Place = before.Kind, before.Place
		}
		if ctx.Err() == nil {
			err = errors.Join(err, w.failed(err))
		}
		return w.state, fmt.Errorf("mirror of %s: %w", o.Name(), err)
	}
	y.Log.Debug("mirror synced", "origin", o.Name(), "attributes", w.state.Attributes, "events", w.state.Events,
		"changed", w.state.Serial != before.Serial, "full", w.state.Base != before.Base, "took", y.Now().Sub(began).Round(time.Millisecond).String())
	return w.state, nil
}

// ErrBusy is another process that is syncing the set.
var ErrBusy = errBusy

// due reports whether something is to be done again. If our clock was set back, it is: nobody knows how long ago the
// last time was.
func due(now, last time.Time, every time.Duration) bool {
	ago := now.Sub(last)
	return ago >= every || ago < 0
}

// done returns the change of a state by a sync that succeeded.
func (y *Syncer) done(began time.Time, more func(*State)) func(*State) {
	return func(s *State) {
		s.SyncedAt, s.FailedAt, s.Failure = began.UTC(), time.Time{}, ""
		more(s)
	}
}
