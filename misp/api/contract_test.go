package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp/api"
	"custom-misp/misp/misptest"
)

// Each test of this file and of contract_answer_test.go has one surprising thing that a real MISP does, and shows that
// a look-up is right in spite of it. What a MISP in trouble answers is in trouble_test.go.

// entry is an attribute as a feed has it, without what is the same for most.
func entry(typ, value string, more map[string]any) map[string]any {
	a := map[string]any{
		"uuid": typ + " " + value, "type": typ, "category": "Other", "value": value, "to_ids": true, "timestamp": "1790000000",
	}
	maps.Copy(a, more)
	return a
}

// holding is a MISP with one event, and these attributes in it.
func holding(t testing.TB, attributes ...map[string]any) *misptest.Server {
	t.Helper()
	return misptest.New(t, events(map[string]any{"uuid": "e1", "published": true, "Attribute": attributes}))
}

func events(list ...map[string]any) fstest.MapFS {
	files := fstest.MapFS{}
	for i, e := range list {
		data, err := json.Marshal(map[string]any{"Event": e})
		if err != nil {
			panic(err)
		}
		files[fmt.Sprintf("%d.json", i)] = &fstest.MapFile{Data: data}
	}
	return files
}

// many returns n attributes of one type, numbered.
func many(n int, typ, form string) []map[string]any {
	var list []map[string]any
	for i := range n {
		list = append(list, entry(typ, fmt.Sprintf(form, i), map[string]any{"uuid": fmt.Sprintf("u%d", i)}))
	}
	return list
}

// between puts something between the client and MISP that changes requests, and returns the number of attributes
// that the last answer had.
func between(server *misptest.Server, change func(*http.Request)) func() int {
	var n atomic.Int64
	server.Fault(func(w http.ResponseWriter, r *http.Request) {
		change(r)
		answer := httptest.NewRecorder()
		server.Answer(answer, r)
		var a struct{ Response struct{ Attribute []any } }
		if json.Unmarshal(answer.Body.Bytes(), &a) == nil {
			n.Store(int64(len(a.Response.Attribute)))
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	})
	return func() int { return int(n.Load()) }
}

func unchanged(*http.Request) {}

func lookup(t *testing.T, server *misptest.Server, observables ...engine.Observable) []enrich.Match {
	t.Helper()
	got, err := client(t, nil, server.URL).Lookup(t.Context(), observables)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// picked returns a value as a mapping picks it from an alert.
func picked(t *testing.T, typ engine.Type, raw string) engine.Observable {
	t.Helper()
	value, err := typ.Normal(raw)
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	return observable(typ, value)
}

// bodyOf replaces the body of a request.
func bodyOf(body string) func(*http.Request) {
	return func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(body)) }
}

// TestLostQuestionMatchesOnlyWhatWasAsked loses the question on its way, so that MISP answers with all that it has.
func TestLostQuestionMatchesOnlyWhatWasAsked(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*http.Request){
		"no Content-Type":         func(r *http.Request) { r.Header.Del("Content-Type") },
		"Content-Type of a form":  func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") },
		"no body":                 bodyOf(""),
		"empty object":            bodyOf("{}"),
		"list":                    bodyOf(`["a"]`),
		"number":                  bodyOf("5"),
		"another method":          func(r *http.Request) { r.Method = http.MethodPut },
		"misspelt filter":         bodyOf(`{"returnFormat":"json","values":["evil-domain.example"]}`),
		"null":                    bodyOf(`{"value":null}`),
		"empty text":              bodyOf(`{"value":""}`),
		"zero":                    bodyOf(`{"value":"0"}`),
		"negation of nothing":     bodyOf(`{"value":"!"}`),
		"negation":                bodyOf(`{"value":["!nobody.example"]}`),
		"empty list":              bodyOf(`{"value":{"OR":[]}}`),
		"wildcard":                bodyOf(`{"value":{"OR":["%"]}}`),
		"limit and page kept":     bodyOf(`{"limit":5000,"page":1}`),
		"page without a limit":    bodyOf(`{"page":3}`),
		"limit of 0 is unlimited": bodyOf(`{"limit":0}`),
	} {
		t.Run(name, func(t *testing.T) {
			server := misptest.New(t, feed())
			answered := between(server, change)
			got := lookup(t, server, observable("hostname", "evil-domain.example"))
			if diff := cmp.Diff([]string{"evil-domain.example <- domain evil-domain.example"}, found(got)); diff != "" {
				t.Errorf("matches (-want +got):\n%s", diff)
			}
			if n := answered(); n != 13 {
				t.Errorf("MISP answered with %d attributes, not with all", n)
			}
		})
	}
}

