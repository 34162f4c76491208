package engine

import (
	"iter"
	"net/netip"
	"strings"
)

// Limit sets [Observable.Limit] of the observables of one alert so that they are looked up by at most so many
// different values. It returns how many values are left out; one that two observables would be looked up by may count
// twice. base is the configured filter: kinds of matches that it, or the filter of the mapping, does not want are not
// counted.
//
// The own values of the observables are kept in any case; there are at most [MaxObservables], in two spellings each.
// Then come the hosts of URLs, then parent domains, then networks: of each observable the nearest one, before the
// second nearest of any.
func Limit(observables []Observable, base Filter, most int) (left int) {
	if fewRelated(observables, most) {
		return 0
	}
	l := limiter{most: most, asked: map[string]bool{}, items: make([]limited, len(observables))}
	for i, o := range observables {
		for _, v := range o.Spellings() {
			l.asked[v] = true
		}
		l.items[i] = limited{Observable: o, filter: o.Filter.Over(base), kept: 1}
	}
	for _, kind := range MatchKinds()[1:] {
		for l.keepNext(kind) {
		}
	}
	for i := range observables {
		item := &l.items[i]
		if _, more := item.next(); more {
			observables[i].Limit = item.kept
			left += item.leftOut()
		}
	}
	return left
}

// fewRelated reports whether the observables have no more than so many related values, at first sight: so it is with
// nearly all alerts.
func fewRelated(observables []Observable, most int) bool {
	const networks = 1 + 128 - shortestIPv6 // that an address is in
	for _, o := range observables {
		switch o.Type.Family() {
		case familyIP:
			most -= 1 + networks
		case familyHost:
			most -= 1 + strings.Count(o.Value, ".")
		case familyURL:
			most -= 3 + max(networks, strings.Count(o.Value, "."))
		default:
			most -= 2
		}
	}
	return most >= 0
}

// A limiter is one run of [Limit].
type limiter struct {
	most  int
	asked map[string]bool // values
	items []limited
}

// keepNext keeps the next relation of each observable if it is of the kind and there is room. It returns false if that
// was none.
func (l *limiter) keepNext(kind MatchKind) bool {
	some := false
	for i := range l.items {
		item := &l.items[i]
		r, ok := item.next()
		if !ok || r.Kind != kind {
			continue
		}
		if item.filter.Wants(kind) && !l.asked[r.Indicator.Key] {
			if len(l.asked) >= l.most {
				continue
			}
			l.asked[r.Indicator.Key] = true
		}
		item.kept++
		some = true
	}
	return some
}

// limited is an observable with what of it is kept.
type limited struct {
	Observable
	filter  Filter
	related []Relation // as many as were needed yet
	whole   bool       // these are all
	kept    int        // of related
}

// next returns the first relation that is not kept; false if there is none.
func (i *limited) next() (Relation, bool) {
	if i.kept >= len(i.related) && !i.whole {
		n := 2 * (i.kept + 1) // an alert with many observables keeps few of each
		i.related = i.nearest(n)
		i.whole = len(i.related) < n
	}
	if i.kept >= len(i.related) {
		return Relation{}, false
	}
	return i.related[i.kept], true
}

// leftOut counts what is not kept and would be asked for.
func (i *limited) leftOut() (left int) {
	networks := 0
	others := i.RelatedIn(func(a netip.Addr) iter.Seq[netip.Prefix] {
		networks = 1 + a.BitLen() - shortest(a)
		return func(func(netip.Prefix) bool) {}
	})
	for _, r := range others[min(i.kept, len(others)):] {
		if i.filter.Wants(r.Kind) {
			left++
		}
	}
	if i.filter.Wants(MatchNetwork) {
		left += networks - max(0, i.kept-len(others))
	}
	return left
}
