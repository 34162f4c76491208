package enrich

import (
	"cmp"
	"context"
	"slices"
	"time"

	"custom-misp/engine"
	"custom-misp/misp"
)

// A Lookup knows indicators of compromise: a MISP server, a directory in MISP feed format, a mirror.
type Lookup interface {
	// Lookup returns every attribute that matches one of the observables and that the observable's filter
	// accepts. The order does not matter, and no match is no error. An error means that the answer is not
	// known as a whole, and a [Trouble] says what kind it is; matches beside it are a part of the answer.
	Lookup(ctx context.Context, observables []engine.Observable) ([]Match, error)
}

// A Match is an observable that MISP knows, and the attribute by which it is known.
type Match struct {
	Observable engine.Observable
	Attribute  misp.Attribute
	// Kind says how the two relate: the same value, or one that the other is a part of.
	Kind engine.MatchKind
}

// Accepts reports whether f lets a count as a match of a kind, now.
func Accepts(f engine.Filter, kind engine.MatchKind, a misp.Attribute, now time.Time) bool {
	switch {
	case !f.Wants(kind),
		set(f.ToIDs) && !a.ToIDs,
		set(f.Published) && !a.Event.Published,
		set(f.Warninglists) && len(a.Warninglists) > 0,
		len(f.Tags) > 0 && !misp.AnyTag(f.Tags, a.Tags),
		misp.AnyTag(f.ExcludeTags, a.Tags),
		len(f.Orgs) > 0 && !a.Event.CreatedBy(f.Orgs),
		a.Event.CreatedBy(f.ExcludeOrgs),
		f.MinDecayScore != nil && a.DecayScore != nil && *a.DecayScore < float64(*f.MinDecayScore):
		return false
	}
	if i := slices.Index(engine.ThreatLevels, f.MinThreatLevel); i >= 0 && a.Event.ThreatLevel.Rank() > i+1 {
		return false
	}
	return f.MaxAge == nil || *f.MaxAge <= 0 || now.Sub(a.LastActive()) <= time.Duration(*f.MaxAge)
}

func set(flag *bool) bool { return flag != nil && *flag }

// compareStrength orders matches with the strongest first: flagged for detection, then the closest kind, then by
// threat level, then the newest. Equal ones are ordered by UUID, so that the same answer always gives the same
// event.
func compareStrength(a, b Match) int {
	kind := func(m Match) int { return slices.Index(engine.MatchKinds(), m.Kind) }
	flag := map[bool]int{true: 0, false: 1}
	return cmp.Or(
		cmp.Compare(flag[a.Attribute.ToIDs], flag[b.Attribute.ToIDs]),
		cmp.Compare(kind(a), kind(b)),
		cmp.Compare(a.Attribute.Event.ThreatLevel.Rank(), b.Attribute.Event.ThreatLevel.Rank()),
		b.Attribute.Timestamp.Compare(a.Attribute.Timestamp),
		cmp.Compare(a.Attribute.UUID, b.Attribute.UUID),
	)
}

type oneTry struct{}

// WithOneTry asks a [Lookup] to try once: it is likely to fail, and an alert waits.
func WithOneTry(ctx context.Context) context.Context { return context.WithValue(ctx, oneTry{}, true) }

// OneTry reports whether a look-up is to be tried once only.
func OneTry(ctx context.Context) bool { return ctx.Value(oneTry{}) != nil }
