package source_test

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
	"custom-misp/misp/mirror"
)

// wellKnown are lists of every kind, by their directories.
var wellKnown = map[string]string{
	"hosts":   `{"description":"d","list":["b.example",".c.example","*"],"matching_attributes":["hostname","domain","url","domain|ip"],"name":"hosts","type":"hostname","version":1}`,
	"nets":    `{"name":"nets","type":"cidr","list":["203.0.113.0/24","2001:db8:1::/48","198.51.100.7"],"version":2}`,
	"texts":   `{"name":"texts","list":["d41d8cd98f00b204e9800998ecf8427e","Invoice.exe"],"matching_attributes":["md5","filename","filename|md5"],"version":3}`,
	"parts":   `{"name":"parts","type":"substring","list":["Analysis.Example"],"version":4}`,
	"mails":   `{"name":"mails","type":"regex","list":["/^(abuse|noc)\\@.*$/ig","/(?<=a)b/","#^ftp://x/#"],"matching_attributes":["email-src","url"],"version":5}`,
	"classed": `{"name":"as MISP has it","type":"string","WarninglistEntry":[{"id":"1","value":"evil.example"}],"WarninglistType":[{"type":"domain"}]}`,
}

// listed is a value, and the lists that it has to be on.
type listed struct {
	typ, value string
	want       []string
}

var wellKnownCases = []listed{
	{"hostname", "a.b.example", []string{"hosts"}},
	{"url", "https://u@A.B.example.:8443/x?y=z", []string{"hosts"}},
	{"url", "https://xb.example/b.example", nil},
	{"hostname", "c.example", []string{"hosts"}},
	{"sha256", "b.example", nil}, // the list is not about hashes
	{"ip-dst", "203.0.113.9", []string{"nets"}},
	{"ip-dst", "203.0.114.9", nil},
	{"ip-src", "::ffff:198.51.100.7", []string{"nets"}},
	{"ip-src", "2001:db8:1:2::3", []string{"nets"}},
	{"ip-src", "203.0.113.0/25", []string{"nets"}},
	{"ip-src", "203.0.112.0/23", nil},
	{"ip-dst|port", "203.0.113.9|443", []string{"nets"}},
	{"md5", "D41D8CD98F00B204E9800998ECF8427E", []string{"texts"}},
	{"filename", "invoice.EXE", []string{"texts"}},
	{"filename", "invoice.exe.bak", nil},
	{"url", "http://x.analysis.example/r", []string{"parts"}},
	{"email-src", "NOC@x.example", []string{"mails"}},
	{"email-dst", "noc@x.example", nil},
	{"url", "ftp://x/1", []string{"mails"}},
	{"domain", "evil.example", []string{"as MISP has it"}},
	{"hostname", "evil.example", nil},
}

// checkListed looks values up in the warninglists of a mirror.
func checkListed(t *testing.T, m *mirror.Mirror, all []listed) {
	t.Helper()
	for _, l := range all {
		own := []string{"of MISP"}
		before := enrich.Match{Kind: engine.MatchExact, Attribute: &misp.Attribute{Type: l.typ, Value: l.value, Warninglists: own}}
		before.Observable = engine.Observable{Type: engine.Type(l.typ), Value: l.value}
		given := []enrich.Match{before}
		got := m.Warn(t.Context(), given)
		if diff := cmp.Diff(append([]string{"of MISP"}, l.want...), got[0].Attribute.Warninglists); diff != "" {
			t.Errorf("%s %s: %s", l.typ, l.value, diff)
		}
		if len(own) != 1 || given[0].Attribute != before.Attribute {
			t.Errorf("%s: what others share was changed", l.value)
		}
	}
}

// syncLists syncs a source of warninglists, and opens it.
func syncLists(t *testing.T, place string, headers http.Header) (*mirror.Mirror, mirror.State, error) {
	t.Helper()
	y := &mirror.Syncer{Dir: t.TempDir()}
	t.Cleanup(y.Close)
	state, err := y.Sync(t.Context(), load(t, "format: warninglist").Origin(mirror.Access{Place: place, Headers: headers}), false)
	m := mirror.Open(y.Dir, []string{"x"}, engine.Filter{})
	t.Cleanup(m.Close)
	m.Warninglists = []string{"x"}
	return m, state, err
}

