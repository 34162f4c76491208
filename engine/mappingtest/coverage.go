package mappingtest

import (
	"cmp"
	"maps"
	"slices"

	"github.com/tidwall/gjson"

	"custom-misp/engine"
)

// Coverage counts which values mappings pick from many alerts, and which they do not pick. It is for one goroutine;
// several can be merged. The zero Coverage counts for no mappings.
type Coverage struct {
	engine *engine.Engine
	own    func(engine.Type, string) bool

	alerts, matched, bare, unreadable int // bare: without a pick, but with a value that looks like an indicator
	byFallback                        int // alerts of which only mappings with fallback pick
	fallback                          map[fallbackKey]*FallbackPlace
	moreFallback                      int // values at more places than are kept
	values                            map[engine.Type]int
	decoders, groups                  map[string]*counts
	tally                             engine.Tally
	unpicked                          map[unpickedKey]*Unpicked
	rest                              int // unpicked values at more places than are kept
}

type counts struct {
	alerts, matched int
	values          map[engine.Type]int
}

type unpickedKey struct {
	path string
	typ  engine.Type
}

type fallbackKey struct {
	decoder string
	unpickedKey
}

// Bounds of what is kept of alerts that may be anything.
const (
	maxPlaces = 20_000
	maxNames  = 5_000
)

// NewCoverage returns a Coverage of the mappings of e. own reports which values are the site's own, and so no
// indicators; it may be nil.
func NewCoverage(e *engine.Engine, own func(engine.Type, string) bool) *Coverage {
	c := &Coverage{engine: e, own: own}
	c.makeReady()
	return c
}

// makeReady gives the zero Coverage what it counts in.
func (c *Coverage) makeReady() {
	if c.values != nil {
		return
	}
	if c.engine == nil {
		c.engine = &engine.Engine{}
	}
	c.values = map[engine.Type]int{}
	c.decoders, c.groups = map[string]*counts{}, map[string]*counts{}
	c.unpicked = map[unpickedKey]*Unpicked{}
	c.fallback = map[fallbackKey]*FallbackPlace{}
}

// Skip counts something that is not an alert.
func (c *Coverage) Skip() { c.unreadable++ }

// Add counts an alert.
func (c *Coverage) Add(alert []byte) {
	c.makeReady()
	observables, _ := c.engine.PickTally(alert, &c.tally)
	decoder := gjson.GetBytes(alert, "decoder.name").String()
	rows := []*counts{row(c.decoders, decoder)}
	gjson.GetBytes(alert, "rule.groups").ForEach(func(_, g gjson.Result) bool {
		rows = append(rows, row(c.groups, g.String()))
		return true
	})
	c.alerts++
	picked := map[engine.Indicator]bool{}
	fallbacks := 0
	for _, o := range observables {
		picked[o.Indicator()] = true
		c.values[o.Type]++
		if o.Fallback {
			fallbacks++
			if c.own != nil && c.own(o.Type, o.Value) {
				continue
			}
			c.fellBack(fallbackKey{decoder, unpickedKey{o.Picks[0].Path, o.Type}}, 1, o.Value)
		}
	}
	if len(observables) > 0 {
		c.matched++
		if fallbacks == len(observables) {
			c.byFallback++
		}
	}
	for _, r := range rows {
		r.alerts++
		if len(observables) > 0 {
			r.matched++
		}
		for _, o := range observables {
			r.values[o.Type]++
		}
	}
	bare := false
	for _, l := range Leaves(alert) {
		i := engine.Observable{Type: l.Type, Value: l.Value}.Indicator()
		if picked[i] || c.own != nil && c.own(l.Type, l.Value) || aliased(picked, l) {
			continue
		}
		bare = len(observables) == 0
		c.leave(unpickedKey{l.Path, l.Type}, 1, l.Value)
	}
	if bare {
		c.bare++
	}
}

// aliased reports whether a hash was picked as another type of the same length: an IMPHASH looks like an MD5.
func aliased(picked map[engine.Indicator]bool, l Leaf) bool {
	for i := range picked {
		if i.Key == l.Value && len(l.Value) >= 32 {
			return true
		}
	}
	return false
}

func row(rows map[string]*counts, name string) *counts {
	r := rows[name]
	if r == nil {
		if len(rows) >= maxNames {
			name = "(others)"
			if r = rows[name]; r != nil {
				return r
			}
		}
		r = &counts{values: map[engine.Type]int{}}
		rows[name] = r
	}
	return r
}

func (c *Coverage) leave(k unpickedKey, n int, example string) {
	u := c.unpicked[k]
	if u == nil {
		if len(c.unpicked) >= maxPlaces {
			c.rest += n
			return
		}
		u = &Unpicked{Path: k.path, Type: k.typ, Example: example}
		c.unpicked[k] = u
	}
	u.Count += n
	u.Example = min(u.Example, example) // so that the order of the alerts makes no difference
}

