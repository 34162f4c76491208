package engine_test

import (
	"strings"
	"testing"

	"custom-misp/engine"
)

// TestLintMistakes lints mappings that never pick or pick by accident, and some like them that are right. want is a part of
// the warning, "" for none.
func TestLintMistakes(t *testing.T) {
	v := engine.ParseVocabulary("group\tsysmon_event1\ngroup\tsysmon\ngroup\tfirewall\ndecoder\tjson\nfield\tdata.win.eventdata.hashes\n" +
		"field\tdata.srcip\nfield\tsyscheck.path\nmapping\tsshd\tmappings/sshd.yaml\tfull_log\n")
	for _, tt := range []struct{ match, pick, want string }{
		{`"sysmon_event_1" in groups`, "", `write "sysmon_event1"`},
		{`"Sysmon" in groups`, "", `write "sysmon"`},
		{`"firewal" in groups`, "", `did you mean "firewall"?`},
		{`"a,b" in groups`, "", `write "a" in groups and "b" in groups`},
		{`any(groups, # == "Sysmon")`, "", `write "sysmon"`},
		{`"acme" in groups and groups == ["acme"]`, "", "compares the whole list of groups"},
		{`decoder.name == "JSON"`, "", `write "json"`},
		{`"acme" in groups and rule.level >= 50`, "", "this can never be true: rule.level is 0 to 16"},
		{`"acme" in groups and rule.level < 5 and rule.level > 10`, "", "no rule.level is in both bounds"},
		{`"acme" in groups and rule.level >= 10`, "", ""},
		{`"acme" in groups and rule.id == "sshd"`, "", "rule.id has only digits"},
		{`"acme" in groups and agent.id != "4"`, "", `this is always true: ids of agents have three digits or more, and "4" has not; write "004"`},
		{`"acme" in groups and agent.ip == "10.0.0.0/8"`, "", "write in_network(agent.ip"},
		{`"acme" in groups and location == "acme.json"`, "", `write location endsWith "/acme.json"`},
		{`"acme" in groups and field("data.score") >= "10"`, "", "compares texts, letter by letter"},
		{`"acme" in groups and field("timestamp") > "2026"`, "", ""},
		{`"acme" in groups and field("data.score") >= "low"`, "", ""},
		{`"acme" in groups and int(field("data.score")) > 5`, "", `write has("data.score") and before it`},
		{`"acme" in groups and has("data.score") and int(field("data.score")) > 5`, "", ""},
		{`field("data.score") != "" ? int(field("data.score")) > 5 : false`, "", "evaluated for every alert"},
		{`"acme" in groups and field("data.host") == "*.net"`, "", "the * in \"*.net\" stands for itself"},
		{`"acme" in groups and field("data.ip") == "10.0.0.0/8"`, "", "write in_network(field(\"data.ip\")"},
		{`"acme" in groups and field("rule.groups") == "x"`, "", `write "x" in groups`},
		{`"acme" in groups and lower(field("data.a")) == "BLOCK"`, "", `write "block"`},
		{`"acme" in groups and lower(field("data.a")) in ["BLOCK", "drop"]`, "", ""},
		{`"acme" in groups and lower(field("data.a")) contains "Drop"`, "", `write "drop"`},
		{`"acme" in groups and field("data.a") matches "evil.net"`, "", `write "evil\\.net"`},
		{`"acme" in groups and field("data.a") == "x" and field("data.a") == "y"`, "", "cannot be two texts at once"},
		{`"acme" in groups and has("data.a") and not has("data.a")`, "", "which can never be true"},
		{`"acme" in groups and not has("data.x")`, "", "match needs data.x to be absent"},
		{`"acme" in groups and has("data.X")`, "", "differ only in their case"},
		{`field("_source.data.a") == "b"`, "", "write data.a"},
		{`has("Data.acme")`, "", "write data.acme"},
		{`has("acme.dst")`, "", "write data.acme.dst"},
		{`has("data.Win.eventdata.hashes")`, "", "write data.win.eventdata.hashes"},
		{`has("Syscheck.path")`, "", "write syscheck.path"},

		{"", "{path: data.win.eventdata.Hashes, type: md5, regex: 'MD5=([0-9A-F]+)'}", "write data.win.eventdata.hashes"},
		{"", "{path: data.h, type: sha256, regex: 'SHA256=[0-9a-f]+'}", "is never a value of type sha256"},
		{"", "{path: data.h, type: sha256, regex: 'SHA256=([0-9a-f]+)'}", ""},
		{"", "{path: data.h, type: sha256, split: ',', prefix: 'sha256='}", "write prefix: 'SHA256='"},
		{"", "{path: data.h, type: sha256, split: ',', prefix: 'SHA256=,'}", "leave the separator out"},
		{"", "{path: data.h, type: sha256, split: '\\n'}", "write it in double quotes"},
		{"", "{path: data.ja3, type: md5}", "write type: ja3-fingerprint-md5"},
		{"", "{path: data.sha1, type: sha256}", "write type: sha1"},
		{"", "{path: data.hash.sha256, type: sha256}", ""},
		{"", "{path: agent.ip, type: ip-src}", "is no indicator"},
		{"", "{path: '{data.a,data.b}', type: auto}", "a pick takes nothing from an object"},
		{"", "{path: 'data.items.#', type: auto}", "counts the items"},
		{"", "{path: data.x, type: hostname, keep: 'value == \"Evil.net\"'}", `write "evil.net"`},
		{"", "{path: data.x, type: hostname, keep: 'value != \"Evil.net\"'}", `this is always true`},
		{"", "{path: data.x, type: filename, keep: 'value != \"Evil.exe\"'}", ""},
		{"", "{path: data.x, type: hostname, keep: 'not (value endsWith \".Corp.net\")'}", `write ".corp.net"`},
		{"", "{path: data.x, type: hostname, keep: 'not under_domain(value, \"*.corp\")'}", "write the domain alone"},
		{"", "{path: data.x, type: hostname, keep: 'under_domain(value, \"corp.example\")'}", "this keeps only names under domains that are no public ones"},
		{"", "{path: data.x, type: hostname, keep: 'not under_domain(value, \"Evil.net\")'}", ""},
		{"", "{path: data.x, type: auto, keep: 'type == \"ip\"'}", "auto decides for one of"},
		{"", "{path: data.x, type: auto, keep: 'type in [\"ip-dst\", \"ip-src\"]'}", ""},
		{"", "{path: data.x, type: url, keep: 'type == \"ip-dst\"'}", "all values of this pick have the type url"},
		{"", "{path: data.x, type: md5}\n      - {path: data.x, type: md5}", "does the same as the one in line 6"},
		{"", "path: data.x #.value\n        type: auto", "in YAML, # behind a blank begins a comment"},
		{"", "path: data.x # the address\n        type: auto", ""},
	} {
		match, pick := tt.match, tt.pick
		if match == "" {
			match = `"acme" in groups`
		}
		if pick == "" {
			pick = "{path: data.x, type: ip-dst}"
		}
		yaml := "version: 1\nmappings:\n  - {id: a, match: '" + match + "', pick: [" + pick + "]}\n"
		if !strings.HasPrefix(pick, "{") || strings.Contains(pick, "\n") {
			yaml = "version: 1\nmappings:\n  - id: a\n    match: '" + match + "'\n    pick:\n      - " + pick + "\n"
		}
		_, faults := engine.LintWith(v, engine.Source{Name: "m.yaml", Data: []byte(yaml)})
		switch got := faults.Error(); {
		case tt.want == "" && len(faults) > 0, !strings.Contains(got, tt.want):
			t.Errorf("%s %s\n got %s\nwant %s", tt.match, tt.pick, got, tt.want)
		}
		for _, f := range faults {
			if !f.Warning || f.Remedy == "" {
				t.Errorf("%s %s: no warning with a remedy: %v", tt.match, tt.pick, f)
			}
		}
	}
}

