package spool

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"custom-misp/engine/atomicfile"
)

const maxReason = 64 << 10 // bytes

// A DeadLetter is an entry that failed too often and is not tried any more.
type DeadLetter struct {
	File   string    `json:"file"`
	Since  time.Time `json:"since"` // when it was queued
	Reason string    `json:"reason"`
}

// DeadLetters returns the dead letters, oldest first.
func (d *Dir) DeadLetters() ([]DeadLetter, error) {
	var letters []DeadLetter
	for _, kind := range kinds {
		names, err := d.list(kind.dead())
		if err != nil {
			return nil, d.fault(err)
		}
		for _, n := range names {
			file := filepath.Join(d.join(kind.dead()), n.String())
			reason, _ := atomicfile.ReadFile(file+reasonSuffix, maxReason) // without it there is no reason
			letters = append(letters, DeadLetter{file, n.since, strings.TrimSpace(string(reason))})
		}
	}
	slices.SortFunc(letters, func(a, b DeadLetter) int { return a.Since.Compare(b.Since) })
	return letters, nil
}

// Retry queues all dead letters again, as never tried. It returns how many these are.
func (c *Consumer) Retry() (int, error) {
	moved := 0
	for _, kind := range kinds {
		names, err := c.dir.list(kind.dead())
		if err != nil {
			return moved, c.dir.fault(err)
		}
		for _, n := range names {
			e := Entry{c, kind, n}
			fresh := e
			fresh.name.tries = 0
			if err := os.Rename(e.path(kind.dead()), fresh.path(kind.waiting())); err != nil {
				return moved, c.dir.fault(err)
			}
			_ = os.Remove(e.path(kind.dead()) + reasonSuffix)
			moved++
		}
	}
	return moved, nil
}
