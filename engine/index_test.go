package engine

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestIndexIsSound compares the index with evaluating every mapping, over generated expressions and alerts: it
// must never keep a mapping away that would match.
func TestIndexIsSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		expressions := rapid.SliceOfN(genExpr(3), 1, 6).Draw(t, "expressions")
		var b strings.Builder
		b.WriteString("version: 1\nmappings:\n")
		for i, e := range expressions {
			quoted, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "  - id: m%d\n    match: %s\n    pick: [{path: data.x, type: port}]\n", i, quoted)
		}
		e, err := Load(Source{Name: "generated.yaml", Data: []byte(b.String())})
		if err != nil {
			t.Fatalf("%v\n%s", err, b.String())
		}
		groups := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", " a", "b ", "", "A"}), 0, 4).Draw(t, "groups")
		alert, err := json.Marshal(map[string]any{
			"rule":    map[string]any{"groups": groups, "level": rapid.IntRange(0, 3).Draw(t, "level")},
			"decoder": map[string]any{"name": rapid.SampledFrom([]string{"", "a", "b", "json"}).Draw(t, "decoder")},
			"data":    map[string]any{"x": rapid.SampledFrom([]string{"", "a", "1"}).Draw(t, "x")},
			rapid.SampledFrom([]string{"fim", "other", "data2"}).Draw(t, "object"): rapid.SampledFrom([]any{
				map[string]any{"x": "a"}, map[string]any{"x": ""}, map[string]any{"x": nil}, []any{map[string]any{"x": "b"}}, "a", nil, map[string]any{},
			}).Draw(t, "fim"),
		})
		if err != nil {
			t.Fatal(err)
		}

		r := newRun(e)
		r.alert = string(alert)
		r.readGroups()
		indexed := slices.Clone(e.index.candidates(r.groups, r.get, nil))
		r.names["groups"] = r.groups
		for i, m := range e.mappings {
			matches, _ := r.eval(m.match) // what fails does not match
			if matches && !slices.Contains(indexed, int32(i)) {
				t.Errorf("%s matches %s, but the index, which knows %+v of it, leaves it out", expressions[i], alert, m.needs)
			}
		}
	})
}

// genExpr generates boolean expressions of at most the given depth: what the index understands, what it does not,
// and all of it nested.
func genExpr(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		name := func() string { return rapid.SampledFrom([]string{`"a"`, `"b"`, `"c"`, `" a"`, `""`}).Draw(t, "name") }
		list := func() string {
			n := rapid.SliceOfN(rapid.SampledFrom([]string{`"a"`, `"b"`, `"c"`, `field("data.x")`}), 1, 3).Draw(t, "list")
			return "[" + strings.Join(n, ", ") + "]"
		}
		if depth == 0 || rapid.IntRange(0, 2).Draw(t, "leaf") == 0 {
			switch rapid.IntRange(0, 19).Draw(t, "kind") {
			case 0, 1, 2:
				return name() + " in groups"
			case 3:
				return name() + " not in groups"
			case 4:
				return name() + " in rule.groups"
			case 5:
				return "any(groups, # == " + name() + ")"
			case 6:
				return "any(groups, # in " + list() + " or # == " + name() + ")"
			case 7:
				return "all(groups, # == " + name() + ")"
			case 8:
				return "none(groups, # == " + name() + ")"
			case 9:
				return "decoder.name == " + name()
			case 10:
				return "decoder.name in " + list()
			case 11:
				return name() + " != decoder.name"
			case 12:
				return rapid.SampledFrom([]string{"true", "false"}).Draw(t, "constant")
			case 13:
				return "field(\"data.x\") in groups"
			case 14:
				return "rule.level > 1"
			case 15:
				return rapid.SampledFrom([]string{`has("fim.x")`, `has("fim.#.x")`, `has("fim.0.x")`, `has("fi*.x")`, `has("data.x")`}).Draw(t, "has")
			case 16:
				return `field("fim.x") == ` + name()
			case 17:
				return `field("fim.x") in ` + list()
			case 18:
				return name() + ` == field("fim.#.x")`
			default:
				return "int(field(\"data.x\")) == 1" // fails on most alerts
			}
		}
		sub := func() string { return "(" + genExpr(depth-1).Draw(t, "sub") + ")" }
		switch rapid.IntRange(0, 7).Draw(t, "operator") {
		case 0, 1:
			return sub() + " and " + sub()
		case 2:
			return sub() + " || " + sub()
		case 3:
			return sub() + " or " + sub()
		case 4:
			return "not " + sub()
		case 5:
			return sub() + " ? " + sub() + " : " + sub()
		case 6:
			return sub() + " == " + sub()
		default:
			return "let v = " + sub() + "; v"
		}
	})
}

func TestIndexKnowsWhatItCan(t *testing.T) {
	for expr, want := range map[string]string{
		`"a" in groups`:                                         "a",
		`"a" in groups and field("x") == "1"`:                   "a",
		`field("x") == "1" && ("a" in groups or "b" in groups)`: "a b",
		`("a" in groups or "b" in groups) and "c" in groups`:    "c",
		`any(groups, # in ["a", "b"])`:                          "a b",
		`any(rule.groups, # == "a" and field("x") == "1")`:      "a",
		`decoder.name == "d" or "a" in groups`:                  "decoder:d a",
		`decoder.name in ["d", "e"]`:                            "decoder:d decoder:e",
		`false`:                                                 "never",
		`"a" in groups or field("x") == "1"`:                    "always",
		`not ("a" in groups)`:                                   "always",
		`has("syscheck.path")`:                                  "object:syscheck",
		`has("data.path")`:                                      "always",
		`has("syscheck")`:                                       "always",
		`field("syscheck.event") == "added"`:                    "object:syscheck",
		`field("syscheck.event") in ["added", "deleted"]`:       "object:syscheck object:syscheck",
		`field("syscheck.event") in ["added", ""]`:              "always",
		`field("syscheck.event") == ""`:                         "always",
		`field("syscheck.event") != "added"`:                    "always",
		`has("#.path")`:                                         "always",
		`"a" in groups ? "b" in groups : "c" in groups`:         "b c",
	} {
		e, err := Load(Source{Name: "t", Data: fmt.Appendf(nil, "version: 1\nmappings:\n  - id: m\n    match: %q\n    pick: [{path: x, type: port}]\n", expr)})
		if err != nil {
			t.Error(err)
			continue
		}
		var got []string
		n := e.mappings[0].needs
		for _, a := range n.anyOf {
			if a.kind != anchorGroup {
				a.name = string(a.kind) + ":" + a.name
			}
			got = append(got, a.name)
		}
		switch {
		case !n.known:
			got = []string{"always"}
		case len(n.anyOf) == 0:
			got = []string{"never"}
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("%s is filed under %q, want %q", expr, g, want)
		}
	}
}
