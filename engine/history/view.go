package history

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"

	"custom-misp/engine"
)

// A View is a history as it is at one moment. It is for one goroutine; close it.
type View struct {
	sources  []source
	days     []int64 // of the sources
	segments []*segment
	fault    error
	covers   map[int64][]Covered // by the day
}

// OpenView opens the history in a directory, which another process may be recording into; what that did within the last
// second may be missing. A directory that does not exist is an empty history.
func OpenView(dir string) (*View, error) {
	f := newFiles(dir)
	defer f.close()
	return f.view(nil)
}

// view makes a view of the files and of the tables of this process, which are the journals of the same names. The caller
// holds what guards the tables.
func (f *files) view(tables []*table) (*View, error) {
	for range tries {
		if err := f.refresh(); err != nil {
			return nil, err
		}
		v, gone := f.tryView(tables)
		if !gone {
			return v, nil
		}
		v.Close()
	}
	return nil, errors.New(f.dir + " changes all the time")
}

// tryView makes a view; gone says that a journal was removed meanwhile.
func (f *files) tryView(tables []*table) (v *View, gone bool) {
	v = &View{covers: map[int64][]Covered{}}
	var hidden map[hiding]bool
	var journals []string
	v.segments, hidden, journals, v.fault = f.use()
	for _, s := range v.segments {
		v.add(s.trailer.Day, s.source())
		v.covers[s.trailer.Day] = append(v.covers[s.trailer.Day], s.trailer.Covers...)
	}
	own := map[string]bool{}
	for _, t := range tables {
		own[t.name] = true
	}
	for _, name := range journals {
		if own[name] {
			continue
		}
		t, _, err := loadJournal(filepath.Join(f.dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return v, true
		case err != nil:
			v.fault = errors.Join(v.fault, err)
		default:
			tables = append(slices.Clip(tables), t)
		}
	}
	for _, t := range tables {
		for day := range t.days {
			if !hidden[hiding{t.name, day}] {
				v.add(day, t.source(day))
				v.covers[day] = append(v.covers[day], t.covers...)
			}
		}
	}
	return v, false
}

func (v *View) add(day int64, s source) {
	v.sources, v.days = append(v.sources, s), append(v.days, day)
}

// Close ends the use of the files.
func (v *View) Close() {
	releaseAll(v.segments)
	v.segments, v.sources = nil, nil
}

// Fault returns why a part of the history is missing; nil if none is, as far as it was read.
func (v *View) Fault() error {
	err := v.fault
	for _, s := range v.sources {
		err = errors.Join(err, s.fault())
	}
	return err
}

// Find returns the entries that a query is about, most at most, in the order of addresses, and of names from their last label
// on. more says that there are further ones. Queries in the order of [Query.Compare] are answered fast: a million in some
// seconds. Parts that are damaged are left out, see [View.Fault]. The error is that of ctx.
func (v *View) Find(ctx context.Context, q Query, most int) (list []Entry, more bool, err error) {
	if q.from == nil {
		return nil, false, nil
	}
	for _, s := range v.sources {
		s.seek(q.from)
	}
	for {
		key := v.least(q)
		if key == nil {
			return list, false, nil
		}
		if len(list) >= most {
			return list, true, nil
		}
		if err := ctx.Err(); err != nil {
			return list, true, err
		}
		if e, ok := v.collect(key); ok {
			list = append(list, e)
		}
	}
}

// Get returns what is known of a value; false if it was not seen.
func (v *View) Get(i engine.Indicator) (Entry, bool) {
	q := OfValue(i)
	for _, s := range v.sources {
		s.seek(q.from)
	}
	return v.collect(q.from)
}

// least returns the least key that a source is at and that is looked for; nil for none.
func (v *View) least(q Query) []byte {
	var least []byte
	for _, s := range v.sources {
		k := s.at()
		if k == nil || least != nil && bytes.Compare(k, least) >= 0 {
			continue
		}
		if q.has(k) {
			least = k
		}
	}
	return bytes.Clone(least)
}

// collect makes an entry of what all sources have for a key, and goes behind it.
func (v *View) collect(key []byte) (Entry, bool) {
	var c collector
	var r record
	days := map[int64]bool{}
	for i, s := range v.sources {
		if !bytes.Equal(s.at(), key) {
			continue
		}
		s.read(&r)
		if r.count > 0 { // else it is damaged
			c.add(&r, s.word)
			days[v.days[i]] = true
		}
		s.next()
	}
	i, err := indicatorOf(key)
	if err != nil || len(days) == 0 {
		return Entry{}, false
	}
	return c.done(i, len(days)), true
}
