package wazuh_test

import (
	"os"
	"testing"

	"custom-misp/engine/wazuh"
)

func TestIsEnrichment(t *testing.T) {
	const decoder, data = `"decoder":{"name":"json"}`, `"data":{"integration":"misp","misp":{"event_id":"1"}}`
	tests := []struct {
		name, alert string
		want        bool
	}{
		{"of the manager", `{"rule":{"groups":["misp","misp_alert"]},"agent":{"id":"000"},` + decoder + `,` + data + `,"location":"misp"}`, true},
		{"of an agent", `{"rule":{"groups":["misp","misp_alert"]},"agent":{"id":"004","name":"ws-07","ip":"10.20.4.7"},` + decoder + `,` + data + `,"location":"misp"}`, true},
		{"of an agent with the name misp", `{"rule":{"groups":["misp"]},"agent":{"id":"005","name":"misp"},` + decoder + `,` + data + `,"location":"misp"}`, true},
		{"raised by a rule of another author", `{"rule":{"groups":["local"]},` + decoder + `,` + data + `,"location":"misp"}`, true},
		{"as the indexer has it", "{\n  \"location\": \"misp\",\n  \"decoder\": {\n    \"name\": \"json\"\n  }\n}\n", true},

		{"JSON in a log", `{"rule":{"groups":["local"]},` + decoder + `,` + data + `,"location":"/var/log/app.json"}`, false},
		{"JSON in a log, and a rule with the group misp", `{"rule":{"groups":["misp","misp_alert"]},` + decoder + `,` + data + `,"location":"/var/log/app.json"}`, false},
		{"JSON in a log of an agent with the name misp", `{"rule":{"groups":["misp"]},"agent":{"id":"005","name":"misp"},` + decoder + `,` + data + `,"location":"/var/log/app.json"}`, false},
		{"file whose name ends like a location of ours", `{"rule":{"groups":["misp"]},` + decoder + `,` + data + `,"location":"/var/log/x->misp"}`, false},
		{"location of a rule, which is not that of an alert", `{"rule":{"groups":["misp"]},` + decoder + `,` + data + `,"location":"(ws-07) 10.20.4.7->misp"}`, false},
		{"location in capitals", `{` + decoder + `,` + data + `,"location":"MISP"}`, false},
		{"location in the data", `{` + decoder + `,"data":{"location":"misp","decoder":{"name":"json"}},"location":"/var/log/app.json"}`, false},
		{"location is not a text", `{` + decoder + `,` + data + `,"location":["misp"]}`, false},
		{"another decoder", `{"rule":{"groups":["misp"]},"decoder":{"name":"sshd"},` + data + `,"location":"misp"}`, false},
		{"a decoder below json", `{"rule":{"groups":["misp"]},"decoder":{"parent":"json","name":"json-app"},` + data + `,"location":"misp"}`, false},
		{"no decoder", `{"rule":{"groups":["misp"]},` + data + `,"location":"misp"}`, false},
		{"no location", `{"rule":{"groups":["misp"]},` + decoder + `,` + data + `}`, false},
		{"an event of another integration", `{"rule":{"groups":["misp_like"]},` + decoder + `,"data":{"integration":"virustotal"},"location":"virustotal"}`, false},
		{"empty", `{}`, false},
		{"nothing", ``, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := wazuh.IsEnrichment([]byte(tt.alert)); got != tt.want {
				t.Errorf("IsEnrichment(%s) = %t, want %t", tt.alert, got, tt.want)
			}
		})
	}
}

func BenchmarkIsEnrichment(b *testing.B) {
	for _, name := range []string{"sysmon-windows-22-dns", "misp-enrichment"} {
		alert, err := os.ReadFile("../../testdata/alerts/" + name + ".json")
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				wazuh.IsEnrichment(alert)
			}
		})
	}
}
