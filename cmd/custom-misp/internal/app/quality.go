package app

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine/atomicfile"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
)

// This file counts what became of the hits of each source and MISP event, day by day: which feed is mostly muted?

const (
	// QualityDays is how many days are counted.
	QualityDays = 30
	// maxQualityRows is how many events of sources a day has; further ones count for their source, without an event.
	maxQualityRows = 2000
	maxQualityFile = 64 << 20
	qualityVersion = 1
	// saveQualityEvery is how much of the counts a killed process loses.
	saveQualityEvery = time.Minute
)

// A QualityRow is what became of the hits of one MISP event of a source, or of a source. Its JSON form is a promise to scripts.
type QualityRow struct {
	Source  string `json:"source"`
	Event   string `json:"event,omitempty"` // id, or UUID if it has none; empty for all of the source
	Info    string `json:"info,omitempty"`
	Hits    int    `json:"hits"`    // that raised an event
	Repeats int    `json:"repeats"` // that were counted in one, or were of a storm
	Mutes   int    `json:"mutes"`   // that were muted
}

// All returns the number of all hits.
func (r QualityRow) All() int { return r.Hits + r.Repeats + r.Mutes }

func (r *QualityRow) add(o QualityRow) {
	r.Hits, r.Repeats, r.Mutes = r.Hits+o.Hits, r.Repeats+o.Repeats, r.Mutes+o.Mutes
	r.Info = cmp.Or(o.Info, r.Info)
}

type qualityDay struct {
	Day  string       `json:"day"` // UTC
	Rows []QualityRow `json:"rows"`
}

type qualityFile struct {
	Days []qualityDay `json:"days"`
}

type qualityKey struct{ day, source, event string }

// Quality counts hits, and keeps the counts in a file. It is safe for concurrent use.
type Quality struct {
	name  string // empty if it must not be written
	now   func() time.Time
	fault error

	mu      sync.Mutex
	rows    map[qualityKey]*QualityRow
	perDay  map[string]int
	dirty   bool
	savedAt time.Time
}

// OpenQuality reads the counts of a file. What cannot be read is in [Quality.Trouble].
func OpenQuality(name string, now func() time.Time) *Quality {
	q := newQuality(now)
	q.name = name
	err := q.load(name)
	if _, newer := errors.AsType[*atomicfile.NewerError](err); newer {
		q.name = ""
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		q.fault = fmt.Errorf("counts of hits for custom-misp quality: %w", err)
		if q.name != "" {
			if aside := atomicfile.KeepDamaged(name); aside != name {
				_ = os.Remove(name)
			}
		}
	}
	return q
}

