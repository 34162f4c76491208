package mappingtest_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/engine/mappingtest"
	"custom-misp/mappings"
)

func builtin(t testing.TB) *engine.Engine {
	t.Helper()
	sources, err := engine.ReadFS(mappings.FS, "mappings")
	if err != nil {
		t.Fatal(err)
	}
	for i := range sources {
		sources[i].Builtin = true // as the program has them
	}
	e, err := engine.Load(sources...)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func alerts(t testing.TB) [][]byte {
	t.Helper()
	names, err := filepath.Glob("../../testdata/alerts/*.json")
	if err != nil || len(names) == 0 {
		t.Fatal("no alerts", err)
	}
	var all [][]byte
	for _, name := range append(names, "../../testdata/acme-alert.json") {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data)
	}
	return all
}

func TestLeaves(t *testing.T) {
	got := mappingtest.Leaves([]byte(`{"rule":{"description":"192.31.196.1"},"full_log":"192.31.196.2","agent":{"ip":"192.31.196.3"},
		"data":{"ip":"192.31.196.4","inner":"10.0.0.1","list":["a.bad.example",{"x.y":"192.31.196.5"}],
		"text":"GET http://bad.example/x from 192.31.196.6:80, sha1=0123456789abcdef0123456789abcdef01234567 to bad.example","n":1,"z":null,
		"win":{"system":{"computer":"ws.corp.example","message":"192.31.196.7"}}},"syscheck":{"md5_after":"0123456789abcdef0123456789abcdef"}}`))
	want := []mappingtest.Leaf{
		{Path: "data.ip", Type: "ip-dst", Value: "192.31.196.4", Whole: true},
		{Path: "data.list", Type: "hostname", Value: "a.bad.example", Whole: true},
		{Path: `data.list.#.x\.y`, Type: "ip-dst", Value: "192.31.196.5", Whole: true},
		{Path: "data.text", Type: "url", Value: "http://bad.example/x"},
		{Path: "data.text", Type: "ip-dst", Value: "192.31.196.6"},
		{Path: "data.text", Type: "sha1", Value: "0123456789abcdef0123456789abcdef01234567"},
		{Path: "syscheck.md5_after", Type: "md5", Value: "0123456789abcdef0123456789abcdef", Whole: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("leaves (-want +got):\n%s", diff)
	}
}

// TestCoverageMerges counts the same alerts at once, and in two parts in another order.
func TestCoverageMerges(t *testing.T) {
	t.Parallel()
	e, all := builtin(t), alerts(t)
	own := func(_ engine.Type, value string) bool { return value == "192.175.48.77" }
	whole := mappingtest.NewCoverage(e, own)
	parts := [2]*mappingtest.Coverage{mappingtest.NewCoverage(e, own), mappingtest.NewCoverage(e, own)}
	for _, a := range all {
		whole.Add(a)
	}
	for i, at := range rand.Perm(len(all)) {
		parts[i%2].Add(all[at])
	}
	parts[1].Skip()
	parts[0].Merge(parts[1])
	whole.Skip()
	want, got := whole.Report(), parts[0].Report()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("merged (-whole +merged):\n%s", diff)
	}
	if want.Alerts != len(all) || want.Matched == 0 || want.Unreadable != 1 || len(want.Decoders) == 0 || len(want.Groups) == 0 {
		t.Errorf("report %+v", want)
	}
	fallback, unpicked := fmt.Sprint(want.Fallback), fmt.Sprint(want.Unpicked)
	if !strings.Contains(fallback, "json data.acme.sha256 sha256 1") || want.ByFallback == 0 {
		t.Errorf("%d alerts by fallback: %s", want.ByFallback, fallback)
	}
	if strings.Contains(unpicked, "data.acme.sha256") || strings.Contains(unpicked, "destinationIp") || strings.Contains(unpicked, "192.175.48.77") {
		t.Errorf("unpicked: %s", unpicked)
	}
}

// TestZeroCoverage counts without mappings.
func TestZeroCoverage(t *testing.T) {
	t.Parallel()
	var c mappingtest.Coverage
	c.Skip()
	c.Merge(&mappingtest.Coverage{})
	c.Add([]byte(`{"decoder":{"name":"d"},"data":{"x":"192.31.196.1"}}`))
	want := mappingtest.Report{
		Alerts: 1, Bare: 1, Unreadable: 1, Values: map[engine.Type]int{}, Groups: []mappingtest.Row{},
		Decoders: []mappingtest.Row{{Name: "d", Alerts: 1, Values: map[engine.Type]int{}}},
		Unpicked: []mappingtest.Unpicked{{Path: "data.x", Type: "ip-dst", Count: 1, Example: "192.31.196.1"}}, Fallback: []mappingtest.FallbackPlace{},
		Mappings: []engine.MappingCount{},
	}
	if diff := cmp.Diff(want, c.Report()); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	var empty mappingtest.Coverage
	if r := empty.Report(); r.Values == nil || r.Decoders == nil || r.Groups == nil || r.Unpicked == nil || r.Fallback == nil {
		t.Errorf("the report of nothing has nil in it: %+v", r)
	}
}

