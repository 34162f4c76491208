package mirror

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"custom-misp/engine"
	"custom-misp/engine/atomicfile"
	"custom-misp/misp"
)

// A builder writes a segment. It writes records at once, and keeps the tables in memory until the end, 16 bytes an
// entry.
type builder struct {
	file        *atomicfile.File
	out         *bufio.Writer
	at          int64
	trailer     trailer
	blocks      []uint32 // checksums of the blocks that are complete
	block       uint32   // checksum of the block that is not, so far
	section     section  // that is being written
	byIndicator []entry
	byUUID      []entry
	events      map[uuid.UUID]int // → number in places
	places      []eventPlace
	networks    map[string]bool
	words       map[string]uint64
	payload     []byte
	record      []byte

	testOnlySections map[string][]byte // further ones
}

type entry struct{ hash, at uint64 }

// eventPlace says where the record of an event is, and how many attributes it has.
type eventPlace struct{ at, attributes uint64 }

// newBuilder begins a segment, which has its name when it is complete.
func newBuilder(name string) (*builder, error) {
	f, err := atomicfile.Create(name)
	if err != nil {
		return nil, err
	}
	b := &builder{file: f, events: map[uuid.UUID]int{}, networks: map[string]bool{}, words: map[string]uint64{}}
	b.out = bufio.NewWriterSize(f, 1<<18)
	b.trailer.Block, b.trailer.Forms = 1<<blockBits, engine.FormsVersion
	if err := b.write([]byte(magic)); err != nil {
		return nil, err
	}
	b.begin(sectionRecords)
	return b, nil
}

// begin begins a section.
func (b *builder) begin(id string) { b.section = section{ID: id, At: b.at} }

// end ends the section that was begun; one without content has no entry.
func (b *builder) end() {
	if b.section.Length = b.at - b.section.At; b.section.Length > 0 {
		b.trailer.Sections = append(b.trailer.Sections, b.section)
	}
}

func (b *builder) write(data []byte) error {
	b.section.Sum = crc32.Update(b.section.Sum, crcTable(), data)
	for rest := data; len(rest) > 0; {
		part := rest[:min(len(rest), int(b.trailer.Block-b.at&(b.trailer.Block-1)))]
		b.block = crc32.Update(b.block, crcTable(), part)
		b.at += int64(len(part))
		if b.at&(b.trailer.Block-1) == 0 {
			b.blocks, b.block = append(b.blocks, b.block), 0
		}
		rest = rest[len(part):]
	}
	if b.at > maxSegment {
		return fmt.Errorf("more than %d bytes in one segment; mirror less of this source", int64(maxSegment))
	}
	_, err := b.out.Write(data)
	return err
}

func (b *builder) put(kind recordKind, payload []byte) (at uint64, err error) {
	if len(payload) > maxRecord {
		return 0, fmt.Errorf("an attribute or event of %d bytes, more than %d", len(payload), maxRecord)
	}
	b.record = frame(b.record[:0], kind, payload)
	at = uint64(b.at) //nolint:gosec // not negative
	return at, b.write(b.record)
}

// Add puts an attribute in, unless it is of a type that is never compared. The event is stored as its first attribute
// describes it. version changes when the source changes the event; empty if the source has none.
func (b *builder) Add(a misp.Attribute, version string) error {
	return b.add(identify(a.UUID), a, event{Event: a.Event, uuid: identify(a.Event.UUID), version: version})
}

func (b *builder) add(id uuid.UUID, a misp.Attribute, e event) error {
	all := indicators(a)
	if len(all) == 0 {
		return nil
	}
	in, err := b.addEvent(e)
	if err != nil {
		return err
	}
	in.attributes++
	b.payload = appendAttribute(b.payload[:0], id, in.at, a, b.word)
	at, err := b.put(recordAttribute, b.payload)
	if err != nil {
		return err
	}
	b.trailer.Attributes++
	b.byUUID = append(b.byUUID, entry{hashUUID(id), at})
	for _, i := range all {
		b.byIndicator = append(b.byIndicator, entry{hashIndicator(i), at})
		if p, ok := i.Network(); ok {
			if b.networks[p.String()] = true; len(b.networks) > maxNetworks {
				return fmt.Errorf("more than %d different networks; mirror less of this source", maxNetworks)
			}
		}
	}
	for _, i := range engine.Literals(engine.Type(a.Type), a.Value) {
		if !slices.Contains(all, i) { // for programs with other forms
			b.byIndicator = append(b.byIndicator, entry{hashIndicator(i), at})
		}
	}
	return nil
}

// word returns the number of a text that many attributes share, from 1 on; 0 if there are too many of them, or it is too
// long: a list may have a category of its own for each value.
func (b *builder) word(text string) uint64 {
	n, ok := b.words[text]
	if !ok && len(b.words) < maxWords && len(text) <= maxWord {
		text = strings.Clone(text) // may be a part of a row
		b.trailer.Words = append(b.trailer.Words, text)
		n = uint64(len(b.trailer.Words))
		b.words[text] = n
	}
	return n
}

