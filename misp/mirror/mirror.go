package mirror

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
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
	now    func() time.Time // nil for the machine's clock

	refreshing sync.Mutex           // held by what replaces the view
	view       atomic.Pointer[view] // nil before the first refresh, and after Close
	closed     bool
}

// Open opens the sets of sources, by their names, below the directory of a [Syncer]. A set that was never synced, or is
// damaged, counts as empty; see [Mirror.Usable]. filter applies to matches where a mapping says nothing else.
func Open(dir string, origins []string, filter engine.Filter) *Mirror {
	m := &Mirror{dir: dir, names: origins, filter: filter}
	m.Refresh()
	return m
}

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
	if err != nil {
		if old != nil && (old.snapshot == nil || !errors.Is(err, fs.ErrNotExist)) {
			old.snapshot.retain()
			return old
		}
		return &set{name: name, err: ErrNever}
	}
	// A sync may write two states within one tick of the file system's clock; they are two files nevertheless.
	if old != nil && old.state != nil && os.SameFile(old.state, st) && old.state.ModTime().Equal(st.ModTime()) {
		old.snapshot.retain()
		return old
	}
	s := &set{name: name, state: st}
	var have *snapshot
	if old != nil {
		have = old.snapshot
	}
	s.snapshot, s.err = openSnapshot(dir, have)
	if s.err != nil {
		s.snapshot = have // better than nothing
		s.snapshot.retain()
		if !errors.Is(s.err, errDamaged) && !errors.Is(s.err, ErrNever) {
			s.state = nil // may pass: too many open files, too little memory
		}
	}
	return s
}

// Lookup implements [enrich.Lookup]. It sends nothing over the network, and fails only while there is nothing to look
// up in, see [Mirror.Usable], and when the context is done. Of each observable it returns at most [enrich.MaxMatches]
// matches. Errors are [enrich.Trouble].
func (m *Mirror) Lookup(ctx context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	v := m.use()
	defer v.release()
	if err := m.usable(v); err != nil {
		return nil, err
	}
	var matches []enrich.Match
	for _, o := range observables {
		matches = m.appendMatches(ctx, matches, v, o)
		if err := ctx.Err(); err != nil {
			return nil, &enrich.Trouble{
				Code: enrich.CodeMirror, Err: fmt.Errorf("the mirror has more of %s %q than could be read in time: %w", o.Type, shown(o.Value), err),
				Remedy: "timeout sets how long is looked", Answered: true,
			}
		}
	}
	return matches, nil
}

// shown is the beginning of a value, for messages.
func shown(value string) string {
	const longest = 100
	if len(value) <= longest {
		return value
	}
	return strings.ToValidUTF8(value[:longest], "") + "…"
}

// AppendMatches appends the matches of one observable, at most [enrich.MaxMatches] of them.
func (m *Mirror) AppendMatches(to []enrich.Match, o engine.Observable) []enrich.Match {
	v := m.use()
	defer v.release()
	return m.appendMatches(context.Background(), to, v, o)
}

func (m *Mirror) appendMatches(ctx context.Context, to []enrich.Match, v *view, o engine.Observable) []enrich.Match {
	var found enrich.Strongest
	filter := o.Filter.Over(m.filter)
	for _, s := range v.sets {
		if s.snapshot == nil {
			continue
		}
		for _, r := range o.RelatedIn(s.snapshot.around) {
			for a := range s.snapshot.find(ctx, r.Indicator) {
				a.Origin = s.name
				if r.Fits(engine.Type(a.Type)) && enrich.Accepts(filter, r.Kind, a, m.clock()) {
					found.Add(enrich.Match{Observable: o, Attribute: a, Kind: r.Kind})
				}
			}
		}
	}
	return found.AppendTo(to)
}

func (m *Mirror) clock() time.Time {
	if m.now == nil {
		return time.Now()
	}
	return m.now()
}

// All yields every attribute of all sets, as they are when the iteration begins.
func (m *Mirror) All() iter.Seq[misp.Attribute] {
	return func(yield func(misp.Attribute) bool) {
		v := m.use()
		defer v.release()
		for _, s := range v.sets {
			if s.snapshot == nil {
				continue
			}
			for _, in := range s.snapshot.each() {
				a := in.whole()
				a.Origin = s.name
				if !yield(a) {
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
			if err != nil {
				state = State{}
			}
			state.Origin = s.name
			states = append(states, state)
		}
	}
	return states
}

// Usable returns nil if there is something to look up in: the set of MISP, if that is among the sources, else of any.
// A feed that has never been read does not keep the others from being used. The error is an [enrich.Trouble].
func (m *Mirror) Usable() error {
	v := m.use()
	defer v.release()
	return m.usable(v)
}

func (m *Mirror) usable(v *view) error {
	var absent *set
	some := false
	for _, s := range v.sets {
		switch {
		case s.snapshot != nil:
			some = true
		case absent == nil || s.name == ServerName:
			absent = s
		}
	}
	if some && (absent == nil || absent.name != ServerName) {
		return nil
	}
	err := ErrNever
	name := "any source"
	if absent != nil {
		name, err = absent.name, absent.err
		if state, serr := loadState(filepath.Join(m.dir, name)); serr == nil && state.Failure != "" {
			err = errors.New(state.Failure)
		}
	}
	return &enrich.Trouble{
		Code: enrich.CodeMirror, Err: fmt.Errorf("there is no mirror of %s yet: %w", name, err),
		Remedy: "custom-misp sync makes it, and so does custom-misp serve",
	}
}
