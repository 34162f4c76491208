package misp

import "strings"

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

// CreatedBy reports whether one of the organisations created the event: names or UUIDs, compared without regard to
// case.
func (e Event) CreatedBy(orgs []string) bool {
	for _, o := range orgs {
		if e.Org != "" && strings.EqualFold(o, e.Org) || e.OrgUUID != "" && strings.EqualFold(o, e.OrgUUID) {
			return true
		}
	}
	return false
}

// A ThreatLevel is MISP's threat_level_id: 1 high, 2 medium, 3 low, 4 undefined. 0 is not known.
type ThreatLevel int

// String returns MISP's word for the level, empty if it is not known.
func (l ThreatLevel) String() string {
	return word([]string{"", "high", "medium", "low", "undefined"}, int(l))
}

// Rank orders levels, 1 for high to 4 for undefined; what is not known ranks as undefined.
func (l ThreatLevel) Rank() int {
	if l <= 0 || l > 4 {
		return 4
	}
	return int(l)
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
