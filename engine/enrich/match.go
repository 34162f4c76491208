package enrich

import (
	"context"
	"slices"
	"time"

	"custom-misp/engine"
	"custom-misp/misp"
)

// A Lookup knows indicators of compromise: a MISP server, a directory in MISP feed format, a mirror.
type Lookup interface {
	// Lookup returns every attribute that matches one of the observables and that the observable's filter
	// accepts, but of each observable only the [MaxMatches] strongest, and [MaxAnswer] of all. The order does not matter, and no match is no
	// error. An error means that the answer is not known as a whole, and a [Trouble] says what kind it is; matches beside
	// it are a part of the answer. With a [SkippedError] they are an answer that will do for now.
	Lookup(ctx context.Context, observables []engine.Observable) ([]Match, error)
}

// A Match is an observable that MISP knows, and the attribute by which it is known.
type Match struct {
	Observable engine.Observable
	Attribute  *misp.Attribute // which others may share: it must not be changed
	// Kind says how the two relate: the same value, or one that the other is a part of.
	Kind engine.MatchKind
	// Expired says that the attribute has ended, which makes it weaker than all that have not.
	Expired bool
	// More says that weaker matches of the observable were left out.
	More bool
	// Origins are those who have the attribute, if several MISP servers do; nil for the origin of Attribute alone.
	Origins []string
}

// NewMatch returns the match of an observable with an attribute that it is known by; false if f does not let it count.
func NewMatch(f engine.Filter, o engine.Observable, kind engine.MatchKind, a misp.Attribute, now time.Time) (Match, bool) {
	if !Accepts(f, kind, a, now) {
		return Match{}, false
	}
	return Match{Observable: o, Attribute: &a, Kind: kind, Expired: f.Expired != engine.ExpiredMatch && a.Expired(now)}, true
}

// Accepts reports whether f lets a count as a match of a kind, now.
func Accepts(f engine.Filter, kind engine.MatchKind, a misp.Attribute, now time.Time) bool {
	return Refused(f, kind, a, now) == ""
}

// Refused returns the key of the configuration by which f does not let a count as a match of a kind, now; empty if it does.
func Refused(f engine.Filter, kind engine.MatchKind, a misp.Attribute, now time.Time) string {
	switch {
	case !f.Wants(kind):
		return "lookup.match_kinds"
	case set(f.ToIDs) && !a.ToIDs:
		return "lookup.to_ids"
	case set(f.Published) && !a.Event.Published:
		return "lookup.published"
	case set(f.Warninglists) && len(a.Warninglists) > 0:
		return "lookup.warninglists"
	case len(f.Tags) > 0 && !misp.AnyTag(f.Tags, a.Tags) && !excused(f, a, len(a.Tags) == 0):
		return "lookup.tags"
	case misp.AnyTag(f.ExcludeTags, a.Tags):
		return "lookup.exclude_tags"
	case len(f.Orgs) > 0 && !a.Event.CreatedBy(f.Orgs) && !excused(f, a, a.Event.Org == "" && a.Event.OrgUUID == ""):
		return "lookup.orgs"
	case a.Event.CreatedBy(f.ExcludeOrgs):
		return "lookup.exclude_orgs"
	}
	return refusedByAge(f, a, now)
}

// refusedByAge is Refused for what the time and the rank of an attribute decide.
func refusedByAge(f engine.Filter, a misp.Attribute, now time.Time) string {
	switch {
	case f.Expired == engine.ExpiredIgnore && a.Expired(now):
		return "lookup.expired"
	case f.MinDecayScore != nil && a.DecayScore != nil && *a.DecayScore < float64(*f.MinDecayScore):
		return "lookup.min_decay_score"
	case tooLow(f.MinThreatLevel, a) && !excused(f, a, a.Event.ThreatLevel == 0):
		return "lookup.min_threat_level"
	case f.MaxAge != nil && *f.MaxAge > 0 && now.Sub(a.LastActive()) > time.Duration(*f.MaxAge) && !excused(f, a, a.LastActive().IsZero()):
		return "lookup.max_age"
	}
	return ""
}

// excused reports whether an attribute that does not have what a filter judges by counts nevertheless.
func excused(f engine.Filter, a misp.Attribute, missing bool) bool {
	return missing && f.AcceptsMissing(a.Origin)
}

// tooLow reports whether the event of an attribute has a lower threat level than is asked for; empty asks for none.
func tooLow(least string, a misp.Attribute) bool {
	i := slices.Index(engine.ThreatLevels, least)
	return i >= 0 && a.Event.ThreatLevel.Rank() > i+1
}

func set(flag *bool) bool { return flag != nil && *flag }

type oneTry struct{}

// WithOneTry asks a [Lookup] to try once: it is likely to fail, and an alert waits.
func WithOneTry(ctx context.Context) context.Context { return context.WithValue(ctx, oneTry{}, true) }

// OneTry reports whether a look-up is to be tried once only.
func OneTry(ctx context.Context) bool { return ctx.Value(oneTry{}) != nil }
