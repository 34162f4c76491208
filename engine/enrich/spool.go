package enrich

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"custom-misp/engine/atomicfile"
)

// A Spool keeps on disk what cannot be done now. An entry is a file that is complete or absent whenever the power
// goes: it is written under another name, synced, and renamed. Many processes may put entries in; one at a time
// takes them out (see [Spool.Open]), by renaming them into a directory of claims, so that what a process held that
// was killed is found again.
//
//	alerts/          alerts that are not yet looked up, as Wazuh wrote them
//	events/          events that are not yet sent
//	alerts.claimed/  what a process is working on
//	aside/           entries that failed too often, each with its reason in a .reason file
//
// The name of an entry is the time since which it is held, a random word, how often it was tried and its size, so
// that listing a directory tells all that is needed: 01791187801120000000-JBSWY3DP.0.1834.json
type Spool struct {
	Dir        string
	MaxEntries int   // more than this many are not kept: the oldest is dropped
	MaxBytes   int64 // nor more than these
	Now        func() time.Time
}

// A SpoolKind is what an entry holds.
type SpoolKind string

// The kinds of entries; also the names of their directories.
const (
	SpoolAlerts SpoolKind = "alerts"
	SpoolEvents SpoolKind = "events"
)

var spoolKinds = []SpoolKind{SpoolEvents, SpoolAlerts}

const (
	maxTries   = 5    // of an entry, before it is set aside
	maxAside   = 1000 // entries that are set aside; the oldest is dropped
	claimed    = ".claimed"
	asideDir   = "aside"
	reasonFile = ".reason"
	spoolMode  = 0o750 // of directories, as Wazuh has it: for its group
	staleWrite = time.Hour
)

// entryName is what the name of an entry's file says.
type entryName struct {
	since time.Time
	word  string
	tries int
	size  int64
}

// String returns the name. Names sort by time.
func (n entryName) String() string {
	return fmt.Sprintf("%020d-%s.%d.%d.json", n.since.UnixNano(), n.word, n.tries, n.size)
}

// parseEntryName reads a name; false for files that are no entries.
func parseEntryName(s string) (entryName, bool) {
	parts := strings.Split(s, ".")
	if len(parts) != 4 || parts[3] != "json" {
		return entryName{}, false
	}
	at, word, ok := strings.Cut(parts[0], "-")
	nanos, err := strconv.ParseInt(at, 10, 64)
	tries, err2 := strconv.Atoi(parts[1])
	size, err3 := strconv.ParseInt(parts[2], 10, 64)
	n := entryName{time.Unix(0, nanos), word, tries, size}
	return n, ok && cmp.Or(err, err2, err3) == nil && tries >= 0 && size >= 0 && n.String() == s
}

// Put keeps an entry. dropped is how many others had to go for it.
func (s *Spool) Put(kind SpoolKind, data []byte) (dropped int, err error) {
	if err := os.MkdirAll(s.dir(string(kind)), spoolMode); err != nil {
		return 0, s.fault(err)
	}
	if dropped, err = s.makeRoom(int64(len(data))); err != nil {
		return dropped, s.fault(err)
	}
	n := entryName{s.Now(), rand.Text()[:8], 0, int64(len(data))}
	if err := atomicfile.WriteFile(filepath.Join(s.dir(string(kind)), n.String()), data, atomicfile.Durable); err != nil {
		return dropped, s.fault(err)
	}
	return dropped, nil
}

func (s *Spool) dir(name string) string { return filepath.Join(s.Dir, name) }

func (s *Spool) fault(err error) error {
	remedy := "make " + s.Dir + " writable for the user that Wazuh runs as, on a disk with space"
	return &Trouble{Code: CodeSpool, Err: fmt.Errorf("spool: %w", err), Remedy: remedy}
}

