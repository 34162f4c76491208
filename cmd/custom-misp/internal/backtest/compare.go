package backtest

import (
	"slices"

	"github.com/tidwall/gjson"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
)

// This file says what a change of mappings adds and loses, alert by alert: values that are picked after it and were not before, and
// the other way round, by whichever mapping.

// A change is a value of one alert that was added or lost.
type change struct {
	line        Line
	hit, lost   bool // a hit, not a pick; lost, not added
	mapping     string
	typ, value  string
	path        string
	alert, rule string
}

// compare notes what differs between two judgements of one alert.
func (p *Part) compare(a judgedAlert, text []byte, before, now enrich.Judged) {
	if sameValues(before.Observables, now.Observables) && len(before.Events)+len(now.Events) == 0 {
		return // nearly all
	}
	begin := len(p.changes)
	picksBefore, picksNow := indicatorsOf(before.Observables), indicatorsOf(now.Observables)
	p.changes = appendPicks(p.changes, now.Observables, picksBefore, change{line: a.line})
	p.changes = appendPicks(p.changes, before.Observables, picksNow, change{line: a.line, lost: true})
	picks := len(p.changes)
	p.changes = appendHits(p.changes, now.Events, before.Events, change{line: a.line, hit: true})
	p.changes = appendHits(p.changes, before.Events, now.Events, change{line: a.line, hit: true, lost: true})
	if picks > begin {
		p.counts.alertsChanged++
	}
	if len(p.changes) > picks {
		p.counts.alertsHitsChanged++
	}
	if len(p.changes) == begin {
		return
	}
	of := gjson.GetManyBytes(text, "id", "rule.id")
	for i := range p.changes[begin:] {
		c := &p.changes[begin+i]
		c.alert, c.rule = of[0].String(), of[1].String()
		p.counts.change(*c)
	}
}

func (n *counts) change(c change) {
	switch {
	case c.hit && c.lost:
		n.hitsLost++
	case c.hit:
		n.hitsAdded++
	case c.lost:
		n.picksLost++
	default:
		n.picksAdded++
	}
}

// sameValues reports whether two lists have the same values in the same order.
func sameValues(a, b []engine.Observable) bool {
	return slices.EqualFunc(a, b, func(a, b engine.Observable) bool { return a.Type == b.Type && a.Value == b.Value })
}

func indicatorsOf(observables []engine.Observable) map[engine.Indicator]bool {
	set := make(map[engine.Indicator]bool, len(observables))
	for _, o := range observables {
		set[o.Indicator()] = true
	}
	return set
}

// appendPicks appends the values that are not in other, each once.
func appendPicks(to []change, observables []engine.Observable, other map[engine.Indicator]bool, c change) []change {
	noted := map[engine.Indicator]bool{}
	for _, o := range observables {
		if i := o.Indicator(); !other[i] && !noted[i] {
			noted[i] = true
			c.mapping, c.path, c.typ, c.value = o.Picks[0].Mapping, o.Picks[0].Path, string(o.Type), o.Value
			to = append(to, c)
		}
	}
	return to
}

// appendHits appends the hits on values that are not in other.
func appendHits(to []change, events, other []enrich.Enrichment, c change) []change {
	for _, e := range events {
		o := e.Body.Observable
		if slices.ContainsFunc(other, func(e enrich.Enrichment) bool { return sameIndicator(*e.Body.Observable, *o) }) {
			continue
		}
		c.mapping, c.path, c.typ, c.value = o.Mapping, o.Path, o.Type, o.Value
		to = append(to, c)
	}
	return to
}

func sameIndicator(a, b enrich.ObservableBody) bool {
	return engine.Observable{Type: engine.Type(a.Type), Value: a.Value}.Indicator() == engine.Observable{Type: engine.Type(b.Type), Value: b.Value}.Indicator()
}
