package source_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
	"custom-misp/misp/mirror"
	"custom-misp/misp/source"
)

// millionRows is a table as a publisher writes it.
func millionRows(n int) []byte {
	var b bytes.Buffer
	b.WriteString("# id,dateadded,url,url_status,last_online,threat,tags,urlhaus_link,reporter\n")
	for i := range n {
		fmt.Fprintf(&b, "\"%d\",\"2026-01-02 03:04:05\",\"http://192.0.2.%d:%d/a/%d.sh\",\"online\",\"2026-01-02 03:04:05\",\"malware_download\",\"elf,Mozi\",\"https://urlhaus.example/url/%d/\",\"x\"\n", i, i%256, 1024+i%60000, i, i)
	}
	return b.Bytes()
}

// BenchmarkCSV reads a million rows twice, as a sync does: once to judge the file, once to take it over.
func BenchmarkCSV(b *testing.B) {
	content := millionRows(1_000_000)
	s := source.Preset("urlhaus")
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		file := bytes.NewReader(content)
		m, err := s.Measure(context.Background(), file, now)
		if err != nil {
			b.Fatal(err)
		}
		if err := m.Each(context.Background(), file, func(source.Indicator) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWarninglists syncs lists as large as those of the misp-warninglists repository, and looks a match up in them. heap-MB
// is what stays in use when they are open, and lookup-ns what a match takes.
func BenchmarkWarninglists(b *testing.B) {
	const lists, long, entries = 100, 2, 1_000_000
	dir := b.TempDir()
	for i := range lists {
		n, kind := 2000, source.FormatWarninglist
		if i < long {
			n = entries
		}
		var text bytes.Buffer
		fmt.Fprintf(&text, `{"name":"list %d","type":"hostname","matching_attributes":["domain","hostname","url"],"list":[""`, i)
		for j := range n {
			fmt.Fprintf(&text, ",\"host%d-%d.example\"", j, i)
		}
		text.WriteString("]}")
		at := filepath.Join(dir, string(kind), strconv.Itoa(i))
		if err := os.MkdirAll(at, 0o750); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(at, "list.json"), text.Bytes(), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	o := load(b, "format: warninglist").Origin(mirror.Access{Place: dir})
	for b.Loop() {
		y := &mirror.Syncer{Dir: b.TempDir()}
		state, err := y.Sync(b.Context(), o, true)
		if err != nil {
			b.Fatal(err)
		}
		y.Close()
		m := mirror.Open(y.Dir, []string{"x"}, engine.Filter{})
		m.Warninglists = []string{"x"}
		var before runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		began := time.Now()
		const looks = 10_000
		for i := range looks {
			m.Warn(b.Context(), []enrich.Match{{Kind: engine.MatchExact, Attribute: &misp.Attribute{Type: "url", Value: fmt.Sprintf("https://www.host%d-0.example/x", i)}}})
		}
		b.ReportMetric(float64(time.Since(began).Nanoseconds())/looks, "lookup-ns")
		b.ReportMetric(float64(before.HeapInuse)/1e6, "heap-MB")
		b.ReportMetric(float64(before.HeapSys)/1e6, "heap-most-MB")
		b.ReportMetric(float64(state.Bytes)/1e6, "disk-MB")
		m.Close()
	}
}
