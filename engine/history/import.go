package history

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
)

// PrefixLength is how much of the start of a file of alerts tells it from any other, in bytes.
const PrefixLength = 4096

// An Import adds the alerts of archives to a history, also while another process records into it. An alert that is there
// counts no second time: its file is known by its start, under whatever name, compressed or grown. It is for one goroutine.
type Import struct {
	store *Store // without a journal
	table *table
	known map[int64][]Covered // by the day
	file  string
}

// NewImport begins an import. Options.Kinds and the like are those of the site.
func NewImport(o Options) (*Import, error) {
	s, err := prepare(o)
	if err != nil {
		return nil, err
	}
	v, err := s.files.view(nil)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	return &Import{store: s, table: newTable(""), known: v.covers}, nil
}

// Begin begins a file that starts with some bytes: [PrefixLength] of them, or all if it is shorter.
func (i *Import) Begin(start []byte) error {
	err := i.flush()
	i.file = digestOf(start)
	return err
}

func digestOf(start []byte) string {
	digest := sha256.Sum256(start)
	return hex.EncodeToString(digest[:])
}

// Add adds an alert of the file, which ends at an offset; Alert.Offset is where it begins. added is false if it was recorded or
// imported before, or is too old.
func (i *Import) Add(a *Seen, end int64) (added bool, err error) {
	at := a.Alert.At.Unix()
	day := dayOf(at)
	if day < i.store.oldest() || slices.ContainsFunc(i.known[day], func(c Covered) bool {
		return c.File == i.file && c.From <= a.Alert.Offset && a.Alert.Offset < c.To
	}) {
		return false, nil
	}
	i.store.add(i.table, a)
	i.table.covers = []Covered{{i.file, 0, end}} // what is before was added, or there already
	if i.table.entries < i.store.o.entries {
		return true, nil
	}
	return true, i.flush()
}

// flush makes segments of what was added.
func (i *Import) flush() error {
	if len(i.table.days) == 0 {
		return nil
	}
	if err := writeTable(i.store.o.Dir, i.table, nil); err != nil {
		return err
	}
	for day := range i.table.days {
		i.known[day] = append(i.known[day], i.table.covers...)
	}
	i.table = newTable("")
	return nil
}

// Close writes what was added, removes what is too old or too much, and merges segments.
func (i *Import) Close(ctx context.Context) error {
	err := i.flush()
	if err == nil {
		err = locked(ctx, i.store.o.Dir, i.store.keepInOrder)
	}
	i.store.files.close()
	return err
}