// TestCoverageIsBounded feeds alerts that are all different.
func TestCoverageIsBounded(t *testing.T) {
	t.Parallel()
	c := mappingtest.NewCoverage(builtin(t), nil)
	for i := range 30_000 { // a scan picks from data, and nothing from acme
		c.Add(fmt.Appendf(nil, `{"rule":{"groups":["g%d"]},"decoder":{"name":"d%d"},"data":{"k%d":"192.31.196.1"},"acme":{"k%d":"192.31.196.2"}}`, i, i, i, i))
	}
	r := c.Report()
	if len(r.Fallback) > 20_000 || r.FallbackElsewhere != 30_000-len(r.Fallback) {
		t.Errorf("%d places of the fallback, %d elsewhere", len(r.Fallback), r.FallbackElsewhere)
	}
	if r.Alerts != 30_000 || len(r.Unpicked) > 20_000 || r.UnpickedElsewhere != 30_000-len(r.Unpicked) || len(r.Decoders) > 5_001 || len(r.Groups) > 5_001 {
		t.Errorf("%d alerts, %d places, %d elsewhere, %d decoders, %d groups", r.Alerts, len(r.Unpicked), r.UnpickedElsewhere, len(r.Decoders), len(r.Groups))
	}
}

// TestSuggest suggests a mapping for every bundled alert from which none picks, and for odd ones: what is printed
// lints without a warning and passes its tests.
func TestSuggest(t *testing.T) {
	t.Parallel()
	sources, err := engine.ReadFS(mappings.FS, "mappings")
	if err != nil {
		t.Fatal(err)
	}
	e := builtin(t)
	suggested := 0
	odd := [][]byte{
		[]byte(`{"rule":{"id":"1","groups":[]},"decoder":{},"data":{"a b":"192.31.196.1","c.d":{"e'f":"http://bad.example/it's"}}}`),
		[]byte(`{"rule":{"groups":["local"," x "]},"decoder":{"name":"json"},"data":{"list":[{"ip":"192.31.196.1"},{"ip":"192.31.196.2"}],"user":"- tricky: \u2028 \"x\" # y"}}`),
		[]byte(`{"rule":{"groups":["syslog"]},"decoder":{"name":"acme gw"},"data":{"msg":"from 192.31.196.1 mail a@bad.example CVE-2026-12345 http://bad.example/x"}}`),
		[]byte("{\"rule\":{\"groups\":[\"a\\\"b\"]},\"data\":{\"x\":\"192.31.196.1\",\"y\":\"tab\\tnew\\nline\"}}"),
	}
	for _, alert := range append(alerts(t), odd...) {
		load := func(file []byte) (*engine.Engine, error) {
			return engine.Load(append(sources, engine.Source{Name: "suggested.yaml", Data: file})...)
		}
		file, err := mappingtest.Suggest(e, load, alert)
		if err != nil {
			if !errors.Is(err, mappingtest.ErrNothing) {
				t.Errorf("%v for %s", err, alert)
			}
			continue
		}
		suggested++
		src := engine.Source{Name: "suggested.yaml", Data: file}
		with, faults := engine.Lint(append(sources, src)...)
		for _, f := range faults {
			if f.File == src.Name {
				t.Errorf("%v in\n%s", f, file)
			}
		}
		cases, err := mappingtest.Load(src, os.ReadFile)
		if err != nil || len(cases) != 2 {
			t.Fatalf("%d tests, %v in\n%s", len(cases), err, file)
		}
		for _, c := range cases {
			if r := mappingtest.Run(with, c); !r.OK() {
				t.Errorf("%s\nin\n%s", r, file)
			}
		}
	}
	if suggested < 2+len(odd) {
		t.Errorf("only %d suggestions", suggested)
	}
}

func FuzzLeaves(f *testing.F) {
	for _, a := range alerts(f) {
		f.Add(a)
	}
	e := builtin(f)
	f.Fuzz(func(_ *testing.T, alert []byte) {
		mappingtest.Leaves(alert)
		e.Explain(alert)
	})
}

// BenchmarkCoverage counts the bundled alerts, with the values in them that no mapping picks.
func BenchmarkCoverage(b *testing.B) {
	e, all := builtin(b), alerts(b)
	size := 0
	for _, a := range all {
		size += len(a)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	c := mappingtest.NewCoverage(e, nil)
	for b.Loop() {
		for _, a := range all {
			c.Add(a)
		}
	}
}
