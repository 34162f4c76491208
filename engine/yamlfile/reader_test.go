package yamlfile

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v4"
)

// A recipe has a field of every kind that Decode knows.
type recipe struct {
	_           struct{}     `what:"a recipe"`
	Name        Scalar       `key:"name" need:"true" pattern:"short" doc:"what it is called"`
	Tags        []Scalar     `key:"tags" doc:"a | b" enum:"tag"`
	Vegan       *bool        `key:"vegan" doc:"no animals"`
	Ingredients []ingredient `key:"ingredients" empty:"ok" doc:"what is in it"`
	Oven        *oven        `key:"oven" doc:"how it is baked"`
	Notes       *yaml.Node   `key:"notes" doc:"anything"`
	Version     Scalar       `key:"version" enum:"version" doc:"1"`

	Unread string // without a tag, so not a key
}

type ingredient struct {
	_      struct{} `what:"an ingredient" short:"what"`
	What   Scalar   `key:"what" need:"true" doc:"its name"`
	Amount Scalar   `key:"amount" doc:"how much"`
}

type oven struct {
	Degrees Scalar `key:"degrees" need:"true" doc:"temperature, in degrees Celsius"`
}

// readRecipe reads a recipe and returns it with its faults.
func readRecipe(text string) (recipe, Faults) {
	r := NewReader("r.yaml", []byte(text))
	var got recipe
	if top := r.Document(); top != nil {
		r.Decode(top, &got)
	}
	return got, r.Faults()
}

