package backtest

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// A Report is what was counted. Its JSON form is a promise to scripts.
type Report struct {
	// Partial says that not all of the alerts were read.
	Partial bool `json:"partial"`
	// Files were read, Unread could not be, or not to their end. Skipped are those of a day that is out of the time span, Links
	// lead to directories and are not followed.
	Files   int `json:"files"`
	Unread  int `json:"files_unread"`
	Skipped int `json:"files_skipped"`
	Links   int `json:"links"`
	// Since and Until are the time span that was asked for, RFC 3339; empty for none.
	Since string `json:"since,omitempty"`
	Until string `json:"until,omitempty"`

	Alerts     int `json:"alerts"`      // that were judged
	Picked     int `json:"picked"`      // of them, with a value picked
	AlertsHit  int `json:"alerts_hit"`  // of them, with a hit
	Values     int `json:"values"`      // picked
	Hits       int `json:"hits"`        // events that would be sent, before the repeat window and the rate
	Unreadable int `json:"unreadable"`  // lines that are no alerts
	Torn       int `json:"torn"`        // alerts behind the torn start of another, which are judged
	Own        int `json:"own"`         // alerts raised by events of this program, which are not judged
	OutOfSpan  int `json:"out_of_span"` // not judged
	Undated    int `json:"undated"`     // without a time, not judged since there is a time span
	Failed     int `json:"failed"`      // alerts on which a mapping failed
	Cut        int `json:"truncated"`   // alerts of which a bound left something out
	// NotReported counts what is known and raises no event, by reason.
	NotReported map[string]int `json:"not_reported"`

	Indicators []IndicatorCount `json:"indicators"` // most hits first
	Mappings   []MappingCount   `json:"mappings"`
	Agents     []AgentCount     `json:"agents"`
	Days       []DayCount       `json:"days"` // in their order, UTC
	// Short is how much the numbers of the lists above may be too low, since more were found than are counted: by name of the
	// list. Lists that are whole are not in it.
	Short map[string]int `json:"short"`

	Against *Comparison `json:"against,omitempty"`
}

// An IndicatorCount counts the hits on one value.
type IndicatorCount struct {
	Type    string `json:"type"`
	Value   string `json:"value"`
	Hits    int    `json:"hits"`
	Agents  int    `json:"agents"`
	More    bool   `json:"more_agents,omitempty"` // there are more than are counted
	First   string `json:"first,omitempty"`       // RFC 3339, UTC
	Last    string `json:"last,omitempty"`
	Verdict string `json:"verdict"` // these and the following of the first alert
	EventID string `json:"event_id,omitempty"`
	Info    string `json:"info,omitempty"`
	Origin  string `json:"origin,omitempty"`
	Mapping string `json:"mapping"`
	Path    string `json:"path"`
	AlertID string `json:"alert_id,omitempty"`
	Place   string `json:"place"` // FILE:LINE
}

// A MappingCount counts the values that a mapping picked, and the hits on them. Of several mappings it is the first, as
// misp.observable.mapping.
type MappingCount struct {
	ID     string `json:"id"`
	Values int    `json:"values"`
	Hits   int    `json:"hits"`
}

// An AgentCount counts the hits of one agent.
type AgentCount struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Hits int    `json:"hits"`
}

// A DayCount counts the alerts and hits of one day, or of alerts without a time.
type DayCount struct {
	Day    string `json:"day"`
	Alerts int    `json:"alerts"`
	Hits   int    `json:"hits"`
}

// A Comparison says what the mappings add to those before, and what they lose.
type Comparison struct {
	Numbers
	Alerts     int             `json:"alerts"`      // that have another pick
	AlertsHits int             `json:"alerts_hits"` // that have another hit
	Mappings   []MappingChange `json:"mappings"`
}

// Numbers count values, alert by alert.
type Numbers struct {
	PicksAdded int `json:"picks_added"`
	PicksLost  int `json:"picks_lost"`
	HitsAdded  int `json:"hits_added"`
	HitsLost   int `json:"hits_lost"`
}

func (n counts) numbers() Numbers {
	return Numbers{n.picksAdded, n.picksLost, n.hitsAdded, n.hitsLost}
}

func (n Numbers) total() int { return n.PicksAdded + n.PicksLost + n.HitsAdded + n.HitsLost }

// A MappingChange is what values of one mapping were added or lost.
type MappingChange struct {
	ID string `json:"id"`
	Numbers
	Examples []Example `json:"examples"`
}

