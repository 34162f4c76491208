// Package backtest counts what the mappings and the mirror of today would have reported of many alerts, and what a change of
// mappings adds and loses. It decides nothing itself: [enrich.Pipeline.Judge] does, by which a call and the daemon report too.
//
// Memory does not grow with the alerts. Of what they may hold any number of, such as indicators and agents, those with most hits
// are kept, and the report says where others were left out.
package backtest

import (
	"cmp"
	"context"
	"time"

	"custom-misp/engine/enrich"
	"custom-misp/engine/wazuh"
)

// A Run judges alerts. It is safe for concurrent use.
type Run struct {
	Pipeline *enrich.Pipeline
	// Before is the pipeline with the mappings before a change; nil for no comparison.
	Before *enrich.Pipeline
	Span   Span
}

// A Span is a time. A side that is zero is open.
type Span struct {
	Since time.Time
	Until time.Time // is not in it
}

// Bounded reports whether a span has an end.
func (s Span) Bounded() bool { return !s.Since.IsZero() || !s.Until.IsZero() }

// Has reports whether a time is in the span.
func (s Span) Has(t time.Time) bool {
	return (s.Since.IsZero() || !t.Before(s.Since)) && (s.Until.IsZero() || t.Before(s.Until))
}

// A Line is the text of what may be an alert, and its place.
type Line struct {
	At   wazuh.Position
	File int // its number, by which places are ordered
	Text []byte
}

// before orders lines by their place.
func (l Line) before(o Line) bool {
	return cmp.Or(cmp.Compare(l.File, o.File), cmp.Compare(l.At.Line, o.At.Line), cmp.Compare(l.At.Item, o.At.Item)) < 0
}

// A Fault is a line that is not an alert.
type Fault struct {
	At  wazuh.Position
	Err error
}

// A Part is what was counted of some lines.
type Part struct {
	Faults []Fault

	counts  counts
	values  map[string]int // by mapping
	days    map[string]day
	hits    []hit
	changes []change
}

// counts are numbers of lines and alerts.
type counts struct {
	alerts, picked, hit              int // that were judged, with a value picked, with a hit
	values, hits                     int
	unreadable, torn                 int // lines, and alerts behind a torn start of another
	own, outOfSpan, undated          int // alerts that are not judged
	failed, cut                      int // of those that are: a mapping failed, a bound left something out
	picksAdded, picksLost            int
	hitsAdded, hitsLost              int
	alertsChanged, alertsHitsChanged int
}

// A hit is an event that would be sent.
type hit struct {
	line           Line // without the text
	time           time.Time
	dated          bool
	typ, value     string
	mapping, path  string
	agentID, agent string
	alert          string
	verdict        string
	eventID, info  string
	origin         string
}

// day counts alerts and hits.
type day struct{ alerts, hits int }

// unknownDay stands for that of alerts without a time.
const unknownDay = "unknown"

// dayOf returns the day of a time, in UTC.
func dayOf(t time.Time, dated bool) string {
	if !dated {
		return unknownDay
	}
	return t.UTC().Format(time.DateOnly)
}

// judgedAlert is an alert that is judged.
type judgedAlert struct {
	line  Line
	time  time.Time
	dated bool
}

// Judge judges the alerts in some lines. An error says that values cannot be looked up.
func (r *Run) Judge(ctx context.Context, lines []Line) (*Part, error) {
	p := &Part{values: map[string]int{}, days: map[string]day{}}
	var alerts []judgedAlert
	var texts [][]byte
	for _, line := range lines {
		found, err := enrich.Readable(line.Text)
		if err != nil {
			p.counts.unreadable++
			p.counts.torn += len(found)
			p.Faults = append(p.Faults, Fault{line.At, err})
		}
		line.Text = nil
		for _, text := range found {
			if a, wanted := r.wants(p, line, text); wanted {
				alerts, texts = append(alerts, a), append(texts, text)
			}
		}
	}
	judged, err := r.Pipeline.Judge(ctx, texts)
	if err != nil {
		return nil, err
	}
	var before []enrich.Judged
	if r.Before != nil {
		if before, err = r.Before.Judge(ctx, texts); err != nil {
			return nil, err
		}
	}
	for i, a := range alerts {
		p.count(a, judged[i])
		if before != nil {
			p.compare(a, texts[i], before[i], judged[i])
		}
	}
	return p, nil
}

// wants reports whether an alert is to be judged, and counts it if not.
func (r *Run) wants(p *Part, line Line, text []byte) (a judgedAlert, wanted bool) {
	if wazuh.IsEnrichment(text) {
		p.counts.own++
		return a, false
	}
	a = judgedAlert{line: line}
	a.time, a.dated = enrich.TimeOf(text)
	switch {
	case !r.Span.Bounded():
	case !a.dated:
		p.counts.undated++
		return a, false
	case !r.Span.Has(a.time):
		p.counts.outOfSpan++
		return a, false
	}
	return a, true
}

// count counts what was judged.
func (p *Part) count(a judgedAlert, j enrich.Judged) {
	p.counts.alerts++
	if j.Warning != nil {
		p.counts.failed++
	}
	if len(j.Cuts) > 0 {
		p.counts.cut++
	}
	if len(j.Observables) > 0 {
		p.counts.picked++
	}
	if len(j.Events) > 0 {
		p.counts.hit++
	}
	p.counts.values += len(j.Observables)
	for _, o := range j.Observables {
		p.values[o.Picks[0].Mapping]++
	}
	d := p.days[dayOf(a.time, a.dated)]
	d.alerts++
	d.hits += len(j.Events)
	p.days[dayOf(a.time, a.dated)] = d
	p.counts.hits += len(j.Events)
	for _, e := range j.Events {
		p.hits = append(p.hits, hitOf(a, e))
	}
}

func hitOf(a judgedAlert, e enrich.Enrichment) hit {
	b := e.Body
	h := hit{
		line: a.line, time: a.time, dated: a.dated, typ: b.Observable.Type, value: b.Observable.Value, mapping: b.Observable.Mapping, path: b.Observable.Path,
		agentID: e.Agent.ID, agent: e.Agent.Name, verdict: b.Verdict(), eventID: b.EventID, origin: b.Origin,
	}
	if b.Event != nil {
		h.info = b.Event.Info
	}
	if s := b.Source; s != nil {
		h.alert = s.AlertID
		if s.Agentless != nil {
			h.agentID, h.agent = "", s.Agentless.Host
		}
	}
	return h
}