// fellBack counts values that a mapping with fallback picked.
func (c *Coverage) fellBack(k fallbackKey, n int, example string) {
	f := c.fallback[k]
	if f == nil {
		if len(c.fallback) >= maxPlaces {
			c.moreFallback += n
			return
		}
		f = &FallbackPlace{Decoder: k.decoder, Path: k.path, Type: k.typ, Example: example}
		c.fallback[k] = f
	}
	f.Count += n
	f.Example = min(f.Example, example)
}

// Merge adds what another counted.
func (c *Coverage) Merge(o *Coverage) {
	c.makeReady()
	c.alerts += o.alerts
	c.matched += o.matched
	c.bare += o.bare
	c.byFallback += o.byFallback
	c.moreFallback += o.moreFallback
	for k, f := range o.fallback {
		c.fellBack(k, f.Count, f.Example)
	}
	c.unreadable += o.unreadable
	c.tally.Merge(&o.tally)
	c.rest += o.rest
	for t, n := range o.values {
		c.values[t] += n
	}
	for _, pair := range []struct{ to, from map[string]*counts }{{c.decoders, o.decoders}, {c.groups, o.groups}} {
		for name, from := range pair.from {
			to := row(pair.to, name)
			to.alerts += from.alerts
			to.matched += from.matched
			for t, n := range from.values {
				to.values[t] += n
			}
		}
	}
	for k, u := range o.unpicked {
		c.leave(k, u.Count, u.Example)
	}
}

// A Report is what was counted. Its JSON form is a promise to scripts.
type Report struct {
	Alerts     int                 `json:"alerts"`
	Matched    int                 `json:"matched"`    // of them, with at least one value picked
	Bare       int                 `json:"bare"`       // of the others, with a value that looks like an indicator
	Unreadable int                 `json:"unreadable"` // lines or files that are no alert
	Values     map[engine.Type]int `json:"values"`     // picked, by type
	Decoders   []Row               `json:"decoders"`   // most alerts first
	Groups     []Row               `json:"groups"`
	// Unpicked are values that look like indicators and that no mapping picks, most frequent first.
	Unpicked []Unpicked `json:"unpicked"`
	// UnpickedElsewhere counts such values at further places, beyond the number that is kept.
	UnpickedElsewhere int `json:"unpicked_elsewhere,omitempty"`
	// ByFallback counts the alerts of which only mappings with fallback picked a value.
	ByFallback int `json:"by_fallback"`
	// Fallback are the places that these mappings picked from, most frequent first.
	Fallback []FallbackPlace `json:"fallback"`
	// FallbackElsewhere counts values at further places, beyond the number that is kept.
	FallbackElsewhere int `json:"fallback_elsewhere,omitempty"`
	// Mappings says what each mapping, and each of its picks, did: those that were considered for an alert, most matches first.
	Mappings []engine.MappingCount `json:"mappings"`
}

// A Row counts the alerts of one decoder or group.
type Row struct {
	Name    string              `json:"name"`
	Alerts  int                 `json:"alerts"`
	Matched int                 `json:"matched"`
	Values  map[engine.Type]int `json:"values"`
}

// FallbackPlace counts values that a mapping with fallback picked at one place: events of which no mapping knows it. See
// [Suggest].
type FallbackPlace struct {
	Decoder string      `json:"decoder"`
	Path    string      `json:"path"`
	Type    engine.Type `json:"type"`
	Count   int         `json:"count"`
	Example string      `json:"example"` // the first in the order of texts
}

// Unpicked counts values of one form at one place.
type Unpicked struct {
	Path    string      `json:"path"`
	Type    engine.Type `json:"type"`
	Count   int         `json:"count"`
	Example string      `json:"example"` // the first in the order of texts
}

// Report returns what was counted so far.
func (c *Coverage) Report() Report {
	c.makeReady()
	r := Report{
		Alerts: c.alerts, Matched: c.matched, Bare: c.bare, Unreadable: c.unreadable, Values: maps.Clone(c.values),
		ByFallback: c.byFallback, Fallback: []FallbackPlace{}, FallbackElsewhere: c.moreFallback,
		Decoders: sortedRows(c.decoders), Groups: sortedRows(c.groups), Unpicked: []Unpicked{}, UnpickedElsewhere: c.rest,
		Mappings: c.tally.Counts(),
	}
	for _, u := range c.unpicked {
		r.Unpicked = append(r.Unpicked, *u)
	}
	for _, f := range c.fallback {
		r.Fallback = append(r.Fallback, *f)
	}
	slices.SortFunc(r.Fallback, func(a, b FallbackPlace) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Decoder, b.Decoder), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Type, b.Type))
	})
	slices.SortFunc(r.Unpicked, func(a, b Unpicked) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Type, b.Type))
	})
	return r
}

func sortedRows(rows map[string]*counts) []Row {
	list := []Row{}
	for name, r := range rows {
		list = append(list, Row{name, r.alerts, r.matched, r.values})
	}
	slices.SortFunc(list, func(a, b Row) int {
		return cmp.Or(cmp.Compare(b.Alerts, a.Alerts), cmp.Compare(a.Name, b.Name))
	})
	return list
}
