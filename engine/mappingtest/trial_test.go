package mappingtest_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/engine/mappingtest"
)

// trialAlert is what the mappings of TestTrial are tried on, several times.
const trialAlert = `{"rule":{"id":"100700","level":5,"groups":["local","acme_gateway"]},"agent":{"id":"004"},"decoder":{"name":"acme-json"},
"data":{"acme":{"action":"block","srcIP":"185.220.101.5","dst":"10.0.0.4","hash":"da39a3ee5e6b4b0d3255bfef95601890afd80700",
"hashes":"SHA256=3edb164b73be8ccd815831d7e93b94a3566e3fc6986299d97e72efb32854c2b4","items":[{"value":"45.155.205.234"}],"dns":{"query":"evil-site.net"}},
"id.orig_h":"45.155.205.236"}}`

// TestTrial holds a mapping against an alert: each mistake is told with the nearest name.
func TestTrial(t *testing.T) {
	const group = `"acme_gateway" in groups`
	for _, c := range []struct{ match, pick, want string }{
		{group, "path: data.acme.srcIP, type: ip-src", ""},
		// match
		{
			`"acme-gateway" in groups`, "path: data.acme.srcIP, type: ip-src",
			`mapping "m" matches none of 3 alerts: "acme-gateway" in groups is true in none; did you mean the group "acme_gateway"?`,
		},
		{
			`decoder.name == "acme_json"`, "path: data.acme.srcIP, type: ip-src",
			`mapping "m" matches none of 3 alerts: decoder.name == "acme_json" is true in none; did you mean the decoder "acme-json"?`,
		},
		{
			group + ` and field("data.acme.action") == "Block"`, "path: data.acme.srcIP, type: ip-src",
			`mapping "m" matches none of 3 alerts: field("data.acme.action") == "Block" is false in the 3 that meet the other conditions, where data.acme.action is "block"; did you mean "block"?`,
		},
		{
			group + ` and has("data.acme.Action")`, "path: data.acme.srcIP, type: ip-src",
			`mapping "m" matches none of 3 alerts: has("data.acme.Action") is false in the 3 that meet the other conditions, which have no data.acme.Action; did you mean "data.acme.action"? (its name is in another case)`,
		},
		{
			group + ` and agent.id == "009"`, "path: data.acme.srcIP, type: ip-src",
			`mapping "m" matches none of 3 alerts: agent.id == "009" is false in the 3 that meet the other conditions, where agent.id is "004"; custom-misp explain -m FILE ALERT shows each condition with its value`,
		},
		{
			`"acme" in groups and decoder.name == "x"`, "path: data.acme.srcIP, type: ip-src",
			`mapping "m" matches none of 3 alerts: "acme" in groups, and decoder.name == "x" is true in none; custom-misp explain -m FILE ALERT shows each condition with its value`,
		},
		{
			group + ` and int(field("data.acme.nope")) > 5`, "path: data.acme.srcIP, type: ip-src",
			`mapping "m" matches none of 3 alerts, and match fails on 3 of them: invalid operation: int() (character 1 of the expression); if the field may be absent, write has("data.acme.nope") and before it`,
		},
		// where values are
		{
			group, "path: data.acme.srcip, type: ip-src",
			`pick data.acme.srcip finds no value in the 3 alerts that mapping "m" matches; did you mean "data.acme.srcIP"? (its name is in another case)`,
		},
		{
			group, "path: data.id.orig_h, type: ip-src",
			`pick data.id.orig_h finds no value in the 3 alerts that mapping "m" matches; did you mean "data.id\\.orig_h"? (its name has a dot)`,
		},
		{
			group, "path: data.acme.items.value, type: ip-dst",
			`pick data.acme.items.value finds no value in the 3 alerts that mapping "m" matches; did you mean "data.acme.items.#.value"? (it is in a list of objects)`,
		},
		{
			group, "path: data.acme.query, type: hostname",
			`pick data.acme.query finds no value in the 3 alerts that mapping "m" matches; did you mean "data.acme.dns.query"? (it is elsewhere)`,
		},
		{
			group, "path: data.acme.url, type: url",
			`pick data.acme.url finds no value in the 3 alerts that mapping "m" matches; beside it there are action, srcIP, dst, hash, hashes, items, dns`,
		},
		{
			group, "path: data.acme.items, type: ip-dst",
			`pick data.acme.items is of an object with members, from which nothing is taken; it is a list of objects; write data.acme.items.#.NAME, with one of: value`,
		},
		{
			group, "name: [peer_ip], type: ip-dst",
			`pick data.peer_ip takes nothing from the 3 alerts that mapping "m" matches: they have no member of such a name below data, or it holds no value of the type; beside it there are acme, id.orig_h`,
		},
		// why they are dropped
		{
			group, "path: data.acme.dst, type: ip-dst",
			`pick data.acme.dst: every value that it finds is dropped, 3 in all: a private, reserved or documentation address (3, such as "10.0.0.4"); nothing else is wrong if all are your own; private: true picks them too`,
		},
		{
			group, "path: data.acme.hash, type: sha256",
			`pick data.acme.hash: every value that it finds is dropped, 3 in all: hexadecimal, but not of the length of this hash (3, such as "da39a3ee5e6b4b0d3255bfef95601890afd80700"); they look like type: sha1`,
		},
		{
			group, `path: data.acme.srcIP, type: ip-src, keep: value == "192.31.196.1"`,
			`pick data.acme.srcIP: every value that it finds is dropped, 3 in all: keep is false (3, such as "185.220.101.5"); keep is false for every value; value is in normal form there, in small letters for names and hashes`,
		},
		{
			group, `path: data.acme.hashes, prefix: "SHA-256=", type: sha256`,
			`pick data.acme.hashes: prefix, part, regex or decode leave nothing of the text in the 3 alerts that have it, such as "SHA256=3edb164b73be8ccd815831d7e93b94a3566e3fc6986299d97e72efb32854c2b4"; compare prefix, part, regex and decode with the text`,
		},
		{
			group, `path: data.acme.srcIP, type: ip-src, when: 'has("data.x")'`,
			`pick data.acme.srcIP applies to none of the 3 alerts that mapping "m" matches: its when is false, or another mapping picked from them; custom-misp explain -m FILE ALERT shows each condition with its value`,
		},
	} {
		e := engineOf(t, fmt.Sprintf("version: 1\nmappings:\n  - id: m\n    match: >-\n      %s\n    pick:\n      - {%s}\n", c.match, c.pick))
		trial := mappingtest.NewTrial(e)
		for n := range 3 {
			trial.Add(n, []byte(trialAlert))
		}
		var got []string
		for _, f := range trial.Faults() {
			got = append(got, f.Sentence())
			if f.Alerts != 3 || !f.Warning || f.File != "m.yaml" || f.Line == 0 {
				t.Errorf("%s, %s: %+v", c.match, c.pick, f)
			}
		}
		if diff := cmp.Diff(c.want, strings.Join(got, "\n")); diff != "" {
			t.Errorf("%s, %s: (-want +got)\n%s", c.match, c.pick, diff)
		}
	}
}

