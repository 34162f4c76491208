package mirror

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"

	"custom-misp/engine"
	"custom-misp/misp"
)

// A segment is an immutable file of attributes, sorted for looking up: any number of processes read it at the same
// time, without locks and without reading it in. README.md describes the file, format.go reads what it says of itself,
// and blocks.go verifies what is read of it.
//
// A table has an entry of 16 bytes for each key, its hash and the place of the record, sorted; and a directory, which
// says where the entries for the first bits of a hash begin. Hashes spread evenly, so a look-up reads one word of the
// directory and a handful of entries, whatever the size.
//
// What cannot be read is an error, never an attribute that is not there. Iterators yield such an error in place of what
// they could not read, and go on where they can.
type segment struct {
	name  string
	id    fileID
	users int      // guarded by the mutex of opened; see mapped.go
	file  *os.File // nil once the segment is closed
	data  []byte   // the file, mapped; read by bytes only
	start uintptr  // address of data
	end   uint64   // the magic that data ends with

	version   int
	oldSum    uint32 // of a file of oldVersion
	blockBits uint
	covered   int64 // bytes that the blocks cover, from the start of the file
	sums      []uint32
	verified  bitmap
	changed   atomic.Int64 // when the file was changed last, as far as that was noticed
	checked   atomic.Bool  // all blocks were verified, once
	damage    atomic.Pointer[error]

	recent  sync.Map // place → event, of events that were read; recentEvents at most
	recents atomic.Int32

	trailer     trailer
	records     struct{ from, to uint64 }
	byIndicator table
	byUUID      table
	eventsAt    uint64
	networks    []netip.Prefix
}

func hashIndicator(i engine.Indicator) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(string(i.Family))
	_, _ = d.WriteString("\x00")
	_, _ = d.WriteString(i.Key)
	return d.Sum64()
}

func hashUUID(u uuid.UUID) uint64 { return xxhash.Sum64(u[:]) }

// some is how many places are read from a table at once.
const some = 16

// all yields the places that a table has for a hash. An error is the last.
func (s *segment) all(t table, hash uint64) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		if t.entries == 0 {
			return
		}
		var places [some]uint64
		n, next, to, err := s.places(t, hash, &places)
		for {
			for _, at := range places[:n] {
				if !yield(at, nil) {
					return
				}
			}
			if err != nil {
				yield(0, err)
				return
			}
			if next >= to {
				return
			}
			n, next, to, err = s.morePlaces(t, hash, next, to, &places)
		}
	}
}

// places reads the first places that a table has for a hash. The entries from next to to are still to be read.
func (s *segment) places(t table, hash uint64, places *[some]uint64) (n int, next, to uint32, err error) {
	defer s.caught(debug.SetPanicOnFault(true), &err)
	slot, err := s.bytes(t.directory+4*(hash>>(64-t.bits)), 8)
	if err != nil {
		return 0, 0, 0, err
	}
	next, to = binary.LittleEndian.Uint32(slot), binary.LittleEndian.Uint32(slot[4:])
	if next > to || to > t.entries {
		return 0, 0, 0, s.damagedf("a directory leads outside of its table")
	}
	if n, next, to, err = s.readPlaces(t, hash, next, to, places); err == nil {
		err = s.uncut()
	}
	return n, next, to, err
}

// morePlaces goes on behind places.
func (s *segment) morePlaces(t table, hash uint64, next, to uint32, places *[some]uint64) (n int, _, _ uint32, err error) {
	defer s.caught(debug.SetPanicOnFault(true), &err)
	if n, next, to, err = s.readPlaces(t, hash, next, to, places); err == nil {
		err = s.uncut()
	}
	return n, next, to, err
}

func (s *segment) readPlaces(t table, hash uint64, next, to uint32, places *[some]uint64) (n int, _, _ uint32, err error) {
	for next < to && n < len(places) {
		// A slot has a handful of entries, unless many have the same hash.
		part := min(to-next, some)
		entries, err := s.bytes(t.index+uint64(next)*entrySize, uint64(part)*entrySize)
		if err != nil {
			return n, to, to, err
		}
		for ; len(entries) > 0 && n < len(places); entries = entries[entrySize:] {
			next++
			switch h := binary.LittleEndian.Uint64(entries); {
			case h == hash:
				places[n] = binary.LittleEndian.Uint64(entries[8:])
				n++
			case h > hash:
				return n, to, to, nil
			}
		}
	}
	return n, next, to, nil
}

// record returns the record at a place, and the place of the next one.
func (s *segment) record(at uint64) (kind recordKind, c cursor, next uint64, err error) {
	defer s.caught(debug.SetPanicOnFault(true), &err)
	if at < s.records.from || at >= s.records.to {
		return 0, c, 0, s.damagedf("no record at byte %d", at)
	}
	head, err := s.bytes(at, min(1+binary.MaxVarintLen64, s.records.to-at))
	if err != nil {
		return 0, c, 0, err
	}
	length, size := binary.Uvarint(head[1:])
	start := at + 1 + uint64(max(0, size)) //nolint:gosec // not negative
	if size <= 0 || length > maxRecord || length > s.records.to-start {
		return 0, c, 0, s.damagedf("a record of the wrong length at byte %d", at)
	}
	content, err := s.bytes(start, length)
	if err != nil {
		return 0, c, 0, err
	}
	// A copy, because the bytes are unmapped with the file.
	return recordKind(head[0]), cursor{data: string(content)}, start + length, s.uncut()
}

