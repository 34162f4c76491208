package mappingtest_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/engine/mappingtest"
)

const mapping = `
version: 1
mappings:
  - id: m
    match: field("data.kind") == "net"
    pick:
      - {path: data.ip, type: ip-dst}
      - {path: data.list, type: hostname}
  - id: fails
    match: has("data.bad") and int(field("data.bad")) == 0
    pick: [{path: data.ip, type: ip-src}]
`

func readFile(name string) ([]byte, error) {
	switch name {
	case "tests/a.json":
		return []byte(`{"data":{"kind":"net","ip":"192.31.196.1","bad":"0"}}`), nil
	case "tests/broken.json":
		return []byte(`{`), nil
	}
	return nil, errors.New("no such file")
}

func TestRun(t *testing.T) {
	e, err := engine.Load(engine.Source{Name: "m.yaml", Data: []byte(mapping)})
	if err != nil {
		t.Fatal(err)
	}
	cases, err := mappingtest.Load(engine.Source{Name: "tests/m_test.yaml", Data: []byte(`
- name: from a file, with changes
  alert: a.json
  set: {data.ip: null, data.bad: null}
  add: {data.list: [a.example, b.example]}
  picks:
    - {mapping: m, type: hostname, value: b.example}
    - {mapping: m, type: hostname, value: a.example}
- name: written out
  alert: {data: {kind: net, ip: 192.31.196.1, n: 1, date: 2026-10-05}}
  picks: [{mapping: m, type: ip-dst, value: 192.31.196.1}]
- name: JSON
  alert: '{"data":{"kind":"other","ip":"192.31.196.1"}}'
  picks: []
- name: too little and too much
  alert: a.json
  set: {data.bad: null}
  picks: [{mapping: m, type: ip-src, value: 192.31.196.1}]
- name: an expression fails
  alert: a.json
  set: {data.bad: x}
  picks: [{mapping: m, type: ip-dst, value: 192.31.196.1}]
`)}, readFile)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]string, 0, len(cases))
	for _, c := range cases {
		got = append(got, mappingtest.Run(e, c).String())
	}
	want := []string{
		"ok: from a file, with changes",
		"ok: written out",
		"ok: JSON",
		`tests/m_test.yaml:15: too little and too much
  - not picked: m ip-src 192.31.196.1
  + not expected: m ip-dst 192.31.196.1
    m (m.yaml:4): matches
      true  field("data.kind") == "net"
            data.kind is "net"
      pick data.ip as ip-dst:
        picked  ip-dst 192.31.196.1
      pick data.list as hostname: not in the alert`,
		"tests/m_test.yaml:19: an expression fails\n  ! m.yaml:9: mapping \"fails\": match: ",
	}
	if len(got) == len(want) {
		got[4] = got[4][:min(len(got[4]), len(want[4]))] // what follows is expr-lang's own text
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}

func TestLoadFaults(t *testing.T) {
	for yaml, want := range map[string]string{
		"":          "t_test.yaml:1:1: the file is empty; write something into it, or remove it",
		"name: a\n": "t_test.yaml:1:1: a test file must be a list, not a set of keys and values; begin each item with a hyphen",
		"- name: a\n": "t_test.yaml:1:3: a test lacks the key \"alert\"; add the key alert\n" +
			"t_test.yaml:1:3: a test lacks the key \"picks\"; add the key picks",
		"- {name: a, alert: gone.json, picks: []}\n":                          `t_test.yaml:1:20: alert: no such file; give its path from the test file on`,
		"- {name: a, alert: tests/broken.json, picks: []}\n":                  `t_test.yaml:1:20: alert: tests/broken.json is not valid JSON; put one alert into the file`,
		"- {name: a, alert: [1], picks: []}\n":                                `t_test.yaml:1:20: alert must be a file or an alert, not a list; name a file, or write the alert out`,
		"- {name: a, alert: '{', picks: []}\n":                                `t_test.yaml:1:20: alert is not valid JSON`,
		"- {name: a, alert: {}, picks: [], sets: {}}\n":                       `t_test.yaml:1:35: unknown key "sets" in a test; did you mean "set"?`,
		"- {name: a, alert: {}, picks: [{mapping: m, typ: x, value: v}]}\n":   `t_test.yaml:1:45: unknown key "typ" in an expected pick; did you mean "type"?`,
		"- {name: a, alert: {a: 1}, picks: [], set: {'': 1}}\n":               `t_test.yaml:1:45: set has an empty path; write a plain path, like data.srcip`,
		"- {name: a, alert: &a {x: *a}, picks: []}\n":                         `t_test.yaml:1:20: alert has more than 100000 values or 100 levels; write less by aliases`,
		"- {name: a, alert: {x: &a [1, *a, *a]}, picks: []}\n":                `t_test.yaml:1:20: alert has more than 100000 values or 100 levels; write less by aliases`,
		"- {name: a, alert: {a: 1}, picks: [], add: {x: &a [*a, *a]}}\n":      `t_test.yaml:1:48: add x has more than 100000 values or 100 levels; write less by aliases`,
		"- {name: a, alert: {}, picks: {}}\n":                                 `t_test.yaml:1:31: picks must be a list, not a set of keys and values; begin each item with a hyphen`,
		"- {name: a, alert: {}, picks: []}\n- {name: b, alert: {}, set: 1}\n": `t_test.yaml:2:3: a test lacks the key "picks"; add the key picks`,
	} {
		_, err := mappingtest.Load(engine.Source{Name: "t_test.yaml", Data: []byte(yaml)}, readFile)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q gives %v, want %s", yaml, err, want)
		}
	}
}

