package enrich

import (
	"testing"
	"time"

	"custom-misp/engine"
	"custom-misp/misp"
)

// TestMissing lets what a source does not say decide nothing, if that is configured.
func TestMissing(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	full := misp.Attribute{Origin: "list", Tags: []string{"other"}, Timestamp: now.AddDate(-1, 0, 0), Event: misp.Event{Org: "other", ThreatLevel: 3}}
	for key, f := range map[string]engine.Filter{
		"lookup.tags": {Tags: []string{"tlp:*"}}, "lookup.orgs": {Orgs: []string{"mine"}},
		"lookup.min_threat_level": {MinThreatLevel: "high"}, "lookup.max_age": {MaxAge: new(engine.Age(24 * time.Hour))},
	} {
		for _, tt := range []struct {
			name      string
			missing   string
			missingOf map[string]string
			mapping   string
			a         misp.Attribute
			want      string
		}{
			{"by default", "", nil, "", misp.Attribute{Origin: "list"}, key},
			{"rejected", engine.MissingReject, nil, "", misp.Attribute{Origin: "list"}, key},
			{"accepted", engine.MissingAccept, nil, "", misp.Attribute{Origin: "list"}, ""},
			{"of the source", engine.MissingReject, map[string]string{"list": engine.MissingAccept}, "", misp.Attribute{Origin: "list"}, ""},
			{"of another source", engine.MissingReject, map[string]string{"list": engine.MissingAccept}, "", misp.Attribute{Origin: "x"}, key},
			{"rejected by the source", engine.MissingAccept, map[string]string{"list": engine.MissingReject}, "", misp.Attribute{Origin: "list"}, key},
			{"of the mapping", engine.MissingReject, map[string]string{"list": engine.MissingReject}, engine.MissingAccept, misp.Attribute{Origin: "list"}, ""},
			{"there, and other", engine.MissingAccept, nil, "", full, key},
		} {
			base := f
			base.Missing, base.MissingOf = tt.missing, tt.missingOf
			own := &engine.Filter{Missing: tt.mapping}
			if got := Refused(own.Over(base), engine.MatchExact, tt.a, now); got != tt.want {
				t.Errorf("%s, %s: %q", key, tt.name, got)
			}
		}
	}
}
