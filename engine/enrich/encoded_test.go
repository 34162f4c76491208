package enrich_test

import (
	"strings"
	"testing"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
)

// TestEncoded makes events of a value that was encoded at every place, and of one that was not at one of them.
func TestEncoded(t *testing.T) {
	e, err := engine.Load(engine.Source{Name: "m.yaml", Data: []byte(`
version: 1
mappings:
  - id: a
    match: 'true'
    labels: {severity: low, team: a}
    pick: [{path: data.x, decode: [url], type: url}, {path: data.plain, type: url}]
  - id: b
    match: 'true'
    labels: {severity: high, owner: b}
    pick: [{path: data.x, decode: [url], type: url}]
`)})
	if err != nil {
		t.Fatal(err)
	}
	for alert, encoded := range map[string]bool{
		`{"rule":{},"data":{"x":"http%3A%2F%2Fbad.example%2Fx"}}`:                                true,
		`{"rule":{},"data":{"x":"http%3A%2F%2Fbad.example%2Fx","plain":"http://bad.example/x"}}`: false,
	} {
		sink := &collected{}
		p := enrich.Pipeline{Engine: e, Sink: sink, Lookup: list{{UUID: "u", Type: "url", Value: "http://bad.example/x", Event: misp.Event{ID: "1"}}}}
		a, err := enrich.ParseAlert([]byte(alert))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Process(t.Context(), a); err != nil || len(sink.events) != 1 {
			t.Fatalf("%d events, %v", len(sink.events), err)
		}
		if got := strings.Contains(sink.events[0], `"encoded":"true"`); got != encoded || !strings.Contains(sink.events[0], `"labels":{"owner":"b","severity":"low","team":"a"}`) {
			t.Errorf("%s: %s", alert, sink.events[0])
		}
	}
}