// An Example is one value that was added or lost.
type Example struct {
	Change  string `json:"change"` // added or lost
	Of      string `json:"of"`     // pick or hit
	Type    string `json:"type"`
	Value   string `json:"value"`
	Path    string `json:"path"`
	AlertID string `json:"alert_id,omitempty"`
	RuleID  string `json:"rule_id,omitempty"`
	Place   string `json:"place"`
}

// Close has parts that come later left out, and returns what was counted. compared says that there was a pipeline to compare with.
func (r *Result) Close(compared bool) Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	n := r.counts
	rep := Report{
		Alerts: n.alerts, Picked: n.picked, AlertsHit: n.hit, Values: n.values, Hits: n.hits, Unreadable: n.unreadable, Torn: n.torn, Own: n.own,
		OutOfSpan: n.outOfSpan, Undated: n.undated, Failed: n.failed, Cut: n.cut, NotReported: map[string]int{}, Short: map[string]int{},
		Indicators: r.indicatorCounts(), Mappings: r.mappingCounts(), Agents: r.agentCounts(), Days: r.dayCounts(),
	}
	for list, short := range map[string]int{"indicators": r.indicators.short, "agents": r.agents.short, "days": r.days.short} {
		if short > 0 {
			rep.Short[list] = short
		}
	}
	if compared {
		rep.Against = r.comparison()
	}
	return rep
}

func (r *Result) indicatorCounts() []IndicatorCount {
	list := []IndicatorCount{}
	compare := func(a, b indicatorKey) int { return cmp.Or(cmp.Compare(a.value, b.value), cmp.Compare(a.typ, b.typ)) }
	for _, k := range r.indicators.sorted(compare) {
		c := r.indicators.rows[k]
		e := c.row.example
		list = append(list, IndicatorCount{
			Type: k.typ, Value: k.value, Hits: c.number, Agents: len(c.row.agents), More: c.row.moreAgents, First: written(c.row.first), Last: written(c.row.last),
			Verdict: e.verdict, EventID: e.eventID, Info: e.info, Origin: e.origin, Mapping: e.mapping, Path: e.path, AlertID: e.alert, Place: e.line.At.String(),
		})
	}
	return list
}

// written returns a time as it is in a report; empty for none.
func written(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func (r *Result) mappingCounts() []MappingCount {
	list := []MappingCount{}
	for id, m := range r.mappings {
		list = append(list, MappingCount{id, m.values, m.hits})
	}
	slices.SortFunc(list, func(a, b MappingCount) int {
		return cmp.Or(cmp.Compare(b.Hits, a.Hits), cmp.Compare(b.Values, a.Values), cmp.Compare(a.ID, b.ID))
	})
	return list
}

func (r *Result) agentCounts() []AgentCount {
	list := []AgentCount{}
	compare := func(a, b agentKey) int { return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.name, b.name)) }
	for _, k := range r.agents.sorted(compare) {
		list = append(list, AgentCount{k.id, k.name, r.agents.rows[k].number})
	}
	return list
}

func (r *Result) dayCounts() []DayCount {
	list := []DayCount{}
	for _, name := range slices.Sorted(maps.Keys(r.days.rows)) {
		c := r.days.rows[name]
		list = append(list, DayCount{name, c.number, c.row})
	}
	return list
}

func (r *Result) comparison() *Comparison {
	c := &Comparison{Numbers: r.counts.numbers(), Alerts: r.counts.alertsChanged, AlertsHits: r.counts.alertsHitsChanged, Mappings: []MappingChange{}}
	for id, row := range r.changes {
		m := MappingChange{ID: id, Numbers: row.numbers.numbers(), Examples: []Example{}}
		for _, kind := range [][2]bool{{true, true}, {true, false}, {false, true}, {false, false}} { // lost hits first
			for _, e := range row.examples[kind] {
				m.Examples = append(m.Examples, e.example())
			}
		}
		c.Mappings = append(c.Mappings, m)
	}
	slices.SortFunc(c.Mappings, func(a, b MappingChange) int {
		return cmp.Or(cmp.Compare(b.HitsAdded+b.HitsLost, a.HitsAdded+a.HitsLost), cmp.Compare(b.total(), a.total()), strings.Compare(a.ID, b.ID))
	})
	return c
}

func (c change) example() Example {
	e := Example{Change: "added", Of: "pick", Type: c.typ, Value: c.value, Path: c.path, AlertID: c.alert, RuleID: c.rule, Place: c.line.At.String()}
	if c.lost {
		e.Change = "lost"
	}
	if c.hit {
		e.Of = "hit"
	}
	return e
}
