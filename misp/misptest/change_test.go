package misptest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// begin is when the tests of this file begin, and when all is published that they begin with.
const begin = 1800000000

// at is a time some seconds after the beginning.
func at(seconds int64) time.Time { return time.Unix(begin+seconds, 0) }

// oneEvent has six attributes, two of them to be changed; and there is a draft.
var oneEvent = fstest.MapFS{
	"1.json": {Data: []byte(`{"Event":{"uuid":"e1","published":true,"timestamp":"1800000000","publish_timestamp":"1800000000",
		"Orgc":{"name":"CERT-A","uuid":"org-a"},"Attribute":[
		{"uuid":"a1","type":"md5","value":"0f0e0d0c0b0a09080706050403020100","to_ids":true,"timestamp":"1800000000"},
		{"uuid":"a2","type":"ip-dst","value":"192.31.196.24","to_ids":true,"timestamp":"1800000000"},
		{"uuid":"a3","type":"filename|md5","value":"Invoice.doc|0f0e0d0c0b0a09080706050403020100","to_ids":true,"timestamp":"1800000000"},
		{"uuid":"a4","type":"domain","value":"tagged.example","to_ids":true,"timestamp":"1800000000"},
		{"uuid":"a5","type":"domain","value":"deleted.example","to_ids":true,"timestamp":"1800000000"},
		{"uuid":"a6","type":"domain","value":"edited.example","to_ids":true,"timestamp":"1800000000"}]}}`)},
	"2.json": {Data: []byte(`{"Event":{"uuid":"e2","published":false,"timestamp":"1800000000","Orgc":{"name":"CERT-B","uuid":"org-b"},
		"Attribute":[{"uuid":"b7","type":"domain","value":"draft.example","to_ids":true,"timestamp":"1800000000"}]}}`)},
}

// post asks one page for one thing, and returns the answer's body and headers.
func post(t *testing.T, s *Server, page, body string) (string, http.Header) {
	t.Helper()
	data, resp := send(t, s, page, body)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: status %d, %s", page, body, resp.StatusCode, data)
	}
	return string(data), resp.Header
}

