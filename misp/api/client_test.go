package api_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
	"custom-misp/misp/api"
	"custom-misp/misp/misptest"
)

const (
	hash  = "0f0e0d0c0b0a09080706050403020100aabbccddeeff00112233445566778899"
	hash2 = "1f0e0d0c0b0a09080706050403020100aabbccddeeff00112233445566778899"
)

// feed is a small MISP: one event with an attribute of each kind that matters.
func feed() fstest.MapFS {
	attribute := func(typ, value string, toIDs bool, tags ...string) map[string]any {
		tag := []any{}
		for _, name := range tags {
			tag = append(tag, map[string]any{"name": name})
		}
		return map[string]any{
			"uuid": "uuid of " + value, "type": typ, "category": "c", "value": value, "to_ids": toIDs, "comment": "",
			"timestamp": "1790000000", "first_seen": nil, "last_seen": nil, "Tag": tag,
		}
	}
	data, err := json.Marshal(map[string]any{"Event": map[string]any{
		"uuid": "e1", "info": "Campaign", "date": "2026-09-01", "threat_level_id": "2", "analysis": "0", "published": true,
		"Orgc": map[string]any{"name": "EXAMPLE-CERT"}, "Tag": []any{map[string]any{"name": "tlp:amber"}},
		"Attribute": []any{
			attribute("sha256", hash, true, "own"),
			attribute("filename|sha256", "other.bin|"+strings.ToUpper(hash), false),
			attribute("filename|sha256", "a.doc|"+hash2, true),
			attribute("ip-dst|port", "192.31.196.24|8443", true),
			attribute("domain|ip", "dip.bad.example|192.31.196.25", true),
			attribute("ip-src", "2620:4f:8000::bad", true),
			attribute("domain", "evil-domain.example", true),
			attribute("hostname", "évil-host.example", true),
			attribute("filename", "8443", true),
			attribute("url", "http://bad.example/", true),
			attribute("comment", "192.31.196.24", true),
			attribute("user-agent", "100%", true),
			attribute("AS", "64500", true),
		},
	}})
	if err != nil {
		panic(err)
	}
	return fstest.MapFS{"e1.json": {Data: data}}
}

