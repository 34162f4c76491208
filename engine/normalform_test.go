package engine_test

import (
	"strings"
	"testing"

	"custom-misp/engine"
)

func TestNormal(t *testing.T) {
	const (
		md5    = "0123456789abcdef0123456789abcdef"
		sha1   = md5 + "01234567"
		sha256 = md5 + md5
		sha512 = sha256 + sha256
	)
	tests := []struct {
		typ  engine.Type
		raw  string
		want string // empty: refused
	}{
		{"md5", md5, md5},
		{"md5", " " + strings.ToUpper(md5) + "\n", md5},
		{"md5", md5[:31], ""},
		{"md5", md5[:31] + "g", ""},
		{"md5", sha1, ""},
		{"md5", strings.Repeat("0", 32), ""},
		{"md5", "d41d8cd98f00b204e9800998ecf8427e", ""},
		{"sha1", strings.ToUpper(sha1), sha1},
		{"sha1", "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709", ""},
		{"sha256", sha256, sha256},
		{"sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", ""},
		{"sha512", sha512, sha512},
		{"imphash", strings.ToUpper(md5), md5},
		{"imphash", strings.Repeat("0", 32), ""},
		{"ja3-fingerprint-md5", md5, md5},

		{"ip-dst", "192.31.196.1", "192.31.196.1"},
		{"ip-dst", "192.31.196.1:443", "192.31.196.1"},
		{"ip-dst", "192[.]31[.]196[.]1", "192.31.196.1"},
		{"ip-dst", "::ffff:192.31.196.1", "192.31.196.1"},
		{"ip-dst", "[::ffff:192.31.196.1]:80", "192.31.196.1"},
		{"ip-dst", "2620:004F:8000:0:0:0:0:BAD", "2620:4f:8000::bad"},
		{"ip-dst", "[2620:4f:8000::bad]:443", "2620:4f:8000::bad"},
		{"ip-dst", "[2620:4f:8000::bad]", "2620:4f:8000::bad"},
		{"ip-dst", "fe80::1%eth0", "fe80::1"},
		{"ip-dst", "10.0.0.1", "10.0.0.1"},
		{"ip-dst", "192.31.196.01", ""},
		{"ip-dst", "192.31.196.0/24", ""},
		{"ip-dst", "192.31.196.256", ""},
		{"ip-dst", "192.31.196.1:99999", ""},
		{"ip-src", "gate.example", ""},

		{"hostname", "Gate.Bad-CDN.Example.", "gate.bad-cdn.example"},
		{"hostname", "gate[.]bad[dot]example", "gate.bad.example"},
		{"hostname", "_dmarc.bad.example", "_dmarc.bad.example"},
		{"hostname", "bücher.example", "xn--bcher-kva.example"},
		{"hostname", "пример.example", "xn--e1afmkfd.example"},
		{"hostname", "hXXp.aZ", "hxxp.az"},
		{"hostname", "hxxps.bad.example", "hxxps.bad.example"},
		{"hostname", "printer", ""},
		{"hostname", "192.31.196.1", ""},
		{"hostname", "1.2.3", ""},
		{"hostname", "bad..example", ""},
		{"hostname", ".bad.example", ""},
		{"hostname", "-bad.example", ""},
		{"hostname", "bad host.example", ""},
		{"hostname", "bad.example/path", ""},
		{"hostname", strings.Repeat("a", 64) + ".example", ""},
		{"hostname", strings.Repeat("a.", 130) + "example", ""},
		{"domain", "%.example", ""},

		{"url", "HTTP://Bad.Example/In.PHP?a=B#c", "http://bad.example/In.PHP?a=B#c"},
		{"url", "hxxps://bad[.]example/x", "https://bad.example/x"},
		{"url", "hXXpS[://]bad.example/x", "https://bad.example/x"},
		{"url", "hxxp[:]//bad.example/x", "http://bad.example/x"},
		{"url", "http://bad.example/", "http://bad.example"},
		{"url", "http://bad.example", "http://bad.example"},
		{"url", "http://bad.example:8080/a", "http://bad.example:8080/a"},
		{"url", "http://[2620:4F:8000::BAD]/a", "http://[2620:4f:8000::bad]/a"},
		{"url", "http://Intranet/a", "http://intranet/a"},
		{"url", "/in.php", ""},
		{"url", "bad.example/in.php", ""},
		{"url", "http://", ""},
		{"url", "http://bad example/", ""},
		{"url", "http://bad.example/\x00", ""},

		{"email-src", "Some One <Some.One@Bad.Example>", "some.one@bad.example"},
		{"email-src", "some.one@bad[.]example", "some.one@bad.example"},
		{"email-src", "some.one", ""},
		{"email-src", "@bad.example", ""},
		{"email-src", "a b@bad.example", ""},
		{"email-src", "a\u2001b@bad.example", ""},
		{"email-src", "Some One <\u2001@bad.example>", ""},

		{"filename", `C:\\Windows\\Temp\\a &amp; b.exe`, `C:\Windows\Temp\a & b.exe`},
		{"filename", `C:\Windows\Temp\a.exe`, `C:\Windows\Temp\a.exe`},
		{"filename", `\\server\share\a.exe`, `\\server\share\a.exe`},
		{"filename", `\\\\server\\share\\a.exe`, `\\server\share\a.exe`},
		{"filename", `&lt;unknown process&gt;`, `<unknown process>`},
		{"filename", "/tmp/.x/kworkerd", "/tmp/.x/kworkerd"},
		{"regkey", `HKLM\\Software\\Run`, `HKLM\Software\Run`},

		{"vulnerability", "cve-2026-12345", "CVE-2026-12345"},
		{"vulnerability", "CVE-26-1", ""},
		{"mac-address", "00-1B-44-11-3A-B7", "00:1b:44:11:3a:b7"},
		{"mac-address", "00-1B-44-11-3A", ""},
		{"mac-eui-64", "00-1B-44-FF-FE-11-3A-B7", "00:1b:44:ff:fe:11:3a:b7"},
		{"x509-fingerprint-md5", "01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF", md5},
		{"uri", "/in.php?x=1", "/in.php?x=1"},
		{"AS", "as64500", "AS64500"},
		{"AS", "ASx", ""},
		{"user-agent", "  Evil/1.0 (x) ", "Evil/1.0 (x)"},
		{"user-agent", "Evil\r\nHost: x", ""},

		{"user-agent", "-", ""},
		{"user-agent", "N/A", ""},
		{"user-agent", "NULL", ""},
		{"user-agent", "(null)", ""},
		{"user-agent", "None", ""},
		{"user-agent", "sanitized", ""},
		{"user-agent", "", ""},
		{"user-agent", strings.Repeat("x", engine.MaxValue), strings.Repeat("x", engine.MaxValue)},
		{"user-agent", strings.Repeat("x", engine.MaxValue+1), ""},
	}
	for _, tt := range tests {
		got, err := tt.typ.Normal(tt.raw)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s.Normal(%.80q) = %.80q, %v; want %.80q", tt.typ, tt.raw, got, err, tt.want)
		}
		if tt.want == "" {
			continue
		}
		if again, err := tt.typ.Normal(got); again != got || err != nil {
			t.Errorf("%s.Normal is not stable: %.80q becomes %.80q, %v", tt.typ, got, again, err)
		}
	}
}

