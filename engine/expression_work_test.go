package engine

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// TestWorkOfExpressions picks with expressions whose work an alert can multiply. Each ends soon: with an error of the
// mapping, or because the alert is small enough.
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
	const loops, result, long = "the loops take too long", "a result is longer than", "is too long for the regular expression"
	for name, tt := range map[string]struct {
		match, x string
		err      string // "" for none
	}{
		"loop over a few":         {`len(filter(split(field("x"), ","), # != "")) == 100`, numbers(100), ""},
		"loop over many":          {`len(filter(split(field("x"), ","), # != "")) == 5`, numbers(10_000), loops},
		"loop in a loop":          {`any(split(field("x"), ","), any(split(field("x"), ","), # == "none"))`, numbers(1000), loops},
		"loop over a range":       {`all(1..90000, field("x") contains "zz")`, "zz" + numbers(1000), loops},
		"sum of texts":            {`len(reduce(1..90000, #acc + field("x"), "")) == 0`, numbers(1000), loops},
		"unique of a few":         {`len(uniq(split(field("x"), ","))) == 101`, numbers(100), ""},
		"unique of many":          {`len(uniq(split(field("x"), ","))) > 0`, numbers(10_000), result},
		"repeat":                  {`repeat(field("x"), len(field("x"))) != ""`, strings.Repeat("x", 60_000), result},
		"repeat a little":         {`repeat(field("x"), 3) == "abcabcabc"`, "abc", ""},
		"replace of nothing":      {`replace(field("x"), "", field("x")) != ""`, strings.Repeat("x", 60_000), result},
		"replace":                 {`replace(field("x"), "b", "d") == "adc"`, "abc", ""},
		"join":                    {`join(split(field("x"), ""), field("x")) != ""`, strings.Repeat("x", 60_000), result},
		"trim":                    {`trim(field("x"), field("x")) == ""`, strings.Repeat("é", 30_000), result},
		"patterns in a loop":      {`any(groups, field("x") matches "(?:ab|a|b)*c$") or all(1..5000, not (field("x") matches "(?:ab|a|b)*c$"))`, strings.Repeat("ab", 30_000), loops},
		"large pattern":           {strings.Repeat(`lower(field("x")) matches "^(?:a?){900}$" or `, 19) + `lower(field("x")) matches "^(?:a?){900}$"`, strings.Repeat("a", 60_000), long},
		"large pattern, directly": {strings.Repeat(`field("x") matches "^(?:a?){900}$" or `, 20) + "false", strings.Repeat("a", 60_000), long},
		"pattern of many states":  {strings.Repeat(`field("x") matches "(?:a|b)*a(?:a|b){300}c" or `, 20) + "false", "c" + letters, long},
		"name of a label":         {`is_domain(field("x"))`, strings.Repeat("é", 30_000), ""},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := Load(Source{Name: "m.yaml", Data: fmt.Appendf(nil, "version: 1\nmappings:\n  - id: a\n    match: '%s'\n    pick: [{path: y, type: port}]\n"+
				"  - id: sound\n    match: has(\"y\")\n    pick: [{path: y, type: port}]\n", tt.match)})
			if err != nil {
				t.Fatal(err)
			}
			alert := fmt.Appendf(nil, `{"rule":{"groups":["a"]},"x":%q,"y":22}`, tt.x)
			_, _ = e.Pick(alert) // compiles
			best := time.Hour
			for range 3 {
				start := time.Now()
				_, err = e.Pick(alert)
				best = min(best, time.Since(start))
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if found, _ := e.Pick(alert); len(found) != 1 {
				t.Errorf("the sound mapping picked %v", found)
			}
			if best > 30*time.Second {
				t.Errorf("took %v", best)
			}
		})
	}
}
