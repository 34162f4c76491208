package backtest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/cmd/custom-misp/internal/backtest"
	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/wazuh"
	"custom-misp/misp"
)

// knows is a look-up that knows every value but those with "clean" in them.
type knows struct{}

func (knows) Lookup(_ context.Context, observables []engine.Observable) (matches []enrich.Match, err error) {
	for _, o := range observables {
		if !strings.Contains(o.Value, "clean") {
			matches = append(matches, enrich.Match{Observable: o, Kind: engine.MatchExact, Attribute: &misp.Attribute{Value: o.Value, Type: string(o.Type), ToIDs: true}})
		}
	}
	return matches, nil
}

// pipeline returns one with a mapping that picks from some members of data.
func pipeline(t *testing.T, id string, members ...string) *enrich.Pipeline {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\nmappings:\n  - id: %s\n    match: has(\"data\")\n    pick:\n", id)
	for _, m := range members {
		fmt.Fprintf(&b, "      - {path: data.%s, type: hostname}\n", m)
	}
	e, err := engine.Load(engine.Source{Name: "m.yaml", Data: []byte(b.String())})
	if err != nil {
		t.Fatal(err)
	}
	return &enrich.Pipeline{Engine: e, Lookup: knows{}}
}

func lines(texts ...string) (list []backtest.Line) {
	for i, text := range texts {
		list = append(list, backtest.Line{At: wazuh.Position{File: "a.json", Line: i + 1, Item: -1}, Text: []byte(text)})
	}
	return list
}

func alert(id, when, data string) string {
	return fmt.Sprintf(`{"timestamp":%q,"rule":{"id":"7"},"id":%q,"agent":{"id":"001","name":"web"},"data":%s}`, when, id, data)
}

// TestCompare back-tests a change of mappings: a member more, one less, and another mapping for a third.
func TestCompare(t *testing.T) {
	t.Parallel()
	run := backtest.Run{Pipeline: pipeline(t, "new", "same", "added"), Before: pipeline(t, "old", "same", "lost")}
	result := backtest.NewResult()
	for file := range 5 {
		list := lines(
			alert("1", "2026-11-25T07:55:01.123+0000", `{"same":"a.example.org","added":"b.example.org","lost":"c.example.org"}`),
			alert("2", "2026-11-25T07:55:01.123+0000", `{"same":"a.example.org","added":"clean.example.org","lost":"a.example.org"}`),
			alert("3", "2026-11-25T07:55:01.123+0000", `{"same":"a.example.org"}`),
		)
		for i := range list {
			list[i].File = 4 - file // examples are the first by place, in whatever order files are read
			list[i].At.File = fmt.Sprintf("%d.json", 4-file)
		}
		part, err := run.Judge(t.Context(), list)
		if err != nil {
			t.Fatal(err)
		}
		result.Add(part)
	}
	example := func(change, of, value, path string, file, line int) backtest.Example {
		return backtest.Example{
			Change: change, Of: of, Type: "hostname", Value: value, Path: path, AlertID: fmt.Sprint(line), RuleID: "7", Place: fmt.Sprintf("%d.json:%d", file, line),
		}
	}
	want := &backtest.Comparison{
		Numbers: backtest.Numbers{PicksAdded: 10, PicksLost: 5, HitsAdded: 5, HitsLost: 5}, Alerts: 10, AlertsHits: 5,
		Mappings: []backtest.MappingChange{
			{
				ID: "new", Numbers: backtest.Numbers{PicksAdded: 10, HitsAdded: 5},
				Examples: []backtest.Example{
					example("added", "hit", "b.example.org", "data.added", 0, 1), example("added", "hit", "b.example.org", "data.added", 1, 1),
					example("added", "hit", "b.example.org", "data.added", 2, 1),
					example("added", "pick", "b.example.org", "data.added", 0, 1), example("added", "pick", "clean.example.org", "data.added", 0, 2),
					example("added", "pick", "b.example.org", "data.added", 1, 1),
				},
			},
			{
				ID: "old", Numbers: backtest.Numbers{PicksLost: 5, HitsLost: 5},
				Examples: []backtest.Example{
					example("lost", "hit", "c.example.org", "data.lost", 0, 1), example("lost", "hit", "c.example.org", "data.lost", 1, 1),
					example("lost", "hit", "c.example.org", "data.lost", 2, 1),
					example("lost", "pick", "c.example.org", "data.lost", 0, 1), example("lost", "pick", "c.example.org", "data.lost", 1, 1),
					example("lost", "pick", "c.example.org", "data.lost", 2, 1),
				},
			},
		},
	}
	r := result.Close(true)
	if diff := cmp.Diff(want, r.Against); diff != "" {
		t.Errorf("comparison (-want +got):\n%s", diff)
	}
	if r.Hits != 20 || r.AlertsHit != 15 {
		t.Errorf("%d hits in %d alerts, want 20 in 15", r.Hits, r.AlertsHit)
	}
}

