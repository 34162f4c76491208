package engine_test

import (
	"strings"
	"testing"

	"custom-misp/engine"
)

// TestLintKeep lints keep expressions that were written for values which are dropped before, and some that were not.
func TestLintKeep(t *testing.T) {
	const fault, warning = "keep is true only for addresses that are not public", "keep: true has no effect"
	for pick, want := range map[string]string{
		`type: ip-dst, keep: not is_public_ip(value)`:                                      fault,
		`type: ip-dst, keep: 'in_network(value, "10.0.0.0/8", "fd00::/8")'`:                fault,
		`type: hostname, keep: 'under_domain(value, "corp", "lab.local")'`:                 fault,
		`type: hostname, keep: 'value endsWith ".internal" and field("a") == "b"'`:         fault,
		`type: ip-src, keep: 'value startsWith "192.168." or value == "10.0.0.1"'`:         fault,
		`type: ip-dst, keep: "true"`:                                                       warning,
		`type: auto, keep: "true"`:                                                         warning,
		`type: md5, keep: "true"`:                                                          "",
		`type: ip-dst, private: true, keep: not is_public_ip(value)`:                       "",
		`type: ip-dst, keep: 'in_network(value, "10.0.0.0/8", "192.31.196.0/24")'`:         "",
		`type: ip-dst, keep: is_public_ip(value)`:                                          "",
		`type: auto, keep: 'type == "md5" or in_network(value, "10.0.0.0/8")'`:             "",
		`type: hostname, keep: 'value endsWith ".example"'`:                                "",
		`type: hostname, keep: 'not under_domain(value, "corp")'`:                          "",
		`type: auto, keep: 'value startsWith "1" or value in ["10.0.0.1", "bad.example"]'`: "",
	} {
		_, faults := engine.Lint(engine.Source{Name: "m.yaml", Data: []byte("version: 1\nmappings:\n  - id: a\n    match: '\"a\" in groups'\n    pick: [{path: data.x, " + pick + "}]\n")})
		got := faults.Error()
		if want == "" && got != "" || !strings.Contains(got, want) || want != "" && !strings.Contains(got, "private: true") {
			t.Errorf("%s: %q, want %q", pick, got, want)
		}
	}
}
