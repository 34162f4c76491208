package engine

import "strings"

// MaxValues is how many values MISP is asked for at most because of one alert: two questions of a thousand.
const MaxValues = 2000

// Limit sets [Observable.Limit] of the observables of one alert so that they are looked up by at most so many
// different values. It returns how many values are left out. base is the configured filter: kinds of matches that it,
// or the filter of the mapping, does not want are not counted.
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
		l.items[i] = limited{related: o.Related(), filter: o.Filter.Over(base), kept: 1}
	}
	for _, kind := range MatchKinds()[1:] {
		for l.keepNext(kind) {
		}
	}
	for i := range observables {
		if item := &l.items[i]; item.kept < len(item.related) {
			observables[i].Limit = item.kept
			left += l.leaveOut(item)
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

// limited is an observable with what of it is kept.
type limited struct {
	related []Relation
	filter  Filter
	kept    int // of related
}

// keepNext keeps the next relation of each observable if it is of the kind and there is room. It returns false if that
// was none.
func (l *limiter) keepNext(kind MatchKind) bool {
	some := false
	for i := range l.items {
		item := &l.items[i]
		if item.kept == len(item.related) || item.related[item.kept].Kind != kind {
			continue
		}
		if key := item.related[item.kept].Indicator.Key; item.filter.Wants(kind) && !l.asked[key] {
			if len(l.asked) >= l.most {
				continue
			}
			l.asked[key] = true
		}
		item.kept++
		some = true
	}
	return some
}

// leaveOut counts the values that only relations behind the kept ones have.
func (l *limiter) leaveOut(item *limited) (left int) {
	for _, r := range item.related[item.kept:] {
		if key := r.Indicator.Key; item.filter.Wants(r.Kind) && !l.asked[key] {
			l.asked[key] = true
			left++
		}
	}
	return left
}
