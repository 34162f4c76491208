package engine

import "testing"

// TestPathFault has paths that people write, and whether each can lead to a value.
func TestPathFault(t *testing.T) {
	for path, want := range map[string]string{
		`data.srcip`: "", `data.id\.orig_h`: "", `data.win.eventdata.threat Name`: "", `data.items.#.value`: "", `data.**.dst`: "", `data.*.dst`: "",
		`data.items.#(type=="ip")#.value`: "", `data.items.#(type="ip").value`: "", `data.items|#.value`: "", `data.acme|@values`: "",
		`@timestamp`: "", `data.@timestamp`: "", `[data.a,data.b]`: "", `data.[a,b]`: "", `data.items.#`: "", `data.items.0.value`: "",
		`data.k8s.app\.kubernetes\.io/name`: "", `data.items.#(a="x")#|#(b="y")#.v`: "", `data.#(n=="a,b").c`: "",

		`"data.dst"`: "remove the quotes inside: data.dst", `field("data.dst")`: "write only the path: data.dst", `${data.dst}`: "write only the path: data.dst",
		`{{ data.dst }}`: "write only the path: data.dst", `lower(data.dst)`: "a path is no expression and calls no function; write only the path: data.dst",
		`data/acme/dst`: "write it with dots: data.acme.dst", `/data/dst`: "write it with dots: data.dst", `data["dst"]`: "write it with dots: data.dst",
		`data.items[*].v`: "write array indexes as .0 and all items as .#", `data.items.[0].v`: "write array indexes as .0 and all items as .#",
		`data.items[?(@.type=="ip")].value`: `this is JSONPath; write a condition on the items of an array as items.#(type=="ip")#.value`,
		`data.items.#(type=='ip')#.value`:   `write texts in a query in double quotes: #(type=="ip")`,
		`data.items.#(type=="ip".value`:     `the bracket of #( is not closed; write items.#(type=="ip")#.value`,
		`data.items#.value`:                 "write all items of an array as .# : data.items.#.value",
		`data.items.#value`:                 "write all items of an array as .#. : data.items.#.value",
		`data.b64|@base64d`:                 "name the field alone, and write decode: [base64] into the pick",
		`data.b64 | b64decode`:              "name the field alone, and write decode: [base64] into the pick",
		`data.x|@urldecode`:                 "name the field alone, and write decode: [url] into the pick",
		`data.b64|@zip`:                     "gjson has no modifier @zip; it has @pretty, @ugly, @reverse, @this, @flatten, @join, @valid, @keys, @values, @tostr, @fromstr, @group, @dig",
		`data.x|tolower`:                    "name the field alone, and write decode: [lower] into the pick",
		`data.x|upper`:                      "a path has no filters behind a bar; name the field alone",
		`data.a,data.b`:                     `write one path, and a pick of its own for each field; a comma in the name of a field as \,`,
		`data.type == "x"`:                  `a path is no condition; put it into match or keep, or compare the items of an array with a query: items.#(type=="ip")#.value`,
	} {
		if got := pathFault(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
