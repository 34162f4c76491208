package spool

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	random "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"custom-misp/engine/atomicfile"
)

// A Dir is the directory of a spool. It is made when the first entry is put in.
type Dir struct {
	Path       string
	MaxEntries int              // beyond about this many, the oldest are dropped; 0 for no bound
	MaxBytes   int64            // of all entries together, likewise
	Now        func() time.Time // nil for the machine's clock

	newer atomic.Int64 // the highest version of entries that was reported
}

// A Kind is what an entry holds.
type Kind string

// The kinds of entries; also the names of their directories.
const (
	Alerts  Kind = "alerts"
	Events  Kind = "events"
	Delayed Kind = "delayed" // alerts for which only the mirror, or some of several servers, answered
)

// kinds are in the order in which they are processed: events are finished.
var kinds = []Kind{Events, Alerts, Delayed}

// MaxTries is how often an entry is tried before it becomes a dead letter.
const MaxTries = 5

const (
	maxDeadLetters = 1000 // of a kind
	dirMode        = 0o750
	staleWrite     = time.Hour // after which a file that is being written is one of a process that was killed
)

// Names of directories and files.
const (
	lockFile     = "lock"
	claimed      = ".claimed"
	deadLetters  = "aside"
	reasonSuffix = ".reason"
)

// Put adds an entry. dropped is how many others were dropped for it.
func (d *Dir) Put(kind Kind, data []byte) (dropped int, err error) { return d.put(kind, "", data) }

// PutFor adds an entry for some of those who can process it: names of small letters, digits, - and _, which stand in the name of
// its file. [Consumer.ClaimFor] takes it out, and Claim does not. dropped is how many others were dropped for it.
func (d *Dir) PutFor(kind Kind, names []string, data []byte) (dropped int, err error) {
	if !validNames(names) {
		return 0, fmt.Errorf("spool: an entry cannot be for %q; use names of small letters, digits, - and _, %d characters at most", names, maxNames)
	}
	return d.put(kind, strings.Join(names, "+"), data)
}

func (d *Dir) put(kind Kind, who string, data []byte) (dropped int, err error) {
	if d.Path == "" {
		return 0, errors.New("spool: no directory is set")
	}
	if err := atomicfile.MkdirAll(d.join(kind.waiting()), dirMode); err != nil {
		return 0, d.fault(err)
	}
	size := int64(len(data))
	if d.looks(size) {
		if dropped, err = d.makeRoom(size); err != nil {
			return dropped, d.fault(err)
		}
	}
	n := entryName{d.now(), rand.Text()[:8], 0, size, atomicfile.Sum(data), who}
	if err := atomicfile.WriteFile(filepath.Join(d.join(kind.waiting()), n.String()), data, atomicfile.Durable); err != nil {
		return dropped, d.fault(err)
	}
	return dropped, nil
}

func (k Kind) waiting() string { return string(k) }
func (k Kind) claimed() string { return string(k) + claimed }
func (k Kind) dead() string    { return filepath.Join(deadLetters, string(k)) }

func (d *Dir) join(name string) string { return filepath.Join(d.Path, name) }

func (d *Dir) now() time.Time {
	if d.Now == nil {
		return time.Now()
	}
	return d.Now()
}

func (d *Dir) fault(err error) error {
	return fmt.Errorf("spool: %w; make %s writable for the user that Wazuh runs as, on a disk with space", err, d.Path)
}

// list returns the entries of a directory, oldest first; none if it does not exist.
func (d *Dir) list(dir string) ([]entryName, error) {
	names, _, err := d.read(dir)
	return names, err
}

