package engine_test

import (
	"fmt"
	"strings"

	"custom-misp/engine"
)

// mappingFile is a mapping file as an author writes it.
const mappingFile = `version: 1
source: Acme Gateway
mappings:
  - id: acme-gateway
    description: Who connected, and to what
    match: '"acme" in groups and field("data.action") == "allowed"'
    pick:
      - {path: data.dstip, type: ip-dst}
      - {path: data.url, type: url}
      - {path: data.message, type: auto, scan: true}
`

const acmeAlert = `{
  "rule": {"id": "100700", "level": 3, "groups": ["local", "acme"]},
  "decoder": {"name": "json"},
  "data": {
    "action": "allowed", "dstip": "192.31.196.7", "url": "hxxp://Bad[.]example/in.php",
    "message": "GET by 10.0.0.4, referrer https://gate.bad-cdn.example/x, saved as report.pdf"
  }
}`

// Load a mapping file and pick from an alert.
func Example() {
	e, err := engine.Load(engine.Source{Name: "acme.yaml", Data: []byte(mappingFile)})
	if err != nil {
		fmt.Println(err)
		return
	}
	observables, err := e.Pick([]byte(acmeAlert))
	if err != nil {
		fmt.Println(err)
	}
	for _, o := range observables {
		fmt.Println(o.Type, o.Value, "from", o.Picks[0].Path)
	}
	// Output:
	// ip-dst 192.31.196.7 from data.dstip
	// url http://bad.example/in.php from data.url
	// url https://gate.bad-cdn.example/x from data.message
}

// Load loads what has no fault, and returns a fault with its place and remedy for the rest.
func ExampleLoad() {
	misspelt := strings.NewReplacer("id: acme", "id: other", "in groups", "in group").Replace(mappingFile)
	e, err := engine.Load(
		engine.Source{Name: "acme.yaml", Data: []byte(mappingFile)},
		engine.Source{Name: "misspelt.yaml", Data: []byte(misspelt)},
	)
	fmt.Println(e.Len(), "mapping")
	fmt.Println(err)
	// Output:
	// 1 mapping
	// misspelt.yaml:6:23: match: unknown name group; did you mean "groups"?
}

// Lint warns of what compiles, but is probably not as intended.
func ExampleLint() {
	_, faults := engine.Lint(engine.Source{Name: "all.yaml", Data: []byte(`version: 1
mappings:
  - id: all
    match: rule.level > 3
    pick: [{path: data.srcip, type: ip-src}]
`)})
	for _, f := range faults {
		fmt.Println(f)
		fmt.Print(f.Snippet())
	}
	// Output:
	// all.yaml:4:12: warning: match requires no group, decoder or field, so it is evaluated for every alert; begin with something like "sysmon" in groups and, or decoder.name == "json" and
	//   |     match: rule.level > 3
	//   |            ^
}

// Explain tells why a value was picked or was not.
func ExampleEngine_Explain() {
	e, err := engine.Load(engine.Source{Name: "acme.yaml", Data: []byte(mappingFile)})
	if err != nil {
		fmt.Println(err)
		return
	}
	blocked := strings.Replace(acmeAlert, "allowed", "blocked", 1)
	for _, m := range e.Explain([]byte(blocked)).Mappings {
		fmt.Println(m.ID, "matched:", m.Matched)
		for _, c := range m.Conjuncts {
			fmt.Println(c.Value, c.Expression)
			for _, f := range c.Fields {
				fmt.Printf("  %s is %q\n", f.Path, f.Value)
			}
		}
	}
	local := strings.Replace(acmeAlert, "192.31.196.7", "10.0.0.7", 1)
	for _, c := range e.Explain([]byte(local)).Mappings[0].Picks[0].Candidates {
		fmt.Println(c.Text, "was dropped:", c.Dropped)
	}
	// Output:
	// acme-gateway matched: false
	// true "acme" in groups
	// false field("data.action") == "allowed"
	//   data.action is "blocked"
	// 10.0.0.7 was dropped: a private, reserved or documentation address
}

// A site leaves out its own domains and networks, and mappings that it does not want.
func ExampleEngine_For() {
	e, err := engine.Load(engine.Source{Name: "acme.yaml", Data: []byte(mappingFile)})
	if err != nil {
		fmt.Println(err)
		return
	}
	ignore, err := engine.NewIgnore([]string{"bad-cdn.example", "192.31.196.0/24"})
	if err != nil {
		fmt.Println(err)
		return
	}
	site, err := e.For(engine.Site{Ignore: ignore, Disable: []string{"acme-firewall"}})
	fmt.Println(err)
	observables, err := site.Pick([]byte(acmeAlert))
	for _, o := range observables {
		fmt.Println(o.Type, o.Value)
	}
	fmt.Println(err)
	// Output:
	// no mapping has the id acme-firewall
	// url http://bad.example/in.php
	// <nil>
}

// Values are compared in their normal form.
func ExampleType_Normal() {
	for _, v := range []struct {
		t   engine.Type
		raw string
	}{
		{"ip-dst", "[::ffff:192.31.196.7]:443"}, {"hostname", "Gate.Bad-CDN[.]Example."}, {"url", "HXXPS://Bad.Example/"}, {"md5", "none"},
	} {
		normal, err := v.t.Normal(v.raw)
		fmt.Printf("%q %v\n", normal, err)
	}
	// Output:
	// "192.31.196.7" <nil>
	// "gate.bad-cdn.example" <nil>
	// "https://bad.example" <nil>
	// "" a placeholder for no value
}

// The filter of a mapping comes before the configured one.
func ExampleFilter_Over() {
	yes, no := true, false
	configured := engine.Filter{ToIDs: &yes, ExcludeTags: []string{"false-positive"}}
	own := &engine.Filter{ToIDs: &no}
	f := own.Over(configured)
	fmt.Println(*f.ToIDs, f.ExcludeTags)
	// Output: false [false-positive]
}
