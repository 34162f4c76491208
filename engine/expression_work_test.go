package engine

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestWorkOfExpressions picks with expressions whose work an alert can multiply. Each ends soon: the mapping is cut or has an
// error, or the alert is small enough. The mapping behind it picks in any case.
func TestWorkOfExpressions(t *testing.T) {
	t.Parallel()
	numbers := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "%d,", i)
		}
		return b.String()
	}
	rng, random := rand.New(rand.NewPCG(1, 2)), make([]byte, 60_000)
	for i := range random {
		random[i] = "ab"[rng.IntN(2)]
	}
	letters := string(random)
	const cut, result = "cut", "a result is longer than"
	for name, tt := range map[string]struct {
		match, x string
		err      string // "" for none, cut for a cut
	}{
		"loop over a few":         {`len(filter(split(field("x"), ","), # != "")) == 100`, numbers(100), ""},
		"loop over many":          {`len(filter(split(field("x"), ","), # != "")) == 10_000`, numbers(10_000), ""},
		"loop over too many":      {`len(filter(split(field("x"), ""), split(field("x"), "") != [#])) == 5`, numbers(10_000), cut},
		"loop in a loop":          {`any(split(field("x"), ","), any(split(field("x"), ","), # == "none"))`, numbers(2000), cut},
		"loop over a range":       {`all(1..90000, field("x") contains "zz")`, "zz" + numbers(1000), cut},
		"sum of texts":            {`len(reduce(1..90000, #acc + field("x"), "")) == 0`, numbers(1000), cut},
		"unique of a few":         {`len(uniq(split(field("x"), ","))) == 101`, numbers(100), ""},
		"unique of many":          {`len(uniq(split(field("x"), ","))) > 0`, numbers(10_000), result},
		"repeat":                  {`repeat(field("x"), len(field("x"))) != ""`, strings.Repeat("x", 60_000), result},
		"repeat a little":         {`repeat(field("x"), 3) == "abcabcabc"`, "abc", ""},
		"replace of nothing":      {`replace(field("x"), "", field("x")) != ""`, strings.Repeat("x", 60_000), result},
		"replace":                 {`replace(field("x"), "b", "d") == "adc"`, "abc", ""},
		"join":                    {`join(split(field("x"), ""), field("x")) != ""`, strings.Repeat("x", 60_000), result},
		"trim":                    {`trim(field("x"), field("x")) == ""`, strings.Repeat("é", 30_000), result},
		"patterns in a loop":      {`any(groups, field("x") matches "(?:ab|a|b)*c$") or all(1..5000, not (field("x") matches "(?:ab|a|b)*c$"))`, strings.Repeat("ab", 30_000), cut},
		"large pattern":           {strings.Repeat(`lower(field("x")) matches "^(?:a?){900}$" or `, 19) + `lower(field("x")) matches "^(?:a?){900}$"`, strings.Repeat("a", 60_000), cut},
		"large pattern, directly": {strings.Repeat(`field("x") matches "^(?:a?){900}$" or `, 20) + "false", strings.Repeat("a", 60_000), cut},
		"pattern of many states":  {strings.Repeat(`field("x") matches "(?:a|b)*a(?:a|b){300}c" or `, 20) + "false", "c" + letters, cut},
		"repeats in a loop":       {`any(1..60000, len(repeat("ab", 500000)) == 0)`, "", cut},
		"list of repeats":         {`len(map(1..60000, split(repeat("ab", 500000), ""))) == 0`, "", cut},
		"lower in a loop":         {`any(1..60000, lower(field("x")) == "z")`, strings.Repeat("A", 60_000), cut},
		"names in a loop":         {`any(1..60000, is_domain(repeat("a.", 400000)))`, "", cut},
		"sort in a loop":          {`let l = split(field("x"), ""); any(1..60000, len(sort(l)) == 0)`, strings.Repeat("ba", 10_000), cut},
		"sortBy":                  {`let l = split(field("x"), ""); any(1..60000, len(sortBy(l, #)) == 0)`, strings.Repeat("ba", 10_000), "memory budget exceeded"},
		"list in a loop":          {`let l = split(field("x"), ""); any(1..60000, "none" in l)`, strings.Repeat("ba", 10_000), cut},
		"equal lists":             {`let l = split(field("x"), ""); any(1..60000, l != l)`, strings.Repeat("ba", 10_000), cut},
		"sum of doubles":          {`let a = field("x"); let b = a + a; let c = b + b; let d = c + c; let e = d + d; let f = e + e; len(f + f + f + f + f + f) == 0`, strings.Repeat("ba", 500_000), cut},
		"nested lists":            {`let a = [field("x")]; let b = [a, a, a, a, a, a, a, a]; let c = [b, b, b, b, b, b, b, b]; let d = [c, c, c, c, c, c, c, c]; let e = [d, d, d, d, d, d, d, d]; [e, e, e, e, e, e, e, e] == [e]`, strings.Repeat("x", 1000), cut},
		"JSON of a list":          {`let l = split(field("x"), ""); any(1..60000, toJSON(l) == "")`, strings.Repeat("ba", 10_000), cut},
		"path of the alert":       {`any(1..60000, field(string(#) + "|@this") == "none")`, strings.Repeat("ba", 30_000), cut},
		"groups":                  {`all(1..60000, len(groupBy(groups, #)) == 1)`, "", cut},
		"name of a label":         {`is_domain(field("x"))`, strings.Repeat("é", 30_000), ""},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := Load(Source{Name: "m.yaml", Data: fmt.Appendf(nil, "version: 1\nmappings:\n  - id: a\n    match: '%s'\n    pick: [{path: y, type: port}]\n"+
				"  - id: sound\n    match: has(\"y\")\n    pick: [{path: y, type: port}]\n", tt.match)})
			if err != nil {
				t.Fatal(err)
			}
			alert := fmt.Appendf(nil, `{"rule":{"groups":["a"]},"x":%q,"y":22}`, tt.x)
			found, cuts, err := e.PickWithCuts(alert)
			if got := slices.Contains(cuts, Cut{"a", "", CutWork, 1}); got != (tt.err == cut) || len(cuts) > 1 {
				t.Errorf("cuts %v, want %q", cuts, tt.err)
			}
			if want := tt.err != "" && tt.err != cut; (err != nil) != want || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if len(found) != 1 || !slices.Contains(found[0].Picks, Pick{Mapping: "sound", Path: "y", Type: "port"}) {
				t.Errorf("the sound mapping picked %v", found)
			}
		})
	}
}

