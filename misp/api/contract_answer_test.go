package api_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp/api"
	"custom-misp/misp/misptest"
)

func tags(names ...string) []any {
	var list []any
	for _, name := range names {
		list = append(list, map[string]any{"name": name})
	}
	return list
}

// TestTagsArrive has tags on the attribute, some of them galaxies, and on its event, which MISP marks otherwise.
func TestTagsArrive(t *testing.T) {
	t.Parallel()
	const technique, tactic = `misp-galaxy:mitre-attack-pattern="Phishing - T1566"`, `misp-galaxy:mitre-attack-pattern="PowerShell - T1059.001"`
	server := misptest.New(t, events(map[string]any{
		"uuid": "e1", "published": true, "Tag": tags("tlp:red", technique),
		"Attribute": []any{
			entry("ip-dst", "192.31.196.24", map[string]any{"Tag": tags("tlp:amber", tactic, "tlp:red")}),
			entry("ip-dst", "192.31.196.25", nil),
		},
	}))
	for value, want := range map[string][]string{
		"192.31.196.24": {"tlp:amber", tactic, "tlp:red", technique},
		"192.31.196.25": {"tlp:red", technique},
	} {
		got := lookup(t, server, observable("ip-dst", value))
		if len(got) != 1 {
			t.Fatalf("%s: %d matches", value, len(got))
		}
		if diff := cmp.Diff(want, got[0].Attribute.Tags); diff != "" {
			t.Errorf("%s: tags (-want +got):\n%s", value, diff)
		}
	}
}

// TestFiltersAreOurs has one address in five events. MISP is asked for all of them, filtered by to_ids alone: its own
// filters take texts for other flags than they say, cut answers short, and cannot let an attribute pass that has no
// score.
func TestFiltersAreOurs(t *testing.T) {
	t.Parallel()
	const address = "192.31.196.24"
	event := func(uuid, level, org string, published bool, more map[string]any) map[string]any {
		return map[string]any{
			"uuid": uuid, "threat_level_id": level, "published": published, "Orgc": map[string]any{"name": org, "uuid": "uuid of " + org},
			"Attribute": []any{entry("ip-dst", address, more)},
		}
	}
	server := misptest.New(t, events(
		event("high", "1", "CERT-A", true, map[string]any{"decay_score": []any{map[string]any{"score": 20.5}, map[string]any{"score": 61.25}}}),
		event("low", "3", "CERT-A", true, map[string]any{"timestamp": "1780000000"}),
		event("undefined", "4", "CERT-B", true, map[string]any{"timestamp": "1780000000", "last_seen": "2026-09-20T00:00:00.000000+00:00"}),
		event("draft", "2", "CERT-B", false, map[string]any{"decay_score": []any{map[string]any{"score": 60}}}),
		event("listed", "2", "CERT-A", true, map[string]any{"to_ids": false, "warnings": []any{map[string]any{"warninglist_name": "Resolvers"}}}),
	))
	yes, score, age := true, 61, engine.Age(30*24*time.Hour)
	for name, tt := range map[string]struct {
		filter engine.Filter
		want   []string
	}{
		"none":            {engine.Filter{}, []string{"draft", "high", "listed", "low", "undefined"}},
		"to_ids":          {engine.Filter{ToIDs: &yes}, []string{"draft", "high", "low", "undefined"}},
		"published":       {engine.Filter{Published: &yes}, []string{"high", "listed", "low", "undefined"}},
		"threat level":    {engine.Filter{MinThreatLevel: "medium"}, []string{"draft", "high", "listed"}},
		"org by name":     {engine.Filter{Orgs: []string{"cert-b"}}, []string{"draft", "undefined"}},
		"org by UUID":     {engine.Filter{ExcludeOrgs: []string{"uuid of CERT-A"}}, []string{"draft", "undefined"}},
		"warninglists":    {engine.Filter{Warninglists: &yes}, []string{"draft", "high", "low", "undefined"}},
		"best score":      {engine.Filter{MinDecayScore: &score}, []string{"high", "listed", "low", "undefined"}},
		"age, seen since": {engine.Filter{MaxAge: &age}, []string{"draft", "high", "listed", "undefined"}},
	} {
		c := client(t, func(c *api.Config) {
			c.Filter, c.Now = tt.filter, func() time.Time { return time.Unix(1790000000, 0).Add(24 * time.Hour) }
		}, server.URL)
		got, err := c.Lookup(t.Context(), []engine.Observable{observable("ip-dst", address)})
		if err != nil {
			t.Fatal(err)
		}
		var in []string
		for _, m := range got {
			in = append(in, m.Attribute.Event.UUID)
		}
		slices.Sort(in)
		if diff := cmp.Diff(tt.want, in); diff != "" {
			t.Errorf("%s: matches in events (-want +got):\n%s", name, diff)
		}
		sent := server.Requests()[len(server.Requests())-1].Body
		for _, key := range []string{"published", "tags", "org", "threat_level_id", "enforceWarninglist", "excludeDecayed", "timestamp", "last", "deleted"} {
			if _, ok := sent[key]; ok {
				t.Errorf("%s: MISP was asked to filter by %s", name, key)
			}
		}
		if asked := sent["includeDecayScore"] == true; asked != (tt.filter.MinDecayScore != nil) {
			t.Errorf("%s: asked for scores: %t", name, asked)
		}
	}
}

