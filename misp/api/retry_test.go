package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
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
	t.Parallel()
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
		"no rate limit, but said": {response(503, "X-Rate-Limit-Reset", "900"), 0, 0},
	} {
		if got := AskedWait(tt.resp); got < tt.min || got > tt.max {
			t.Errorf("%s: %s, want %s to %s", name, got, tt.min, tt.max)
		}
	}
}

// TestCheckRetry looks at the waits that a caller would not want to sit through.
func TestCheckRetry(t *testing.T) {
	t.Parallel()
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
		"good":                                  {none, response(200), nil, false},
		"not implemented":                       {none, response(501), nil, false},
		"failing":                               {none, response(503), nil, true},
		"lost":                                  {none, nil, errors.New("EOF"), true},
		"asks for less than there is":           {soon, response(503, "Retry-After", "10"), nil, true},
		"asks for more than there is":           {soon, response(503, "Retry-After", "40"), nil, false},
		"rate limit beyond the deadline":        {soon, response(429, "X-Rate-Limit-Reset", "900"), nil, false},
		"rate limit within it":                  {soon, response(429, "X-Rate-Limit-Reset", "9"), nil, true},
		"no time for the shortest wait":         {at, response(503), nil, false},
		"lost, and no time":                     {at, nil, errors.New("EOF"), false},
		"no deadline, a wait to sit out":        {none, response(503, "Retry-After", "50"), nil, true},
		"no deadline, and longer than patience": {none, response(429, "X-Rate-Limit-Reset", "900"), nil, false},
	} {
		got, err := checkRetry(withTries(tt.ctx), tt.resp, tt.err)
		if got != tt.want || err != nil {
			t.Errorf("%s: %t, %v; want %t", name, got, err, tt.want)
		}
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for attempt, longest := range []time.Duration{100, 200, 400, 800, 1600, 3200, 5000, 5000} {
		longest *= time.Millisecond
		for range 50 {
			if got := Backoff(firstWait, longWait, attempt, nil); got < longest/2 || got > longest {
				t.Errorf("wait %d is %s, want %s to %s", attempt, got, longest/2, longest)
			}
		}
	}
	if got := Backoff(firstWait, longWait, 0, response(429, "X-Rate-Limit-Reset", "3")); got != 3*time.Second {
		t.Errorf("asked to wait 3 s, waits %s", got)
	}
}

// waits has a client ask a server that answers every request the same, and returns the waits that it computes between
// its tries, without waiting, and how often it asks.
func waits(t *testing.T, answer *http.Response) (computed []time.Duration, asked int, err error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		maps.Copy(w.Header(), answer.Header)
		w.WriteHeader(answer.StatusCode)
	}))
	defer server.Close()
	c, err := New(Config{URL: server.URL, Key: "key", Retries: 6})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	compute := c.http.Backoff
	c.http.Backoff = func(shortest, longest time.Duration, attempt int, resp *http.Response) time.Duration {
		computed = append(computed, compute(shortest, longest, attempt, resp))
		return 0
	}
	_, err = c.post(context.Background(), "attributes/restSearch", []byte("{}"))
	return computed, asked, err
}

// TestRetryAfterIsBounded has servers ask for a wait: one that asks for a short one is obeyed, one that asks for an
// hour is not asked again, and the error says how long it asked for.
func TestRetryAfterIsBounded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, header, value string
		status              int
		want                []time.Duration
	}{
		{"seconds", "Retry-After", "20", 503, slices.Repeat([]time.Duration{20 * time.Second}, 6)},
		{"a minute", "Retry-After", "60", 503, slices.Repeat([]time.Duration{time.Minute}, 6)},
		{"more than a minute", "Retry-After", "61", 503, nil},
		{"an hour", "Retry-After", "3600", 503, nil},
		{"an hour, 500", "Retry-After", "3600", 500, nil},
		{"an hour, as a time", "Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), 503, nil},
		{"an hour of a rate limit", "X-Rate-Limit-Reset", "3600", 429, nil},
	} {
		computed, asked, err := waits(t, response(tt.status, tt.header, tt.value))
		if d := cmp.Diff(tt.want, computed); d != "" || asked != len(tt.want)+1 {
			t.Errorf("%s: asked %d times (-want +got):\n%s", tt.name, asked, d)
		}
		trouble, _ := errors.AsType[*enrich.Trouble](err)
		if trouble == nil || !trouble.Answered || tt.want == nil && trouble.Wait < time.Minute {
			t.Errorf("%s: %+v", tt.name, trouble)
		}
	}
	// The longest wait that callers see, whatever a server writes.
	for _, value := range []string{"999999999999", time.Now().AddDate(10, 0, 0).UTC().Format(http.TimeFormat)} {
		if got := AskedWait(response(503, "Retry-After", value)); got > 24*time.Hour {
			t.Errorf("%s: %s", value, got)
		}
	}
}

// TestJitter has clients fail together: their retries are spread, each of them.
func TestJitter(t *testing.T) {
	t.Parallel()
	const clients = 16
	var all [clients][]time.Duration
	for i := range all {
		computed, asked, err := waits(t, response(503))
		if err == nil || asked != 7 || len(computed) != 6 {
			t.Fatalf("asked %d times, waits %v, %v", asked, computed, err)
		}
		all[i] = computed
	}
	for retry := range all[0] {
		seen := map[time.Duration]bool{}
		shortest, longest := time.Hour, time.Duration(0)
		for i := range all {
			wait := all[i][retry]
			seen[wait] = true
			shortest, longest = min(shortest, wait), max(longest, wait)
		}
		// 16 waits at random in a half of the longest one: that they are within a fifth of it, or that two meet to the
		// nanosecond, has a probability far below one in a million.
		if spread := longest - shortest; len(seen) < clients-1 || spread < firstWait<<retry/10 {
			t.Errorf("retry %d: %d different waits from %s to %s", retry, len(seen), shortest, longest)
		}
	}
}

// TestDecodeLeniently gives every field in the forms that MISP and PHP are known to write it in.
func TestDecodeLeniently(t *testing.T) {
	t.Parallel()
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
		got, live, err := decoded([]byte(`{"response":{"Attribute":[` + body + `]}}`))
		if err != nil || len(got) != 1 || live != 1 {
			t.Errorf("%s: %+v, %v", name, got, err)
			continue
		}
		if diff := cmp.Diff(want, got[0]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	odd := `{"response":{"Attribute":[{"type":"ip-dst","value":"192.31.196.7","Event":{"Orgc":[]},"Tag":"x"},{"type":"ip-src","value":[]}]}}`
	got, _, err := decoded([]byte(odd))
	if err != nil || len(got) != 2 || got[1].Type != "ip-src" || len(engine.Indicators("ip-src", got[1].Value)) != 0 {
		t.Errorf("odd fields: %+v, %v", got, err)
	}
}

// decoded returns the attributes of an answer, and how many of them are live.
func decoded(answer []byte) (all []misp.Attribute, live int, err error) {
	n, err := decodeAnswer(context.Background(), answer, func(a misp.Attribute, isLive bool) error {
		all = append(all, a)
		if isLive {
			live++
		}
		return nil
	})
	if err == nil && n != len(all) {
		err = fmt.Errorf("counted %d", n)
	}
	return all, live, err
}
