package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/atomicfile"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
)

// hitBy is an event about a hit of a source.
func hitBy(source, event string) enrich.Enrichment {
	return enrich.Enrichment{Body: enrich.Body{Origin: source, EventID: event, Event: &enrich.EventBody{Info: "event " + event}}}
}

func TestQuality(t *testing.T) {
	now := time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)
	name := filepath.Join(t.TempDir(), "quality.json")
	open := func() *Quality {
		t.Helper()
		q := OpenQuality(name, func() time.Time { return now })
		if err := q.Trouble(); err != nil {
			t.Fatal(err)
		}
		return q
	}
	q := open()
	q.Reported(hitBy("", "1"))
	for range 97 {
		q.Muted(enrich.Match{Attribute: &misp.Attribute{Origin: "osint", Event: misp.Event{ID: "2", Info: "event 2"}}})
	}
	for range 3 {
		q.Repeated(hitBy("osint", "3"))
	}
	if err := q.Save(); err != nil {
		t.Fatal(err)
	}
	q = open()
	now = now.AddDate(0, 0, 3)
	q.Reported(hitBy("", "1"))
	check := func(what string, days int, byEvent bool, want ...QualityRow) {
		t.Helper()
		if diff := cmp.Diff(want, q.Rows(days, byEvent), cmp.Transformer("list", func(r []QualityRow) []QualityRow { return append([]QualityRow{}, r...) })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	check("by source", 30, false, QualityRow{Source: "osint", Repeats: 3, Mutes: 97}, QualityRow{Source: "misp", Hits: 2})
	check("by event", 30, true, QualityRow{Source: "osint", Event: "2", Info: "event 2", Mutes: 97},
		QualityRow{Source: "osint", Event: "3", Info: "event 3", Repeats: 3}, QualityRow{Source: "misp", Event: "1", Info: "event 1", Hits: 2})
	check("of three days", 3, false, QualityRow{Source: "misp", Hits: 1})
	now = now.AddDate(0, 0, 28)
	q.Reported(hitBy("", "1"))
	if err := q.Save(); err != nil {
		t.Fatal(err)
	}
	q = open()
	check("after a month", 30, false, QualityRow{Source: "misp", Hits: 2})
}

// TestQualityBounds has more events in a day than are counted each, and files that are not what was written.
func TestQualityBounds(t *testing.T) {
	now := func() time.Time { return time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC) }
	name := filepath.Join(t.TempDir(), "quality.json")
	q := OpenQuality(name, now)
	for n := range maxQualityRows + 10 {
		q.Reported(hitBy("osint", fmt.Sprint(n)))
	}
	if rows := q.Rows(1, true); len(rows) != maxQualityRows+1 || q.Rows(1, false)[0].Hits != maxQualityRows+10 {
		t.Errorf("%d rows, %+v", len(rows), q.Rows(1, false))
	}
	if err := q.Save(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	q = OpenQuality(name, now)
	if err := q.Trouble(); !errors.Is(err, atomicfile.ErrDamaged) || len(q.Rows(1, true)) > 0 {
		t.Errorf("damaged: %v, %d rows", err, len(q.Rows(1, true)))
	}
	newer := `{"version": 9, "days": []}`
	if err := os.WriteFile(name, []byte(newer), 0o600); err != nil {
		t.Fatal(err)
	}
	q = OpenQuality(name, now)
	q.Reported(hitBy("", "1"))
	if err := q.Save(); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(name); err != nil || string(data) != newer {
		t.Errorf("a file of a later version is now %s, %v", data, err)
	}
}
