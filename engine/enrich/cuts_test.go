package enrich_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/enrich/spool"
	"custom-misp/misp"
)

const scanYAML = `
version: 1
mappings:
  - id: text
    match: has("data.text")
    pick: [{path: data.text, type: auto, scan: true}]
  - id: note
    match: has("data.note")
    pick: [{path: data.note, type: auto, scan: true}]
`

// scanned is an alert with so many names in a text, and another text.
func scanned(id string, names int, note string) []byte {
	var text strings.Builder
	for i := range names {
		fmt.Fprintf(&text, "b%d.bad.example ", i)
	}
	return fmt.Appendf(nil, `{"id":%q,"rule":{"level":3,"id":"1"},"data":{"text":%q,"note":%q}}`, id, text.String(), note)
}

// TestCutsAreNoted takes alerts of which bounds leave something out through a call, the spool and a stream: each cut is
// counted, the first of a mapping and kind is logged, and events say so.
func TestCutsAreNoted(t *testing.T) {
	e, err := engine.Load(engine.Source{Name: "m.yaml", Data: []byte(scanYAML)})
	must(t, err)
	small, large := scanned("small", 64, ""), scanned("large", 70, "")
	padded := scanned("padded", 0, strings.Repeat("x ", 50_000)) // nothing is picked
	found := engine.Cut{Mapping: "text", Path: "data.text", What: engine.CutFound, Number: 1}
	text := engine.Cut{Mapping: "note", Path: "data.note", What: engine.CutText, Number: 100_000 - 65_534}
	process := map[string]func(q *enrich.QueueingPipeline, alerts ...[]byte){
		"call": func(q *enrich.QueueingPipeline, alerts ...[]byte) {
			for _, data := range alerts {
				a, err := enrich.ParseAlert(data)
				must(t, err)
				_, err = q.Process(t.Context(), a)
				must(t, err)
			}
		},
		"spool": func(q *enrich.QueueingPipeline, alerts ...[]byte) {
			for _, data := range alerts {
				put(t, q.Spool, spool.Alerts, string(data))
			}
			q.Drain(t.Context())
		},
		"stream": func(q *enrich.QueueingPipeline, alerts ...[]byte) {
			source := &batches{journal: &journal{}, texts: [][][]byte{alerts}, err: io.EOF}
			s := enrich.Stream{Source: source, Pipeline: func() *enrich.QueueingPipeline { return q }}
			if err := s.Run(t.Context()); !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
		},
	}
	for name, run := range process {
		t.Run(name, func(t *testing.T) {
			sink, log, noted := &collected{}, &bytes.Buffer{}, []engine.Cut{}
			q := newQueueing(t, t.TempDir(), chance{})
			q.Engine, q.Sink, q.Faults.Sink, q.Log = e, sink, sink, slog.New(slog.NewTextHandler(log, nil))
			q.Circuit.Asked = list{{Type: "hostname", Value: "b5.bad.example", Event: misp.Event{ID: "7"}}}
			q.Cut = func(c engine.Cut) { noted = append(noted, c) }
			run(q, small, large, padded, large, padded)
			if diff := cmp.Diff([]engine.Cut{found, text, found, text}, noted, cmp.Transformer("order", sortedCuts)); diff != "" {
				t.Errorf("cuts (-want +got):\n%s", diff)
			}
			if n := strings.Count(log.String(), "part of an alert was left out"); n != 2 {
				t.Errorf("logged %d times:\n%s", n, log)
			}
			truncated := map[string]string{}
			for _, event := range sink.events {
				truncated[gjson.Get(event, "misp.source.alert_id").String()] = gjson.Get(event, "misp.truncated").String()
			}
			if diff := cmp.Diff(map[string]string{"small": "", "large": "true"}, truncated); diff != "" {
				t.Errorf("misp.truncated of the events (-want +got):\n%s", diff)
			}
		})
	}
}

// sortedCuts counts equal cuts.
func sortedCuts(cuts []engine.Cut) map[engine.Cut]int {
	n := map[engine.Cut]int{}
	for _, c := range cuts {
		n[c]++
	}
	return n
}

// TestManyLabels has a value whose attribute has as many tags, or warninglists, as are kept, or one less.
func TestManyLabels(t *testing.T) {
	e, err := engine.Load(engine.Source{Name: "m.yaml", Data: []byte(scanYAML)})
	must(t, err)
	names := func(n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprint("name-", i))
		}
		return list
	}
	for tags, lists := range map[int]int{misp.MaxTags: 0, misp.MaxTags - 1: misp.MaxWarninglists - 1, 1: misp.MaxWarninglists} {
		many := tags == misp.MaxTags || lists == misp.MaxWarninglists
		sink := &collected{}
		known := list{{Type: "hostname", Value: "b0.bad.example", Tags: names(tags), Warninglists: names(lists)}}
		a, err := enrich.ParseAlert(scanned("a", 1, ""))
		must(t, err)
		out, err := (&enrich.Pipeline{Engine: e, Lookup: known, Sink: sink}).Process(t.Context(), a)
		must(t, err)
		if (len(out.Cuts) > 0) != many || (gjson.Get(sink.events[0], "misp.truncated").String() == "true") != many {
			t.Errorf("%d tags, %d warninglists: cuts %v, %.200s", tags, lists, out.Cuts, sink.events[0])
		}
	}
}

// TestManyMatches has a value with more attributes than are taken: the event counts those that are, and says that there
// may be more.
func TestManyMatches(t *testing.T) {
	e, err := engine.Load(engine.Source{Name: "m.yaml", Data: []byte(scanYAML)})
	must(t, err)
	for n, want := range map[int]string{enrich.MaxMatches - 1: "", enrich.MaxMatches: "true"} {
		var known list
		for i := range n {
			known = append(known, misp.Attribute{
				Type: "hostname", Value: "b0.bad.example", UUID: fmt.Sprint("u", i), Event: misp.Event{ID: fmt.Sprint(i)},
			})
		}
		sink := &collected{}
		p := enrich.Pipeline{Engine: e, Lookup: append(known, known...), Sink: sink} // each attribute counts once
		a, err := enrich.ParseAlert(scanned("a", 1, ""))
		must(t, err)
		out, err := p.Process(t.Context(), a)
		must(t, err)
		event := gjson.Parse(sink.events[0]).Get("misp")
		if event.Get("match_count").String() != fmt.Sprint(n) || event.Get("truncated").String() != want {
			t.Errorf("%d matches: %.300s", n, sink.events[0])
		}
		if (len(out.Cuts) > 0) != (want != "") {
			t.Errorf("%d matches: cuts %v", n, out.Cuts)
		}
	}
}
