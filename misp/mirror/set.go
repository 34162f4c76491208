package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gaissmai/bart"
	"github.com/google/uuid"

	"custom-misp/engine"
	"custom-misp/misp"
)

// A snapshot is a set at one moment. It is immutable, safe for concurrent use, and a user of its segments: what opens
// or retains a snapshot has to release it.
type snapshot struct {
	state    State
	base     *segment
	changes  *segment            // nil for none
	becomes  map[uuid.UUID]event // of changes: what becomes of the events of the base
	networks *bart.Lite
}

// retain adds a user of the segments. Like release, it does nothing for a snapshot that is nil.
func (s *snapshot) retain() {
	if s != nil {
		s.base.retain()
		s.changes.retain()
	}
}

// release ends the use by one user.
func (s *snapshot) release() {
	if s != nil {
		s.base.release()
		s.changes.release()
	}
}

// damaged returns the damage of its files that was found so far; nil for none.
func (s *snapshot) damaged() error {
	if s == nil {
		return nil
	}
	return cmp.Or(s.base.damaged(), s.changes.damaged())
}

// segments returns its files.
func (s *snapshot) segments() []*segment {
	switch {
	case s == nil:
		return nil
	case s.changes == nil:
		return []*segment{s.base}
	}
	return []*segment{s.base, s.changes}
}

// checkChange finds files that something changed in place.
func (s *snapshot) checkChange() {
	s.base.checkChange()
	if s.changes != nil {
		s.changes.checkChange()
	}
}

// bytes returns how long the files are together.
func (s *snapshot) bytes() int64 {
	n := len(s.base.data)
	if s.changes != nil {
		n += len(s.changes.data)
	}
	return int64(n)
}

// openSnapshot opens the files of a set, for the caller to release. If a writer replaces and removes them meanwhile,
// it tries again; a file that is named and stays absent is damage.
func openSnapshot(dir string, have *snapshot) (*snapshot, error) {
	for try := 0; ; try++ {
		state, err := loadState(dir)
		if err != nil {
			return nil, err
		}
		s, err := state.open(context.Background(), dir, have, false)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
		if try >= 10 {
			return nil, fmt.Errorf("%w: %w", errDamaged, err)
		}
	}
}

// open opens the files of a set, for the caller to release; with check it compares them with their checksums. Files
// never change, so it shares those that the earlier snapshot have has open: a base of many megabytes is read once
// when it is new, and not at each sync. have stays the caller's, and may be nil.
func (s State) open(ctx context.Context, dir string, have *snapshot, check bool) (*snapshot, error) {
	if s.Base == "" {
		return nil, ErrNever
	}
	shared := have != nil && have.state.sameBase(s)
	if shared && have.state.Changes == s.Changes { // often only the time of the sync is new
		same := *have
		same.state = s
		same.retain()
		return &same, nil
	}
	snap := &snapshot{state: s, networks: &bart.Lite{}}
	most := s.Bytes
	if most <= 0 { // not known yet
		most = 2 * maxSegment
	}
	var err error
	if shared {
		snap.base = have.base
		snap.base.retain()
	} else if snap.base, err = openSegment(ctx, filepath.Join(dir, s.Base), most, check); err != nil {
		return nil, err
	}
	if s.Changes != "" {
		if snap.changes, err = openSegment(ctx, filepath.Join(dir, s.Changes), most, check); err != nil {
			snap.release()
			return nil, err
		}
		snap.becomes = map[uuid.UUID]event{}
		for e, err := range snap.changes.events() {
			if err != nil {
				snap.release()
				return nil, err
			}
			snap.becomes[e.uuid] = e
		}
		snap.insert(snap.changes.networks)
	}
	if s.Bytes > 0 && snap.bytes() != s.Bytes {
		err := fmt.Errorf("%w: the files in %s have %d bytes, not %d", errDamaged, dir, snap.bytes(), s.Bytes)
		snap.release()
		return nil, err
	}
	snap.insert(snap.base.networks)
	return snap, nil
}

// sameBase reports whether two states have the same base. The name alone is not enough: names begin again when the
// directory is removed.
func (s State) sameBase(t State) bool { return s.Base == t.Base && s.FullAt.Equal(t.FullAt) }

// insert adds networks that look-ups compare addresses with, except those so wide that they say nothing about an
// address: MISP is not asked for them either ([engine.Observable.Related]).
func (s *snapshot) insert(networks []netip.Prefix) {
	for _, n := range networks {
		if n.Bits() >= 16 || n.Bits() >= 8 && n.Addr().Is4() {
			s.networks.Insert(n)
		}
	}
}

// around yields the networks of the set that an address is in.
func (s *snapshot) around(a netip.Addr) iter.Seq[netip.Prefix] {
	return s.networks.Supernets(netip.PrefixFrom(a, a.BitLen()))
}

