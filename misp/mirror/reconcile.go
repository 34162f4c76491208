package mirror

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"custom-misp/misp"
	"custom-misp/misp/api"
)

// A pass collects what is new of a MISP.
type pass struct {
	reader
	c *changeSet
	// was and recent say what was read of events before and now, event by event (id → version): what they had changed by
	// then is not read again while a poll goes back behind it.
	was, recent map[string]string
}

// news are the events that MISP lists as new.
type news struct {
	clock  time.Time // MISP's
	events map[string]api.IndexedEvent
	edited map[string]bool // new by the time of their last change, and not only published
}

// list asks for the events that are new by either of their times since then, by MISP's clock.
func (p *pass) list(ctx context.Context, since time.Time) (news, error) {
	n := news{events: map[string]api.IndexedEvent{}, edited: map[string]bool{}}
	for _, by := range []api.Clock{api.ByTimestamp, api.ByPublished} {
		list, at, err := p.server.Client.Events(ctx, api.EventList{Counted: true, Clock: by, Since: since})
		if err != nil {
			return n, err
		}
		if n.clock.IsZero() {
			n.clock = at
		}
		if !at.IsZero() && at.Before(since) {
			// What has happened since then bears times that were asked for already.
			return n, fmt.Errorf("%w: MISP's clock was set back, from %s or later to %s", errBlind, since.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339))
		}
		for _, e := range list {
			n.events[e.UUID] = e
			n.edited[e.UUID] = n.edited[e.UUID] || by == api.ByTimestamp
		}
	}
	return n, nil
}

// unread returns the events that are new to the set: those of which all has to be read, and those of which what was changed
// is enough.
func (p *pass) unread(n news) (whole, part []target) {
	for _, e := range n.events {
		known, had := p.c.known[identify(e.UUID)]
		had = had && known.ID == e.ID // else another one of that UUID, which came after the first was deleted
		if !had {
			known.version = ""
		}
		last := cmp.Or(p.was[e.ID], known.version)
		t := target{IndexedEvent: e, Version: versionOf(e, n.clock), Size: e.Attributes}
		switch {
		case unchanged(last, e):
			if p.was[e.ID] != "" {
				p.recent[e.ID] = p.was[e.ID]
			}
		case !had || !n.edited[e.UUID] || changedAt(last) == 0 || changedAt(t.Timestamp) <= changedAt(last):
			// One that came from another server keeps its old times, and so do its attributes.
			whole = append(whole, t)
		default:
			t.Version = last
			part = append(part, t)
		}
	}
	order := func(a, b target) int {
		return cmp.Or(cmp.Compare(changedAt(a.Version), changedAt(b.Version)), cmp.Compare(a.ID, b.ID))
	}
	slices.SortFunc(part, order)
	slices.SortFunc(whole, order)
	return whole, part
}

// poll reads what is new since then, by MISP's clock, and returns that clock.
func (p *pass) poll(ctx context.Context, since time.Time) (clock time.Time, err error) {
	n, err := p.list(ctx, since)
	clock = n.clock
	if err != nil {
		return clock, err
	}
	whole, part := p.unread(n)
	changed, err := p.readChanges(ctx, part, clock)
	if err != nil {
		return clock, err
	}
	for _, t := range part {
		if !changed[identify(t.UUID)] {
			// The event itself was changed, or something in it is gone for good.
			t.Version = versionOf(t.IndexedEvent, clock)
			whole = append(whole, t)
		}
	}
	if err := p.readWhole(ctx, whole); err != nil {
		return clock, err
	}
	for _, e := range n.events {
		p.c.setPublished(identify(e.UUID), e.Published)
	}
	return clock, nil
}

// bounded keeps what is remembered of events within bounds. What is forgotten is read again.
func bounded(recent map[string]string) map[string]string {
	for id := range recent {
		if len(recent) <= maxRecentEvents {
			break
		}
		delete(recent, id)
	}
	return recent
}

// readChanges reads the attributes of events that were changed after their versions, and returns in which events there
// are any.
func (p *pass) readChanges(ctx context.Context, todo []target, clock time.Time) (changed map[uuid.UUID]bool, err error) {
	todo, changed = slices.Clone(todo), map[uuid.UUID]bool{}
	like := func(group []target) api.Reading {
		// Sorted: the first is the one with the longest way back.
		return api.Reading{Since: time.Unix(changedAt(group[0].Version)+1, 0), Deleted: true}
	}
	for i := range todo {
		todo[i].Size = min(todo[i].Size, guessedSize)
	}
	return changed, p.read(ctx, todo, like, func(group []target, page api.Page) error {
		for _, row := range page.Rows {
			changed[identify(row.Event.UUID)] = true
			if row.Live {
				p.c.Put(row.Attribute)
			} else {
				p.c.Remove(row.UUID)
				p.c.UpdateEvent(row.Event)
			}
			if err := p.c.room(); err != nil {
				return err
			}
		}
		for _, t := range group {
			if v := versionOf(t.IndexedEvent, clock); v != "" && !page.More {
				p.recent[t.ID] = v
			}
		}
		return nil
	})
}

