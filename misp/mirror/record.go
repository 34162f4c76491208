package mirror

import (
	"encoding/binary"
	"time"

	"github.com/google/uuid"

	"custom-misp/engine"
	"custom-misp/misp"
)

// This file encodes and decodes the records of a segment, as README.md describes them. A record is a byte for its kind,
// the length of its content as a varint, and the content: numbers as varints, texts after their length, lists after
// their number of texts.

type recordKind byte

const (
	recordEvent     recordKind = 'E'
	recordAttribute recordKind = 'A'
	recordRemoved   recordKind = 'R' // in changes: an attribute that was removed
)

// An eventChange says what a segment of changes means for the attributes that the base has of an event.
type eventChange byte

const (
	eventAsIs     eventChange = iota // nothing: the event is only here for the attributes of this segment
	eventUpdated                     // they belong to this event as it is described here
	eventReplaced                    // they are removed; those of this segment replace them
	eventRemoved                     // they are removed, and so is the event
)

// event is a MISP event as a segment holds it.
type event struct {
	misp.Event
	uuid    uuid.UUID
	change  eventChange
	version string // changes when the source changes the event: a feed's timestamp; empty for MISP's
	// attributes is how many there are of it in the segment; known of those that segment.events yields.
	attributes int
}

// identify returns the UUID that a text is. Any other text, in lists and broken feeds, gets a made-up UUID, always the
// same.
func identify(text string) uuid.UUID {
	if u, err := uuid.Parse(text); err == nil {
		return u
	}
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("custom-misp:"+text))
}

// indicators returns what an attribute is found by; nothing for a type that is never compared.
func indicators(a misp.Attribute) []engine.Indicator {
	if all := listIndicators(a); all != nil {
		return all
	}
	return engine.Indicators(engine.Type(a.Type), a.Value)
}

func frame(to []byte, kind recordKind, payload []byte) []byte {
	to = append(to, byte(kind))
	to = binary.AppendUvarint(to, uint64(len(payload)))
	return append(to, payload...)
}

func appendText(to []byte, texts ...string) []byte {
	for _, s := range texts {
		to = binary.AppendUvarint(to, uint64(len(s)))
		to = append(to, s...)
	}
	return to
}

func appendTexts(to []byte, list []string) []byte {
	to = binary.AppendUvarint(to, uint64(len(list)))
	return appendText(to, list...)
}

func appendFlag(to []byte, flag bool) []byte {
	if flag {
		return append(to, 1)
	}
	return append(to, 0)
}

func appendEvent(to []byte, e event) []byte {
	to = append(to, e.uuid[:]...)
	to = append(to, byte(e.change))
	to = appendFlag(to, e.Published)
	to = binary.AppendUvarint(to, uint64(max(0, e.ThreatLevel)))
	to = binary.AppendUvarint(to, uint64(max(0, e.Analysis)))
	to = appendText(to, e.ID, e.UUID, e.Info, e.Org, e.OrgUUID, e.Date, e.version)
	return appendTexts(to, e.Tags)
}

// appendAttribute writes an attribute of the event at a place. It leaves out tags that the attribute has from the
// event. word returns the number of a text that many attributes share; 0 for one without a number, which is written
// out.
func appendAttribute(to []byte, id uuid.UUID, at uint64, a misp.Attribute, word func(string) uint64) []byte {
	to = append(to, id[:]...)
	to = binary.AppendUvarint(to, at)
	to = appendFlag(to, a.ToIDs)
	seconds := int64(0)
	if !a.Timestamp.IsZero() {
		seconds = a.Timestamp.Unix()
	}
	to = binary.AppendVarint(to, seconds)
	for _, shared := range []string{a.Type, a.Category} {
		n := word(shared)
		to = binary.AppendUvarint(to, n)
		if n == 0 {
			to = appendText(to, shared)
		}
	}
	text := a.UUID
	if text == id.String() {
		text = ""
	}
	to = appendText(to, a.ID, text, a.Value, a.Comment, a.FirstSeen, a.LastSeen)
	to = appendTexts(to, a.OwnTags())
	to = appendTexts(to, a.Warninglists)
	if a.Expires.IsZero() {
		return to
	}
	return binary.AppendVarint(to, a.Expires.Unix())
}

// A cursor reads a record, whose texts all share its memory. After anything that does not fit it is broken, and reads
// nothing more.
type cursor struct {
	data   string
	broken bool
}

func (c *cursor) text() string { return c.take(c.number()) }

func (c *cursor) take(n uint64) string {
	if c.broken || n > uint64(len(c.data)) {
		c.broken = true
		return ""
	}
	s := c.data[:n]
	c.data = c.data[n:]
	return s
}

func (c *cursor) number() uint64 {
	var n uint64
	for shift := 0; shift < 64; shift += 7 {
		b := c.byte()
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
	c.broken = true
	return 0
}

// signed reads what binary.AppendVarint wrote.
func (c *cursor) signed() int64 {
	n := c.number()
	return int64(n>>1) ^ -int64(n&1) //nolint:gosec // the bits are meant
}

func (c *cursor) byte() byte {
	if s := c.take(1); s != "" {
		return s[0]
	}
	return 0
}

func (c *cursor) id() (u uuid.UUID) {
	copy(u[:], c.take(uint64(len(u))))
	return u
}

func (c *cursor) texts() []string {
	n := c.number()
	if n == 0 || n > uint64(len(c.data)) {
		c.broken = c.broken || n > 0
		return nil
	}
	list := make([]string, 0, min(n, maxTexts))
	for i := range n {
		if t := c.text(); i < maxTexts {
			list = append(list, t)
		}
	}
	return list
}

// word reads a text that many attributes share.
func (c *cursor) word(words []string) string {
	n := c.number()
	switch {
	case n == 0:
		return c.text()
	case n > uint64(len(words)):
		c.broken = true
		return ""
	}
	return words[n-1]
}

func (c *cursor) event() event {
	e := event{uuid: c.id(), change: eventChange(c.byte())}
	e.Published = c.byte() == 1
	e.ThreatLevel = misp.ThreatLevel(c.number() & 0xffff)
	e.Analysis = misp.Analysis(c.number() & 0xffff)
	e.ID, e.UUID, e.Info, e.Org, e.OrgUUID, e.Date, e.version = c.text(), c.text(), c.text(), c.text(), c.text(), c.text(), c.text()
	e.Tags = c.texts()
	return e
}

// attribute reads an attribute without its event, and the place of the event.
func (c *cursor) attribute(words []string) (id uuid.UUID, at uint64, a misp.Attribute) {
	id, at = c.id(), c.number()
	a.ToIDs = c.byte() == 1
	if seconds := c.signed(); seconds != 0 {
		a.Timestamp = time.Unix(seconds, 0).UTC()
	}
	a.Type, a.Category = c.word(words), c.word(words)
	if a.ID, a.UUID = c.text(), c.text(); a.UUID == "" {
		a.UUID = id.String()
	}
	a.Value, a.Comment, a.FirstSeen, a.LastSeen = c.text(), c.text(), c.text(), c.text()
	a.Tags, a.Warninglists = c.texts(), c.texts()
	if c.data != "" && !c.broken {
		a.Expires = time.Unix(c.signed(), 0).UTC()
	}
	return id, at, a
}

// of puts an attribute into its event.
func of(a misp.Attribute, e misp.Event) misp.Attribute {
	a.Event = e
	a.Tags = misp.JoinTags(a.Tags, e.Tags)
	return a
}