// TestLoadLeavesOutCasesWithAFault shares an alert with a fault, and picks with one, between cases: none of them is run.
func TestLoadLeavesOutCasesWithAFault(t *testing.T) {
	cases, err := mappingtest.Load(engine.Source{Name: "t_test.yaml", Data: []byte(`
- {name: a, alert: &broken '{', picks: []}
- {name: b, alert: *broken, picks: []}
- {name: c, alert: {}, picks: &picks [{mapping: m, type: port, valu: 1}]}
- {name: d, alert: {}, picks: *picks}
- {name: e, alert: {}, picks: []}
`)}, readFile)
	want := "t_test.yaml:2:20: alert is not valid JSON\n" +
		`t_test.yaml:4:64: unknown key "valu" in an expected pick; did you mean "value"?`
	if err == nil || err.Error() != want {
		t.Errorf("faults %v, want %s", err, want)
	}
	if len(cases) != 1 || cases[0].Name != "e" {
		t.Errorf("%d cases are good: %+v", len(cases), cases)
	}
}

// TestAdd has tests that change an alert, and that add fields to it.
func TestAdd(t *testing.T) {
	head := "- name: x\n  alert: {data: {ip: 192.31.196.1, list: [{a.b: 1}], null: null, '7': x, srcuser: u}}\n  picks: []\n"
	for change, want := range map[string]string{
		"  set: {data.ip: 10.0.0.1}\n":                        "",
		"  set: {data.ip: null}\n":                            "",
		"  set: {data.null: a, data.list.0.a\\.b: 2}\n":       "",
		"  set: {data.:7: y}\n":                               "",
		"  set: {data.list: {a: {b: 1}}, data.list.a.b: 2}\n": "",
		"  add: {data.host: a.example}\n":                     "",
		"  add: {data.host: a.example, data.list.-1: x}\n":    "",
		"  add: [a]\n":                         "m_test.yaml:4:8: add must be a set of keys and values, not a list; write {path: value}",
		"  add: {data.host: null}\n":           "m_test.yaml:4:9: add data.host: null adds nothing; write it below set, which takes fields away",
		"  set: {data.dstport: a}\n":           "m_test.yaml:4:9: set data.dstport: the alert has no such field; write it below add, which adds fields",
		"  set: {data.scruser: null}\n":        "m_test.yaml:4:9: set data.scruser: the alert has no such field; did you mean \"data.srcuser\"? write it below add, which adds fields",
		"  set: {data.list.-1: x}\n":           "m_test.yaml:4:9: set data.list.-1: the alert has no such field; write it below add, which adds fields",
		"  set: {data.ip: null, data.IP: x}\n": "m_test.yaml:4:24: set data.IP: the alert has no such field; write it below add, which adds fields",
		"  set: {x: 1, data.dstport: 2}\n":     "m_test.yaml:4:9: set x: the alert has no such field; write it below add, which adds fields\nm_test.yaml:4:15: set data.dstport: the alert has no such field; write it below add, which adds fields",
	} {
		cases, err := mappingtest.Load(engine.Source{Name: "m_test.yaml", Data: []byte(head + change)}, nil)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s got %s, want %s", change, got, want)
		}
		if want == "" && strings.Contains(change, "add") && !strings.Contains(string(cases[0].Alert), `"host":"a.example"`) {
			t.Errorf("%s: alert %s", change, cases[0].Alert)
		}
	}
}