// TestLostQuestionToALargeMISPIsNoMiss has more attributes than fit in the page that was asked for: matches may be
// beyond what arrives.
func TestLostQuestionToALargeMISPIsNoMiss(t *testing.T) {
	t.Parallel()
	server := holding(t, many(5001, "ip-dst", "192.31.196.%d:x")...)
	for name, tt := range map[string]struct {
		change func(*http.Request)
		says   string
	}{
		"with its limit": {bodyOf("{}"), "more than the 5000 attributes that were asked for at most"},
		"but its limit":  {bodyOf(`{"limit":5000,"page":1}`), "answered with 5000 attributes, none of which was asked for"},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(server.Requests())
			between(server, tt.change)
			_, err := client(t, func(c *api.Config) { c.Retries = 3 }, server.URL).Lookup(t.Context(), []engine.Observable{observable("ip-dst", "192.31.196.24")})
			expectTrouble(t, err, enrich.CodeBadAnswer, tt.says)
			expectTrouble(t, err, enrich.CodeBadAnswer, "drop the question or its Content-Type")
			if n := len(server.Requests()) - before; n != 1 {
				t.Errorf("asked %d times for an answer that costs MISP seconds", n)
			}
		})
	}
}

// TestCountIsNotBelieved has exactly a page of matches, for which MISP counts one more, and then an empty page, for
// which it counts one.
func TestCountIsNotBelieved(t *testing.T) {
	t.Parallel()
	list := many(5000, "ip-dst", "192.31.196.24")
	for i := range list {
		list[i]["value"] = "192.31.196.24"
	}
	server := holding(t, list...)
	if got := lookup(t, server, observable("ip-dst", "192.31.196.24")); len(got) != 5000 {
		t.Errorf("%d matches", len(got))
	}
	if n := len(server.Requests()); n != 2 {
		t.Errorf("%d pages", n)
	}
	var count string
	server.Fault(func(w http.ResponseWriter, r *http.Request) {
		server.Answer(w, r)
		count = w.Header().Get("X-Result-Count")
	})
	if got := lookup(t, server, observable("ip-dst", "192.31.196.25")); len(got) != 0 || count != "1" {
		t.Errorf("%d matches where MISP finds nothing and counts %s", len(got), count)
	}
}

// TestCollation asks for what MISP's database takes for something that it has. Only case does not count here.
func TestCollation(t *testing.T) {
	t.Parallel()
	server := holding(t, entry("filename", "Résumé.exe", nil), entry("url", "http://bad.example/Path", nil))
	for name, tt := range map[string]struct {
		typ   engine.Type
		asked string
		want  int
	}{
		"case":                {"filename", "RÉSUMÉ.EXE", 1},
		"case of a path":      {"url", "http://bad.example/PATH", 1},
		"accents":             {"filename", "resume.exe", 0},
		"combining accents":   {"filename", "re\u0301sume\u0301.exe", 0},
		"full-width letters":  {"filename", "ｒésumé.exe", 0},
		"zero-width space":    {"filename", "résu\u200bmé.exe", 0},
		"NUL at the end":      {"filename", "résumé.exe\x00", 0},
		"soft hyphen":         {"filename", "résumé\u00ad.exe", 0},
		"accent of a path":    {"url", "http://bad.example/Pâth", 0},
		"full-width in a URL": {"url", "http://bad.example/Ｐath", 0},
	} {
		answered := between(server, unchanged)
		got := lookup(t, server, observable(tt.typ, tt.asked))
		if len(got) != tt.want || answered() != 1 {
			t.Errorf("%s: %d matches of %d attributes, want %d of 1", name, len(got), answered(), tt.want)
		}
	}
}

