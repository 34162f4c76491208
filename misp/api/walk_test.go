package api_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/enrich"
	"custom-misp/misp"
	"custom-misp/misp/api"
	"custom-misp/misp/misptest"
)

// walked is what a walk brought: UUIDs, with a - before those of deleted attributes, and the clock.
func walked(t *testing.T, m *api.Client, w api.Walk) ([]string, time.Time, error) {
	t.Helper()
	var all []string
	at, err := m.WalkAll(context.Background(), w, func(a misp.Attribute, live bool) error {
		if !live {
			a.UUID = "-" + a.UUID
		}
		all = append(all, a.UUID)
		return nil
	})
	return all, at, err
}

// TestWalkQuestions asks exactly what the contract recommends (misp.md, 9.2): an unknown or misspelt key would be no
// filter at all, and a filter on to_ids or published would hide what loses either.
func TestWalkQuestions(t *testing.T) {
	t.Parallel()
	s := misptest.New(t, feed())
	now := time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)
	s.SetNow(now)
	s.SoftDelete("uuid of " + hash)
	m := client(t, nil, s.URL)
	full := map[string]any{
		"returnFormat": "json", "deleted": []any{0.0, 1.0}, "limit": 5000.0, "page": 1.0, "order": "Attribute.id asc",
		"includeContext": true, "includeEventTags": true,
	}
	with := func(key string, value any) map[string]any {
		q := maps.Clone(full)
		q[key] = value
		return q
	}
	for _, tt := range []struct {
		name string
		walk api.Walk
		want map[string]any
		rows int
	}{
		{"all", api.Walk{}, full, 13},
		{"warninglists", api.Walk{Warninglists: true}, with("includeWarninglistHits", true), 13},
		{"by timestamp", api.Walk{Clock: api.ByTimestamp, Since: now}, with("timestamp", float64(now.Unix())), 1},
		{"by publication", api.Walk{Clock: api.ByPublished, Since: now}, with("publish_timestamp", float64(now.Unix())), 0},
		{"since 1970, which would be no filter", api.Walk{Clock: api.ByTimestamp, Since: time.Unix(0, 0)}, with("timestamp", 1.0), 13},
	} {
		rows, at, err := walked(t, m, tt.walk)
		if err != nil || len(rows) != tt.rows || !at.Equal(now) {
			t.Errorf("%s: %d rows, clock %s, %v", tt.name, len(rows), at, err)
		}
		requests := s.Requests()
		last := requests[len(requests)-1]
		if d := cmp.Diff(tt.want, last.Body); d != "" || last.Path != "/attributes/restSearch" || last.Method != http.MethodPost {
			t.Errorf("%s: %s %s (-want +got):\n%s", tt.name, last.Method, last.Path, d)
		}
		if len(rows) == 1 && rows[0] != "-uuid of "+hash {
			t.Errorf("%s: %v", tt.name, rows)
		}
	}
	if _, err := m.Events(context.Background()); err != nil {
		t.Fatal(err)
	}
	requests := s.Requests()
	last := requests[len(requests)-1]
	if d := cmp.Diff(map[string]any{"minimal": 1.0, "limit": 10000.0, "page": 1.0}, last.Body); d != "" || last.Path != "/events/index" {
		t.Errorf("%s (-want +got):\n%s", last.Path, d)
	}
}

// TestWalkPages goes over page ends: each attribute comes once, in order, and the last page is known by its length.
func TestWalkPages(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ attributes, pages int }{{0, 1}, {1, 1}, {4999, 1}, {5000, 2}, {5001, 2}} {
		s := misptest.NewGenerated(t, tt.attributes)
		rows, _, err := walked(t, client(t, nil, s.URL), api.Walk{})
		if err != nil || len(rows) != tt.attributes || len(s.Requests()) != tt.pages {
			t.Errorf("%d attributes: %d rows in %d pages, %v", tt.attributes, len(rows), len(s.Requests()), err)
		}
		for i, uuid := range rows {
			if uuid != misptest.GeneratedUUID(i) {
				t.Fatalf("%d attributes: row %d is %s", tt.attributes, i, uuid)
			}
		}
	}
}

