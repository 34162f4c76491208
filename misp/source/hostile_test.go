package source_test

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	"custom-misp/misp/source"
)

// TestHostileFiles refuses files that are made to take memory or time, or reads what is good in them.
func TestHostileFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("reads large files")
	}
	many := func(n int, text string) string { return strings.Repeat(text, n) }
	for name, tt := range map[string]struct{ declare, content, fails string }{
		"attributes without end":    {"format: misp", gzipped(t, `{"Event":{"info":"x","Attribute":[{}`+many(3_000_000, ",{}")+`]}}`), "no indicator"},
		"rows without value":        {"format: json\nvalues: [{from: row.a, type: auto}]", gzipped(t, "[{}"+many(3_000_000, ",{}")+"]"), "no indicator"},
		"levels":                    {"format: json\nvalues: [{from: row.a, type: auto}]", many(1_000_000, "["), "exceeded max depth"},
		"levels that are skipped":   {"format: json\njson: {rows: \"a.*\"}\nvalues: [{from: row.a, type: auto}]", `{"b":` + many(1_000_000, "[") + many(1_000_000, "]") + "}", "no indicator in 0 entries"},
		"a text without end":        {"format: json\nvalues: [{from: row.a, type: auto}]", gzipped(t, `[{"a":"`+many(40<<20, "x")+`"}]`), "more than 33554432 bytes"},
		"a line without end":        {anyList, gzipped(t, many(64<<20, "x")), "a line of more than 1 MiB"},
		"a bomb":                    {anyList, gzipped(t, many(64<<20/64, strings.Repeat("x", 63)+"\n")), "no indicator in the first"},
		"lines of one column":       {anyList, gzipped(t, many(2_000_000, "x\n")), "no indicator in the first 131072 entries"},
		"quotes":                    {"format: csv\ncsv: {header: false}\nvalues: [{from: row.c2, type: auto}]", "a,bad.example\n" + many(200_000, "x,\"y\n"), "yield no indicator"},
		"columns":                   {"format: csv\ncsv: {header: false}\nvalues: [{from: row.c2, type: auto}]", "a,bad.example,c\n" + many(20, many(500_000, ",")+"x\n"), "too many columns"},
		"a pattern":                 {"format: stix", `{"type":"indicator","id":"i","pattern":"` + many(5_000, "[") + `"}`, "not understood"},
		"a pattern of products":     {"format: stix", `{"type":"indicator","id":"i","pattern":"` + strings.TrimSuffix(many(30, "([a:b='1'] OR [a:b='2']) AND "), " AND ") + `"}`, "more than 1000 comparisons"},
		"names of a record":         {"format: dnsmasq", "address=/" + many(100_000, "a/") + "\n", "no indicator"},
		"words":                     {"format: lines\nlines: {scan: true}", many(900_000, "x ") + "\n", "no indicator"},
		"one value again and again": {anyList, many(1_000_000, "bad.example\n"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := load(t, tt.declare)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			m, err := s.Measure(context.Background(), bytes.NewReader([]byte(tt.content)), now)
			if (err == nil) != (tt.fails == "") || err != nil && !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("error %v, want one with %q", err, tt.fails)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 100<<20 {
				t.Errorf("%d MiB are held", grown>>20)
			}
			if len(m.Report.Skipped) > 101 {
				t.Errorf("%d reasons", len(m.Report.Skipped))
			}
		})
	}
}

// TestManyReasons counts words that a file makes up together.
func TestManyReasons(t *testing.T) {
	t.Parallel()
	content := "t,v\n" + repeated(2000, func(i int) string { return "word" + host(i) + ",bad.example" })
	r := read(t, "format: csv\nvalues: [{from: row.v, type_from: row.t}]", content)
	if r.err == nil || len(r.report.Skipped) > 101 {
		t.Errorf("%d reasons, %v", len(r.report.Skipped), r.err)
	}
}

// TestCancelled stops when the context is done.
func TestCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := load(t, anyList).Measure(ctx, bytes.NewReader([]byte(repeated(5000, host))), now)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestExpressionsAreBounded ends an expression that would take too long, and counts it.
func TestExpressionsAreBounded(t *testing.T) {
	t.Parallel()
	r := read(t, "format: lines\nonly: 'any(1..50000, {# in map(1..50000, #)})'\nvalues: [{type: auto}]", "bad.example\n")
	if r.err == nil || r.report.Skipped["expression failed"] != 1 {
		t.Errorf("%v, %v", r.report.Skipped, r.err)
	}
	if _, faults := source.Load(source.File{Name: "x.yaml", Data: []byte("version: 1\nsources: [{name: x, format: lines, only: \"row.a = 1\"}]")}); len(faults) != 1 || faults[0].Line != 2 {
		t.Errorf("%v", faults)
	}
}
