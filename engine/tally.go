package engine

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
)

// A Tally counts what each mapping and each of its picks did with many alerts, so that one that matches and picks nothing is
// seen. It is for one goroutine; several can be merged. The zero Tally has counted nothing.
type Tally struct {
	alerts   uint64
	mappings map[string]*tallied
	matched  []string // ids, by the last alert
}

// tallied is a MappingCount with the alert that was counted last.
type tallied struct {
	MappingCount
	last uint64 // the alert from which it picked last
}

// A MappingCount says what a mapping did. Its JSON form is a promise to scripts.
type MappingCount struct {
	ID      string `json:"id"`
	File    string `json:"file"`
	Line    int    `json:"line"`
	Builtin bool   `json:"builtin,omitempty"`
	// Fallback says that it applies to what other mappings leave, and so matches nearly every alert.
	Fallback bool `json:"fallback,omitempty"`
	// Considered, Matched and Failed count alerts: those that have a group, decoder or field that the mapping needs, of these
	// those that it matches, and those for which its match failed.
	Considered int `json:"considered"`
	Matched    int `json:"matched"`
	Failed     int `json:"failed,omitempty"`
	// PickedFrom counts the alerts that it picked a value from.
	PickedFrom int `json:"picked_from"`
	// Picked and Dropped count values, of all picks.
	Picked  int         `json:"picked"`
	Dropped int         `json:"dropped"`
	Picks   []PickCount `json:"picks"`
}

// A PickCount says what one pick of a mapping did with the alerts that the mapping matches.
type PickCount struct {
	Path  string   `json:"path"`            // for a pick by name, of the object that it is about
	Names []string `json:"names,omitempty"` // as in [PickTrace]
	Type  Type     `json:"type"`
	// NotApplied counts alerts for which when was false. Absent counts those without anything at the path, and Empty those with
	// something there that gave no candidate; both are 0 for a pick by name.
	NotApplied int `json:"not_applied,omitempty"`
	Absent     int `json:"absent"`
	Empty      int `json:"empty,omitempty"`
	// Picked counts values. Dropped counts candidates that were not picked, by reason, in the words of [CandidateTrace.Dropped].
	// A pick by name does not look at what cannot have the form of its type.
	Picked  int            `json:"picked"`
	Dropped map[string]int `json:"dropped"`
}

// PickTally does what [Engine.Pick] does, and counts it. The mappings of one Tally are those of one engine.
func (e *Engine) PickTally(alert []byte, t *Tally) ([]Observable, error) {
	r := e.takeRun()
	defer e.runs.Put(r)
	if t.mappings == nil {
		t.mappings = map[string]*tallied{}
	}
	t.alerts++
	t.matched = t.matched[:0]
	r.tally = t
	observables, _, err := r.pick(alert)
	return observables, err
}

// of returns the counts of a mapping.
func (t *Tally) of(m *mapping) *tallied {
	c := t.mappings[m.id]
	if c == nil {
		c = &tallied{MappingCount: MappingCount{ID: m.id, File: m.file, Line: m.line, Builtin: m.builtin, Fallback: m.fallback}}
		for _, p := range m.whole().picks {
			c.Picks = append(c.Picks, PickCount{Path: p.path.text, Names: p.names, Type: p.typ, Dropped: map[string]int{}})
		}
		t.mappings[m.id] = c
	}
	return c
}

// considered counts a mapping that was considered; nil counts nothing.
func (t *Tally) considered(m *mapping, matched bool, err error) {
	if t == nil {
		return
	}
	c := t.of(m)
	c.Considered++
	switch {
	case err != nil:
		c.Failed++
	case matched:
		c.Matched++
		t.matched = append(t.matched, m.id)
	}
}

// Matched returns the ids of the mappings that matched the alert that was counted last. It is valid until the next.
func (t *Tally) Matched() []string { return t.matched }

// A pickFate is why a pick took no candidate from an alert.
type pickFate int

const (
	fateNotApplied pickFate = iota
	fateAbsent
	fateEmpty
)

// tookNone counts a pick that had no candidate; nil counts nothing.
func (t *Tally) tookNone(m *mapping, pick int, fate pickFate) {
	if t == nil {
		return
	}
	p := &t.of(m).Picks[pick]
	switch fate {
	case fateNotApplied:
		p.NotApplied++
	case fateAbsent:
		p.Absent++
	default:
		p.Empty++
	}
}

