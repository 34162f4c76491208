package enrich_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/enrich"
)

// TestShapes reads an alert in the shapes in which people hold it: the same is known of it in each.
func TestShapes(t *testing.T) {
	const alert = `{"timestamp":"2026-10-05T08:10:01.120+0000","rule":{"level":3,"id":"5710","description":"sshd","groups":["sshd"]},"agent":{"id":"004","name":"ws-07","ip":"10.20.4.7"},` +
		`"id":"1.2","decoder":{"name":"sshd"},"data":{"srcip":"192.31.196.66"},"location":"/var/log/auth.log"}`
	want, err := enrich.ParseAlert([]byte(alert))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"document of the indexer": `{"_index":"wazuh-alerts-4.x-2026.10.05","_id":"x","_version":1,"_source":` + alert + `,"fields":{"rule.id":["5710"]}}`,
		"active response":         `{"version":1,"origin":{"name":"node01","module":"wazuh-execd"},"command":"add","parameters":{"extra_args":[],"alert":` + alert + `,"program":"active-response/bin/x"}}`,
	} {
		got, err := enrich.ParseAlert([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(string(want.JSON), string(got.JSON)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(want.Source, got.Source); diff != "" || got.Agent != want.Agent {
			t.Errorf("%s: agent %v (-want +got):\n%s", name, got.Agent, diff)
		}
	}
	archived := strings.Replace(alert, `"rule":{"level":3,"id":"5710","description":"sshd","groups":["sshd"]},`, "", 1)
	if got, err := enrich.ParseAlert([]byte(archived)); err != nil || got.Source.AlertID != "1.2" || got.Source.RuleID != "" || got.Agent.ID != "004" {
		t.Errorf("an event without a rule: %+v, %v", got, err)
	}
	const document = `{"@timestamp":"2026-10-05T08:10:01Z","wazuh":{"agent":{"id":"007","name":"dc01","host":{"ip":["10.20.0.15"]}},"integration":{"name":"windows"},"event":{"id":"e1"},` +
		`"protocol":{"location":"EventChannel"},"rule":{"id":"r1","level":"medium","title":"Started"}},"event":{"id":"x"}}`
	wantDocument := enrich.Source{
		AlertID: "e1", Timestamp: "2026-10-05T08:10:01Z", RuleID: "r1", RuleLevel: "medium", RuleDescription: "Started", Location: "EventChannel",
		Agent: &enrich.SourceAgent{ID: "007", Name: "dc01", IP: "10.20.0.15"},
	}
	got, err := enrich.ParseAlert([]byte(document))
	if err != nil || got.Agent != (enrich.Agent{ID: "007", Name: "dc01", IP: "10.20.0.15"}) {
		t.Errorf("a document of Wazuh 5: agent %+v, %v", got.Agent, err)
	}
	if diff := cmp.Diff(wantDocument, got.Source); diff != "" {
		t.Errorf("a document of Wazuh 5 (-want +got):\n%s", diff)
	}
	for _, none := range []string{`{"_source":{"a":1}}`, `{"parameters":{"alert":{}}}`, `{"agent":{}}`, `{"data":{"x":"y"}}`, `{"wazuh":{}}`} {
		if _, err := enrich.ParseAlert([]byte(none)); err == nil {
			t.Errorf("%s is an alert", none)
		}
	}
}
