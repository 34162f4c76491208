package source

import (
	"slices"

	"custom-misp/engine"
)

// Lacks returns the keys of a filter, in lookup, that judge by what no indicator of the source has: all of its indicators are
// refused, or with missing: accept, none.
func (s *Source) Lacks(f engine.Filter) []string {
	if s.IsWarninglist() || s.Format == "" {
		return nil
	}
	own := []Format{FormatMISP, FormatSTIX, FormatOTX} // which name tags, dates and the like themselves
	if s.Format == FormatMISP {
		return nil
	}
	var keys []string
	for _, c := range []struct {
		key           string
		asked, absent bool
	}{
		{"lookup.tags", len(f.Tags) > 0, len(s.tags) == 0 && s.tagsFrom == nil && !slices.Contains(own, s.Format)},
		{"lookup.orgs", len(f.Orgs) > 0, true},
		{"lookup.min_threat_level", f.MinThreatLevel != "" && f.MinThreatLevel != "undefined", s.threatLevel == 0 && !slices.Contains(own, s.Format)},
		{"lookup.max_age", f.MaxAge != nil && *f.MaxAge > 0, s.firstSeen == nil && s.lastSeen == nil && !slices.Contains(own, s.Format)},
	} {
		if c.asked && c.absent {
			keys = append(keys, c.key)
		}
	}
	return keys
}
