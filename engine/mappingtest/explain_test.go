package mappingtest_test

import (
	"strings"
	"testing"

	"custom-misp/engine"
	"custom-misp/engine/mappingtest"
)

// TestExplanationNamesCuts explains an alert of which a bound leaves something out.
func TestExplanationNamesCuts(t *testing.T) {
	t.Parallel()
	e, err := engine.Load(engine.Source{Name: "m.yaml", Data: []byte(`{version: 1, mappings: [{id: m, match: has("data"), pick: [{path: data.x, type: user-agent}]}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	for x, want := range map[string]bool{strings.Repeat("x", engine.MaxValue): false, strings.Repeat("x", engine.MaxValue+1): true} {
		var out strings.Builder
		mappingtest.WriteExplanation(&out, e.Explain([]byte(`{"data":{"x":"`+x+`"}}`)), mappingtest.Plain)
		if strings.Contains(out.String(), "bound   values are longer than a value can be (at least 1)") != want {
			t.Errorf("%d bytes:\n%s", len(x), &out)
		}
	}
}
