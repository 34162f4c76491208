package engine_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
)

func load(t testing.TB, yaml string) *engine.Engine {
	t.Helper()
	e, err := engine.Load(engine.Source{Name: "test.yaml", Data: []byte(yaml)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// picks returns "type value" of every observable.
func picks(t testing.TB, e *engine.Engine, alert string) []string {
	t.Helper()
	observables, err := e.Pick([]byte(alert))
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, o := range observables {
		got = append(got, string(o.Type)+" "+o.Value)
	}
	return got
}

// one returns a mapping file with one mapping that always matches and has one pick.
func one(pick string) string {
	return "version: 1\nmappings:\n  - id: one\n    match: 'true'\n    pick:\n      - {" + pick + "}\n"
}

func TestPickCandidates(t *testing.T) {
	tests := []struct {
		name, pick, alert string
		want              []string
	}{
		{"text", `path: data.x, type: ip-dst`, `{"data":{"x":"192.31.196.1"}}`, []string{"ip-dst 192.31.196.1"}},
		{"absent", `path: data.x, type: ip-dst`, `{"data":{}}`, []string{}},
		{"null", `path: data.x, type: user-agent`, `{"data":{"x":null}}`, []string{}},
		{"object", `path: data.x, type: user-agent`, `{"data":{"x":{"y":"z"}}}`, []string{}},
		{"number", `path: data.x, type: port`, `{"data":{"x":8443}}`, []string{"port 8443"}},
		{"array", `path: data.x, type: ip-dst`, `{"data":{"x":["192.31.196.1","-",["192.31.196.2"],{"y":"192.31.196.3"}]}}`, []string{"ip-dst 192.31.196.1", "ip-dst 192.31.196.2"}},
		{"array of objects", `path: data.x.#.ip, type: ip-dst`, `{"data":{"x":[{"ip":"192.31.196.1"},{"ip":"192.31.196.2"}]}}`, []string{"ip-dst 192.31.196.1", "ip-dst 192.31.196.2"}},
		{"key with a dot", `path: 'data.id\.orig_h', type: ip-dst`, `{"data":{"id.orig_h":"192.31.196.1"}}`, []string{"ip-dst 192.31.196.1"}},
		{"split", `path: data.x, split: ";", type: auto`, `{"data":{"x":"192.31.196.1;; bad.example ;"}}`, []string{"ip-dst 192.31.196.1", "domain bad.example"}},
		{"prefix", `path: data.x, split: ",", prefix: "MD5=", type: md5`, `{"data":{"x":"SHA1=1, MD5=0123456789abcdef0123456789abcdef,md5=1123456789abcdef0123456789abcdef"}}`, []string{"md5 0123456789abcdef0123456789abcdef"}},
		{"part: path", `path: data.x, part: path, type: filename`, `{"data":{"x":["C:\\\\a\\\\b.exe","/tmp/c","d.exe","/tmp/","-",""]}}`, []string{`filename C:\a\b.exe`, "filename /tmp/c"}},
		{"part: name", `path: data.x, part: name, type: filename`, `{"data":{"x":["C:\\\\a\\\\b.exe","/tmp/c","d.exe","/tmp/","-",""]}}`, []string{"filename b.exe", "filename c"}},
		{"pair", `path: data.k, pair: data.v, type: regkey|value`, `{"data":{"k":["HKLM\\\\A","HKLM\\B"],"v":"C:\\\\x"}}`, []string{`regkey|value HKLM\A|C:\x`, `regkey|value HKLM\B|C:\x`}},
		{"pair without a half", `path: data.k, pair: data.v, type: regkey|value`, `{"data":{"k":"HKLM\\A","v":"-"}}`, []string{}},
		{"pair with a list", `path: data.k, pair: data.v, type: regkey|value`, `{"data":{"k":"HKLM\\A","v":["x"]}}`, []string{}},
		{"pair with a number", `path: data.k, pair: data.v, type: regkey|value`, `{"data":{"k":"HKLM\\A","v":1}}`, []string{`regkey|value HKLM\A|1`}},
		{"part and regex", `path: data.x, part: name, regex: "^(.*)\\.gz$", type: filename`, `{"data":{"x":"/tmp/a.tar.gz"}}`, []string{"filename a.tar"}},
		{"regex, first group", `path: data.x, regex: "a=(\\S+)", type: user-agent`, `{"data":{"x":"a=1 b=2 a=3"}}`, []string{"user-agent 1", "user-agent 3"}},
		{"regex, whole match", `path: data.x, regex: "[0-9.]+", type: ip-dst`, `{"data":{"x":"from 192.31.196.1 to 192.31.196.2"}}`, []string{"ip-dst 192.31.196.1", "ip-dst 192.31.196.2"}},
		{"regex, named group", `path: data.x, regex: "(a|b)=(?P<value>\\S+)", type: user-agent`, `{"data":{"x":"a=1 b=2"}}`, []string{"user-agent 1", "user-agent 2"}},
		{"regex, group not taking part", `path: data.x, regex: "a(?:=(\\d+))?", type: port`, `{"data":{"x":"a a=1"}}`, []string{"port 1"}},
		{"internal address", `path: data.x, type: ip-dst`, `{"data":{"x":["10.1.2.3","127.0.0.1","169.254.1.1","100.64.0.1","224.0.0.1","255.255.255.255","0.0.0.0","192.168.1.1","172.31.0.1","192.0.2.1","198.18.0.1","::1","fe80::1","fd00::1","ff02::1","2001:db8::1","::"]}}`, []string{}},
		{"internal address, private", `path: data.x, type: ip-dst, private: true`, `{"data":{"x":"10.1.2.3"}}`, []string{"ip-dst 10.1.2.3"}},
		{"reverse name", `path: data.x, type: hostname`, `{"data":{"x":"1.0.0.10.in-addr.arpa"}}`, []string{}},
		{"keep by value", `path: data.x, type: hostname, keep: 'not under_domain(value, "corp.example")'`, `{"data":{"x":["a.corp.example","corp.example","xcorp.example"]}}`, []string{"hostname xcorp.example"}},
		{"internal name", `path: data.x, type: hostname, keep: "true"`, `{"data":{"x":["a.corp","b.home.arpa","_ldap._tcp.dc._msdcs.corp.example","c.bad.example","1.0.0.10.in-addr.arpa","d.test"]}}`, []string{"hostname c.bad.example", "hostname d.test"}},
		{"internal name, private", `path: data.x, type: hostname, private: true`, `{"data":{"x":["a.corp","_kerberos._udp.corp.example"]}}`, []string{"hostname a.corp", "hostname _kerberos._udp.corp.example"}},
		{"e-mail address of a site", `path: data.x, type: email-src`, `{"data":{"x":["a@mail.corp.local","b@bad.example"]}}`, []string{"email-src b@bad.example"}},
		{"URL without a scheme", `path: data.x, type: url`, `{"data":{"x":["bad.example/in.php?a=1","192.31.196.1:8080/x","index.php?id=1","/in.php","bad.example","C:\\a.com\\b","10.0.0.1/x"]}}`, []string{"url http://bad.example/in.php?a=1", "url http://192.31.196.1:8080/x"}},
		{"when", `path: data.x, when: 'field("data.dir") == "out"', type: ip-dst`, `{"data":{"x":"192.31.196.1","dir":"out"}}`, []string{"ip-dst 192.31.196.1"}},
		{"when is false", `path: data.x, when: 'field("data.dir") == "out"', type: ip-dst`, `{"data":{"x":"192.31.196.1","dir":"in"}}`, []string{}},
		{"trim and lower", `path: data.x, decode: [trim, lower], type: user-agent`, `{"data":{"x":" Curl/8 "}}`, []string{"user-agent curl/8"}},
		{"percent-encoding", `path: data.x, decode: [url], type: url`, `{"data":{"x":"http%3a%2F%2Fbad.example%2fa%2"}}`, []string{}},
		{"percent-encoding, whole", `path: data.x, decode: [url], type: url`, `{"data":{"x":"http%3a%2F%2Fbad.example%2fa"}}`, []string{"url http://bad.example/a"}},
		{"base64 of a hash", `path: data.x, decode: [base64], type: md5`, `{"data":{"x":["RNiGEv6oqPNt6C4SeKuwLw==","RNiGEv6oqPNt6C4SeKuwLw","%%"]}}`, []string{"md5 44d88612fea8a8f36de82e1278abb02f"}},
		{"base64 of bytes that are no text", `path: data.x, decode: [base64], type: user-agent`, `{"data":{"x":"/////w=="}}`, []string{}},
		{"base64 of UTF-16", `path: data.x, decode: [base64, utf16], type: domain`, `{"data":{"x":"YgBhAGQALgBlAHgAYQBtAHAAbABlAA=="}}`, []string{"domain bad.example"}},
		{"hexadecimal, with NUL between arguments", `path: data.x, decode: [hex], scan: true, type: auto`, `{"data":{"x":"6375726C00687474703A2F2F6261642E6578616D706C652F78"}}`, []string{"url http://bad.example/x"}},
		{"texts of JSON", `path: data.x, decode: [json], type: ip-dst`, `{"data":{"x":"{\"a\":[\"192.31.196.1\"],\"b\":{\"c\":\"192.31.196.2\"}}"}}`, []string{"ip-dst 192.31.196.1", "ip-dst 192.31.196.2"}},
		{"no JSON", `path: data.x, decode: [json], type: ip-dst`, `{"data":{"x":"192.31.196.1"}}`, []string{}},
		{"socket address", `path: data.x, decode: [sockaddr], type: ip-dst`, `{"data":{"x":["020001BBC01FC4420000000000000000","0A0001BB000000002620004F800000000000000000000BAD00000000","0100","zz"]}}`, []string{"ip-dst 192.31.196.66", "ip-dst 2620:4f:8000::bad"}},
		{"PowerShell", `path: data.x, decode: [powershell], type: url`, `{"data":{"x":["powershell -NoP -EncodedC aAB0AHQAcAA6AC8ALwBiAGEAZAAuAGUAeABhAG0AcABsAGUALwB4AA==","[Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('aHR0cDovL2JhZC5leGFtcGxlL3k='))","curl --encoded aHR0cDovL2JhZC5leGFtcGxlL3o="]}}`, []string{"url http://bad.example/x", "url http://bad.example/y"}},
		{"PowerShell in what is scanned, twice encoded", `path: data.x, scan: true, type: auto`, `{"data":{"x":"cmd /c powershell /ec cABvAHcAZQByAHMAaABlAGwAbAAgAC0AZQBuAGMAIABhAEEAQgAwAEEASABRAEEAYwBBAEEANgBBAEMAOABBAEwAdwBCAGkAQQBHAEUAQQBaAEEAQQB1AEEARwBVAEEAZQBBAEIAaABBAEcAMABBAGMAQQBCAHMAQQBHAFUAQQBMAHcAQgA0AEEAQQA9AD0A"}}`, []string{"url http://bad.example/x"}},
		{"percent-encoding in what is scanned", `path: data.x, scan: true, type: auto`, `{"data":{"x":"/r?to=https%253A%252F%252Fbad.example%252Fx"}}`, []string{"url https://bad.example/x"}},
		{"address behind a user", `path: data.x, scan: true, type: auto`, `{"data":{"x":"login root@192.31.196.1 and rhost=::ffff:192.31.196.2, peer:192.31.196.3:80 192.31.196.4:1->10.0.0.1:2 src=192.31.196.5:443:X1"}}`, []string{"ip-dst 192.31.196.1", "ip-dst 192.31.196.2", "ip-dst 192.31.196.3", "ip-dst 192.31.196.4", "ip-dst 192.31.196.5"}},
		{"names at any depth", `name: [src_ip, "*_addr", net.peer], type: ip-dst`, `{"src_ip":"192.31.196.9","data":{"SrcIp":"192.31.196.1","a":[{"b":{"my-addr":"192.31.196.2"}},[{"src_ip":["192.31.196.3"]}]],"net":{"peer":"192.31.196.4","x":{"peer":"192.31.196.5"}},"raddr":"192.31.196.6"}}`, []string{"ip-dst 192.31.196.1", "ip-dst 192.31.196.2", "ip-dst 192.31.196.3", "ip-dst 192.31.196.4"}},
		{"names below an object, with exceptions", `name: [ip], under: data.a, except: [nat, x.ip], type: ip-dst`, `{"data":{"ip":"192.31.196.1","a":{"ip":"192.31.196.2","nat":{"b":{"ip":"192.31.196.3"}},"x":{"ip":"192.31.196.4"},"y":[{"ip":"192.31.196.5","nat":{"ip":"192.31.196.6"}}]}}}`, []string{"ip-dst 192.31.196.2", "ip-dst 192.31.196.5"}},
		{"all names, scanned", `name: ["*"], except: [id], scan: true, type: auto`, `{"data":{"a":"see http://bad.example/x","b":["192.31.196.1"],"id":"192.31.196.2","n":5}}`, []string{"url http://bad.example/x", "ip-dst 192.31.196.1"}},
		{"keep by type", `path: data.x, type: auto, keep: 'type == "md5"'`, `{"data":{"x":["192.31.196.1","0123456789abcdef0123456789abcdef"]}}`, []string{"md5 0123456789abcdef0123456789abcdef"}},
		{"keep by another field", `path: data.x, type: auto, keep: 'field("data.dir") == "out"'`, `{"data":{"x":"192.31.196.1","dir":"in"}}`, []string{}},
		{
			"auto", `path: data.x, type: auto`, `{"data":{"x":["CVE-2026-1234","x@bad.example","hxxp://bad.example/a","svchost.exe","com.example.MyService","1.2.3","v1.2.3-beta","System.Net.Http","deep.bad.example","bad.co.uk","index.html","2620:4f:8000::bad"]}}`,
			[]string{"vulnerability CVE-2026-1234", "email x@bad.example", "url http://bad.example/a", "hostname deep.bad.example", "domain bad.co.uk", "ip-dst 2620:4f:8000::bad"},
		},
		{"same value twice", `path: data.x, type: ip-dst`, `{"data":{"x":["192.31.196.1","192.31.196.1:80"]}}`, []string{"ip-dst 192.31.196.1"}},
		{"invalid UTF-8", `path: data.x, type: user-agent`, "{\"data\":{\"x\":\"a\xffb\"}}", []string{"user-agent a\xffb"}},
		{"escapes", `path: data.x, type: user-agent`, `{"data":{"x":"a\"b\u00e9"}}`, []string{"user-agent a\"bé"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, picks(t, load(t, one(tt.pick)), tt.alert)); diff != "" {
				t.Errorf("picks (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMatch(t *testing.T) {
	const alert = `{"rule":{"id":"61603","level":5,"description":"d","groups":["windows"," WEF","sysmon "]},` +
		`"agent":{"id":"004","name":"ws","ip":"10.1.1.1"},"decoder":{"name":"json","parent":"p"},"location":"EventChannel",` +
		`"data":{"x":"192.31.196.1","n":22,"e":"","z":null,"o":{"k":"v"}}}`
	for expr, want := range map[string]bool{
		`"sysmon" in groups`:                                                     true,
		`"WEF" in groups`:                                                        true,
		`"wef" in groups`:                                                        false,
		`"sysmon" in rule.groups`:                                                true,
		`any(groups, # startsWith "sys")`:                                        true,
		`all(["windows", "sysmon"], # in groups)`:                                true,
		`rule.id == "61603" and rule.level >= 5`:                                 true,
		`rule.description == "d"`:                                                true,
		`agent.id == "004" and agent.name == "ws"`:                               true,
		`in_network(agent.ip, "192.168.0.0/16", "10.0.0.0/8")`:                   true,
		`in_network(agent.ip, "10.1.1.1")`:                                       true,
		`in_network("no address", "10.0.0.0/8")`:                                 false,
		`decoder.name == "json" and decoder.parent == "p"`:                       true,
		`location == "EventChannel"`:                                             true,
		`field("data.n") == "22"`:                                                true,
		`field("data.missing") == ""`:                                            true,
		`has("data.e")`:                                                          true,
		`has("data.z")`:                                                          false,
		`has("data.missing")`:                                                    false,
		`has("data.o.k") and field("data.o.k") == "v"`:                           true,
		`field("data.x") matches "^192"`:                                         true,
		`is_ip(field("data.x")) and is_public_ip(field("data.x"))`:               true,
		`is_public_ip("10.0.0.1")`:                                               false,
		`is_domain("a.example") and not is_domain("a")`:                          true,
		`is_url("http://a.example/") and not is_url("a.example")`:                true,
		`is_hash("d41d8cd98f00b204e9800998ecf8427e") and not is_hash("d41d8cd")`: true,
		`under_domain("a.b.example.", "B.example")`:                              true,
		`under_domain("ab.example", "b.example")`:                                false,
		`let g = groups; "sysmon" in g`:                                          true,
	} {
		y := "version: 1\nmappings:\n  - id: m\n    match: >-\n      " + expr + "\n    pick:\n      - {path: data.x, type: ip-dst}\n"
		if got := len(picks(t, load(t, y), alert)) == 1; got != want {
			t.Errorf("%s is %t, want %t", expr, got, want)
		}
	}
}

func TestObservableRemembersItsPicks(t *testing.T) {
	e := load(t, `
version: 1
mappings:
  - id: a
    match: "true"
    pick:
      - {path: data.x, type: ip-src}
      - {path: data.y, type: ip-dst}
  - id: b
    match: "true"
    pick:
      - {path: data.x, type: ip-dst}
  - id: c
    match: "true"
    lookup: {to_ids: true, tags: ["tlp:*"]}
    pick:
      - {path: data.x, type: ip-dst}
`)
	got, err := e.Pick([]byte(`{"data":{"x":"192.31.196.1","y":"192.31.196.1"}}`))
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	want := []engine.Observable{
		{Type: "ip-src", Value: "192.31.196.1", Picks: []engine.Pick{
			{Mapping: "a", Path: "data.x", Type: "ip-src"},
			{Mapping: "a", Path: "data.y", Type: "ip-dst"},
			{Mapping: "b", Path: "data.x", Type: "ip-dst"},
		}},
		{
			Type: "ip-dst", Value: "192.31.196.1", Picks: []engine.Pick{{Mapping: "c", Path: "data.x", Type: "ip-dst"}},
			Filter: &engine.Filter{ToIDs: &yes, Tags: []string{"tlp:*"}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("observables (-want +got):\n%s", diff)
	}
}

// TestPickKeepsNothingOfTheAlert writes over the caller's bytes after Pick, as a reader of a stream does.
func TestPickKeepsNothingOfTheAlert(t *testing.T) {
	e := load(t, one(`path: data.x, type: user-agent`))
	alert := []byte(`{"data":{"x":"Mozilla"}}`)
	got, err := e.Pick(alert)
	if err != nil {
		t.Fatal(err)
	}
	for i := range alert {
		alert[i] = '#'
	}
	if got[0].Value != "Mozilla" {
		t.Errorf("value became %q", got[0].Value)
	}
}

func TestPickReportsFailingExpressions(t *testing.T) {
	e := load(t, `
version: 1
mappings:
  - id: broken-match
    match: int(field("data.n")) > 3
    pick: [{path: data.x, type: ip-dst}]
  - id: broken-keep
    match: "true"
    pick: [{path: data.x, type: ip-dst, keep: 'in_network(value, field("data.n"))'}]
  - id: hungry
    match: 'len(map(1..1000000, # * 2)) > 0'
    pick: [{path: data.x, type: ip-dst}]
  - id: sound
    match: "true"
    pick: [{path: data.x, type: ip-dst}]
`)
	got, err := e.Pick([]byte(`{"data":{"x":"192.31.196.1","n":"three"}}`))
	if len(got) != 1 || got[0].Picks[0].Mapping != "sound" {
		t.Errorf("the sound mapping picked %v", got)
	}
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`test.yaml:4: mapping "broken-match": match: `,
		`test.yaml:7: mapping "broken-keep": pick "data.x": keep: "three" is not a network`,
		`test.yaml:10: mapping "hungry": match: memory budget exceeded`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
}

func TestPickBounds(t *testing.T) {
	e := load(t, one(`path: data.x, type: port`))
	var values []string
	for i := range engine.MaxObservables + 10 {
		values = append(values, fmt.Sprint(i+1))
	}
	got, err := e.Pick([]byte(`{"data":{"x":[` + strings.Join(values, ",") + `]}}`))
	if len(got) != engine.MaxObservables || err == nil {
		t.Errorf("%d observables, error %v", len(got), err)
	}
}

// TestPickOfManyValues picks the same values from many texts: each is an observable once.
func TestPickOfManyValues(t *testing.T) {
	e := load(t, one(`path: data.x, type: auto, scan: true`))
	var texts []string
	for i := range 2000 {
		var text strings.Builder
		for j := range 60 {
			fmt.Fprintf(&text, "%s%d.io ", []string{"bb", "BB"}[i%2], (i%15)*60+j)
		}
		texts = append(texts, `"`+text.String()+`"`)
	}
	alert := []byte(`{"data":{"x":[` + strings.Join(texts, ",") + `]}}`)
	found, err := e.Pick(alert)
	if len(found) != 900 || err != nil {
		t.Errorf("%d observables, %v", len(found), err)
	}
	for _, o := range found {
		if len(o.Picks) != 1 {
			t.Fatalf("%+v", o)
		}
	}
}

func TestPickConcurrently(t *testing.T) {
	e := load(t, one(`path: data.x, type: user-agent`))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			want := []string{fmt.Sprintf("user-agent agent-%d", i)}
			for range 200 {
				o, err := e.Pick(fmt.Appendf(nil, `{"data":{"x":"agent-%d"}}`, i))
				if err != nil || len(o) != 1 || string(o[0].Type)+" "+o[0].Value != want[0] {
					t.Errorf("got %v, %v; want %v", o, err, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestContext(t *testing.T) {
	e := load(t, `
version: 1
mappings:
  - id: m
    match: "true"
    pick: [{path: data.x, type: ip-dst}]
    context: [data.user, data.source.image, data.target.image, data.list, data.none, data.dash, data.source, data.null, data.rows.#.ports, data.deep, {path: data.user, name: actor}, {path: data.source.image, name: Source-Image}, {path: data.none, name: gone}]
`)
	got := e.Context("m", []byte(`{"data":{"user":"u","source":{"image":"a"},"target":{"image":"b"},"list":["x",2,{"integration":"ms-graph"},null,true],"dash":"-",
		"null":null,"rows":[{"ports":[1,2]},{},{"ports":[3]}],"deep":[[[[[["out of reach"]]]]]]}}`))
	want := map[string]string{"user": "u", "source_image": "a", "target_image": "b", "list": "x, 2, true", "ports": "1, 2, 3", "actor": "u", "Source-Image": "a"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("context (-want +got):\n%s", diff)
	}
	if got := e.Context("unknown", []byte(`{}`)); got != nil {
		t.Errorf("unknown mapping has context %v", got)
	}
}

func TestMappings(t *testing.T) {
	e := load(t, "version: 1\nsource: ACME\n"+strings.TrimPrefix(one(`path: data.x, type: port`), "version: 1\n"))
	want := []engine.Mapping{{ID: "one", Product: "ACME", File: "test.yaml", Line: 4, Picks: []engine.MappingPick{{Path: "data.x", Type: "port", Line: 7, Whole: true}}}}
	if diff := cmp.Diff(want, e.Mappings()); diff != "" {
		t.Errorf("mappings (-want +got):\n%s", diff)
	}
}
