package history

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/atomicfile"
)

// Options say what a store keeps, and for how long.
type Options struct {
	Dir string // it is made
	// Days is how many days are kept, the present one included; 0 for all.
	Days int
	// Bytes is how much the segments may take; then the oldest days go. 0 for no bound.
	Bytes int64
	// Kinds are what is recorded; nil for [DefaultKinds].
	Kinds []Kind
	// Names keeps the agents as they are. Without it a made-up name takes the place of each, which only counts.
	Names bool
	// MinFree is the part of the disk, 0 to 1, below whose free space nothing is recorded; 0 for no bound.
	MinFree float64
	// Free returns which part of the disk is free, as df counts it; nil for the disk of Dir.
	Free func() (float64, error)
	Now  func() time.Time // nil for the machine's clock
	Log  *slog.Logger     // nil for none

	entries int // that become a segment; 0 for mostEntries
}

// A Kind is a kind of values.
type Kind string

// The kinds.
const (
	KindAddress  Kind = "address"
	KindName     Kind = "name"
	KindURLHost  Kind = "url-host" // the host of a URL, as an address or a name
	KindHash     Kind = "hash"
	KindURL      Kind = "url"
	KindEmail    Kind = "email"
	KindFilename Kind = "filename"
	KindOther    Kind = "other"
)

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{KindAddress, KindName, KindURLHost, KindHash, KindURL, KindEmail, KindFilename, KindOther}
}

// DefaultKinds returns those that are recorded unless a site says otherwise: what says little about people.
func DefaultKinds() []Kind { return []Kind{KindAddress, KindName, KindURLHost, KindHash} }

// KindOf returns the kind of the values of a type.
func KindOf(t engine.Type) Kind {
	switch f := t.Family(); {
	case f == familyIP:
		return KindAddress
	case f == familyHost:
		return KindName
	case f == familyURL:
		return KindURL
	case t.Hash():
		return KindHash
	case f == engine.Type("email").Family():
		return KindEmail
	case f == engine.Type("filename").Family():
		return KindFilename
	}
	return KindOther
}

const (
	// mostEntries and mostJournal are how much is kept in memory and in the journal before it becomes a segment.
	mostEntries = 50_000
	mostJournal = 32 << 20
	// mostDirty is how many values are in memory alone; further ones of a second are written at once.
	mostDirty = 20_000
	// mostFrozen is how many tables wait for a disk that takes no segments; then nothing is recorded.
	mostFrozen = 4
	// maxPositions is how many files of alerts the store knows the end of.
	maxPositions = 8
	// resume is how much more of the disk has to be free than the least before recording goes on.
	resume = 0.01
)

// A Store records. Its methods may be called at any time, from any goroutine.
type Store struct {
	o     Options
	files *files
	kinds map[Kind]bool
	types map[engine.Type]kept // guarded by mu; see [Store.keeps]
	salt  []byte
	// Stopped is why nothing is recorded now; nil if it is. See [Store.Stopped].
	stopped atomic.Pointer[string]
	tidying atomicfile.Background

	commit sync.Mutex // held while the journal is written
	mu     sync.Mutex
	active *table   // with its journal
	frozen []*table // in journals that become segments
	at     positions
	order  []string // keys of at, the oldest first
	open   *journal
	log    []*journal // of frozen
	fault  error      // of the last try to make segments
}

// Open opens a history to record into it. What a process that was killed had in its journal becomes segments first.
func Open(ctx context.Context, o Options) (*Store, error) {
	s, err := prepare(o)
	if err != nil {
		return nil, err
	}
	if err := locked(ctx, o.Dir, s.begin); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	s.active = newTable(s.open.name)
	s.tidying.Run(s.tidy)
	return s, nil
}