// ReadQuality returns the sums of the last days for a verb, which changes nothing.
func ReadQuality(c *config.Config, now func() time.Time, days int, byEvent bool) ([]QualityRow, error) {
	q := newQuality(now)
	if err := q.load(StateOf(c).Quality()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return q.Rows(days, byEvent), nil
}

func newQuality(now func() time.Time) *Quality {
	return &Quality{now: now, rows: map[qualityKey]*QualityRow{}, perDay: map[string]int{}}
}

// load reads the counts of a file.
func (q *Quality) load(name string) error {
	var f qualityFile
	err := atomicfile.ReadJSON(name, qualityVersion, maxQualityFile, &f)
	for _, d := range f.Days {
		for _, r := range d.Rows {
			q.count(d.Day, r)
		}
	}
	q.dirty = false
	return err
}

// Trouble returns why counts of before are not known; nil if they are. It wraps the errors of package atomicfile.
func (q *Quality) Trouble() error { return q.fault }

// Reported counts a hit that raised an event.
func (q *Quality) Reported(e enrich.Enrichment) { q.ofBody(e.Body, QualityRow{Hits: 1}) }

// Repeated counts a hit that is counted in another event.
func (q *Quality) Repeated(e enrich.Enrichment) { q.ofBody(e.Body, QualityRow{Repeats: 1}) }

// Muted counts a hit that is muted.
func (q *Quality) Muted(m enrich.Match) {
	a := m.Attribute
	q.today(QualityRow{Source: cmp.Or(a.Origin, misp.OriginServer), Event: cmp.Or(a.Event.ID, a.Event.UUID), Info: a.Event.Info, Mutes: 1})
}

func (q *Quality) ofBody(b enrich.Body, r QualityRow) {
	r.Source, r.Event = cmp.Or(b.Origin, misp.OriginServer), b.EventID
	if b.Event != nil {
		r.Event, r.Info = cmp.Or(r.Event, b.Event.UUID), b.Event.Info
	}
	q.today(r)
}

func (q *Quality) today(r QualityRow) {
	const longInfo = 200
	if len(r.Info) > longInfo {
		r.Info = string([]rune(r.Info)[:min(longInfo/4, len([]rune(r.Info)))]) + "…"
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.count(q.now().UTC().Format(time.DateOnly), r)
}

// count adds to the row of a day. The caller holds mu, or has the only reference.
func (q *Quality) count(day string, r QualityRow) {
	k := qualityKey{day, r.Source, r.Event}
	row := q.rows[k]
	if row == nil && q.perDay[day] >= maxQualityRows {
		k.event, r.Event, r.Info = "", "", ""
		row = q.rows[k]
	}
	if row == nil {
		row = &QualityRow{Source: r.Source, Event: r.Event}
		q.rows[k] = row
		q.perDay[day]++
	}
	row.add(r)
	q.dirty = true
}

// SaveIfDue writes the counts, unless they were written a moment ago.
func (q *Quality) SaveIfDue() error {
	q.mu.Lock()
	due := q.now().Sub(q.savedAt) >= saveQualityEvery
	q.mu.Unlock()
	if !due {
		return nil
	}
	return q.Save()
}

// Save writes the counts, and forgets old days.
func (q *Quality) Save() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.dirty || q.name == "" {
		return nil
	}
	first := q.firstDay(QualityDays)
	days := map[string][]QualityRow{}
	for k, r := range q.rows {
		if k.day < first {
			delete(q.rows, k)
			delete(q.perDay, k.day)
			continue
		}
		days[k.day] = append(days[k.day], *r)
	}
	var f qualityFile
	for day, rows := range days {
		slices.SortFunc(rows, func(a, b QualityRow) int {
			return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Event, b.Event))
		})
		f.Days = append(f.Days, qualityDay{day, rows})
	}
	slices.SortFunc(f.Days, func(a, b qualityDay) int { return cmp.Compare(a.Day, b.Day) })
	q.savedAt = q.now()
	if err := atomicfile.WriteJSON(q.name, qualityVersion, f, atomicfile.Volatile); err != nil {
		return fmt.Errorf("counts of hits for custom-misp quality: %w", err)
	}
	q.dirty = false
	return nil
}

// firstDay is the first of the last days.
func (q *Quality) firstDay(days int) string {
	return q.now().UTC().AddDate(0, 0, 1-days).Format(time.DateOnly)
}

// Rows returns the sums of the last days, by source, or by source and MISP event: what is muted most comes first, then what has
// most hits.
func (q *Quality) Rows(days int, byEvent bool) []QualityRow {
	q.mu.Lock()
	defer q.mu.Unlock()
	sums := map[qualityKey]*QualityRow{}
	for k, r := range q.rows {
		if k.day < q.firstDay(days) {
			continue
		}
		k.day = ""
		if !byEvent {
			k.event = ""
		}
		if sums[k] == nil {
			sums[k] = &QualityRow{Source: k.source, Event: k.event}
		}
		sums[k].add(*r)
		if !byEvent {
			sums[k].Info = ""
		}
	}
	rows := make([]QualityRow, 0, len(sums))
	for _, r := range sums {
		rows = append(rows, *r)
	}
	slices.SortFunc(rows, func(a, b QualityRow) int {
		return cmp.Or(
			cmp.Compare(b.Mutes*max(1, a.All()), a.Mutes*max(1, b.All())), cmp.Compare(b.All(), a.All()),
			cmp.Compare(a.Source, b.Source), cmp.Compare(a.Event, b.Event),
		)
	})
	return rows
}