// TestDeletedIsNoMatch deletes softly, as MISP does by default, and has a MISP that answers with it nevertheless.
func TestDeletedIsNoMatch(t *testing.T) {
	t.Parallel()
	server := holding(t, entry("ip-dst", "192.31.196.24", map[string]any{"deleted": true}))
	for _, body := range []string{"", `{"deleted":1}`, `{"deleted":[0,1]}`} {
		answered := between(server, unchanged)
		if body != "" {
			answered = between(server, bodyOf(body))
		}
		got := lookup(t, server, observable("ip-dst", "192.31.196.24"))
		if n := answered(); len(got) != 0 || (n == 0) != (body == "") {
			t.Errorf("%q: %d matches of %d attributes", body, len(got), n)
		}
	}
}

// TestRefusalIsNoMiss asks a MISP in each of the conditions in which it does not answer. One of them looks like a
// key that is not valid, but is something else.
func TestRefusalIsNoMiss(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		condition misptest.Condition
		code      enrich.Code
		says      string
	}{
		"no such user":  {misptest.Condition{Refused: misptest.NoUser}, enrich.CodeUnauthorized, "answered 403: Authentication failed. Please make sure"},
		"user disabled": {misptest.Condition{Refused: misptest.UserDisabled}, enrich.CodeUnauthorized, "account has been disabled; check the key"},
		"other address": {misptest.Condition{Refused: misptest.OtherAddress}, enrich.CodeUnauthorized, "from your IP address; check the key"},
		"maintenance":   {misptest.Condition{Maintenance: true}, enrich.CodeUnavailable, "answered 302, a redirect; is MISP in maintenance"},
		"no database":   {misptest.Condition{DatabaseDown: true}, enrich.CodeUnavailable, "answered 500: An Internal Error"},
	} {
		server := misptest.New(t, feed())
		server.Set(tt.condition)
		_, err := client(t, nil, server.URL).Lookup(t.Context(), []engine.Observable{observable("ip-dst", "192.31.196.24")})
		expectTrouble(t, err, tt.code, tt.says)
		if n := len(server.Requests()); n != 1 {
			t.Errorf("%s: %d requests, the last for %s", name, n, server.Requests()[n-1].Path)
		}
	}
}

// TestRateLimitTellsTheWait uses up what the role of the user allows. MISP gives the wait in a header of its own.
func TestRateLimitTellsTheWait(t *testing.T) {
	t.Parallel()
	server := misptest.New(t, feed())
	server.Set(misptest.Condition{RateLimit: 2})
	c := client(t, func(c *api.Config) { c.Retries = 3 }, server.URL)
	asked := []engine.Observable{observable("ip-dst", "192.31.196.24")}
	for range 2 {
		if got, err := c.Lookup(t.Context(), asked); err != nil || len(got) != 1 {
			t.Fatalf("%d matches, %v", len(got), err)
		}
	}
	_, err := c.Lookup(t.Context(), asked)
	expectTrouble(t, err, enrich.CodeRateLimited, "answered 429: Rate limit exceeded")
	if trouble, ok := errors.AsType[*enrich.Trouble](err); !ok || trouble.Wait != 900*time.Second {
		t.Errorf("%v, to wait", err)
	}
	if n := len(server.Requests()); n != 3 {
		t.Errorf("%d requests", n)
	}
}

