package api_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/enrich"
	"custom-misp/misp/api"
	"custom-misp/misp/misptest"
)

// readAll is what a reading brought: UUIDs, with a - before those of deleted attributes.
func readAll(t *testing.T, m *api.Client, r api.Reading) (all []string, err error) {
	t.Helper()
	for more := true; more; {
		page, err := m.Read(t.Context(), r)
		if err != nil {
			return all, err
		}
		if len(r.Events) > 1 && page.More {
			return all, errors.New("more than a page")
		}
		for _, row := range page.Rows {
			if !row.Live {
				row.UUID = "-" + row.UUID
			}
			all = append(all, row.UUID)
		}
		r, more = page.Next, page.More
	}
	return all, nil
}

// TestReadQuestions asks exactly what the contract recommends: an unknown or misspelt key, or an empty list of events,
// would be no filter at all; a filter on to_ids or published would hide what loses either; an order by id over several
// events costs MISP the whole table.
func TestReadQuestions(t *testing.T) {
	t.Parallel()
	s := misptest.New(t, feed())
	now := time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)
	s.SetNow(now)
	s.SoftDelete("uuid of " + hash)
	m := client(t, nil, s.URL)
	plain := map[string]any{
		"returnFormat": "json", "eventid": []any{"1", "2"}, "limit": 5000.0, "page": 1.0, "includeContext": true, "includeEventTags": true,
	}
	with := func(pairs ...any) map[string]any {
		q := maps.Clone(plain)
		for i := 0; i < len(pairs); i += 2 {
			q[pairs[i].(string)] = pairs[i+1]
		}
		return q
	}
	both := []string{"1", "2"}
	for _, tt := range []struct {
		name    string
		reading api.Reading
		want    map[string]any
		rows    int
	}{
		{"two events", api.Reading{Events: both}, plain, 12},
		{"one", api.Reading{Events: both[:1]}, with("eventid", []any{"1"}, "order", "Attribute.id asc"), 12},
		{"shorter pages", api.Reading{Events: both, Limit: 40}, with("limit", 40.0), 12},
		{"warninglists", api.Reading{Events: both, Warninglists: true}, with("includeWarninglistHits", true), 12},
		{"deleted ones too", api.Reading{Events: both, Deleted: true}, with("deleted", []any{0.0, 1.0}), 13},
		{"changed since", api.Reading{Events: both, Deleted: true, Since: now}, with("deleted", []any{0.0, 1.0}, "timestamp", float64(now.Unix())), 1},
		{"since 1970, which would be no filter", api.Reading{Events: both, Since: time.Unix(0, 0)}, with("timestamp", 1.0), 12},
	} {
		rows, err := readAll(t, m, tt.reading)
		if err != nil || len(rows) != tt.rows {
			t.Errorf("%s: %d rows, %v", tt.name, len(rows), err)
		}
		last := lastRequest(s)
		if d := cmp.Diff(tt.want, last.Body); d != "" || last.Path != "/attributes/restSearch" || last.Method != http.MethodPost {
			t.Errorf("%s: %s %s (-want +got):\n%s", tt.name, last.Method, last.Path, d)
		}
		if len(rows) == 1 && !tt.reading.Since.IsZero() && rows[0] != "-uuid of "+hash {
			t.Errorf("%s: %v", tt.name, rows)
		}
	}
	before := len(s.Requests())
	if _, err := m.Read(t.Context(), api.Reading{}); err == nil || len(s.Requests()) != before {
		t.Errorf("a reading of no events: %v", err)
	}
}

func lastRequest(s *misptest.Server) misptest.Request {
	requests := s.Requests()
	return requests[len(requests)-1]
}

