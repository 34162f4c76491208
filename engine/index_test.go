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
// must never miss a mapping that matches.
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
		r.read(string(alert))
		indexed := slices.Clone(e.index.candidates(r, nil))
		for i, m := range e.mappings {
			matches, _ := r.eval(m.match) // what fails does not match
			if direct := m.match.direct; direct != nil {
				m.match.direct = nil
				if slow, err := r.eval(m.match); err != nil || slow != matches {
					t.Errorf("%s of %s: %t directly, %t, %v by expr-lang", expressions[i], alert, matches, slow, err)
				}
				m.match.direct = direct
			}
			if matches && !slices.Contains(indexed, int32(i)) {
				t.Errorf("%s matches %s, but the index, which has %+v for it, misses it", expressions[i], alert, m.needs)
			}
		}
	})
}

// genExpr generates boolean expressions of at most the given depth: what the index understands, what it does not,
// and all of it nested.
func genExpr(depth int) *rapid.Generator[string] {
	leaf := rapid.OneOf(leafExprs()...)
	if depth == 0 {
		return leaf
	}
	sub := rapid.Map(rapid.Deferred(func() *rapid.Generator[string] { return genExpr(depth - 1) }),
		func(e string) string { return "(" + e + ")" })
	nested := rapid.OneOf(
		genFormat("%s and %s", sub, sub),
		genFormat("%s and %s", sub, sub), // the commonest
		genFormat("%s || %s", sub, sub),
		genFormat("%s or %s", sub, sub),
		genFormat("not %s", sub),
		genFormat("%s ? %s : %s", sub, sub, sub),
		genFormat("%s == %s", sub, sub),
		genFormat("let v = %s; v", sub),
	)
	return rapid.OneOf(leaf, nested, nested)
}

// leafExprs are generators of expressions without a boolean operator.
func leafExprs() []*rapid.Generator[string] {
	name := rapid.SampledFrom([]string{`"a"`, `"b"`, `"c"`, `" a"`, `""`})
	list := rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]string{`"a"`, `"b"`, `"c"`, `field("data.x")`}), 1, 3),
		func(items []string) string { return "[" + strings.Join(items, ", ") + "]" })
	return []*rapid.Generator[string]{
		genFormat("%s in groups", name),
		genFormat("%s in groups", name), // the commonest
		genFormat("%s in groups", name),
		genFormat("%s not in groups", name),
		genFormat("%s in rule.groups", name),
		genFormat("any(groups, # == %s)", name),
		genFormat("any(groups, # in %s or # == %s)", list, name),
		genFormat("all(groups, # == %s)", name),
		genFormat("none(groups, # == %s)", name),
		genFormat("decoder.name == %s", name),
		genFormat("decoder.name in %s", list),
		genFormat("%s != decoder.name", name),
		rapid.SampledFrom([]string{"true", "false"}),
		rapid.Just(`field("data.x") in groups`),
		rapid.Just("rule.level > 1"),
		rapid.SampledFrom([]string{`has("fim.x")`, `has("fim.#.x")`, `has("fim.0.x")`, `has("fi*.x")`, `has("data.x")`}),
		genFormat(`field("fim.x") == %s`, name),
		genFormat(`field("fim.x") in %s`, list),
		genFormat(`%s == field("fim.#.x")`, name),
		genFormat(`field("data.x") startsWith %s`, name),
		genFormat("%s %s", rapid.SampledFrom([]string{`field("fim.x") !=`, `field("fim.x") matches`, `decoder.name matches`, `decoder.name startsWith`}), name),
		genFormat("any(groups, # startsWith %s)", name),
		rapid.Just(`int(field("data.x")) == 1`), // fails on most alerts
	}
}

// genFormat generates a format with generated texts in it.
func genFormat(format string, parts ...*rapid.Generator[string]) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		texts := make([]any, len(parts))
		for i, p := range parts {
			texts[i] = p.Draw(t, "part")
		}
		return fmt.Sprintf(format, texts...)
	})
}

func TestIndexKnowsWhatItCan(t *testing.T) {
	for expr, want := range map[string]string{
		`"a" in groups`:                                         `group a`,
		`"a" in groups and field("x") == "1"`:                   `group a ; field x "1"`,
		`field("x") == "1" && ("a" in groups or "b" in groups)`: `field x "1" ; group a group b`,
		`("a" in groups or "b" in groups) and "c" in groups`:    `group a group b ; group c`,
		`any(groups, # in ["a", "b"])`:                          `group a group b`,
		`any(rule.groups, # == "a" and field("x") == "1")`:      `group a`,
		`decoder.name == "d" or "a" in groups`:                  `decoder d group a`,
		`decoder.name in ["d", "e"]`:                            `decoder d decoder e`,
		`false`:                                                 "never",
		`"a" in groups or field("x") == "1"`:                    `group a field x "1"`,
		`"a" in groups or field("x") != "1"`:                    "always",
		`not ("a" in groups)`:                                   "always",
		`has("syscheck.path")`:                                  `object syscheck`,
		`has("data.path")`:                                      `field data.path`,
		`has("data.path.deep")`:                                 `field data.path`,
		`has("data.list.#.x")`:                                  `field data.list`,
		`has("data.*.x")`:                                       "always",
		`has("data")`:                                           "always",
		`has("data.a") and has("data.b") or "g" in groups`:      `field data.a group g ; field data.b group g`,
		`has("syscheck")`:                                       "always",
		`field("syscheck.event") == "added"`:                    `object syscheck ; field syscheck.event "added"`,
		`field("data.#.event") == "added"`:                      "always",
		`field("syscheck.event") in ["added", "deleted"]`:       `object syscheck ; field syscheck.event "added" field syscheck.event "deleted"`,
		`field("syscheck.event") in ["added", ""]`:              "always",
		`field("syscheck.event") == ""`:                         "always",
		`field("syscheck.event") != "added"`:                    "always",
		`has("#.path")`:                                         "always",
		`"a" in groups ? "b" in groups : "c" in groups`:         `group b group c`,
	} {
		e, err := Load(Source{Name: "t", Data: fmt.Appendf(nil, "version: 1\nmappings:\n  - id: m\n    match: %q\n    pick: [{path: x, type: port}]\n", expr)})
		if err != nil {
			t.Error(err)
			continue
		}
		var got []string
		n := e.mappings[0].needs
		for _, set := range n {
			for _, a := range set {
				got = append(got, a.String())
			}
			got = append(got, ";")
		}
		switch {
		case len(n) == 0:
			got = []string{"always"}
		case n.never():
			got = []string{"never"}
		}
		if g := strings.TrimSuffix(strings.Join(got, " "), " ;"); g != want {
			t.Errorf("%s requires %q, want %q", expr, g, want)
		}
	}
}
