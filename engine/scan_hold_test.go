package engine

import (
	"os"
	"path/filepath"
	"testing"
)

// checkHold fails if mayHold says of a text that nothing is in it, and scan finds something.
func checkHold(t *testing.T, text string) {
	t.Helper()
	if mayHold(text) {
		return
	}
	scan(text, func(candidate string, typ Type, value string, _ error) verdict {
		if keepByDefault(typ, value) == nil {
			t.Errorf("%q holds %s %s, and mayHold says it does not", text, typ, value)
		}
		return kept
	})
}

// TestMayHold compares mayHold with scan on texts that have something in them, in every form.
func TestMayHold(t *testing.T) {
	for _, text := range []string{
		"x 8.8.8.8 y", "evil.example", "evil[.]example", "evil[dot]example", "evil (dot) example", "a [.] example", "http://evil.sh/x", "x@evil.example",
		"2620:4f:8000::bad", "2620:4f:8000:1:2:3:4:5", "[2620:4f:8000::bad]:80", "cve-2024-12345", "0123456789abcdef0123456789abcdef", "hxxp://bad.example",
		"http[:]//bad.example", "bad.example.", "(bad.example)", "bücher.example", "例え。テスト", "http%3A%2F%2Fbad.example%2Fx", "http:\\/\\/bad.example", "&quot;bad.example&quot;",
		"user[at]bad.example", "user[@]bad.example", "xn--bcher-kva.example", "a.b.c.co.uk", "8.8.8.8:53", "::ffff:8.8.8.8", "host:bad.example", "bad.EXAMPLE",
		"powershell -enc aAB0AHQAcAA6AC8ALwBiAGEAZAAuAGUAeABhAG0AcABsAGUALwB4AA==",
	} {
		if !mayHold(text) {
			t.Errorf("mayHold says that nothing is in %q", text)
		}
		checkHold(t, text)
	}
	for _, text := range []string{
		"", "abc", "sshd[12]: Accepted password for root from 10.0.0.1 port 22 ssh2", "2026-01-02T03:04:05.123Z", "kernel 5.4.0-12.generic", "/etc/ssh/sshd.config",
		"a.b", "7.500000", "C:\\Windows\\System32\\cmd.exe", "192.168.1.1:443", "Nov 25 11:00:00 host app: done.",
	} {
		if mayHold(text) {
			t.Errorf("mayHold says that something may be in %q", text)
		}
	}
	names, _ := filepath.Glob("../testdata/alerts/*.json")
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		checkHold(t, string(data))
	}
}

// FuzzMayHold compares mayHold with scan on any text.
func FuzzMayHold(f *testing.F) {
	for _, seed := range []string{"x 8.8.8.8", "evil[.]example", "http://a.sh/", "::1", "cve-2024-1234", "a.b@c.example", "é.example"} {
		f.Add(seed)
	}
	f.Fuzz(checkHold)
}
