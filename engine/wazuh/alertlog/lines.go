package alertlog

import (
	"bytes"
	"time"

	"custom-misp/engine/enrich"
)

// maxLine is the longest line that is returned, in bytes without its newline.
const maxLine = enrich.MaxAlert

// Lines is what was read at once.
type Lines struct {
	// Text holds the lines without their newlines: at least one, unless some were skipped. The memory belongs to the
	// receiver; one line keeps all of them in memory (up to about 256 KiB).
	Text [][]byte
	// Offsets are where the lines begin in the file of End, in uncompressed bytes.
	Offsets []int64
	// End is the place behind the last of them.
	End Checkpoint
	// Skipped is how many lines before End were longer than [enrich.MaxAlert] and were skipped.
	Skipped int
}

// add adds a line that begins at an offset, unless it is empty or too long.
func (l *Lines) add(line []byte, at int64, tooLong bool) {
	switch {
	case tooLong || len(line) > maxLine:
		l.Skipped++
	case len(bytes.TrimSpace(line)) > 0:
		l.Text, l.Offsets = append(l.Text, line), append(l.Offsets, at)
	}
}

// A lineReader cuts what it reads of a file into lines.
type lineReader struct {
	file    *source
	offset  int64  // of the file: behind the last line that was returned
	partial []byte // what was read behind offset: the start of a line
	tooLong bool   // that line is too long, and its start was dropped
}

// next reads once and returns the lines that are complete, if any. Its errors are those of [source.read].
func (r *lineReader) next() (Lines, error) {
	searched := len(r.partial)
	var err error
	if r.partial, err = r.file.read(r.partial); err != nil {
		return Lines{}, err
	}
	return r.cut(searched), nil
}

// cut returns the complete lines of what was read. The first searched bytes hold no newline.
func (r *lineReader) cut(searched int) (lines Lines) {
	end := bytes.LastIndexByte(r.partial[searched:], '\n') + 1
	if end == 0 {
		if r.tooLong || len(r.partial) > maxLine {
			r.tooLong, r.partial = true, r.partial[:0]
		}
		return lines
	}
	text, rest := r.partial[:searched+end], r.partial[searched+end:]
	r.partial = bytes.Clone(rest)
	r.offset = r.file.pos - int64(len(rest))
	count := bytes.Count(text, []byte{'\n'})
	lines.Text, lines.Offsets = make([][]byte, 0, count), make([]int64, 0, count)
	for len(text) > 0 {
		n := bytes.IndexByte(text, '\n')
		lines.add(text[:n:n], r.offset-int64(len(text)), r.tooLong)
		r.tooLong = false
		text = text[n+1:]
	}
	lines.End = r.at()
	return lines
}

// finish returns the line without a newline at the end of the file, if there is one. The next state looks for a later file.
func (r *lineReader) finish() (lines Lines, next state) {
	if r.tooLong || len(r.partial) > 0 {
		r.offset = r.file.pos
		lines.add(r.partial, r.offset-int64(len(r.partial)), r.tooLong)
	}
	lines.End = r.at()
	return lines, &between{from: lines.End, ended: true, left: r.file}
}

// at returns the place behind the last line that was returned.
func (r *lineReader) at() Checkpoint {
	s := r.file
	return Checkpoint{
		File: s.date, Inode: s.inode(), PrefixLength: len(s.start.bytes), PrefixSHA256: s.start.digest(),
		Offset: r.offset, Opened: s.opened.UTC(), SavedAt: time.Now().UTC(),
	}
}

func (r *lineReader) close() error { return r.file.close() }