// TestSpan judges only alerts of a time, and counts the others.
func TestSpan(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	run := backtest.Run{Pipeline: pipeline(t, "m", "same"), Span: backtest.Span{Since: since, Until: since.Add(time.Hour)}}
	const data = `{"same":"a.example.org"}`
	part, err := run.Judge(t.Context(), lines(
		alert("1", "2026-11-25T07:59:59.999+0000", data), alert("2", "2026-11-25T09:00:00.000+0100", data), alert("3", "2026-11-25T08:59:59.999Z", data),
		alert("4", "2026-11-25T09:00:00+0000", data), alert("5", "yesterday", data), "no alert",
		`{"location":"misp","decoder":{"name":"json"},"rule":{},"data":{}}`,
	))
	if err != nil {
		t.Fatal(err)
	}
	result := backtest.NewResult()
	result.Add(part)
	r := result.Close(false)
	result.Add(part) // which comes too late
	if late := result.Close(false); late.Hits != r.Hits {
		t.Errorf("%d hits after the end, want %d", late.Hits, r.Hits)
	}
	got := [...]int{r.Alerts, r.OutOfSpan, r.Undated, r.Unreadable, r.Own, r.Hits}
	if want := [...]int{2, 2, 1, 1, 1, 2}; got != want {
		t.Errorf("alerts, out of the span, undated, unreadable, own, hits: %v, want %v", got, want)
	}
	if r.Indicators[0].First != "2026-11-25T08:00:00Z" || r.Indicators[0].Last != "2026-11-25T08:59:59Z" {
		t.Errorf("from %s to %s", r.Indicators[0].First, r.Indicators[0].Last)
	}
}

// TestBounds has hits on more indicators and agents than are counted.
func TestBounds(t *testing.T) {
	t.Parallel()
	run := backtest.Run{Pipeline: pipeline(t, "m", "same")}
	result := backtest.NewResult()
	for n := 0; n < backtest.MaxIndicators+2000; n += 500 {
		var texts []string
		for i := range 500 {
			texts = append(texts, strings.Replace(alert("1", "2026-11-25T07:55:01.123+0000", fmt.Sprintf(`{"same":["often.example.org","h%d.example.org"]}`, n+i)),
				`"001"`, fmt.Sprintf(`"%d"`, n+i), 1))
		}
		part, err := run.Judge(t.Context(), lines(texts...))
		if err != nil {
			t.Fatal(err)
		}
		result.Add(part)
	}
	r := result.Close(false)
	if r.Hits != 2*(backtest.MaxIndicators+2000) || len(r.Indicators) > backtest.MaxIndicators || len(r.Agents) > backtest.MaxAgents {
		t.Errorf("%d hits, %d indicators, %d agents", r.Hits, len(r.Indicators), len(r.Agents))
	}
	if r.Short["indicators"] == 0 || r.Short["agents"] == 0 || r.Short["days"] != 0 {
		t.Errorf("short: %v", r.Short)
	}
	often := r.Indicators[0]
	if often.Value != "often.example.org" || often.Hits+r.Short["indicators"] < backtest.MaxIndicators+2000 || !often.More || often.Agents != 50 {
		t.Errorf("%+v", often)
	}
}