// addEvent puts an event in, if it is not there yet, and returns its place.
func (b *builder) addEvent(e event) (*eventPlace, error) {
	if i, ok := b.events[e.uuid]; ok {
		return &b.places[i], nil
	}
	b.payload = appendEvent(b.payload[:0], e)
	at, err := b.put(recordEvent, b.payload)
	if err != nil {
		return nil, err
	}
	b.events[e.uuid] = len(b.places)
	b.places = append(b.places, eventPlace{at: at})
	return &b.places[len(b.places)-1], nil
}

// remove notes that an attribute was removed.
func (b *builder) remove(id uuid.UUID) error {
	at, err := b.put(recordRemoved, id[:])
	if err != nil {
		return err
	}
	b.trailer.Removed++
	b.byUUID = append(b.byUUID, entry{hashUUID(id), at})
	return nil
}

// finish completes the segment. It is whole or absent, also after a power cut.
func (b *builder) finish(ctx context.Context, now time.Time) error {
	defer b.abort()
	b.end()
	b.trailer.Created = now.UTC()
	b.trailer.Events = len(b.places)
	for n := range b.networks {
		b.trailer.Networks = append(b.trailer.Networks, n)
	}
	slices.Sort(b.trailer.Networks)
	var err error
	if b.trailer.IndicatorBits, err = b.table(ctx, sectionIndicators, sectionIndicatorDirectory, b.byIndicator); err != nil {
		return err
	}
	if b.trailer.UUIDBits, err = b.table(ctx, sectionUUIDs, sectionUUIDDirectory, b.byUUID); err != nil {
		return err
	}
	b.begin(sectionEvents)
	for _, p := range b.places {
		if err := b.pair(p.at, p.attributes); err != nil {
			return err
		}
	}
	b.end()
	for id, content := range b.testOnlySections {
		b.begin(id)
		if err := b.write(content); err != nil {
			return err
		}
		b.end()
	}
	if err := b.writeBlocks(); err != nil {
		return err
	}
	t, err := json.Marshal(b.trailer)
	if err != nil {
		return err
	}
	sum := crc32.Checksum(t, crcTable())
	t = binary.LittleEndian.AppendUint32(t, uint32(len(t))) //nolint:gosec // a few hundred bytes, the words and the networks
	t = binary.LittleEndian.AppendUint32(t, sum)
	if _, err := b.out.Write(append(t, magic...)); err != nil {
		return err
	}
	if err := b.out.Flush(); err != nil {
		return err
	}
	return b.file.Commit(atomicfile.Durable)
}

// writeBlocks writes the checksums of the blocks of everything that came before.
func (b *builder) writeBlocks() error {
	if b.at&(b.trailer.Block-1) != 0 {
		b.blocks = append(b.blocks, b.block)
	}
	sums := make([]byte, 0, sumSize*len(b.blocks))
	for _, sum := range b.blocks {
		sums = binary.LittleEndian.AppendUint32(sums, sum)
	}
	b.begin(sectionBlocks)
	if err := b.write(sums); err != nil {
		return err
	}
	b.end()
	return nil
}

// abort gives the file up, unless it is complete.
func (b *builder) abort() { b.file.Discard() }

// pair writes two numbers.
func (b *builder) pair(first, second uint64) error {
	b.payload = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b.payload[:0], first), second)
	return b.write(b.payload)
}

// table sorts entries and writes them, and their directory. It returns how many bits of a hash the directory goes by.
func (b *builder) table(ctx context.Context, index, directory string, entries []entry) (hashBits uint8, err error) {
	if len(entries) == 0 {
		return 0, ctx.Err()
	}
	if uint64(len(entries)) > maxEntries {
		return 0, fmt.Errorf("%d entries, more than a segment can hold", len(entries))
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.at, b.at)) })
	b.begin(index)
	for _, e := range entries {
		if err := cmp.Or(ctx.Err(), b.pair(e.hash, e.at)); err != nil {
			return 0, err
		}
	}
	b.end()
	hashBits = uint8(max(1, bits.Len(uint(len(entries)/4)))) //nolint:gosec // 31 at most
	b.begin(directory)
	next := 0
	for slot := range uint64(1)<<hashBits + 1 {
		for next < len(entries) && entries[next].hash>>(64-hashBits) < slot {
			next++
		}
		b.payload = binary.LittleEndian.AppendUint32(b.payload[:0], uint32(next)) //nolint:gosec // 2^31 at most
		if err := cmp.Or(ctx.Err(), b.write(b.payload)); err != nil {
			return 0, err
		}
	}
	b.end()
	return hashBits, nil
}
