package lookback

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"custom-misp/engine/atomicfile"
	"custom-misp/engine/enrich"
	"custom-misp/engine/history"
	"custom-misp/misp"
	"custom-misp/misp/mirror"
)

const (
	// batchSize is how many indicators are looked up together, in the order of the history.
	batchSize = 50_000
	// paced is how many indicators a sync may bring that are looked up without a pause.
	paced = 5000
	// pauseAfter is how many indicators are read or looked up between two pauses.
	pauseAfter = 1000
	// MaxAgents is on how many agents an indicator has an event of its own; further ones are in one summary.
	MaxAgents = 10
	// UsualStorm is how many events what a sync brought may have; further hits are in one summary.
	UsualStorm = 100

	dirMode = 0o750
)

// Options say where a look-back works.
type Options struct {
	// Dir has the records, see the package comment.
	Dir string
	// View opens the history as it is now.
	View func() (*history.View, error)
	// Sink takes the events.
	Sink enrich.Sink
	// FirstSync has the first sync of a source looked up too.
	FirstSync bool
	// Storm is how many events what a sync brought may have; 0 for UsualStorm.
	Storm int
	// Days is how many days the history keeps; 0 for all.
	Days int
	Log  *slog.Logger
	Now  func() time.Time
	// Pause is called between the steps of much work, with what the last one took.
	Pause func(ctx context.Context, worked time.Duration) error
}

// A Site is what one configuration looks up with.
type Site struct {
	Mirror   *mirror.Mirror
	Pipeline *enrich.Pipeline
}

// A LookBack looks up in the history what syncs have brought. Its Once is for one goroutine, its Status for any.
type LookBack struct {
	o        Options
	known    map[string]knownHead // by source, as it is on disk
	reported *reported

	mu     sync.Mutex
	status Status
}

// A Status says what look-backs did since the process started.
type Status struct {
	// Indicators is how many were looked up, Hits how many of the values in the history they match, and Events how many events
	// that raised.
	Indicators uint64 `json:"indicators"`
	Hits       uint64 `json:"hits"`
	Events     uint64 `json:"events"`
	// Source is the one whose indicators are looked up now; empty if nothing is.
	Source string `json:"source,omitempty"`
	// EndedAt is when all of what had come was looked up.
	EndedAt time.Time `json:"ended_at,omitzero"`
	// Failure is why the last look-back did not end; it is tried again.
	Failure string `json:"failure,omitempty"`
}

// Open reads the records. Close it.
func Open(o Options) (*LookBack, error) {
	if o.Storm <= 0 {
		o.Storm = UsualStorm
	}
	if err := atomicfile.MkdirAll(o.Dir, dirMode); err != nil {
		return nil, err
	}
	r, damage, err := openReported(filepath.Join(o.Dir, "reported"), o.Now())
	if err != nil {
		return nil, fmt.Errorf("record of look-backs: %w", err)
	}
	if damage != nil {
		o.Log.Error("the record of look-backs is damaged; what it said behind that may be reported again", "error", damage.Error())
	}
	return &LookBack{o: o, known: map[string]knownHead{}, reported: r}, nil
}

// Close closes the records.
func (l *LookBack) Close() { l.reported.close() }

// Status returns what was done.
func (l *LookBack) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status
}

func (l *LookBack) note(change func(*Status)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.status)
}

// Pending reports whether the mirror has changed since the last time.
func (l *LookBack) Pending(site Site) bool {
	for source, version := range site.Mirror.Versions() {
		if l.known[source].Version != version {
			return true
		}
	}
	return false
}