// TestWorkOfCandidates has picks whose keep is costly for each of many candidates, and counts the rounds and the bytes of
// texts that it compares. They were bounded for each candidate alone: these had 5,000,000 rounds, with up to 300 GB of texts.
func TestWorkOfCandidates(t *testing.T) {
	t.Parallel()
	var groups, values strings.Builder
	for i := range 500 {
		fmt.Fprintf(&groups, `"g%d",`, i)
	}
	for i := range 5000 {
		fmt.Fprintf(&values, "45.9.%d.%d;", i>>8, i&255)
	}
	alert := fmt.Appendf(nil, `{"rule":{"groups":[%s]},"x":%q,"y":22}`, strings.TrimSuffix(groups.String(), ","), values.String())
	for keep, most := range map[string]int{ // rounds
		`has("y") and any(groups, has("y") and value contains #)`:                    200_000,
		`any(groups, has("y") and field("x") contains (value + #))`:                  1000,
		`not has("y") or any(groups, has("y") and lower(field("x")) == value)`:       1000,
		`any(groups, any(groups, has("y") and (value + #) == "none"))`:               200_000,
		`has("y") and field("x") matches "none" or field("x") contains (value + "")`: 1000,
	} {
		e, err := Load(Source{Name: "m.yaml", Data: fmt.Appendf(nil, "version: 1\nmappings:\n"+
			"  - id: a\n    match: \"true\"\n    pick: [{path: x, type: ip-src, split: \";\", keep: '%[1]s'}, {path: x, type: ip-src, split: \";\", keep: '%[1]s'}]\n"+
			"  - id: sound\n    match: \"true\"\n    pick: [{path: y, type: port, keep: 'len(value) < 5'}]\n", keep)})
		if err != nil {
			t.Fatal(err)
		}
		rounds := 0
		r := newRun(e)
		has := r.names["has"].(func(string) bool)
		r.names["has"] = func(path string) bool { rounds++; return has(path) }
		found, cuts, err := r.pick(alert)
		t.Logf("%s: %d rounds", keep, rounds)
		if err != nil || rounds > most || rounds < most/20 {
			t.Errorf("%s: %d rounds, %d are promised; %v", keep, rounds, most, err)
		}
		if len(cuts) != 1 || cuts[0] != (Cut{"a", "x", CutWork, 2}) {
			t.Errorf("%s: cuts %v", keep, cuts)
		}
		if len(found) == 0 || found[len(found)-1].Value != "22" {
			t.Errorf("%s: the mapping behind it picked %v", keep, found)
		}
		if r.work < 0 || r.work > maxExprWork/2 {
			t.Errorf("%s: %d of %d steps are left", keep, r.work, maxExprWork)
		}
	}
}

// TestTextsOfExpressions counts the bytes that functions in a loop make: they were not bounded at all.
func TestTextsOfExpressions(t *testing.T) { //nolint:paralleltest // it measures the memory of the process
	for _, match := range []string{
		`len(map(1..2000, repeat("ab", 500000))) == 0`, `len(map(1..2000, split(field("x"), ""))) == 0`, `len(map(1..2000, upper(field("x")))) == 0`,
		`len(map(1..2000, toJSON(split(field("x"), "")))) == 0`, `len(reduce(1..2000, #acc + field("x"), "")) == 0`,
	} {
		e, err := Load(Source{Name: "m.yaml", Data: fmt.Appendf(nil, "version: 1\nmappings:\n  - id: a\n    match: '%s'\n    pick: [{path: y, type: port}]\n", match)})
		if err != nil {
			t.Fatal(err)
		}
		alert := fmt.Appendf(nil, `{"x":%q,"y":22}`, strings.Repeat("ba", 30_000))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, cuts, err := e.PickWithCuts(alert)
		runtime.ReadMemStats(&after)
		if made := (after.TotalAlloc - before.TotalAlloc) >> 20; made > 200 || err != nil || len(cuts) != 1 {
			t.Errorf("%s made %d MiB; %v, %v", match, made, cuts, err)
		}
	}
}

// TestTypesOfExpressions has comparisons of types that cannot be compared: what counts steps does not hide them.
func TestTypesOfExpressions(t *testing.T) {
	t.Parallel()
	for _, match := range []string{`len(reduce(1..9, #acc + [#], [])) > 0`, `split(field("x"), ",") > 1`, `groups == 1`, `any(groups, # > 1)`, `groups startsWith "a"`, `rule.grups == "a"`} {
		_, err := Load(Source{Name: "m.yaml", Data: fmt.Appendf(nil, "version: 1\nmappings:\n  - id: a\n    match: '%s'\n    pick: [{path: y, type: port}]\n", match)})
		if err == nil || !strings.HasPrefix(err.Error(), "m.yaml:4:") {
			t.Errorf("%s: %v", match, err)
		}
	}
}
