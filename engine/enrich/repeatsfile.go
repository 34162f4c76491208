package enrich

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"custom-misp/engine/atomicfile"
)

// This file is the memory of a Repeats on disk: a header of 32 bytes with the version and the CRC-32C of what is before it, and
// records that are appended, in the order in which things happened. A record is a header of 48 bytes, the name of an agent and
// an event, all numbers little-endian:
//
//	4 bytes  length of what follows the checksum
//	4        CRC-32C of that
//	1        kind: see below
//	1        0
//	2        length of the agent's name
//	4        number: hits that were counted (kind w); 1 if a window of the value begins (kind s)
//	8        time, in nanoseconds since 1970
//	8        key of the kind of hit, or of the value
//	8        key of the alert and value; 0 for none
//	8        key of the value that an event counts for; 0 for none (kind s), or number of events (kind w)
//
// The end of a file may be missing after a power cut, and the last record be torn: what it counted is lost then. The file is
// written anew when it is opened, and when most of it is over.

// Kinds of records.
const (
	recordSent   = 's' // an event was sent: a window begins
	recordHit    = 'h' // a hit was counted; with its event if it is the first of the window
	recordClosed = 'c' // a window is over
	recordAlert  = 'a' // an alert that is done
	recordWindow = 'w' // a window, in a file that was written anew
)

const (
	repeatsVersion = 1
	repeatsMagic   = "custom-misp repeats v"
	repeatsHeader  = 32
	recordHeader   = 48
	maxUnwritten   = 4 << 20  // bytes that may wait for a disk that is full
	writeAt        = 64 << 10 // bytes that are written together
	minCompact     = 16 << 20 // a smaller file is not written anew
)

type repeatsRecord struct {
	kind  byte
	count uint32
	time  int64
	key   uint64
	alert uint64
	value uint64
	agent string
	event []byte
}

func (r repeatsRecord) size() int { return recordHeader + len(r.agent) + len(r.event) }

func (r repeatsRecord) appendTo(b []byte) []byte {
	start := len(b)
	le := binary.LittleEndian
	b = le.AppendUint32(b, uint32(r.size()-8)) //nolint:gosec // an event is bounded
	b = le.AppendUint32(b, 0)
	b = append(b, r.kind, 0)
	b = le.AppendUint16(b, uint16(len(r.agent))) //nolint:gosec // cut in append
	b = le.AppendUint32(b, r.count)
	b = le.AppendUint64(b, uint64(r.time)) //nolint:gosec // the same bits
	b = le.AppendUint64(b, r.key)
	b = le.AppendUint64(b, r.alert)
	b = le.AppendUint64(b, r.value)
	b = append(append(b, r.agent...), r.event...)
	le.PutUint32(b[start+4:], crc32.Checksum(b[start+8:], castagnoli()))
	return b
}

// castagnoli returns the table of the checksum, which is made once, when it is first needed.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// errTorn is the end of a file in the middle of a record.
var errTorn = errors.New("the last record is torn")

// readRecord reads a record; io.EOF at the end.
func readRecord(in io.Reader) (repeatsRecord, error) {
	var head [8]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return repeatsRecord{}, endOf(err)
	}
	le := binary.LittleEndian
	size := le.Uint32(head[:])
	if size < recordHeader-8 || size > MaxAlert {
		return repeatsRecord{}, fmt.Errorf("a record of %d bytes: %w", size, atomicfile.ErrDamaged)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(in, data); err != nil {
		return repeatsRecord{}, errTorn
	}
	agent := int(le.Uint16(data[2:]))
	if crc32.Checksum(data, castagnoli()) != le.Uint32(head[4:]) || recordHeader-8+agent > len(data) {
		return repeatsRecord{}, fmt.Errorf("the checksum of a record is wrong: %w", atomicfile.ErrDamaged)
	}
	rest := data[recordHeader-8:]
	return repeatsRecord{
		kind: data[0], count: le.Uint32(data[4:]), time: int64(le.Uint64(data[8:])), //nolint:gosec // the same bits
		key: le.Uint64(data[16:]), alert: le.Uint64(data[24:]), value: le.Uint64(data[32:]),
		agent: string(rest[:agent]), event: rest[agent:],
	}, nil
}

func endOf(err error) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return errTorn
}

// repeatsFile is the file, open for reading and appending.
type repeatsFile struct {
	name    string
	file    *os.File
	end     int64 // of the file, without what is not written yet
	pending []byte
	least   int64 // size from which it is written anew
	fault   error // of the last write
}

// openRepeats reads a file into a state, and writes it anew. Without a file, no hits can be counted. An error that comes with
// one says what was lost.
func openRepeats(name string, s *repeatsState) (*repeatsFile, error) {
	wrap := func(err error) error { return fmt.Errorf("record of repeats: %w", err) }
	if err := atomicfile.MkdirAll(filepath.Dir(name), dirMode); err != nil {
		return nil, wrap(err)
	}
	f := &repeatsFile{name: name}
	damage := f.load(s)
	if isNewer(damage) {
		return nil, wrap(fmt.Errorf("%w; repeats are sent like other hits", damage))
	}
	if damage != nil {
		aside := atomicfile.KeepDamaged(name)
		damage = wrap(fmt.Errorf("%w: hits may be reported again; what was damaged is now %s", damage, aside))
	}
	if err := f.compact(s); err != nil {
		return nil, errors.Join(damage, wrap(fmt.Errorf("%w; repeats are sent like other hits", err)))
	}
	return f, damage
}

