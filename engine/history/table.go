package history

import (
	"bytes"
	"maps"
	"slices"
	"strings"
)

const secondsOfDay = 24 * 60 * 60

// dayOf returns when the day of a time begins, both in seconds since 1970, UTC.
func dayOf(seconds int64) int64 {
	day := seconds - seconds%secondsOfDay
	if day > seconds {
		day -= secondsOfDay
	}
	return day
}

// A table has records in memory: by the day, and by the key of the value.
type table struct {
	name    string // of the journal that has it too
	days    map[int64]map[string]*record
	words   *words
	entries int
	dirty   []dirtyRecord // see [journal.append]
	written int           // words that are in the journal
	covers  []Covered     // the parts of files of alerts that are in it
}

type dirtyRecord struct {
	day int64
	key string
	*record
}

func newTable(name string) *table {
	return &table{name: name, days: map[int64]map[string]*record{}, words: newWords(), written: 1}
}

// at returns the record of a value, which is new if there is none.
func (t *table) at(day int64, key []byte) *record {
	of := t.days[day]
	if of == nil {
		of = map[string]*record{}
		t.days[day] = of
	}
	r := of[string(key)]
	if r == nil {
		r = &record{}
		r.agents, r.mappings = r.own[:0:1], r.own[1:1:2]
		name := string(key)
		of[name] = r
		t.entries++
		t.mark(day, name, r)
	}
	return r
}

func (t *table) mark(day int64, key string, r *record) {
	if !r.dirty {
		r.dirty = true
		t.dirty = append(t.dirty, dirtyRecord{day, key, r})
	}
}

// add adds a record, whose words are those of the table.
func (t *table) add(day int64, key []byte, r *record) {
	have := t.at(day, key)
	have.add(r, same)
	if !have.dirty {
		t.mark(day, string(key), have)
	}
}

func same(n uint32) uint32 { return n }

// A source yields the records of a day in the order of their keys.
type source interface {
	// seek goes to the first key that is not below a key. It is fast if that is not below the one of the last call.
	seek(key []byte)
	next()
	// at returns the key; nil at the end. It is valid until the next call.
	at() []byte
	// read reads the record.
	read(to *record)
	word(n uint32) string
	// fault is why records are missing; nil if none are.
	fault() error
}

// tableSource is a day of a table as it was when the source was made.
type tableSource struct {
	keys    []string
	records []record
	words   []string
	here    int
	key     []byte
}

// source returns a day of the table. The caller holds what guards the table.
func (t *table) source(day int64) *tableSource {
	of := t.days[day]
	s := &tableSource{keys: slices.Sorted(maps.Keys(of)), words: t.words.list}
	for _, k := range s.keys {
		r := *of[k] // its lists only grow, behind what this copy sees of them
		r.own = [2]uint32{}
		r.agents, r.mappings = slices.Clip(r.agents), slices.Clip(r.mappings)
		s.records = append(s.records, r)
	}
	s.place()
	return s
}

func (s *tableSource) place() {
	if s.here < len(s.keys) {
		s.key = append(s.key[:0], s.keys[s.here]...)
	}
}

func (s *tableSource) seek(key []byte) {
	from := 0
	if s.here < len(s.keys) && bytes.Compare(s.key, key) <= 0 {
		from = s.here
	}
	n, _ := slices.BinarySearchFunc(s.keys[from:], key, func(k string, key []byte) int { return strings.Compare(k, string(key)) })
	s.here = from + n
	s.place()
}

func (s *tableSource) next() { s.here++; s.place() }

func (s *tableSource) at() []byte {
	if s.here >= len(s.keys) {
		return nil
	}
	return s.key
}

func (s *tableSource) read(to *record) { *to = s.records[s.here] }

func (s *tableSource) word(n uint32) string {
	if int(n) >= len(s.words) {
		return ""
	}
	return s.words[n]
}

func (*tableSource) fault() error { return nil }
