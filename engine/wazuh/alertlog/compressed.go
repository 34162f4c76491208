package alertlog

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// A compressed file that ends too early may still be being written. It is read again when its size has not changed for
// stableWaits, and left when it has not changed for giveUpWaits.
const stableWaits, giveUpWaits = 50, 250

// readingCompressed is the state while a compressed file is read.
type readingCompressed struct {
	lineReader
	size  int64 // the compressed size when it was last seen to change
	waits int   // steps since something was read or the size changed
}

func (r *readingCompressed) step(f *Follower) (Lines, state, error) {
	lines, err := r.next()
	switch {
	case err == nil:
		r.waits = 0
		return lines, r, nil
	case errors.Is(err, io.EOF):
		lines, next := r.finish()
		return lines, next, nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		if next, wait, err := r.await(f); next != nil || wait || err != nil {
			return Lines{}, next, err
		}
	}
	f.log.Warn("alerts may be missed: a compressed file cannot be read to its end", "file", r.file.name, "offset", r.offset, "error", err.Error())
	r.partial, r.tooLong = nil, false
	lines, next := r.finish()
	return lines, next, nil
}

// await looks for the rest of a file that ends too early: in the plain file that it is made from, or in itself after it has
// grown. wait says that the rest may still come.
func (r *readingCompressed) await(f *Follower) (next state, wait bool, err error) {
	at, name := r.at(), r.file.name
	plain, err := at.find(at.File, strings.TrimSuffix(name, ".gz"))
	if err != nil {
		return nil, false, err
	}
	if plain != nil {
		next, err = r.change(f, plain)
		return next, false, err
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, false, nil //nolint:nilerr // it is gone
	}
	if info.Size() != r.size {
		r.size, r.waits = info.Size(), 0
	}
	r.waits++
	switch {
	case r.waits >= giveUpWaits:
		return nil, false, nil
	case r.waits < stableWaits || r.size == r.file.info.Size():
		return nil, true, nil
	}
	again, err := openSource(name, r.offset)
	if err != nil {
		return nil, false, readTrouble(err)
	}
	again.date = r.file.date
	next, err = r.change(f, again)
	return next, false, err
}

// change goes on in another file of the same text.
func (r *readingCompressed) change(f *Follower, s *source) (state, error) {
	next, err := f.read(s)
	if err != nil {
		return nil, err
	}
	_ = r.close() // it was only read
	return next, nil
}

// gzipText reads a compressed file.
type gzipText struct {
	unpacked io.Reader
	skip     int64 // bytes before the place at which reading starts that are still to be skipped
}

// newGzipText returns the text of a file behind a place, and its first bytes. An error waits until the text is read.
func newGzipText(f *os.File, at int64) (*gzipText, []byte) {
	unpacked, err := gzip.NewReader(f)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // an empty file has no header yet
	}
	if err != nil {
		return &gzipText{failing{err}, at}, nil
	}
	start := make([]byte, maxPrefix)
	n, _ := readFull(unpacked, start) // reading on returns the error again
	start = start[:n]
	return &gzipText{io.MultiReader(bytes.NewReader(start), unpacked), at}, start
}

func (g *gzipText) read(s *source, buf []byte) ([]byte, error) {
	buf = slices.Grow(buf, chunk)
	room := buf[len(buf) : len(buf)+chunk]
	if g.skip > 0 {
		return buf, g.skipSome(room)
	}
	n, err := readFull(g.unpacked, room)
	s.pos += int64(n)
	if n > 0 {
		err = nil // the next read returns it again
	}
	return buf[:len(buf)+n], err
}

// skipSome skips what fits into room of the text before the place at which reading starts.
func (g *gzipText) skipSome(room []byte) error {
	n, err := g.unpacked.Read(room[:min(int64(len(room)), g.skip)])
	g.skip -= int64(n)
	if !errors.Is(err, io.EOF) {
		return err
	}
	if g.skip > 0 {
		return fmt.Errorf("it ends %d bytes before the place up to which it was read", g.skip)
	}
	return nil
}

// readFull reads until buf is full. Unlike [io.ReadFull] it returns the reader's own error: one at the end of the text is
// different from one in the middle.
func readFull(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}

// failing is a reader that fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