// TestTrialMerged reads the same alerts with one and with two trials: the faults are the same, and each alert counts.
func TestTrialMerged(t *testing.T) {
	e := engineOf(t, `version: 1
mappings:
  - id: m
    match: '"acme_gateway" in groups'
    pick: [{path: data.acme.nothing, type: ip-src}, {path: data.acme.dst, type: ip-dst}]
  - id: never
    match: '"acme_gateway" in groups and rule.id == "7"'
    pick: [{path: data.acme.srcIP, type: ip-src}]
`)
	one, first, second := mappingtest.NewTrial(e), mappingtest.NewTrial(e), mappingtest.NewTrial(e)
	const alerts = 100
	for n := range alerts {
		alert := bytes.Replace([]byte(trialAlert), []byte("100700"), fmt.Append(nil, 100700+n%4), 1)
		alert = bytes.Replace(alert, []byte("10.0.0.4"), fmt.Appendf(nil, "10.0.0.%d", n), 1) // the example is the first
		one.Add(n, alert)
		[]*mappingtest.Trial{first, second}[n%3/2].Add(n, alert)
	}
	second.Merge(first)
	if diff := cmp.Diff(one.Faults(), second.Faults()); diff != "" {
		t.Errorf("(-one +merged)\n%s", diff)
	}
	if len(one.Faults()) != 3 {
		t.Errorf("faults: %v", one.Faults())
	}
	if one.Alerts() != alerts || second.Alerts() != alerts {
		t.Errorf("%d and %d alerts, not %d", one.Alerts(), second.Alerts(), alerts)
	}
	// The first of each of four rules, and of the mapping that matches.
	if n := one.Sampled(); n != 4*mappingtest.SampledOfEach || second.Sampled() != n {
		t.Errorf("sampled %d and %d", n, second.Sampled())
	}
}

// TestTrialLeavesBuiltinOut: what a site does not have is no fault of a built-in mapping.
func TestTrialLeavesBuiltinOut(t *testing.T) {
	e, err := engine.Load(engine.Source{Name: "b.yaml", Builtin: true, Data: []byte("version: 1\nmappings:\n  - id: m\n    match: '\"x\" in groups'\n    pick: [{path: data.x, type: url}]\n")})
	if err != nil {
		t.Fatal(err)
	}
	trial := mappingtest.NewTrial(e)
	trial.Add(1, []byte(trialAlert))
	if faults := trial.Faults(); len(faults) > 0 {
		t.Error(faults)
	}
}

func BenchmarkTrial(b *testing.B) {
	e := engineOf(b, "version: 1\nmappings:\n  - id: m\n    match: '\"acme_gateway\" in groups'\n    pick: [{path: data.acme.srcIP, type: ip-src}]\n")
	trial := mappingtest.NewTrial(e)
	b.ReportAllocs()
	b.SetBytes(int64(len(trialAlert)))
	for n := 0; b.Loop(); n++ {
		trial.Add(n, []byte(trialAlert))
	}
}

// engineOf loads one mapping file.
func engineOf(t testing.TB, text string) *engine.Engine {
	t.Helper()
	e, err := engine.Load(engine.Source{Name: "m.yaml", Data: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}
