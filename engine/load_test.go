package engine_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"custom-misp/engine"
)

func TestLoadFaults(t *testing.T) {
	const rest = "\n    pick: [{path: data.x, type: ip-dst}]\n"
	head := "version: 1\nmappings:\n  - id: a\n    match: "
	tests := []struct{ name, yaml, want string }{
		{"empty", "", `m.yaml:1:1: the file is empty; write something into it, or remove it`},
		{"comments only", "# nothing\n", `m.yaml:1:1: the file has only comments`},
		{"a list", "- a\n", `m.yaml:1:1: a mapping file must be a set of keys and values, not a list; write KEY: VALUE, each on a line of its own`},
		{"no version", "mappings: []\n", "m.yaml:1:1: a mapping file lacks the key \"version\"; add the key version\nm.yaml:1:11: mappings is empty; write at least one item"},
		{"other version", "version: 2\n" + strings.TrimPrefix(head, "version: 1\n") + "'true'" + rest, `m.yaml:1:10: version "2" is not supported; write version: 1`},
		{"unknown key", "version: 1\nmapings: []\n", `m.yaml:2:1: unknown key "mapings" in a mapping file; did you mean "mappings"?`},
		{"repeated key", "version: 1\nversion: 1\nmappings:\n  - {id: a, match: 'true', pick: [{path: x, type: md5}]}\n", `m.yaml:2:1: key "version" is given twice, first in line 1; keep one of them`},
		{"no value", "version:\nmappings:\n  - {id: a, match: 'true', pick: [{path: x, type: md5}]}\n", `m.yaml:1:1: key "version" has no value; give it a value or leave the key out`},
		{"tab", "version: 1\nmappings:\n\t- id: a\n", `m.yaml:3:1: not YAML: while scanning for the next token: found character that cannot start any token; indent with spaces, not tabs`},
		{"open bracket", "version: 1\nmappings: [\n", `m.yaml:2:11: not YAML: while parsing a flow node: did not find expected node content; something is not closed`},
		{"id", strings.Replace(head, "id: a", "id: a b", 1) + "'true'" + rest, `m.yaml:3:9: id "a b" is not a usable name; use letters, digits, and . _ - between them, 100 at most`},
		{"id twice", head + "'true'" + rest + "  - {id: a, match: 'true', pick: [{path: x, type: md5}]}\n", `m.yaml:6:10: id "a" is already taken in line 3; give each mapping an id of its own`},
		{"expression, plain", head + "'\"a\" in group'" + rest, `m.yaml:4:20: match: unknown name group; did you mean "groups"?`},
		{"expression, folded", head + ">-\n      \"a\" in groups and\n      (feild(\"x\") == \"1\")" + rest, `m.yaml:6:8: match: unknown name feild; did you mean "field"?`},
		{"expression, double-quoted", head + `"\"a\" in groups and fild(\"x\") == \"1\""` + rest, `m.yaml:4:33: match: unknown name fild; did you mean "field"?`},
		{"expression, single-quoted with quotes", head + `'field(''x'') == 1'` + rest, `m.yaml:4:26: match: == compares a text with a number; put the number into quotes: fields are texts`},
		{"expression, over two plain lines", head + "\"a\"\n      in grups" + rest, `m.yaml:5:7: not YAML: while parsing a block mapping: did not find expected key; check the quotes and the indentation of this line and the one above: keys of one object begin in one column`},
		{"expression, literal block, after an é", head + "|\n      'é' in groups and\n      x" + rest, `m.yaml:6:7: match: unknown name x; write a text in quotes: "x"; a field of the alert as field("data.x")`},
		{"expression, syntax", head + "'\"a\" in groups and'" + rest, `m.yaml:4:29: match: the expression ends too early; close every bracket and quote, and write a comparison behind and, or and not`},
		{"expression, cut by a comment", head + "any(groups, # == \"a\")" + rest, `m.yaml:4:22: match: the expression ends too early; if there is more to it: in YAML a # after a blank starts a comment, so put the expression into quotes or behind >-`},
		{"expression, not boolean", head + "field(\"x\")" + rest, `m.yaml:4:12: match must be true or false, and is a text; compare the value with something, like field("data.srcip") != ""`},
		{"expression, empty", head + "''" + rest, `m.yaml:4:12: match is empty; write a comparison, like "sysmon" in groups`},
		{"expression, wrong network", head + `in_network(agent.ip, "10.0.0/8")` + rest, `m.yaml:4:33: match: "10.0.0/8" is not a network like 10.0.0.0/8; write an address and the number of its fixed bits, at most 32, or 128 for IPv6`},
		{"expression, wrong path", head + `has("$.data.x")` + rest, `m.yaml:4:16: match: path "$.data.x" can never lead to a value; this is JSONPath; write a gjson path, like data.srcip`},
		{"second document", "version: 1\nmappings:\n  - {id: a, match: 'true', pick: [{path: x, type: md5}]}\n---\na: b\n", `m.yaml:4:1: a second YAML document begins here; make a file of each`},
		{"not UTF-8", "version: 1\nsource: é\xff\n", `m.yaml:2:10: not UTF-8; save the file as UTF-8`},
		{"merge key", "version: 1\nmappings:\n  - <<: {id: a}\n    match: 'true'\n    pick: [{path: x, type: md5}]\n", `m.yaml:3:5: merge keys are not supported; name an anchor as the value of a key, like pick: *picks`},
		{"expression behind an anchor and a tag", head + "&m !!str '\"a\" in grups'\n    pick: [{path: x, type: md5}]\n  - {id: b, match: *m, pick: [{path: x, type: sha1}]}\n", `m.yaml:4:29: match: unknown name grups; did you mean "groups"?`},
		{"no pick", head + "'true'\n", `m.yaml:3:5: a mapping lacks the key "pick"; add the key pick`},
		{"pick is no list", head + "'true'\n    pick: {path: x, type: md5}\n", `m.yaml:5:11: pick must be a list, not a set of keys and values; begin each item with a hyphen`},
		{"pick without type", head + "'true'\n    pick:\n      - path: x\n", `m.yaml:6:9: a pick lacks the key "type"; add the key type`},
		{"misspelt key is not missed too", head + "'true'\n    pick:\n      - {pth: x, type: md5}\n", `m.yaml:6:10: unknown key "pth" in a pick; did you mean "path"?`},
		{"type", head + "'true'\n    pick:\n      - {path: x, type: sha265}\n", `m.yaml:6:25: type "sha265" is not a MISP attribute type that can be picked; did you mean "sha256"?`},
		{"pair of a plain type", head + "'true'\n    pick:\n      - {path: x, type: regkey, pair: y}\n", `m.yaml:6:39: pair makes values of two halves, which type "regkey" has not; write type: regkey|value, or leave the key out`},
		{"composite type", head + "'true'\n    pick:\n      - {path: x, type: 'ip-dst|port'}\n", `m.yaml:6:25: type "ip-dst|port" is not a MISP attribute type that can be picked; pick each half with its own type`},
		{"regex", head + "'true'\n    pick:\n      - {path: x, type: md5, regex: '(?=a)'}\n", "m.yaml:6:37: regex: invalid or unsupported Perl syntax: `(?=`; write RE2 syntax"},
		{"empty regex", head + "'true'\n    pick:\n      - {path: x, type: md5, regex: ''}\n", `m.yaml:6:37: regex is empty; leave the key out to take the whole value`},
		{"empty split", head + "'true'\n    pick:\n      - {path: x, type: md5, split: ''}\n", `m.yaml:6:37: split is empty; name a separator or leave the key out`},
		{"empty prefix", head + "'true'\n    pick:\n      - {path: x, type: md5, prefix: ''}\n", `m.yaml:6:38: prefix is empty; name what the values begin with or leave the key out`},
		{"part", head + "'true'\n    pick:\n      - {path: x, type: filename, part: nam}\n", `m.yaml:6:41: part: "nam" is not one of path, name; did you mean "name"?`},
		{"keep", head + "'true'\n    pick:\n      - {path: x, type: md5, keep: 'valu != \"\"'}\n", `m.yaml:6:37: keep: unknown name valu; did you mean "value"?`},
		{"value is for keep only", head + "value != \"\"" + rest, `m.yaml:4:12: match: unknown name value; did you mean "values"?`},
		{"path", head + "'true'\n    pick:\n      - {path: 'data.x[0]', type: md5}\n", `m.yaml:6:16: path "data.x[0]" can never lead to a value; write array indexes as .0 and all items as .#`},
		{"context path", head + "'true'\n    context: [data.]" + rest, `m.yaml:5:15: a context path "data." can never lead to a value; remove the dot at its end`},
		{"context is no list", head + "'true'\n    context: data.x" + rest, `m.yaml:5:14: context must be a list, not "data.x"; begin each item with a hyphen`},
		{"context item is an object", head + "'true'\n    context: [{a: b}]" + rest, "m.yaml:5:15: an item of context lacks the key \"path\"; add the key path\nm.yaml:5:16: unknown key \"a\" in an item of context; use one of: name, path"},
		{"context item is a list", head + "'true'\n    context: [[data.x]]" + rest, `m.yaml:5:15: an item of context must be a path or a set of keys and values, not a list; write a path, or {path: …}`},
		{"context name", head + "'true'\n    context: [{path: data.x, name: a.b}]" + rest, `m.yaml:5:36: context name "a.b" is not a usable name; use letters, digits, _ and -, a letter first, 40 at most`},
		{"context path of a name", head + "'true'\n    context: [{path: data., name: a}]" + rest, `m.yaml:5:22: a context path "data." can never lead to a value; remove the dot at its end`},
		{"context name twice", head + "'true'\n    context:\n      - {path: data.x, name: a}\n      - {path: data.y, name: a}" + rest, `m.yaml:7:30: context name "a" is already taken in line 6, by data.x; give each path a name of its own`},
		{"context name that is the key of a path", head + "'true'\n    context:\n      - data.user\n      - {path: data.y, name: user}" + rest, `m.yaml:7:30: context name "user" is also the key of data.user in line 6; choose another, or give that path a name too`},
		{"id is a list", strings.Replace(head, "id: a", "id: [a]", 1) + "'true'" + rest, `m.yaml:3:9: id must be a text, not a list; write one value`},
		{"mapping is a text", "version: 1\nmappings:\n  - nonsense\n", `m.yaml:3:5: a mapping must be a set of keys and values, not "nonsense"; write KEY: VALUE, each on a line of its own`},
		{"mappings is a text", "version: 1\nmappings: none\n", `m.yaml:2:11: mappings must be a list, not "none"; begin each item with a hyphen`},
		{"mapping without anything", "version: 1\nmappings:\n  - description: x\n", "m.yaml:3:5: a mapping lacks the key \"id\"; add the key id\nm.yaml:3:5: a mapping lacks the key \"match\"; add the key match\nm.yaml:3:5: a mapping lacks the key \"pick\"; add the key pick"},
		{"unknown anchor", "version: 1\nmappings: *m\n", `m.yaml:2:11: not YAML: unknown anchor 'm' referenced; mark the value that it stands for with & and the same name, in a line above`},
		{"quote not closed", head + "'true" + rest, `m.yaml:4:12: not YAML: while scanning a quoted scalar: found unexpected end of stream; something is not closed`},
		{"colon in a plain text", "version: 1\nsource: a: b\n", `m.yaml:2:10: not YAML: mapping values are not allowed in this context; a value with a colon and a blank needs quotes; write source: 'a: b'`},
		{"wrong indentation", "version: 1\nmappings:\n  - id: a\n   match: 'true'\n", `m.yaml:4:4: not YAML: while parsing a block collection: did not find expected '-' indicator; check the quotes and the indentation of this line and the one above: keys of one object begin in one column`},
		{"control character", "version: 1\nsource: \x01\n", `m.yaml:2:9: not YAML: control character U+0001; take it out, or write it in double quotes, as "\x01"`},
		{"function with too few arguments", head + "under_domain()" + rest, `m.yaml:4:12: match: not enough arguments for under_domain; write under_domain(value, "corp.example", …)`},
		{"function with a wrong argument", head + "is_ip(1)" + rest, `m.yaml:4:18: match: is_ip takes a text, not a number; write is_ip(value)`},
		{"assignment for comparison", head + "field(\"x\") = \"1\"" + rest, `m.yaml:4:23: match: "=" is not expected here; write ==`},
		{"bracket not closed", head + "(\"a\" in groups" + rest, `m.yaml:4:25: match: the expression ends too early; if there is more to it: in YAML a # after a blank starts a comment, so put the expression into quotes or behind >-`},
		{"field of the agent", head + "agent.address != \"\"" + rest, `m.yaml:4:18: match: agent has no field address; use one of: id, name, ip`},
		{"field of the decoder", head + "decoder.nam == \"json\"" + rest, `m.yaml:4:20: match: decoder has no field nam; did you mean "name"?`},
		{"path with blanks", head + "'true'\n    pick:\n      - {path: ' data.x', type: md5}\n", `m.yaml:6:16: path " data.x" can never lead to a value; remove the blanks around it`},
		{"path with two dots", head + "'true'\n    pick:\n      - {path: data..x, type: md5}\n", `m.yaml:6:16: path "data..x" can never lead to a value; remove one of the two dots`},
		{"path with an escaped dot before a dot", head + "'true'\n    pick:\n      - {path: 'data.a\\..', type: md5}\n", `m.yaml:6:16: path "data.a\\.." can never lead to a value; remove the dot at its end`},
		{"empty path", head + "'true'\n    pick:\n      - {path: '', type: md5}\n", `m.yaml:6:16: path "" can never lead to a value; name a field of the alert, like data.srcip`},
		{"field of the rule", head + "rule.lvl > 3" + rest, `m.yaml:4:17: match: rule has no field lvl; use one of: id, level, description, groups`},
		{"regex, repetition too large", head + "'true'\n    pick:\n      - {path: x, type: md5, regex: 'a{2000}'}\n", "m.yaml:6:37: regex: invalid repeat count: `{2000}`; repeat at most 1,000 times; counts of repeats in repeats multiply"},
		{"pattern, repetition too large", head + `field("x") matches "a{2000}"` + rest, "m.yaml:4:23: match: the pattern of matches: invalid repeat count: `{2000}`; repeat at most 1,000 times; counts of repeats in repeats multiply"},
		{"pattern, wrong syntax", head + `field("x") matches "("` + rest, "m.yaml:4:23: match: the pattern of matches: missing closing ): `(`; write RE2 syntax"},
		{"pattern made at run time", head + `field("x") matches ("(" + field("x") + ")")` + rest, `m.yaml:4:23: match: the pattern of matches is not a text in quotes; write one text in quotes, with | between alternatives; compare texts of the alert with contains, startsWith or ==`},
		{"pattern in a variable", head + `'any(["a"], field("x") matches #)'` + rest, `m.yaml:4:35: match: the pattern of matches is not a text in quotes; write one text in quotes, with | between alternatives; compare texts of the alert with contains, startsWith or ==`},
		{"neither path nor name", head + "'true'\n    pick:\n      - {type: md5}\n", `m.yaml:6:9: a pick lacks the key "path"; or the key "name"`},
		{"path and name", head + "'true'\n    pick:\n      - {path: data.x, name: [x], type: md5}\n", `m.yaml:6:24: a pick has both "path" and "name"; keep one of them`},
		{"name is a text", head + "'true'\n    pick:\n      - {name: x, type: md5}\n", `m.yaml:6:16: name must be a list, not "x"; begin each item with a hyphen`},
		{"name with a path", head + "'true'\n    pick:\n      - {name: [a.#.b], type: md5}\n", `m.yaml:6:17: "a.#.b" can be the name of no member; write a name like src_ip, the end of one like *_ip, or one in an object like source.ip`},
		{"under without name", head + "'true'\n    pick:\n      - {path: data.x, under: data.y, type: md5}\n", `m.yaml:6:31: under and except belong to name, and this pick has a path; name members with name, or leave the key out`},
		{"except without name", head + "'true'\n    pick:\n      - {path: data.x, except: [a], type: md5}\n", `m.yaml:6:33: under and except belong to name, and this pick has a path; name members with name, or leave the key out`},
		{"under is no plain path", head + "'true'\n    pick:\n      - {name: [x], under: 'data.#', type: md5}\n", `m.yaml:6:29: under: "data.#" is not the path of an object; write names joined by dots, like data.event`},
		{"pair of a name", head + "'true'\n    pick:\n      - {name: [x], pair: data.y, type: regkey|value}\n", `m.yaml:6:27: pair belongs to path, and this pick has names; name the two values with path and pair`},
		{"when", head + "'true'\n    pick:\n      - {path: x, when: 'value == \"a\"', type: md5}\n", `m.yaml:6:26: when: unknown name value; did you mean "values"?`},
		{"decode", head + "'true'\n    pick:\n      - {path: x, decode: [base46], type: md5}\n", `m.yaml:6:28: decode: "base46" is not one of trim, lower, url, base64, utf16, hex, json, powershell, sockaddr; did you mean "base64"?`},
		{"label", strings.Replace(head, "match: ", "labels: {Severity: low, a: [b]}\n    match: ", 1) + "'true'" + rest, "m.yaml:4:14: label \"Severity\" is not a usable name; use small letters, digits and _, 40 at most\nm.yaml:4:32: label \"a\" must be a text of 1 to 256 bytes, not a list"},
		{"labels are a list", strings.Replace(head, "match: ", "labels: [a]\n    match: ", 1) + "'true'" + rest, `m.yaml:4:13: labels must be a set of keys and values, not a list; write {name: value}`},
		{"define", "version: 1\ndefine: {groups: [a], B: [a], c: acme, d: {e: f}, g: []}\nmappings:\n  - {id: a, match: 'true', pick: [{path: x, type: md5}]}\n", "m.yaml:2:10: define: \"groups\" is a name of the language; choose another\nm.yaml:2:23: define: \"B\" is not a usable name; use small letters, digits and _\nm.yaml:2:34: define: unknown name acme; write a list of texts, or an expression; a text by itself is an expression with quotes of its own: '\"acme\"'\nm.yaml:2:43: define: \"d\" must be a list or an expression, not a set of keys and values; write a list of texts, or an expression; a text by itself is an expression with quotes of its own: '\"acme\"'\nm.yaml:2:54: define: list \"g\" is empty; name some"},
		{"behind a defined name", strings.Replace(head, "mappings:", "define: {own: ['10.0.0.0/8', b], quiet: 'field(\"a\") == \"b\"'}\nmappings:", 1) + `quiet and fild("x") == "1"` + rest, `m.yaml:5:22: match: unknown name fild; did you mean "field"?`},
		{"in a defined list", strings.Replace(head, "mappings:", "define: {own: ['10.0.0.0/8', b]}\nmappings:", 1) + `in_network(agent.ip, own) and x` + rest, "m.yaml:5:42: match: unknown name x; write a text in quotes: \"x\"; a field of the alert as field(\"data.x\")"},
		{"a defined name in a name", strings.Replace(head, "mappings:", "define: {own: [b]}\nmappings:", 1) + `agent.own in own and y` + rest, `m.yaml:5:18: match: agent has no field own; use one of: id, name, ip`},
		{"lookup", head + "'true'\n    lookup: {to_ids: maybe, tgas: [a]}" + rest, "m.yaml:5:22: to_ids must be true or false, not \"maybe\"; write true or false\nm.yaml:5:29: unknown key \"tgas\" in lookup; did you mean \"tags\"?"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := engine.Load(engine.Source{Name: "m.yaml", Data: []byte(tt.yaml)})
			got := "no error"
			if err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadKeepsTheOtherFiles(t *testing.T) {
	good := "version: 1\nmappings:\n  - {id: %s, match: 'true', pick: [{path: x, type: md5}]}\n"
	e, err := engine.Load(
		engine.Source{Name: "a.yaml", Data: []byte(strings.ReplaceAll(good, "%s", "a"))},
		engine.Source{Name: "broken.yaml", Data: []byte("version: 1\n")},
		engine.Source{Name: "twice.yaml", Data: []byte(strings.ReplaceAll(good, "%s", "a"))},
		engine.Source{Name: "b.yaml", Data: []byte(strings.ReplaceAll(good, "%s", "b"))},
	)
	want := "broken.yaml:1:1: a mapping file lacks the key \"mappings\"; add the key mappings\n" +
		"twice.yaml:3:10: id \"a\" is already taken in a.yaml:3; give each mapping an id of its own"
	if err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
	var ids []string
	for _, m := range e.Mappings() {
		ids = append(ids, m.ID)
	}
	if diff := cmp.Diff([]string{"a", "b"}, ids); diff != "" {
		t.Errorf("mappings (-want +got):\n%s", diff)
	}
}

func TestSourceThatCannotBeRead(t *testing.T) {
	good := "version: 1\nmappings:\n  - {id: a, match: 'true', pick: [{path: x, type: md5}]}\n"
	e, err := engine.Load(engine.Source{Name: "zz.yaml", Err: errors.New("permission denied")}, engine.Source{Name: "a.yaml", Data: []byte(good)})
	if err == nil || err.Error() != "zz.yaml: permission denied; the file is left out; let Wazuh's user read it" || len(e.Mappings()) != 1 {
		t.Errorf("%d mappings, %v", len(e.Mappings()), err)
	}
}

// TestSiteReplacesBuiltin loads a mapping with the id of a built-in one: it takes its place, whatever the order.
func TestSiteReplacesBuiltin(t *testing.T) {
	file := func(typ string) []byte {
		return []byte("version: 1\nmappings:\n  - {id: a, match: 'true', pick: [{path: x, type: " + typ + "}]}\n")
	}
	builtin := engine.Source{Name: "builtin.yaml", Data: file("md5"), Builtin: true}
	site := engine.Source{Name: "site.yaml", Data: file("sha1")}
	for name, sources := range map[string][]engine.Source{"after": {builtin, site}, "before": {site, builtin}} {
		e, err := engine.Load(sources...)
		if err != nil || len(e.Mappings()) != 1 || e.Mappings()[0].File != "site.yaml" {
			t.Errorf("%s: %+v, %v", name, e.Mappings(), err)
		}
	}
}

func TestAliases(t *testing.T) {
	e := load(t, `
version: 1
mappings:
  - id: a
    match: "true"
    pick: &picks
      - {path: data.x, type: ip-dst}
  - id: b
    match: "true"
    pick: *picks
`)
	o, err := e.Pick([]byte(`{"data":{"x":"192.31.196.1"}}`))
	if err != nil || len(o) != 1 || len(o[0].Picks) != 2 {
		t.Errorf("got %+v, %v", o, err)
	}
}

func TestReadFS(t *testing.T) {
	fsys := fstest.MapFS{
		"b.yml": {Data: []byte("b")}, "a.yaml": {Data: []byte("a")}, "a_test.yaml": {}, ".hidden.yaml": {},
		".git/c.yaml": {}, "sub/d.yaml": {Data: []byte("d")}, "README.md": {},
	}
	got, err := engine.ReadFS(fsys, "etc")
	if err != nil {
		t.Fatal(err)
	}
	want := []engine.Source{{Name: "etc/a.yaml", Data: []byte("a")}, {Name: "etc/b.yml", Data: []byte("b")}, {Name: "etc/sub/d.yaml", Data: []byte("d")}}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(engine.Source{})); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
}

// TestReadFSOdd has a pipe, which would be waited for, and a file that is far too long in a directory of mappings. Both are
// faults, and the file beside them is loaded.
func TestReadFSOdd(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"good.yaml": one("path: data.x, type: port"), "long.yaml": "a"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(filepath.Join(dir, "long.yaml"), 1<<40); err != nil { // takes no place on the disk
		t.Fatal(err)
	}
	if err := os.Symlink("good.yaml", filepath.Join(dir, "link.yaml")); err != nil {
		t.Fatal(err)
	}
	sources, err := engine.ReadFS(os.DirFS(dir), "etc")
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Load(sources...)
	if e.Len() != 1 {
		t.Errorf("%d mappings", e.Len())
	}
	for _, want := range []string{
		"etc/pipe.yaml: not a regular file; ", "etc/long.yaml:1:1: the file has more than 33554432 bytes; split it", `etc/link.yaml:3:9: id "one" is already taken in etc/good.yaml:3`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %s", err, want)
		}
	}
}

// TestMappingsOfNoProductComeLast loads a mapping of no product before one of a product: an event names the product.
func TestMappingsOfNoProductComeLast(t *testing.T) {
	const file = `{version: 1, mappings: [{id: %, match: 'has("data.srcip")', pick: [{path: data.srcip, type: ip-src}]}]}`
	e, err := engine.Load(
		engine.Source{Name: "a.yaml", Data: []byte(strings.Replace(file, "%", "generic-a", 1))},
		engine.Source{Name: "b.yaml", Data: []byte(strings.Replace(file, "%", "product-b", 1))},
		engine.Source{Name: "c.yaml", Data: []byte(strings.Replace(file, "%", "product-c", 1))},
	)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, m := range e.Mappings() {
		ids = append(ids, m.ID)
	}
	if d := cmp.Diff([]string{"product-b", "product-c", "generic-a"}, ids); d != "" {
		t.Error(d)
	}
	observables, err := e.Pick([]byte(`{"rule":{},"data":{"srcip":"192.31.196.1"}}`))
	if err != nil || len(observables) != 1 || observables[0].Picks[0].Mapping != "product-b" {
		t.Errorf("%+v, %v", observables, err)
	}
}
