package engine_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"custom-misp/engine"
	"custom-misp/mappings"
)

func benchAlert(b *testing.B, name string) []byte {
	b.Helper()
	data, err := os.ReadFile("../testdata/alerts/" + name + ".json")
	if err != nil {
		b.Fatal(err)
	}
	return data
}

// BenchmarkPick measures picking with the built-in mappings: from an alert that matches, from one that none can
// match, with a hundred times as many mappings for other groups, and from an alert of 60 KB. Compare with
// BenchmarkBaseline in the same run.
func BenchmarkPick(b *testing.B) {
	small, match := builtin(b), benchAlert(b, "sysmon-windows-1-process")
	nomatch := benchAlert(b, "windows-security-log-cleared")
	sources, err := engine.ReadFS(mappings.FS, "mappings")
	if err != nil {
		b.Fatal(err)
	}
	for f := range 99 {
		var file strings.Builder
		file.WriteString("version: 1\nmappings:\n")
		for i := range small.Mappings() {
			fmt.Fprintf(&file, "  - id: generated-%d-%d\n    match: '\"group-%d-%d\" in groups and field(\"data.kind\") == \"x\"'\n"+
				"    pick: [{path: data.srcip, type: ip-src}]\n", f, i, f, i)
		}
		sources = append(sources, engine.Source{Name: fmt.Sprintf("many-%d.yaml", f), Data: []byte(file.String())})
	}
	large, err := engine.Load(sources...)
	if err != nil {
		b.Fatal(err)
	}
	long := []byte(strings.Replace(string(match), `"commandLine":"`, `"commandLine":"`+strings.Repeat("x", 58_000), 1))
	for _, bb := range []struct {
		name  string
		e     *engine.Engine
		alert []byte
	}{
		{"match", small, match},
		{"nomatch", small, nomatch},
		{"match100x", large, match},
		{"nomatch100x", large, nomatch},
		{"large", small, long},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(bb.alert)))
			for b.Loop() {
				if _, err := bb.e.Pick(bb.alert); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBaseline is what BenchmarkPick is compared with: checking that the same bytes are JSON, and decoding
// them.
func BenchmarkBaseline(b *testing.B) {
	match := benchAlert(b, "sysmon-windows-1-process")
	b.Run("valid", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(match)))
		for b.Loop() {
			if !gjson.ValidBytes(match) {
				b.Fatal("not valid")
			}
		}
	})
	b.Run("map", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(match)))
		for b.Loop() {
			var m map[string]any
			if err := json.Unmarshal(match, &m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkLoad measures what a call by integratord pays for the built-in mappings before it asks MISP: making them
// ready by their outline, and picking from one alert, which reads the files that it can reach. all reads every file.
func BenchmarkLoad(b *testing.B) {
	sources, err := engine.ReadFS(mappings.FS, "mappings")
	if err != nil {
		b.Fatal(err)
	}
	for i := range sources {
		sources[i].Builtin = true // as the program has them
	}
	match := benchAlert(b, "sysmon-windows-1-process")
	for _, bb := range []struct {
		name    string
		outline string
	}{{"outline", mappings.Outline}, {"all", ""}} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e, err := engine.Load(engine.WithOutline(sources, bb.outline)...)
				if err != nil {
					b.Fatal(err)
				}
				if observables, err := e.Pick(match); err != nil || len(observables) == 0 {
					b.Fatal(observables, err)
				}
			}
		})
	}
}
