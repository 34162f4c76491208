package alertlog

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// This file is how a follower comes from one file to the next.

// finish leaves a file that was read to its end, and hands out what is left of it.
func (f *Follower) finish() (lines Lines, more bool, err error) {
	if f.over || len(f.rest) > 0 {
		f.offset = f.cur.pos
		f.add(&lines, f.rest)
	}
	f.from, f.past = f.At(), true
	lines.End = f.from
	f.leave()
	return lines, true, nil
}

// leave ends reading the file; from and past say where to go on. It stays open until the next one is, so that no
// other file gets its inode.
func (f *Follower) leave() {
	f.cur, f.left, f.rest, f.over, f.leaving, f.waits = nil, f.cur, nil, false, false, 0
}

// followed reports whether there is a later file than the one that is read, and something in it: until then whoever
// writes may go on in the old one. That is looked for when alerts.json has changed, and now and then.
func (f *Follower) followed() (bool, error) {
	live, err := os.Stat(f.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, readTrouble(err)
	}
	var now liveness
	if err == nil {
		if os.SameFile(live, f.cur.info) {
			return false, nil
		}
		now = liveness{inodeOf(live), live.Size() > 0}
	}
	if now == f.waited && f.waits%afresh != 1 {
		return false, nil
	}
	_, rest, err := later(f.path, f.At(), f.cur.info)
	if len(rest) == 0 && err == nil {
		f.waited = now
	}
	return len(rest) > 0, err
}

// endPacked goes on at the end of a compressed file, where reading it gave err. One that ends too early may still be
// being written.
func (f *Follower) endPacked(err error) (lines Lines, more bool, _ error) {
	if errors.Is(err, io.EOF) {
		return f.finish()
	}
	name := f.cur.name
	if errors.Is(err, io.ErrUnexpectedEOF) {
		c := f.At()
		plain, err := c.find(c.File, strings.TrimSuffix(name, ".gz"))
		if err != nil {
			return lines, false, err
		}
		if plain != nil {
			f.from, f.past = c, false
			f.leave()
			return lines, true, f.use(plain, c.Offset)
		}
		info, err := os.Stat(name)
		if err == nil && info.Size() != f.packed {
			f.packed, f.waits = info.Size(), 0
		}
		if f.waits++; err == nil && f.waits < patience {
			if f.waits < steady || f.packed == f.cur.info.Size() {
				return lines, false, nil
			}
			again, err := openSource(name, f.offset)
			if err != nil {
				return lines, false, readTrouble(err)
			}
			again.date = f.cur.date
			f.from, f.past = c, false
			f.leave()
			return lines, true, f.use(again, f.offset)
		}
	}
	f.log.Warn("alerts may be missed: a compressed file cannot be read to its end", "file", name, "offset", f.offset, "error", err.Error())
	f.rest, f.over = nil, false
	return f.finish()
}

// open opens the file to go on with, if there is one by now.
func (f *Follower) open() error {
	if f.past {
		_, rest, err := later(f.path, f.from, f.left.info)
		if err != nil {
			return err
		}
		if len(rest) > 0 {
			return f.begin(rest[0].file, rest[0].names()...)
		}
	}
	var s *source
	if f.past || !f.from.vague() {
		var err error
		if s, err = locate(f.path, f.from); err != nil {
			return err
		}
	}
	if s != nil {
		if s.name != f.path {
			f.log.Info("alerts are read on in a file of the archive", "file", s.name, "offset", f.from.Offset)
		}
		return f.use(s, f.from.Offset)
	}
	if f.past {
		return nil
	}
	next, err := newer(f.path, f.from)
	if err != nil {
		return err
	}
	from, file, names := f.from, "", []string{f.path}
	if len(next) > 0 {
		file, names = next[0].file, next[0].names()
	}
	if err := f.begin(file, names...); err != nil || f.cur == nil {
		return err
	}
	if !from.untouched() {
		f.log.Warn("alerts may be missed: the file up to which they were read is gone, or was emptied",
			"file", from.File, "offset", from.Offset, "from", from.SavedAt.UTC().Format(time.RFC3339), "to", f.cur.since(), "next", f.cur.name)
	}
	return nil
}

// begin opens a file, which has one of some names, at its start; if it is still there.
func (f *Follower) begin(file string, names ...string) error {
	for _, name := range names {
		s, err := openSource(name, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return readTrouble(err)
		}
		s.date = file
		return f.use(s, 0)
	}
	return nil
}

// use goes on with an open file.
func (f *Follower) use(s *source, offset int64) error {
	if s.date == "" && !s.packed() {
		date, err := dateOf(f.path, s.info)
		if err != nil {
			_ = s.close()
			return err
		}
		s.date = date
	}
	if f.left != nil {
		_ = f.left.close() // only read
		f.left = nil
	}
	f.cur, f.offset, f.rest, f.over, f.leaving = s, offset, nil, false, false
	f.waits, f.waited, f.packed = 0, liveness{}, s.info.Size()
	return nil
}
