package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"custom-misp/engine"
)

// manyMappings returns a mapping file with n mappings that differ in their match.
func manyMappings(n int) engine.Source {
	var b strings.Builder
	b.WriteString("version: 1\nmappings:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - id: generated-%d\n    match: '\"group-%d\" in groups and field(\"data.kind\") == \"x\"'\n"+
			"    pick:\n      - {path: data.srcip, type: ip-src}\n      - {path: data.url, type: url, keep: 'value != \"\"'}\n", i, i)
	}
	return engine.Source{Name: "many.yaml", Data: []byte(b.String())}
}

// BenchmarkLint lints files of a hundred and a thousand mappings. The time per mapping stays level.
func BenchmarkLint(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprintf("%d", n), func(b *testing.B) {
			src := manyMappings(n)
			b.ReportAllocs()
			for b.Loop() {
				if _, faults := engine.Lint(src); len(faults) > 0 {
					b.Fatal(faults)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/mapping")
		})
	}
}
