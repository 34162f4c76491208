package enrich

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"custom-misp/engine"
)

// A Lookup knows indicators of compromise: a MISP server, a directory in MISP feed format, a mirror.
type Lookup interface {
	// Lookup returns every attribute that matches one of the observables and that the observable's filter
	// accepts. The order does not matter, and no match is no error. An error means that the answer is not
	// known for any of the observables; [Trouble] tells what kind it is.
	Lookup(ctx context.Context, observables []engine.Observable) ([]Match, error)
}

// A Match is an observable that MISP knows, and the attribute by which it is known.
type Match struct {
	Observable engine.Observable
	Attribute  Attribute
	// Kind says how the two relate: the same value, or one that the other is a part of.
	Kind engine.MatchKind
}

// An Attribute is a MISP attribute with what is worth knowing of its event. Texts are as MISP gives them.
type Attribute struct {
	ID           string // of the server that answered; empty in feeds
	UUID         string
	Type         engine.Type
	Category     string
	Value        string // with both halves for a composite type: "invoice.doc|ba6c…"
	Comment      string
	ToIDs        bool
	Timestamp    time.Time // of the last change; zero if not known
	FirstSeen    string    // ISO 8601, empty if not known
	LastSeen     string    // ISO 8601, empty if not known
	Tags         []string  // its own first, then those of the event; without repeats
	Warninglists []string  // names of the enabled MISP warninglists that hold the value
	DecayScore   *float64  // the best of MISP's enabled decaying models, 0 to 100; nil if none has one
	Event        Event
	// Origin names whose knowledge it is, where there is more than one: "misp", or a feed or list by the name that
	// the configuration gives it. Empty if MISP was asked itself.
	Origin string
}

// OriginMISP is the origin of what a mirror has from the MISP server itself.
const OriginMISP = "misp"

// An Event is the MISP event that an attribute belongs to.
type Event struct {
	ID          string // of the server that answered; the UUID in feeds
	UUID        string
	Info        string
	Org         string // name of the creator organisation
	OrgUUID     string // its UUID
	ThreatLevel ThreatLevel
	Analysis    Analysis
	Date        string // YYYY-MM-DD
	Published   bool
	Tags        []string // its own; the attributes have them too
}

// A ThreatLevel is MISP's threat_level_id: 1 high, 2 medium, 3 low, 4 undefined. 0 is not known.
type ThreatLevel int

// String returns MISP's word for the level, empty if it is not known.
func (l ThreatLevel) String() string {
	return word([]string{"", "high", "medium", "low", "undefined"}, int(l))
}

// An Analysis is MISP's state of analysis plus one: 1 initial, 2 ongoing, 3 complete. 0 is not known.
type Analysis int

// String returns MISP's word for the state, empty if it is not known.
func (a Analysis) String() string {
	return word([]string{"", "initial", "ongoing", "complete"}, int(a))
}

func word(words []string, i int) string {
	if i < 0 || i >= len(words) {
		return ""
	}
	return words[i]
}

// Accepts reports whether f lets a count as a match of a kind, now.
func Accepts(f engine.Filter, kind engine.MatchKind, a Attribute, now time.Time) bool {
	switch {
	case !f.Wants(kind),
		set(f.ToIDs) && !a.ToIDs,
		set(f.Published) && !a.Event.Published,
		set(f.Warninglists) && len(a.Warninglists) > 0,
		len(f.Tags) > 0 && !anyTag(f.Tags, a.Tags),
		anyTag(f.ExcludeTags, a.Tags),
		len(f.Orgs) > 0 && !anyOrg(f.Orgs, a.Event),
		anyOrg(f.ExcludeOrgs, a.Event),
		f.MinDecayScore != nil && a.DecayScore != nil && *a.DecayScore < float64(*f.MinDecayScore):
		return false
	}
	if i := slices.Index(engine.ThreatLevels, f.MinThreatLevel); i >= 0 && a.Event.ThreatLevel.rank() > i+1 {
		return false
	}
	return f.MaxAge == nil || *f.MaxAge <= 0 || now.Sub(a.lastHeardOf()) <= time.Duration(*f.MaxAge)
}

func set(flag *bool) bool { return flag != nil && *flag }

func anyOrg(orgs []string, e Event) bool {
	return slices.ContainsFunc(orgs, func(o string) bool {
		return e.Org != "" && strings.EqualFold(o, e.Org) || e.OrgUUID != "" && strings.EqualFold(o, e.OrgUUID)
	})
}

// lastHeardOf returns when a was last changed or seen, whichever is later.
func (a Attribute) lastHeardOf() time.Time {
	seen, err := time.Parse(time.RFC3339, a.LastSeen)
	if err == nil && seen.After(a.Timestamp) {
		return seen
	}
	return a.Timestamp
}

func anyTag(patterns, tags []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		p = strings.ToLower(p)
		start, open := strings.CutSuffix(p, "*")
		return slices.ContainsFunc(tags, func(tag string) bool {
			tag = strings.ToLower(tag)
			return tag == p || open && strings.HasPrefix(tag, start)
		})
	})
}

// compareStrength orders matches with the strongest first: flagged for detection, then the closest kind, then by
// threat level, then the newest. Equal ones are ordered by UUID, so that the same answer always gives the same
// event.
func compareStrength(a, b Match) int {
	kind := func(m Match) int { return slices.Index(engine.MatchKinds(), m.Kind) }
	flag := map[bool]int{true: 0, false: 1}
	return cmp.Or(
		cmp.Compare(flag[a.Attribute.ToIDs], flag[b.Attribute.ToIDs]),
		cmp.Compare(kind(a), kind(b)),
		cmp.Compare(a.Attribute.Event.ThreatLevel.rank(), b.Attribute.Event.ThreatLevel.rank()),
		b.Attribute.Timestamp.Compare(a.Attribute.Timestamp),
		cmp.Compare(a.Attribute.UUID, b.Attribute.UUID),
	)
}

func (l ThreatLevel) rank() int {
	if l <= 0 || l > 4 {
		return 4
	}
	return int(l)
}

type oneTry struct{}

// WithOneTry tells a [Lookup] to try once: it is likely to fail, and somebody waits.
func WithOneTry(ctx context.Context) context.Context { return context.WithValue(ctx, oneTry{}, true) }

// OneTry reports whether a look-up is to be tried once only.
func OneTry(ctx context.Context) bool { return ctx.Value(oneTry{}) != nil }
