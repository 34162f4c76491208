package alertlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// locate opens the file of a checkpoint where it was read to, whatever its name is by now; nil if it is nowhere any
// more. path is where alerts.json is.
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

// likelyFirst sorts those files to the front that have the inode of the checkpoint, and then the dated name.
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

// find opens the file of the checkpoint at its place, if it is one of some names; else it returns nil. file is the
// dated name that they stand for.
func (c Checkpoint) find(file string, names ...string) (*source, error) {
	for _, name := range names {
		s, err := openSource(name, c.Offset)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, readTrouble(err)
		}
		if c.is(s) {
			s.date = file
			return s, nil
		}
		_ = s.close()
	}
	return nil, nil
}

// holds reports whether a generation is the file of the checkpoint.
func (c Checkpoint) holds(g generation) (bool, error) {
	s, err := c.find(g.file, g.names()...)
	if s == nil {
		return false, err
	}
	return true, s.close()
}

// later returns the files with something in them that come after the one of a checkpoint, oldest first; alerts.json
// is the last of them, or among them by its dated name. own is the file of the checkpoint itself, nil if it is
// nowhere any more. held is what is known of that file while it is open, else nil.
func later(path string, c Checkpoint, held fs.FileInfo) (own *generation, rest []generation, err error) {
	all, err := listDated(filepath.Dir(path), c.day())
	if err != nil {
		return nil, nil, err
	}
	if d, ok := parseDated(c.File); ok {
		at, found := slices.BinarySearchFunc(all, d, func(g generation, d dated) int { return g.date.compare(d) })
		if found {
			own = &all[at]
			at++
		}
		rest = all[at:]
	} else if own, rest, err = c.divide(all, held); own == nil && err == nil {
		if all, err = listMoved(path); err == nil {
			own, rest, err = c.divide(all, held)
		}
		if own == nil && err == nil && c.untouched() { // an empty file that is gone
			rest, err = newer(path, c)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	rest = slices.DeleteFunc(slices.Clone(rest), generation.empty)

	live, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return own, rest, nil
	case err != nil:
		return nil, nil, readTrouble(err)
	case !live.Mode().IsRegular():
		return nil, nil, readTrouble(&fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("not a file but %s", kind(live.Mode()))})
	}
	g := generation{path: path, plain: live}
	if g.empty() || slices.ContainsFunc(rest, func(o generation) bool { return o.plain != nil && os.SameFile(o.plain, live) }) {
		return own, rest, nil
	}
	same, err := c.holds(g)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case !same:
		rest = append(rest, g)
	case own == nil:
		own = &g
	}
	return own, rest, nil
}

// divide returns the file of the checkpoint and those after it; neither if it is not among them.
func (c Checkpoint) divide(all []generation, held fs.FileInfo) (own *generation, rest []generation, err error) {
	if held != nil {
		for i, g := range all {
			if g.plain != nil && os.SameFile(g.plain, held) || g.packed != nil && os.SameFile(g.packed, held) {
				return &all[i], all[i+1:], nil
			}
		}
	}
	for _, g := range c.likelyFirst(all) {
		same, err := c.holds(g)
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

// newer returns the files in which there may be alerts that were written after a checkpoint whose own file is gone,
// oldest first; alerts.json itself is not among them.
func newer(path string, c Checkpoint) ([]generation, error) {
	all, err := listDated(filepath.Dir(path), c.day())
	if err == nil && len(all) == 0 && c.File == "" {
		all, err = listMoved(path)
	}
	if err != nil {
		return nil, err
	}
	d, ok := parseDated(c.File)
	saved := c.SavedAt
	if c.untouched() {
		saved = c.Opened
	}
	saved = saved.Add(-time.Second) // a file system's clock is behind by some milliseconds
	return slices.DeleteFunc(all, func(g generation) bool {
		switch {
		case g.empty():
			return true
		case ok:
			return g.date.compare(d) < 0
		case g.plain != nil:
			return !g.plain.ModTime().After(saved)
		case g.file != "": // compressed later than it was written
			return !g.date.day().AddDate(0, 0, 1).After(saved)
		default:
			return !g.packed.ModTime().After(saved)
		}
	}), nil
}

// dateOf returns the dated name of a file that is alerts.json or was; empty if it has none.
func dateOf(path string, info fs.FileInfo) (string, error) {
	// A dated file is last written on its day; one that was touched or restored later is still found.
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
