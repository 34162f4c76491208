package enrich

import (
	"cmp"
	"slices"

	"custom-misp/engine"
)

// MaxMatches is how many matches of one observable a look-up returns, the strongest. Whoever gets so many has to expect
// that there are more.
const MaxMatches = 5000

// Strongest collects the matches of one observable: all of them, or the [MaxMatches] strongest if there are more. It
// keeps at most twice as many in memory. The zero value is empty.
type Strongest struct{ matches []Match }

// Add adds a match.
func (s *Strongest) Add(m Match) {
	s.matches = append(s.matches, m)
	if len(s.matches) >= 2*MaxMatches {
		s.cut()
	}
}

// AppendTo appends the matches to a list: in the order in which they were added, or the strongest first if they are not
// all. Nothing may be added after that.
func (s *Strongest) AppendTo(to []Match) []Match {
	if len(s.matches) > MaxMatches {
		s.cut()
	}
	if to == nil {
		return s.matches
	}
	return append(to, s.matches...)
}

func (s *Strongest) cut() {
	slices.SortStableFunc(s.matches, compareStrength)
	clear(s.matches[MaxMatches:]) // their memory is not needed any more
	s.matches = s.matches[:MaxMatches]
}

var kinds = engine.MatchKinds() // the closest first

// compareStrength orders matches with the strongest first: those that have not expired, then flagged for detection, then the closest kind, then by threat
// level, then the newest. Equal ones are ordered by UUID, so that the same answer always gives the same event.
func compareStrength(a, b Match) int {
	if a.Expired != b.Expired {
		if b.Expired {
			return -1
		}
		return 1
	}
	if a.Attribute.ToIDs != b.Attribute.ToIDs {
		if a.Attribute.ToIDs {
			return -1
		}
		return 1
	}
	return cmp.Or(
		cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)),
		cmp.Compare(a.Attribute.Event.ThreatLevel.Rank(), b.Attribute.Event.ThreatLevel.Rank()),
		b.Attribute.Timestamp.Compare(a.Attribute.Timestamp),
		cmp.Compare(a.Attribute.UUID, b.Attribute.UUID),
	)
}
