package mirror

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"os"
	"time"

	"github.com/google/uuid"

	"custom-misp/engine/atomicfile"
	"custom-misp/misp"
	"custom-misp/misp/api"
)

// walkFile is what a walk that is not complete has read.
const walkFile = "walk"

const (
	walkMagic = "cmispw01"
	// maxWalkAge is how old the last page of a walk may be that is gone on with, and maxWalkTime how long a walk may take.
	maxWalkAge  = 24 * time.Hour
	maxWalkTime = 7 * 24 * time.Hour
	// maxWalkFrame bounds a frame: a page of an answer, or the list of events.
	maxWalkFrame = 1 << 30
)

// A walkHeader says what a walk goes over. A walk that goes over something else begins anew.
type walkHeader struct {
	Place        string    `json:"place"`
	Warninglists bool      `json:"warninglists"`
	Sightings    bool      `json:"sightings,omitempty"`
	Full         bool      `json:"full"` // it was asked for, and must not begin with what was read before
	Began        time.Time `json:"began"`
}

// walkList is the list of events that a walk began with.
type walkList struct {
	Clock  time.Time          `json:"clock"` // MISP's
	Events []api.IndexedEvent `json:"events"`
}

// walkChunk is a page of a group of events.
type walkChunk struct {
	Reading  int         `json:"reading"` // counts readings; a later one of an event replaces an earlier one
	Events   []target    `json:"events"`
	Complete bool        `json:"complete"` // there is no further page
	At       time.Time   `json:"at"`       // when it was read, by our clock
	Next     api.Reading `json:"next"`     // for that page

	attributes []misp.Attribute
}

// walkEvent is what a log has of an event.
type walkEvent struct {
	target
	reading  int
	rows     int
	complete bool
	next     api.Reading // if it is not complete
}

// A walkLog is the file of a walk. It is written to the end only. What was not written as a whole is not there: each frame
// has a checksum.
type walkLog struct {
	name   string
	file   *os.File
	size   int64
	header walkHeader

	now        func() time.Time
	at         time.Time // when the last page was read
	listed     bool
	clock      time.Time // MISP's, when the list was asked for
	list       []api.IndexedEvent
	events     map[uuid.UUID]*walkEvent
	readings   int
	attributes int
}

// openWalkLog opens the log of a walk to go on with, or begins one.
func openWalkLog(name string, h walkHeader, now func() time.Time) (*walkLog, error) {
	f, err := atomicfile.Open(name, os.O_CREATE|os.O_RDWR)
	if err != nil {
		return nil, err
	}
	l := &walkLog{name: name, file: f, now: now, events: map[uuid.UUID]*walkEvent{}}
	if l.load() == nil && l.serves(h) {
		return l, f.Truncate(l.size)
	}
	*l = walkLog{name: name, file: f, now: now, events: map[uuid.UUID]*walkEvent{}, header: h}
	data, err := json.Marshal(h)
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt([]byte(walkMagic), 0)
	}
	l.size = int64(len(walkMagic))
	if err == nil {
		err = l.frame('H', data, nil)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
}

// serves reports whether a walk can go on with what was read before.
func (l *walkLog) serves(h walkHeader) bool {
	return l.header.Place == h.Place && l.header.Warninglists == h.Warninglists && l.header.Sightings == h.Sightings &&
		(l.header.Full || !h.Full) &&
		!due(h.Began, l.at, maxWalkAge) && !due(h.Began, l.header.Began, maxWalkTime)
}

// close leaves the log for the next sync.
func (l *walkLog) close() { _ = l.file.Close() }

// remove ends the walk.
func (l *walkLog) remove() error { return os.Remove(l.name) }