// TestListQuestions asks for the list of events in each form.
func TestListQuestions(t *testing.T) {
	t.Parallel()
	s := misptest.New(t, feed())
	now := time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)
	s.SetNow(now)
	m := client(t, nil, s.URL)
	for _, tt := range []struct {
		list api.EventList
		want map[string]any
	}{
		{api.EventList{}, map[string]any{"minimal": 1.0, "limit": 10000.0}},
		{api.EventList{Counted: true}, map[string]any{"limit": 1000.0}},
		{api.EventList{Clock: api.ByTimestamp, Since: now}, map[string]any{"minimal": 1.0, "limit": 10000.0, "timestamp": float64(now.Unix())}},
		{api.EventList{Counted: true, Clock: api.ByPublished, Since: now}, map[string]any{"limit": 1000.0, "publish_timestamp": float64(now.Unix())}},
	} {
		_, clock, err := m.Events(t.Context(), tt.list)
		if err != nil || !clock.Equal(now) {
			t.Errorf("%+v: clock %s, %v", tt.list, clock, err)
		}
		tt.want["page"], tt.want["sort"], tt.want["direction"] = 1.0, "id", "asc"
		last := lastRequest(s)
		if d := cmp.Diff(tt.want, last.Body); d != "" || last.Path != "/events/index" {
			t.Errorf("%s (-want +got):\n%s", last.Path, d)
		}
	}
	// Without a Date there is no clock, and that is no error.
	s.Fault(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		s.Answer(w, r)
	})
	if _, clock, err := m.Events(t.Context(), api.EventList{}); err != nil || !clock.IsZero() {
		t.Errorf("without a date: %s, %v", clock, err)
	}
}

// bigEvent returns a MISP with one event of n attributes.
func bigEvent(t *testing.T, n int) *misptest.Server {
	t.Helper()
	var attributes strings.Builder
	for i := range n {
		if i > 0 {
			attributes.WriteByte(',')
		}
		fmt.Fprintf(&attributes, `{"uuid":"a%d","type":"domain","value":"host-%d.example"}`, i+1, i+1)
	}
	return misptest.New(t, fstest.MapFS{"1.json": {Data: []byte(`{"Event":{"uuid":"e1","Attribute":[` + attributes.String() + `]}}`)}})
}

// uuidsTo returns the UUIDs of a big event, but for some.
func uuidsTo(n int, but ...int) (all []string) {
	for i := 1; i <= n; i++ {
		if !slices.Contains(but, i) {
			all = append(all, fmt.Sprintf("a%d", i))
		}
	}
	return all
}

// TestReadPages goes over page ends of one event: each attribute comes once, in order.
func TestReadPages(t *testing.T) {
	t.Parallel()
	s := bigEvent(t, 1001)
	m := client(t, nil, s.URL)
	for _, limit := range []int{40, 100, 333, 500, 1000, 1001, 5000} {
		before := len(s.Requests())
		rows, err := readAll(t, m, api.Reading{Events: []string{"1"}, Limit: limit})
		if d := cmp.Diff(uuidsTo(1001), rows); d != "" || err != nil {
			t.Fatalf("pages of %d: %v (-want +got):\n%s", limit, err, d)
		}
		if asked := len(s.Requests()) - before; limit >= 40 && asked > 1001/limit*13/10+2 {
			t.Errorf("pages of %d: %d questions", limit, asked)
		}
	}
}

// TestReadEndless goes on reading an event that has more attributes than any event of MISP.
func TestReadEndless(t *testing.T) {
	t.Parallel()
	s := bigEvent(t, 100)
	before := len(s.Requests())
	_, err := client(t, nil, s.URL).Read(t.Context(), api.Reading{Events: []string{"7"}, Limit: 100, Rows: 5_000_001, Last: 5_000_001})
	if want := "has more than 5000000 attributes in event 7"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
	if len(s.Requests()) != before {
		t.Error("asked for another page")
	}
}

// TestReadWhileDeleted deletes attributes of an event for good while it is read, which moves those behind them to pages
// that were read: none of those that stay is left out, and none comes twice.
func TestReadWhileDeleted(t *testing.T) {
	t.Parallel()
	const n = 1200
	for _, deleted := range []int{1, 2, 40, 200, 350} {
		s := bigEvent(t, n)
		questions := 0
		s.Fault(func(w http.ResponseWriter, r *http.Request) {
			if questions++; questions == 5 { // 400 are read
				for i := range deleted {
					s.HardDelete(fmt.Sprintf("a%d", i+1))
				}
			}
			s.Answer(w, r)
		})
		rows, err := readAll(t, client(t, nil, s.URL), api.Reading{Events: []string{"1"}, Limit: 100})
		if d := cmp.Diff(uuidsTo(n), rows); d != "" || err != nil {
			t.Errorf("%d deleted: %v (-want +got):\n%s", deleted, err, d)
		}
		if questions > 35 {
			t.Errorf("%d deleted: %d questions", deleted, questions)
		}
	}
}