// aRecord is a record of a kind.
type aRecord struct {
	kind recordKind
	cursor
}

// allRecords yields all records, in the order in which they were written. An error is the last.
func (s *segment) allRecords() iter.Seq2[aRecord, error] {
	return func(yield func(aRecord, error) bool) {
		for next := s.records.from; next < s.records.to; {
			kind, c, after, err := s.record(next)
			if !yield(aRecord{kind, c}, err) || err != nil {
				return
			}
			next = after
		}
	}
}

// event reads the event at a place.
func (s *segment) event(at uint64) (event, error) {
	e, _, err := s.readEvent(at)
	return e, err
}

// readEvent reads the event at a place, and returns how many bytes it read for it.
func (s *segment) readEvent(at uint64) (e event, size int, err error) {
	if e, ok := s.recent.Load(at); ok {
		return e.(event), 0, nil
	}
	kind, c, _, err := s.record(at)
	if err != nil {
		return event{}, 0, err
	}
	size = len(c.data)
	e = c.event()
	if kind != recordEvent || c.broken {
		return event{}, size, s.damagedf("no event at byte %d", at)
	}
	if size <= maxRecent && s.recents.Load() < recentEvents {
		s.recents.Add(1)
		s.recent.Store(at, e)
	}
	return e, size, nil
}

// eventEntry reads the i-th entry of the list of events.
func (s *segment) eventEntry(i int) (p eventPlace, err error) {
	defer s.caught(debug.SetPanicOnFault(true), &err)
	data, err := s.bytes(s.eventsAt+entrySize*uint64(i), entrySize) //nolint:gosec // not negative
	if err != nil {
		return p, err
	}
	return eventPlace{binary.LittleEndian.Uint64(data), binary.LittleEndian.Uint64(data[8:])}, s.uncut()
}

// events yields all events of the segment.
func (s *segment) events() iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		for i := range s.trailer.Events {
			var e event
			p, err := s.eventEntry(i)
			if err == nil {
				e, err = s.event(p.at)
				e.attributes = int(p.attributes) //nolint:gosec // as many as were counted
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// attributeAt reads the attribute at a place, apart from its event, and where that is.
func (s *segment) attributeAt(at uint64) (id uuid.UUID, eventAt uint64, a misp.Attribute, bytes int, err error) {
	kind, c, _, err := s.record(at)
	if err != nil {
		return id, 0, a, 0, err
	}
	bytes = len(c.data)
	id, eventAt, a = c.attribute(s.trailer.Words)
	if kind != recordAttribute || c.broken {
		err = s.damagedf("no attribute at byte %d", at)
	}
	return id, eventAt, a, bytes, err
}

// find returns the attribute with a UUID; nil for none. known is true also if the segment says that it was removed.
func (s *segment) find(id uuid.UUID) (in *stored, known bool, err error) {
	for at, err := range s.all(s.byUUID, hashUUID(id)) {
		if err != nil {
			return nil, false, err
		}
		kind, c, _, err := s.record(at)
		if err != nil {
			return nil, false, err
		}
		if kind == recordRemoved {
			if c.id() == id {
				return nil, true, nil
			}
			continue
		}
		found, eventAt, a := c.attribute(s.trailer.Words)
		if kind != recordAttribute || c.broken {
			return nil, false, s.damagedf("no attribute at byte %d", at)
		}
		if found == id {
			e, err := s.event(eventAt)
			return &stored{id, a, e}, true, err
		}
	}
	return nil, false, nil
}

// each yields all attributes, in their events.
func (s *segment) each() iter.Seq2[stored, error] {
	return func(yield func(stored, error) bool) {
		var in event
		var inAt uint64
		for r, err := range s.allRecords() {
			if err == nil && r.kind != recordAttribute {
				continue
			}
			var one stored
			if err == nil {
				var eventAt uint64
				one.id, eventAt, one.attribute = r.attribute(s.trailer.Words)
				if r.broken {
					err = s.damagedf("an attribute that cannot be decoded")
				} else if eventAt != inAt {
					if in, err = s.event(eventAt); err == nil {
						inAt = eventAt
					}
				}
				one.event = in
			}
			if !yield(one, err) {
				return
			}
		}
	}
}

// stored is an attribute as a segment holds it, apart from its event.
type stored struct {
	id        uuid.UUID
	attribute misp.Attribute
	event     event
}

// whole returns the attribute with its event, whose tags it has too.
func (s stored) whole() misp.Attribute { return of(s.attribute, s.event.Event) }