// readWhole reads all attributes of events.
func (p *pass) readWhole(ctx context.Context, todo []target) error {
	if len(todo) == 0 {
		return nil
	}
	counts := p.c.counts()
	var rows []api.Row // of an event with several pages
	return p.read(ctx, todo, func([]target) api.Reading { return api.Reading{} }, func(group []target, page api.Page) error {
		if rows = append(rows, page.Rows...); page.More {
			if len(rows) > p.c.most {
				return errManyChanges
			}
			return nil
		}
		of := map[uuid.UUID][]misp.Attribute{}
		for _, row := range rows {
			id := identify(row.Event.UUID)
			of[id] = append(of[id], row.Attribute)
		}
		rows = nil
		for _, t := range group {
			id := identify(t.UUID)
			if err := p.c.setEvent(t, of[id], counts[id]); err != nil {
				return err
			}
			if len(of[id]) == 0 && t.Version != "" {
				p.recent[t.ID] = t.Version // the set may have nothing of it
			}
		}
		return nil
	})
}

// reconcile compares MISP's list of events with what was read, and reads again those that were changed since, that are
// new, and those that are not in the list: that is no proof that they are gone.
func (p *pass) reconcile(ctx context.Context) error {
	list, clock, err := p.server.Client.Events(ctx, api.EventList{})
	if err != nil {
		return err
	}
	counts := p.c.counts()
	listed := make(map[uuid.UUID]bool, len(list))
	var todo []target
	for _, e := range list {
		id := identify(e.UUID)
		listed[id] = true
		known, ok := p.c.now(id)
		if ok && known.ID == e.ID && unchanged(known.version, e) {
			p.c.setPublished(id, e.Published)
			continue
		}
		todo = append(todo, target{IndexedEvent: e, Version: versionOf(e, clock), Size: max(counts[id], guessedSize)})
	}
	for id, e := range p.c.known {
		now, ok := p.c.now(id)
		if !listed[id] && ok {
			gone := api.IndexedEvent{ID: e.ID, UUID: e.UUID, Published: now.Published}
			todo = append(todo, target{IndexedEvent: gone, Version: now.version, Size: counts[id], Gone: true})
		}
	}
	return p.readWhole(ctx, todo)
}

// now returns an event as the changes leave it; false if there is none.
func (c *changeSet) now(id uuid.UUID) (event, bool) {
	e, ok := c.events[id]
	if !ok {
		e, ok = c.known[id]
	}
	return e, ok && e.change != eventRemoved
}

// counts returns how many attributes each event has.
func (c *changeSet) counts() map[uuid.UUID]int {
	counts := map[uuid.UUID]int{}
	for e, err := range c.set.base.events() {
		if c.failed(err); err == nil && !c.drops(e.uuid) {
			counts[e.uuid] = e.attributes
		}
	}
	for id, in := range c.attributes {
		if had := c.base(id); had != nil && !c.drops(had.event.uuid) {
			counts[had.event.uuid]--
		}
		if in != nil {
			counts[in.event.uuid]++
		}
	}
	return counts
}

// setEvent notes that an event has exactly these attributes. had is how many it had. If that shows that none is gone,
// only what is new is noted.
func (c *changeSet) setEvent(t target, attributes []misp.Attribute, had int) error {
	id := identify(t.UUID)
	if len(attributes) == 0 {
		return c.emptyEvent(t, id, had)
	}
	kept := 0 // that are compared
	for _, a := range attributes {
		if len(indicators(a)) > 0 {
			kept++
		}
		was := c.current(identify(a.UUID))
		c.Put(a)
		if is := c.current(identify(a.UUID)); is != nil && (was == nil || was.event.uuid != id) {
			had++
		} else if is == nil && was != nil && was.event.uuid == id {
			had--
		}
		if err := c.room(); err != nil {
			return err
		}
	}
	if had != kept {
		if err := c.ReplaceEvent(attributes[0].Event, t.Version, slices.Values(attributes)); err != nil {
			return err
		}
	}
	c.setVersion(id, attributes[0].Event, t.Version)
	if !t.Gone {
		c.setPublished(id, t.Published)
	}
	return nil
}

// emptyEvent notes that an event has no attributes, or is gone.
func (c *changeSet) emptyEvent(t target, id uuid.UUID, had int) error {
	e, known := c.now(id)
	switch {
	case t.Gone || t.Attributes == 0:
		if known {
			c.RemoveEvent(id)
		}
		return nil
	case had > 0:
		if err := c.ReplaceEvent(e.Event, t.Version, slices.Values([]misp.Attribute(nil))); err != nil {
			return err
		}
	}
	if !known {
		e.Event = misp.Event{ID: t.ID, UUID: t.UUID, Published: t.Published}
	}
	c.setVersion(id, e.Event, t.Version)
	return nil
}

// setVersion notes at which version an event was read.
func (c *changeSet) setVersion(id uuid.UUID, e misp.Event, version string) {
	now, ok := c.events[id]
	if !ok {
		if now, ok = c.known[id]; !ok {
			now = event{Event: e, uuid: id}
		}
	}
	if ok && now.version == version {
		return
	}
	switch now.change {
	case eventAsIs:
		now.change = eventUpdated
	case eventRemoved:
		now.change = eventReplaced
	}
	now.version = version
	c.events[id] = now
	c.dirty = true
}

// setPublished notes whether an event that the set has is published.
func (c *changeSet) setPublished(id uuid.UUID, published bool) {
	if e, ok := c.now(id); ok && e.Published != published {
		e.Published = published
		c.UpdateEvent(e.Event)
	}
}
