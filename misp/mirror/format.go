package mirror

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"custom-misp/misp/internal/jsonscan"
)

// This file reads what a segment says of itself: its version, its trailer, and the checksums of its blocks. README.md
// describes them. All of it is read from the file, not from the mapping, and verified before it is used.

const (
	// A segment begins and ends with its magic, in every version: the last two digits are the version.
	magicPrefix = "cmispm"
	magic       = magicPrefix + "03" // of the version that is written
	version     = 3
	oldVersion  = 2 // one checksum for the whole file, and no table of sections; read, not written

	entrySize = 16
	sumSize   = 4              // of the checksum of a block
	tailSize  = 8 + len(magic) // what follows the trailer

	// blockBits is the binary logarithm of the size of a block: 64 KiB, as much as Linux maps at once around a page that
	// is read. A checksum of that takes 2 µs.
	blockBits                    = 16
	leastBlockBits, maxBlockBits = 12, 24 // that are read
)

// The sections of a segment that this version knows. A segment may have more, which are skipped.
const (
	sectionRecords            = "records"
	sectionIndicators         = "indicators"
	sectionIndicatorDirectory = "indicator_directory"
	sectionUUIDs              = "uuids"
	sectionUUIDDirectory      = "uuid_directory"
	sectionEvents             = "events"
	sectionBlocks             = "blocks"
)

// trailer describes a segment.
type trailer struct {
	Created       time.Time `json:"created"`
	Attributes    int       `json:"attributes"`
	Removed       int       `json:"removed,omitempty"`
	Events        int       `json:"events"`
	IndicatorBits uint8     `json:"indicator_bits"` // of a hash that the directory of the table goes by
	UUIDBits      uint8     `json:"uuid_bits"`
	Block         int64     `json:"block"` // bytes that have a checksum in the section of blocks
	Sections      []section `json:"sections"`
	// Forms is the version of the forms that the table of indicators goes by: see [engine.FormsVersion].
	Forms    int      `json:"forms,omitempty"`
	Networks []string `json:"networks,omitempty"`
	// Words are the types and categories of attributes, which refer to them by number.
	Words []string `json:"words,omitempty"`
}

// section says where in the file a part is.
type section struct {
	ID     string `json:"id"`
	At     int64  `json:"at"`
	Length int64  `json:"length"`
	Sum    uint32 `json:"sum"` // CRC-32C
}

// section returns the section of an id; one without a length if there is none.
func (t *trailer) section(id string) section {
	for _, s := range t.Sections {
		if s.ID == id {
			return s
		}
	}
	return section{ID: id, At: int64(len(magic))}
}

// oldTrailer is that of [oldVersion].
type oldTrailer struct {
	trailer
	Records     int64   `json:"records"` // where they end
	ByIndicator oldPart `json:"by_indicator"`
	ByUUID      oldPart `json:"by_uuid"`
	EventsAt    int64   `json:"events_at"`
	Sum         uint32  `json:"sum"` // CRC-32C of everything before the trailer
}

// oldPart says where in the file a table is.
type oldPart struct {
	Entries   int64 `json:"entries"`
	Bits      uint8 `json:"bits"`
	Index     int64 `json:"index"`
	Directory int64 `json:"directory"`
}

// asSections returns the trailer as the present version has it.
func (o *oldTrailer) asSections() trailer {
	t := o.trailer
	t.IndicatorBits, t.UUIDBits, t.Block = o.ByIndicator.Bits, o.ByUUID.Bits, 1<<blockBits
	first := int64(len(magic))
	t.Sections = []section{
		{ID: sectionRecords, At: first, Length: o.Records - first},
		{ID: sectionEvents, At: o.EventsAt, Length: int64(o.Events) * entrySize},
	}
	table := func(index, directory string, p oldPart) {
		if p.Entries == 0 {
			return
		}
		length := int64(-1) // outside of any file
		if p.Entries > 0 && p.Entries <= maxSegment/entrySize {
			length = p.Entries * entrySize
		}
		t.Sections = append(t.Sections, section{ID: index, At: p.Index, Length: length}, section{ID: directory, At: p.Directory, Length: directoryLength(p.Bits)})
	}
	table(sectionIndicators, sectionIndicatorDirectory, o.ByIndicator)
	table(sectionUUIDs, sectionUUIDDirectory, o.ByUUID)
	return t
}