// writeLists writes lists into a directory, as the repository has them.
func writeLists(t *testing.T, lists map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range lists {
		at := filepath.Join(dir, "lists", name)
		if err := os.MkdirAll(at, 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(at, "list.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "schema.json"), []byte(`{"type":"object"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// zipped packs lists.
func zipped(t *testing.T, lists map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, text := range lists {
		f, err := w.Create("misp-warninglists-main/lists/" + name + "/list.json")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestWarninglistsOfADirectory reads all lists of a directory, and says what of them cannot be used.
func TestWarninglistsOfADirectory(t *testing.T) {
	t.Parallel()
	m, state, err := syncLists(t, writeLists(t, wellKnown), nil)
	if err != nil {
		t.Fatal(err)
	}
	if state.Kind != mirror.KindWarninglist || state.Events != len(wellKnown) || !strings.Contains(state.Partial, "a pattern that cannot be used") {
		t.Errorf("%+v", state)
	}
	checkListed(t, m, wellKnownCases)
	for a, err := range m.All() {
		t.Errorf("an entry of a list counts as an indicator: %+v, %v", a, err)
	}
	matches, err := m.Lookup(t.Context(), []engine.Observable{{Type: "ip-dst", Value: "203.0.113.9"}, {Type: "domain", Value: "b.example"}})
	if len(matches) > 0 || err != nil {
		t.Errorf("%v, %v", matches, err)
	}
}

// TestWarninglistsOfAnArchive reads them from a zip archive behind an address, and goes on behind a list that is broken.
func TestWarninglistsOfAnArchive(t *testing.T) {
	t.Parallel()
	with := map[string]string{"cut": `{"name":"cut","list":["a.exa`, "other": `{"name":"o","type":"other","list":["x"]}`, "none": `[]`}
	maps.Copy(with, wellKnown)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(zipped(t, with)) }))
	defer server.Close()
	m, state, err := syncLists(t, server.URL+"/main.zip", nil)
	if err != nil {
		t.Fatal(err)
	}
	if state.Events != len(wellKnown) || state.Partial == "" {
		t.Errorf("%+v", state)
	}
	checkListed(t, m, wellKnownCases)
}

// TestWarninglistsOfMISP reads those that are enabled in a MISP.
func TestWarninglistsOfMISP(t *testing.T) {
	t.Parallel()
	asked := 0
	version := "1"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "fake" || r.Header.Get("Accept") != "application/json" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		switch r.URL.Path {
		case "/misp/warninglists/index":
			fmt.Fprintf(w, `{"Warninglists":[{"Warninglist":{"id":"7","version":%q,"enabled":true}},{"Warninglist":{"id":"8","version":"1","enabled":false}},{"Warninglist":{"id":"9","version":"1","enabled":"1"}}]}`, version)
		case "/misp/warninglists/view/7":
			asked++
			_, _ = fmt.Fprint(w, `{"Warninglist":{"id":"7","name":"seven","type":"cidr","WarninglistEntry":[{"value":"203.0.113.0/24"}],"WarninglistType":[{"type":"ALL"}]}}`)
		case "/misp/warninglists/view/9":
			_, _ = fmt.Fprint(w, `{"Warninglist":{"name":"nine","type":"hostname"},"WarninglistEntry":[{"value":"b.example"}],"WarninglistType":[{"type":"domain"}]}`)
		default:
			t.Errorf("asked for %s", r.URL.Path)
		}
	}))
	defer server.Close()
	headers := http.Header{"Authorization": {"fake"}}
	for _, at := range []string{"/misp/warninglists", "/misp/warninglists/index"} {
		m, _, err := syncLists(t, server.URL+at, headers)
		if err != nil {
			t.Fatal(err)
		}
		checkListed(t, m, []listed{{"ip-dst", "203.0.113.9", []string{"seven"}}, {"domain", "b.example", []string{"nine"}}})
	}
	y := &mirror.Syncer{Dir: t.TempDir()}
	defer y.Close()
	o := load(t, "format: warninglist").Origin(mirror.Access{Place: server.URL + "/misp/warninglists", Headers: headers})
	asked = 0
	for range 2 {
		if _, err := y.Sync(t.Context(), o, false); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 1 {
		t.Errorf("lists that are still the same were read %d times", asked)
	}
	version = "2"
	if _, err := y.Sync(t.Context(), o, false); err != nil || asked != 2 {
		t.Errorf("a list of another version was read %d times, %v", asked, err)
	}
	if _, _, err := syncLists(t, server.URL+"/misp/warninglists", nil); err == nil || strings.Contains(err.Error(), "fake") {
		t.Errorf("%v", err)
	}
}

// TestRelatedMatchesAreListed has a match be on a list by its attribute, and by the value that was seen.
func TestRelatedMatchesAreListed(t *testing.T) {
	t.Parallel()
	m, _, err := syncLists(t, writeLists(t, wellKnown), nil)
	if err != nil {
		t.Fatal(err)
	}
	match := func(kind engine.MatchKind, typ, value, seenType, seen string) []string {
		return m.Warn(t.Context(), []enrich.Match{{
			Kind: kind, Attribute: &misp.Attribute{Type: typ, Value: value}, Observable: engine.Observable{Type: engine.Type(seenType), Value: seen},
		}})[0].Attribute.Warninglists
	}
	if got := match(engine.MatchNetwork, "ip-dst", "203.0.0.0/16", "ip-src", "203.0.113.9"); len(got) != 1 {
		t.Errorf("seen: %v", got)
	}
	if got := match(engine.MatchNetwork, "ip-dst", "203.0.113.0/28", "ip-src", "203.0.113.9"); len(got) != 1 {
		t.Errorf("known: %v", got)
	}
	if got := match(engine.MatchExact, "domain|ip", "bad.example|203.0.113.9", "domain", "bad.example"); len(got) != 0 {
		t.Errorf("the other half of a pair: %v", got)
	}
	if got := match(engine.MatchExact, "domain|ip", "x.b.example|192.0.2.1", "domain", "x.b.example"); len(got) != 1 {
		t.Errorf("the half that was seen: %v", got)
	}
}

// TestUndeclaredWarninglist takes no entry of a warninglist for an indicator.
func TestUndeclaredWarninglist(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "list.json")
	if err := os.WriteFile(name, []byte(wellKnown["texts"]), 0o600); err != nil {
		t.Fatal(err)
	}
	y := &mirror.Syncer{Dir: t.TempDir()}
	defer y.Close()
	if _, err := y.Sync(t.Context(), load(t, "description: x").Origin(mirror.Access{Place: name}), false); err == nil || !strings.Contains(err.Error(), "declare format: warninglist") {
		t.Errorf("%v", err)
	}
}

// TestManyPatterns bounds the work of patterns.
func TestManyPatterns(t *testing.T) {
	t.Parallel()
	var parts []string
	for i := range mirror.MaxPatterns + 5 {
		parts = append(parts, fmt.Sprintf(`"part%d."`, i))
	}
	m, state, err := syncLists(t, writeLists(t, map[string]string{"parts": `{"name":"parts","type":"substring","list":[` + strings.Join(parts, ",") + `]}`}), nil)
	if err != nil || !strings.Contains(state.Partial, "5 of") {
		t.Fatalf("%v, %+v", err, state)
	}
	var matches []enrich.Match
	for i := range 20_000 {
		matches = append(matches, enrich.Match{Kind: engine.MatchExact, Attribute: &misp.Attribute{Type: "url", Value: fmt.Sprintf("http://part7.example/%d", i)}})
	}
	warned := 0
	for _, match := range m.Warn(t.Context(), matches) {
		warned += len(match.Attribute.Warninglists)
	}
	if warned == 0 || warned == len(matches) {
		t.Errorf("%d of %d values were compared with all patterns", warned, len(matches))
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if got := m.Warn(ended, matches[:1]); len(got) != 1 {
		t.Errorf("%v", got)
	}
}