func client(t *testing.T, change func(*api.Config), url string) *api.Client {
	t.Helper()
	c := api.Config{URL: url, Key: misptest.Key, Timeout: 2 * time.Second}
	if change != nil {
		change(&c)
	}
	m, err := api.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func observable(typ engine.Type, value string) engine.Observable {
	return engine.Observable{Type: typ, Value: value, Picks: []engine.Pick{{Mapping: "m", Path: "p", Type: typ}}}
}

// found returns "observable <- attribute" for each match, sorted.
func found(matches []enrich.Match) []string {
	out := []string{}
	for _, m := range matches {
		out = append(out, m.Observable.Value+" <- "+m.Attribute.Type+" "+m.Attribute.Value)
	}
	slices.Sort(out)
	return out
}

func TestLookup(t *testing.T) {
	t.Parallel()
	server := misptest.New(t, feed())
	tests := []struct {
		name  string
		asked []engine.Observable
		want  []string
	}{
		{"hit, also as half of a composite", []engine.Observable{observable("sha256", hash)}, []string{
			hash + " <- filename|sha256 other.bin|" + strings.ToUpper(hash), hash + " <- sha256 " + hash,
		}},
		{"miss", []engine.Observable{observable("sha256", strings.Repeat("1", 64))}, []string{}},
		{"address with a port in MISP", []engine.Observable{observable("ip-dst", "192.31.196.24")}, []string{"192.31.196.24 <- ip-dst|port 192.31.196.24|8443"}},
		{"address of a domain", []engine.Observable{observable("ip-dst", "192.31.196.25")}, []string{"192.31.196.25 <- domain|ip dip.bad.example|192.31.196.25"}},
		{"domain with an address", []engine.Observable{observable("hostname", "dip.bad.example")}, []string{"dip.bad.example <- domain|ip dip.bad.example|192.31.196.25"}},
		{"ip-src for ip-dst", []engine.Observable{observable("ip-dst", "2620:4f:8000::bad")}, []string{"2620:4f:8000::bad <- ip-src 2620:4f:8000::bad"}},
		{"domain for hostname", []engine.Observable{observable("hostname", "evil-domain.example")}, []string{"evil-domain.example <- domain evil-domain.example"}},
		{"loosely collated answers are dropped", []engine.Observable{observable("hostname", "evil-host.example")}, []string{}},
		{"the name of a file|hash pair is no hit", []engine.Observable{observable("filename", "a.doc")}, []string{}},
		{"a port is no file name", []engine.Observable{observable("port", "8443")}, []string{}},
		{"URL with and without slash", []engine.Observable{observable("url", "http://bad.example")}, []string{"http://bad.example <- url http://bad.example/"}},
		{"an AS, which MISP stores without its letters", []engine.Observable{observable("AS", "AS64500")}, []string{"AS64500 <- AS 64500"}},
		{"wildcards are not asked for", []engine.Observable{observable("user-agent", "100%"), observable("user-agent", "%")}, []string{}},
		{"several at once", []engine.Observable{observable("ip-dst", "192.31.196.25"), observable("hostname", "dip.bad.example"), observable("sha256", hash2)}, []string{
			hash2 + " <- filename|sha256 a.doc|" + hash2,
			"192.31.196.25 <- domain|ip dip.bad.example|192.31.196.25", "dip.bad.example <- domain|ip dip.bad.example|192.31.196.25",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := len(server.Requests())
			got, err := client(t, nil, server.URL).Lookup(context.Background(), tt.asked)
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(tt.want)
			if diff := cmp.Diff(tt.want, found(got)); diff != "" {
				t.Errorf("matches (-want +got):\n%s", diff)
			}
			if n := len(server.Requests()) - before; n > 1 {
				t.Errorf("%d questions for one alert", n)
			}
		})
	}
}

func TestLookupReadsTheAttribute(t *testing.T) {
	t.Parallel()
	server := misptest.New(t, feed())
	got, err := client(t, nil, server.URL+"/").Lookup(context.Background(), []engine.Observable{observable("ip-dst", "2620:4f:8000::bad")})
	if err != nil {
		t.Fatal(err)
	}
	want := []enrich.Match{{Observable: observable("ip-dst", "2620:4f:8000::bad"), Kind: engine.MatchExact, Attribute: &misp.Attribute{
		ID: "6", UUID: "uuid of 2620:4f:8000::bad", Type: "ip-src", Category: "c", Value: "2620:4f:8000::bad", ToIDs: true,
		Timestamp: time.Unix(1790000000, 0).UTC(), Tags: []string{"tlp:amber"},
		Event: misp.Event{ID: "1", UUID: "e1", Info: "Campaign", Org: "EXAMPLE-CERT", ThreatLevel: 2, Analysis: 1, Date: "2026-09-01", Published: true, Tags: []string{"tlp:amber"}},
	}}}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(enrich.Match{})); diff != "" {
		t.Errorf("matches (-want +got):\n%s", diff)
	}
}

