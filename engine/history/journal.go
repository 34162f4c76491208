package history

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"syscall"

	"custom-misp/engine/atomicfile"
)

// A journal has what a store recorded since its last segment: a frame for each second in which something was seen, with the
// records that changed in it. The store
// that writes it holds a lock on it; a journal without one was left behind by a process that was killed, and the next store
// makes segments of it.

const (
	journalPrefix = "journal-"
	journalMagic  = "cmhisj01"
	maxFrame      = 64 << 20
	maxJournal    = 256 << 20 // bytes that are read
	frameHead     = 8
)

// positions says up to where alerts are in the history: for each file of alerts, by a text that names it, the offset behind
// the last one.
type positions map[string]int64

// frameTexts are what a frame says besides its records.
type frameTexts struct {
	At     positions `json:"at"`
	Covers []Covered `json:"covers,omitempty"` // of the journal up to here
}

type journal struct {
	file *os.File
	name string
	size int64
}

// newJournal begins a journal. The caller holds the lock of the directory.
func newJournal(dir string, at positions) (*journal, error) {
	name := filepath.Join(dir, journalPrefix+rand.Text()[:12])
	f, err := atomicfile.Open(name, os.O_CREATE|os.O_EXCL|os.O_RDWR)
	if err != nil {
		return nil, err
	}
	j := &journal{file: f, name: filepath.Base(name)}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		_, err = f.WriteAt([]byte(journalMagic), 0)
		j.size = int64(len(journalMagic))
	}
	if err == nil && len(at) > 0 {
		var frame []byte
		if frame, _, err = frameOf(newTable(""), at); err == nil {
			err = j.append(frame)
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(name))
	}
	return j, nil
}

// frameOf returns a frame with what of a table is not in its journal. The caller holds what guards the table, and appends the
// frame, or says with [table.notWritten] that it could not.
func frameOf(t *table, at positions) (frame []byte, records []dirtyRecord, err error) {
	text, err := json.Marshal(frameTexts{at, t.covers})
	if err != nil {
		return nil, nil, err
	}
	frame = make([]byte, frameHead, frameHead+1<<16)
	frame = appendText(frame, string(text))
	frame = appendWords(frame, t.words.list[t.written:])
	records, t.dirty, t.written = t.dirty, nil, len(t.words.list)
	frame = binary.AppendUvarint(frame, uint64(len(records)))
	var one []byte
	for _, d := range records {
		d.dirty = false
		frame = binary.AppendVarint(frame, d.day)
		frame = appendText(frame, d.key)
		one = appendRecord(one[:0], d.record, d.day)
		frame = append(binary.AppendUvarint(frame, uint64(len(one))), one...)
	}
	length := len(frame) - frameHead
	binary.LittleEndian.PutUint32(frame, uint32(length)) //nolint:gosec // bounded by what a table takes
	binary.LittleEndian.PutUint32(frame[4:], sum(frame[frameHead:]))
	return frame, records, nil
}

// notWritten takes back that a frame has records, and the words from a number on.
func (t *table) notWritten(records []dirtyRecord, words int) {
	t.written = min(t.written, words)
	for _, d := range records {
		t.mark(d.day, d.key, d.record)
	}
}

// append writes a frame. One that fails is not there: the next takes its place.
func (j *journal) append(frame []byte) error {
	if _, err := j.file.WriteAt(frame, j.size); err != nil {
		_ = j.file.Truncate(j.size) // else the next frame overwrites it
		return err
	}
	j.size += int64(len(frame))
	return nil
}

// openLocked opens a journal that no process writes; nil if one does.
func openLocked(name string) (*os.File, error) {
	f, err := atomicfile.Open(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, err
}

// loadJournal reads a journal up to the first frame that is not whole: the one that was being written.
func loadJournal(name string) (*table, positions, error) {
	data, err := atomicfile.ReadFile(name, maxJournal)
	if err != nil {
		return nil, nil, err
	}
	return parseJournal(filepath.Base(name), data)
}

func parseJournal(name string, data []byte) (t *table, at positions, err error) {
	t, at = newTable(name), positions{}
	if len(data) < len(journalMagic) {
		return t, at, nil // it was being made
	}
	if string(data[:len(journalMagic)]) != journalMagic {
		if string(data[:6]) == journalMagic[:6] && string(data[6:8]) > journalMagic[6:] {
			return nil, nil, &NewerError{name}
		}
		return nil, nil, fmt.Errorf("%s: %w: not a journal of a history", name, ErrDamaged)
	}
	for data = data[len(journalMagic):]; len(data) >= frameHead; {
		length := int(binary.LittleEndian.Uint32(data))
		if length > len(data)-frameHead || length > maxFrame {
			break
		}
		payload := data[frameHead : frameHead+length]
		if sum(payload) != binary.LittleEndian.Uint32(data[4:]) {
			break
		}
		if err := t.addFrame(payload, at); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		data = data[frameHead+length:]
	}
	return t, at, nil
}

// addFrame adds what a frame has.
func (t *table) addFrame(payload []byte, at positions) error {
	r := reader{data: payload}
	var texts frameTexts
	if err := json.Unmarshal(r.take(r.number()), &texts); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	maps.Copy(at, texts.At)
	t.covers = texts.Covers
	for _, text := range r.readWords() {
		t.words.append(text)
	}
	for range r.number() {
		day := r.signed()
		key := r.take(r.number())
		one := reader{data: r.take(r.number())}
		var rec record
		one.readRecord(&rec, day)
		if r.wrong || one.wrong {
			return errRecord
		}
		*t.at(day, key) = rec
	}
	if r.wrong {
		return errRecord
	}
	return nil
}
