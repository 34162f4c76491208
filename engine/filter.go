package engine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Filter narrows which MISP attributes count as a match. A field that is nil or empty leaves the decision to the
// configured filter; there, it accepts everything. The zero Filter accepts every attribute.
type Filter struct {
	// ToIDs, if true, accepts only attributes that are flagged for detection (MISP's to_ids).
	ToIDs *bool `json:"to_ids,omitempty"`
	// Published, if true, accepts only attributes of published events. Any edit un-publishes an event until it is
	// published again.
	Published *bool `json:"published,omitempty"`
	// Tags accepts only attributes that have at least one of these tags, on themselves or on their event.
	// Compared without regard to case; a trailing * matches any rest.
	Tags []string `json:"tags,omitempty"`
	// ExcludeTags rejects attributes that have one of these tags. Same comparison as Tags.
	ExcludeTags []string `json:"exclude_tags,omitempty"`
	// Warninglists, if true, rejects attributes that are on a warninglist: one that is enabled in MISP, or one of a source of
	// warninglists.
	Warninglists *bool `json:"warninglists,omitempty"`
	// MinThreatLevel accepts only attributes of events of this threat level or a higher one: high, medium, low;
	// undefined for any.
	MinThreatLevel string `json:"min_threat_level,omitempty"`
	// MaxAge accepts only attributes that were changed, or last seen, within this time; 0 for any.
	MaxAge *Age `json:"max_age,omitempty"`
	// MinDecayScore accepts only attributes whose best score by MISP's enabled decaying models is this or more,
	// of 100; those that no model scores are accepted.
	MinDecayScore *int `json:"min_decay_score,omitempty"`
	// Orgs accepts only attributes of events that one of these organisations created: names or UUIDs, compared
	// without regard to case.
	Orgs []string `json:"orgs,omitempty"`
	// ExcludeOrgs rejects attributes of events that one of these created.
	ExcludeOrgs []string `json:"exclude_orgs,omitempty"`
	// Expired says what an attribute is that has ended: a match that says so ([ExpiredReport], and empty), none
	// ([ExpiredIgnore]), or a match like others ([ExpiredMatch]).
	Expired string `json:"expired,omitempty"`
	// MatchKinds accepts only matches of these kinds; empty for all.
	MatchKinds []MatchKind `json:"match_kinds,omitempty"`
	// Missing says what an attribute is that does not have what MinThreatLevel, MaxAge, Tags or Orgs judge by: no match
	// ([MissingReject], and empty), or one as far as they are concerned ([MissingAccept]).
	Missing string `json:"missing,omitempty"`
	// MissingOf says the same for sources, by their names, instead of Missing.
	MissingOf map[string]string `json:"-"`
}

// Over returns f, with the fields of base where f has none. For a nil f it is base.
func (f *Filter) Over(base Filter) Filter {
	if f == nil {
		return base
	}
	base.ToIDs = first(f.ToIDs, base.ToIDs)
	base.Published = first(f.Published, base.Published)
	base.Warninglists = first(f.Warninglists, base.Warninglists)
	base.MaxAge = first(f.MaxAge, base.MaxAge)
	base.MinDecayScore = first(f.MinDecayScore, base.MinDecayScore)
	if f.MinThreatLevel != "" {
		base.MinThreatLevel = f.MinThreatLevel
	}
	if f.Expired != "" {
		base.Expired = f.Expired
	}
	for _, list := range []struct{ own, base *[]string }{
		{&f.Tags, &base.Tags}, {&f.ExcludeTags, &base.ExcludeTags}, {&f.Orgs, &base.Orgs}, {&f.ExcludeOrgs, &base.ExcludeOrgs},
	} {
		if *list.own != nil {
			*list.base = *list.own
		}
	}
	if f.MatchKinds != nil {
		base.MatchKinds = f.MatchKinds
	}
	if f.Missing != "" {
		base.Missing, base.MissingOf = f.Missing, nil
	}
	return base
}

// AcceptsMissing reports whether an attribute of a source counts although it does not have what f judges by.
func (f Filter) AcceptsMissing(source string) bool {
	word, ok := f.MissingOf[source]
	if !ok {
		word = f.Missing
	}
	return word == MissingAccept
}

func first[T any](own, base *T) *T {
	if own != nil {
		return own
	}
	return base
}

// Wants reports whether f accepts matches of a kind.
func (f Filter) Wants(k MatchKind) bool {
	return len(f.MatchKinds) == 0 || slices.Contains(f.MatchKinds, k)
}

// The values of [Filter.Expired].
const (
	ExpiredReport = "report"
	ExpiredIgnore = "ignore"
	ExpiredMatch  = "match"
)

// ExpiredWords are the values of [Filter.Expired].
var ExpiredWords = []string{ExpiredReport, ExpiredIgnore, ExpiredMatch}

// The values of [Filter.Missing].
const (
	MissingReject = "reject"
	MissingAccept = "accept"
)

// MissingWords are the values of [Filter.Missing].
var MissingWords = []string{MissingReject, MissingAccept}

// ThreatLevels are MISP's words for threat levels, highest first. The index of a level is its threat_level_id minus one.
var ThreatLevels = []string{"high", "medium", "low", "undefined"}

// An Age is a length of time, in nanoseconds, that people write in days.
type Age time.Duration

// ParseAge reads 90d, 12h, or another duration in Go's form; 0 for any age.
func ParseAge(s string) (Age, error) {
	s = strings.TrimSpace(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 15); err == nil {
			return Age(n) * Age(24*time.Hour), nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a length of time like 90d or 12h", s)
	}
	return Age(d), nil
}

// String returns the age in days where it is whole days.
func (a Age) String() string {
	const day = Age(24 * time.Hour)
	if a > 0 && a%day == 0 {
		return strconv.Itoa(int(a/day)) + "d"
	}
	return time.Duration(a).String()
}

// MarshalText implements encoding.TextMarshaler.
func (a Age) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// ParseDecayScore reads a score from 0 to 100.
func ParseDecayScore(s string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 0 || n > 100 {
		return 0, fmt.Errorf("%q is not a number from 0 to 100", s)
	}
	return n, nil
}
