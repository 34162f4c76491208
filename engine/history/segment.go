package history

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"

	"custom-misp/engine/atomicfile"
)

// A segment is a file of the records of one day, sorted by their keys. README.md describes it.

const (
	segmentSuffix = ".segment"
	magicPrefix   = "cmhist"
	version       = 1
	magic         = magicPrefix + "01"
	tailSize      = 8 + len(magic)
	blockSize     = 8 << 10 // of records, in bytes; a block ends with the record that exceeds it
	maxBlock      = 1 << 20
	maxTrailer    = 16 << 20
	maxIndex      = 1 << 30
)

// trailer describes a segment.
type trailer struct {
	Day     int64 `json:"day"` // when it begins, in seconds since 1970
	Entries int   `json:"entries"`
	Index   part  `json:"index"`
	Words   part  `json:"words"`
	// Replaces names the segments and journals whose records of this day are in the segment.
	Replaces []string `json:"replaces,omitempty"`
	// Covers says which parts of which files of alerts are in it.
	Covers []Covered `json:"covers,omitempty"`
}

// part says where a part is, and its checksum.
type part struct {
	At     int64  `json:"at"`
	Length int64  `json:"length"`
	Sum    uint32 `json:"sum"` // CRC-32C
}

// A Covered is a part of a file of alerts. Those of its alerts that are of a segment's day are in the segment.
type Covered struct {
	// File is the SHA-256, in hexadecimal digits, of the first 4,096 bytes of the file: it may be moved, compressed or grown since.
	File string `json:"file"`
	// From and To are where the part begins and ends, in uncompressed bytes.
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// joined returns the parts sorted, and as few as can be.
func joined(all []Covered) (few []Covered) {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b Covered) int { return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.From, b.From)) })
	for _, c := range all {
		if n := len(few); n > 0 && few[n-1].File == c.File && c.From <= few[n-1].To {
			few[n-1].To = max(few[n-1].To, c.To)
			continue
		}
		few = append(few, c)
	}
	return few
}

// A segment is open for reading. It counts its users.
type segment struct {
	name    string
	file    *os.File
	size    int64
	users   atomic.Int32
	trailer trailer
	words   []string
	first   [][]byte // keys, of the blocks
	begin   []int64  // of the blocks, and the end of the last
	sums    []uint32
}

// A NewerError says that a file has a version which this program does not know. It is left untouched.
type NewerError struct{ File string }

// Error implements error.
func (e *NewerError) Error() string {
	return e.File + " was written by a newer version of custom-misp; it is left untouched and not read"
}

