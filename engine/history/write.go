package history

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"custom-misp/engine/atomicfile"
)

// A segmentWriter writes a segment. Keys are added in their order.
type segmentWriter struct {
	file    *atomicfile.File
	out     *bufio.Writer
	name    string
	words   *words
	trailer trailer

	block  []byte
	key    []byte // the last one
	first  []byte // of the block
	record []byte
	index  []byte
	size   int64
}

// newSegment begins a segment of a day in a directory.
func newSegment(dir string, day int64) (*segmentWriter, error) {
	w := &segmentWriter{words: newWords(), trailer: trailer{Day: day}}
	w.name = fmt.Sprintf("%s-%s%s", time.Unix(day, 0).UTC().Format(time.DateOnly), rand.Text()[:12], segmentSuffix)
	var err error
	if w.file, err = atomicfile.Create(filepath.Join(dir, w.name)); err != nil {
		return nil, err
	}
	w.out = bufio.NewWriterSize(w.file, 1<<16)
	w.write([]byte(magic))
	return w, nil
}

func (w *segmentWriter) write(data []byte) {
	n, _ := w.out.Write(data) // finish returns the error
	w.size += int64(n)
}

// add adds a record, whose words are those of the writer.
func (w *segmentWriter) add(key []byte, r *record) {
	if len(w.block) == 0 {
		w.first, w.key = append(w.first[:0], key...), w.key[:0]
	}
	shared := 0
	for shared < min(len(key), len(w.key)) && key[shared] == w.key[shared] {
		shared++
	}
	w.key = append(w.key[:0], key...)
	w.record = appendRecord(w.record[:0], r, w.trailer.Day)
	w.block = binary.AppendUvarint(w.block, uint64(shared)) //nolint:gosec // not negative
	w.block = appendText(w.block, string(key[shared:]))
	w.block = append(binary.AppendUvarint(w.block, uint64(len(w.record))), w.record...)
	w.trailer.Entries++
	if len(w.block) >= blockSize {
		w.endBlock()
	}
}

func (w *segmentWriter) endBlock() {
	if len(w.block) == 0 {
		return
	}
	w.index = append(binary.AppendUvarint(w.index, uint64(len(w.first))), w.first...)
	w.index = binary.AppendUvarint(w.index, uint64(len(w.block)))
	w.index = binary.LittleEndian.AppendUint32(w.index, sum(w.block))
	w.write(w.block)
	w.block = w.block[:0]
}

// part writes a part and returns where it is.
func (w *segmentWriter) part(data []byte) part {
	p := part{w.size, int64(len(data)), sum(data)}
	w.write(data)
	return p
}

// finish puts the segment in its place.
func (w *segmentWriter) finish() error {
	defer w.file.Discard()
	w.endBlock()
	w.trailer.Index = w.part(w.index)
	w.trailer.Words = w.part(appendWords(nil, w.words.list[1:]))
	text, err := json.Marshal(w.trailer)
	if err != nil {
		return err
	}
	w.write(text)
	tail := binary.LittleEndian.AppendUint32(nil, uint32(len(text))) //nolint:gosec // bounded by the number of files
	tail = append(binary.LittleEndian.AppendUint32(tail, sum(text)), magic...)
	w.write(tail)
	if err := w.out.Flush(); err != nil {
		return err
	}
	return w.file.Commit(atomicfile.Durable)
}

// mergeInto writes what sources of one day have, added up, without what keep refuses. keep may change the record, whose
// words are those of the writer.
func (w *segmentWriter) mergeInto(sources []source, lists [][]string, keep func(key []byte, r *record) bool) {
	numbers := make([]func(uint32) uint32, len(sources))
	for i := range sources {
		numbers[i] = translation(lists[i], w.words)
	}
	var one, all record
	for {
		var least []byte
		for _, s := range sources {
			if k := s.at(); k != nil && (least == nil || bytes.Compare(k, least) < 0) {
				least = k
			}
		}
		if least == nil {
			return
		}
		key := bytes.Clone(least)
		all = record{agents: all.agents[:0], mappings: all.mappings[:0]}
		for i, s := range sources {
			if bytes.Equal(s.at(), key) {
				s.read(&one)
				all.add(&one, numbers[i])
				s.next()
			}
		}
		if keep == nil || keep(key, &all) {
			w.add(key, &all)
		}
	}
}
