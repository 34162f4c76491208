package backtest

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds of what is kept.
const (
	// MaxIndicators, MaxAgents and MaxDays are how many of each are counted: those with most hits, and days with most alerts.
	MaxIndicators = 20_000
	MaxAgents     = 20_000
	MaxDays       = 5_000
	// maxAgentsOf is how many agents are counted of one indicator.
	maxAgentsOf = 50
	// maxExamples is how many examples there are of each kind of change of one mapping.
	maxExamples = 3
	// maxText is how long a value, or a text about it, is kept, in bytes.
	maxText = 500
)

type (
	indicatorKey struct{ typ, value string }
	agentKey     struct{ id, name string }
)

// indicatorRow is what is known of an indicator besides the number of its hits.
type indicatorRow struct {
	first, last time.Time
	example     hit // the first in the order of places
	agents      []agentKey
	moreAgents  bool
}

// mappingRow counts what a mapping picked, and its hits.
type mappingRow struct{ values, hits int }

// changeRow counts what a change adds to a mapping and loses there.
type changeRow struct {
	numbers  counts
	examples map[[2]bool][]change // by hit and lost
}

// A Result adds up parts. It is safe for concurrent use. Make one with [NewResult].
type Result struct {
	mu         sync.Mutex
	closed     bool
	counts     counts
	indicators top[indicatorKey, indicatorRow]
	agents     top[agentKey, struct{}]
	days       top[string, int] // counted by alerts; the row is hits
	mappings   map[string]mappingRow
	changes    map[string]*changeRow
}

// NewResult returns a result of nothing.
func NewResult() *Result {
	return &Result{
		indicators: newTop[indicatorKey, indicatorRow](MaxIndicators), agents: newTop[agentKey, struct{}](MaxAgents),
		days: newTop[string, int](MaxDays), mappings: map[string]mappingRow{}, changes: map[string]*changeRow{},
	}
}

// Add adds a part, unless the result is closed.
func (r *Result) Add(p *Part) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.counts.add(p.counts)
	for id, n := range p.values {
		m := r.mappings[id]
		m.values += n
		r.mappings[id] = m
	}
	for name, d := range p.days {
		hits, _ := r.days.add(name, d.alerts)
		*hits += d.hits
	}
	for _, h := range p.hits {
		r.addHit(h)
	}
	for _, c := range p.changes {
		r.addChange(c)
	}
}

// Unreadable counts a line that was not read.
func (r *Result) Unreadable() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.counts.unreadable++
	}
}

func (n *counts) add(o counts) {
	for _, pair := range []struct {
		to   *int
		from int
	}{
		{&n.alerts, o.alerts},
		{&n.picked, o.picked},
		{&n.hit, o.hit},
		{&n.values, o.values},
		{&n.hits, o.hits},
		{&n.unreadable, o.unreadable},
		{&n.torn, o.torn},
		{&n.own, o.own},
		{&n.outOfSpan, o.outOfSpan},
		{&n.undated, o.undated},
		{&n.failed, o.failed},
		{&n.cut, o.cut},
		{&n.picksAdded, o.picksAdded},
		{&n.picksLost, o.picksLost},
		{&n.hitsAdded, o.hitsAdded},
		{&n.hitsLost, o.hitsLost},
		{&n.alertsChanged, o.alertsChanged},
		{&n.alertsHitsChanged, o.alertsHitsChanged},
	} {
		*pair.to += pair.from
	}
}

func (r *Result) addHit(h hit) {
	m := r.mappings[h.mapping]
	m.hits++
	r.mappings[h.mapping] = m
	agent := agentKey{kept(h.agentID), kept(h.agent)}
	r.agents.add(agent, 1)
	row, fresh := r.indicators.add(indicatorKey{h.typ, kept(h.value)}, 1)
	if fresh || h.line.before(row.example.line) {
		h.value, h.info, h.path, h.eventID, h.origin = kept(h.value), kept(h.info), kept(h.path), kept(h.eventID), kept(h.origin)
		row.example = h
	}
	if h.dated {
		if row.first.IsZero() || h.time.Before(row.first) {
			row.first = h.time
		}
		if h.time.After(row.last) {
			row.last = h.time
		}
	}
	switch {
	case slices.Contains(row.agents, agent):
	case len(row.agents) < maxAgentsOf:
		row.agents = append(row.agents, agent)
	default:
		row.moreAgents = true
	}
}

// kept returns a text as it is kept: a part of it if it is long, and a copy, since it may be part of an alert.
func kept(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return strings.Clone(s)
}

func (r *Result) addChange(c change) {
	row := r.changes[c.mapping]
	if row == nil {
		row = &changeRow{examples: map[[2]bool][]change{}}
		r.changes[c.mapping] = row
	}
	row.numbers.change(c)
	kind := [2]bool{c.hit, c.lost}
	list := row.examples[kind]
	if len(list) == maxExamples && !c.line.before(list[maxExamples-1].line) {
		return
	}
	c.value, c.path = kept(c.value), kept(c.path)
	list = append(list, c)
	slices.SortStableFunc(list, func(a, b change) int {
		switch {
		case a.line.before(b.line):
			return -1
		case b.line.before(a.line):
			return 1
		}
		return cmp.Or(cmp.Compare(a.typ, b.typ), cmp.Compare(a.value, b.value))
	})
	row.examples[kind] = list[:min(len(list), maxExamples)]
}
