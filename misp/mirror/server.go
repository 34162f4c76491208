package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	"custom-misp/misp"
	"custom-misp/misp/api"
)

// Server is a MISP server as a source. It is followed by its events: whatever changes an attribute moves the time of its
// event, or the event is published, appears or goes. A poll asks for the events that are new by either time, and reads
// what has changed in them; a reconciliation compares MISP's list of all events with what was read of each, and reads
// those again that differ; a walk reads all, once a day, for the few changes that move no time. README.md says which
// change is seen by which.
type Server struct {
	Origin string // its name as a source; empty for [ServerName]
	Client *api.Client
	URL    string
	// Warninglists asks MISP which values are on its warninglists; this costs MISP time.
	Warninglists bool
	// Sightings asks MISP for sightings, to know which attributes have expired; this costs MISP a query for each attribute.
	Sightings bool
}

// ServerName is the name of the source that is the MISP at misp.url.
const ServerName = misp.OriginServer

// Name implements Origin.
func (s *Server) Name() string { return cmp.Or(s.Origin, ServerName) }

func (s *Server) describe() (Kind, string) { return KindMISP, newPlace(s.URL, "").shown() }

func (s *Server) sync(ctx context.Context, w *writer, y *Syncer, full bool) error {
	began := y.now()
	if full || w.set == nil || w.state.Watermark.IsZero() {
		return s.walk(ctx, w, y, full)
	}
	followed, err := w.followed()
	if err != nil {
		return err
	}
	err = s.poll(ctx, w, y, followed)
	switch {
	case errors.Is(err, errBlind):
		y.log().Info("MISP is walked as a whole", "because", err.Error())
	case err != nil:
		return err
	case followed && !w.outdated() && !due(began, w.state.FullAt, y.full()) && !w.interrupted():
		return nil
	case began.Before(w.state.Walk.NotBefore):
		return nil // the set is as new as the poll; the walk goes on later
	}
	// After the poll: where MISP is too slow for a walk, the set grows no older for it.
	return s.walk(ctx, w, y, false)
}

// interrupted reports whether a walk was not completed.
func (w *writer) interrupted() bool {
	_, err := os.Lstat(filepath.Join(w.dir, walkFile))
	return err == nil
}

// followed reports whether the set knows when its events were changed, which sets of earlier versions do not.
func (w *writer) followed() (bool, error) {
	versions, err := w.versions()
	if err != nil {
		return false, err
	}
	for _, version := range versions {
		if version != "" {
			return true, nil
		}
	}
	return len(versions) == 0, nil
}

// errBlind is something that a poll would miss, so that only a walk helps.
var errBlind = errors.New("a poll does not see all that is new")

// watermark returns the clock of MISP, or ours if MISP does not say what time it is.
func watermark(clock, ours time.Time) time.Time {
	if clock.IsZero() {
		return ours.UTC().Truncate(time.Second) // as MISP's
	}
	return clock.UTC()
}

// poll applies what is new. It compares the list of events too if that is due, and if the set was read event by event.
func (s *Server) poll(ctx context.Context, w *writer, y *Syncer, followed bool) error {
	began := y.now()
	c := changesOf(w.set)
	c.most = w.mostChanges
	p := &pass{reader: newReader(s, y), c: c, was: w.state.Recent, recent: map[string]string{}}
	clock, err := p.poll(ctx, w.state.Watermark.Add(-y.overlap()))
	if err != nil {
		return p.keep(ctx, w, err)
	}
	reconciled := w.state.Reconciled
	if followed && due(began, reconciled, y.reconcile()) {
		if err = p.reconcile(ctx); err == nil {
			reconciled = began.UTC()
		} else if errors.Is(err, errManyChanges) || ctx.Err() != nil {
			return blind(err)
		}
	}
	// Also if the reconciliation failed: what was read of events is complete.
	return errors.Join(err, w.apply(ctx, c, y.done(began, func(st *State) {
		st.Watermark, st.Reconciled, st.Recent = watermark(clock, began), reconciled, bounded(p.recent)
	})))
}

// keep keeps what was read of events before a poll failed, so that the next one need not read it again: a rate limit may
// not let it read all at once.
func (p *pass) keep(ctx context.Context, w *writer, failed error) error {
	if p.pages == 0 || errors.Is(failed, errBlind) || errors.Is(failed, errManyChanges) || ctx.Err() != nil {
		return blind(failed)
	}
	recent := maps.Clone(p.was)
	if recent == nil {
		recent = map[string]string{}
	}
	maps.Copy(recent, p.recent)
	return errors.Join(failed, w.apply(ctx, p.c, func(st *State) { st.Recent = bounded(recent) }))
}

// blind makes errBlind of what a walk helps against.
func blind(err error) error {
	if errors.Is(err, errManyChanges) {
		return fmt.Errorf("%w: %w", errBlind, err)
	}
	return err
}