// TestNoSessionIsKept is given a cookie with each answer. The key travels in its header and nowhere else.
func TestNoSessionIsKept(t *testing.T) {
	t.Parallel()
	server := misptest.New(t, feed())
	c := client(t, nil, server.URL)
	for range 2 {
		if _, err := c.Lookup(t.Context(), []engine.Observable{observable("ip-dst", "192.31.196.24")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Sight(t.Context(), enrich.Sighting{UUID: "uuid of " + hash, Source: "s", Time: time.Unix(1790000000, 0)}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.About(t.Context()); err != nil {
		t.Fatal(err)
	}
	requests := server.Requests()
	if len(requests) != 5 {
		t.Errorf("%d requests", len(requests))
	}
	for _, r := range requests {
		if cookie := r.Header.Get("Cookie"); cookie != "" {
			t.Errorf("%s: cookie %s", r.Path, cookie)
		}
		if got := r.Header.Values("Authorization"); !cmp.Equal(got, []string{misptest.Key}) {
			t.Errorf("%s: Authorization %q", r.Path, got)
		}
		r.Header.Del("Authorization")
		if strings.Contains(fmt.Sprint(r), misptest.Key) {
			t.Errorf("the key is elsewhere too: %v", r)
		}
	}
}

// compressed is a front-end that compresses what MISP answers.
func compressed(server *misptest.Server) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		server.Answer(answer, r)
		w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			w.WriteHeader(http.StatusNotAcceptable)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(answer.Body.Bytes())
		_ = z.Close()
	}
}

// TestCompressedAnswerIsRead has a front-end that compresses, and bounds what comes out of it, not what arrives.
func TestCompressedAnswerIsRead(t *testing.T) {
	t.Parallel()
	server := holding(t, entry("ip-dst", "192.31.196.24", map[string]any{"comment": strings.Repeat("a", 100_000)}))
	server.Fault(compressed(server))
	if got := lookup(t, server, observable("ip-dst", "192.31.196.24")); len(got) != 1 {
		t.Errorf("%d matches", len(got))
	}
	_, err := client(t, func(c *api.Config) { c.MaxAnswer = 50_000 }, server.URL).Lookup(t.Context(), []engine.Observable{observable("ip-dst", "192.31.196.24")})
	expectTrouble(t, err, enrich.CodeBadAnswer, "more than 50000 bytes")
}

// TestDeepAnswerIsRefused is answered with as many brackets as an answer has room for.
func TestDeepAnswerIsRefused(t *testing.T) {
	t.Parallel()
	server := misptest.New(t, feed())
	server.Fault(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(bytes.Repeat([]byte("["), 32<<20))
	})
	c := client(t, func(c *api.Config) { c.Timeout = time.Minute }, server.URL)
	_, err := c.Lookup(t.Context(), []engine.Observable{observable("ip-dst", "192.31.196.24")})
	expectTrouble(t, err, enrich.CodeBadAnswer, "JSON that breaks off or is broken")
}

// TestSightingTouchesOneAttribute has the value of the sighting in two attributes: reported by value, MISP would count
// it for both.
func TestSightingTouchesOneAttribute(t *testing.T) {
	t.Parallel()
	server := holding(t, entry("ip-dst", "192.31.196.24", nil), entry("ip-src", "192.31.196.24", nil))
	sighting := enrich.Sighting{UUID: "ip-dst 192.31.196.24", Source: "wazuh", Time: time.Unix(1790000001, 5)}
	if err := client(t, nil, server.URL).Sight(t.Context(), sighting); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"uuid": sighting.UUID, "type": "0", "source": "wazuh", "timestamp": 1790000001.0}
	if diff := cmp.Diff(want, server.Requests()[0].Body); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	taken := []misptest.Sighting{{UUID: sighting.UUID, Source: "wazuh", Type: "0", Date: "1790000001"}}
	if diff := cmp.Diff(taken, server.Sightings()); diff != "" {
		t.Errorf("taken (-want +got):\n%s", diff)
	}
}

// TestSightingThatFails is answered with status 200 nevertheless. A sighting is sent once only: MISP counts each call.
func TestSightingThatFails(t *testing.T) {
	t.Parallel()
	answers := func(status int, body string) func(*misptest.Server) {
		return func(s *misptest.Server) {
			s.Fault(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				_, _ = w.Write([]byte(body))
			})
		}
	}
	for name, tt := range map[string]struct {
		arrange func(*misptest.Server)
		code    enrich.Code
		says    string
	}{
		"no such attribute": {func(*misptest.Server) {}, enrich.CodeRejected, "did not accept a sighting of attribute gone: Could not add the Sighting. Reason: No valid attributes found"},
		"no right":          {func(s *misptest.Server) { s.Set(misptest.Condition{NoSightings: true}) }, enrich.CodeUnauthorized, "You do not have permission"},
		"no Sighting":       {answers(200, `{}`), enrich.CodeRejected, "did not accept"},
		"null":              {answers(200, `{"Sighting":null}`), enrich.CodeRejected, "did not accept"},
		"PHP's nothing":     {answers(200, `{"Sighting":[]}`), enrich.CodeRejected, "did not accept"},
		"message of a kind": {answers(200, `{"message":["no"]}`), enrich.CodeRejected, "did not accept"},
		"failing":           {answers(503, `{}`), enrich.CodeUnavailable, "answered 503"},
	} {
		server := holding(t, entry("ip-dst", "192.31.196.24", nil))
		tt.arrange(server)
		c := client(t, func(c *api.Config) { c.Retries = 3 }, server.URL)
		err := c.Sight(t.Context(), enrich.Sighting{UUID: "gone", Source: "wazuh", Time: time.Unix(1790000001, 0)})
		expectTrouble(t, err, tt.code, tt.says)
		if n := len(server.Requests()); n != 1 || len(server.Sightings()) != 0 {
			t.Errorf("%s: sent %d times, accepted %d", name, n, len(server.Sightings()))
		}
	}
}
