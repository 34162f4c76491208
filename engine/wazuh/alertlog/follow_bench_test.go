package alertlog_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"custom-misp/engine/wazuh/alertlog"
)

// BenchmarkNext reads a file of alerts from its start to its end.
func BenchmarkNext(b *testing.B) {
	for name, size := range map[string]int{"1KB lines": 1000, "200B lines": 200, "60KB lines": 60_000} {
		b.Run(name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "alerts.json")
			line := strings.Repeat("x", size) + "\n"
			var data bytes.Buffer
			for i := 0; data.Len() < 64<<20; i++ {
				fmt.Fprint(&data, i, line)
			}
			if err := os.WriteFile(path, data.Bytes(), 0o600); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(data.Len()))
			b.ReportAllocs()
			for b.Loop() {
				readTo(b, path, int64(data.Len()))
			}
		})
	}
}

// readTo reads a file from its start to a place.
func readTo(b *testing.B, path string, end int64) {
	f, err := alertlog.Follow(path, nil, alertlog.FromStart())
	if err != nil {
		b.Fatal(err)
	}
	for at := int64(0); at < end; {
		lines, err := f.Next(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		at = lines.End.Offset
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkNextOne reads alerts that come one by one, as they do when they are read as fast as they are written.
func BenchmarkNextOne(b *testing.B) {
	s := newSite(b)
	f, _ := follow(b, s.path, nil)
	line := strings.Repeat("x", 1000) + "\n"
	b.ReportAllocs()
	for b.Loop() {
		s.write(line)
		if lines, err := f.Next(b.Context()); err != nil || len(lines.Text) != 1 {
			b.Fatal(lines, err)
		}
	}
}
