package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
)

// A Mirror looks values up in the sets of several sources. It implements [enrich.Lookup] and is safe for concurrent
// use. [Mirror.Close] gives its files back. The zero Mirror has no sources.
type Mirror struct {
	dir    string
	names  []string
	filter engine.Filter
	// Now is the clock; nil for the machine's. It is set before the Mirror is used.
	Now func() time.Time
	// Servers are the names of the sources that are MISP servers, if there are several; nil for [ServerName] alone. It is set
	// before the Mirror is used, like Filters, which has the filters of sources that have another one.
	Servers []string
	Filters map[string]engine.Filter
	// Warninglists are the names of those sources that are lists of well-known values: look-ups find nothing in them, and
	// [Mirror.Warn] does. It is set before the Mirror is used.
	Warninglists []string
	// Refused is called for each observable that is known, and of which filters leave everything out; nil for no call. It is
	// set before the Mirror is used.
	Refused func(o engine.Observable)

	refreshing sync.Mutex           // held by what replaces the view
	view       atomic.Pointer[view] // nil before the first refresh, and after Close
	closed     bool

	noticing sync.Mutex
	noticed  map[string]noticed // by source
}

// Open opens the sets of sources, by their names, below the directory of a [Syncer]. A set that was never synced counts
// as empty; look-ups in one that is damaged fail. See [Mirror.Usable]. filter applies to matches where a mapping says nothing else.
func Open(dir string, origins []string, filter engine.Filter) *Mirror {
	m := &Mirror{dir: dir, names: origins, filter: filter}
	m.Refresh()
	return m
}

// Filter returns the filter that applies where a mapping says nothing else.
func (m *Mirror) Filter() engine.Filter { return m.filter }

// Close closes the files; look-ups in flight keep them open until they end. A Mirror may still be used after that, but
// then opens its files for each call.
func (m *Mirror) Close() {
	m.refreshing.Lock()
	defer m.refreshing.Unlock()
	m.closed = true
	if v := m.view.Swap(nil); v != nil {
		v.release()
	}
}

// Refresh opens what syncs have written since, also those of other processes. It reports whether anything is new.
func (m *Mirror) Refresh() bool {
	m.refreshing.Lock()
	defer m.refreshing.Unlock()
	if m.closed {
		return false
	}
	old := m.view.Load() // no one else replaces it meanwhile, so the Mirror is still its user
	next, changed := m.open(old)
	if !changed && old != nil {
		next.release()
		return false
	}
	m.view.Store(next)
	if old != nil {
		old.release()
	}
	return changed
}

// open makes a view of the files as they are now. It reports whether a set is another than in old, which may be nil.
func (m *Mirror) open(old *view) (v *view, changed bool) {
	v = &view{}
	v.users.Store(1)
	for _, name := range m.names {
		was := old.set(name)
		s := m.openSet(name, was)
		changed = changed || s != was
		v.sets = append(v.sets, s)
	}
	return v, changed
}

// use returns the sets of now. The caller has to release them, and reads them only until then.
func (m *Mirror) use() *view {
	for {
		v := m.view.Load()
		if v == nil {
			v, _ = m.open(nil)
			return v
		}
		if v.retain() { // fails if the view was replaced, and released by all, since it was loaded
			return v
		}
	}
}

// openSet opens the set of a source, or retains the one that an earlier view has. The caller has to release its
// snapshot.
func (m *Mirror) openSet(name string, old *set) *set {
	dir := filepath.Join(m.dir, name)
	st, err := os.Stat(filepath.Join(dir, stateFile))
	never := errors.Is(err, fs.ErrNotExist)
	switch {
	case never && (old == nil || !errors.Is(old.err, ErrNever)):
		return &set{name: name, err: ErrNever}
	case err != nil && !never && old == nil:
		return &set{name: name, err: err}
	// A sync may write two states within one tick of the file system's clock; they are two files nevertheless.
	case err != nil, old != nil && old.state != nil && os.SameFile(old.state, st) && old.state.ModTime().Equal(st.ModTime()):
		old.snapshot.retain()
		if old.snapshot != nil {
			old.snapshot.checkChange()
		}
		return old
	}
	s := &set{name: name, state: st}
	var have *snapshot
	if old != nil {
		have = old.snapshot
	}
	if s.snapshot, s.err = openSnapshot(dir, have); s.err == nil {
		s.identity = s.snapshot.state.identity()
		return s
	}
	s.identity = identityOf(dir)
	s.snapshot = have // better than nothing
	s.snapshot.retain()
	if !errors.Is(s.err, errDamaged) && !errors.Is(s.err, ErrNever) && !errors.Is(s.err, errNewer) {
		s.state = nil // may pass: too many open files, too little memory
	}
	return s
}

// Lookup implements [enrich.Lookup]. It sends nothing over the network, and fails only while there is nothing to look up
// in, see [Mirror.Usable], where a source is damaged, and when the context is done. Errors are [enrich.Trouble]; about
// damage, they wrap a [DamagedError]. Beside an error of the first two kinds, the matches are those that could be read.
// Of each observable there are at most [enrich.MaxMatches], and of all [enrich.MaxAnswer].
func (m *Mirror) Lookup(ctx context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	v := m.use()
	defer v.release()
	before := v.changed()
	in, err := m.search(ctx, v, observables)
	if v.checkChange(); err == nil && v.changed() != before { // what was read may be wrong; now each block is verified again
		in, err = m.search(ctx, v, observables)
	}
	if err != nil {
		return nil, err
	}
	if m.Refused != nil {
		for _, o := range in.found.Refused() {
			m.Refused(o)
		}
	}
	if len(in.unread.found) > 0 {
		return in.found.Matches(), m.trouble(m.damages(in.unread))
	}
	return in.found.Matches(), m.absent(v)
}