func TestQuestion(t *testing.T) {
	t.Parallel()
	server := misptest.New(t, feed())
	yes, no := true, false
	ask := func(config *bool, observables ...engine.Observable) []misptest.Request {
		before := len(server.Requests())
		c := client(t, func(c *api.Config) {
			c.Filter = engine.Filter{ToIDs: config, MatchKinds: []engine.MatchKind{engine.MatchExact}}
			c.UserAgent = "custom-misp/test"
		}, server.URL)
		if _, err := c.Lookup(context.Background(), observables); err != nil {
			t.Fatal(err)
		}
		return server.Requests()[before:]
	}
	requests := ask(nil, observable("ip-dst", "192.31.196.24"), observable("ip-src", "192.31.196.24"), observable("md5", "!||&&"))
	want := map[string]any{
		"returnFormat": "json", "limit": 5000.0, "page": 1.0, "order": "Attribute.id asc",
		"includeContext": true, "includeEventTags": true, "includeWarninglistHits": true, "includeSightings": true,
		"value": map[string]any{"OR": []any{"!||&&", "192.31.196.24", "::ffff:192.31.196.24", "::ffff:c01f:c418"}},
		"type":  []any{"domain|ip", "filename|md5", "ip-dst", "ip-dst|port", "ip-src", "ip-src|port", "malware-sample", "md5"},
	}
	if diff := cmp.Diff(want, requests[0].Body); diff != "" {
		t.Errorf("question (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Accept": "application/json", "Authorization": misptest.Key, "User-Agent": "custom-misp/test",
	} {
		if got := requests[0].Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}

	relaxed := observable("ip-dst", "192.31.196.25")
	relaxed.Filter = &engine.Filter{ToIDs: &no}
	strict := observable("ip-dst", "192.31.196.24")
	strict.Filter = &engine.Filter{ToIDs: &yes}
	for name, tt := range map[string]struct {
		config *bool
		asked  []engine.Observable
		want   any
	}{
		"all want to_ids":               {&yes, []engine.Observable{observable("ip-dst", "192.31.196.24")}, 1.0},
		"the mapping wants to_ids":      {nil, []engine.Observable{strict}, 1.0},
		"one does not want to_ids":      {&yes, []engine.Observable{strict, relaxed}, nil},
		"no filter says whether to_ids": {nil, []engine.Observable{observable("ip-dst", "192.31.196.24")}, nil},
	} {
		if got := ask(tt.config, tt.asked...)[0].Body["to_ids"]; got != tt.want {
			t.Errorf("%s: to_ids is %v, want %v", name, got, tt.want)
		}
	}
	if n := len(ask(nil, observable("user-agent", "%"), observable("url", "http://bad.example/%"))); n != 0 {
		t.Errorf("%d questions when there is nothing to ask: an empty list would return the whole database", n)
	}
	if n := len(ask(nil)); n != 0 {
		t.Errorf("%d questions for no observables", n)
	}
}

// TestLookupFilters checks that filters are applied by ourselves, whatever the server returns.
func TestLookupFilters(t *testing.T) {
	t.Parallel()
	server := misptest.New(t, feed())
	yes := true
	for name, tt := range map[string]struct {
		filter engine.Filter
		want   int
	}{
		"none":          {engine.Filter{}, 2},
		"to_ids":        {engine.Filter{ToIDs: &yes}, 1},
		"tag":           {engine.Filter{Tags: []string{"OWN"}}, 1},
		"tag of event":  {engine.Filter{Tags: []string{"tlp:*"}}, 2},
		"excluded":      {engine.Filter{ExcludeTags: []string{"own"}}, 1},
		"excluded both": {engine.Filter{ExcludeTags: []string{"tlp:amber"}}, 0},
	} {
		got, err := client(t, func(c *api.Config) { c.Filter = tt.filter }, server.URL).Lookup(context.Background(), []engine.Observable{observable("sha256", hash)})
		if err != nil || len(got) != tt.want {
			t.Errorf("%s: %d matches, %v; want %d", name, len(got), err, tt.want)
		}
	}
}

// TestPaging asks for so many values that the answer comes in pages.
func TestPaging(t *testing.T) {
	t.Parallel()
	pages := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pages++
		var q struct{ Limit, Page int }
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Error(err)
		}
		n := q.Limit
		if q.Page == 3 {
			n = 7
		}
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf(`{"id":"%d-%d","type":"ip-dst","value":"192.31.196.%d","uuid":"%d-%d"}`, q.Page, i, i%4, q.Page, i)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"response":{"Attribute":[%s]}}`, strings.Join(list, ","))
	}))
	defer server.Close()
	var asked []engine.Observable // each with fewer matches than are returned of one at most
	for i := range 4 {
		asked = append(asked, observable("ip-dst", fmt.Sprintf("192.31.196.%d", i)))
	}
	got, err := client(t, nil, server.URL).Lookup(context.Background(), asked)
	if err != nil || len(got) != 10_007 || pages != 3 {
		t.Errorf("%d matches in %d pages, %v", len(got), pages, err)
	}
}

func TestBatches(t *testing.T) {
	t.Parallel()
	server := misptest.New(t, feed())
	var many []engine.Observable
	for i := range 1200 {
		many = append(many, observable("md5", fmt.Sprintf("%032x", i+1)))
	}
	for most, want := range map[int][]int{0: {1000, 200}, 500: {500, 500, 200}, 10_000: {1200}} {
		before := len(server.Requests())
		asking := client(t, func(c *api.Config) { c.MaxValues = most }, server.URL)
		if _, err := asking.Lookup(context.Background(), many); err != nil {
			t.Fatal(err)
		}
		var sizes []int
		for _, r := range server.Requests()[before:] {
			sizes = append(sizes, len(r.Body["value"].(map[string]any)["OR"].([]any)))
		}
		if !slices.Equal(sizes, want) {
			t.Errorf("at most %d: questions with %d values, want %d", most, sizes, want)
		}
	}
}

func TestOwnCA(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"response":{"Attribute":[]}}`))
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	server.StartTLS()
	defer server.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	asked := []engine.Observable{observable("ip-dst", "192.31.196.24")}
	if _, err := client(t, func(c *api.Config) { c.CA = ca }, server.URL).Lookup(context.Background(), asked); err != nil {
		t.Errorf("with its CA: %v", err)
	}
	wrongName := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	_, err := client(t, func(c *api.Config) { c.CA = ca }, wrongName).Lookup(context.Background(), asked)
	if err != nil {
		expectTrouble(t, err, enrich.CodeTLS, "use the name in the certificate")
	} else {
		t.Error("a certificate for another name was accepted")
	}
	if _, err := client(t, func(c *api.Config) { c.InsecureSkipVerify = true }, wrongName).Lookup(context.Background(), asked); err != nil {
		t.Errorf("unchecked: %v", err)
	}
}

