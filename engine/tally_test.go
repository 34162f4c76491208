package engine_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/mappings"
)

// TestTallyAgreesWithExplain counts the built-in mappings over the alerts of testdata, and once more from what Explain says of
// each alert.
func TestTallyAgreesWithExplain(t *testing.T) {
	t.Parallel()
	sources, err := engine.ReadFS(mappings.FS, "mappings")
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Load(sources...)
	if err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob("../testdata/alerts/*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("%d alerts: %v", len(names), err)
	}
	var parts [2]engine.Tally
	want := map[string]engine.MappingCount{}
	for i, name := range names {
		alert, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := e.PickTally(alert, &parts[i%2])
		plain, _ := e.Pick(alert)
		if diff := cmp.Diff(plain, got); diff != "" {
			t.Errorf("%s: what is picked (-without +with a tally):\n%s", name, diff)
		}
		for _, m := range e.Explain(alert).Mappings {
			addTrace(want, m)
		}
	}
	parts[0].Merge(&parts[1])
	counts := parts[0].Counts()
	if len(counts) != len(want) || len(counts) < 20 {
		t.Errorf("%d mappings were counted, want %d", len(counts), len(want))
	}
	for _, c := range counts {
		compareCount(t, c, want[c.ID])
	}
}

// compareCount compares what a tally counted of a mapping with what Explain says.
func compareCount(t *testing.T, c, want engine.MappingCount) {
	t.Helper()
	got := engine.MappingCount{ID: c.ID, Considered: c.Considered, Matched: c.Matched, PickedFrom: c.PickedFrom}
	for i, w := range want.Picks { // none if it never matches
		p := c.Picks[i]
		got.Picks = append(got.Picks, engine.PickCount{Path: p.Path, Type: p.Type, Absent: p.Absent, Picked: p.Picked, Dropped: p.Dropped})
		if len(p.Names) > 0 { // which does not look at what cannot have the form of its type
			got.Picks[i].Absent, got.Picks[i].Dropped = w.Absent, w.Dropped
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-explain +tally):\n%s", c.ID, diff)
	}
}

// addTrace counts what Explain says of a mapping.
func addTrace(counts map[string]engine.MappingCount, m engine.MappingTrace) {
	if len(m.Missing) > 0 {
		return
	}
	c := counts[m.ID]
	c.ID = m.ID
	c.Considered++
	if m.Matched {
		c.Matched++
	}
	picked := false
	for i, p := range m.Picks {
		if len(c.Picks) <= i {
			c.Picks = append(c.Picks, engine.PickCount{Path: p.Path, Type: p.Type, Dropped: map[string]int{}})
		}
		if p.Found == "" {
			c.Picks[i].Absent++
		}
		for _, candidate := range p.Candidates {
			if candidate.Dropped == "" {
				c.Picks[i].Picked++
				picked = true
			} else {
				c.Picks[i].Dropped[candidate.Dropped]++
			}
		}
	}
	if picked {
		c.PickedFrom++
	}
	counts[m.ID] = c
}

// TestTallyOfOneMapping counts each fate of a pick.
func TestTallyOfOneMapping(t *testing.T) {
	t.Parallel()
	e, err := engine.Load(engine.Source{Name: "m.yaml", Data: []byte(`
version: 1
mappings:
  - id: m
    match: decoder.name == "d" and field("data.on") == "yes"
    pick:
      - {path: data.a, type: ip-dst}
      - {path: data.b, type: md5, regex: "MD5=([0-9a-f]{32})"}
      - {path: data.c, type: ip-src, when: field("data.x") != ""}
      - {path: data.d, type: ip-src, keep: int(field("data.n")) > 1}
`)})
	if err != nil {
		t.Fatal(err)
	}
	var tally engine.Tally
	for _, data := range []string{
		`{"on":"yes","a":["192.31.196.1","10.0.0.1","x"],"b":"SHA1=0"}`,
		`{"on":"yes","a":"192.31.196.1","c":"192.31.196.2","x":"1"}`,
		`{"on":"yes","d":"192.31.196.3","n":"none"}`,
		`{"on":"no","a":"192.31.196.1"}`,
	} {
		_, _ = e.PickTally([]byte(`{"decoder":{"name":"d"},"data":`+data+`}`), &tally)
	}
	_, _ = e.PickTally([]byte(`{"decoder":{"name":"other"}}`), &tally)
	want := []engine.MappingCount{{
		ID: "m", File: "m.yaml", Line: 4, Considered: 4, Matched: 3, PickedFrom: 2, Picked: 3, Dropped: 3,
		Picks: []engine.PickCount{
			{Path: "data.a", Type: "ip-dst", Absent: 1, Picked: 2, Dropped: map[string]int{"a private, reserved or documentation address": 1, "not an IP address": 1}},
			{Path: "data.b", Type: "md5", Absent: 2, Empty: 1, Dropped: map[string]int{}},
			{Path: "data.c", Type: "ip-src", NotApplied: 2, Picked: 1, Dropped: map[string]int{}},
			{Path: "data.d", Type: "ip-src", Absent: 2, Dropped: map[string]int{"keep failed": 1}},
		},
	}}
	if diff := cmp.Diff(want, tally.Counts()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}
