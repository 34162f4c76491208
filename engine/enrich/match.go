package enrich

import (
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
	Event        Event
}

// An Event is the MISP event that an attribute belongs to.
type Event struct {
	ID          string // of the server that answered; the UUID in feeds
	UUID        string
	Info        string
	Org         string // name of the creator organisation
	ThreatLevel ThreatLevel
	Analysis    Analysis
	Date        string // YYYY-MM-DD
	Published   bool
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

// Accepts reports whether f lets a count as a match.
func Accepts(f engine.Filter, a Attribute) bool {
	if f.ToIDs != nil && *f.ToIDs && !a.ToIDs {
		return false
	}
	if f.Warninglists != nil && *f.Warninglists && len(a.Warninglists) > 0 {
		return false
	}
	if len(f.Tags) > 0 && !anyTag(f.Tags, a.Tags) {
		return false
	}
	return !anyTag(f.ExcludeTags, a.Tags)
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

// compareStrength orders attributes with the strongest first: flagged for detection, then by threat level, then
// the newest. Equal ones are ordered by UUID, so that the same answer always gives the same event.
func compareStrength(a, b Attribute) int {
	if a.ToIDs != b.ToIDs {
		if a.ToIDs {
			return -1
		}
		return 1
	}
	if d := a.Event.ThreatLevel.rank() - b.Event.ThreatLevel.rank(); d != 0 {
		return d
	}
	if d := b.Timestamp.Compare(a.Timestamp); d != 0 {
		return d
	}
	return strings.Compare(a.UUID, b.UUID)
}

func (l ThreatLevel) rank() int {
	if l <= 0 || l > 4 {
		return 4
	}
	return int(l)
}