// frame appends a frame: its length and checksum, a letter for its kind, and two parts.
func (l *walkLog) frame(kind byte, head, body []byte) error {
	payload := binary.LittleEndian.AppendUint32([]byte{0, 0, 0, 0, 0, 0, 0, 0, kind}, uint32(len(head))) //nolint:gosec // bounded below
	payload = append(append(payload, head...), body...)
	length := len(payload) - 8
	if length > maxWalkFrame || l.size+int64(length) > maxSegment {
		return fmt.Errorf("a walk of more than %d bytes; mirror less of this source", int64(maxSegment))
	}
	binary.LittleEndian.PutUint32(payload, uint32(length)) //nolint:gosec // bounded above
	binary.LittleEndian.PutUint32(payload[4:], crc32.Checksum(payload[8:], crcTable()))
	if _, err := l.file.WriteAt(payload, l.size); err != nil {
		return err
	}
	l.size += int64(len(payload))
	return nil
}

// frames yields the frames that are whole, up to the first that is not, and where each ends.
func (l *walkLog) frames() iter.Seq2[walkFrame, int64] {
	return func(yield func(walkFrame, int64) bool) {
		in := bufio.NewReaderSize(io.NewSectionReader(l.file, 0, maxSegment+maxWalkFrame), 1<<18)
		begin := make([]byte, len(walkMagic))
		if _, err := io.ReadFull(in, begin); err != nil || string(begin) != walkMagic {
			return
		}
		for at := int64(len(walkMagic)); ; {
			if _, err := io.ReadFull(in, begin); err != nil {
				return
			}
			length := binary.LittleEndian.Uint32(begin)
			if length < 5 || length > maxWalkFrame {
				return
			}
			payload := make([]byte, length)
			if _, err := io.ReadFull(in, payload); err != nil || crc32.Checksum(payload, crcTable()) != binary.LittleEndian.Uint32(begin[4:]) {
				return
			}
			head := binary.LittleEndian.Uint32(payload[1:])
			if int64(head) > int64(length)-5 {
				return
			}
			at += int64(length) + 8
			if !yield(walkFrame{payload[0], payload[5 : 5+head], payload[5+head:]}, at) {
				return
			}
		}
	}
}

type walkFrame struct {
	kind       byte
	head, body []byte
}

var errNoWalk = errors.New("no walk in it")

// load reads what was read before.
func (l *walkLog) load() error {
	l.size = 0
	for f, end := range l.frames() {
		var err error
		switch f.kind {
		case 'H':
			err = json.Unmarshal(f.head, &l.header)
		case 'L':
			var list walkList
			if err = json.Unmarshal(f.head, &list); err == nil {
				l.listed, l.clock, l.list = true, list.Clock, list.Events
			}
		case 'P':
			var c walkChunk
			if err = json.Unmarshal(f.head, &c); err == nil {
				c.attributes, err = decodeRows(f.body)
				l.note(c)
			}
		}
		if err != nil {
			return err
		}
		l.size = end
	}
	if l.size == 0 {
		return errNoWalk
	}
	return nil
}

// chunks yields the pages that were read.
func (l *walkLog) chunks() iter.Seq2[walkChunk, error] {
	return func(yield func(walkChunk, error) bool) {
		at := int64(0)
		for f, end := range l.frames() {
			if at = end; f.kind != 'P' {
				continue
			}
			var c walkChunk
			err := json.Unmarshal(f.head, &c)
			if err == nil {
				c.attributes, err = decodeRows(f.body)
			}
			if !yield(c, err) {
				return
			}
		}
		if at != l.size {
			yield(walkChunk{}, fmt.Errorf("%s: %w: %d of %d bytes can be read", l.name, errDamaged, at, l.size))
		}
	}
}

// setList notes the list of events to begin with.
func (l *walkLog) setList(list []api.IndexedEvent, clock time.Time) error {
	data, err := json.Marshal(walkList{clock, list})
	if err != nil {
		return err
	}
	l.listed, l.clock, l.list = true, clock, list
	return l.frame('L', data, nil)
}