// TestRetrySucceeds fails twice and then answers.
func TestRetrySucceeds(t *testing.T) {
	t.Parallel()
	server := misptest.New(t, feed())
	var tries atomic.Int32
	server.Fault(func(w http.ResponseWriter, _ *http.Request) {
		if tries.Add(1) == 2 {
			server.Fault(nil)
		}
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	got, err := client(t, func(c *api.Config) { c.Retries = 2 }, server.URL).Lookup(context.Background(), []engine.Observable{observable("ip-dst", "192.31.196.24")})
	if err != nil || len(got) != 1 || tries.Load() != 2 {
		t.Errorf("%d matches after %d failures, %v", len(got), tries.Load(), err)
	}
}

// TestGivesUpBeforeTheDeadline has a server ask for a longer wait than there is time: the reason is returned at once,
// not a time-out later.
func TestGivesUpBeforeTheDeadline(t *testing.T) {
	t.Parallel()
	server := misptest.New(t, feed())
	server.Fault(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "60")
		misptest.Message(w, http.StatusServiceUnavailable, "upgrading")
	})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	start := time.Now()
	_, err := client(t, func(c *api.Config) { c.Retries = 5 }, server.URL).Lookup(ctx, []engine.Observable{observable("ip-dst", "192.31.196.24")})
	expectTrouble(t, err, enrich.CodeUnavailable, "answered 503: upgrading")
	if waited := time.Since(start); waited > 10*time.Second {
		t.Errorf("waited %s", waited)
	}
	if n := len(server.Requests()); n != 1 {
		t.Errorf("%d tries", n)
	}
}

