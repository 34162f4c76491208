package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"time"

	"github.com/google/uuid"

	"custom-misp/misp"
)

// A changeSet is what has changed since the base of a set was written. It is collected in memory and written as a
// whole; when it grows, base and changes become a new base.
type changeSet struct {
	set        *snapshot
	known      map[uuid.UUID]event   // events of the set as it was
	attributes map[uuid.UUID]*stored // nil for one that was removed
	events     map[uuid.UUID]event
	in         map[uuid.UUID]map[uuid.UUID]bool // event → attributes that are, or were, among the changes in it
	dirty      bool
	most       int   // changes that there may be
	fault      error // the first of reading the set: then nothing that is made of it can be used
}

// changesOf begins with what is there.
func changesOf(s *snapshot) *changeSet {
	c := &changeSet{
		set: s, most: maxChanges,
		attributes: map[uuid.UUID]*stored{}, events: map[uuid.UUID]event{}, in: map[uuid.UUID]map[uuid.UUID]bool{},
	}
	var err error
	if c.known, err = s.events(); err != nil {
		c.known = map[uuid.UUID]event{}
	}
	c.failed(err)
	if s.changes == nil {
		return c
	}
	for in, err := range s.changes.each() {
		if c.failed(err); err == nil {
			c.hold(in.id, in)
		}
	}
	for removed, err := range s.changes.allRecords() {
		if c.failed(err); err == nil && removed.kind == recordRemoved {
			c.attributes[removed.id()] = nil
		}
	}
	for id, e := range s.becomes {
		if e.change != eventAsIs {
			c.events[id] = e
		}
	}
	return c
}

// failed notes that the set could not be read; nil for nothing.
func (c *changeSet) failed(err error) { c.fault = cmp.Or(c.fault, err) }

// base returns the attribute with a UUID that the base has; nil for none.
func (c *changeSet) base(id uuid.UUID) *stored {
	in, _, err := c.set.base.find(id)
	c.failed(err)
	return in
}

// hold keeps an attribute. What it has from its event is kept there.
func (c *changeSet) hold(id uuid.UUID, a stored) {
	a.attribute.Tags, a.attribute.Event = a.attribute.OwnTags(), misp.Event{}
	c.attributes[id] = &a
	if c.in[a.event.uuid] == nil {
		c.in[a.event.uuid] = map[uuid.UUID]bool{}
	}
	c.in[a.event.uuid][id] = true
}

// size returns how many changes there are.
func (c *changeSet) size() int { return len(c.attributes) + len(c.events) }

// errManyChanges is a set of changes that would take too much memory.
var errManyChanges = errors.New("too many changes")

// room returns errManyChanges if there is no room for another change.
func (c *changeSet) room() error {
	if c.size() > c.most {
		return fmt.Errorf("%w: more than %d", errManyChanges, c.most)
	}
	return nil
}

// current returns an attribute as the set and the changes have it now; nil if there is none.
func (c *changeSet) current(id uuid.UUID) *stored {
	if in, changed := c.attributes[id]; changed {
		return in
	}
	in := c.base(id)
	if in == nil {
		return nil
	}
	if e, ok := c.events[in.event.uuid]; ok {
		if e.change != eventUpdated {
			return nil
		}
		in.event = e
	}
	return in
}

// Put notes an attribute as the source has it. If its type is never compared, it is only removed; but what it says of
// its event counts in any case.
func (c *changeSet) Put(a misp.Attribute) {
	id := identify(a.UUID)
	c.UpdateEvent(a.Event)
	if len(indicators(a)) == 0 {
		c.Remove(a.UUID)
		return
	}
	now := stored{id, a, event{Event: a.Event, uuid: identify(a.Event.UUID)}}
	was := c.current(id)
	if was != nil && sameAttribute(was.attribute, a) && was.event.uuid == now.event.uuid {
		return
	}
	c.hold(id, now)
	c.dirty = true
}

// sameAttribute compares attributes without what they have from their events.
func sameAttribute(a, b misp.Attribute) bool {
	own := func(x misp.Attribute) misp.Attribute {
		x.Tags, x.Event, x.Origin, x.DecayScore = x.OwnTags(), misp.Event{}, "", nil
		if len(x.Warninglists) == 0 {
			x.Warninglists = nil
		}
		return x
	}
	return reflect.DeepEqual(own(a), own(b))
}

