package history

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Forget says what is to be removed. At least one of its members is set.
type Forget struct {
	// Values are queries for values, with all that is known of them.
	Values []Query
	// Agent is the name of an agent. What was seen on no other agent is removed; of the rest the agent is, and the last alert if
	// it was the agent's.
	Agent string
	// Before is the first day that is kept.
	Before time.Time
}

// Forgotten counts what was removed: records of a value and a day.
type Forgotten struct {
	Records int `json:"records"`
	// Changed are records that were kept without an agent.
	Changed int `json:"changed"`
}

// Forget removes from memory and disk. When it returns without an error, no file of the history has what was to be removed, but
// for files of a newer version and damaged ones, which the error names.
func (s *Store) Forget(ctx context.Context, f Forget) (Forgotten, error) {
	s.commit.Lock()
	err := s.rotate()
	s.commit.Unlock()
	if err != nil {
		return Forgotten{}, err
	}
	s.tidying.Run(func() {}) // what runs ends first
	s.tidying.Wait()
	if err := s.flush(); err != nil {
		return Forgotten{}, err
	}
	return s.o.forget(ctx, s.files, s.salt, f)
}

// ForgetFiles is [Store.Forget] for a process that does not record. Another one that does must not run.
func ForgetFiles(ctx context.Context, o Options, f Forget) (Forgotten, error) {
	s, err := Open(ctx, o)
	if err != nil {
		return Forgotten{}, err
	}
	n, err := s.Forget(ctx, f)
	return n, errors.Join(err, s.Close())
}

func (o Options) forget(ctx context.Context, files *files, salt []byte, f Forget) (n Forgotten, err error) {
	err = locked(ctx, o.Dir, func() error {
		if err := files.refresh(); err != nil {
			return err
		}
		list, _, _, damage := files.use()
		defer releaseAll(list)
		for _, g := range list {
			if err := ctx.Err(); err != nil {
				return err
			}
			one, err := o.forgetIn(g, salt, f)
			if err != nil {
				damage = errors.Join(damage, fmt.Errorf("%s: %w", filepath.Join(o.Dir, g.name), err))
			}
			n.Records, n.Changed = n.Records+one.Records, n.Changed+one.Changed
		}
		return errors.Join(damage, files.refresh())
	})
	return n, err
}

// forgetIn writes a segment again without what is to be removed, if it has any of it.
func (o Options) forgetIn(g *segment, salt []byte, f Forget) (n Forgotten, err error) {
	if !f.Before.IsZero() && g.trailer.Day < dayOf(f.Before.Unix()) {
		return Forgotten{Records: g.trailer.Entries}, remove(o.Dir, g.name)
	}
	agents := g.agentsNamed(f.Agent, salt)
	if len(agents) == 0 && !g.hasAny(f.Values) {
		return Forgotten{}, nil
	}
	w, err := newSegment(o.Dir, g.trailer.Day)
	if err != nil {
		return Forgotten{}, err
	}
	defer w.file.Discard()
	w.trailer.Replaces, w.trailer.Covers = []string{g.name}, g.trailer.Covers
	from := g.source()
	drop := map[uint32]bool{}
	for _, text := range agents {
		drop[w.words.add(text)] = true
	}
	w.mergeInto([]source{from}, [][]string{g.words}, func(key []byte, r *record) bool {
		if slices.ContainsFunc(f.Values, func(q Query) bool { return q.has(key) }) {
			n.Records++
			return false
		}
		switch changed, empty := r.without(drop); {
		case empty:
			n.Records++
			return false
		case changed:
			n.Changed++
		}
		return true
	})
	if err := from.fault(); err != nil {
		return Forgotten{}, err
	}
	w.words.blank(drop)
	if w.trailer.Entries > 0 {
		if err := w.finish(); err != nil {
			return Forgotten{}, err
		}
	}
	return n, remove(o.Dir, g.name)
}

// agentsNamed returns the words of agents that have a name.
func (s *segment) agentsNamed(name string, salt []byte) (found []string) {
	if name == "" {
		return nil
	}
	made := madeUp(salt, Agent{Name: name}).Name
	for _, text := range s.words {
		if strings.Count(text, "\x00") != 2 {
			continue
		}
		if a := agentOf(text); strings.EqualFold(a.Name, name) || a.Name == made {
			found = append(found, text)
		}
	}
	return found
}

// hasAny reports whether there is a value that one of some queries is about.
func (s *segment) hasAny(queries []Query) bool {
	return slices.ContainsFunc(queries, func(q Query) bool {
		if q.from == nil {
			return false
		}
		key := s.find(q.from).at()
		return key != nil && q.has(key)
	})
}

// without removes agents from a record. empty says that it was seen on no other.
func (r *record) without(drop map[uint32]bool) (changed, empty bool) {
	before := len(r.agents)
	r.agents = slices.DeleteFunc(r.agents, func(n uint32) bool { return drop[n] })
	if len(r.agents) == before && !drop[r.alert.agent] {
		return false, false
	}
	if drop[r.alert.agent] {
		r.alert = lastAlert{}
	}
	return true, len(r.agents) == 0 && r.flags&flagMoreAgents == 0
}

// blank makes texts empty, so that they are not written.
func (w *words) blank(drop map[uint32]bool) {
	for n := range drop {
		w.list[n] = ""
	}
}