// TestRedirectKeepsTheKey is sent to another host: nothing may arrive there.
func TestRedirectKeepsTheKey(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	_, err := client(t, nil, server.URL).Lookup(context.Background(), []engine.Observable{observable("ip-dst", "192.31.196.24")})
	expectTrouble(t, err, enrich.CodeUnavailable, "answered 307")
	if asked.Load() != 0 {
		t.Error("the redirect was followed")
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		config api.Config
		says   string
	}{
		"no address":    {api.Config{Key: "k"}, `"" is not the address of a MISP`},
		"no scheme":     {api.Config{URL: "misp.example.org", Key: "k"}, "is not the address of a MISP"},
		"other scheme":  {api.Config{URL: "ftp://misp.example.org", Key: "k"}, "is not the address of a MISP"},
		"user":          {api.Config{URL: "https://u:p@misp.example.org", Key: "k"}, "host and path alone"},
		"query":         {api.Config{URL: "https://misp.example.org?a=b", Key: "k"}, "host and path alone"},
		"no key":        {api.Config{URL: "https://misp.example.org"}, "the key for MISP is empty"},
		"key of lines":  {api.Config{URL: "https://misp.example.org", Key: "se\ncret"}, "characters that no key has"},
		"CA is no PEM":  {api.Config{URL: "https://misp.example.org", Key: "k", CA: []byte("x")}, "no certificate in PEM form"},
		"password":      {api.Config{URL: "https://u:hunter2@misp.example.org", Key: "k"}, `fragment: "https://…@misp.example.org"`},
		"no scheme, pw": {api.Config{URL: "u:hunter2@misp.example.org", Key: "k"}, `"://…@misp.example.org" is not the address`},
		"broken, pw":    {api.Config{URL: "https://u:hunter2@mi sp", Key: "k"}, `"https://…@mi sp" is not the address`},
		"key in query":  {api.Config{URL: "https://misp.example.org?key=Secret", Key: "Secret"}, `fragment: "https://misp.example.org?…"`},
		"key in path":   {api.Config{URL: "https://misp.example.org/Secret?", Key: "Secret"}, `fragment: "https://misp.example.org/***?…"`},
		"key as host":   {api.Config{URL: "ftp://Secret", Key: "Secret"}, `"ftp://***" is not the address`},
		"no host":       {api.Config{URL: "https://:443", Key: "k"}, "is not the address of a MISP"},
		"no such port":  {api.Config{URL: "https://misp.example.org:99999", Key: "k"}, "is not the address of a MISP"},
	} {
		_, err := api.New(tt.config)
		if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "cret") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", name, err, tt.says)
		}
	}
}

// TestBundledFeedOverMISP asks the test server for what the bundled feed holds.
func TestBundledFeedOverMISP(t *testing.T) {
	t.Parallel()
	server := misptest.New(t, os.DirFS("../../testdata/feed"))
	got, err := client(t, nil, server.URL).Lookup(context.Background(), []engine.Observable{observable("ip-dst", "192.31.196.66")})
	if err != nil || len(got) != 1 || got[0].Attribute.Event.Org != "EXAMPLE-CERT" {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestZeroClient uses a client that was not made by New: no method panics, and each that would ask MISP fails.
func TestZeroClient(t *testing.T) {
	t.Parallel()
	var c api.Client
	c.Close()
	_, lookup := c.Lookup(t.Context(), []engine.Observable{observable("domain", "evil.example")})
	_, read := c.Read(t.Context(), api.Reading{Events: []string{"1"}})
	_, _, events := c.Events(t.Context(), api.EventList{})
	_, about := c.About(t.Context())
	for name, err := range map[string]error{
		"Lookup": lookup, "Read": read, "Events": events, "About": about, "Sight": c.Sight(t.Context(), enrich.Sighting{UUID: "x"}),
	} {
		if trouble, ok := errors.AsType[*enrich.Trouble](err); !ok || trouble.Code != enrich.CodeConfig || trouble.Remedy == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if c, err := api.New(api.Config{}); err == nil {
		t.Errorf("made a client of nothing: %+v", c)
	}
}
