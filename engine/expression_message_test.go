package engine_test

import (
	"strings"
	"testing"

	"custom-misp/engine"
)

// TestExpressionMessages has what authors write, and what they are told: in their words, with what to write instead.
func TestExpressionMessages(t *testing.T) {
	for match, want := range map[string]string{
		`acme in groups`:                `unknown name acme; write the group in quotes: "acme" in groups`,
		`data.acme.action == "block"`:   `unknown name data; write field("data.acme.action")`,
		`data?.acme?.action == "block"`: `unknown name data; write field("data.acme.action")`,
		`syscheck.path == "x"`:          `unknown name syscheck; write field("syscheck.path")`,
		`full_log contains "x"`:         `unknown name full_log; write field("full_log")`,
		`groups in "acme"`:              `in compares a list with a text; write the group first: "acme" in groups`,
		`rule.id == 100700`:             `== compares a text with a number; put the number into quotes`,
		`rule.level >= "5"`:             `>= compares a number with a text; write the number without quotes`,
		`field("data.a") > 5`:           `> compares a text with a number; compare numbers: has("data.score") and int(field("data.score")) > 5`,
		`decoder == "json"`:             `== compares an object of several fields with a text; write one of its fields: decoder.name, decoder.parent`,
		`["a", "b"] in groups`:          `the list has texts, and a list is looked for in it; write any(groups, # in ["a", "b"])`,
		`"a" in groups AND has("x")`:    `"AND" is not expected here; write and`,
		`field("x") = "y"`:              `"=" is not expected here; write ==`,
		`field("x") =~ "y"`:             `"=~" is not expected here; write matches`,
		`field("x") startswith "y"`:     `"startswith" is not expected here; write startsWith`,
		`field("x") == ""y""`:           `"y" is not expected here; write and, or, or a comparison like == before it; put a text into quotes, each quote once`,
		`has(["x"])`:                    `has takes a text, not a list; write has("data.srcip")`,
		`field("x", "y") == "z"`:        `too many arguments for field; write field("data.srcip")`,
		`field("x") == "y" or "z"`:      `write each comparison in full: field("data.a") == "x" or field("data.a") == "y"`,
		`field("x") matches "\d"`:       `in a text in double quotes write a backslash twice`,
		`"a" in groups and (has("x")`:   `the expression ends too early; close every bracket and quote`,
		`field("data.x")`:               `match must be true or false, and is a text; compare the value with something`,
		`rule.level`:                    `match must be true or false, and is a number`,
		`“a” in groups`:                 `write texts in straight quotes`,
		`"a" in rule.group`:             `rule has no field group; did you mean "groups"?`,
	} {
		yaml := "version: 1\nmappings:\n  - id: a\n    match: >-\n      " + match + "\n    pick: [{path: data.x, type: md5}]\n"
		_, err := engine.Load(engine.Source{Name: "m.yaml", Data: []byte(yaml)})
		if err == nil {
			t.Errorf("%s: no fault", match)
			continue
		}
		got := err.Error()
		if !strings.Contains(got, want) {
			t.Errorf("%s\n got %s\nwant %s", match, got, want)
		}
		for _, word := range []string{"[]", "engine.", "Operator(", "Identifier(", "interface", "bool,", "mismatched"} {
			if strings.Contains(strings.ReplaceAll(got, match, ""), word) {
				t.Errorf("%s: %s has the word %s", match, got, word)
			}
		}
	}
}
