package engine_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
)

func TestLintWarnings(t *testing.T) {
	head := "version: 1\nmappings:\n  - id: a\n    match: "
	const rest = "\n    pick: [{path: data.x, type: ip-dst}]\n"
	const always = `warning: match requires no group, decoder or field, so it is evaluated for every alert; begin with something like "sysmon" in groups and, or decoder.name == "json" and`
	for yaml, want := range map[string]string{
		head + `'"a" in groups and has("data.x")'` + rest:    "",
		head + `'decoder.name == "json"'` + rest:             "",
		head + `has("syscheck.path")` + rest:                 "",
		head + `'true'` + rest:                               "m.yaml:4:12: " + always,
		head + `has("data.x")` + rest:                        "",
		head + `has("data")` + rest:                          "m.yaml:4:12: " + always,
		head + `'"a" in groups or has("data.x")'` + rest:     "",
		head + `'"a" in groups or rule.level > 3'` + rest:    "m.yaml:4:12: " + always,
		head + `'false'` + rest:                              "m.yaml:4:12: warning: match can never be true",
		head + `'"a" in groups and 1 == 2'` + rest:           "",
		head + `'1 == 2'` + rest:                             "m.yaml:4:12: warning: match can never be true",
		head + `'is_ip("x")'` + rest:                         "m.yaml:4:12: warning: match can never be true",
		head + `'" WEF" in groups and "a" in groups'` + rest: `m.yaml:4:13: warning: group " WEF" has blanks around it, and no alert has such a group: blanks around groups are removed; write "WEF"`,
		head + `'"a" in groups && has("data.x")'` + rest + "  - id: b\n    match: '\"a\" in groups and (has(\"data.x\"))'" + rest: `m.yaml:6:9: warning: mapping "b" does the same as "a" in m.yaml:3; remove one of them`,
		head + `'"a" in groups'` + rest + "  - id: b\n    match: '\"a\" in groups'\n    pick: [{path: data.x, type: ip-src}]\n":   "",
	} {
		e, faults := engine.Lint(engine.Source{Name: "m.yaml", Data: []byte(yaml)})
		if diff := cmp.Diff(want, faults.Error()); diff != "" {
			t.Errorf("%s\nwarnings (-want +got):\n%s", yaml, diff)
		}
		if len(e.Mappings()) == 0 {
			t.Errorf("a warning kept the mapping from being loaded: %s", yaml)
		}
		if _, err := engine.Load(engine.Source{Name: "m.yaml", Data: []byte(yaml)}); err != nil {
			t.Errorf("Load warns: %v", err)
		}
	}
}