// TestNeverSent has values that would not find themselves but a part of the database, or all of it.
func TestNeverSent(t *testing.T) {
	t.Parallel()
	server := holding(t, entry("user-agent", "curl/8", nil), entry("sha256", hash, nil))
	for name, value := range map[string]string{
		"empty": "", "blanks": "   ", "wildcard": "%", "wildcard at the start": "%curl", "wildcard at the end": "curl%",
		"wildcard before a blank": "curl% ", "wildcard before NUL": "curl%\x00", "wildcard after a tab": "\t%curl",
		"zero-width space": "\u200b", "accent": "\u0301", "accent with a place of its own": "\u00b4", "soft hyphen": "\u00ad",
		"ideographic blank": "\u3000", "control character": "\u0085", "blank with a line above": "\u203e",
		"Arabic vowel sign": "\ufe76",
	} {
		before := len(server.Requests())
		answered := between(server, unchanged)
		got := lookup(t, server, observable("user-agent", value), observable("sha256", hash))
		if len(got) != 1 || answered() != 1 {
			t.Errorf("%s: %d matches of %d attributes", name, len(got), answered())
		}
		lookup(t, server, observable("user-agent", value))
		requests := server.Requests()[before:]
		if len(requests) != 1 || !cmp.Equal(requests[0].Body["value"], any(map[string]any{"OR": []any{hash}})) {
			t.Errorf("%s: asked %+v", name, requests)
		}
	}
}

// TestLiteral has values with characters that mean something to MISP in other forms of a question.
func TestLiteral(t *testing.T) {
	t.Parallel()
	values := []string{
		"!curl", "!", "a||b", "a&&b", "a|b", "a_b", `a\b`, "a%b", "a%_b", "0", `x' OR '1'='1`, `"`, "<script>&amp;", "😀", "$(id)", "[a]", "{}",
	}
	list := []map[string]any{entry("user-agent", "axb", nil), entry("user-agent", "a", nil), entry("user-agent", "b", nil), entry("sha256", hash, nil)}
	for _, v := range values {
		list = append(list, entry("user-agent", v, nil))
	}
	server := holding(t, list...)
	for _, v := range values {
		answered := between(server, unchanged)
		got := found(lookup(t, server, observable("user-agent", v)))
		if diff := cmp.Diff([]string{v + " <- user-agent " + v}, got); diff != "" || answered() != 1 {
			t.Errorf("%q: matches of %d attributes (-want +got):\n%s", v, answered(), diff)
		}
	}
}