// prepare returns a store without a journal.
func prepare(o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Free == nil {
		o.Free = func() (float64, error) { return free(o.Dir) }
	}
	if o.entries == 0 {
		o.entries = mostEntries
	}
	if o.Kinds == nil {
		o.Kinds = DefaultKinds()
	}
	if err := atomicfile.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, err
	}
	s := &Store{o: o, files: newFiles(o.Dir), kinds: map[Kind]bool{}, types: map[engine.Type]kept{}, at: positions{}, active: newTable("")}
	for _, k := range o.Kinds {
		s.kinds[k] = true
	}
	if !o.Names {
		var err error
		if s.salt, err = saltOf(o.Dir); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// begin adopts journals that were left behind, and begins one. Its caller holds the lock.
func (s *Store) begin() error {
	atomicfile.RemoveStale(s.o.Dir, time.Now().Add(-time.Hour))
	if err := s.files.refresh(); err != nil {
		return err
	}
	for _, name := range slices.Clone(s.files.journals) {
		if err := s.adopt(filepath.Join(s.o.Dir, name)); err != nil {
			s.o.Log.Warn("a journal of the history is left as it is", "error", err.Error())
		}
	}
	var err error
	s.open, err = newJournal(s.o.Dir, s.at)
	return err
}

// free returns which part of a disk is free.
func free(dir string) (float64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	used := st.Blocks - st.Bfree
	if used+st.Bavail == 0 {
		return 1, nil
	}
	return float64(st.Bavail) / float64(used+st.Bavail), nil
}

const saltFile = "salt"

// saltOf returns what made-up names of agents are made with, so that another history has others.
func saltOf(dir string) ([]byte, error) {
	name := filepath.Join(dir, saltFile)
	salt, err := atomicfile.ReadFile(name, 1000)
	if errors.Is(err, fs.ErrNotExist) {
		salt = []byte(rand.Text())
		err = atomicfile.WriteFile(name, salt, atomicfile.Durable)
	}
	return salt, err
}

// madeUp returns the agent that takes the place of one.
func madeUp(salt []byte, a Agent) Agent {
	digest := sha256.Sum256(append(slices.Clone(salt), a.Name...))
	return Agent{Name: "#" + hex.EncodeToString(digest[:6])}
}

// Seen is an alert with what was picked from it.
type Seen struct {
	Alert       Alert
	Observables []engine.Observable
}

// A Place is a part of a file of alerts. File is the digest that [Covered] has, or while the file is shorter a text that no other
// file has.
type Place struct {
	File       string
	Begin, End int64
}

// At returns the offset up to which alerts of a file were recorded, by this process or an earlier one; 0 if that is not
// known. What begins before it is not to be recorded again.
func (s *Store) At(file string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at[file]
}

// Record records alerts, and that their file is recorded up to a place, if it has a name. They are in memory alone until
// [Store.Commit], which is to be called once a second. recorded is false while nothing is recorded, see [Store.Stopped].
func (s *Store) Record(alerts []Seen, end Place) (recorded bool) {
	s.mu.Lock()
	if end.File != "" {
		s.place(end.File, end.End)
	}
	if s.stopped.Load() != nil || len(s.frozen) > mostFrozen {
		s.mu.Unlock()
		return false
	}
	for i := range alerts {
		s.add(s.active, &alerts[i])
	}
	if end.File != "" {
		s.active.covers = joined(append(s.active.covers, Covered{end.File, end.Begin, end.End}))
	}
	full := len(s.active.dirty) >= mostDirty
	s.mu.Unlock()
	if full {
		_ = s.Commit() // the next call returns what lasts
	}
	return true
}

// place notes up to where a file was recorded. The caller holds mu.
func (s *Store) place(file string, end int64) {
	if _, known := s.at[file]; !known {
		if s.order = append(s.order, file); len(s.order) > maxPositions {
			delete(s.at, s.order[0])
			s.order = s.order[1:]
		}
	}
	s.at[file] = max(s.at[file], end)
}

// oldest returns the first day that is kept.
func (s *Store) oldest() int64 {
	if s.o.Days <= 0 {
		return math.MinInt64
	}
	return dayOf(s.o.Now().Unix()) - int64(s.o.Days-1)*secondsOfDay
}

// kept says what is recorded of the values of a type.
type kept struct{ itself, host bool }

// keeps returns what is recorded of the values of a type.
func (s *Store) keeps(t engine.Type) kept {
	k, ok := s.types[t]
	if !ok {
		kind := KindOf(t)
		k = kept{s.kinds[kind], kind == KindURL && s.kinds[KindURLHost]}
		s.types[t] = k
	}
	return k
}

// add adds an alert to a table.
func (s *Store) add(t *table, a *Seen) {
	now := s.o.Now()
	at := a.Alert.At.Unix()
	if a.Alert.At.IsZero() || a.Alert.At.After(now.Add(secondsOfDay*time.Second)) {
		at = now.Unix()
	}
	if dayOf(at) < s.oldest() {
		return
	}
	agent := a.Alert.Agent
	if !s.o.Names && agent != (Agent{}) {
		agent = madeUp(s.salt, agent)
	}
	r := record{first: at, last: at, count: 1}
	if agent != (Agent{}) {
		r.alert.agent = t.words.agent(agent)
		r.agents = []uint32{r.alert.agent}
	}
	if id := a.Alert.ID; len(id) <= maxAlertID {
		r.alert.id = strings.Clone(id)
	}
	r.alert.rule, r.alert.level = t.words.add(a.Alert.Rule), uint32(max(0, a.Alert.Level)) //nolint:gosec // Wazuh has 16
	r.alert.file, r.alert.offset = t.words.add(a.Alert.File), a.Alert.Offset
	day := dayOf(at)
	var key []byte
	put := func(i engine.Indicator, flag uint8) {
		key = appendKey(key[:0], i)
		r.flags = flag
		t.add(day, key, &r)
	}
	for i := range a.Observables {
		o := &a.Observables[i]
		r.mappings = r.mappings[:0]
		for _, p := range o.Picks {
			r.addMapping(t.words.add(p.Mapping))
		}
		keep := s.keeps(o.Type)
		if keep.itself {
			put(o.Indicator(), flagItself)
		}
		if keep.host {
			if host, ok := o.URLHost(); ok {
				put(host, flagURLHost)
			}
		}
	}
}

// Commit writes what was recorded since the last call, so that a process that is killed later does not lose it. It
// returns why that failed; then it is tried again with the next call.
func (s *Store) Commit() error {
	s.commit.Lock()
	defer s.commit.Unlock()
	s.checkDisk()
	full, err := s.write()
	if full {
		err = errors.Join(err, s.rotate())
		s.tidying.Run(s.tidy)
	}
	return err
}

// write writes what is not in the journal yet. full says that the table is to become segments. The caller holds commit.
func (s *Store) write() (full bool, err error) {
	s.mu.Lock()
	if s.open == nil || len(s.active.dirty) == 0 {
		s.mu.Unlock()
		return false, nil
	}
	t, before := s.active, s.active.written
	frame, records, err := frameOf(t, s.at)
	s.mu.Unlock()
	if err == nil {
		if err = s.open.append(frame); err == nil {
			err = s.open.file.Sync()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		t.notWritten(records, before)
	}
	return t.entries >= s.o.entries || s.open.size >= mostJournal, err
}

// checkDisk stops and resumes recording.
func (s *Store) checkDisk() {
	if s.o.MinFree <= 0 {
		return
	}
	part, err := s.o.Free()
	was := s.stopped.Load()
	switch {
	case err != nil:
	case part < s.o.MinFree:
		why := fmt.Sprintf("only %.0f %% of the disk of %s is free, and history.min_free is %.0f %%", 100*part, s.o.Dir, 100*s.o.MinFree)
		s.stopped.Store(&why)
		if was == nil {
			s.o.Log.Warn("the history records nothing", "reason", why)
		}
	case was != nil && part >= min(1, s.o.MinFree+resume):
		s.stopped.Store(nil)
		s.o.Log.Info("the history records again", "free", part)
	}
}

// Stopped returns why nothing is recorded now; empty if it is.
func (s *Store) Stopped() string {
	if why := s.stopped.Load(); why != nil {
		return *why
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.frozen) > mostFrozen {
		return "files cannot be written fast enough, or not at all"
	}
	return ""
}

// Fault returns why a part of the history cannot be read or written; nil if none is known.
func (s *Store) Fault() error {
	list, _, _, err := s.files.use()
	releaseAll(list)
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.fault, err)
}

// rotate begins a new journal; the old one is to become segments. The caller holds commit.
func (s *Store) rotate() error {
	s.mu.Lock()
	at := maps.Clone(s.at)
	s.mu.Unlock()
	next, err := newJournal(s.o.Dir, at)
	if err != nil {
		return err
	}
	if _, err := s.write(); err != nil {
		s.o.Log.Warn("what was seen within the last second is in memory alone until its segment is written", "error", err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen, s.log = append(s.frozen, s.active), append(s.log, s.open)
	s.open, s.active = next, newTable(next.name)
	return nil
}

// View returns a view, for the caller to close.
func (s *Store) View() (*View, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files.view(append(slices.Clone(s.frozen), s.active))
}

// Get returns what is known of a value, fast; false if it was not seen.
func (s *Store) Get(i engine.Indicator) (Entry, bool) {
	key := appendKey(nil, i)
	var c collector
	days := map[int64]bool{}
	add := func(r *record, day int64, word func(uint32) string) {
		if r.count > 0 {
			c.add(r, word)
			days[day] = true
		}
	}
	s.mu.Lock()
	list, hidden, _, _ := s.files.use()
	defer releaseAll(list)
	for _, t := range append(slices.Clone(s.frozen), s.active) {
		for day, of := range t.days {
			if r := of[string(key)]; r != nil && !hidden[hiding{t.name, day}] {
				add(r, day, t.words.word)
			}
		}
	}
	s.mu.Unlock()
	var r record
	for _, g := range list {
		from := g.find(key)
		if bytes.Equal(from.at(), key) {
			from.read(&r)
			add(&r, g.trailer.Day, from.word)
		}
	}
	if len(days) == 0 {
		return Entry{}, false
	}
	return c.done(i, len(days)), true
}

// Close makes segments of what is in memory.
func (s *Store) Close() error {
	err := s.Commit()
	s.tidying.Wait()
	s.commit.Lock()
	defer s.commit.Unlock()
	s.mu.Lock()
	if s.open != nil {
		s.frozen, s.log = append(s.frozen, s.active), append(s.log, s.open)
		s.open, s.active = nil, newTable("")
	}
	s.mu.Unlock()
	err = errors.Join(err, s.flush())
	s.files.close()
	return err
}

// A Size says how large a history is.
type Size struct {
	Bytes    int64     // of the segments
	Entries  int       // values of a day, each
	Segments int       // files
	First    time.Time // the first day; zero if there is none
}

// Size returns how large the history is, without what is in memory.
func (s *Store) Size() Size {
	list, _, _, _ := s.files.use()
	defer releaseAll(list)
	return sizeOf(list)
}

// Size returns how large the history is, without what is in journals.
func (v *View) Size() Size { return sizeOf(v.segments) }

func sizeOf(list []*segment) (z Size) {
	for _, g := range list {
		z.Bytes += g.size
		z.Entries += g.trailer.Entries
		z.Segments++
		if day := time.Unix(g.trailer.Day, 0).UTC(); z.First.IsZero() || day.Before(z.First) {
			z.First = day
		}
	}
	return z
}

// compareDays orders segments by their days.
func compareDays(a, b *segment) int { return cmp.Compare(a.trailer.Day, b.trailer.Day) }