// openSegment opens a segment for one user.
func openSegment(name string) (*segment, error) {
	f, err := atomicfile.Open(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	s := &segment{name: filepath.Base(name), file: f}
	s.users.Store(1)
	if err := s.parse(); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

func (s *segment) release() {
	if s.users.Add(-1) == 0 {
		_ = s.file.Close() // only read
	}
}

func damagedf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// readAt reads a part of the file and verifies it.
func (s *segment) readAt(p part, most int64) ([]byte, error) {
	if p.At < 0 || p.Length < 0 || p.Length > most || p.At > s.size || p.Length > s.size-p.At {
		return nil, damagedf("a part is outside of the file")
	}
	data := make([]byte, p.Length)
	if _, err := s.file.ReadAt(data, p.At); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if sum(data) != p.Sum {
		return nil, damagedf("wrong checksum of bytes %d to %d", p.At, p.At+p.Length)
	}
	return data, nil
}

func (s *segment) parse() error {
	st, err := s.file.Stat()
	if err != nil {
		return err
	}
	if s.size = st.Size(); s.size < int64(len(magic)+tailSize) {
		return damagedf("%d bytes", s.size)
	}
	var begin [len(magic)]byte
	tail := make([]byte, tailSize)
	if _, err := s.file.ReadAt(begin[:], 0); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if _, err := s.file.ReadAt(tail, s.size-int64(tailSize)); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err := checkMagic(s.name, begin[:], tail[8:]); err != nil {
		return err
	}
	length := int64(binary.LittleEndian.Uint32(tail))
	text, err := s.readAt(part{s.size - int64(tailSize) - length, length, binary.LittleEndian.Uint32(tail[4:])}, maxTrailer)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &s.trailer); err != nil {
		return damagedf("trailer: %v", err)
	}
	data, err := s.readAt(s.trailer.Words, maxIndex)
	if err != nil {
		return err
	}
	r := reader{data: data}
	s.words = append([]string{""}, r.readWords()...)
	if r.wrong {
		return damagedf("the words")
	}
	return s.readIndex()
}

// checkMagic compares what a file begins and ends with.
func checkMagic(name string, begin, end []byte) error {
	digits, ok := strings.CutPrefix(string(begin), magicPrefix)
	v, err := strconv.Atoi(digits)
	switch {
	case !bytes.Equal(begin, end) || !ok || err != nil || v < 1:
		return damagedf("not a segment of a history")
	case v > version:
		return &NewerError{name}
	}
	return nil
}

func (s *segment) readIndex() error {
	data, err := s.readAt(s.trailer.Index, maxIndex)
	if err != nil {
		return err
	}
	at := int64(len(magic))
	for r := (reader{data: data}); len(r.data) > 0; {
		key, length, sum := r.take(r.number()), r.number(), r.take(4)
		if r.wrong || length == 0 || length > maxBlock || len(key) == 0 {
			return damagedf("the index")
		}
		s.first, s.begin, s.sums = append(s.first, key), append(s.begin, at), append(s.sums, binary.LittleEndian.Uint32(sum))
		at += int64(length)
	}
	s.begin = append(s.begin, at)
	if at > s.size {
		return damagedf("the index leads outside of the file")
	}
	return nil
}

// segmentSource reads a segment. It is for one goroutine.
type segmentSource struct {
	*segment
	block  int    // that is in rest; len(first) at the end
	buf    []byte // the block
	rest   []byte // of it, behind the present record
	key    []byte // nil at the end
	keyBuf []byte
	record []byte
	placed bool
	sought []byte // there is no key from this one up to key, once placed is set
	err    error
}

func (s *segment) source() *segmentSource {
	c := &segmentSource{segment: s}
	c.load(0)
	return c
}

// find returns a source at the first key that is not below a key.
func (s *segment) find(key []byte) *segmentSource {
	c := &segmentSource{segment: s}
	c.seek(key)
	return c
}

// load reads a block, and goes to its first record. One that is damaged is left out.
func (c *segmentSource) load(block int) {
	for c.block = block; c.block < len(c.first); c.block++ {
		from, to := c.begin[c.block], c.begin[c.block+1]
		c.buf = slices.Grow(c.buf[:0], int(to-from))[:to-from]
		if _, err := c.file.ReadAt(c.buf, from); err != nil && !errors.Is(err, io.EOF) {
			c.failed(err)
			continue
		}
		if sum(c.buf) != c.sums[c.block] {
			c.failed(errors.New("wrong checksum of a block"))
			continue
		}
		c.rest, c.keyBuf = c.buf, c.keyBuf[:0]
		if c.step() {
			return
		}
	}
	c.key, c.rest = nil, nil
}

func (c *segmentSource) failed(err error) {
	if c.err == nil {
		c.err = fmt.Errorf("%s: %w: %w", c.file.Name(), ErrDamaged, err)
	}
}

// step goes to the next record of the block; false at its end, and at a damaged record.
func (c *segmentSource) step() bool {
	if len(c.rest) == 0 {
		return false
	}
	r := reader{data: c.rest}
	shared := r.number()
	key := r.take(r.number())
	c.record = r.take(r.number())
	if r.wrong || shared > uint64(len(c.keyBuf)) || shared+uint64(len(key)) > maxKey {
		c.failed(errRecord)
		return false
	}
	c.keyBuf = append(c.keyBuf[:shared], key...)
	c.key, c.rest = c.keyBuf, r.data
	return true
}

func (c *segmentSource) next() {
	if c.key == nil {
		return
	}
	c.sought = append(append(c.sought[:0], c.key...), 0) // nothing is between the two
	c.advance()
}

func (c *segmentSource) advance() {
	if !c.step() {
		c.load(c.block + 1)
	}
}

func (c *segmentSource) at() []byte { return c.key }

func (c *segmentSource) seek(key []byte) {
	ascending := c.placed && bytes.Compare(c.sought, key) <= 0
	c.placed, c.sought = true, append(c.sought[:0], key...)
	if ascending && (c.key == nil || bytes.Compare(c.key, key) >= 0) {
		return
	}
	here := c.key != nil && bytes.Compare(c.key, key) <= 0 && (c.block+1 >= len(c.first) || bytes.Compare(c.first[c.block+1], key) > 0)
	if !here {
		n := sort.Search(len(c.first), func(i int) bool { return bytes.Compare(c.first[i], key) > 0 })
		c.load(max(0, n-1))
	}
	for c.key != nil && bytes.Compare(c.key, key) < 0 {
		c.advance()
	}
}

func (c *segmentSource) read(to *record) {
	r := reader{data: c.record}
	if r.readRecord(to, c.trailer.Day); r.wrong {
		c.failed(errRecord)
		*to = record{}
	}
}

func (c *segmentSource) word(n uint32) string {
	if int(n) >= len(c.words) {
		return ""
	}
	return c.words[n]
}

func (c *segmentSource) fault() error { return c.err }
