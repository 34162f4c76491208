// Package mirror keeps a copy of what MISP servers, feeds and plain lists know, for looking up without asking
// anybody: hundreds of thousands of values a second, and also while MISP is away.
//
// Each origin has a set of its own, a directory with immutable segments (segment.go): a base, made by a complete walk
// over the origin, and the changes since. A sync (sync.go) writes new files beside the old ones and then replaces
// state.json, which names those that count: whenever the program or the power dies, the last complete set is there.
// Readers, in any number of processes, map the files and wait for nobody.
//
//	DIR/ORIGIN/state.json             what the set is, how old, and from where
//	DIR/ORIGIN/base-00000007.segment
//	DIR/ORIGIN/changes-00000012.segment
//	DIR/ORIGIN/lock                   held by the one who syncs
package mirror

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
)

// A Mirror looks values up in the sets of several origins. It implements [enrich.Lookup] and is safe for concurrent
// use.
type Mirror struct {
	dir    string
	names  []string
	filter engine.Filter
	now    func() time.Time

	refreshing sync.Mutex
	sets       atomic.Pointer[[]*set]
}

// set is a snapshot under the name of its origin.
type set struct {
	name     string
	snapshot *snapshot   // nil if there is none yet
	state    fs.FileInfo // the file with the state of the snapshot; nil if it is to be opened anew
	err      error       // why there is none, or no newer one
}

// Open opens the sets of origins below a directory. One that was never synced, or is damaged, counts as empty; see
// [Mirror.Usable]. filter is what matches are filtered by where a mapping says nothing else.
func Open(dir string, origins []string, filter engine.Filter) *Mirror {
	m := &Mirror{dir: dir, names: origins, filter: filter, now: time.Now}
	m.sets.Store(&[]*set{})
	m.Refresh()
	return m
}

// Refresh takes over what syncs have written since, also of other processes. It reports whether there was anything.
func (m *Mirror) Refresh() bool {
	m.refreshing.Lock()
	defer m.refreshing.Unlock()
	old := map[string]*set{}
	for _, s := range *m.sets.Load() {
		old[s.name] = s
	}
	changed := false
	sets := make([]*set, 0, len(m.names))
	for _, name := range m.names {
		s := m.refresh(name, old[name])
		changed = changed || s != old[name]
		sets = append(sets, s)
	}
	if changed {
		m.sets.Store(&sets)
	}
	return changed
}

func (m *Mirror) refresh(name string, old *set) *set {
	dir := filepath.Join(m.dir, name)
	st, err := os.Stat(filepath.Join(dir, stateFile))
	if err != nil {
		if old != nil && (old.snapshot == nil || !errors.Is(err, fs.ErrNotExist)) {
			return old
		}
		return &set{name: name, err: ErrNever}
	}
	// A sync may write two states within one tick of the file system's clock; they are two files all the same.
	if old != nil && old.state != nil && os.SameFile(old.state, st) && old.state.ModTime().Equal(st.ModTime()) {
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
		if !errors.Is(s.err, errDamaged) && !errors.Is(s.err, ErrNever) {
			s.state = nil // may pass: too many open files, too little memory
		}
	}
	return s
}

// Lookup implements [enrich.Lookup]. It asks nobody, and fails only while there is nothing to look up in; see
// [Mirror.Usable].
func (m *Mirror) Lookup(_ context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	if err := m.Usable(); err != nil {
		return nil, err
	}
	var matches []enrich.Match
	for _, o := range observables {
		matches = m.AppendMatches(matches, o)
	}
	return matches, nil
}

// AppendMatches adds what is known of one observable.
func (m *Mirror) AppendMatches(to []enrich.Match, o engine.Observable) []enrich.Match {
	for _, s := range *m.sets.Load() {
		if s.snapshot == nil {
			continue
		}
		for _, r := range o.RelatedIn(s.snapshot.around) {
			for a := range s.snapshot.find(r.Indicator) {
				a.Origin = s.name
				if r.Fits(engine.Type(a.Type)) && enrich.Accepts(o.Filter.Over(m.filter), r.Kind, a, m.now()) {
					to = append(to, enrich.Match{Observable: o, Attribute: a, Kind: r.Kind})
				}
			}
		}
	}
	return to
}

// All yields every attribute of all sets.
func (m *Mirror) All() iter.Seq[misp.Attribute] {
	return func(yield func(misp.Attribute) bool) {
		for _, s := range *m.sets.Load() {
			if s.snapshot == nil {
				continue
			}
			for _, in := range s.snapshot.each() {
				a := of(in.attribute, in.event.Event)
				a.Origin = s.name
				if !yield(a) {
					return
				}
			}
		}
	}
}

// States returns what is known of each set, in the order of the origins. One that was never synced has nothing but its
// name.
func (m *Mirror) States() []State {
	states := make([]State, 0, len(m.names))
	for _, s := range *m.sets.Load() {
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

// Usable returns nil if there is something to look up in: the set of MISP, if that is among the origins, else of any.
// A feed that has never been read does not keep the others from being used. The error is an [enrich.Trouble].
func (m *Mirror) Usable() error {
	var absent *set
	some := false
	for _, s := range *m.sets.Load() {
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
	name := "any origin"
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