// TestChanges lives through what was done to a real MISP (the cases inc…, pub_… and event_unpublish of the
// recording), and asks after each step what a mirror asks: for what has changed since the step before.
func TestChanges(t *testing.T) {
	t.Parallel()
	s := New(t, oneEvent)
	for i, step := range []struct {
		name   string
		change func()
		want   map[string]string // filters beside the time, and the ids under them; an empty one asks for nothing
	}{
		{"nothing", func() {}, map[string]string{
			`"timestamp":%d,"deleted":[0,1]`: "", `"publish_timestamp":%d,"deleted":[0,1]`: "", `"event_timestamp":%d`: "",
		}},
		{"A: add, edit, soft delete, tag", func() {
			s.AddAttribute("e1", `{"uuid":"a8","type":"domain","value":"added.example","to_ids":true}`)
			s.EditAttribute("a6", `{"to_ids":false,"comment":"downgraded"}`)
			s.SoftDelete("a5")
			s.TagAttribute("a4", "tlp:amber")
		}, map[string]string{
			`"timestamp":%d`:                               "468",
			`"attribute_timestamp":%d`:                     "468",
			`"timestamp":%d,"deleted":[0,1]`:               "4568",
			`"timestamp":%d,"deleted":1`:                   "5",
			`"timestamp":%d,"deleted":true`:                "5",
			`"timestamp":%d,"deleted":"only"`:              "5",
			`"timestamp":%d,"deleted":[0,1],"to_ids":1`:    "458",
			`"timestamp":%d,"deleted":[0,1],"published":1`: "",
			`"publish_timestamp":%d,"deleted":[0,1]`:       "",
			`"last":%d`:                                    "",
			`"event_timestamp":%d`:                         "123468",
		}},
		{"B: publish", func() { s.Publish("e1") }, map[string]string{
			`"timestamp":%d,"deleted":[0,1]`:                "",
			`"publish_timestamp":%d`:                        "123468",
			`"last":%d`:                                     "123468",
			`"publish_timestamp":%d,"deleted":[0,1]`:        "1234568",
			`"publish_timestamp":%d,"published":1`:          "123468",
			`"publish_timestamp":%d,"eventid":["2","3"]`:    "",
			`"publish_timestamp":%d,"eventid":["1","2"]`:    "123468",
			`"event_timestamp":%d`:                          "",
			`"event_timestamp":1800000001,"published":0`:    "",
			`"timestamp":1800000001,"value":"1","to_ids":0`: "",
		}},
		{"B: publish a draft", func() { s.Publish("e2") }, map[string]string{
			`"timestamp":%d`: "", `"publish_timestamp":%d`: "7", `"event_timestamp":%d`: "",
		}},
		{"C: tag on the event", func() { s.TagEvent("e1", "tlp:red") }, map[string]string{
			`"timestamp":%d`: "", `"publish_timestamp":%d`: "", `"event_timestamp":%d`: "123468",
			`"value":"tagged.example","published":1`: "", `"tags":"tlp:red","published":0`: "123468",
		}},
		{"C: sighting", func() { post(t, s, "/sightings/add", `{"uuid":"a1","type":"0"}`) }, map[string]string{
			`"timestamp":%d`: "", `"publish_timestamp":%d`: "", `"event_timestamp":%d`: "",
		}},
		{"C: publish after the tag", func() { s.Publish("e1") }, map[string]string{
			`"timestamp":%d`: "", `"publish_timestamp":%d`: "123468", `"value":"tagged.example","published":1`: "4",
		}},
		{"un-publish", func() { s.Unpublish("e1") }, map[string]string{
			`"timestamp":%d`: "", `"publish_timestamp":%d`: "", `"event_timestamp":%d`: "",
			`"value":"tagged.example","published":1`: "", `"value":"tagged.example","publish_timestamp":1800000060`: "4",
		}},
		{"D: restore", func() { s.Restore("a5") }, map[string]string{
			`"timestamp":%d,"deleted":[0,1]`: "5", `"timestamp":%d`: "5", `"publish_timestamp":%d`: "",
		}},
		{"D: hard delete", func() { s.HardDelete("a8") }, map[string]string{
			`"timestamp":%d,"deleted":[0,1]`: "", `"publish_timestamp":%d,"deleted":[0,1]`: "", `"event_timestamp":%d`: "123456",
			`"value":"added.example","deleted":[0,1]`: "",
		}},
		{"E: pulled from another server", func() {
			s.PullEvent(`{"Event":{"uuid":"e3","published":true,"timestamp":"1700000000","publish_timestamp":"1700000060",
				"Attribute":[{"uuid":"c9","type":"domain","value":"late.example","to_ids":true,"timestamp":"1700000000"}]}}`)
		}, map[string]string{
			`"timestamp":%d`: "", `"publish_timestamp":%d`: "9", `"event_timestamp":%d`: "", `"value":"late.example"`: "9",
		}},
		{"F: event deleted", func() { s.DeleteEvent("e3") }, map[string]string{
			`"timestamp":%d,"deleted":[0,1]`: "", `"publish_timestamp":%d,"deleted":[0,1]`: "",
			`"value":"late.example","deleted":[0,1]`: "",
		}},
		{"event made here", func() {
			s.AddEvent(`{"timestamp":"1700000000","published":true,"Attribute":[{"type":"domain","value":"new.example"}],
				"Object":[{"Attribute":[{"type":"md5","value":"00112233445566778899aabbccddeeff","timestamp":"1700000000"}]}]}`)
		}, map[string]string{
			`"timestamp":%d`: "1011", `"publish_timestamp":%d`: "", `"event_timestamp":%d`: "1011", `"timestamp":%d,"published":1`: "",
		}},
	} {
		since := begin + int64(10*i) + 10
		s.SetNow(time.Unix(since, 0))
		step.change()
		for q, want := range step.want {
			if strings.Contains(q, "%d") {
				q = fmt.Sprintf(q, since)
			}
			if _, ids, _ := ask(t, s, `{"order":"Attribute.id asc",`+q+`}`); ids != want {
				t.Errorf("%s: %s: got %q, want %q", step.name, q, ids, want)
			}
		}
	}
}

