package mappingtest_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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

// TestExplanationShowsContext explains an alert that has a part of what a mapping shows.
func TestExplanationShowsContext(t *testing.T) {
	t.Parallel()
	e, err := engine.Load(engine.Source{Name: "m.yaml", Data: []byte(`{version: 1, mappings: [{id: m, match: has("data"), pick: [{path: data.x, type: user-agent}],
		context: [data.acme.user, {path: "data.acme.dev\\.name", name: device}, {path: data.none, name: gone}, data.acme]}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	x := e.Explain([]byte(`{"data":{"x":"-","acme":{"user":"eve","dev.name":["a","b"]}}}`))
	want := []engine.ContextTrace{
		{Name: "user", Path: "data.acme.user", Value: "eve"},
		{Name: "device", Path: `data.acme.dev\.name`, Value: "a, b"},
		{Name: "gone", Path: "data.none"},
		{Name: "acme", Path: "data.acme"},
	}
	if diff := cmp.Diff(want, x.Mappings[0].Context); diff != "" {
		t.Errorf("context (-want +got):\n%s", diff)
	}
	var out strings.Builder
	mappingtest.WriteExplanation(&out, x, mappingtest.Plain)
	for _, line := range []string{`  context user from data.acme.user: "eve"`, `  context device from data.acme.dev\.name: "a, b"`, `  context gone, acme: not in the alert`} {
		if !strings.Contains(out.String(), line+"\n") {
			t.Errorf("no %q in\n%s", line, &out)
		}
	}
}
