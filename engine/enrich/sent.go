package enrich

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"custom-misp/engine/atomicfile"
)

// This file is the memory of a Dedup on disk: "sent" has the keys of this generation, "sent.1" those of the one before. A file is
// a header of 32 bytes with the version and the CRC-32C of what is before it, and records of 16 bytes that are appended: a key
// of 8 bytes, its CRC-32C, and 4 bytes 0, all little-endian.
//
//	custom-misp sent v1 fe3affc0
//
// Earlier programs wrote nothing but keys, and still do so after a downgrade, into the same file. So a reader takes 8 bytes
// that do not begin a record for a key. If they are damage instead, that is a key of no event. Damage costs that an event may
// come twice, and never an event: that another one has the same key happens once in 10^14 events.

const (
	sentName    = "sent"
	sentPrior   = "sent.1"
	sentVersion = 1
	sentMagic   = "custom-misp sent v"
	sentHeader  = 32
	sentRecord  = 16
	maxSent     = 4 << 20 // bytes of a file
	maxPending  = 3       // generations that wait for a slow disk
)

// newSent returns a file without records.
func newSent() []byte {
	start := fmt.Sprintf("%s%d ", sentMagic, sentVersion)
	return fmt.Appendf(nil, "%-31s\n", start+atomicfile.Sum([]byte(start)))
}

// sentVersionOf returns the version in the header of a file; 0 if it has none, or if that is damaged. A later version may have
// a checksum of another form.
func sentVersionOf(data []byte) int {
	rest, ok := bytes.CutPrefix(data, []byte(sentMagic))
	digits, rest, ok2 := bytes.Cut(rest, []byte(" "))
	version, err := strconv.Atoi(string(digits))
	if !ok || !ok2 || err != nil {
		return 0
	}
	sum := string(bytes.TrimRight(rest[:min(len(rest), 11)], " \n"))
	_, err = strconv.ParseUint(sum, 16, 32)
	if known := err == nil && len(sum) == 8; known && sum != atomicfile.Sum(data[:len(sentMagic)+len(digits)+1]) {
		return 0
	}
	return version
}

// sentFiles are both files. They are written in the background: no event waits for the disk.
type sentFiles struct {
	dir     string
	trouble error
	writing atomicfile.Background

	mu      sync.Mutex
	pending [][]uint64 // keys that are not written yet; each generation after the first begins a new file
	file    *os.File   // of this generation; nil if there is none. Only the writer uses it
}

// openSent reads both files, and prepares to write.
func openSent(dir string) (*sentFiles, [2]map[uint64]bool, error) {
	s := &sentFiles{dir: dir, pending: [][]uint64{nil}}
	var seen [2]map[uint64]bool
	if err := atomicfile.MkdirAll(dir, dirMode); err != nil {
		return nil, seen, fmt.Errorf("record of sent events: %w", err)
	}
	whole := true // "sent" is as it would be written
	for i, name := range []string{sentName, sentPrior} {
		keys, asWritten, err := readSent(filepath.Join(dir, name))
		if err != nil {
			if _, newer := errors.AsType[*atomicfile.NewerError](err); !newer && !errors.Is(err, atomicfile.ErrDamaged) && !errors.Is(err, atomicfile.ErrNotState) {
				return nil, seen, fmt.Errorf("record of sent events: %w", err)
			}
			s.trouble = errors.Join(s.trouble, fmt.Errorf("record of sent events: %w; events may be sent again", err))
		}
		if i == 0 {
			whole = asWritten
		}
		seen[i] = keys
	}
	if _, newer := errors.AsType[*atomicfile.NewerError](s.trouble); newer {
		return s, seen, nil
	}
	var err error
	if !whole {
		err = s.begin(slices.Collect(maps.Keys(seen[0])))
	} else {
		err = s.open()
	}
	if err != nil {
		s.trouble = errors.Join(s.trouble, fmt.Errorf("record of sent events: %w; events may be sent again after a restart", err))
	}
	return s, seen, nil
}