// unread returns the events of the list that were not read yet.
func (l *walkLog) unread() (todo []target) {
	for _, e := range l.list {
		if in := l.events[identify(e.UUID)]; in == nil || !in.complete {
			todo = append(todo, target{IndexedEvent: e, Version: versionOf(e, l.clock), Size: e.Attributes})
		}
	}
	return todo
}

// begin returns where to begin with a group of events: an event of which some pages were read goes on.
func (l *walkLog) begin(group []target) api.Reading {
	if len(group) == 1 {
		if in := l.events[identify(group[0].UUID)]; in != nil && !in.complete && in.Timestamp == group[0].Timestamp {
			next := in.next
			next.Events = nil
			return next
		}
	}
	return api.Reading{}
}

// append is the sink of a walk.
func (l *walkLog) append(group []target, page api.Page) error {
	c := walkChunk{Events: group, Complete: !page.More, At: l.now().UTC(), Next: page.Next}
	c.Next.Events = nil
	if in := l.events[identify(group[0].UUID)]; len(group) == 1 && in != nil && !in.complete && page.Continued {
		c.Reading = in.reading
	} else {
		c.Reading = l.readings + 1
	}
	for _, row := range page.Rows {
		c.attributes = append(c.attributes, row.Attribute)
	}
	head, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := l.frame('P', head, encodeRows(c.attributes)); err != nil {
		return err
	}
	l.note(c)
	return nil
}

// note remembers what a chunk has.
func (l *walkLog) note(c walkChunk) {
	l.readings, l.at = max(l.readings, c.Reading), c.At
	for _, t := range c.Events {
		id := identify(t.UUID)
		in := l.events[id]
		if in == nil || in.reading != c.Reading {
			in = &walkEvent{}
			l.events[id] = in
		}
		in.target, in.reading, in.complete, in.next = t, c.Reading, c.Complete, c.Next
	}
	for _, a := range c.attributes {
		if in := l.events[identify(a.Event.UUID)]; in != nil && in.reading == c.Reading {
			in.rows++
		}
	}
	l.attributes += len(c.attributes)
}

// progress says how far the walk is.
func (l *walkLog) progress() Walk {
	p := Walk{Began: l.header.Began, Events: len(l.list), Attributes: l.attributes}
	for _, in := range l.events {
		if in.complete {
			p.Read++
		}
	}
	p.Read = min(p.Read, p.Events)
	return p
}

// encodeRows writes attributes as records, each event before its first attribute. Instead of offsets they have the number
// of their event.
func encodeRows(attributes []misp.Attribute) []byte {
	var out, payload []byte
	numbers := map[uuid.UUID]uint64{}
	written := func(string) uint64 { return 0 }
	for _, a := range attributes {
		id := identify(a.Event.UUID)
		if _, ok := numbers[id]; !ok {
			numbers[id] = uint64(len(numbers))
			payload = appendEvent(payload[:0], event{Event: a.Event, uuid: id})
			out = frame(out, recordEvent, payload)
		}
		payload = appendAttribute(payload[:0], identify(a.UUID), numbers[id], a, written)
		out = frame(out, recordAttribute, payload)
	}
	return out
}

// decodeRows reads what encodeRows wrote.
func decodeRows(data []byte) ([]misp.Attribute, error) {
	c := cursor{data: string(data)}
	var events []misp.Event
	var attributes []misp.Attribute
	for len(c.data) > 0 && !c.broken {
		kind := recordKind(c.byte())
		in := cursor{data: c.text()}
		switch kind {
		case recordEvent:
			events = append(events, in.event().Event)
		case recordAttribute:
			_, number, a := in.attribute(nil)
			if number >= uint64(len(events)) {
				return nil, errDamaged
			}
			e := events[number]
			a.Event, a.Tags = e, misp.JoinTags(a.Tags, e.Tags)
			attributes = append(attributes, a)
		}
		c.broken = c.broken || in.broken
	}
	if c.broken {
		return nil, errDamaged
	}
	return attributes, nil
}
