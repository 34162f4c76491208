package alertlog

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"
)

// readingPlain is the state while a plain file is read, which Wazuh may still be writing.
type readingPlain struct {
	lineReader
	waits    int      // steps since something was read
	unlinked liveFile // alerts.json as it was when there was no later file
	followed bool     // there is a later file: this one is read once more to its end, then left
}

// A liveFile is what shows, in alerts.json alone, that a later file may exist.
type liveFile struct {
	inode   uint64
	written bool
}

func (r *readingPlain) step(f *Follower) (Lines, state, error) {
	lines, err := r.next()
	switch {
	case err == nil:
		r.waits = 0
		return lines, r, nil
	case errors.Is(err, errTruncated):
		return Lines{}, &between{from: r.at(), left: r.file}, nil
	case !errors.Is(err, io.EOF):
		return Lines{}, nil, readTrouble(err)
	case r.followed:
		lines, next := r.finish()
		return lines, next, nil
	}
	r.waits++
	if r.followed, err = r.isFollowed(f.path); r.followed {
		return Lines{}, r, nil
	}
	return Lines{}, nil, err
}

// isFollowed reports whether there is a later file with something in it. Until then Wazuh may go on writing this one. The
// directories are read only when alerts.json has changed, and every rescanWaits steps.
func (r *readingPlain) isFollowed(path string) (bool, error) {
	live, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, readTrouble(err)
	}
	var now liveFile
	if err == nil {
		if os.SameFile(live, r.file.info) {
			return false, nil
		}
		now = liveFile{inodeOf(live), live.Size() > 0}
	}
	if now == r.unlinked && r.waits%rescanWaits != 1 {
		return false, nil
	}
	_, rest, err := later(path, r.at(), r.file.info)
	if len(rest) == 0 && err == nil {
		r.unlinked = now
	}
	return len(rest) > 0, err
}

// plainText reads a plain file.
type plainText struct {
	checked time.Time // modification time of the file when its start was last seen unchanged
	start   []byte    // memory for that start
}

// newPlainText returns the text of a file, and its first bytes.
func newPlainText(f *os.File, info fs.FileInfo) (*plainText, []byte, error) {
	p := &plainText{checked: info.ModTime(), start: make([]byte, maxPrefix)}
	n, err := f.ReadAt(p.start, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	return p, bytes.Clone(p.start[:n]), nil
}

func (p *plainText) read(s *source, buf []byte) ([]byte, error) {
	info, err := s.file.Stat()
	if err != nil {
		return buf, err
	}
	n := int(min(chunk, info.Size()-s.pos))
	if n < 0 {
		return buf, errTruncated
	}
	if n > 0 {
		buf = slices.Grow(buf, n)
		n, err = s.file.ReadAt(buf[len(buf):len(buf)+n], s.pos)
		if err != nil && !errors.Is(err, io.EOF) {
			return buf, err
		}
	}
	if n > 0 || !info.ModTime().Equal(p.checked) {
		if err := p.checkStart(s); err != nil {
			return buf, err
		}
		p.checked = info.ModTime()
	}
	if n == 0 {
		return buf, io.EOF
	}
	s.pos += int64(n)
	return buf[:len(buf)+n], nil
}

// checkStart checks that the file still begins as it did. If it does, what was read just before is of the same file: one
// that was emptied and written again begins with another alert.
func (p *plainText) checkStart(s *source) error {
	n, err := s.file.ReadAt(p.start, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !bytes.HasPrefix(p.start[:n], s.start.bytes) {
		return errTruncated
	}
	s.start.grow(p.start[:n])
	return nil
}
