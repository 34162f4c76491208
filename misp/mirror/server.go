package mirror

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"custom-misp/misp"
	"custom-misp/misp/api"
)

// Server is a MISP server as an origin. It is walked as a whole once a day, and in between asked for what is new by
// both of MISP's clocks, from a while before the last poll on: an attribute that is edited, added or deleted is seen
// by its own time at the next poll, a draft that is published or an event that is pulled from elsewhere by the time
// of publication. Events that were deleted or unpublished, or are not to be seen any more, are missed by both and
// found by comparing the list of events; attributes that were deleted for good by the next walk.
type Server struct {
	Client *api.Client
	URL    string
	// Warninglists has MISP tell which values are on its warninglists; it costs MISP time.
	Warninglists bool
}

// ServerName is the name of the origin that is the configured MISP.
const ServerName = misp.OriginServer

// Name implements Origin.
func (s *Server) Name() string { return ServerName }

func (s *Server) describe() (Kind, string) { return KindMISP, newPlace(s.URL, "").shown() }

func (s *Server) sync(ctx context.Context, w *writer, y *Syncer, full bool) error {
	began := y.Now()
	if full || w.set == nil || w.state.Watermark.IsZero() {
		return s.walk(ctx, w, y, began)
	}
	err := s.poll(ctx, w, y, began)
	switch {
	case errors.Is(err, errBlind):
		y.Log.Info("MISP is walked as a whole", "because", err.Error())
		return s.walk(ctx, w, y, began)
	case err == nil && due(began, w.state.FullAt, y.Full):
		// After the poll: where MISP is too slow for a walk, the set grows no older for it.
		return s.walk(ctx, w, y, began)
	}
	return err
}

// errBlind is something that a poll would go past, so that only a walk helps.
var errBlind = errors.New("a poll does not see all that is new")

const walks = 3 // over MISP, to find one during which nothing was taken away

// walk makes a new base. Pages are counted by MISP, so what is deleted for good during a walk moves others to a page
// that was read already; where an event has gone meanwhile, the walk is made again.
func (s *Server) walk(ctx context.Context, w *writer, y *Syncer, began time.Time) error {
	for try := 1; ; try++ {
		before, err := s.Client.Events(ctx)
		if err != nil {
			return err
		}
		var clock time.Time
		moved := false
		err = w.replace(func(b *builder) error {
			clock, err = s.Client.WalkAll(ctx, api.Walk{Warninglists: s.Warninglists}, func(attributes []misp.Attribute, live []bool) error {
				for i, a := range attributes {
					if !live[i] {
						continue
					}
					if err := b.Add(a, ""); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			after, err := s.Client.Events(ctx)
			if err != nil {
				return err
			}
			if moved = len(missing(before, after)) > 0; moved && try < walks {
				return errMoved
			}
			return nil
		}, y.done(began, func(st *State) {
			st.FullAt, st.Reconciled = began.UTC(), began.UTC()
			st.Watermark = watermark(clock, began)
		}))
		if !errors.Is(err, errMoved) {
			return err
		}
		y.Log.Info("events were deleted in MISP while it was walked; walking again", "try", try)
	}
}

var errMoved = errors.New("events were deleted during the walk")

// watermark returns the clock of MISP, or ours if MISP does not tell it.
func watermark(clock, ours time.Time) time.Time {
	if clock.IsZero() {
		return ours.UTC().Truncate(time.Second) // as MISP's
	}
	return clock.UTC()
}

// missing returns what is in one list and not in another.
func missing(from, in []api.IndexedEvent) []api.IndexedEvent {
	have := map[string]bool{}
	for _, e := range in {
		have[e.UUID] = true
	}
	var gone []api.IndexedEvent
	for _, e := range from {
		if !have[e.UUID] {
			gone = append(gone, e)
		}
	}
	return gone
}

// poll applies what is new.
func (s *Server) poll(ctx context.Context, w *writer, y *Syncer, began time.Time) error {
	since := w.state.Watermark.Add(-y.Overlap)
	c := changesOf(w.set)
	var clock time.Time
	for _, by := range []api.Clock{api.ByTimestamp, api.ByPublished} {
		at, err := s.Client.WalkAll(ctx, api.Walk{Clock: by, Since: since, Warninglists: s.Warninglists}, func(attributes []misp.Attribute, live []bool) error {
			for i, a := range attributes {
				if live[i] {
					c.Put(a)
				} else {
					c.Remove(a.UUID)
					c.UpdateEvent(a.Event)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if clock.IsZero() {
			clock = at
		}
		if !at.IsZero() && at.Before(since) {
			// What has happened since then bears times that were asked for already.
			return fmt.Errorf("%w: MISP's clock was set back, from %s or later to %s", errBlind, since.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339))
		}
	}
	reconciled := w.state.Reconciled
	if due(began, reconciled, y.Reconcile) {
		if err := s.reconcile(ctx, c); err != nil {
			return err
		}
		reconciled = began.UTC()
	}
	return w.apply(c, y.done(began, func(st *State) {
		st.Watermark, st.Reconciled = watermark(clock, began), reconciled
	}))
}

// reconcile compares the events with MISP's list of them.
func (s *Server) reconcile(ctx context.Context, c *changeSet) error {
	list, err := s.Client.Events(ctx)
	if err != nil {
		return err
	}
	gone := c.gone(list)
	if len(gone) > 0 {
		// An event that moved from one page of the list to another while it was read is missing in one list only.
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
			// The user of the key may see it again; its attributes are as old as they were.
			return fmt.Errorf("%w: event %s is back", errBlind, e.ID)
		}
		c.setPublished(id, e.Published)
	}
	return nil
}

// gone returns the events that are not in a list.
func (c *changeSet) gone(list []api.IndexedEvent) map[uuid.UUID]bool {
	have := map[uuid.UUID]bool{}
	for _, e := range list {
		have[identify(e.UUID)] = true
	}
	gone := map[uuid.UUID]bool{}
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