// Remove notes that an attribute was removed.
func (c *changeSet) Remove(attribute string) {
	id := identify(attribute)
	if c.current(id) == nil {
		return
	}
	c.attributes[id] = nil
	c.dirty = true
}

// UpdateEvent notes an event as it is now.
func (c *changeSet) UpdateEvent(e misp.Event) {
	id := identify(e.UUID)
	was, known := c.events[id]
	if !known {
		was, known = c.known[id]
	}
	if !known {
		// A new one: written with its first attribute.
		c.known[id] = event{Event: e, uuid: id}
		return
	}
	if was.change != eventRemoved && sameEvent(was.Event, e) {
		return
	}
	now := event{Event: e, uuid: id, change: eventUpdated, version: was.version}
	if was.change == eventRemoved || was.change == eventReplaced {
		now.change = eventReplaced // what the base has of it stays removed, also if the event is back
	}
	c.events[id] = now
	c.dirty = true
}

func sameEvent(a, b misp.Event) bool {
	if len(a.Tags) == 0 && len(b.Tags) == 0 {
		a.Tags, b.Tags = nil, nil
	}
	return reflect.DeepEqual(a, b)
}

// RemoveEvent notes that an event was removed, with its attributes.
func (c *changeSet) RemoveEvent(uuid uuid.UUID) {
	c.dropEvent(uuid, event{uuid: uuid, change: eventRemoved})
}

// ReplaceEvent notes that an event has exactly these attributes. It fails if they are too many.
func (c *changeSet) ReplaceEvent(e misp.Event, version string, attributes iter.Seq[misp.Attribute]) error {
	id := identify(e.UUID)
	now := event{Event: e, uuid: id, change: eventReplaced, version: version}
	c.dropEvent(id, now)
	for a := range attributes {
		if len(indicators(a)) == 0 {
			continue
		}
		attribute := identify(a.UUID)
		c.hold(attribute, stored{attribute, a, now})
		if err := c.room(); err != nil {
			return err
		}
	}
	return nil
}

func (c *changeSet) dropEvent(id uuid.UUID, now event) {
	for attribute := range c.in[id] {
		if in := c.attributes[attribute]; in == nil || in.event.uuid != id {
			continue
		}
		delete(c.attributes, attribute)
		if in := c.base(attribute); in != nil && in.event.uuid != id {
			c.attributes[attribute] = nil // it had moved here from another event, where the base still has it
		}
	}
	delete(c.in, id)
	c.events[id] = now
	c.dirty = true
}

// total counts the attributes and events that the set has with the changes.
func (c *changeSet) total() (attributes, events int) {
	attributes = c.set.base.trailer.Attributes
	named := map[uuid.UUID]bool{}
	for e, err := range c.set.base.events() {
		if c.failed(err); err != nil {
			continue
		}
		named[e.uuid] = true
		if c.drops(e.uuid) {
			attributes -= e.attributes
			delete(named, e.uuid)
		}
	}
	for id, e := range c.events {
		if e.change != eventRemoved {
			named[id] = true
		}
	}
	for id, in := range c.attributes {
		if had := c.base(id); had != nil && !c.drops(had.event.uuid) {
			attributes--
		}
		if in != nil {
			attributes++
			named[in.event.uuid] = true
		}
	}
	return attributes, len(named)
}

// drops reports whether the attributes that the base has of an event are removed or replaced.
func (c *changeSet) drops(event uuid.UUID) bool {
	change := c.events[event].change
	return change == eventReplaced || change == eventRemoved
}

// write makes a segment of the changes.
func (c *changeSet) write(ctx context.Context, name string, now time.Time) error {
	b, err := newBuilder(name)
	if err != nil {
		return err
	}
	defer b.abort()
	for _, e := range c.events {
		if _, err := b.addEvent(e); err != nil {
			return err
		}
	}
	for of, ids := range c.in { // event by event: whoever reads them all reads each event once
		for id := range ids {
			in := c.attributes[id]
			if in == nil || in.event.uuid != of {
				continue
			}
			e := in.event
			e.change = eventAsIs
			if err := cmp.Or(ctx.Err(), b.add(id, in.attribute, e)); err != nil {
				return err
			}
		}
	}
	for id, in := range c.attributes {
		if in != nil {
			continue
		}
		if err := cmp.Or(ctx.Err(), b.remove(id)); err != nil {
			return err
		}
	}
	return b.finish(ctx, now)
}