// load reads the file. What is behind damage does not count.
func (f *repeatsFile) load(s *repeatsState) error {
	file, err := atomicfile.Open(f.name, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f.file = file
	in := bufio.NewReaderSize(file, 1<<16)
	var head [repeatsHeader]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return fmt.Errorf("%s is %w: it has no header", f.name, atomicfile.ErrDamaged)
	}
	if err := checkRepeatsHeader(f.name, head[:]); err != nil {
		return err
	}
	at := int64(repeatsHeader)
	defer func() { f.end = at }()
	for {
		r, err := readRecord(in)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, errTorn):
			return nil
		case err != nil:
			return fmt.Errorf("%s at byte %d: %w", f.name, at, err)
		}
		s.apply(r, at+int64(recordHeader+len(r.agent)))
		at += int64(r.size())
	}
}

// newRepeatsHeader returns the header of a file of a version.
func newRepeatsHeader(version int) []byte {
	start := fmt.Sprintf("%s%d ", repeatsMagic, version)
	return fmt.Appendf(nil, "%-31s\n", start+atomicfile.Sum([]byte(start)))
}

func checkRepeatsHeader(name string, head []byte) error {
	rest, ok := bytes.CutPrefix(head, []byte(repeatsMagic))
	digits, _, ok2 := bytes.Cut(rest, []byte(" "))
	version, err := strconv.Atoi(string(digits))
	if !ok || !ok2 || err != nil || !bytes.Equal(head, newRepeatsHeader(version)) {
		return fmt.Errorf("%s is %w: its header is not right", name, atomicfile.ErrDamaged)
	}
	if version > repeatsVersion {
		return &atomicfile.NewerError{File: name, Version: version, Known: repeatsVersion}
	}
	return nil
}

// canWrite reports whether there is room for a further record.
func (f *repeatsFile) canWrite() bool { return len(f.pending) < maxUnwritten }

// append adds a record. It returns where its event is, or will be.
func (f *repeatsFile) append(r repeatsRecord) (event int64) {
	r.agent = r.agent[:min(len(r.agent), 1<<10)]
	event = f.end + int64(len(f.pending)+recordHeader+len(r.agent))
	f.pending = r.appendTo(f.pending)
	if len(f.pending) >= writeAt && f.fault == nil {
		_ = f.flush() // the one who has to know calls it too
	}
	return event
}

// flush writes what is pending.
func (f *repeatsFile) flush() error {
	if len(f.pending) == 0 {
		return nil
	}
	n, err := f.file.Write(f.pending)
	f.fault = nil
	if err != nil {
		if terr := f.file.Truncate(f.end); terr == nil {
			n = 0
		}
		f.fault = fmt.Errorf("record of repeats: %w", err)
	}
	f.end += int64(n)
	f.pending = append(f.pending[:0], f.pending[n:]...)
	return f.fault
}

// read returns an event.
func (f *repeatsFile) read(at int64, size int) ([]byte, error) {
	if at >= f.end {
		from := int(at - f.end)
		return bytes.Clone(f.pending[from : from+size]), nil
	}
	data := make([]byte, size)
	_, err := f.file.ReadAt(data, at)
	return data, err
}

// compactIfLarge writes the file anew if most of it is over. Until that succeeds, it grows.
func (f *repeatsFile) compactIfLarge(s *repeatsState) {
	if f.end < f.least {
		return
	}
	if err := f.compact(s); err != nil {
		f.least = f.end + minCompact
	}
}

// compact writes the file anew. After an error, everything is as it was.
func (f *repeatsFile) compact(s *repeatsState) error {
	out, err := atomicfile.Create(f.name)
	if err != nil {
		return err
	}
	defer out.Discard()
	w := bufio.NewWriterSize(out, 1<<20)
	end := int64(repeatsHeader)
	_, _ = w.Write(newRepeatsHeader(repeatsVersion)) // Commit returns the error
	add := func(r repeatsRecord) {
		_, _ = w.Write(r.appendTo(nil))
		end += int64(r.size())
	}
	for _, seen := range []map[uint64]bool{s.seen[1], s.seen[0]} {
		for alert := range seen {
			add(repeatsRecord{kind: recordAlert, alert: alert})
		}
	}
	moved := make(map[uint64]int64, len(s.windows))
	for key, win := range s.windows {
		r := repeatsRecord{kind: recordWindow, count: win.hits, time: win.began, key: key, value: uint64(win.sent)}
		if win.agents != nil {
			r.agent = joinNames(*win.agents)
		}
		if win.hits > 0 {
			if r.event, err = f.read(win.event, int(win.size)); err != nil {
				return err
			}
		}
		moved[key] = end + int64(recordHeader+len(r.agent))
		add(r)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := out.Commit(atomicfile.Volatile); err != nil {
		return err
	}
	file, err := atomicfile.Open(f.name, os.O_RDWR|os.O_APPEND)
	if err != nil {
		return err
	}
	if f.file != nil {
		_ = f.file.Close()
	}
	f.file, f.end, f.pending, f.least = file, end, f.pending[:0], 2*end+minCompact
	for key, at := range moved {
		win := s.windows[key]
		win.event = at
		s.windows[key] = win
	}
	return nil
}

// joinNames joins names of agents, as far as a record has room.
func joinNames(names []string) string {
	var b bytes.Buffer
	for _, n := range names {
		if b.Len()+len(n) < 1<<10 {
			b.WriteString(n)
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func (f *repeatsFile) close() error { return f.file.Close() }
