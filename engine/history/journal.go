package history

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"custom-misp/engine/atomicfile"
)

// A journal has what a store recorded since its last segment: a frame for each second in which something was seen. The store
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
		err = j.append(newTable(""), at)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(name))
	}
	return j, nil
}

// append writes a frame. What fails is not there: the next frame takes its place.
func (j *journal) append(t *table, at positions) error {
	frame := make([]byte, frameHead, frameHead+1<<16)
	text, err := json.Marshal(at)
	if err != nil {
		return err
	}
	frame = appendText(frame, string(text))
	frame = appendWords(frame, t.words.list)
	frame = binary.AppendUvarint(frame, uint64(len(t.days)))
	var record []byte
	for day, of := range t.days {
		frame = binary.AppendVarint(frame, day)
		frame = binary.AppendUvarint(frame, uint64(len(of)))
		for key, r := range of {
			frame = appendText(frame, key)
			record = appendRecord(record[:0], r, day)
			frame = append(binary.AppendUvarint(frame, uint64(len(record))), record...)
		}
	}
	length := len(frame) - frameHead
	if length > maxFrame {
		return fmt.Errorf("%d bytes in one second, more than a journal takes (%d)", length, maxFrame)
	}
	binary.LittleEndian.PutUint32(frame, uint32(length)) //nolint:gosec // bounded above
	binary.LittleEndian.PutUint32(frame[4:], sum(frame[frameHead:]))
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
	if err := json.Unmarshal(r.take(r.number()), &at); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	number := translation(r.readWords(), t.words)
	for range r.number() {
		day := r.signed()
		for range r.number() {
			key := r.take(r.number())
			one := reader{data: r.take(r.number())}
			var rec record
			one.readRecord(&rec, day)
			if r.wrong || one.wrong {
				return errRecord
			}
			t.add(day, key, &rec, number)
		}
		if r.wrong {
			return errRecord
		}
	}
	return nil
}