// TestReadLongTexts has attributes so long that a page of them is longer than any answer may be: they are asked for in
// shorter pages, and none is left out.
func TestReadLongTexts(t *testing.T) {
	t.Parallel()
	s := bigEvent(t, 1600)
	for i := range 40 {
		s.EditAttribute(fmt.Sprintf("a%d", 1100+i), fmt.Sprintf(`{"comment":%q}`, strings.Repeat("x", 60_000)))
	}
	m := client(t, func(c *api.Config) { c.MaxAnswer = 2 << 20 }, s.URL)
	rows, err := readAll(t, m, api.Reading{Events: []string{"1"}, Limit: 1000})
	if d := cmp.Diff(uuidsTo(1600), rows); d != "" || err != nil {
		t.Fatalf("%v (-want +got):\n%s", err, d)
	}
	if asked := len(s.Requests()); asked > 50 {
		t.Errorf("%d questions", asked)
	}
	// Something that always answers with more than it may is not asked for ever.
	m = client(t, func(c *api.Config) { c.MaxAnswer = 100 }, s.URL)
	before := len(s.Requests())
	_, err = readAll(t, m, api.Reading{Events: []string{"1"}})
	if trouble, _ := errors.AsType[*enrich.Trouble](err); trouble == nil || trouble.Code != enrich.CodeBadAnswer || len(s.Requests())-before > 5 {
		t.Errorf("%d requests, %v", len(s.Requests())-before, err)
	}
}

// TestReadTooMany reads several events that do not fit on a page: they have no second one.
func TestReadTooMany(t *testing.T) {
	t.Parallel()
	s := misptest.NewGenerated(t, 3000)
	m := client(t, nil, s.URL)
	page, err := m.Read(t.Context(), api.Reading{Events: []string{"1", "2", "3"}, Limit: 2500})
	if err != nil || !page.More || len(page.Rows) != 2500 {
		t.Fatalf("%d rows, more %t, %v", len(page.Rows), page.More, err)
	}
	if _, err := m.Read(t.Context(), page.Next); err == nil {
		t.Error("a second page, in no order")
	}
	if page, err := m.Read(t.Context(), api.Reading{Events: []string{"1", "2", "3"}}); err != nil || page.More || len(page.Rows) != 3000 {
		t.Errorf("%d rows, more %t, %v", len(page.Rows), page.More, err)
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	s := misptest.New(t, fstest.MapFS{
		"1.json": {Data: []byte(`{"Event":{"uuid":"e1","published":true,"timestamp":"1780000000","Attribute":[{"type":"domain"},{"type":"domain"}]}}`)},
		"2.json": {Data: []byte(`{"Event":{"uuid":"e2"}}`)},
	})
	m := client(t, nil, s.URL)
	list, _, err := m.Events(context.Background(), api.EventList{})
	want := []api.IndexedEvent{{ID: "1", UUID: "e1", Published: true, Timestamp: "1780000000", Attributes: -1}}
	if d := cmp.Diff(want, list); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	list, _, err = m.Events(context.Background(), api.EventList{Counted: true})
	want[0].Attributes = 2
	if d := cmp.Diff(append(want, api.IndexedEvent{ID: "2", UUID: "e2", Timestamp: "0"}), list); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	for _, body := range []string{`null`, `{}`, `{"message":"no"}`, `"x"`, `[{"id":"1"}]`, `[5]`} {
		s.Fault(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(body))
		})
		if list, _, err := m.Events(context.Background(), api.EventList{}); err == nil {
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
	if list, _, err := m.Events(context.Background(), api.EventList{}); err != nil || len(list) != 10_001 || !list[0].Published || list[10_000].UUID != "last" {
		t.Errorf("%d events, %v", len(list), err)
	}
}
