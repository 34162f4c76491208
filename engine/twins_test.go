package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
)

// mappingLines returns a mapping file of flow mappings, one a line from line 3 on.
func mappingLines(mappings ...string) []byte {
	return []byte("version: 1\nmappings:\n  - {" + strings.Join(mappings, "}\n  - {") + "}\n")
}

func twinWarning(line int, id, other, place string) string {
	return fmt.Sprintf("m.yaml:%d:10: warning: mapping %q does the same as %q in %s; remove one of them", line, id, other, place)
}

// TestTwinsAmongMany lints 600 mappings, each tenth of which does the same as the one five before it, in other words.
func TestTwinsAmongMany(t *testing.T) {
	t.Parallel()
	var mappings, want []string
	for i := range 600 {
		match := fmt.Sprintf(`'"g%d" in groups and (has("data.x") or has("data.y"))'`, i)
		if i%10 == 9 {
			match = fmt.Sprintf(`'("g%d"   in groups) && (has("data.x") || has("data.y"))'`, i-5)
			want = append(want, twinWarning(3+i, fmt.Sprintf("m%d", i), fmt.Sprintf("m%d", i-5), fmt.Sprintf("m.yaml:%d", 3+i-5)))
		}
		mappings = append(mappings, fmt.Sprintf("id: m%d, match: %s, pick: [{path: data.x, type: ip-dst}]", i, match))
	}
	_, faults := engine.Lint(engine.Source{Name: "m.yaml", Data: mappingLines(mappings...)})
	if diff := cmp.Diff(strings.Join(want, "\n"), faults.Error()); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestTwins(t *testing.T) {
	const match = `match: '"a" in groups'`
	base := `id: a, ` + match + `, pick: [{path: data.x, type: auto}]`
	for name, tt := range map[string]struct {
		second string
		twins  bool
	}{
		"the same":            {match + `, pick: [{path: data.x, type: auto}]`, true},
		"other description":   {match + `, pick: [{path: data.x, type: auto}], description: b`, true},
		"other group":         {`match: '"b" in groups', pick: [{path: data.x, type: auto}]`, false},
		"other path":          {match + `, pick: [{path: data.y, type: auto}]`, false},
		"other type":          {match + `, pick: [{path: data.x, type: ip-dst}]`, false},
		"one pick more":       {match + `, pick: [{path: data.x, type: auto}, {path: data.y, type: auto}]`, false},
		"split":               {match + `, pick: [{path: data.x, type: auto, split: ','}]`, false},
		"prefix":              {match + `, pick: [{path: data.x, type: auto, prefix: 'a'}]`, false},
		"part":                {match + `, pick: [{path: data.x, type: auto, part: name}]`, false},
		"regex":               {match + `, pick: [{path: data.x, type: auto, regex: '\S+'}]`, false},
		"scan":                {match + `, pick: [{path: data.x, type: auto, scan: true}]`, false},
		"keep":                {match + `, pick: [{path: data.x, type: auto, keep: 'value != ""'}]`, false},
		"look-up filter":      {match + `, pick: [{path: data.x, type: auto}], lookup: {to_ids: true}`, false},
		"text with an && too": {`match: '"&&" in groups', pick: [{path: data.x, type: auto}]`, false},
	} {
		want := ""
		if tt.twins {
			want = twinWarning(4, "b", "a", "m.yaml:3")
		}
		_, faults := engine.Lint(engine.Source{Name: "m.yaml", Data: mappingLines(base, "id: b, "+tt.second)})
		if diff := cmp.Diff(want, faults.Error()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestTwinsKeepTexts lints mappings that differ only in a text that looks like an operator.
func TestTwinsKeepTexts(t *testing.T) {
	pick := `, pick: [{path: data.x, type: auto}]`
	_, faults := engine.Lint(engine.Source{Name: "m.yaml", Data: mappingLines(
		`id: a, match: 'field("data.x") == "a&&b"'`+pick, `id: b, match: 'field("data.x") == "aandb"'`+pick,
		`id: c, match: 'not ("a" in groups) and has("data.x")'`+pick, `id: d, match: '!("a" in groups) && has("data.x")'`+pick,
	)})
	if diff := cmp.Diff(twinWarning(6, "d", "c", "m.yaml:5"), faults.Error()); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

// TestTwinsInOtherFiles lints several files: a twin of a mapping that was replaced, or that is in a file with a fault,
// is none.
func TestTwinsInOtherFiles(t *testing.T) {
	mapping := func(id, group string) string {
		return "id: " + id + ", match: '\"" + group + "\" in groups', pick: [{path: data.x, type: auto}]"
	}
	_, faults := engine.Lint(
		engine.Source{Name: "builtin.yaml", Data: mappingLines(mapping("a", "1"), mapping("b", "2")), Builtin: true},
		engine.Source{Name: "broken.yaml", Data: mappingLines(mapping("c", "3"), "id: d, match: 'x', pick: [{path: data.x, type: auto}]")},
		engine.Source{Name: "replaces.yaml", Data: mappingLines(mapping("a", "4"))},
		engine.Source{Name: "m.yaml", Data: mappingLines(mapping("e", "1"), mapping("f", "2"), mapping("g", "3"), mapping("h", "4"), mapping("b", "2"))},
	)
	want := "broken.yaml:4:21: match: unknown name x; write a text in quotes: \"x\"; a field of the alert as field(\"data.x\")\n" +
		twinWarning(4, "f", "b", "builtin.yaml:4") + "\n" + twinWarning(6, "h", "a", "replaces.yaml:3") + "\n" +
		twinWarning(7, "b", "f", "m.yaml:4")
	if diff := cmp.Diff(want, faults.Error()); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

// TestWarningOfAnAlias lints a match with a warning that two mappings share, the second of which has a fault: the
// warning is given once, and the fault stays one.
func TestWarningOfAnAlias(t *testing.T) {
	e, faults := engine.Lint(engine.Source{Name: "m.yaml", Data: mappingLines(
		"id: a, match: &m '\" x\" in groups', pick: [{path: data.x, type: md5}]",
		"id: a b, match: *m, pick: [{path: data.x, type: sha1}]",
	)})
	want := "m.yaml:3:24: warning: group \" x\" has blanks around it, and no alert has such a group: blanks around groups are removed; write \"x\"\n" +
		"m.yaml:4:10: id \"a b\" is not a usable name; use letters, digits, and . _ - between them, 100 at most"
	if diff := cmp.Diff(want, faults.Error()); diff != "" || e.Len() != 0 {
		t.Errorf("%d mappings are loaded; faults (-want +got):\n%s", e.Len(), diff)
	}
}