// candidate counts a candidate by what became of it; nil counts nothing.
func (t *Tally) candidate(m *mapping, pick int, err error) {
	if t == nil {
		return
	}
	c := t.of(m)
	p := &c.Picks[pick]
	if err != nil {
		c.Dropped++
		count(p.Dropped, reasonOf(err), 1)
		return
	}
	c.Picked++
	p.Picked++
	if c.last != t.alerts {
		c.last = t.alerts
		c.PickedFrom++
	}
}

// maxReasons bounds the reasons of one pick: the entries of an ignore list are among them.
const maxReasons = 50

// otherReasons stands for the reasons beyond them.
const otherReasons = "other reasons"

func count(reasons map[string]int, reason string, n int) {
	if _, known := reasons[reason]; !known && len(reasons) >= maxReasons {
		reason = otherReasons
	}
	reasons[reason] += n
}

// reasonOf returns why a candidate was dropped, without what differs from alert to alert.
func reasonOf(err error) string {
	if fatal, ok := errors.AsType[evalError](err); ok {
		if fatal.limit {
			return "more values than an alert can have"
		}
		return "keep failed"
	}
	return err.Error()
}

// DroppedByKeep reports whether a reason is that keep is false.
func DroppedByKeep(reason string) bool { return reason == errNotKept.Error() }

// DroppedAsPrivate reports whether a reason is one that private: true takes away.
func DroppedAsPrivate(reason string) bool {
	return slices.ContainsFunc([]error{errNotGlobal, errLocalName, errReverse, errService}, func(err error) bool { return err.Error() == reason })
}

// Merge adds what another Tally of the same mappings counted.
func (t *Tally) Merge(o *Tally) {
	if t.mappings == nil {
		t.mappings = map[string]*tallied{}
	}
	for id, from := range o.mappings {
		to := t.mappings[id]
		if to == nil {
			c := *from
			c.Picks = slices.Clone(from.Picks)
			for i := range c.Picks {
				c.Picks[i].Dropped = maps.Clone(c.Picks[i].Dropped)
			}
			c.last = 0
			t.mappings[id] = &c
			continue
		}
		to.Considered += from.Considered
		to.Matched += from.Matched
		to.Failed += from.Failed
		to.PickedFrom += from.PickedFrom
		to.Picked += from.Picked
		to.Dropped += from.Dropped
		for i := range to.Picks {
			to.Picks[i].merge(from.Picks[i])
		}
	}
}

func (p *PickCount) merge(o PickCount) {
	p.NotApplied += o.NotApplied
	p.Absent += o.Absent
	p.Empty += o.Empty
	p.Picked += o.Picked
	for reason, n := range o.Dropped {
		count(p.Dropped, reason, n)
	}
}

// Counts returns what was counted of each mapping that was considered for an alert: most matches first, and fallbacks last.
func (t *Tally) Counts() []MappingCount {
	list := make([]MappingCount, 0, len(t.mappings))
	for _, c := range t.mappings {
		list = append(list, c.MappingCount)
	}
	slices.SortFunc(list, func(a, b MappingCount) int {
		if a.Fallback != b.Fallback {
			return map[bool]int{true: 1, false: -1}[a.Fallback]
		}
		return cmp.Or(cmp.Compare(b.Matched, a.Matched), cmp.Compare(b.Considered, a.Considered), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// Title names a pick: its path, or its first name and the object that it is about.
func (p PickCount) Title() string {
	switch len(p.Names) {
	case 0:
		return p.Path
	case 1:
		return strings.TrimPrefix(p.Path+".", ".") + p.Names[0]
	}
	return strings.TrimPrefix(p.Path+".", ".") + p.Names[0] + ", …"
}

// Reasons returns why candidates were dropped, the most frequent first.
func (p PickCount) Reasons() []string {
	return slices.SortedFunc(maps.Keys(p.Dropped), func(a, b string) int {
		return cmp.Or(cmp.Compare(p.Dropped[b], p.Dropped[a]), cmp.Compare(a, b))
	})
}
