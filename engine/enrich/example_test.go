package enrich_test

import (
	"context"
	"fmt"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
)

// blocklist is a Lookup that knows a few values.
type blocklist map[string]misp.Attribute

// Lookup implements enrich.Lookup.
func (b blocklist) Lookup(_ context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	var matches []enrich.Match
	for _, o := range observables {
		if a, ok := b[o.Value]; ok {
			matches = append(matches, enrich.Match{Observable: o, Attribute: &a, Kind: engine.MatchExact})
		}
	}
	return matches, nil
}

// printed is a Sink that prints events.
type printed struct{}

// Send implements enrich.Sink.
func (printed) Send(_ context.Context, e enrich.Enrichment) error {
	event, err := e.JSON()
	fmt.Println(string(event))
	return err
}

// A Pipeline picks values out of an alert, looks them up, and sends an event for each that is known.
func ExamplePipeline() {
	e, err := engine.Load(engine.Source{Name: "proxy.yaml", Data: []byte(`
version: 1
mappings:
  - id: proxy
    match: has("data.dst")
    pick:
      - {path: data.dst, type: ip-dst}
`)})
	if err != nil {
		fmt.Println(err)
		return
	}
	p := enrich.Pipeline{
		Engine: e, Sink: printed{},
		Lookup: blocklist{"192.31.196.7": {
			Value: "192.31.196.7", Type: "ip-dst", Category: "Network activity", ToIDs: true, Event: misp.Event{ID: "42", Info: "Example campaign"},
		}},
	}
	alert, err := enrich.ParseAlert([]byte(`{"id":"1791187801.1","rule":{"id":"100","level":3},"data":{"dst":"192.31.196.7"}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	out, err := p.Process(context.Background(), alert)
	fmt.Println(len(out.Observables), "value,", out.Sent, "event,", err)
	// Output:
	// {"integration":"misp","misp":{"event_id":"42","category":"Network activity","value":"192.31.196.7","type":"ip-dst","to_ids":"true","event":{"info":"Example campaign","published":"false"},"match_kind":"exact","match_count":"1","padded":{"match_count":"00001"},"event_ids":["42"],"observable":{"type":"ip-dst","value":"192.31.196.7","mapping":"proxy","path":"data.dst"},"source":{"alert_id":"1791187801.1","rule_id":"100","rule_level":"3"}}}
	// 1 value, 1 event, <nil>
}

// ParseAlert says what is wrong with what is not an alert.
func ExampleParseAlert() {
	for _, text := range []string{
		`{"id":"1791187801.1","rule":{"id":"5710","level":5},"agent":{"id":"004","name":"web-1"}}`,
		`{"id":"1791187801.1","rule":{"id":"5710"`,
		`{"message":"hello"}`,
	} {
		alert, err := enrich.ParseAlert([]byte(text))
		if err != nil {
			fmt.Println("error:", err)
			continue
		}
		fmt.Println(alert.Source.RuleID, alert.Source.RuleLevel, alert.Agent.Name)
	}
	// Output:
	// 5710 5 web-1
	// error: not valid JSON: it ends after 40 bytes in the middle of something
	// error: a JSON object without a rule, not an alert
}

// Accepts says whether an attribute counts as a match under a filter.
func ExampleAccepts() {
	now := time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)
	attribute := misp.Attribute{Type: "ip-dst", Value: "192.31.196.7", Tags: []string{"tlp:green"}, Timestamp: now.AddDate(0, -2, 0)}
	month := engine.Age(30 * 24 * time.Hour)
	for _, filter := range []engine.Filter{
		{},
		{ToIDs: new(true)},
		{Tags: []string{"tlp:green", "tlp:amber"}},
		{MaxAge: &month},
	} {
		fmt.Println(enrich.Accepts(filter, engine.MatchExact, attribute, now))
	}
	// Output:
	// true
	// false
	// true
	// false
}
