package mirror

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"

	"custom-misp/engine"
	"custom-misp/misp"
	"custom-misp/misp/internal/jsonscan"
)

// A segment is an immutable file of attributes, sorted for looking up: any number of processes read it at the same
// time, without locks and without reading it in. It is mapped into memory, and laid out as
//
//	magic      8 bytes
//	records    events and attributes, see record.go
//	tables     by indicator, and by UUID
//	events     for each the place of its record, and how many attributes it has, 8 bytes each
//	trailer    JSON, see below
//	length     of the trailer, 4 bytes
//	checksum   of the trailer, CRC-32C, 4 bytes
//	magic      8 bytes
//
// All numbers are little endian. A table has an entry of 16 bytes for each key, its hash and the place of the record,
// sorted; and a directory, which says where the entries for the first bits of a hash begin. Hashes spread evenly, so a
// look-up reads one word of the directory and a handful of entries, whatever the size. README.md has the details.
type segment struct {
	id          fileID
	users       int         // guarded by the mutex of opened; see mapped.go
	data        []byte      // mapped; nil once the segment is closed
	checked     atomic.Bool // compared with its checksum
	recent      sync.Map    // place → event, of events that were read; recentEvents at most
	recents     atomic.Int32
	trailer     trailer
	byIndicator table
	byUUID      table
	networks    []netip.Prefix
}

const (
	magic     = "cmispm02"
	entrySize = 16
	tailSize  = 8 + len(magic) // what follows the trailer
)

// trailer describes a segment.
type trailer struct {
	Created     time.Time `json:"created"`
	Attributes  int       `json:"attributes"`
	Removed     int       `json:"removed,omitempty"`
	Events      int       `json:"events"`
	Records     int64     `json:"records"` // where they end
	ByIndicator tablePart `json:"by_indicator"`
	ByUUID      tablePart `json:"by_uuid"`
	EventsAt    int64     `json:"events_at"`
	Networks    []string  `json:"networks,omitempty"`
	// Words are the types and categories of attributes, which refer to them by number.
	Words []string `json:"words,omitempty"`
	Sum   uint32   `json:"sum"` // CRC-32C of everything before the trailer
}

// tablePart says where in the file a table is.
type tablePart struct {
	Entries   int   `json:"entries"`
	Bits      uint8 `json:"bits"`      // of a hash that the directory goes by
	Index     int64 `json:"index"`     // where the entries begin
	Directory int64 `json:"directory"` // where the directory begins: 2^bits+1 numbers of 4 bytes
}

// table is a part of a mapped file.
type table struct {
	bits             uint8
	index, directory []byte
}

// all yields the places that a hash has entries for.
func (t table) all(hash uint64) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		if len(t.index) == 0 {
			return
		}
		slot := 4 * (hash >> (64 - t.bits))
		from, to := binary.LittleEndian.Uint32(t.directory[slot:]), binary.LittleEndian.Uint32(t.directory[slot+4:])
		to = min(to, uint32(len(t.index)/entrySize)) //nolint:gosec // checked when the file is opened
		for i := from; i < to; i++ {
			entry := t.index[int(i)*entrySize:]
			switch h := binary.LittleEndian.Uint64(entry); {
			case h == hash && !yield(binary.LittleEndian.Uint64(entry[8:])):
				return
			case h > hash:
				return
			}
		}
	}
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

// crcTable is made when it is first needed: most processes read no sums.
var crcTable = sync.OnceValue(func() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) })

// errDamaged is a file that is not what was written.
var errDamaged = errors.New("damaged")

// compareSum reads the whole file, past the mapping: pages of that would stay with the process.
func (s *segment) compareSum(ctx context.Context, f io.ReaderAt) error {
	sum := crc32.New(crcTable())
	end := len(s.data) - tailSize
	end -= int(binary.LittleEndian.Uint32(s.data[end:]))
	if _, err := io.Copy(sum, reading(ctx, io.NewSectionReader(f, 0, int64(end)))); err != nil {
		return err
	}
	if sum.Sum32() != s.trailer.Sum {
		return fmt.Errorf("%w: wrong checksum", errDamaged)
	}
	return nil
}

func (s *segment) parse() error {
	n := len(s.data)
	if string(s.data[:len(magic)]) != magic || string(s.data[n-len(magic):]) != magic {
		return fmt.Errorf("%w: not a segment of a mirror, or of another version", errDamaged)
	}
	end := n - tailSize
	length := int(binary.LittleEndian.Uint32(s.data[end:]))
	if length > min(end-len(magic), maxTrailer) {
		return fmt.Errorf("%w: the trailer is too long", errDamaged)
	}
	start := end - length
	if crc32.Checksum(s.data[start:end], crcTable()) != binary.LittleEndian.Uint32(s.data[end+4:]) {
		return fmt.Errorf("%w: wrong checksum of the trailer", errDamaged)
	}
	for _, member := range jsonscan.Members(s.data[start:end]) {
		if jsonscan.Longer(member, maxNetworks) {
			return fmt.Errorf("%w: the trailer has a list of more than %d", errDamaged, maxNetworks)
		}
	}
	if err := json.Unmarshal(s.data[start:end], &s.trailer); err != nil {
		return fmt.Errorf("%w: trailer: %w", errDamaged, err)
	}
	t := s.trailer
	var err error
	if s.byIndicator, err = s.table(t.ByIndicator, start); err != nil {
		return err
	}
	if s.byUUID, err = s.table(t.ByUUID, start); err != nil {
		return err
	}
	if t.Records < int64(len(magic)) || t.Records > int64(start) || t.Events < 0 || t.Events > start || !within(t.EventsAt, entrySize*int64(t.Events), start) {
		return fmt.Errorf("%w: a part is outside of the file", errDamaged)
	}
	for _, text := range t.Networks {
		if p, err := netip.ParsePrefix(text); err == nil {
			s.networks = append(s.networks, p)
		}
	}
	return nil
}

