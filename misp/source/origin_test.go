package source_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/misp"
	"custom-misp/misp/mirror"
)

// mirrored returns the attributes that the mirror has of a file.
func mirrored(t *testing.T, declaration, content string) []misp.Attribute {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	y := &mirror.Syncer{Dir: t.TempDir()}
	defer y.Close()
	if _, err := y.Sync(t.Context(), load(t, declaration).Origin(mirror.Access{Place: name, Shown: name}), false); err != nil {
		t.Fatal(err)
	}
	m := mirror.Open(y.Dir, []string{"x"}, engine.Filter{})
	defer m.Close()
	var all []misp.Attribute
	for a, err := range m.All() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

// TestMirrored has the mirror hold what is looked up.
func TestMirrored(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, declare, content string
		want                   []string
	}{
		{"both schemes", anyList, "bad.example/a\n", []string{"url http://bad.example/a", "url https://bad.example/a"}},
		{"wide networks", anyList, "8.0.0.0/8\n9.9.0.0/16\n", []string{"ip-dst 9.9.0.0/16"}},
		{"wide networks that are asked for", anyList + "\nwide_networks: true", "8.0.0.0/8\n", []string{"ip-dst 8.0.0.0/8"}},
		{"exact names", anyList, "bad.example\n", []string{"hostname bad.example"}},
		{"wildcards", anyList, "*.bad.example\n", []string{"domain bad.example"}},
		{"names of a hosts file", "format: hosts", "0.0.0.0 bad.example\n", []string{"hostname bad.example"}},
		{"names of a table", "format: csv\ncsv: {header: false}\nvalues: [{from: row.c1, type: domain}]", "bad.example,x\n", []string{"domain bad.example"}},
		{"exact names of a table", "format: csv\ncsv: {header: false}\nnames: exact\nvalues: [{from: row.c1, type: domain}]", "bad.example,x\n", []string{"hostname bad.example"}},
		{"a path alone", "format: otx", `[{"indicators":[{"indicator":"/a","type":"URI"},{"indicator":"bad.example","type":"domain"}]}]`, []string{"domain bad.example"}},
	} {
		var got []string
		for _, a := range mirrored(t, tt.declare, tt.content) {
			got = append(got, a.Type+" "+a.Value)
		}
		slices.Sort(got)
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}

// TestMirroredContext has the mirror hold what is said about an indicator.
func TestMirroredContext(t *testing.T) {
	t.Parallel()
	all := mirrored(t, "format: csv\ncsv: {columns: [value, first, last, note, ref]}\nvalues: [{from: row.value, type: auto}]\nfirst_seen: row.first\nlast_seen: row.last\nexpires: {after: 30d}\n"+
		"comment: row.note\nreference: row.ref\ntags: [a]\nthreat_level: high\nto_ids: row.note != \"benign\"",
		"192.31.196.7,2026-01-01,2026-01-05,C2,https://r.example/1\n192.31.196.8,2026-01-01,,benign,\n")
	slices.SortFunc(all, func(a, b misp.Attribute) int { return strings.Compare(a.Value, b.Value) })
	if len(all) != 2 {
		t.Fatalf("%+v", all)
	}
	a := all[0]
	if a.FirstSeen != "2026-01-01T00:00:00Z" || a.LastSeen != "" || a.Timestamp.Format("2006-01-02") != "2026-01-05" || a.Expires.Format("2006-01-02") != "2026-02-04" ||
		a.Comment != "C2 https://r.example/1" || !slices.Equal(a.Tags, []string{"a"}) || a.Event.ThreatLevel.String() != "high" || !a.ToIDs || a.Event.Info != "source x" {
		t.Errorf("%+v", a)
	}
	if all[1].ToIDs {
		t.Errorf("%+v", all[1])
	}
}

// TestMirroredMISP keeps events and attributes of MISP as they are.
func TestMirroredMISP(t *testing.T) {
	t.Parallel()
	all := mirrored(t, "format: misp\ntags: [own]", `{"response":[{"Event":{"uuid":"5b8d9d33-ccf0-4fd9-82dc-7dbc0a016219","id":"7","info":"Report","Orgc":{"name":"Org"},"threat_level_id":"2","Tag":[{"name":"tlp:green"}],
		"Attribute":[{"uuid":"5b8d9d33-ccf0-4fd9-82dc-7dbc0a016210","type":"domain","value":"bad.example","to_ids":true,"comment":"c","timestamp":"1780000000"},{"type":"link","value":"https://x.example/"}]}}]}`)
	if len(all) != 1 {
		t.Fatalf("%+v", all)
	}
	a := all[0]
	if a.UUID != "5b8d9d33-ccf0-4fd9-82dc-7dbc0a016210" || a.Event.Info != "Report" || a.Event.Org != "Org" || a.Event.ThreatLevel.String() != "medium" || a.Comment != "c" ||
		!slices.Contains(a.Tags, "own") || !slices.Contains(a.Tags, "tlp:green") || a.Event.UUID != "5b8d9d33-ccf0-4fd9-82dc-7dbc0a016219" {
		t.Errorf("%+v", a)
	}
}
