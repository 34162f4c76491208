package misp_test

import (
	"fmt"
	"testing"
	"time"

	"custom-misp/misp"
)

func TestWords(t *testing.T) {
	for level, want := range map[misp.ThreatLevel]string{-1: " 4", 0: " 4", 1: "high 1", 2: "medium 2", 3: "low 3", 4: "undefined 4", 5: " 4"} {
		if got := fmt.Sprint(level, " ", level.Rank()); got != want {
			t.Errorf("threat level %d: %q, want %q", int(level), got, want)
		}
	}
	for analysis, want := range map[misp.Analysis]string{-1: "", 0: "", 1: "initial", 2: "ongoing", 3: "complete", 4: ""} {
		if got := analysis.String(); got != want {
			t.Errorf("analysis %d: %q, want %q", int(analysis), got, want)
		}
	}
}

func TestCreatedBy(t *testing.T) {
	e := misp.Event{Org: "CIRCL", OrgUUID: "55f6ea5e-2c60-40e5-964f-47a8950d210f"}
	for org, want := range map[string]bool{"circl": true, "55F6EA5E-2c60-40e5-964f-47a8950d210f": true, "circ": false, "": false} {
		if got := e.CreatedBy([]string{"other", org}); got != want {
			t.Errorf("%q: %t, want %t", org, got, want)
		}
	}
	if (misp.Event{}).CreatedBy([]string{""}) {
		t.Error("an event without an organisation has one")
	}
}

func TestExpired(t *testing.T) {
	now := time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		seen    string
		expires time.Time
		want    bool
	}{
		{"", time.Time{}, false},
		{"2026-10-05T07:59:59.000000+00:00", time.Time{}, true},
		{"2026-10-05T10:30:00+02:00", time.Time{}, false},
		{"yesterday", time.Time{}, false},
		{"", now, true},
		{"", now.Add(time.Second), false},
		{"2027-01-01T00:00:00Z", now.Add(-time.Second), true},
	} {
		if got := (misp.Attribute{LastSeen: tt.seen, Expires: tt.expires}).Expired(now); got != tt.want {
			t.Errorf("last seen %q, expires %s: %t", tt.seen, tt.expires, got)
		}
	}
}

func TestLastActive(t *testing.T) {
	changed := time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)
	for seen, want := range map[string]time.Time{
		"": changed, "yesterday": changed, "2026-10-04T00:00:00Z": changed, "2026-10-05T12:00:00+02:00": changed.Add(2 * time.Hour),
	} {
		if got := (misp.Attribute{Timestamp: changed, LastSeen: seen}).LastActive(); !got.Equal(want) {
			t.Errorf("last seen %q: %s, want %s", seen, got, want)
		}
	}
}