func TestIndicators(t *testing.T) {
	const hash = "0123456789abcdef0123456789abcdef"
	tests := []struct {
		typ   engine.Type
		value string
		as    engine.Type // type of an observable
		asked string
		want  bool
	}{
		{"md5", strings.ToUpper(hash), "md5", hash, true},
		{"filename|md5", "a|b.exe|" + hash, "md5", hash, false}, // no such value: a name with a bar is cut early
		{"filename|md5", "a.exe|" + hash, "md5", hash, true},
		{"filename|md5", "a.exe|" + hash, "filename", "a.exe", false},
		{"malware-sample", "a.exe|" + hash, "md5", hash, true},
		{"filename|imphash", "a.exe|" + hash, "imphash", hash, true},
		{"filename|imphash", "a.exe|" + hash, "md5", hash, false},
		{"imphash", hash, "md5", hash, false},
		{"ip-dst", "192.31.196.1", "ip-src", "192.31.196.1", true},
		{"ip-dst|port", "192.31.196.1|443", "ip-dst", "192.31.196.1", true},
		{"ip-dst", "192.31.196.0/24", "ip-dst", "192.31.196.0", false},
		{"domain|ip", "bad.example|192.31.196.1", "ip-dst", "192.31.196.1", true},
		{"domain|ip", "bad.example|192.31.196.1", "hostname", "bad.example", true},
		{"hostname|port", "bad.example|443", "domain", "bad.example", true},
		{"domain", "bad.example", "hostname", "gate.bad.example", false},
		{"domain", "évil.example", "domain", "evil.example", false},
		{"url", "http://Bad.example/A", "url", "http://bad.example/a", true},
		{"comment", "bad.example", "domain", "bad.example", false},
		{"link", "http://bad.example/a", "url", "http://bad.example/a", false},
	}
	for _, tt := range tests {
		value, err := tt.as.Normal(tt.asked)
		if err != nil {
			t.Fatal(err)
		}
		asked := engine.Observable{Type: tt.as, Value: value}.Indicator()
		got := false
		for _, i := range engine.Indicators(tt.typ, tt.value) {
			got = got || i == asked
		}
		if got != tt.want {
			t.Errorf("attribute %s %q matches %s %q: %t, want %t", tt.typ, tt.value, tt.as, tt.asked, got, tt.want)
		}
	}
}

// TestTypesAskForThemselves holds the type tables together: what a pick may declare can be asked for, and an
// attribute of that type answers.
func TestTypesAskForThemselves(t *testing.T) {
	for _, typ := range engine.Types() {
		if typ == engine.Auto {
			continue
		}
		found := false
		for _, asked := range typ.Family().Asks() {
			found = found || asked == typ
		}
		if !found {
			t.Errorf("%s is not among the types that its family %q asks for", typ, typ.Family())
		}
	}
}