// TestIndex follows the list of all events through changes, also those that nothing else shows.
func TestIndex(t *testing.T) {
	t.Parallel()
	s := New(t, oneEvent)
	type row struct {
		ID, Timestamp, UUID string
		Sighting            string `json:"sighting_timestamp"`
		Published           bool
		Org                 string `json:"orgc_uuid"`
	}
	e1 := row{"1", "1800000000", "e1", "0", true, "org-a"}
	e2 := row{"2", "1800000000", "e2", "0", false, "org-b"}
	edited, tagged, published := e1, e2, e2
	edited.Timestamp, edited.Published = "1800000010", false
	tagged.Timestamp = "1800000020"
	published.Timestamp, published.Published = "1800000020", true
	made := row{"3", "1800000050", "00000000-0000-4000-a000-000000000001", "0", false, ""}
	shown := made
	shown.Published = true
	changes := int64(0)
	for _, step := range []struct {
		name   string
		change func() // ten seconds after the one before
		body   string
		count  string // in the header, of all pages
		want   []row
	}{
		{"all", nil, `{"minimal":1}`, "2", []row{e1, e2}},
		{"page", nil, `{"minimal":1,"limit":1,"page":2}`, "2", []row{e2}},
		{"page beyond the end", nil, `{"minimal":1,"limit":1,"page":9}`, "2", []row{}},
		{"published", nil, `{"minimal":1,"published":1}`, "1", []row{e1}},
		{"since", nil, `{"minimal":1,"published":1,"searchpublish_timestamp":1800000000}`, "1", []row{e1}},
		{"since later", nil, `{"minimal":1,"published":1,"searchpublish_timestamp":1800000001}`, "0", []row{}},
		{"an edit makes a draft", func() { s.EditAttribute("a1", `{"comment":"x"}`) }, `{"minimal":1}`, "2", []row{edited, e2}},
		{"so does a tag", func() { s.TagEvent("e2", "tlp:red") }, `{"minimal":1}`, "2", []row{edited, tagged}},
		{"publishing moves no timestamp", func() { s.Publish("e2") }, `{"minimal":1}`, "2", []row{edited, published}},
		{"an event without attributes", func() { s.AddEvent(`{}`) }, `{"minimal":1}`, "2", []row{edited, published}},
		{"now with one", func() { s.AddAttribute(made.UUID, `{}`) }, `{"minimal":1}`, "3", []row{edited, published, made}},
		{"changed since", nil, `{"minimal":1,"timestamp":1800000020}`, "2", []row{published, made}},
		{"hard deletion", func() { s.HardDelete("b7") }, `{"minimal":1}`, "2", []row{edited, made}},
		{"event deleted", func() { s.DeleteEvent("e1") }, `{"minimal":1}`, "1", []row{made}},
		{"published", func() { s.Publish(made.UUID) }, `{"minimal":1,"published":1}`, "1", []row{shown}},
		{"un-published", func() { s.Unpublish(made.UUID) }, `{"minimal":1}`, "1", []row{made}},
	} {
		if step.change != nil {
			changes++
			s.SetNow(at(10 * changes))
			step.change()
		}
		data, header := post(t, s, "/events/index", step.body)
		var got []row
		if err := json.Unmarshal([]byte(data), &got); err != nil {
			t.Fatalf("%s: %s: %v", step.name, data, err)
		}
		if diff := cmp.Diff(step.want, got); diff != "" || header.Get("X-Result-Count") != step.count {
			t.Errorf("%s: count %s, want %s (-want +got):\n%s", step.name, header.Get("X-Result-Count"), step.count, diff)
		}
	}
}