// TestLintDefined lints expressions with names of define: what stands for a name is looked at, and the place is that of the name.
func TestLintDefined(t *testing.T) {
	v := engine.ParseVocabulary("group\tacme\n")
	for _, tt := range []struct{ match, pick, want string }{
		{`"acme" in groups and blocked`, "type: ip-dst", `m.yaml:4:42: warning: match: this can never be true: lower() changes the case, and "BLOCK" has the other; write "block"`},
		{`blocked and "acme" in groups and field("data.b") == "*.net"`, "type: ip-dst", `m.yaml:4:70: warning: match: this can never be true: the whole text is compared, and the * in "*.net"`},
		{`"acme" in groups and int(field("data.score")) > 5`, "type: ip-dst", `write has("data.score") and before it`},
		{`"acme" in groups and scored and int(field("data.score")) > 5`, "type: ip-dst", ""},
		{`"acme" in groups and scored and not has("data.score")`, "type: ip-dst", `match: this needs has("data.score") and not has("data.score"), which can never be true`},
		{`"acme" in groups`, `type: hostname, keep: value in own`, `m.yaml:4:90: warning: keep: this can never be true: the value is compared in its normal form, and that of "B.net" is "b.net"`},
		{`"acme" in groups`, `type: hostname, when: blocked`, `m.yaml:4:84: warning: when: this can never be true: lower() changes the case`},
		{`"acme" in groups`, `type: hostname, when: scored`, ""},
	} {
		text := "version: 1\ndefine: {blocked: 'lower(field(\"data.a\")) == \"BLOCK\"', scored: has(\"data.score\"), own: [Evil.net, B.net]}\n" +
			"mappings:\n  - {id: a, match: '" + tt.match + "', pick: [{path: data.x, " + tt.pick + "}]}\n"
		_, faults := engine.LintWith(v, engine.Source{Name: "m.yaml", Data: []byte(text)})
		if got := faults.Error(); !strings.Contains(got, tt.want) || tt.want == "" && len(faults) > 0 {
			t.Errorf("%s %s\n got %s\nwant %s", tt.match, tt.pick, got, tt.want)
		}
	}
}