// read returns the entries of a directory, oldest first, and the files of entries that later programs have put in.
func (d *Dir) read(dir string) (names []entryName, newer []string, err error) {
	f, err := atomicfile.OpenDir(d.join(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	files, err := f.Readdirnames(-1)
	if err != nil {
		return nil, nil, err
	}
	slices.Sort(files)
	names = make([]entryName, 0, len(files))
	for _, file := range files {
		if n, ok := parseEntryName(file); ok {
			names = append(names, n)
		} else if newerVersion(file) > 0 {
			newer = append(newer, file)
		}
	}
	return names, newer, nil
}

// looks reports whether Put looks at the limits this time. To read a directory of 20,000 entries takes as long as many calls,
// and a count on disk could be lost, so Put looks by chance: on average once while a 64th of a limit is put in. By that much
// a spool can be too full, and a small limit is exact.
func (d *Dir) looks(size int64) bool {
	const share = 64
	chance := 0.0
	if d.MaxEntries > 0 {
		chance += share / float64(d.MaxEntries)
	}
	if d.MaxBytes > 0 {
		chance += share * float64(size) / float64(d.MaxBytes)
	}
	return random.Float64() < chance //nolint:gosec // no one gains anything by guessing it
}

// makeRoom drops the oldest entries until one of a size fits in.
func (d *Dir) makeRoom(size int64) (dropped int, err error) {
	type waiting struct {
		kind Kind
		name entryName
	}
	var all []waiting
	total := size
	for _, kind := range kinds {
		names, err := d.list(kind.waiting())
		if err != nil {
			return 0, err
		}
		for _, n := range names {
			total += n.size
			all = append(all, waiting{kind, n})
		}
	}
	gone := 0
	fits := func() bool {
		return (d.MaxEntries <= 0 || len(all)-gone < d.MaxEntries) && (d.MaxBytes <= 0 || total <= d.MaxBytes)
	}
	if fits() {
		return 0, nil
	}
	slices.SortFunc(all, func(a, b waiting) int {
		return cmp.Or(a.name.since.Compare(b.name.since), cmp.Compare(a.name.word, b.name.word))
	})
	for _, w := range all {
		if fits() {
			break
		}
		err := os.Remove(filepath.Join(d.join(w.kind.waiting()), w.name.String()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return dropped, err
		}
		total -= w.name.size
		if gone++; err == nil { // else another process dropped it, or took it out
			dropped++
		}
	}
	return dropped, nil
}

// Depth is how much a spool holds.
type Depth struct {
	Alerts      int `json:"alerts"`            // not yet looked up
	Delayed     int `json:"delayed,omitempty"` // alerts for which MISP is to be asked late
	Events      int `json:"events"`            // not yet sent
	DeadLetters int `json:"aside"`             // not tried any more
	// Newer is how many a later version of this program has put in, which this one leaves untouched; not in the others.
	Newer  int       `json:"newer,omitempty"`
	Bytes  int64     `json:"bytes"` // of alerts and events
	Oldest time.Time `json:"oldest,omitzero"`
}

// Depth counts the entries, also those that are claimed.
func (d *Dir) Depth() (Depth, error) {
	var depth Depth
	for kind, count := range map[Kind]*int{Alerts: &depth.Alerts, Delayed: &depth.Delayed, Events: &depth.Events} {
		for _, dir := range []string{kind.waiting(), kind.claimed()} {
			names, newer, err := d.read(dir)
			if err != nil {
				return depth, d.fault(err)
			}
			*count += len(names)
			depth.Newer += len(newer)
			for _, n := range names {
				depth.Bytes += n.size
				if depth.Oldest.IsZero() || n.since.Before(depth.Oldest) {
					depth.Oldest = n.since
				}
			}
		}
	}
	letters, err := d.DeadLetters()
	depth.DeadLetters = len(letters)
	return depth, err
}

// DepthFor counts the entries that are for someone, see [Dir.PutFor], by each name; also those that are claimed.
func (d *Dir) DepthFor(kind Kind) (map[string]int, error) {
	count := map[string]int{}
	for _, dir := range []string{kind.waiting(), kind.claimed()} {
		names, err := d.list(dir)
		if err != nil {
			return count, d.fault(err)
		}
		for _, n := range names {
			if n.who == "" {
				continue
			}
			for name := range strings.SplitSeq(n.who, "+") {
				count[name]++
			}
		}
	}
	return count, nil
}