// TestWrongCounter deletes one of two objects: MISP counts that down twice, and leaves the event out of the short list
// although it has attributes. Other lists and searches have it.
func TestWrongCounter(t *testing.T) {
	t.Parallel()
	s := New(t, fstest.MapFS{"1.json": {Data: []byte(`{"Event":{"uuid":"e1","published":true,"Object":[
		{"Attribute":[{"uuid":"a1","type":"domain","value":"one.example"},{"uuid":"a2","type":"domain","value":"two.example"}]},
		{"Attribute":[{"uuid":"a3","type":"domain","value":"three.example"},{"uuid":"a4","type":"domain","value":"four.example"}]}]}}`)}})
	counters := func(body string) string {
		data, _ := post(t, s, "/events/index", body)
		var list []struct {
			UUID  string
			Count string `json:"attribute_count"`
		}
		if err := json.Unmarshal([]byte(data), &list); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(list)
	}
	if got := counters(`{"minimal":1}`) + counters(`{}`); got != "[{e1 }][{e1 4}]" {
		t.Errorf("before: %s", got)
	}
	s.DeleteObject("a1")
	if got := counters(`{"minimal":1}`) + counters(`{}`); got != "[][{e1 0}]" {
		t.Errorf("after: %s", got)
	}
	for _, asked := range []string{`1`, `"1"`, `["1"]`, `["e1"]`, `["!2"]`} {
		if _, ids, _ := ask(t, s, `{"eventid":`+asked+`}`); ids != "34" {
			t.Errorf("eventid %s: %s", asked, ids)
		}
	}
}