// TestLintContext warns of what context shows twice, and of paths that hardly lead to a value, with and without a name.
func TestLintContext(t *testing.T) {
	v := engine.ParseVocabulary("group\tx\nfield\tdata.win.eventdata.hashes\n")
	for context, want := range map[string]string{
		"[data.user, {path: data.user, name: actor}]":           "m.yaml:3:101: warning: context shows data.user twice, first in line 3; remove one of them",
		"[{path: acme.user, name: actor}]":                      "write data.acme.user",
		"[data.win.Eventdata.hashes]":                           "write data.win.eventdata.hashes",
		"[data.user, {path: data.other.user, name: otherUser}]": "",
	} {
		_, faults := engine.LintWith(v, engine.Source{Name: "m.yaml", Data: []byte("version: 1\nmappings:\n  - {id: m, match: '\"x\" in groups', pick: [{path: data.x, type: auto}], context: " + context + "}\n")})
		if got := faults.Error(); !strings.Contains(got, want) || want == "" && len(faults) > 0 {
			t.Errorf("%s: %q", context, got)
		}
	}
}

// TestLintReplaces warns of a mapping that replaces a built-in one with which it has no path in common.
func TestLintReplaces(t *testing.T) {
	v := engine.ParseVocabulary("mapping\tsshd\tmappings/sshd.yaml\tfull_log\n")
	for path, want := range map[string]bool{"data.x": true, "full_log": false} {
		_, faults := engine.LintWith(v, engine.Source{Name: "m.yaml", Data: []byte("version: 1\nmappings:\n  - {id: sshd, match: 'decoder.name == \"x\"', pick: [{path: " + path + ", type: auto}]}\n")})
		if got := strings.Contains(faults.Error(), "is that of a built-in mapping in mappings/sshd.yaml"); got != want {
			t.Errorf("%s: %v", path, faults)
		}
	}
}
