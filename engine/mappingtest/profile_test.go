package mappingtest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/mappingtest"
)

// profileOf returns the profile of alerts whose members below data are given.
func profileOf(vocabulary string, data ...string) *mappingtest.Profile {
	p := mappingtest.NewProfile(vocabulary)
	for _, d := range data {
		p.Add(fmt.Appendf(nil, `{"rule":{"id":"100700","groups":["acme","local"]},"agent":{"name":"ws-paula","ip":"10.1.2.3"},"decoder":{"name":"json"},"data":%s}`, d))
	}
	return p
}

func TestProfile(t *testing.T) {
	const vocabulary = "field\tdata.srcip\nfield\tdata.win.system.eventID\n"
	p := profileOf(vocabulary,
		`{"srcip":"185.220.101.5","count":3,"on":true,"url":"http://bad.example.net/x","hash":"0a4d55a8d778e5022fab701977c5d840bbc486d0","id.orig_h":"10.1.2.3"}`,
		`{"srcip":"10.0.0.1","items":[{"v":"x"}],"tags":["a","b"],"msg":"from 185.220.101.5 to you","raw":"{\"a\":1}","none":null,"empty":""}`)
	_, got, _ := strings.Cut(p.String(), "\nalerts\t")
	const want = `2

kind
decoder	json
group	acme
group	local
rule	100700
field	data	object
field	data.count	number
field	data.hash	sha1
field	data.id\.orig_h	private
field	data.items	objects
field	data.items.#.v	text
field	data.msg	text within
field	data.on	bool
field	data.raw	json
field	data.srcip	address private
field	data.tags	text list
field	data.url	url
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	again, err := mappingtest.ParseProfile(p.String())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p.String(), again.String()); diff != "" {
		t.Errorf("read and written again: (-want +got)\n%s", diff)
	}
}

// TestProfileHasNoData gives names of members that are data in ways that sites have: none is in the profile.
func TestProfileHasNoData(t *testing.T) {
	objects := func(names ...string) string {
		var members []string
		for i, name := range names {
			members = append(members, fmt.Sprintf(`%q:{"bytes":%d,"state":"up"}`, name, i))
		}
		return `{"map":{` + strings.Join(members, ",") + `}}`
	}
	var many, values []string
	for i := range 200 {
		many = append(many, fmt.Sprintf(`{"map":{"name%c%c":1}}`, 'a'+i/26, 'a'+i%26))
	}
	values = append(values, `{"user":"Paula"}`, `{"map":{"paula":7}}`)
	for name, c := range map[string]struct {
		data   []string
		secret []string
	}{
		"addresses":   {[]string{objects("10.1.2.3", "185.220.101.5", "2001:db8::1", "10_1_2_4")}, []string{"10.1", "185.220", "2001", "10_1"}},
		"hosts":       {[]string{`{"map":{"dc01.corp.example":1,"WS-0142":2,"fileserver-03":3,"bad.example.net":4}}`}, []string{"dc01", "WS-", "fileserver", "example"}},
		"mail":        {[]string{`{"map":{"paula@corp.example":1}}`}, []string{"paula", "corp"}},
		"identifiers": {[]string{`{"map":{"550e8400-e29b-41d4-a716-446655440000":1,"S-1-5-21-1-2":2,"2026-11-25":3,"4711":4,"da39a3ee5e":5,"00:1a:2b:3c:4d:5e":6}}`}, []string{"550e", "S-1", "2026", "4711", "da39", "00:1a"}},
		"paths":       {[]string{`{"map":{"C:\\Users\\paula":1,"/home/paula":2}}`}, []string{"paula"}},
		"alike":       {[]string{objects("paula", "karim", "wei")}, []string{"paula", "karim", "wei"}},
		"many":        {many, []string{"nameaa", "namebz"}},
		"values":      {values, []string{"aula"}},
		"agents":      {[]string{`{"map":{"ws-paula":1}}`}, []string{"paula"}},
		"in lists":    {[]string{`{"list":[` + objects("paula", "karim", "wei") + `]}`}, []string{"paula"}},
		"other text":  {[]string{`{"map":{"Müller":1,"zz` + strings.Repeat("z", 70) + `":2}}`}, []string{"ller", "zzz"}},
	} {
		text := profileOf("field\tdata.srcip\n", c.data...).String()
		for _, secret := range append(c.secret, "ws-paula", "10.1.2.3") {
			if strings.Contains(text, secret) {
				t.Errorf("%s: %q is in the profile:\n%s", name, secret, text)
			}
		}
		if !strings.Contains(text, ".*\t") && !strings.Contains(text, ".*.") {
			t.Errorf("%s: nothing stands for the names:\n%s", name, text)
		}
	}
}

// TestProfileMerged: two halves are the same profile as the whole.
func TestProfileMerged(t *testing.T) {
	data := []string{`{"a":"x","map":{"p":{"b":1},"q":{"b":1}}}`, `{"a":"10.0.0.1","user":"c"}`, `{"c":1}`, `{"map":{"r":{"b":1}}}`}
	whole, half := profileOf("", data...), profileOf("", data[:2]...)
	half.Merge(profileOf("", data[2:]...))
	if diff := cmp.Diff(whole.String(), half.String()); diff != "" {
		t.Errorf("(-whole +merged)\n%s", diff)
	}
}

func TestParseProfile(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "1: not a profile; write one with custom-misp profile ALERTS > FILE",
		"custom-misp profile 2\n":            `1: a profile of version "2", and this program reads version 1; write it again with custom-misp profile`,
		"custom-misp profile 1\nalerts\tx\n": `2: alerts is "x", and not a number`,
		"custom-misp profile 1\ngroup\ta\n":  `2: "group" is before the first kind`,
	} {
		if _, err := mappingtest.ParseProfile(text); err == nil || err.Error() != want {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := mappingtest.ParseProfile("custom-misp profile 1\nalerts\t1\n\nkind\nlater\tx\nfield\tdata.x\ttext laterform\n"); err != nil {
		t.Error(err)
	}
}

// TestProfileFaults holds mappings against a profile.
func TestProfileFaults(t *testing.T) {
	p, err := mappingtest.ParseProfile(profileOf("",
		`{"acme":{"action":"block","srcIP":"185.220.101.5","peer":"10.0.0.4","n":3,"items":[{"value":"45.155.205.234"}],"sha":"0a4d55a8d778e5022fab701977c5d840bbc486d0","msg":"from 185.220.101.5"},"id.orig_h":"45.155.205.236"}`).String())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ match, pick, want string }{
		{`"acme" in groups and field("data.acme.action") == "deny"`, "path: data.acme.srcIP, type: ip-src", ""}, // a value is not known
		{`"acme" in groups and not has("data.acme.nothing")`, "path: data.acme.srcIP, type: ip-src", ""},
		{`"acme" in groups and rule.id in ["100700"]`, "path: agent.ip, type: ip-src, private: true", ""},
		{
			`"acme-fw" in groups`, "path: data.acme.srcIP, type: ip-src",
			`mapping "m" cannot match an alert like those of the profile: none can meet "acme-fw" in groups; did you mean the group "acme"?`,
		},
		{
			`"Acme" in groups`, "path: data.acme.srcIP, type: ip-src",
			`mapping "m" cannot match an alert like those of the profile: none can meet "Acme" in groups; did you mean the group "acme"?`,
		},
		{
			`"acme" in groups and has("data.acme.srcip")`, "path: data.acme.srcIP, type: ip-src",
			`mapping "m" cannot match an alert like those of the profile: none can meet has("data.acme.srcip"); did you mean "data.acme.srcIP"? (its name is in another case)`,
		},
		{
			`"acme" in groups and rule.id == "7"`, "path: data.acme.srcIP, type: ip-src",
			`mapping "m" cannot match an alert like those of the profile: none can meet rule.id == "7"; compare it with the groups, decoders and fields in the profile`,
		},
		{
			`"acme" in groups`, "path: data.acme.items.value, type: ip-dst",
			`pick data.acme.items.value finds no value in alerts that mapping "m" may match, as the profile has them; did you mean "data.acme.items.#.value"? (it is in a list of objects)`,
		},
		{
			`"acme" in groups`, "path: data.acme.items, type: ip-dst",
			`pick data.acme.items is of an object with members, from which nothing is taken; it is a list of objects; write data.acme.items.#.NAME, with one of: value`,
		},
		{
			`"acme" in groups`, "path: data.acme.sha, type: sha256",
			`pick data.acme.sha finds sha1, and never a value of type sha256; another type, or another path`,
		},
		{
			`"acme" in groups`, "path: data.acme.peer, type: ip-dst",
			`pick data.acme.peer finds only addresses that are not public, and drops them; nothing else is wrong if all are your own; private: true picks them too`,
		},
		{
			`"acme" in groups`, "path: data.acme.msg, type: ip-dst",
			`pick data.acme.msg finds longer texts with values in them, and never one that is of type ip-dst alone; use split, prefix, regex or scan: true`,
		},
		{`"acme" in groups`, "path: data.acme.msg, scan: true, type: auto", ""},
	} {
		e := engineOf(t, fmt.Sprintf("version: 1\nmappings:\n  - id: m\n    match: >-\n      %s\n    pick:\n      - {%s}\n", c.match, c.pick))
		var got []string
		for _, f := range p.Faults(e) {
			got = append(got, f.Sentence())
			if f.Alerts != 1 || !f.Warning || f.Line == 0 {
				t.Errorf("%+v", f)
			}
		}
		if diff := cmp.Diff(c.want, strings.Join(got, "\n")); diff != "" {
			t.Errorf("%s, %s: (-want +got)\n%s", c.match, c.pick, diff)
		}
	}
}
