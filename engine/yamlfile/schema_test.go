package yamlfile

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var recipes = Shape{Top: []recipe{}, Enums: map[string][]string{"tag": {"sweet", "sour"}, "version": {"1"}}, Patterns: map[string]string{"short": "^.{1,9}$"}}

func TestJSONSchema(t *testing.T) {
	t.Parallel()
	written, err := json.Marshal(recipes.JSONSchema())
	if err != nil {
		t.Fatal(err)
	}
	var got any
	if err := json.Unmarshal(written, &got); err != nil {
		t.Fatal(err)
	}
	object := func(required []any, properties map[string]any) map[string]any {
		return map[string]any{"type": "object", "additionalProperties": false, "required": required, "properties": properties}
	}
	text := func(doc string) map[string]any {
		return map[string]any{"type": []any{"string", "number", "boolean"}, "description": doc}
	}
	named := text("what it is called")
	named["pattern"] = "^.{1,9}$"
	baked := object([]any{"degrees"}, map[string]any{"degrees": text("temperature, in degrees Celsius")})
	baked["description"] = "how it is baked"
	want := map[string]any{"type": "array", "items": object([]any{"name"}, map[string]any{
		"name":  named,
		"tags":  map[string]any{"type": "array", "items": map[string]any{"enum": []any{"sweet", "sour"}}, "description": "a | b"},
		"vegan": map[string]any{"type": "boolean", "description": "no animals"},
		"ingredients": map[string]any{"type": "array", "description": "what is in it", "items": map[string]any{"anyOf": []any{
			text("its name"), object([]any{"what"}, map[string]any{"what": text("its name"), "amount": text("how much")}),
		}}},
		"oven":    baked,
		"notes":   map[string]any{"description": "anything"},
		"version": map[string]any{"enum": []any{"1", 1.0}, "description": "1"},
	})}
	if diff := cmp.Diff(any(want), got); diff != "" {
		t.Errorf("schema (-want +got):\n%s", diff)
	}
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	want := `## A recipe

| key | needed | meaning |
|---|---|---|
| ` + "`name`" + ` | yes | what it is called |
| ` + "`tags`" + ` |  | a \| b |
| ` + "`vegan`" + ` |  | no animals |
| ` + "`ingredients`" + ` |  | what is in it |
| ` + "`oven`" + ` |  | how it is baked |
| ` + "`notes`" + ` |  | anything |
| ` + "`version`" + ` |  | 1 |

## An ingredient

| key | needed | meaning |
|---|---|---|
| ` + "`what`" + ` | yes | its name |
| ` + "`amount`" + ` |  | how much |

## Oven

| key | needed | meaning |
|---|---|---|
| ` + "`degrees`" + ` | yes | temperature, in degrees Celsius |

`
	if diff := cmp.Diff(want, recipes.Markdown(2)); diff != "" {
		t.Errorf("reference (-want +got):\n%s", diff)
	}
}
