package engine

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCuts picks from alerts that are just within a bound and beyond it, and compares the cuts.
func TestCuts(t *testing.T) {
	t.Parallel()
	pick := func(pick string) string { return "    pick: [{path: data.x, " + pick + "}]\n" }
	list := func(n int, item string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]"
	}
	numbered := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	text := func(s string) string { return `"` + s + `"` }
	const scanned, port, plain = "type: auto, scan: true", "type: port", "type: user-agent"
	for name, tt := range map[string]struct {
		pick, x string
		want    []Cut
		values  int
	}{
		"nothing":              {plain, text("x"), nil, 1},
		"long value":           {plain, text(strings.Repeat("x", 4097)), []Cut{{"m", "data.x", CutLong, 1}}, 0},
		"two long values":      {plain, list(2, text(strings.Repeat("x", 4097))), []Cut{{"m", "data.x", CutLong, 2}}, 0},
		"candidates":           {port, list(5000, "1"), nil, 1},
		"more candidates":      {port, list(5001, "1"), []Cut{{"m", "data.x", CutCandidates, 1}}, 1},
		"more texts":           {scanned, list(5001, text("8.8.8.8")), []Cut{{"m", "data.x", CutCandidates, 1}}, 1},
		"levels":               {port, "[[[[[1]],[[2]]]]]", []Cut{{"m", "data.x", CutLevels, 2}}, 0},
		"values of a text":     {scanned, text(numbered(64, "b%d.bad.example ")), nil, 64},
		"more values":          {scanned, text(numbered(65, "b%d.bad.example ")), []Cut{{"m", "data.x", CutFound, 1}}, 64},
		"the same value again": {scanned, text(numbered(64, "b%d.bad.example ") + "b7.bad.example"), nil, 64},
		"long URL":             {scanned, text("http://bad.example/" + strings.Repeat("x", 5000)), []Cut{{"m", "data.x", CutLong, 1}}, 0},
		"long text":            {scanned, text("bad.example " + strings.Repeat("x ", 40_000) + " worse.example"), []Cut{{"m", "data.x", CutText, 80_026 - 65_534}}, 2},
		"long text and regex":  {`type: port, regex: '(?:a|b|c)+?(?:[0-9][0-9a-z]){5}'`, text(strings.Repeat("x", 2_000_000)), []Cut{{"m", "data.x", CutText, 0}}, 0},
		"hidden by private addresses": {
			scanned, text(numbered(200, "10.0.0.%d ") + "8.8.4.4"), nil, 1,
		},
		"hidden by private URLs": {
			scanned, text(numbered(100, "http://10.0.0.%d/a http://a%[1]d.corp.local/ http://b%[1]d/ ") + "http://bad.example/"), nil, 1,
		},
		"hidden by values that keep drops": {
			`type: auto, scan: true, keep: 'type == "url"'`, text(numbered(1000, "b%d.example ") + "http://bad.example/"), nil, 1,
		},
	} {
		e, err := Load(Source{Name: "m.yaml", Data: []byte("version: 1\nmappings:\n  - id: m\n    match: has(\"data\")\n" + pick(tt.pick))})
		if err != nil {
			t.Fatal(err)
		}
		alert := []byte(`{"data":{"x":` + tt.x + `}}`)
		found, cuts, err := e.PickWithCuts(alert)
		if len(cuts) == 1 && len(tt.want) == 1 && tt.want[0].Number == 0 {
			tt.want[0].Number = cuts[0].Number // depends on the size of the pattern
		}
		if diff := cmp.Diff(tt.want, cuts); diff != "" || err != nil || len(found) != tt.values {
			t.Errorf("%s: %d values, want %d; %v; cuts (-want +got):\n%s", name, len(found), tt.values, err, diff)
		}
		traced := 0
		for _, m := range e.Explain(alert).Mappings {
			for _, p := range m.Picks {
				traced += len(p.Cuts)
			}
		}
		if traced != len(tt.want) {
			t.Errorf("%s: Explain shows %d cuts", name, traced)
		}
	}
}

// TestLongHalf has many candidates whose other half is a long text, and counts the bytes that they take: 4,500 MB, with a copy for
// each.
func TestLongHalf(t *testing.T) { //nolint:paralleltest // it measures the memory of the process
	e, err := Load(Source{Name: "m.yaml", Data: []byte("version: 1\nmappings:\n  - id: m\n    match: has(\"data\")\n" +
		"    pick: [{path: data.x, split: ' ', pair: data.y, type: regkey|value}]\n")})
	if err != nil {
		t.Fatal(err)
	}
	alert := fmt.Appendf(nil, `{"data":{"x":%q,"y":%q}}`, strings.TrimSpace(strings.Repeat("a ", 5000)), strings.Repeat("y", 900_000))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	found, cuts, err := e.PickWithCuts(alert)
	runtime.ReadMemStats(&after)
	if made := (after.TotalAlloc - before.TotalAlloc) >> 20; made > 100 || len(found) > 0 || err != nil {
		t.Errorf("%d MiB; %v, %v", made, found, err)
	}
	if diff := cmp.Diff([]Cut{{"m", "data.x", CutLong, 5000}}, cuts); diff != "" {
		t.Errorf("cuts (-want +got):\n%s", diff)
	}
}

// TestCutsOfAnAlert picks from an alert with more groups and more values than are taken.
func TestCutsOfAnAlert(t *testing.T) {
	t.Parallel()
	e, err := Load(Source{Name: "m.yaml", Data: []byte("version: 1\nmappings:\n  - id: m\n    match: has(\"data\")\n    pick: [{path: data.x, type: port, split: ' '}]\n")})
	if err != nil {
		t.Fatal(err)
	}
	var numbers strings.Builder
	for i := range MaxObservables + 1 {
		fmt.Fprintf(&numbers, "%d ", i+1)
	}
	found, cuts, err := e.PickWithCuts([]byte(`{"rule":{"groups":"` + strings.Repeat("a,", 5001) + `"},"data":{"x":"` + strings.TrimSpace(numbers.String()) + `"}}`))
	want := []Cut{{"", "", CutGroups, 1}, {"m", "data.x", CutObservables, 1}}
	if diff := cmp.Diff(want, cuts); diff != "" || err == nil || len(found) != MaxObservables {
		t.Errorf("%d values; %v; cuts (-want +got):\n%s", len(found), err, diff)
	}
}

// TestLocalURLs lists URLs that a pick without keep drops, and some that it does not.
func TestLocalURLs(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]error{
		"http://10.0.0.1/": errNotGlobal, "http://[::1]:80/": errNotGlobal, "http://u:p@192.168.1.1:8080/x": errNotGlobal, "http://[fe80::1]/": errNotGlobal,
		"http://intranet/x": errLocalName, "http://localhost:80": errLocalName, "http://a.corp.local/?http://bad.example/": errLocalName, "http://x.home.arpa": errLocalName,
		"http://NAS.LAN/": errLocalName, "http://1.0.0.10.in-addr.arpa/": errReverse,
		"http://8.8.8.8/": nil, "http://[2620:4f:8000::bad]/": nil, "http://bad.example/?a@10.0.0.1": nil, "http://local.bad.example": nil, "http://a.invalid/": nil, "http://bücher.example": nil,
	} {
		typ, value, err := Auto.Resolve(raw)
		if err != nil || typ != "url" {
			t.Errorf("%s: %s, %v", raw, typ, err)
		}
		if got := keepByDefault(typ, value); got != want { //nolint:errorlint // these are fixed values
			t.Errorf("%s: %v, want %v", raw, got, want)
		}
	}
}