// readSent returns the keys in a file. asWritten is false if the file is absent, of an earlier program, or partly damaged: then
// it has to be written anew before anything is appended. An error may come with keys.
func readSent(name string) (keys map[uint64]bool, asWritten bool, err error) {
	keys = map[uint64]bool{}
	data, err := atomicfile.ReadFile(name, maxSent)
	if errors.Is(err, fs.ErrNotExist) {
		return keys, false, nil
	}
	if errors.Is(err, atomicfile.ErrNotState) {
		_ = atomicfile.KeepDamaged(name)
		_ = os.Remove(name)
	}
	if err != nil {
		return keys, false, err
	}
	version := sentVersionOf(data)
	if version > sentVersion {
		return keys, false, &atomicfile.NewerError{File: name, Version: version, Known: sentVersion}
	}
	versioned := version == sentVersion && len(data) >= sentHeader
	if versioned {
		data = data[sentHeader:]
	}
	odd := 0
	for len(data) >= 8 {
		key := binary.LittleEndian.Uint64(data)
		keys[key] = true
		if len(data) >= sentRecord && bytes.Equal(data[:sentRecord], appendSent(nil, key)) {
			data = data[sentRecord:]
			continue
		}
		data = data[8:]
		odd++
	}
	asWritten = versioned && odd == 0 && len(data) == 0
	// One is the last write, cut short by a kill or a full disk.
	if versioned && odd > 1 {
		err = fmt.Errorf("%s is %w in %d places, or an earlier version has written to it", name, atomicfile.ErrDamaged, odd)
	}
	return keys, asWritten, err
}

// appendSent appends the record of a key.
func appendSent(b []byte, key uint64) []byte {
	at := len(b)
	b = binary.LittleEndian.AppendUint64(b, key)
	sum := crc32.Checksum(b[at:], crc32.MakeTable(crc32.Castagnoli))
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, sum), 0)
}

// begin writes a file of this generation anew, and opens it.
func (s *sentFiles) begin(keys []uint64) error {
	data := newSent()
	for _, key := range keys {
		data = appendSent(data, key)
	}
	err := atomicfile.WriteFile(filepath.Join(s.dir, sentName), data, atomicfile.Volatile)
	return errors.Join(err, s.open()) // what is there may take more, even if the disk is full
}

// open opens the file of this generation. Nothing depends on it: without it, an event may come twice after a restart.
func (s *sentFiles) open() (err error) {
	s.file, err = atomicfile.Open(filepath.Join(s.dir, sentName), os.O_APPEND|os.O_WRONLY)
	return err
}

// add adds a key. last says that the next one begins a generation.
func (s *sentFiles) add(key uint64, last bool) {
	s.mu.Lock()
	end := len(s.pending) - 1
	s.pending[end] = append(s.pending[end], key)
	if last {
		s.pending = append(s.pending, nil)
		s.pending = s.pending[max(0, len(s.pending)-maxPending):]
	}
	s.mu.Unlock()
	s.writing.Run(s.write)
}

// write writes what is pending.
func (s *sentFiles) write() {
	s.mu.Lock()
	pending := s.pending
	s.pending = [][]uint64{nil}
	s.mu.Unlock()
	for i, keys := range pending {
		if i > 0 {
			s.rotate()
		}
		var data []byte
		for _, key := range keys {
			data = appendSent(data, key)
		}
		if s.file == nil || len(data) == 0 {
			continue
		}
		if _, err := s.file.Write(data); err != nil {
			_ = trim(s.file)
		}
	}
}

// rotate begins a generation, unless a later program has begun to use the files.
func (s *sentFiles) rotate() {
	if _, newer := errors.AsType[*atomicfile.NewerError](s.trouble); newer {
		return
	}
	_ = s.file.Close() // nil too
	_ = os.Rename(filepath.Join(s.dir, sentName), filepath.Join(s.dir, sentPrior))
	_ = s.begin(nil)
}

// trim removes what of a write that failed would shift those that follow.
func trim(f *os.File) error {
	st, err := f.Stat()
	if err != nil || st.Size()%8 == 0 {
		return err
	}
	return f.Truncate(st.Size() - st.Size()%8)
}

// close writes what is pending, and closes the file.
func (s *sentFiles) close() error {
	s.writing.Wait()
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
