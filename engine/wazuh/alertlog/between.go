package alertlog

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// between is the state between two files: while the one to go on with is looked for.
type between struct {
	from  Checkpoint // where to go on
	ended bool       // the file of from was read to its end: go on with the next one
	left  *source    // the file that was read before; it stays open so that no other file gets its inode. nil at first
	waits int
}

func (b *between) at() Checkpoint { return b.from }

func (b *between) close() error {
	if b.left == nil {
		return nil
	}
	return b.left.close()
}

// step looks for the file to go on with. While alerts.json is absent, it reads the directories only every rescanWaits steps.
func (b *between) step(f *Follower) (Lines, state, error) {
	if b.waits++; b.waits%rescanWaits != 1 {
		if _, err := os.Stat(f.path); errors.Is(err, fs.ErrNotExist) {
			return Lines{}, nil, nil
		}
	}
	s, err := b.open(f)
	if s == nil {
		return Lines{}, nil, err
	}
	next, err := f.read(s)
	if err != nil {
		return Lines{}, nil, err
	}
	_ = b.close() // it was only read
	return Lines{}, next, nil
}

// open opens the file to go on with; nil if there is none yet.
func (b *between) open(f *Follower) (*source, error) {
	if !b.ended {
		if s, err := b.openOwn(f); s != nil || err != nil {
			return s, err
		}
		return b.openNewer(f)
	}
	_, rest, err := later(f.path, b.from, b.left.info)
	switch {
	case err != nil:
		return nil, err
	case len(rest) > 0:
		return rest[0].open()
	}
	return b.openOwn(f)
}

// openOwn opens the file of the checkpoint at its place; nil if it is gone.
func (b *between) openOwn(f *Follower) (*source, error) {
	if !b.ended && b.from.vague() {
		return nil, nil
	}
	s, err := locate(f.path, b.from)
	if s != nil && s.name != f.path {
		f.log.Info("reading of alerts continues in a file of the archive", "file", s.name, "offset", b.from.Offset)
	}
	return s, err
}

// openNewer opens the oldest file that may hold alerts behind the checkpoint, whose own file is gone.
func (b *between) openNewer(f *Follower) (*source, error) {
	files, err := newer(f.path, b.from)
	if err != nil {
		return nil, err
	}
	var s *source
	if len(files) > 0 {
		s, err = files[0].open()
	} else {
		s, err = openAny("", 0, f.path)
	}
	if s != nil && !b.from.untouched() {
		f.log.Warn("alerts may be missed: the file up to which they were read is gone, or was emptied",
			"file", b.from.File, "offset", b.from.Offset, "from", b.from.SavedAt.UTC().Format(time.RFC3339), "to", s.since(), "next", s.name)
	}
	return s, err
}
