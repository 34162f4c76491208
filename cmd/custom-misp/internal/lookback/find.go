package lookback

import (
	"cmp"
	"context"
	"iter"
	"net/netip"
	"slices"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/history"
)

const (
	// maxEntries is how many values of the history one indicator is compared with: a domain or a network may have more.
	maxEntries = 1000
	// maxHits is how many values of the history that match are looked at together; further ones are only counted.
	maxHits = 100_000
)

// A question is a query of the history for an attribute.
type question struct {
	query     history.Query
	indicator engine.Indicator
	attribute int
}

// A hit is a value of the history that is known now.
type hit struct {
	entry   history.Entry
	matches []enrich.Match
}

// batch looks up attributes, and reports what was seen of them.
func (r *run) batch(ctx context.Context, attributes []arrival, many bool) error {
	var questions []question
	for i, a := range attributes {
		for _, in := range engine.Indicators(engine.Type(a.Type), a.Value) {
			questions = append(questions, question{queryOf(a, in), in, i})
		}
	}
	slices.SortFunc(questions, func(a, b question) int {
		return cmp.Or(a.query.Compare(b.query), cmp.Compare(a.attribute, b.attribute))
	})
	view, err := r.o.View()
	if err != nil {
		return err
	}
	defer view.Close()
	found := map[engine.Indicator]int{}
	var hits []hit
	for _, q := range questions {
		if err := r.pace(ctx, many); err != nil {
			return err
		}
		entries, _, err := view.Find(ctx, q.query, maxEntries)
		if err != nil {
			return err
		}
		for _, e := range entries {
			m, ok := r.match(ctx, e, q.indicator, attributes[q.attribute])
			if !ok {
				continue
			}
			i, known := found[e.Indicator]
			if !known && len(hits) == maxHits {
				r.over++
				continue
			}
			if !known {
				i = len(hits)
				found[e.Indicator] = i
				hits = append(hits, hit{entry: e})
			}
			hits[i].matches = append(hits[i].matches, m)
		}
	}
	r.indicators, r.hits = r.indicators+len(attributes), r.hits+len(hits)
	r.note(func(s *Status) { s.Indicators, s.Hits = s.Indicators+uint64(len(attributes)), s.Hits+uint64(len(hits)) })
	return r.report(ctx, hits)
}

// queryOf returns what is looked for: a value, the addresses in a network, or a domain with the names below it.
func queryOf(a arrival, i engine.Indicator) history.Query {
	if p, ok := i.Network(); ok {
		return history.OfNetwork(p)
	}
	if a.Type == "domain" && i.Family == engine.Type("domain").Family() {
		return history.OfDomain(i.Key)
	}
	return history.OfValue(i)
}

// match returns the match of a value of the history with an attribute, if it is one that is reported today.
func (r *run) match(ctx context.Context, e history.Entry, i engine.Indicator, a arrival) (enrich.Match, bool) {
	if e.First.After(r.at) {
		return enrich.Match{}, false // look-ups knew it by then
	}
	o := engine.Observable{Type: e.Family.Lead(), Value: e.Key}
	kind, ok := kindOf(o, i, a)
	if !ok {
		return enrich.Match{}, false
	}
	if kind == engine.MatchExact && !e.Itself && e.URLHost {
		kind = engine.MatchURLHost
	}
	for _, id := range e.Mappings {
		o.Picks = append(o.Picks, engine.Pick{Mapping: id, Type: o.Type})
	}
	if len(o.Picks) == 0 {
		o.Picks = []engine.Pick{{Type: o.Type}}
	}
	p := r.site.Pipeline
	for _, pick := range o.Picks { // one of the mappings that picked it may let it count
		o.Filter = p.Engine.Filter(pick.Mapping)
		filter := o.Filter.Over(p.Filter)
		m, ok := enrich.NewMatch(filter, o, kind, a.Attribute, r.o.Now())
		if !ok || a.draft && a.Event.Published && acceptsDraft(filter, m, r.o.Now()) {
			continue
		}
		m = r.site.Mirror.Warn(ctx, []enrich.Match{m})[0]
		if p.Suppress.OfMatch(m).Reported() {
			return m, true
		}
	}
	return enrich.Match{}, false
}

// acceptsDraft reports whether a match counted before its event was published: then look-ups knew it.
func acceptsDraft(f engine.Filter, m enrich.Match, now time.Time) bool {
	draft := *m.Attribute
	draft.Event.Published = false
	return enrich.Accepts(f, m.Kind, draft, now)
}

// kindOf returns how a value that was seen relates to an attribute with an indicator; false if it does not, as a name that was
// seen below a known host name.
func kindOf(o engine.Observable, i engine.Indicator, a arrival) (engine.MatchKind, bool) {
	around := func(address netip.Addr) iter.Seq[netip.Prefix] {
		return func(yield func(netip.Prefix) bool) {
			if p, ok := i.Network(); ok && p.Contains(address) {
				yield(p)
			}
		}
	}
	for _, relation := range o.RelatedIn(around) {
		if relation.Indicator == i && relation.Fits(engine.Type(a.Type)) {
			return relation.Kind, true
		}
	}
	return "", false
}
