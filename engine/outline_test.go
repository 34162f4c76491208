package engine_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/mappings"
)

// TestOutline picks from the alerts in testdata with all files read, and with an outline of them: it says the same, also if
// several alerts come at once.
func TestOutline(t *testing.T) {
	t.Parallel()
	sources, err := engine.ReadFS(mappings.FS, "mappings")
	if err != nil {
		t.Fatal(err)
	}
	all, err := engine.Load(sources...)
	if err != nil {
		t.Fatal(err)
	}
	outlined, err := engine.Load(engine.WithOutline(sources, mappings.Outline)...)
	if err != nil {
		t.Fatal(err)
	}
	if outlined.Len() != all.Len() {
		t.Fatalf("%d mappings, want %d", outlined.Len(), all.Len())
	}
	names, err := filepath.Glob("../testdata/alerts/*.json")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Go(func() {
			alert, err := os.ReadFile(name)
			if err != nil {
				t.Error(err)
				return
			}
			want, wantErr := all.Pick(alert)
			got, gotErr := outlined.Pick(alert)
			if d := cmp.Diff(want, got); d != "" || (wantErr == nil) != (gotErr == nil) {
				t.Errorf("%s: %v, %v (-all +outlined):\n%s", name, wantErr, gotErr, d)
			}
		})
	}
	wg.Wait()
	if d := cmp.Diff(all.Mappings(), outlined.Mappings()); d != "" {
		t.Errorf("mappings (-all +outlined):\n%s", d)
	}
}

// TestOutlineOfOtherFiles picks nothing by a mapping that an outline describes otherwise than its file.
func TestOutlineOfOtherFiles(t *testing.T) {
	t.Parallel()
	const file = `{version: 1, mappings: [
		{id: a, match: 'has("data.a")', pick: [{path: data.a, type: ip-src}]},
		{id: b, match: 'has("data.b")', pick: [{path: data.b, type: ip-src}]}]}`
	sources := []engine.Source{{Name: "m.yaml", Data: []byte(file)}}
	e, err := engine.Load(sources...)
	if err != nil {
		t.Fatal(err)
	}
	good, err := e.Outline()
	if err != nil {
		t.Fatal(err)
	}
	const alert = `{"data":{"a":"192.31.196.1","b":"192.31.196.2"}}`
	for name, tt := range map[string]struct {
		outline string
		picked  int
		fault   string
	}{
		"the same files":    {good, 2, ""},
		"another match":     {strings.Replace(good, `has(\"data.a\")`, `has(\"data.a\") `+"and true", 1), 1, ""},
		"another id":        {strings.Replace(good, "\ta\t", "\tc\t", 1), 1, ""},
		"a match cut off":   {strings.Replace(good, `has(\"data.a\")"`, `has(`, 1), 1, "other files"},
		"a line cut off":    {good + "m.yaml\tc\n", 2, ""},
		"an empty line":     {"\n" + good, 2, ""},
		"another file":      {"n.yaml\tc\t\"true\"\n", 2, ""},
		"a mapping without": {strings.SplitAfter(good, "\n")[0], 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := engine.Load(engine.WithOutline(sources, tt.outline)...)
			if err != nil {
				t.Fatal(err)
			}
			picked, err := e.Pick([]byte(alert))
			if len(picked) != tt.picked || (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("%d values, %v; want %d, %q", len(picked), err, tt.picked, tt.fault)
			}
		})
	}
}