// TestForms has values as alerts write them and as MISP stores them: it does not find one by the other.
func TestForms(t *testing.T) {
	t.Parallel()
	server := holding(
		t, entry("ip-dst", "2620:4f:8000::bad", nil), entry("ip-src", "192.31.196.24", nil), entry("domain", "xn--bcher-kva.example", nil),
		entry("hostname", "c2.bad.example", nil), entry("url", "http://xn--bcher-kva.example/a?B=%41", nil), entry("AS", "64500", nil),
		entry("malware-sample", "a.doc|0f0e0d0c0b0a09080706050403020100", nil), entry("email-src", "eve@bad.example", nil),
	)
	for _, tt := range []struct {
		typ    engine.Type
		alert  string
		stored string
	}{
		{"ip-dst", "2620:004F:8000:0000:0000:0000:0000:0BAD", "ip-dst 2620:4f:8000::bad"},
		{"ip-dst", "[2620:4f:8000:0::bad]:443", "ip-dst 2620:4f:8000::bad"},
		{"ip-dst", "2620:4f:8000::bad%eth0", "ip-dst 2620:4f:8000::bad"},
		{"ip-src", "::ffff:192.31.196.24", "ip-src 192.31.196.24"},
		{"ip-src", "192.31.196.24:8443", "ip-src 192.31.196.24"},
		{"hostname", "Bücher.example", "domain xn--bcher-kva.example"},
		{"hostname", "bücher.example.", "domain xn--bcher-kva.example"},
		{"hostname", "C2.BAD.example.", "hostname c2.bad.example"},
		{"url", "HTTP://BÜCHER.example./a?B=%41", "url http://xn--bcher-kva.example/a?B=%41"},
		{"AS", "as64500", "AS 64500"},
		{"md5", "0F0E0D0C0B0A09080706050403020100", "malware-sample a.doc|0f0e0d0c0b0a09080706050403020100"},
		{"email", `"Eve" <Eve@BAD.example>`, "email-src eve@bad.example"},
	} {
		o := picked(t, tt.typ, tt.alert)
		o.Filter = &engine.Filter{MatchKinds: []engine.MatchKind{engine.MatchExact}}
		if diff := cmp.Diff([]string{o.Value + " <- " + tt.stored}, found(lookup(t, server, o))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.alert, diff)
		}
	}
}

// TestKinds finds what MISP does not find by itself: it knows neither that a network contains an address nor that
// a domain is above a name.
func TestKinds(t *testing.T) {
	t.Parallel()
	server := holding(
		t, entry("ip-dst", "192.31.196.0/24", nil), entry("ip-src", "2620:4f:8000::/48", nil), entry("domain", "bad.example", nil),
		entry("hostname", "c2.worse.example", nil), entry("ip-dst|port", "192.175.48.7|8443", nil),
	)
	for _, tt := range []struct {
		typ   engine.Type
		asked string
		want  map[string]engine.MatchKind
	}{
		{"ip-dst", "192.31.196.24", map[string]engine.MatchKind{"192.31.196.0/24": engine.MatchNetwork}},
		{"ip-dst", "192.31.197.24", map[string]engine.MatchKind{}},
		{"ip-dst", "2620:4f:8000::24", map[string]engine.MatchKind{"2620:4f:8000::/48": engine.MatchNetwork}},
		{"hostname", "bad.example", map[string]engine.MatchKind{"bad.example": engine.MatchExact}},
		{"hostname", "a.b.bad.example", map[string]engine.MatchKind{"bad.example": engine.MatchParentDomain}},
		{"hostname", "notbad.example", map[string]engine.MatchKind{}},
		{"hostname", "a.c2.worse.example", map[string]engine.MatchKind{}}, // below a host name, not a domain
		{"url", "https://c2.worse.example/a", map[string]engine.MatchKind{"c2.worse.example": engine.MatchURLHost}},
		{"url", "https://a.bad.example:8443/", map[string]engine.MatchKind{"bad.example": engine.MatchParentDomain}},
		{"url", "http://192.31.196.24/?a=100%", map[string]engine.MatchKind{"192.31.196.0/24": engine.MatchNetwork}},
		{"url", "http://192.175.48.7/", map[string]engine.MatchKind{"192.175.48.7|8443": engine.MatchURLHost}},
	} {
		kinds := map[string]engine.MatchKind{}
		for _, m := range lookup(t, server, picked(t, tt.typ, tt.asked)) {
			kinds[m.Attribute.Value] = m.Kind
		}
		if diff := cmp.Diff(tt.want, kinds); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.asked, diff)
		}
	}
}

// TestBrokenQuestionIsNoMiss breaks the question off on its way.
func TestBrokenQuestionIsNoMiss(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"value":`, "hello", "{\"value\":\"\xff\"}"} {
		server := misptest.New(t, feed())
		between(server, bodyOf(body))
		_, err := client(t, nil, server.URL).Lookup(context.Background(), []engine.Observable{observable("ip-dst", "192.31.196.24")})
		expectTrouble(t, err, enrich.CodeRejected, "answered 405: Invalid JSON input")
	}
}
