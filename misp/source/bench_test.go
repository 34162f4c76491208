package source_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

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
