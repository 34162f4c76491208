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
// The own values of the observables are kept in any case, as they are written; there are at most [MaxObservables]. Then
// come the other ways to write them, of each observable all or none ([Observable.Plain]). Then come halves of pairs, the
// hosts of URLs, parent domains, and networks: of each observable the nearest one, before the second nearest of any.
func Limit(observables []Observable, base Filter, most int) (left int) {
	if fewRelated(observables, most) {
		return 0
	}
	l := limiter{most: most, asked: map[string]bool{}, items: make([]limited, len(observables))}
	for _, o := range observables {
		l.asked[o.Value] = true
	}
	for i := range observables {
		left += l.keepForms(i, &observables[i], base)
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
			most -= addressTexts + networks
		case familyHost:
			most -= 1 + strings.Count(o.Value, ".")
		case familyURL:
			most -= urlTexts + addressTexts + max(networks, strings.Count(o.Value, "."))
		case familyFilename:
			most -= pathTexts
		case familyRegistryKey, familyRegistryPair:
			most -= registryTexts
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
		if item.filter.Wants(kind) && !l.fits(item.Texts(r).all()) {
			continue
		}
		item.kept++
		some = true
	}
	return some
}

// keepForms keeps all the ways to write the i-th observable, or none but its own if there is no room for all. It returns
// how many texts that leaves out.
func (l *limiter) keepForms(i int, o *Observable, base Filter) (left int) {
	item := &l.items[i]
	*item = limited{Observable: *o, filter: o.Filter.Over(base)}
	var texts []string
	for r, ok := item.next(); ok && r.Kind == MatchExact; r, ok = item.next() {
		texts = append(texts, item.Texts(r).all()...)
		item.kept++
	}
	if !item.filter.Wants(MatchExact) || l.fits(texts) {
		return 0
	}
	o.Plain, item.Plain = true, true
	for _, t := range texts {
		if !l.asked[t] {
			left++
		}
	}
	return left
}

// fits notes texts to ask for, if there is room for those that are new.
func (l *limiter) fits(texts []string) bool {
	var added []string
	for _, t := range texts {
		if l.asked[t] {
			continue
		}
		if len(l.asked) >= l.most {
			for _, t := range added {
				delete(l.asked, t)
			}
			return false
		}
		l.asked[t] = true
		added = append(added, t)
	}
	return true
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