// list returns the entries of a directory, oldest first; none if it does not exist.
func (s *Spool) list(dir string) ([]entryName, error) {
	f, err := os.Open(s.dir(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	files, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	names := make([]entryName, 0, len(files))
	for _, file := range files {
		if n, ok := parseEntryName(file); ok {
			names = append(names, n)
		}
	}
	return names, nil
}

// makeRoom drops the oldest entries until one of a size fits in.
func (s *Spool) makeRoom(size int64) (dropped int, err error) {
	type place struct {
		kind SpoolKind
		name entryName
	}
	var all []place
	total := size
	for _, kind := range spoolKinds {
		names, err := s.list(string(kind))
		if err != nil {
			return 0, err
		}
		for _, n := range names {
			total += n.size
			all = append(all, place{kind, n})
		}
	}
	if len(all) < s.MaxEntries && total <= s.MaxBytes {
		return 0, nil
	}
	slices.SortFunc(all, func(a, b place) int { return a.name.since.Compare(b.name.since) })
	for _, p := range all {
		if len(all)-dropped < s.MaxEntries && total <= s.MaxBytes {
			break
		}
		err := os.Remove(filepath.Join(s.dir(string(p.kind)), p.name.String()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return dropped, err
		}
		total -= p.name.size
		dropped++
	}
	return dropped, nil
}

// Depth is how much a spool holds.
type Depth struct {
	Alerts int       `json:"alerts"` // not yet looked up
	Events int       `json:"events"` // not yet sent
	Aside  int       `json:"aside"`  // set aside for good
	Bytes  int64     `json:"bytes"`  // of alerts and events
	Oldest time.Time `json:"oldest,omitzero"`
}

// Depth counts the entries, those that are claimed too.
func (s *Spool) Depth() (Depth, error) {
	var d Depth
	for kind, count := range map[SpoolKind]*int{SpoolAlerts: &d.Alerts, SpoolEvents: &d.Events} {
		for _, dir := range []string{string(kind), string(kind) + claimed} {
			names, err := s.list(dir)
			if err != nil {
				return d, s.fault(err)
			}
			*count += len(names)
			for _, n := range names {
				d.Bytes += n.size
				if d.Oldest.IsZero() || n.since.Before(d.Oldest) {
					d.Oldest = n.since
				}
			}
		}
	}
	aside, err := s.Aside()
	d.Aside = len(aside)
	return d, err
}

// An Outcast is an entry that was set aside.
type Outcast struct {
	File   string    `json:"file"`
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"`
}

// Aside returns the entries that were set aside, oldest first.
func (s *Spool) Aside() ([]Outcast, error) {
	var out []Outcast
	for _, kind := range spoolKinds {
		dir := filepath.Join(asideDir, string(kind))
		names, err := s.list(dir)
		if err != nil {
			return nil, s.fault(err)
		}
		for _, n := range names {
			file := filepath.Join(s.dir(dir), n.String())
			reason, _ := os.ReadFile(file + reasonFile) //nolint:gosec // our own file; without it there is no reason
			out = append(out, Outcast{file, n.since, strings.TrimSpace(string(reason))})
		}
	}
	slices.SortFunc(out, func(a, b Outcast) int { return a.Since.Compare(b.Since) })
	return out, nil
}

// An OpenSpool is a spool that this process alone takes entries out of.
type OpenSpool struct {
	*Spool
	lock  *os.File
	tried map[string]bool // words of entries that were put back meanwhile
}

// Open takes the lock of the spool, and back what a process held that was killed; such entries count as tried
// once more. It returns nil if another process has the lock, or if there is no spool yet.
func (s *Spool) Open() (*OpenSpool, error) {
	if _, err := os.Stat(s.Dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	lock, err := os.OpenFile(s.dir("lock"), os.O_CREATE|os.O_RDWR, 0o640) //nolint:gosec // as Wazuh has it: for its group
	if err != nil {
		return nil, s.fault(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, nil
		}
		return nil, s.fault(err)
	}
	o := &OpenSpool{s, lock, map[string]bool{}}
	for _, kind := range spoolKinds {
		names, err := s.list(string(kind) + claimed)
		if err != nil {
			return nil, errors.Join(s.fault(err), o.Close())
		}
		for _, n := range names {
			e := Entry{o, kind, n}
			if err := e.Failed("the program was killed while it worked on this entry"); err != nil {
				return nil, errors.Join(err, o.Close())
			}
		}
		atomicfile.RemoveStale(s.dir(string(kind)), s.Now().Add(-staleWrite))
	}
	clear(o.tried)
	return o, nil
}

// Close gives the lock back.
func (o *OpenSpool) Close() error {
	for _, kind := range spoolKinds {
		_ = atomicfile.SyncDir(o.dir(string(kind) + claimed)) // so that what is done does not come back after a power cut
	}
	return o.lock.Close()
}

// Claim takes up to n of the oldest entries, none twice. One that was tried before is taken alone, so that what
// goes wrong with it does not meet others.
func (o *OpenSpool) Claim(kind SpoolKind, n int) ([]Entry, error) { return o.claim(kind, n, maxTries) }

// ClaimUntried is Claim for entries that were never tried.
func (o *OpenSpool) ClaimUntried(kind SpoolKind, n int) ([]Entry, error) { return o.claim(kind, n, 0) }

// claim takes entries that were tried so often at most.
func (o *OpenSpool) claim(kind SpoolKind, n, tries int) ([]Entry, error) {
	names, err := o.list(string(kind))
	if err != nil || len(names) == 0 {
		return nil, err
	}
	if err := os.MkdirAll(o.dir(string(kind)+claimed), spoolMode); err != nil {
		return nil, o.fault(err)
	}
	var entries []Entry
	for _, name := range names {
		if o.tried[name.word] || name.tries > tries {
			continue
		}
		if len(entries) > 0 && (len(entries) >= n || name.tries > 0) {
			break
		}
		e := Entry{o, kind, name}
		err := os.Rename(e.path(string(kind)), e.path(string(kind)+claimed))
		if errors.Is(err, fs.ErrNotExist) {
			continue // dropped meanwhile, to make room
		}
		if err != nil {
			return entries, o.fault(err)
		}
		entries = append(entries, e)
		if name.tries > 0 {
			break
		}
	}
	return entries, nil
}

// An Entry is one that this process has claimed. Exactly one of Done, Return, Failed and SetAside ends that.
type Entry struct {
	spool *OpenSpool
	kind  SpoolKind
	name  entryName
}

func (e Entry) path(dir string) string { return filepath.Join(e.spool.dir(dir), e.name.String()) }

// Since returns the time since which the entry is held.
func (e Entry) Since() time.Time { return e.name.since }

// Data reads what was put in.
func (e Entry) Data() ([]byte, error) {
	data, err := os.ReadFile(e.path(string(e.kind) + claimed))
	if err == nil && int64(len(data)) != e.name.size {
		err = fmt.Errorf("%d bytes where %d were put in", len(data), e.name.size)
	}
	return data, err
}

// Done removes the entry.
func (e Entry) Done() error {
	if err := os.Remove(e.path(string(e.kind) + claimed)); err != nil {
		return e.spool.fault(err)
	}
	return nil
}

// Return puts the entry back as it was.
func (e Entry) Return() error {
	e.spool.tried[e.name.word] = true
	return e.moveTo(string(e.kind), e.name)
}

// Failed puts the entry back as tried once more; after the fifth time, aside.
func (e Entry) Failed(reason string) error {
	e.spool.tried[e.name.word] = true
	tried := e.name
	tried.tries++
	if tried.tries >= maxTries {
		return e.SetAside(fmt.Sprintf("tried %d times: %s", tried.tries, reason))
	}
	return e.moveTo(string(e.kind), tried)
}

// SetAside puts the entry where nothing is tried any more, with the reason.
func (e Entry) SetAside(reason string) error {
	dir := filepath.Join(asideDir, string(e.kind))
	if err := os.MkdirAll(e.spool.dir(dir), spoolMode); err != nil {
		return e.spool.fault(err)
	}
	if names, err := e.spool.list(dir); err == nil && len(names) >= maxAside {
		for _, n := range names[:len(names)-maxAside+1] {
			oldest := filepath.Join(e.spool.dir(dir), n.String())
			_, _ = os.Remove(oldest+reasonFile), os.Remove(oldest)
		}
	}
	if err := atomicfile.WriteFile(e.path(dir)+reasonFile, []byte(reason+"\n"), atomicfile.Durable); err != nil {
		return e.spool.fault(err)
	}
	return e.moveTo(dir, e.name)
}

func (e Entry) moveTo(dir string, as entryName) error {
	to := Entry{e.spool, e.kind, as}
	if err := os.Rename(e.path(string(e.kind)+claimed), to.path(dir)); err != nil {
		return e.spool.fault(err)
	}
	return nil
}

// Retry puts everything that was set aside back, as never tried. It returns how many entries that are.
func (o *OpenSpool) Retry() (int, error) {
	moved := 0
	for _, kind := range spoolKinds {
		dir := filepath.Join(asideDir, string(kind))
		names, err := o.list(dir)
		if err != nil {
			return moved, o.fault(err)
		}
		for _, n := range names {
			e := Entry{o, kind, n}
			fresh := e
			fresh.name.tries = 0
			if err := os.Rename(e.path(dir), fresh.path(string(kind))); err != nil {
				return moved, o.fault(err)
			}
			_ = os.Remove(e.path(dir) + reasonFile)
			moved++
		}
	}
	return moved, nil
}
