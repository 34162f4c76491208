package engine

import (
	"fmt"
	"strings"
	"testing"

	"custom-misp/engine/yamlfile"
)

// TestLimitsAreTheDocumentedOnes compares the package comment with what the code enforces.
func TestLimitsAreTheDocumentedOnes(t *testing.T) {
	const documented = "32 MiB, 2000, 100000, 1000, 5000, 4, 4096, 64 KiB, 64, 2000, 20000000, 67108864, 1 MiB"
	if got := fmt.Sprintf("%d MiB, %d, %d, %d, %d, %d, %d, %d KiB, %d, %d, %d, %d, %d MiB", yamlfile.MaxSize>>20, maxExprNodes, exprMemory,
		MaxObservables, maxCandidates, maxNesting, MaxValue, maxScan>>10, maxFound, MaxValues, maxPatternWork, maxExprWork,
		maxExprText>>20); got != documented {
		t.Errorf("limits are %s; the package comment has %s", got, documented)
	}
}

// TestLimitsOfFiles loads mapping files that are just within a limit, and beyond.
func TestLimitsOfFiles(t *testing.T) {
	t.Parallel()
	file := func(id, match string) string {
		return fmt.Sprintf("version: 1\nmappings:\n  - {id: %s, match: '%s', pick: [{path: data.x, type: port}]}\n", id, match)
	}
	ors := func(n int) string { return strings.Repeat("true or ", n-1) + "true" }
	for name, tt := range map[string]struct{ within, beyond, fault string }{
		"id":         {file(strings.Repeat("a", 100), "true"), file(strings.Repeat("a", 101), "true"), "is not a usable name"},
		"expression": {file("a", ors(1000)), file("a", ors(1001)), "exceeds maximum allowed nodes"},
		"levels":     {file("a", "true") + "tests: " + nested(9900), file("a", "true") + "tests: " + nested(10_001), "exceeded max depth"},
	} {
		if _, err := Load(Source{Name: "m.yaml", Data: []byte(tt.within)}); err != nil {
			t.Errorf("%s: %.300v", name, err)
		}
		if _, err := Load(Source{Name: "m.yaml", Data: []byte(tt.beyond)}); err == nil || !strings.Contains(err.Error(), tt.fault) {
			t.Errorf("%s beyond the limit: %.300v", name, err)
		}
	}
}

func nested(levels int) string {
	return strings.Repeat("[", levels) + strings.Repeat("]", levels) + "\n"
}

// TestLimitsOfAlerts picks from alerts that have as much as a limit allows, and one more.
func TestLimitsOfAlerts(t *testing.T) {
	t.Parallel()
	e, err := Load(Source{Name: "m.yaml", Data: []byte(`
version: 1
mappings:
  - id: picks
    match: '"last" in groups or has("data")'
    pick:
      - {path: data.nested, type: port}
      - {path: data.text, type: user-agent}
      - {path: data.same, type: port}
  - id: groups
    match: '"last" in groups'
    pick: [{path: rule.id, type: port}]
`)})
	if err != nil {
		t.Fatal(err)
	}
	list := func(n int, item, last string) string { return "[" + strings.Repeat(item+",", n-1) + last + "]" }
	for name, tt := range map[string]struct {
		alert string // with %s for what is within the limit, or beyond
		within, beyond,
		want string
	}{
		"levels of arrays": {`{"data":{"nested":%s}}`, "[[[[22]]]]", "[[[[[22]]]]]", "22"},
		"length of values": {`{"data":{"text":"%s"}}`, strings.Repeat("x", 4096), strings.Repeat("x", 4097), strings.Repeat("x", 4096)},
		"candidates":       {`{"data":{"same":%s}}`, list(5000, "0", "22"), list(5001, "0", "22"), "22"},
		"groups":           {`{"rule":{"id":22,"groups":%s}}`, list(5000, `"a"`, `"last"`), list(5001, `"a"`, `"last"`), "22"},
	} {
		for text, want := range map[string]bool{tt.within: true, tt.beyond: false} {
			found, err := e.Pick(fmt.Appendf(nil, tt.alert, text))
			got := false
			for _, o := range found {
				got = got || o.Value == tt.want
			}
			if err != nil || got != want {
				t.Errorf("%s, %d bytes: picked %t, want %t; %v", name, len(text), got, want, err)
			}
		}
	}
}
