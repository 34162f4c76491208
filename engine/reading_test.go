package engine_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/mappings"
)

// TestRead picks from alerts that are read once what [engine.Engine.PickWithCuts] picks from them, and knows their rule and
// location.
func TestRead(t *testing.T) {
	t.Parallel()
	sources, err := engine.ReadFS(mappings.FS, "mappings")
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Load(sources...)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../testdata/alerts/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	picked := 0
	for _, name := range files {
		alert, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		alert = bytes.TrimSpace(alert)
		reading, ok := e.Read(alert)
		if own := strings.HasPrefix(filepath.Base(name), "misp-"); !ok || !reading.HasRule() || reading.IsFrom("misp") != own {
			t.Fatalf("%s: %t", name, ok)
		}
		got, gotCuts, gotErr := reading.Pick()
		reading.Close()
		want, wantCuts, wantErr := e.PickWithCuts(alert)
		if diff := cmp.Diff(want, got); diff != "" || !cmp.Equal(gotCuts, wantCuts) || (gotErr == nil) != (wantErr == nil) {
			t.Errorf("%s: %v, %v (-want +got):\n%s", name, gotErr, wantErr, diff)
		}
		picked += len(got)
	}
	if picked == 0 {
		t.Error("nothing is picked")
	}
}

// TestReadOthers reads what is no alert, and alerts of other shapes.
func TestReadOthers(t *testing.T) {
	t.Parallel()
	e, err := engine.Load()
	if err != nil {
		t.Fatal(err)
	}
	site, err := e.For(engine.Site{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		text           string
		ok, rule, misp bool
	}{
		{`{"rule":{}}`, true, true, false},
		{`{"rule":"x","location":"misp"}`, true, false, true},
		{`{"\u0072ule":{"id":"1"},"location":"mi\u0073p"}`, true, true, true},
		{`{"data":{"rule":{},"location":"misp"},"location":["misp"]}`, true, false, false},
		{`{}`, true, false, false},
		{`{"rule":{}} `, false, false, false},
		{`{"rule":{}`, false, false, false},
		{`[{"rule":{}}]`, false, false, false},
		{``, false, false, false},
	} {
		for _, e := range []*engine.Engine{e, site, {}} {
			reading, ok := e.Read([]byte(tt.text))
			if ok != tt.ok {
				t.Errorf("%s: read %t", tt.text, ok)
			}
			if !ok {
				continue
			}
			if reading.HasRule() != tt.rule || reading.IsFrom("misp") != tt.misp {
				t.Errorf("%s: rule %t, location %t", tt.text, reading.HasRule(), reading.IsFrom("misp"))
			}
			reading.Close()
		}
	}
}
