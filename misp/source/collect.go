package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"

	"custom-misp/misp/mirror"
)

// Bounds on a walk over pages.
const (
	maxFruitless    = 100       // pages in a row without an object that did not come before
	maxCollections  = 100       // of a server, that are read
	maxRoots        = 20        // API roots that are looked at
	maxCursor       = 8 << 10   // bytes of what a server gives to ask for the next page with
	longestResumed  = time.Hour // after which a page is not asked for by what the server gave for it: it may have forgotten
	maxSeenOfWalk   = maxValues
	usualPageOfMany = 1000 // objects that are asked for at a time
	maxTAXIILimit   = 100_000
	maxKept         = 1 << 20  // bytes of an object of STIX that is kept
	maxPulse        = 16 << 20 // bytes of a pulse
)

// Collects reports whether a source is asked page by page.
func (s *Source) Collects() bool {
	return s.URL != "" && (s.Format == FormatTAXII || s.Format == FormatOTX)
}

// collect asks for what is new, see [mirror.DeclaredFile].
func (s *Source) collect(ctx context.Context, c *mirror.Collection) error {
	if s.Format == FormatOTX {
		return s.collectOTX(ctx, c)
	}
	return s.collectTAXII(ctx, c)
}

// collectForm changes when something else is to be collected.
func (s *Source) collectForm() string {
	return fmt.Sprintf("%016x", xxhash.Sum64String(fmt.Sprint(s.Format, "\x00", s.URL, "\x00", s.taxii.collections, "\x00", s.taxii.since)))
}

// A cursor is where a walk goes on.
type cursor struct {
	After string      `json:"after,omitempty"` // what a complete walk ended with
	Walk  *walkCursor `json:"walk,omitempty"`  // of one that is not complete
}

// A walkCursor is where a walk is that is not complete.
type walkCursor struct {
	From     string    `json:"from,omitempty"` // what it asks for: what was added after this
	Next     string    `json:"next,omitempty"` // what the server gave for the next page
	Last     string    `json:"last,omitempty"` // of what was read by now
	At       time.Time `json:"at"`             // when the last page was read
	Unfilter bool      `json:"unfilter,omitempty"`
}

// cursorOf reads a cursor; one that cannot be read is as if there was none.
func cursorOf(text string) (c cursor) {
	if json.Unmarshal([]byte(text), &c) != nil {
		return cursor{}
	}
	return c
}

// String returns the cursor as it is kept.
func (c cursor) String() string {
	data, _ := json.Marshal(c) // texts and times
	return string(data)
}

// A pageGuard ends a walk over pages that lead nowhere.
type pageGuard struct {
	seen      map[uint64]bool // versions of objects
	asked     map[uint64]bool // what pages were asked for with
	fruitless int
}

func newPageGuard() *pageGuard {
	return &pageGuard{seen: map[uint64]bool{}, asked: map[uint64]bool{}}
}

// again reports whether a page was asked for before.
func (g *pageGuard) again(with string) bool {
	h := xxhash.Sum64String(with)
	before := g.asked[h]
	g.asked[h] = true
	return before
}

// isNew reports whether an object did not come before in this walk.
func (g *pageGuard) isNew(id, version string) bool {
	h := xxhash.Sum64String(id + "\x00" + version)
	if g.seen[h] {
		return false
	}
	if len(g.seen) < maxSeenOfWalk {
		g.seen[h] = true
	}
	return true
}

var errFruitless = fmt.Errorf("%d pages in a row have nothing that did not come before", maxFruitless)

// page notes how many new objects a page had.
func (g *pageGuard) page(fresh int) error {
	if fresh > 0 {
		g.fruitless = 0
		return nil
	}
	if g.fruitless++; g.fruitless >= maxFruitless {
		return errFruitless
	}
	return nil
}

const remedyServer = "report it to the owner of the server; what was there stays"

var errSamePage = errors.New("the server leads to a page that was read already")