// hasOtherForms reports whether a table goes by forms of another version, so that literal indicators are needed.
func (s *snapshot) hasOtherForms() bool {
	return s.base.trailer.Forms != engine.FormsVersion || s.changes != nil && s.changes.trailer.Forms != engine.FormsVersion
}

// find yields the attributes that have an indicator, the first [maxRead] of them, and an error in place of each that
// cannot be read. It ends early when the context is done. literal is how a segment with other forms has it, see
// [engine.Observable.Literal].
func (s *snapshot) find(ctx context.Context, i, literal engine.Indicator) iter.Seq2[misp.Attribute, error] {
	return func(yield func(misp.Attribute, error) bool) {
		for a, err := range s.findFrom(ctx, i, literal, 0, &largeEvents{}) {
			if !a.passed && !yield(a.attribute, err) {
				return
			}
		}
	}
}

// foundAttribute is an attribute that may match, and the bytes of records that were read for it.
type foundAttribute struct {
	attribute misp.Attribute
	bytes     int
	passed    bool // it does not match: it only has the same hash, or was removed
}

// findFrom is find, from a number of attributes on. It also yields those that it passes over.
func (s *snapshot) findFrom(ctx context.Context, i, literal engine.Indicator, from int, events *largeEvents) iter.Seq2[foundAttribute, error] {
	return func(yield func(foundAttribute, error) bool) {
		hash := hashIndicator(i)
		n := 0
		for _, g := range [...]*segment{s.changes, s.base} {
			if g == nil {
				continue
			}
			of := hash
			if g.trailer.Forms != engine.FormsVersion { // each attribute has an entry for its literal indicator, in every version
				of = hashIndicator(literal)
			}
			for at, err := range g.all(g.byIndicator, of) {
				if n++; n <= from && err == nil {
					continue
				}
				if n > maxRead || ctx.Err() != nil {
					return
				}
				a, err := s.attribute(g, at, i, err, events)
				if !yield(a, err) {
					return
				}
			}
		}
	}
}

// attribute reads an attribute of the set, if it has an indicator and the changes leave it. err is why its place is not
// known; nil if it is.
func (s *snapshot) attribute(g *segment, at uint64, i engine.Indicator, err error, events *largeEvents) (a foundAttribute, _ error) {
	if err != nil {
		return a, err
	}
	in, ok, bytes, err := g.attribute(at, i, events)
	if ok && err == nil && g == s.base {
		in, ok, err = s.changed(in)
	}
	if a.bytes = bytes; !ok || err != nil {
		a.passed = err == nil
		return a, err
	}
	a.attribute = in.whole()
	return a, nil
}

// attribute reads an attribute if it really has an indicator: hashes can be equal by chance.
func (s *segment) attribute(at uint64, i engine.Indicator, events *largeEvents) (in stored, ok bool, bytes int, err error) {
	id, eventAt, a, bytes, err := s.attributeAt(at)
	if err != nil {
		return in, false, bytes, err
	}
	// In the usual case no normal form has to be made.
	usual := engine.Type(a.Type).Family() == i.Family && strings.EqualFold(a.Value, i.Key)
	if !usual && !slices.Contains(indicators(a), i) {
		return in, false, bytes, nil
	}
	e, more, err := events.read(s, eventAt)
	return stored{id, a, e}, err == nil, bytes + more, err
}

// changed returns an attribute of the base as the changes leave it; false if they remove or replace it.
func (s *snapshot) changed(in stored) (stored, bool, error) {
	if s.changes == nil {
		return in, true, nil
	}
	if _, known, err := s.changes.find(in.id); known || err != nil {
		return in, false, err
	}
	e, known := s.becomes[in.event.uuid]
	switch {
	case !known || e.change == eventAsIs:
		return in, true, nil
	case e.change == eventUpdated:
		in.event = e
		return in, true, nil
	}
	return in, false, nil
}

// each yields all attributes of the set, in their events, and an error in place of what cannot be read.
func (s *snapshot) each() iter.Seq2[stored, error] {
	return func(yield func(stored, error) bool) {
		for in, err := range s.base.each() {
			ok := true
			if err == nil {
				in, ok, err = s.changed(in)
			}
			if (ok || err != nil) && !yield(in, err) {
				return
			}
		}
		if s.changes != nil {
			s.changes.each()(yield)
		}
	}
}

// events returns the events of the set.
func (s *snapshot) events() (map[uuid.UUID]event, error) {
	all := map[uuid.UUID]event{}
	for e, err := range s.base.events() {
		if err != nil {
			return nil, err
		}
		all[e.uuid] = e
	}
	if s.changes != nil {
		for id, e := range s.becomes {
			if e.change == eventRemoved {
				delete(all, id)
				continue
			}
			all[id] = e
		}
	}
	return all, nil
}
