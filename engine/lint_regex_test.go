package engine

import "testing"

// TestYields has regular expressions that can find a value of a type, and some that cannot.
func TestYields(t *testing.T) {
	for _, tt := range []struct {
		expr string
		typ  Type
		want bool
	}{
		{`SHA256=[0-9a-f]+`, "sha256", false},
		{`SHA256=([0-9a-f]+)`, "sha256", true},
		{`(http|ftp)://(\S+)`, "url", false},
		{`(?:http|ftp)://\S+`, "url", true},
		{`\b[0-9a-f]{32}\b`, "sha256", false},
		{`\b[0-9A-F]{64}\b`, "sha256", true},
		{`(\d+\.\d+\.\d+\.\d+)`, "ip-dst", true},
		{`(\d+)\.(\d+)`, "ip-dst", false},
		{`from ([^ ]+)`, "ip-src", true},
		{`\\d+\\.\\d+`, "ip-dst", false},
		{`\s*([a-f0-9]{40})\s*`, "sha1", true},
		{` [0-9a-f]{64} `, "sha256", true},
		{`host=(\S+)`, "hostname", true},
		{`host=\S+`, "hostname", false},
		{`([a-z]+)\.com`, "domain", false},
		{`user=(\w+)@`, "email", false},
		{`CVE-\d{4}-\d{4,}`, "vulnerability", true},
		{`(?i)cve-(\d{4})`, "vulnerability", false},
		{`(md5|sha1)=(?P<value>[0-9a-f]{32})`, "md5", true},
		{`[`, "md5", true},
		{`.*`, "md5", true},
		{`file=.*`, "filename", true},
	} {
		if got := yields(tt.expr, tt.typ); got != tt.want {
			t.Errorf("%s as %s: %t", tt.expr, tt.typ, got)
		}
	}
}
