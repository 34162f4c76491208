package mirror

import (
	"iter"
	"strings"
	"time"

	"custom-misp/misp"
)

// Versions returns for each source, but those of warninglists, a text that changes with its set. A source that was never synced
// as a whole has none.
func (m *Mirror) Versions() map[string]string {
	v := m.use()
	defer v.release()
	all := map[string]string{}
	for _, s := range v.sets {
		if s.snapshot != nil && !m.isList(s.name) && !s.snapshot.state.SyncedAt.IsZero() {
			all[s.name] = s.identity
		}
	}
	return all
}

// Arrivals are the attributes of a source that may have come since an earlier version of its set. It uses the files of the set
// until it is closed.
type Arrivals struct {
	// Version is that of the set, see [Mirror.Versions], and Place where the source is, without secrets.
	Version, Place string
	// At is when the set was written: look-ups before did not see what is new in it.
	At time.Time
	// Attributes is how many there are, at most.
	Attributes int
	// Updated are events that have changed, such as by being published, while most of their attributes have not. Each yields
	// these attributes only if it is asked to.
	Updated []misp.Event

	snapshot *snapshot
	base     bool // has to be read too
	name     string
}

// Arrivals returns what of a source may have come since a version of its set: everything, if that version had another base.
// It is nil for a source that was never synced as a whole.
func (m *Mirror) Arrivals(source, since string) *Arrivals {
	v := m.use()
	defer v.release()
	s := v.set(source)
	if s == nil || s.snapshot == nil || s.snapshot.state.SyncedAt.IsZero() {
		return nil
	}
	state := s.snapshot.state
	before := state
	before.Changes = ""
	a := &Arrivals{Version: s.identity, Place: state.Place, snapshot: s.snapshot, base: !sameBaseVersion(since, before), name: source}
	a.snapshot.retain()
	a.At, a.Attributes = a.snapshot.base.trailer.Created, state.Attributes
	if c := a.snapshot.changes; c != nil {
		a.At = c.trailer.Created
		if !a.base {
			a.Attributes = c.trailer.Attributes
		}
	}
	if !a.base {
		for _, e := range a.snapshot.becomes {
			if e.change == eventUpdated {
				a.Updated = append(a.Updated, e.Event)
			}
		}
	}
	return a
}

// Whole reports whether all attributes of the set are among them.
func (a *Arrivals) Whole() bool { return a.base }

// Each yields the attributes, and an error in place of what cannot be read. With updated, those of the events that have
// changed are among them.
func (a *Arrivals) Each(updated bool) iter.Seq2[misp.Attribute, error] {
	return func(yield func(misp.Attribute, error) bool) {
		each := a.snapshot.each()
		if !a.base && !updated {
			if a.snapshot.changes == nil {
				return
			}
			each = a.snapshot.changes.each()
		}
		for in, err := range each {
			if !a.base && updated && err == nil && !a.changed(in) {
				continue
			}
			whole := in.whole()
			whole.Origin = a.name
			if !yield(whole, err) {
				return
			}
		}
	}
}

// changed reports whether an attribute of the set, or its event, is in the changes.
func (a *Arrivals) changed(in stored) bool {
	e, known := a.snapshot.becomes[in.event.uuid]
	if known && e.change == eventUpdated {
		return true
	}
	_, known, err := a.snapshot.changes.find(in.id)
	return known || err != nil
}

// Close ends the use of the files.
func (a *Arrivals) Close() {
	a.snapshot.release()
	a.snapshot = nil
}

// sameBaseVersion reports whether a version is that of a set with the same base.
func sameBaseVersion(version string, state State) bool {
	parts := strings.Split(version, " ")
	return len(parts) == 3 && strings.Join([]string{parts[0], "", parts[2]}, " ") == state.identity()
}