func within(at, length int64, end int) bool {
	return at >= 0 && length >= 0 && at <= int64(end) && length <= int64(end)-at
}

func (s *segment) table(p tablePart, end int) (table, error) {
	if p.Entries == 0 {
		return table{}, nil
	}
	directory := 4 * (int64(1)<<min(p.Bits, 40) + 1)
	if p.Entries < 0 || p.Entries > end || p.Bits == 0 || p.Bits > 32 || !within(p.Index, int64(p.Entries)*entrySize, end) || !within(p.Directory, directory, end) {
		return table{}, fmt.Errorf("%w: a table is outside of the file", errDamaged)
	}
	return table{p.Bits, s.data[p.Index : p.Index+int64(p.Entries)*entrySize], s.data[p.Directory : p.Directory+directory]}, nil
}

// record returns the record at a place, and the place of the next one; kind 0 where there is no record.
func (s *segment) record(at uint64) (kind recordKind, c cursor, next uint64) {
	if at < uint64(len(magic)) || at >= uint64(s.trailer.Records) { //nolint:gosec // not negative
		return 0, c, 0
	}
	rest := s.data[at:s.trailer.Records]
	length, size := binary.Uvarint(rest[1:])
	if size <= 0 || length > maxRecord || length > uint64(len(rest)-1-size) { //nolint:gosec // no more than there was to read
		return 0, c, 0
	}
	start := 1 + uint64(size)
	// A copy, because the bytes are unmapped with the file.
	return recordKind(rest[0]), cursor{data: string(rest[start : start+length])}, at + start + length
}

// records yields all records, in the order in which they were written.
func (s *segment) records() iter.Seq2[recordKind, cursor] {
	return func(yield func(recordKind, cursor) bool) {
		kind, c, next := s.record(uint64(len(magic)))
		for kind != 0 && yield(kind, c) {
			kind, c, next = s.record(next)
		}
	}
}

// event reads the event at a place.
func (s *segment) event(at uint64) (event, bool) {
	if e, ok := s.recent.Load(at); ok {
		return e.(event), true
	}
	kind, c, _ := s.record(at)
	if kind != recordEvent {
		return event{}, false
	}
	size := len(c.data)
	e := c.event()
	if !c.broken && size <= maxRecent && s.recents.Load() < recentEvents {
		s.recents.Add(1)
		s.recent.Store(at, e)
	}
	return e, !c.broken
}

// events yields all events of the segment.
func (s *segment) events() iter.Seq[event] {
	return func(yield func(event) bool) {
		for i := range s.trailer.Events {
			entry := s.data[s.trailer.EventsAt+entrySize*int64(i):]
			e, ok := s.event(binary.LittleEndian.Uint64(entry))
			e.attributes = int(binary.LittleEndian.Uint64(entry[8:])) //nolint:gosec // as many as were counted
			if ok && !yield(e) {
				return
			}
		}
	}
}

// find returns the attribute with a UUID; nil for none. known is true also if the segment says that it was removed.
func (s *segment) find(id uuid.UUID) (in *stored, known bool) {
	for at := range s.byUUID.all(hashUUID(id)) {
		kind, c, _ := s.record(at)
		switch kind {
		case recordRemoved:
			if c.id() == id {
				return nil, true
			}
		case recordAttribute:
			found, eventAt, a := c.attribute(s.trailer.Words)
			if e, ok := s.event(eventAt); ok && !c.broken && found == id {
				return &stored{a, e}, true
			}
		case recordEvent:
		}
	}
	return nil, false
}

// each yields all attributes, in their events, and their UUIDs.
func (s *segment) each() iter.Seq2[uuid.UUID, stored] {
	return func(yield func(uuid.UUID, stored) bool) {
		var in event
		var inAt uint64
		for kind, c := range s.records() {
			if kind != recordAttribute {
				continue
			}
			id, eventAt, a := c.attribute(s.trailer.Words)
			if eventAt != inAt {
				in, _ = s.event(eventAt)
				inAt = eventAt
			}
			if !c.broken && !yield(id, stored{a, in}) {
				return
			}
		}
	}
}

// stored is an attribute as a segment holds it, apart from its event.
type stored struct {
	attribute misp.Attribute
	event     event
}

// whole returns the attribute with its event, whose tags it has too.
func (s stored) whole() misp.Attribute { return of(s.attribute, s.event.Event) }
