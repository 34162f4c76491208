package mirror

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"custom-misp/misp"
	"custom-misp/misp/api"
)

// Server is a MISP server as a source. It is walked as a whole once a day, and in between asked for what is new by
// both of MISP's clocks, since a while before the last poll: an attribute that is edited, added or deleted is seen
// by its own time at the next poll, a draft that is published or an event that is pulled from elsewhere by the time
// of publication. Events that were deleted or unpublished, or are no longer visible, are missed by both and
// found by comparing the list of events; attributes that were deleted for good are found by the next walk.
type Server struct {
	Client *api.Client
	URL    string
	// Warninglists asks MISP which values are on its warninglists; this costs MISP time.
	Warninglists bool
	// Sightings asks MISP for sightings, to know which attributes have expired; this costs MISP a query for each attribute.
	Sightings bool
}

// ServerName is the name of the source that is the configured MISP.
const ServerName = misp.OriginServer

// Name implements Origin.
func (s *Server) Name() string { return ServerName }

func (s *Server) describe() (Kind, string) { return KindMISP, newPlace(s.URL, "").shown() }

func (s *Server) sync(ctx context.Context, w *writer, y *Syncer, full bool) error {
	began := y.now()
	if full || w.set == nil || w.state.Watermark.IsZero() {
		return s.walk(ctx, w, y, began)
	}
	err := s.poll(ctx, w, y, began)
	switch {
	case errors.Is(err, errBlind):
		y.log().Info("MISP is walked as a whole", "because", err.Error())
		return s.walk(ctx, w, y, began)
	case err == nil && (w.outdated() || due(began, w.state.FullAt, y.full())):
		// After the poll: where MISP is too slow for a walk, the set grows no older for it.
		return s.walk(ctx, w, y, began)
	}
	return err
}

// errBlind is something that a poll would miss, so that only a walk helps.
var errBlind = errors.New("a poll does not see all that is new")

const walks = 3 // over MISP, to find one during which nothing was deleted

// walk makes a new base. Pages are counted by MISP, so an attribute that is deleted for good during a walk moves
// others to a page that was read already. Where an event is gone after a walk, it walks again.
func (s *Server) walk(ctx context.Context, w *writer, y *Syncer, began time.Time) error {
	for try := 1; ; try++ {
		err := s.walkOnce(ctx, w, y, began, try == walks)
		if !errors.Is(err, errMoved) {
			return err
		}
		y.log().Info("events were deleted in MISP while it was walked; walking again", "try", try)
	}
}

// walkOnce makes a new base. Unless it is the last try, it fails with errMoved if an event was deleted meanwhile.
func (s *Server) walkOnce(ctx context.Context, w *writer, y *Syncer, began time.Time, last bool) error {
	before, err := s.Client.Events(ctx)
	if err != nil {
		return err
	}
	var clock time.Time
	fill := func(b *builder) error {
		var err error
		clock, err = s.Client.WalkAll(ctx, api.Walk{Warninglists: s.Warninglists, Sightings: s.Sightings}, func(a misp.Attribute, live bool) error {
			if !live {
				return nil
			}
			return b.Add(a, "")
		})
		if err != nil {
			return err
		}
		after, err := s.Client.Events(ctx)
		if err == nil && !last && missing(before, after) {
			err = errMoved
		}
		return err
	}
	return w.replace(ctx, fill, y.done(began, func(st *State) {
		st.FullAt, st.Reconciled = began.UTC(), began.UTC()
		st.Watermark = watermark(clock, began)
	}))
}

var errMoved = errors.New("events were deleted during the walk")

// missing reports whether an event of one list is not in another.
func missing(from, in []api.IndexedEvent) bool {
	have := uuids(in)
	return slices.ContainsFunc(from, func(e api.IndexedEvent) bool { return !have[identify(e.UUID)] })
}

func uuids(list []api.IndexedEvent) map[uuid.UUID]bool {
	all := make(map[uuid.UUID]bool, len(list))
	for _, e := range list {
		all[identify(e.UUID)] = true
	}
	return all
}

// watermark returns the clock of MISP, or ours if MISP does not say what time it is.
func watermark(clock, ours time.Time) time.Time {
	if clock.IsZero() {
		return ours.UTC().Truncate(time.Second) // as MISP's
	}
	return clock.UTC()
}

// poll applies what is new.
func (s *Server) poll(ctx context.Context, w *writer, y *Syncer, began time.Time) error {
	c := changesOf(w.set)
	c.most = w.mostChanges
	clock, err := s.collect(ctx, c, w.state.Watermark.Add(-y.overlap()))
	if err != nil {
		return err
	}
	reconciled := w.state.Reconciled
	if due(began, reconciled, y.reconcile()) {
		if err := s.reconcile(ctx, c); err != nil {
			return err
		}
		reconciled = began.UTC()
	}
	return w.apply(ctx, c, y.done(began, func(st *State) {
		st.Watermark, st.Reconciled = watermark(clock, began), reconciled
	}))
}

// collect adds what is new since a time, by MISP's clock, and returns that clock at the begin.
func (s *Server) collect(ctx context.Context, c *changeSet, since time.Time) (began time.Time, err error) {
	for _, by := range []api.Clock{api.ByTimestamp, api.ByPublished} {
		at, err := s.Client.WalkAll(ctx, api.Walk{Clock: by, Since: since, Warninglists: s.Warninglists, Sightings: s.Sightings}, func(a misp.Attribute, live bool) error {
			if live {
				c.Put(a)
			} else {
				c.Remove(a.UUID)
				c.UpdateEvent(a.Event)
			}
			if err := c.room(); err != nil {
				return fmt.Errorf("%w: %w", errBlind, err)
			}
			return nil
		})
		if err != nil {
			return began, err
		}
		if began.IsZero() {
			began = at
		}
		if !at.IsZero() && at.Before(since) {
			// What has happened since then bears times that were asked for already.
			return began, fmt.Errorf("%w: MISP's clock was set back, from %s or later to %s", errBlind, since.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339))
		}
	}
	return began, nil
}

// reconcile compares the events with MISP's list of them.
func (s *Server) reconcile(ctx context.Context, c *changeSet) error {
	list, err := s.Client.Events(ctx)
	if err != nil {
		return err
	}
	gone := c.gone(list)
	if len(gone) > 0 {
		// An event that moved from one page of the list to another meanwhile is missing in one list only.
		again, err := s.Client.Events(ctx)
		if err != nil {
			return err
		}
		for id := range c.gone(again) {
			if gone[id] {
				c.RemoveEvent(id)
			}
		}
		list = again
	}
	for _, e := range list {
		id := identify(e.UUID)
		if c.events[id].change == eventRemoved {
			// It is visible to the user of the key again; its attributes are as old as they were.
			return fmt.Errorf("%w: event %s is back", errBlind, e.ID)
		}
		c.setPublished(id, e.Published)
	}
	return nil
}

// gone returns the events that are not in a list.
func (c *changeSet) gone(list []api.IndexedEvent) map[uuid.UUID]bool {
	have, gone := uuids(list), map[uuid.UUID]bool{}
	for id := range c.known {
		if !have[id] && c.events[id].change != eventRemoved {
			gone[id] = true
		}
	}
	return gone
}

// setPublished notes whether an event that the set has is published.
func (c *changeSet) setPublished(id uuid.UUID, published bool) {
	e, ok := c.events[id]
	if !ok {
		e, ok = c.known[id]
	}
	if ok && e.change != eventRemoved && e.Published != published {
		e.Published = published
		c.UpdateEvent(e.Event)
	}
}
