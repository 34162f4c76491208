package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gaissmai/bart"
	"github.com/google/uuid"

	"custom-misp/engine"
	"custom-misp/engine/atomicfile"
	"custom-misp/misp"
)

const (
	fileMode  = 0o640 // as Wazuh has it: for its group
	dirMode   = 0o750
	stateFile = "state.json"
	lockFile  = "lock"
)

// A State describes the set of one source. It is a file beside the set's segments, which it names: replacing it is what
// makes other segments the set.
type State struct {
	Origin string `json:"origin"` // the name that its matches have
	Kind   Kind   `json:"kind"`
	Place  string `json:"place"` // address or path, without secrets
	// Base is the segment of the last complete walk, Changes what has changed since; names of files.
	Base    string `json:"base,omitempty"`
	Changes string `json:"changes,omitempty"`

	Attributes int       `json:"attributes"`
	Events     int       `json:"events"`
	Networks   int       `json:"networks"`
	Bytes      int64     `json:"bytes"`              // on disk
	FullAt     time.Time `json:"full_at,omitzero"`   // when the last complete walk began
	SyncedAt   time.Time `json:"synced_at,omitzero"` // when the last successful sync began: what the source knew then is in the set
	// Watermark is the source's own clock at the begin of the last sync.
	Watermark time.Time `json:"watermark,omitzero"`
	// Reconciled is when the events were last compared with MISP's own list of them.
	Reconciled time.Time `json:"reconciled,omitzero"`
	// Tag identifies the version of the file that was read: an HTTP entity tag, or size and time.
	Tag string `json:"tag,omitempty"`

	// The last failure; FailedAt is zero if the last sync succeeded.
	FailedAt time.Time `json:"failed_at,omitzero"`
	Failure  string    `json:"failure,omitempty"`
	Serial   uint64    `json:"serial"` // of the last file that was written
}

// A Kind says what a source is.
type Kind string

// The kinds of sources.
const (
	KindMISP Kind = "misp" // a MISP server
	KindFeed Kind = "feed" // events in MISP feed format
	KindCSV  Kind = "csv"  // a plain list of values
)

// ErrNever is a set that was never completed.
var ErrNever = errors.New("not synced yet")

// loadState reads the state of a set; ErrNever if there is none.
func loadState(dir string) (State, error) {
	var s State
	data, err := atomicfile.ReadFile(filepath.Join(dir, stateFile), maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return s, ErrNever
	}
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		return State{}, fmt.Errorf("%s: %w; remove the directory, and the next sync rebuilds it", filepath.Join(dir, stateFile), err)
	}
	return s, nil
}

func (s State) save(dir string) error {
	if len(s.Failure) > maxFailure {
		s.Failure = strings.ToValidUTF8(s.Failure[:maxFailure], "") + "…"
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(dir, stateFile), append(data, '\n'), atomicfile.Durable)
}

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

// bytes returns how long the files are together.
func (s *snapshot) bytes() int64 {
	n := len(s.base.data)
	if s.changes != nil {
		n += len(s.changes.data)
	}
	return int64(n)
}

// openSnapshot opens the files of a set, for the caller to release. If a writer replaces and removes them meanwhile,
// it tries again.
func openSnapshot(dir string, have *snapshot) (*snapshot, error) {
	for try := 0; ; try++ {
		state, err := loadState(dir)
		if err != nil {
			return nil, err
		}
		s, err := state.open(context.Background(), dir, have, false)
		if err == nil || try >= 10 || !errors.Is(err, fs.ErrNotExist) {
			return s, err
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
		for e := range snap.changes.events() {
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

// find yields the attributes that have an indicator, the first [maxRead] of them. It ends early when the context is
// done.
func (s *snapshot) find(ctx context.Context, i engine.Indicator) iter.Seq[misp.Attribute] {
	return func(yield func(misp.Attribute) bool) {
		hash := hashIndicator(i)
		left := maxRead
		// each passes on what a segment has; false if no more is wanted.
		each := func(g *segment, pass func(uuid.UUID, stored) (stored, bool)) bool {
			for at := range g.byIndicator.all(hash) {
				if left--; left < 0 || ctx.Err() != nil {
					return false
				}
				id, in, ok := g.attribute(at, i)
				if ok {
					in, ok = pass(id, in)
				}
				if ok && !yield(in.whole()) {
					return false
				}
			}
			return true
		}
		asItIs := func(_ uuid.UUID, in stored) (stored, bool) { return in, true }
		if s.changes == nil || each(s.changes, asItIs) {
			each(s.base, s.changed)
		}
	}
}

// attribute reads an attribute if it really has an indicator: hashes can be equal by chance.
func (s *segment) attribute(at uint64, i engine.Indicator) (uuid.UUID, stored, bool) {
	kind, c, _ := s.record(at)
	if kind != recordAttribute {
		return uuid.UUID{}, stored{}, false
	}
	id, in, a := c.attribute(s.trailer.Words)
	if c.broken {
		return id, stored{}, false
	}
	// In the usual case no normal form has to be made.
	usual := engine.Type(a.Type).Family() == i.Family && strings.EqualFold(a.Value, i.Key)
	if !usual && !slices.Contains(indicators(a), i) {
		return id, stored{}, false
	}
	e, ok := s.event(in)
	return id, stored{a, e}, ok
}

// changed returns an attribute of the base as the changes leave it; false if they remove or replace it.
func (s *snapshot) changed(id uuid.UUID, in stored) (stored, bool) {
	if s.changes == nil {
		return in, true
	}
	if _, known := s.changes.find(id); known {
		return in, false
	}
	e, known := s.becomes[in.event.uuid]
	switch {
	case !known || e.change == eventAsIs:
		return in, true
	case e.change == eventUpdated:
		in.event = e
		return in, true
	}
	return in, false
}

// each yields all attributes of the set, in their events.
func (s *snapshot) each() iter.Seq2[uuid.UUID, stored] {
	return func(yield func(uuid.UUID, stored) bool) {
		for id, in := range s.base.each() {
			if in, ok := s.changed(id, in); ok && !yield(id, in) {
				return
			}
		}
		if s.changes != nil {
			s.changes.each()(yield)
		}
	}
}

// events returns the events of the set.
func (s *snapshot) events() map[uuid.UUID]event {
	all := map[uuid.UUID]event{}
	for e := range s.base.events() {
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
	return all
}

// Age returns how old the set is: the time since the last sync that was complete.
func (s State) Age(now time.Time) time.Duration {
	if s.SyncedAt.IsZero() {
		return 0
	}
	return max(0, now.Sub(s.SyncedAt))
}
