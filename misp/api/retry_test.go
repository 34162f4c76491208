package api

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/misp"
)

func response(status int, headers ...string) *http.Response {
	r := &http.Response{StatusCode: status, Header: http.Header{}}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func TestAskedWait(t *testing.T) {
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for name, tt := range map[string]struct {
		resp     *http.Response
		min, max time.Duration
	}{
		"no answer":               {nil, 0, 0},
		"nothing said":            {response(503), 0, 0},
		"seconds":                 {response(503, "Retry-After", "7"), 7 * time.Second, 7 * time.Second},
		"date":                    {response(503, "Retry-After", in(time.Minute)), 50 * time.Second, time.Minute},
		"date gone by":            {response(503, "Retry-After", in(-time.Minute)), 0, 0},
		"nonsense":                {response(503, "Retry-After", "soon"), 0, 0},
		"less than nothing":       {response(503, "Retry-After", "-3"), 0, 0},
		"for ever":                {response(503, "Retry-After", "999999999"), 24 * time.Hour, 24 * time.Hour},
		"rate limit":              {response(429, "X-Rate-Limit-Reset", "900"), 900 * time.Second, 900 * time.Second},
		"rate limit, both said":   {response(429, "X-Rate-Limit-Reset", "900", "Retry-After", "2"), 2 * time.Second, 2 * time.Second},
		"no rate limit, but told": {response(503, "X-Rate-Limit-Reset", "900"), 0, 0},
	} {
		if got := askedWait(tt.resp); got < tt.min || got > tt.max {
			t.Errorf("%s: %s, want %s to %s", name, got, tt.min, tt.max)
		}
	}
}

// TestCheckRetry looks at the waits that a caller would not want to sit through.
func TestCheckRetry(t *testing.T) {
	none := context.Background()
	soon, cancel := context.WithTimeout(none, 30*time.Second)
	defer cancel()
	at, cancelNow := context.WithTimeout(none, 50*time.Millisecond)
	defer cancelNow()
	for name, tt := range map[string]struct {
		ctx  context.Context
		resp *http.Response
		err  error
		want bool
	}{
		"good":                              {none, response(200), nil, false},
		"not implemented":                   {none, response(501), nil, false},
		"failing":                           {none, response(503), nil, true},
		"lost":                              {none, nil, errors.New("EOF"), true},
		"told to wait less than there is":   {soon, response(503, "Retry-After", "10"), nil, true},
		"told to wait more than there is":   {soon, response(503, "Retry-After", "40"), nil, false},
		"rate limit beyond the deadline":    {soon, response(429, "X-Rate-Limit-Reset", "900"), nil, false},
		"rate limit within it":              {soon, response(429, "X-Rate-Limit-Reset", "9"), nil, true},
		"no time for the shortest wait":     {at, response(503), nil, false},
		"lost, and no time":                 {at, nil, errors.New("EOF"), false},
		"no deadline, a wait to sit out":    {none, response(503, "Retry-After", "50"), nil, true},
		"no deadline, but no patience also": {none, response(429, "X-Rate-Limit-Reset", "900"), nil, false},
	} {
		got, err := checkRetry(withTries(tt.ctx), tt.resp, tt.err)
		if got != tt.want || err != nil {
			t.Errorf("%s: %t, %v; want %t", name, got, err, tt.want)
		}
	}
}

func TestBackoff(t *testing.T) {
	for attempt, longest := range []time.Duration{100, 200, 400, 800, 1600, 3200, 5000, 5000} {
		longest *= time.Millisecond
		for range 50 {
			if got := backoff(firstWait, longWait, attempt, nil); got < longest/2 || got > longest {
				t.Errorf("wait %d is %s, want %s to %s", attempt, got, longest/2, longest)
			}
		}
	}
	if got := backoff(firstWait, longWait, 0, response(429, "X-Rate-Limit-Reset", "3")); got != 3*time.Second {
		t.Errorf("told to wait 3 s, waits %s", got)
	}
}

// TestDecodeLeniently gives every field in the forms that MISP and PHP are known to write it in.
func TestDecodeLeniently(t *testing.T) {
	want := misp.Attribute{
		ID: "7", Type: "ip-dst", Value: "192.31.196.7", ToIDs: true, Timestamp: time.Unix(1790000000, 0).UTC(),
		Tags: []string{"own", "tlp:amber"}, Warninglists: []string{"Resolvers"},
		Event: misp.Event{ID: "3", ThreatLevel: 1, Analysis: 3, Published: true, Org: "EXAMPLE-CERT", Tags: []string{"tlp:amber"}},
	}
	for name, body := range map[string]string{
		"texts": `{"id":"7","event_id":"3","type":"ip-dst","value":"192.31.196.7","to_ids":"1","deleted":"0","timestamp":"1790000000",
			"Tag":[{"name":"own"},{"name":"tlp:amber","inherited":1},{"name":null}],"warnings":[{"warninglist_name":"Resolvers"},{"warninglist_name":"Resolvers"}],
			"Event":{"id":"3","threat_level_id":"1","analysis":"2","published":"1","Orgc":{"name":"EXAMPLE-CERT"},"Tag":[{"name":"tlp:amber"}]}}`,
		"numbers": `{"id":7,"event_id":3,"type":"ip-dst","value":"192.31.196.7","to_ids":1,"deleted":0,"timestamp":1790000000,
			"Tag":[{"name":"own"}],"warnings":[{"warninglist_name":"Resolvers"}],
			"Event":{"threat_level_id":1,"analysis":2,"published":1,"Orgc":{"name":"EXAMPLE-CERT"},"Tag":[{"name":"tlp:amber"}]}}`,
		"empty lists and null for nothing": `{"id":"7","event_id":"3","type":"ip-dst","value":"192.31.196.7","to_ids":true,"deleted":false,"timestamp":"1790000000",
			"comment":[],"first_seen":null,"last_seen":{},"Object":[],"Tag":[{"name":"own"},{"name":"tlp:amber","inherited":"1"}],"warnings":[{"warninglist_name":"Resolvers"}],
			"Event":{"id":"3","threat_level_id":"1","analysis":"2","published":true,"Orgc":{"name":"EXAMPLE-CERT","id":[]},"Tag":{}}}`,
	} {
		got, err := decodeAnswer([]byte(`{"response":{"Attribute":[` + body + `]}}`))
		if err != nil || len(got) != 1 || got[0].Deleted {
			t.Errorf("%s: %+v, %v", name, got, err)
			continue
		}
		if diff := cmp.Diff(want, got[0].attribute()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	odd := `{"response":{"Attribute":[{"type":"ip-dst","value":"192.31.196.7","Event":{"Orgc":[]},"Tag":"x"},{"type":"ip-src","value":[]}]}}`
	got, err := decodeAnswer([]byte(odd))
	if err != nil || len(got) != 2 || got[1].Type != "ip-src" || len(engine.Indicators("ip-src", string(got[1].Value))) != 0 {
		t.Errorf("odd fields: %+v, %v", got, err)
	}
}
