package engine_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/mappings"
)

// TestPack picks from the alerts in testdata with all files read, and with the pack of them: it picks and shows the same, also
// if several alerts come at once.
func TestPack(t *testing.T) {
	t.Parallel()
	sources := builtinFiles(t)
	all, err := engine.Load(sources...)
	if err != nil {
		t.Fatal(err)
	}
	packed, err := engine.Load(engine.ReadPack(mappings.Pack, nil, "mappings")...)
	if err != nil {
		t.Fatal(err)
	}
	if packed.Len() != all.Len() {
		t.Fatalf("%d mappings, want %d", packed.Len(), all.Len())
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
			got, gotErr := packed.Pick(alert)
			if d := cmp.Diff(want, got); d != "" || (wantErr == nil) != (gotErr == nil) {
				t.Errorf("%s: %v, %v (-all +packed):\n%s", name, wantErr, gotErr, d)
			}
			for _, m := range all.Mappings() {
				if d := cmp.Diff([2]map[string]string{all.Context(m.ID, alert), all.Labels(m.ID)}, [2]map[string]string{packed.Context(m.ID, alert), packed.Labels(m.ID)}); d != "" {
					t.Errorf("%s: %s (-all +packed):\n%s", name, m.ID, d)
				}
			}
		})
	}
	wg.Wait()
	if d := cmp.Diff(all.Mappings(), packed.Mappings()); d != "" {
		t.Errorf("mappings (-all +packed):\n%s", d)
	}
}

// builtinFiles are the mapping files of the program.
func builtinFiles(t testing.TB) []engine.Source {
	sources, err := engine.ReadFS(mappings.FS, "mappings")
	if err != nil {
		t.Fatal(err)
	}
	for i := range sources {
		sources[i].Builtin = true // as the program has them
	}
	return sources
}

const packFile = `{version: 1, source: Acme, define: {own: [192.31.196.9]}, mappings: [
	{id: a, match: 'has("data.a")', pick: [{path: data.a, type: ip-src, keep: value not in own}], labels: {severity: low}, context: [{path: data.b, name: other}]},
	{id: b, match: 'has("data.b") and field("data.b") matches "."', fallback: true, pick: [{name: [b, c], type: ip-src, when: 'field("data.a") not in own'}]}]}`

// TestPackKeepsWhatAFileDeclares compares mappings that were read from a pack with those from the file, to the last key.
func TestPackKeepsWhatAFileDeclares(t *testing.T) {
	t.Parallel()
	source := engine.Source{Name: "m/m.yaml", Data: []byte(packFile), Builtin: true}
	pack, err := engine.Pack(source)
	if err != nil {
		t.Fatal(err)
	}
	read := engine.ReadPack(pack, fstest.MapFS{"m.yaml": {Data: []byte(packFile)}}, "m")
	all, errAll := engine.Load(source)
	packed, errPacked := engine.Load(read...)
	if errAll != nil || errPacked != nil {
		t.Fatal(errAll, errPacked)
	}
	for _, alert := range []string{
		`{"data":{"a":"192.31.196.1","b":"192.31.196.2"}}`, `{"data":{"a":"192.31.196.9","b":"192.31.196.2"}}`, `{"data":{"b":"192.31.196.3"}}`, `{}`,
	} {
		fromFile, _ := json.Marshal(all.Explain([]byte(alert)))
		fromPack, _ := json.Marshal(packed.Explain([]byte(alert)))
		if d := cmp.Diff(string(fromFile), string(fromPack)); d != "" {
			t.Errorf("%s (-file +pack):\n%s", alert, d)
		}
		if d := cmp.Diff(all.Labels("a"), packed.Labels("a")); d != "" {
			t.Error(d)
		}
	}
	if _, faults := engine.Lint(read...); len(faults) > 0 {
		t.Error(faults)
	}
	if _, faults := engine.Lint(engine.ReadPack(pack, fstest.MapFS{}, "m")...); !strings.Contains(faults.Error(), "m/m.yaml") {
		t.Error("a file is not there:", faults)
	}
}

// TestPackOfAnotherVersion picks nothing by a mapping whose declaration cannot be read, and says why.
func TestPackOfAnotherVersion(t *testing.T) {
	t.Parallel()
	good, err := engine.Pack(engine.Source{Name: "m.yaml", Data: []byte(packFile)})
	if err != nil {
		t.Fatal(err)
	}
	lines, _, _ := strings.Cut(good, "\n\n")
	const alert = `{"data":{"a":"192.31.196.1","b":"192.31.196.2"}}`
	for name, tt := range map[string]struct {
		pack   string
		picked int
		fault  string
	}{
		"the same":           {good, 2, ""},
		"another id":         {strings.Replace(good, "\ta\t", "\tc\t", 1), 1, "another version"},
		"a wrong length":     {strings.Replace(good, ":has(", ":hs(", 1), 0, "another version"},
		"no declarations":    {lines, 0, "another version"},
		"a line without any": {"m.yaml\tc\n" + good, 2, "another version"},
		"empty":              {"", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := engine.Load(engine.ReadPack(tt.pack, nil, "")...)
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
