package history

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// This file makes segments of journals, few segments of many, and removes what is too old or too much.

const (
	// fanIn is how many segments of about one size and one day become one.
	fanIn = 4
	// least is the size below which segments count as of one size, in bytes.
	least = 256 << 10
)

// tidy does all that is due. It runs in the background, once at a time.
func (s *Store) tidy() {
	err := s.flush()
	if err == nil {
		err = locked(context.Background(), s.o.Dir, s.keepInOrder)
	}
	err = errors.Join(err, s.files.refresh())
	if err != nil {
		s.o.Log.Error("the history cannot be kept in order", "error", err.Error())
	}
	s.mu.Lock()
	s.fault = err
	s.mu.Unlock()
}

// keepInOrder removes and merges. The caller holds the lock.
func (s *Store) keepInOrder() error {
	return errors.Join(s.removeReplaced(), s.retain(), s.mergeDue(), s.removeReplaced())
}

// Tidy does in the background what is due: call it now and then, so that days end although nothing is recorded.
func (s *Store) Tidy() { s.tidying.Run(s.tidy) }

// flush makes segments of the frozen tables, and removes their journals.
func (s *Store) flush() error {
	for {
		s.mu.Lock()
		if len(s.frozen) == 0 {
			s.mu.Unlock()
			return nil
		}
		t, j := s.frozen[0], s.log[0]
		s.mu.Unlock()
		if err := writeTable(s.o.Dir, t, []string{j.name}); err != nil {
			return err
		}
		if err := s.files.refresh(); err != nil {
			return err
		}
		// The segments hide the table now.
		if err := remove(s.o.Dir, j.name); err != nil {
			return err
		}
		_ = j.file.Close() // nothing more is written to it
		s.mu.Lock()
		s.frozen, s.log = s.frozen[1:], s.log[1:]
		s.mu.Unlock()
	}
}

// writeTable makes a segment of each day of a table.
func writeTable(dir string, t *table, replaces []string) error {
	for day := range t.days {
		w, err := newSegment(dir, day)
		if err != nil {
			return err
		}
		w.trailer.Replaces, w.trailer.Covers = replaces, t.covers
		w.words = t.words
		of := t.days[day]
		for _, key := range slices.Sorted(maps.Keys(of)) {
			w.add([]byte(key), of[key])
		}
		if err := w.finish(); err != nil {
			return err
		}
	}
	return nil
}

// adopt makes segments of a journal that was left behind. The caller holds the lock.
func (s *Store) adopt(name string) error {
	f, err := openLocked(name)
	if err != nil || f == nil {
		return err // it is another process's
	}
	defer f.Close() //nolint:errcheck // only read
	t, at, err := loadJournal(name)
	if err != nil {
		return err
	}
	for file, end := range at {
		s.place(file, end)
	}
	_, hidden, _, _ := s.files.use()
	for day := range t.days {
		if hidden[hiding{t.name, day}] {
			delete(t.days, day)
		}
	}
	if err := writeTable(s.o.Dir, t, []string{t.name}); err != nil {
		return err
	}
	return os.Remove(name)
}

// remove removes a file that may be gone.
func remove(dir, name string) error {
	if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// removeReplaced removes segments whose records are in others. The caller holds the lock.
func (s *Store) removeReplaced() error {
	if err := s.files.refresh(); err != nil {
		return err
	}
	list, _, _, _ := s.files.use()
	defer releaseAll(list)
	keep := map[string]bool{}
	for _, g := range list {
		keep[g.name] = true
	}
	var err error
	for _, g := range list {
		for _, name := range g.trailer.Replaces {
			if filepath.Ext(name) != segmentSuffix || keep[name] || filepath.Base(name) != name {
				continue
			}
			err = errors.Join(err, remove(s.o.Dir, name))
		}
	}
	return errors.Join(err, s.files.refresh())
}

// retain removes days that are too old, and the oldest ones of too much. The caller holds the lock.
func (s *Store) retain() error {
	list, _, _, _ := s.files.use()
	defer releaseAll(list)
	total := int64(0)
	for _, g := range list {
		total += g.size
	}
	oldest := s.oldest()
	for _, g := range list { // the oldest first
		if g.trailer.Day < oldest || s.o.Bytes > 0 && total > s.o.Bytes {
			if err := remove(s.o.Dir, g.name); err != nil {
				return err
			}
			total -= g.size
		}
	}
	for name := range s.files.unreadable() {
		if day, err := time.Parse(time.DateOnly, name[:min(len(name), len(time.DateOnly))]); err == nil && day.Unix() < oldest {
			if err := remove(s.o.Dir, name); err != nil {
				return err
			}
		}
	}
	return s.files.refresh()
}

// mergeDue makes one segment of several, where that is due: of all of a day that is over, and otherwise of four of about one
// size. The caller holds the lock.
func (s *Store) mergeDue() error {
	list, _, _, _ := s.files.use()
	defer releaseAll(list)
	today := dayOf(s.o.Now().Unix())
	var err error
	for len(list) > 0 {
		n := 1
		for n < len(list) && compareDays(list[0], list[n]) == 0 {
			n++
		}
		of := list[:n]
		list = list[n:]
		if of[0].trailer.Day < today-secondsOfDay {
			if len(of) > 1 {
				err = errors.Join(err, s.merge(of, nil))
			}
			continue
		}
		classes := map[int][]*segment{}
		for _, g := range of {
			class := bits.Len64(uint64(g.size/least)) / 2 //nolint:gosec // not negative
			classes[class] = append(classes[class], g)
		}
		for _, same := range classes {
			if len(same) >= fanIn {
				err = errors.Join(err, s.merge(same, nil))
			}
		}
	}
	return err
}

// merge makes one segment of segments of one day, without what keep refuses. One that is damaged stays as it is.
func (s *Store) merge(of []*segment, keep func(w *words) func(key []byte, r *record) bool) error {
	w, err := newSegment(s.o.Dir, of[0].trailer.Day)
	if err != nil {
		return err
	}
	defer w.file.Discard()
	var sources []source
	var lists [][]string
	for _, g := range of {
		sources, lists = append(sources, g.source()), append(lists, g.words)
		w.trailer.Replaces = append(append(w.trailer.Replaces, g.name), g.trailer.Replaces...)
		w.trailer.Covers = append(w.trailer.Covers, g.trailer.Covers...)
	}
	var judge func([]byte, *record) bool
	if keep != nil {
		judge = keep(w.words)
	}
	w.mergeInto(sources, lists, judge)
	for _, src := range sources {
		if err := src.fault(); err != nil {
			return err
		}
	}
	w.trailer.Replaces, w.trailer.Covers = s.stillThere(w.trailer.Replaces), joined(w.trailer.Covers)
	return w.finish()
}

// stillThere returns the names of files that exist: others need not be hidden.
func (s *Store) stillThere(names []string) []string {
	return slices.DeleteFunc(names, func(name string) bool {
		_, err := os.Lstat(filepath.Join(s.o.Dir, name))
		return errors.Is(err, fs.ErrNotExist)
	})
}