// TestCost compares what pages cost: a page far behind costs all that is before it, and one by id under a filter on time
// the whole table.
func TestCost(t *testing.T) {
	t.Parallel()
	s := NewGenerated(t, 2500)
	for body, want := range map[string]Cost{
		`{"limit":100,"page":1,"order":"Attribute.id asc"}`:                       {Questions: 1, Searches: 1, Rows: 100},
		`{"limit":100,"page":20,"order":"Attribute.id asc"}`:                      {Questions: 1, Searches: 1, Rows: 2000},
		`{"limit":100,"publish_timestamp":1700007260,"order":"Attribute.id asc"}`: {Questions: 1, Searches: 1, Rows: 2500},
		`{"limit":100,"publish_timestamp":1700007260}`:                            {Questions: 1, Searches: 1, Rows: 100},
		`{"limit":5000,"eventid":["3"],"order":"Attribute.id asc"}`:               {Questions: 1, Searches: 1, Rows: 500},
	} {
		before := s.Cost()
		data, _ := post(t, s, "/attributes/restSearch", body)
		want.Bytes = len(data)
		if diff := cmp.Diff(want, s.Cost().Minus(before)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
}

// TestRateLimitWindow uses up what a role may ask, and waits for the end of the 15 minutes.
func TestRateLimitWindow(t *testing.T) {
	t.Parallel()
	s := New(t, oneEvent)
	s.SetNow(at(0))
	s.Set(Condition{RateLimit: 2})
	for i, want := range []struct {
		at     int64
		status int
		reset  string
	}{{0, 200, "900"}, {10, 200, "890"}, {20, 429, "880"}, {899, 429, "1"}, {900, 200, "900"}} {
		s.SetNow(at(want.at))
		_, resp := send(t, s, "/attributes/restSearch", `{"limit":1}`)
		if resp.StatusCode != want.status || resp.Header.Get("X-Rate-Limit-Reset") != want.reset {
			t.Errorf("question %d: %d, %v", i, resp.StatusCode, resp.Header)
		}
	}
}

// TestShown asks for an attribute and its event after all has been changed that an answer shows.
func TestShown(t *testing.T) {
	t.Parallel()
	s := New(t, oneEvent)
	s.SetNow(at(5))
	s.EditAttribute("b7", `{"value":"other.example","to_ids":false}`)
	s.TagAttribute("b7", "tlp:amber")
	s.TagEvent("e2", "tlp:red")
	s.SetNow(at(6))
	s.Publish("e2")
	data, header := post(t, s, "/attributes/restSearch", `{"value":"OTHER.example","includeContext":true,"includeEventTags":true}`)
	if got, want := header.Get("Date"), at(6).UTC().Format(http.TimeFormat); got != want {
		t.Errorf("Date: %s, want %s", got, want)
	}
	var answer struct {
		Response struct {
			Attribute []struct {
				UUID, Timestamp string
				ToIDs           bool `json:"to_ids"`
				Tag             []struct{ Name string }
				Event           struct {
					Timestamp string
					Publish   string `json:"publish_timestamp"`
					Published bool
					Tag       []struct{ Name string }
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(data), &answer); err != nil {
		t.Fatal(err)
	}
	want := `{[{b7 1800000005 false [{tlp:amber} {tlp:red}] {1800000005 1800000006 true [{tlp:red}]}}]}`
	if got := fmt.Sprint(answer.Response); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// failures takes the failures of a test down, instead of failing it.
type failures struct {
	testing.TB
	texts []string
}

func (f *failures) Errorf(format string, args ...any) {
	f.texts = append(f.texts, fmt.Sprintf(format, args...))
}

// TestUnknown makes changes that can't be made, each of which has to fail the test that makes it.
func TestUnknown(t *testing.T) {
	t.Parallel()
	f := &failures{TB: t}
	s := New(f, oneEvent)
	s.AddAttribute("e9", `{}`)
	s.AddAttribute("e1", `{"uuid":"a1"}`)
	s.AddAttribute("e1", `{"timestamp":"1"}`)
	s.EditAttribute("a9", `{}`)
	s.EditAttribute("a1", `{"toids":true}`)
	s.EditAttribute("a1", `{`)
	s.SoftDelete("e1")
	s.HardDelete(GeneratedUUID(0))
	s.Publish("a1")
	s.DeleteEvent("e9")
	s.PullEvent(`{"uuid":"e1"}`)
	s.AddEvent(`{`)
	want := []string{
		"no event e9", "uuid a1 is in use", `attribute {"timestamp":"1"}: timestamp can't be set`, "no attribute a9",
		`attribute {"toids":true}: toids can't be set`, `attribute {: unexpected end of JSON input`, "no attribute e1",
		"no attribute 00000000-0000-4000-8000-000000000000", "no event a1", "no event e9", "uuid e1 is in use",
		`event {: unexpected end of JSON input`,
	}
	if diff := cmp.Diff(want, f.texts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestConcurrent changes everything while others ask for it; the race detector judges.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	s := New(t, oneEvent)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			uuid := s.AddEvent(`{"Attribute":[{"type":"domain","value":"new.example"}]}`)
			for range 20 {
				added := s.AddAttribute(uuid, `{"type":"domain","value":"more.example"}`)
				s.EditAttribute("a1", `{"to_ids":false}`)
				s.TagAttribute(added, "tlp:red")
				s.TagEvent(uuid, "tlp:red")
				s.Publish(uuid)
				s.SetNow(at(int64(i)))
				s.HardDelete(added)
			}
			s.DeleteEvent(uuid)
		})
		all.Go(func() {
			for range 20 {
				post(t, s, "/attributes/restSearch", `{"timestamp":1,"deleted":[0,1],"includeContext":true,"includeEventTags":true}`)
				post(t, s, "/events/index", `{"minimal":1}`)
				post(t, s, "/sightings/add", `{"value":"more.example"}`)
			}
		})
	}
	all.Wait()
	if _, ids, _ := ask(t, s, `{}`); ids != "1234567" {
		t.Errorf("left: %s", ids)
	}
}