// directoryLength returns the length of a directory that goes by so many bits.
func directoryLength(bits uint8) int64 { return 4 * (int64(1)<<min(bits, 40) + 1) }

// crcTable is made when it is first needed: most processes read no sums.
var crcTable = sync.OnceValue(func() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) })

var (
	// errDamaged is a file that is not what was written.
	errDamaged = errors.New("damaged")
	// errNewer is a file of a version that this program does not know. It is left untouched.
	errNewer = errors.New("written by a newer version of custom-misp")
)

// newer returns an error about a file of a newer version.
func newer(of, most int) error {
	return fmt.Errorf("%w: format %d, and this version reads up to %d; install the newer version again, or remove the directory of the source, and the next sync fetches it anew", errNewer, of, most)
}

// readAt fills p from a file. A file that is too short, or that the disk does not give back, is damaged.
func readAt(r io.ReaderAt, p []byte, at int64) error {
	n, err := r.ReadAt(p, at)
	switch {
	case n == len(p):
		return nil
	case err == nil, errors.Is(err, io.EOF):
		return fmt.Errorf("%w: the file ends before byte %d", errDamaged, at+int64(len(p)))
	case errors.Is(err, syscall.EIO):
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return err
}

// readVersion returns the version of a segment, and errNewer for one that is not known.
func readVersion(r io.ReaderAt, size int64) (int, error) {
	if size < int64(len(magic)+tailSize) {
		return 0, fmt.Errorf("%w: %d bytes", errDamaged, size)
	}
	var first, last [len(magic)]byte
	if err := errors.Join(readAt(r, first[:], 0), readAt(r, last[:], size-int64(len(last)))); err != nil {
		return 0, err
	}
	digits, ok := strings.CutPrefix(string(first[:]), magicPrefix)
	v, err := strconv.Atoi(digits)
	switch {
	case first != last || !ok || err != nil || v < oldVersion:
		return 0, fmt.Errorf("%w: not a segment of a mirror", errDamaged)
	case v > version:
		return 0, newer(v, version)
	}
	return v, nil
}

// parse reads everything of a file but its sections. The segment is not mapped yet.
func (s *segment) parse(r io.ReaderAt, size int64) error {
	v, err := readVersion(r, size)
	if err != nil {
		return err
	}
	text, start, err := readTrailer(r, size)
	if err != nil {
		return err
	}
	s.version = v
	if v == oldVersion {
		var o oldTrailer
		if err = json.Unmarshal(text, &o); err == nil {
			s.trailer, s.oldSum = o.asSections(), o.Sum
		}
	} else {
		err = json.Unmarshal(text, &s.trailer)
	}
	if err != nil {
		return fmt.Errorf("%w: trailer: %w", errDamaged, err)
	}
	if err := s.readBlocks(r, start); err != nil {
		return err
	}
	return s.place()
}

// readTrailer returns the text of a trailer, and where it begins.
func readTrailer(r io.ReaderAt, size int64) (text []byte, start int64, err error) {
	end := size - int64(tailSize)
	var tail [8]byte
	if err := readAt(r, tail[:], end); err != nil {
		return nil, 0, err
	}
	length := int64(binary.LittleEndian.Uint32(tail[:]))
	if length > min(end-int64(len(magic)), maxTrailer) {
		return nil, 0, fmt.Errorf("%w: the trailer is too long", errDamaged)
	}
	start = end - length
	text = make([]byte, length)
	if err := readAt(r, text, start); err != nil {
		return nil, 0, err
	}
	if crc32.Checksum(text, crcTable()) != binary.LittleEndian.Uint32(tail[4:]) {
		return nil, 0, fmt.Errorf("%w: wrong checksum of the trailer", errDamaged)
	}
	for _, member := range jsonscan.Members(text) {
		if jsonscan.Longer(member, maxNetworks) {
			return nil, 0, fmt.Errorf("%w: the trailer has a list of more than %d", errDamaged, maxNetworks)
		}
	}
	return text, start, nil
}

// readBlocks reads the checksums of the blocks. Those of [oldVersion] are made when the file is compared with its own,
// see [segment.compareOldSum].
func (s *segment) readBlocks(r io.ReaderAt, trailerAt int64) error {
	size := s.trailer.Block
	if size < 1<<leastBlockBits || size > 1<<maxBlockBits || size&(size-1) != 0 {
		return fmt.Errorf("%w: blocks of %d bytes", errDamaged, size)
	}
	s.blockBits = uint(bits.TrailingZeros64(uint64(size)))
	s.covered = trailerAt
	part := s.trailer.section(sectionBlocks)
	if s.version != oldVersion {
		s.covered = part.At
	}
	n := (s.covered + size - 1) >> s.blockBits
	if s.version != oldVersion && (!within(part.At, part.Length, trailerAt) || part.At < int64(len(magic)) || part.Length != n*sumSize) {
		return fmt.Errorf("%w: no checksums for all blocks", errDamaged)
	}
	s.sums, s.verified = make([]uint32, n), newBitmap(n)
	if s.version == oldVersion {
		return nil
	}
	data := make([]byte, part.Length)
	if err := readAt(r, data, part.At); err != nil {
		return err
	}
	if crc32.Checksum(data, crcTable()) != part.Sum {
		return fmt.Errorf("%w: wrong checksum of the checksums", errDamaged)
	}
	for i := range s.sums {
		s.sums[i] = binary.LittleEndian.Uint32(data[i*sumSize:])
	}
	return nil
}

// place notes where the sections are that look-ups read, and checks that they are inside of what the blocks cover.
func (s *segment) place() error {
	t := &s.trailer
	var err error
	if s.byIndicator, err = s.table(sectionIndicators, sectionIndicatorDirectory, t.IndicatorBits); err != nil {
		return err
	}
	if s.byUUID, err = s.table(sectionUUIDs, sectionUUIDDirectory, t.UUIDBits); err != nil {
		return err
	}
	records, events := t.section(sectionRecords), t.section(sectionEvents)
	if !s.contains(records) || !s.contains(events) || events.Length%entrySize != 0 || int64(t.Events) != events.Length/entrySize {
		return fmt.Errorf("%w: a section is outside of the file", errDamaged)
	}
	s.records.from, s.records.to = uint64(records.At), uint64(records.At+records.Length) //nolint:gosec // not negative
	s.eventsAt = uint64(events.At)                                                       //nolint:gosec // not negative
	for _, text := range t.Networks {
		if p, err := netip.ParsePrefix(text); err == nil {
			s.networks = append(s.networks, p)
		}
	}
	return nil
}

// contains reports whether the blocks cover a section.
func (s *segment) contains(p section) bool {
	return p.At >= int64(len(magic)) && within(p.At, p.Length, s.covered)
}

func within(at, length, end int64) bool {
	return at >= 0 && length >= 0 && at <= end && length <= end-at
}

// table is where a table of a segment is.
type table struct {
	bits             uint8
	entries          uint32
	index, directory uint64 // where they begin
}

func (s *segment) table(index, directory string, bits uint8) (table, error) {
	i, d := s.trailer.section(index), s.trailer.section(directory)
	if i.Length == 0 {
		return table{}, nil
	}
	if bits == 0 || bits > 32 || !s.contains(i) || !s.contains(d) || i.Length%entrySize != 0 || i.Length/entrySize > maxEntries || d.Length != directoryLength(bits) {
		return table{}, fmt.Errorf("%w: a table is outside of the file", errDamaged)
	}
	return table{bits, uint32(i.Length / entrySize), uint64(i.At), uint64(d.At)}, nil //nolint:gosec // checked above
}
