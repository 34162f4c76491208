package enrich_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
)

// TestWithhold checks that texts and tags of an attribute with a tag that is withheld are in no event, and where to find it is.
func TestWithhold(t *testing.T) {
	d, sink := newQueueing(t, t.TempDir(), chance{}), &sentEvents{}
	kind, value, tag := engine.MatchExact, "192.31.196.2", "TLP:Red"
	d.Sink, d.Link, d.Withhold = sink, "https://misp.example.org", misp.Withhold()
	d.Circuit.Asked = lookup(func(_ context.Context, o []engine.Observable) ([]enrich.Match, error) {
		return []enrich.Match{{Observable: o[0], Kind: kind, Attribute: &misp.Attribute{
			Type: "ip-dst", Value: value, UUID: "00000000-0000-4000-8000-000000000001", ToIDs: true, Category: "Network activity",
			Comment: "secret comment", Tags: []string{tag, `misp-galaxy:mitre-attack-pattern="Secret - T1071"`},
			Event: misp.Event{ID: "42", UUID: "e", Info: "secret operation", Org: "SECRET-ORG", ThreatLevel: 1},
		}}}, nil
	})
	event := func(n int) string {
		t.Helper()
		sink.events = nil
		_, err := d.Process(t.Context(), numbered(t, n))
		must(t, err)
		if len(sink.events) != 1 {
			t.Fatalf("%d events", len(sink.events))
		}
		data, err := sink.events[0].JSON()
		must(t, err)
		return string(data)
	}
	e := event(1)
	if strings.Contains(strings.ToLower(e), "secret") || strings.Contains(e, "T1071") {
		t.Errorf("event %s", e)
	}
	for path, want := range map[string]string{
		"misp.withheld": "true", "misp.event_id": "42", "misp.uuid": "00000000-0000-4000-8000-000000000001", "misp.type": "ip-dst",
		"misp.value": "192.31.196.2", "misp.to_ids": "true", "misp.tlp": "red", "misp.link": "https://misp.example.org/events/view/42",
		"misp.event.threat_level": "high", "misp.event.info": "(withheld)", "misp.tags": "", "misp.comment": "",
	} {
		if got := gjson.Get(e, path).String(); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	kind, value = engine.MatchNetwork, "192.31.196.0/24"
	if got := gjson.Get(event(2), "misp.value").String(); got != "(withheld)" {
		t.Errorf("a network that the alert does not have: value %q", got)
	}
	tag = "tlp:amber"
	if e := event(3); !strings.Contains(e, "secret comment") || strings.Contains(e, "withheld") {
		t.Errorf("an attribute that is not withheld: %s", e)
	}
}
