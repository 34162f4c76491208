package feed_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp/feed"
)

func directory(event string) fstest.MapFS {
	return fstest.MapFS{"manifest.json": {Data: []byte(`{"e1":{}}`)}, "e1.json": {Data: []byte(event)}}
}

func lookup(t *testing.T, f *feed.Feed, typ engine.Type, value string) []string {
	t.Helper()
	matches, err := f.Lookup(context.Background(), []engine.Observable{{Type: typ, Value: value}})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, m := range matches {
		a := m.Attribute
		got = append(got, fmt.Sprintf("%s %s event=%s published=%t org=%s level=%s tags=%v", a.Type, a.Value, a.Event.ID, a.Event.Published, a.Event.Org, a.Event.ThreatLevel, a.Tags))
	}
	return got
}

func TestLookup(t *testing.T) {
	t.Parallel()
	f, err := feed.Open(directory(`{"Event":{"uuid":"e1","info":"i","threat_level_id":"1","Orgc":{"name":"EXAMPLE-CERT"},"Tag":[{"name":"tlp:red"}],
		"Attribute":[{"type":"ip-dst|port","value":"192.31.196.1|443","to_ids":true,"Tag":[{"name":"own"},{"name":"tlp:red"}]},{"type":"domain","value":"gone.example","deleted":true}],
		"Object":[{"Attribute":[{"type":"domain","value":"Bad.Example"}]},{"deleted":true,"Attribute":[{"type":"domain","value":"gone2.example"}]}]}}`), engine.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		typ   engine.Type
		value string
		want  []string
	}{
		"half of a composite": {"ip-src", "192.31.196.1", []string{"ip-dst|port 192.31.196.1|443 event=e1 published=true org=EXAMPLE-CERT level=high tags=[own tlp:red]"}},
		"in an object":        {"hostname", "bad.example", []string{"domain Bad.Example event=e1 published=true org=EXAMPLE-CERT level=high tags=[tlp:red]"}},
		"deleted":             {"domain", "gone.example", []string{}},
		"deleted object":      {"domain", "gone2.example", []string{}},
		"unknown":             {"domain", "good.example", []string{}},
	} {
		if diff := cmp.Diff(tt.want, lookup(t, f, tt.typ, tt.value)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if f.Len() != 2 {
		t.Errorf("%d indicators", f.Len())
	}
}

func TestLookupFilters(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	f, err := feed.Open(directory(`{"Event":{"id":"9","uuid":"e1","published":false,"Attribute":[{"type":"domain","value":"bad.example","to_ids":false}]}}`), engine.Filter{ToIDs: &yes})
	if err != nil {
		t.Fatal(err)
	}
	if got := lookup(t, f, "domain", "bad.example"); len(got) != 0 {
		t.Errorf("the configured filter lets %v through", got)
	}
	matches, err := f.Lookup(context.Background(), []engine.Observable{{Type: "domain", Value: "bad.example", Filter: &engine.Filter{ToIDs: &no}}})
	if err != nil || len(matches) != 1 || matches[0].Attribute.Event.ID != "9" || matches[0].Attribute.Event.Published {
		t.Errorf("with the mapping's own filter: %+v, %v", matches, err)
	}
}

func TestOpenTrouble(t *testing.T) {
	t.Parallel()
	for want, fsys := range map[string]fstest.MapFS{
		"manifest.json: not there; is this a directory in MISP feed format?":   {},
		"manifest.json: unexpected end of JSON input; download the feed again": {"manifest.json": {}},
		`manifest.json: "../x" is not the UUID of an event`:                    {"manifest.json": {Data: []byte(`{"../x":{}}`)}},
		"e1.json: named in manifest.json: file does not exist; download":       {"manifest.json": {Data: []byte(`{"e1":{}}`)}},
		"e1.json: no object Event in it; download the feed again":              directory(`{}`),
		"e1.json: Event.Attribute must not be of the kind number":              directory(`{"Event":{"Attribute":1}}`),
		"manifest.json: not an object with an entry for each event; is this":   {"manifest.json": {Data: []byte(`[1]`)}},
		"manifest.json: not an object with an entry":                           {"manifest.json": {Data: []byte(`null`)}},
	} {
		_, err := feed.Open(fsys, engine.Filter{})
		trouble, ok := errors.AsType[*enrich.Trouble](err)
		if !ok || trouble.Code != enrich.CodeFeed || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// TestOpenRefusesHugeFiles has an event of a size that costs nothing on disk, and must not cost memory.
func TestOpenRefusesHugeFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "manifest.json"), []byte(`{"e1":{}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "e1.json")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, 256<<20+1); err != nil {
		t.Fatal(err)
	}
	_, err := feed.Open(os.DirFS(dir), engine.Filter{})
	want := "e1.json: named in manifest.json: longer than 268435456 bytes; no event is that large"
	if trouble, ok := errors.AsType[*enrich.Trouble](err); !ok || trouble.Code != enrich.CodeFeed || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestBundledFeed(t *testing.T) {
	t.Parallel()
	f, err := feed.Open(os.DirFS("../../testdata/feed"), engine.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if f.Len() < 20 {
		t.Errorf("only %d indicators", f.Len())
	}
}

// FuzzOpen reads any bytes as an event file.
func FuzzOpen(f *testing.F) {
	f.Add([]byte(`{"Event":{"uuid":"e","Attribute":[{"type":"domain|ip","value":"a.example|192.31.196.1"}],"Object":[{}]}}`))
	f.Fuzz(func(_ *testing.T, event []byte) { _, _ = feed.Open(directory(string(event)), engine.Filter{}) })
}

func BenchmarkLookup(b *testing.B) {
	var list []string
	for i := range 10_000 {
		list = append(list, fmt.Sprintf(`{"type":"domain","value":"host-%d.example"}`, i))
	}
	f, err := feed.Open(directory(`{"Event":{"uuid":"e","Attribute":[`+strings.Join(list, ",")+`]}}`), engine.Filter{})
	if err != nil {
		b.Fatal(err)
	}
	asked := []engine.Observable{{Type: "domain", Value: "host-77.example"}, {Type: "domain", Value: "other.example"}}
	b.ReportAllocs()
	for b.Loop() {
		if matches, _ := f.Lookup(context.Background(), asked); len(matches) != 1 {
			b.Fatal(matches)
		}
	}
}