// checkChange finds files into which something wrote since they were looked at last, which nothing should.
func (v *view) checkChange() {
	for _, s := range v.sets {
		if s.snapshot != nil {
			s.snapshot.checkChange()
		}
	}
}

// changed returns a number that is another one after a change was found, also by another look-up.
func (v *view) changed() (sum int64) {
	for _, s := range v.sets {
		if s.snapshot == nil {
			continue
		}
		sum += s.snapshot.base.changed.Load()
		if c := s.snapshot.changes; c != nil {
			sum += c.changed.Load()
		}
	}
	return sum
}

// search looks observables up in all sets of a view.
func (m *Mirror) search(ctx context.Context, v *view, observables []engine.Observable) (*search, error) {
	in := &search{ctx: ctx, observables: observables, found: *enrich.NewAnswer(observables, m.filter, m.clock())}
	if len(m.Filters) > 0 {
		bases := map[int]engine.Filter{}
		for i, s := range v.sets {
			if f, own := m.Filters[s.name]; own {
				bases[i] = f
			}
		}
		in.found.FilterBy(bases)
	}
	for i, s := range v.sets {
		if m.isList(s.name) {
			continue
		}
		if err := s.fault(); err != nil && len(observables) > 0 {
			in.unread.add(s, err)
		}
		if s.snapshot == nil {
			continue
		}
		in.set, in.source, in.left, in.waiting = s, i, maxWork/len(v.sets), nil
		if err := in.run(); err != nil {
			return nil, err
		}
	}
	return in, nil
}

func (m *Mirror) clock() time.Time {
	if m.Now == nil {
		return time.Now()
	}
	return m.Now()
}

// All yields every attribute of all sets but warninglists, as they are when the iteration begins, and an error in place of what cannot be
// read.
func (m *Mirror) All() iter.Seq2[misp.Attribute, error] {
	return func(yield func(misp.Attribute, error) bool) {
		v := m.use()
		defer v.release()
		for _, s := range v.sets {
			if m.isList(s.name) {
				continue
			}
			if err := s.fault(); err != nil && !yield(misp.Attribute{}, fmt.Errorf("mirror of %s: %w", s.name, err)) {
				return
			}
			if s.snapshot == nil {
				continue
			}
			for in, err := range s.snapshot.each() {
				if err != nil {
					err = fmt.Errorf("mirror of %s: %w", s.name, err)
				}
				a := in.whole()
				a.Origin = s.name
				if !yield(a, err) {
					return
				}
			}
		}
	}
}

// States returns what is known of each set, in the order of the sources. One that was never synced has nothing but its
// name.
func (m *Mirror) States() []State {
	v := m.use()
	defer v.release()
	states := make([]State, 0, len(m.names))
	for _, s := range v.sets {
		switch {
		case s.snapshot != nil:
			states = append(states, s.snapshot.state)
		default:
			state, err := loadState(filepath.Join(m.dir, s.name))
			if err != nil || errors.Is(s.err, errNewer) {
				state = State{}
			}
			if errors.Is(s.err, errNewer) {
				state.Failure = s.err.Error()
			}
			state.Origin = s.name
			states = append(states, state)
		}
	}
	return states
}

// Usable returns nil if there is something to look up in: the set of MISP, if that is among the sources, else of any; and
// if no damage is known. A feed that has never been read does not keep the others from being used. The error is an
// [enrich.Trouble].
func (m *Mirror) Usable() error {
	v := m.use()
	defer v.release()
	return cmp.Or(m.trouble(m.known(v)), m.absent(v))
}

// isServer reports whether a source is a MISP server.
func (m *Mirror) isServer(name string) bool {
	if len(m.Servers) > 0 {
		return slices.Contains(m.Servers, name)
	}
	return name == ServerName
}

// absent returns an error if what has to be there is not, see [Mirror.Usable]. Of several servers, one that is there will do:
// serve reports the others.
func (m *Mirror) absent(v *view) error {
	var absent *set
	some, server, wanted := false, false, false
	for _, s := range v.sets {
		isServer := m.isServer(s.name)
		wanted = wanted || isServer
		switch {
		case m.isList(s.name):
		case s.snapshot != nil || s.fault() != nil:
			some, server = true, server || isServer
		case absent == nil || isServer && !m.isServer(absent.name):
			absent = s
		}
	}
	if some && (server || !wanted) || absent == nil && len(v.sets) > 0 && len(m.Warninglists) == len(v.sets) {
		return nil
	}
	err := ErrNever
	name := "any source"
	if absent != nil {
		name, err = absent.name, absent.err
		if state, serr := loadState(filepath.Join(m.dir, name)); serr == nil && state.Failure != "" && errors.Is(err, ErrNever) {
			err = errors.New(state.Failure)
		}
	}
	return &enrich.Trouble{
		Code: enrich.CodeMirror, Err: fmt.Errorf("there is no mirror of %s yet: %w", name, err),
		Remedy: "custom-misp sync makes it, and so does custom-misp serve",
	}
}