// TestWalkLongTexts has attributes so long that a page of them is longer than any answer may be: they are asked for in
// shorter pages, and none is left out.
func TestWalkLongTexts(t *testing.T) {
	t.Parallel()
	s := misptest.NewGenerated(t, 5600)
	for i := range 40 {
		s.EditAttribute(misptest.GeneratedUUID(5100+i), fmt.Sprintf(`{"comment":%q}`, strings.Repeat("x", 60_000)))
	}
	m := client(t, func(c *api.Config) { c.MaxAnswer = 4 << 20 }, s.URL)
	rows, _, err := walked(t, m, api.Walk{})
	if err != nil || len(rows) != 5600 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for i, uuid := range rows {
		if uuid != misptest.GeneratedUUID(i) {
			t.Fatalf("row %d is %s", i, uuid)
		}
	}
	var asked []string
	for _, r := range s.Requests() {
		asked = append(asked, fmt.Sprint(r.Body["limit"], "/", r.Body["page"]))
	}
	want := []string{"5000/1", "1000/1", "1000/2", "1000/3", "1000/4", "1000/5", "1000/6"}
	if d := cmp.Diff(want, asked); d != "" {
		t.Errorf("pages (-want +got):\n%s", d)
	}
	// Something that always answers with more than it may is not asked for ever.
	m = client(t, func(c *api.Config) { c.MaxAnswer = 100 }, s.URL)
	before := len(s.Requests())
	_, _, err = walked(t, m, api.Walk{})
	if trouble, _ := errors.AsType[*enrich.Trouble](err); trouble == nil || trouble.Code != enrich.CodeBadAnswer || len(s.Requests())-before > 5 {
		t.Errorf("%d requests, %v", len(s.Requests())-before, err)
	}
}

// TestWalkEnds stops where the caller, or what comes, says so.
func TestWalkEnds(t *testing.T) {
	t.Parallel()
	s := misptest.NewGenerated(t, 10)
	m := client(t, nil, s.URL)
	enough := errors.New("enough")
	if _, err := m.WalkAll(context.Background(), api.Walk{}, func(misp.Attribute, bool) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("error %v", err)
	}
	// Without a Date there is no clock, and that is no error.
	s.Fault(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		s.Answer(w, r)
	})
	if rows, at, err := walked(t, m, api.Walk{}); err != nil || len(rows) != 10 || !at.IsZero() {
		t.Errorf("without a date: %d rows, %s, %v", len(rows), at, err)
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	s := misptest.New(t, fstest.MapFS{
		"1.json": {Data: []byte(`{"Event":{"uuid":"e1","published":true}}`)},
		"2.json": {Data: []byte(`{"Event":{"uuid":"e2"}}`)},
	})
	m := client(t, nil, s.URL)
	list, err := m.Events(context.Background())
	want := []api.IndexedEvent{{ID: "1", UUID: "e1", Published: true}, {ID: "2", UUID: "e2"}}
	if d := cmp.Diff(want, list); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	for _, body := range []string{`null`, `{}`, `{"message":"no"}`, `"x"`, `[{"id":"1"}]`, `[5]`} {
		s.Fault(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(body))
		})
		if list, err := m.Events(context.Background()); err == nil {
			t.Errorf("%s: %v; all that was known would be removed", body, list)
		}
	}
	// All pages are asked for.
	pages := 0
	s.Fault(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if pages++; pages == 2 {
			_, _ = w.Write([]byte(`[{"id":"x","uuid":"last"}]`))
			return
		}
		_, _ = w.Write([]byte("[" + strings.Repeat(`{"id":"1","uuid":"u","published":"1"},`, 9999) + `{"id":"1","uuid":"u"}]`))
	})
	if list, err := m.Events(context.Background()); err != nil || len(list) != 10_001 || !list[0].Published || list[10_000].UUID != "last" {
		t.Errorf("%d events, %v", len(list), err)
	}
}