// Once looks up what has come since the last time. After an error, what was reported is known, and the next call does the rest.
func (l *LookBack) Once(ctx context.Context, site Site) error {
	versions := site.Mirror.Versions()
	var errs []error
	did := false
	for _, source := range slices.Sorted(maps.Keys(versions)) {
		if l.known[source].Version == versions[source] {
			continue
		}
		did = true
		l.note(func(s *Status) { s.Source = source })
		if err := l.source(ctx, site, source); err != nil {
			errs = append(errs, fmt.Errorf("look-back of %s: %w", source, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	err := errors.Join(errs...)
	l.note(func(s *Status) {
		switch {
		case err != nil:
			s.Failure = err.Error()
		case did:
			s.Failure, s.EndedAt = "", l.o.Now().UTC()
		}
		s.Source = ""
	})
	return err
}

// source looks up what has come of one source.
func (l *LookBack) source(ctx context.Context, site Site, source string) error {
	name := filepath.Join(l.o.Dir, source+".known")
	k, err := loadKnown(name)
	if err != nil {
		if !errors.Is(err, errNotKnown) {
			return err
		}
		l.o.Log.Error("what was looked up of a source in the history is not known any more; what comes from now on is", "origin", source, "error", err.Error())
	}
	since := ""
	if k != nil {
		since = k.Version
	}
	arrivals := site.Mirror.Arrivals(source, since)
	if arrivals == nil {
		return nil
	}
	defer arrivals.Close()
	if arrivals.Version == since {
		l.known[source] = k.knownHead
		return nil
	}
	if k != nil && k.Place != arrivals.Place {
		k = nil // another source of that name
	}
	r := &run{LookBack: l, site: site, source: source, at: arrivals.At, used: map[string]int{}, lookUp: k != nil || l.o.FirstSync}
	if k == nil {
		k = &known{}
	}
	if err := r.all(ctx, arrivals, k); err != nil {
		return err
	}
	k.Place, k.Version = arrivals.Place, arrivals.Version
	if err := k.save(name); err != nil {
		return err
	}
	l.known[source] = k.knownHead
	if r.indicators > 0 {
		l.o.Log.Info("looked back", "origin", source, "indicators", r.indicators, "hits", r.hits, "events", r.events)
	}
	return nil
}

// A run looks up what one sync brought of one source.
type run struct {
	*LookBack
	site   Site
	source string
	at     time.Time // since then look-ups know what is new
	lookUp bool      // false for the first sync of a source
	storm  *summary
	used   map[string]int // by UUID of an attribute: agents that were reported

	indicators, hits, events int
	spent                    int       // events of this sync, also those before a restart
	over                     int       // values beyond maxHits
	began                    time.Time // of a step
	steps                    int
}

// all reads what has come, looks up what is not known, and adds it to what is.
func (r *run) all(ctx context.Context, arrivals *mirror.Arrivals, k *known) error {
	var added, present []uint64
	updated := false
	for _, e := range arrivals.Updated {
		key := eventKey(e)
		if !k.has(key) {
			updated, added = true, append(added, key)
		}
	}
	whole := arrivals.Whole()
	many := arrivals.Attributes > paced
	r.began = r.o.Now()
	var batch []arrival
	for a, err := range arrivals.Each(updated) {
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		if err := r.pace(ctx, many); err != nil {
			return err
		}
		key := attributeKey(a, a.ToIDs, a.Event.Published)
		if whole {
			present = append(present, key)
		}
		if k.has(key) {
			continue
		}
		if added = append(added, key); !r.lookUp || k.stronger(a) {
			continue
		}
		if batch = append(batch, arrival{a, k.has(attributeKey(a, a.ToIDs, false))}); len(batch) == batchSize {
			if err := r.batch(ctx, batch, many); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	if len(batch) > 0 {
		if err := r.batch(ctx, batch, many); err != nil {
			return err
		}
	}
	if r.storm != nil {
		r.storm.more += r.over
	}
	if err := r.send(ctx, r.storm); err != nil {
		return err
	}
	k.join(added, present)
	return nil
}

// pace pauses from time to time.
func (r *run) pace(ctx context.Context, many bool) error {
	if r.steps++; r.steps < pauseAfter || !many {
		return nil
	}
	r.steps = 0
	err := r.o.Pause(ctx, r.o.Now().Sub(r.began))
	r.began = r.o.Now()
	return err
}

// An arrival is an attribute that has come.
type arrival struct {
	misp.Attribute
	draft bool // it was there before, in an event that was not published
}

// attributeKey changes when what an attribute says for a look-up does.
func attributeKey(a misp.Attribute, toIDs, published bool) uint64 {
	return hashOf("attribute", a.UUID, a.Type, a.Value, strconv.FormatBool(toIDs), strconv.FormatBool(published))
}

// stronger reports whether an attribute was looked up before as flagged or published, if not both now: it needs no new look-up.
func (k *known) stronger(a misp.Attribute) bool {
	for _, toIDs := range []bool{a.ToIDs, true} {
		for _, published := range []bool{a.Event.Published, true} {
			if k.has(attributeKey(a, toIDs, published)) {
				return true
			}
		}
	}
	return false
}

func eventKey(e misp.Event) uint64 { return hashOf("event", e.UUID, strconv.FormatBool(e.Published)) }

func hashOf(texts ...string) uint64 {
	var d xxhash.Digest
	d.Reset()
	for _, t := range texts {
		_, _ = d.WriteString(t)
		_, _ = d.WriteString("\x00")
	}
	return d.Sum64()
}