func TestDecode(t *testing.T) {
	t.Parallel()
	got, faults := readRecipe("name: bread\ntags: [a, 'b', 3]\nvegan: True\ningredients:\n  - {what: flour, amount: 500}\n  - what: salt\n  - water\n" +
		"oven:\n  degrees: 230\nnotes: [1, {a: b}]\n")
	if faults != nil {
		t.Fatal(faults)
	}
	yes := true
	want := recipe{
		Name: Scalar{Value: "bread"}, Tags: []Scalar{{Value: "a"}, {Value: "b"}, {Value: "3"}}, Vegan: &yes,
		Ingredients: []ingredient{{What: Scalar{Value: "flour"}, Amount: Scalar{Value: "500"}}, {What: Scalar{Value: "salt"}}, {What: Scalar{Value: "water"}}},
		Oven:        &oven{Degrees: Scalar{Value: "230"}},
	}
	options := cmp.Options{
		cmpopts.IgnoreFields(Scalar{}, "Node"), cmpopts.IgnoreFields(recipe{}, "Notes", "Unread"),
		cmpopts.IgnoreUnexported(recipe{}, ingredient{}),
	}
	if diff := cmp.Diff(want, got, options); diff != "" {
		t.Errorf("recipe (-want +got):\n%s", diff)
	}
	if got.Notes == nil || got.Notes.Kind != yaml.SequenceNode || len(got.Notes.Content) != 2 {
		t.Errorf("notes are %+v", got.Notes)
	}
	if !got.Name.Given() || got.Version.Given() {
		t.Error("Given is wrong")
	}
	if n := got.Ingredients[1].What.Node; n.Line != 6 || n.Column != 11 {
		t.Errorf("salt is at %d:%d", n.Line, n.Column)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "1:1: the file is empty; write something into it, or remove it"},
		{"only blanks", " \r\n\t\n", "1:1: the file is empty; write something into it, or remove it"},
		{"only a byte order mark", byteOrderMark + "\n", "1:1: the file is empty; write something into it, or remove it"},
		{"only comments", "# a\n# b\n", "1:1: the file has only comments"},
		{"an empty document", "---\n...\n", "1:1: the file has only comments"},
		{"two documents", "name: a\n---\nname: b\n", "2:1: a second YAML document begins here; make a file of each"},
		{"two documents behind a comment", "# a recipe\n---\nname: a\n--- # another\nname: b\n", "4:1: a second YAML document begins here; make a file of each"},
		{"two documents behind a directive", "%YAML 1.1\n---\nname: a\n---\nname: b\n", "4:1: a second YAML document begins here; make a file of each"},
		{"an ended document and another", "name: a\n...\n\n# b\nname: b\n", "5:1: a second YAML document begins here; make a file of each"},
		{"an ended document", "---\nname: a\n...\n", ""},
		{"a key that begins like a document", "name: a\n---tags: [a]\n", `2:1: unknown key "---tags" in a recipe; did you mean "tags"?`},
		{"a list at the top", "- name: a\n", "1:1: a recipe must be a set of keys and values, not a list; write KEY: VALUE, each on a line of its own"},
		{"a text at the top", "bread\n", `1:1: a recipe must be a set of keys and values, not "bread"; write KEY: VALUE, each on a line of its own`},
		{"a long text at the top", strings.Repeat("x", 41), `1:1: a recipe must be a set of keys and values, not a text; write KEY: VALUE, each on a line of its own`},
		{"an empty text at the top", "''", `1:1: a recipe must be a set of keys and values, not empty; write KEY: VALUE, each on a line of its own`},

		{"byte order mark", byteOrderMark + "nam: a\n", `1:1: unknown key "nam" in a recipe; did you mean "name"?`},
		{"byte order mark and a flow mapping", byteOrderMark + "{name: a, vegn: b}\n", `1:11: unknown key "vegn" in a recipe; did you mean "vegan"?`},
		{"CRLF", "name: a\r\nvegn: true\r\n", `2:1: unknown key "vegn" in a recipe; did you mean "vegan"?`},
		{"CR", "name: a\rvegn: true\r", `2:1: unknown key "vegn" in a recipe; did you mean "vegan"?`},
		{"other line breaks", "name: a\u0085tags: [a]\u2028vegn: true\n", `3:1: unknown key "vegn" in a recipe; did you mean "vegan"?`},
		{"a tab for indentation", "name: a\ningredients:\n\t- what: b\n", "3:1: not YAML: while scanning for the next token: found character that cannot start any token; indent with spaces, not tabs"},
		{"a tab behind spaces", "name: a\ningredients:\n  - what: b\n \t- what: c\n", "4:2: not YAML: while scanning a plain scalar: found a tab character that violates indentation; indent with spaces, not tabs"},
		{"tabs elsewhere", "name:\ta\ntags:\t[\tb\t]\n", ""},
		{"not UTF-8", "name: a\ntags: [é\xff]\n", "2:9: not UTF-8; save the file as UTF-8"},
		{"half a surrogate", "name: \xed\xa0\x80\n", "1:7: not UTF-8; save the file as UTF-8"},
		{"UTF-16", "\xff\xfen\x00a\x00m\x00e\x00:\x00 \x00a\x00", "1:1: not UTF-8; save the file as UTF-8"},
		{"UTF-16 without a mark", "n\x00a\x00", `1:2: not YAML: control character U+0000; take it out, or write it in double quotes, as "\x00"`},
		{"a control character", "# é\nname: a\x1b[31m\n", `2:8: not YAML: control character U+001B; take it out, or write it in double quotes, as "\x1b"`},
		{"a quote that is not closed", "name: a\ntags: \"b\n\n\n", "2:7: not YAML: while scanning a quoted scalar: found unexpected end of stream; something is not closed"},
		{"a bracket that is not closed", "name: a\ntags: [b\n", "2:7: not YAML: while parsing a flow sequence: did not find expected ',' or ']'; something is not closed"},
		{"a colon too many", "name: a: b\n", "1:8: not YAML: mapping values are not allowed in this context; a value with a colon and a blank needs quotes; write name: 'a: b'"},
		{"an unknown anchor", "name: *a\n", "1:7: not YAML: unknown anchor 'a' referenced; mark the value that it stands for with & and the same name, in a line above"},

		{"unknown keys", "name: a\nnaem: b\nsomething else: c\n", "2:1: unknown key \"naem\" in a recipe; did you mean \"name\"?\n" +
			`3:1: unknown key "something else" in a recipe; use one of: ingredients, name, notes, oven, tags, vegan, version`},
		{"a key that is missing", "vegan: true\n", `1:1: a recipe lacks the key "name"; add the key name`},
		{"a key that is misspelt and so missing", "vegan: true\nnam: a\n", `2:1: unknown key "nam" in a recipe; did you mean "name"?`},
		{"a key that is missing further in", "name: a\ningredients:\n  - amount: 1\n", `3:5: an ingredient lacks the key "what"; add the key what`},
		{"a key in the struct without a tag", "name: a\nunread: b\n", `2:1: unknown key "unread" in a recipe; use one of: ingredients, name, notes, oven, tags, vegan, version`},
		{"a key three times", "name: a\nname: b\nname: c\n", "2:1: key \"name\" is given twice, first in line 1; keep one of them\n3:1: key \"name\" is given twice, first in line 1; keep one of them"},
		{"a key twice, first wrong", "name: [a]\nname: b\n", "1:7: name must be a text, not a list; write one value\n2:1: key \"name\" is given twice, first in line 1; keep one of them"},
		{"keys without a value", "name:\ntags: ~\nvegan: null\n", "1:1: key \"name\" has no value; give it a value or leave the key out\n" +
			"2:1: key \"tags\" has no value; give it a value or leave the key out\n3:1: key \"vegan\" has no value; give it a value or leave the key out"},
		{"a list for a key", "name: a\n? [b]\n: c\n", "2:3: a key of a recipe must be a text, not a list; write a name"},
		{"an alias for a key", "&n name: a\n*n : b\n", "2:1: a key of a recipe must be a text, not an alias; write a name"},
		{"a merge key", "<<: {name: a}\n", "1:1: merge keys are not supported; name an anchor as the value of a key, like pick: *picks"},
		{"a key that looks like a merge key", "name: a\n'<<': b\n", `2:1: unknown key "<<" in a recipe; use one of: ingredients, name, notes, oven, tags, vegan, version`},
		{"a text for a list", "name: a\ntags: b\n", `2:7: tags must be a list, not "b"; begin each item with a hyphen`},
		{"an object for a list", "name: a\ntags: {b: c}\n", "2:7: tags must be a list, not a set of keys and values; begin each item with a hyphen"},
		{"lists for texts", "name: [a]\ntags: [b, [c], {d: e}]\n", "1:7: name must be a text, not a list; write one value\n2:11: an item of tags must be a text, not a list; write one value\n" +
			"2:16: an item of tags must be a text, not a set of keys and values; write one value"},
		{"empty lists", "name: a\ntags: []\ningredients: []\n", "2:7: tags is empty; write at least one item"},
		{"a text for a boolean", "name: a\nvegan: 'true'\n", `2:8: vegan must be true or false, not "true"; write true or false`},
		{"a word for a boolean", "name: a\nvegan: yes\n", `2:8: vegan must be true or false, not "yes"; write true or false`},
		{"a word that a tag makes a boolean", "name: a\nvegan: !!bool yes\n", `2:8: vegan must be true or false, not "yes"; write true or false`},
		{"a text for an object", "name: a\noven: hot\n", `2:7: oven must be a set of keys and values, not "hot"; write KEY: VALUE, each on a line of its own`},
		{"faults in the order of the file", "vegan: 1\ntags: 2\nname: [3]\n", "1:8: vegan must be true or false, not \"1\"; write true or false\n" +
			"2:7: tags must be a list, not \"2\"; begin each item with a hyphen\n3:7: name must be a text, not a list; write one value"},

		{"aliases", "name: &a b\ntags: &t [*a, c]\nnotes: *t\n", ""},
		{"an alias of the wrong kind", "notes: &n [a]\nname: *n\n", "2:7: name must be a text, not a list; write one value"},
		{"a fault that two aliases repeat", "name: a\nnotes: &i [{wath: b}]\ningredients: *i\n", `2:13: unknown key "wath" in an ingredient; did you mean "what"?`},
		{"an alias of what it is in", "name: a\ningredients: &i\n  - what: *i\n", "3:11: what must be a text, not a list; write one value"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, faults := readRecipe(tt.text)
			if diff := cmp.Diff(tt.want, strings.ReplaceAll(faults.Error(), "r.yaml:", "")); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDeepNesting reads what is nested more deeply than anybody writes.
func TestDeepNesting(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ text, want string }{
		"deep":     {"name: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000), "1:7: name must be a text, not a list; write one value"},
		"too deep": {"name: " + strings.Repeat("[", 20_000), "1:10007: not YAML: while increasing flow level: exceeded max depth of 10000; nest less"},
		"deep and open": {
			strings.Repeat("{a: ", 5000),
			"1:19999: not YAML: while parsing a flow node: did not find expected node content; something is not closed",
		},
	} {
		_, faults := readRecipe(tt.text)
		if diff := cmp.Diff(tt.want, strings.ReplaceAll(faults.Error(), "r.yaml:", "")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestAliasesAreBounded reads files that aliases make larger and larger, and one that is large without them.
func TestAliasesAreBounded(t *testing.T) {
	t.Parallel()
	type shelf struct {
		_       struct{} `what:"a shelf"`
		Recipes []recipe `key:"recipes" need:"true"`
	}
	read := func(text string) (shelf, Faults) {
		r := NewReader("s.yaml", []byte(text))
		var s shelf
		r.Decode(r.Document(), &s)
		if r.visits > r.limit+10 {
			t.Errorf("%d nodes were read, %d are allowed", r.visits, r.limit)
		}
		return s, r.Faults()
	}

	one := "  - name: a\n    ingredients: &i\n" + strings.Repeat("      - &w {what: b, amount: c}\n", 1000)
	s, faults := read("recipes:\n" + one + strings.Repeat("  - {name: a, ingredients: *i}\n", 1000))
	want := fmt.Sprintf("the file has more than %d nodes once its aliases are followed; write less by aliases", maxRepeats)
	if len(faults) == 0 || faults[0].Sentence() != want {
		t.Errorf("faults: %v", faults)
	}
	total := 0
	for _, r := range s.Recipes {
		total += len(r.Ingredients)
	}
	if total > maxRepeats {
		t.Errorf("%d ingredients were read", total)
	}

	if s, faults := read("recipes:\n" + strings.Repeat("  - {name: a, tags: [b, c], ingredients: [{what: d}]}\n", 12_000)); len(faults) > 0 || len(s.Recipes) != 12_000 {
		t.Errorf("a large file without aliases: %d recipes, %v", len(s.Recipes), faults)
	}
}

func TestLargeFile(t *testing.T) {
	t.Parallel()
	_, faults := readRecipe("name: a\n#" + strings.Repeat("a", MaxSize+1-len("name: a\n#")))
	if want := "r.yaml:1:1: the file has more than 33554432 bytes; split it"; faults.Error() != want {
		t.Errorf("%v, want %s", faults, want)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	r := NewReader("r.yaml", []byte("name: 'a b'\ntags: &t [c]\nnotes: *t\n"))
	var got recipe
	r.Decode(r.Document(), &got)
	for range 2 {
		r.Warn(got.Tags[0].Node, "leave it out", "tag %q is odd", "c")
		r.WarnIn(got.Name, 2, "", "b is odd")
	}
	if r.Failed() {
		t.Error("warnings alone are a failure")
	}
	r.FaultAt(3, 1, "", "notes are wrong")
	r.Warn(got.Tags[0].Node, "leave it out", "tag %q is odd", "c")
	want := "r.yaml:1:10: warning: b is odd\nr.yaml:2:11: warning: tag \"c\" is odd; leave it out\nr.yaml:3:1: notes are wrong"
	if diff := cmp.Diff(want, r.Faults().Error()); diff != "" || !r.Failed() || r.Noted() != 6 {
		t.Errorf("failed %t, noted %d, faults (-want +got):\n%s", r.Failed(), r.Noted(), diff)
	}
}

// TestZeroValues uses what a caller can make without this package.
func TestZeroValues(t *testing.T) {
	t.Parallel()
	var r Reader
	if n := r.Document(); n != nil || r.Faults().Error() != ":1:1: the file is empty; write something into it, or remove it" {
		t.Errorf("%v, %v", n, r.Faults())
	}
	r.FaultIn(Scalar{}, 3, "", "wrong")
	r.Warn(nil, "", "odd")
	if want := ":1:1: the file is empty; write something into it, or remove it\n:1:1: wrong\n:1:1: warning: odd"; r.Faults().Error() != want {
		t.Errorf("faults %v, want %s", r.Faults(), want)
	}
	if schema, text := (Shape{}).JSONSchema(), (Shape{}).Markdown(1); len(schema) > 0 || text != "" {
		t.Errorf("the zero shape has %v, %q", schema, text)
	}
	if s := (Fault{}).Snippet(); s != "" {
		t.Errorf("snippet %q", s)
	}
}

func TestFaultJSON(t *testing.T) {
	t.Parallel()
	_, faults := readRecipe("nam: a\n")
	got, err := json.Marshal(faults)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"warning":false,"file":"r.yaml","line":1,"column":1,"message":"unknown key \"nam\" in a recipe","remedy":"did you mean \"name\"?"}]`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
}
