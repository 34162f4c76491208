package alertlog

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// locate opens the file of a checkpoint at its place, whatever its name is now; nil if it is gone. path is where
// alerts.json is.
func locate(path string, c Checkpoint) (*source, error) {
	s, err := c.find("", path)
	if s != nil || err != nil {
		return s, err
	}
	all, err := listDated(filepath.Dir(path), c.day())
	if err != nil {
		return nil, err
	}
	moved, err := listMoved(path)
	if err != nil {
		return nil, err
	}
	for _, g := range c.likelyFirst(slices.Concat(all, moved)) {
		if s, err := c.find(g.file, g.names()...); s != nil || err != nil {
			return s, err
		}
	}
	return nil, nil
}

// likelyFirst sorts those files to the front that have the inode of the checkpoint, and then those with its dated name.
func (c Checkpoint) likelyFirst(all []generation) []generation {
	rank := func(g generation) int {
		switch {
		case g.plain != nil && inodeOf(g.plain) == c.Inode:
			return 0
		case g.file != "" && g.file == c.File:
			return 1
		default:
			return 2
		}
	}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b generation) int { return rank(a) - rank(b) })
	return all
}

// find opens the file of the checkpoint at its place, if it has one of some names; else it returns nil. date is the dated
// name that they mean.
func (c Checkpoint) find(date string, names ...string) (*source, error) {
	for _, name := range names {
		s, err := openAny(date, c.Offset, name)
		if err != nil {
			return nil, err
		}
		if s == nil {
			continue
		}
		if c.is(s) {
			return s, nil
		}
		_ = s.close()
	}
	return nil, nil
}

// isIn reports whether a generation is the file of the checkpoint.
func (c Checkpoint) isIn(g generation) (bool, error) {
	s, err := c.find(g.file, g.names()...)
	if s == nil {
		return false, err
	}
	return true, s.close()
}

// later returns the files with something in them that come after the one of a checkpoint, oldest first. alerts.json is the
// last of them, or among them under its dated name. own is the file of the checkpoint itself, nil if it is gone. open is
// what is known of that file while it is open, else nil.
func later(path string, c Checkpoint, open fs.FileInfo) (own *generation, rest []generation, err error) {
	own, rest, err = laterInArchive(path, c, open)
	if err != nil {
		return nil, nil, err
	}
	rest = slices.DeleteFunc(slices.Clone(rest), generation.empty)
	live, err := statLive(path)
	if live == nil {
		return own, rest, err
	}
	isLive := func(g generation) bool { return g.plain != nil && os.SameFile(g.plain, live.plain) }
	if live.empty() || slices.ContainsFunc(rest, isLive) {
		return own, rest, nil
	}
	same, err := c.isIn(*live)
	switch {
	case err != nil:
		return nil, nil, err
	case !same:
		rest = append(rest, *live)
	case own == nil:
		own = live
	}
	return own, rest, nil
}

// statLive returns alerts.json; nil if it is absent.
func statLive(path string) (*generation, error) {
	live, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, readTrouble(err)
	case !live.Mode().IsRegular():
		return nil, readTrouble(notAFile(path, live))
	}
	return &generation{path: path, plain: live}, nil
}

// laterInArchive is [later] for the dated files or, without them, for those that alerts.json was moved to.
func laterInArchive(path string, c Checkpoint, open fs.FileInfo) (own *generation, rest []generation, err error) {
	all, err := listDated(filepath.Dir(path), c.day())
	if err != nil {
		return nil, nil, err
	}
	if d, ok := parseDated(c.File); ok {
		at, found := slices.BinarySearchFunc(all, d, func(g generation, d dated) int { return g.date.compare(d) })
		if found {
			return &all[at], all[at+1:], nil
		}
		return nil, all[at:], nil
	}
	if own, rest, err = c.divide(all, open); own != nil || err != nil {
		return own, rest, err
	}
	if all, err = listMoved(path); err != nil {
		return nil, nil, err
	}
	if own, rest, err = c.divide(all, open); own == nil && err == nil && c.untouched() { // an empty file that is gone
		rest, err = newer(path, c)
	}
	return own, rest, err
}

// divide returns the file of the checkpoint and those after it; neither if it is not among them.
func (c Checkpoint) divide(all []generation, open fs.FileInfo) (own *generation, rest []generation, err error) {
	if open != nil {
		at := slices.IndexFunc(all, func(g generation) bool {
			return g.plain != nil && os.SameFile(g.plain, open) || g.compressed != nil && os.SameFile(g.compressed, open)
		})
		if at >= 0 {
			return &all[at], all[at+1:], nil
		}
	}
	for _, g := range c.likelyFirst(all) {
		same, err := c.isIn(g)
		if err != nil {
			return nil, nil, err
		}
		if same {
			at := slices.IndexFunc(all, func(o generation) bool { return o.path == g.path })
			return &g, all[at+1:], nil
		}
	}
	return nil, nil, nil
}

// newer returns the files that may hold alerts written after a checkpoint whose own file is gone, oldest first, without
// alerts.json itself.
func newer(path string, c Checkpoint) ([]generation, error) {
	all, err := listDated(filepath.Dir(path), c.day())
	if err == nil && len(all) == 0 && c.File == "" {
		all, err = listMoved(path)
	}
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(g generation) bool { return g.empty() || !c.before(g) }), nil
}

// before reports whether a generation may hold alerts written after the checkpoint.
func (c Checkpoint) before(g generation) bool {
	if d, ok := parseDated(c.File); ok {
		return g.date.compare(d) >= 0
	}
	saved := c.SavedAt
	if c.untouched() {
		saved = c.Opened
	}
	saved = saved.Add(-time.Second) // the clock of a file system is some milliseconds behind
	switch {
	case g.plain != nil:
		return g.plain.ModTime().After(saved)
	case g.file != "": // it was compressed later than it was written
		return g.date.day().AddDate(0, 0, 1).After(saved)
	default:
		return g.compressed.ModTime().After(saved)
	}
}

// dateOf returns the dated name of a file that is alerts.json or was; empty if it has none.
func dateOf(path string, info fs.FileInfo) (string, error) {
	// A dated file is last written on its day. The second pass finds one that was touched or restored later.
	for _, from := range []time.Time{info.ModTime().AddDate(0, 0, -2), {}} {
		all, err := listDated(filepath.Dir(path), from)
		if err != nil {
			return "", err
		}
		for _, g := range all {
			if g.plain != nil && os.SameFile(g.plain, info) {
				return g.file, nil
			}
		}
	}
	return "", nil
}
