package engine_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
)

func TestRelated(t *testing.T) {
	tests := []struct {
		typ   engine.Type
		value string
		want  []string // "kind family key", without networks other than those of 16, 24 and all bits
	}{
		{"sha256", strings.Repeat("ab", 32), []string{"exact sha256 " + strings.Repeat("ab", 32)}},
		{"hostname", "a.b.bad.example", []string{"exact host a.b.bad.example", "parent-domain host b.bad.example", "parent-domain host bad.example"}},
		{"domain", "bad.example", []string{"exact host bad.example"}},
		{"hostname", "x.bad.co.uk", []string{"exact host x.bad.co.uk", "parent-domain host bad.co.uk"}},
		{"hostname", "evil.github.io", []string{"exact host evil.github.io"}},
		{"hostname", "co.uk", []string{"exact host co.uk"}},
		{"ip-dst", "192.31.196.77", []string{
			"exact ip 192.31.196.77", "network network 192.31.196.77/32", "network network 192.31.196.0/24", "network network 192.31.0.0/16",
		}},
		{"ip-src", "2620:4f:8000::bad", []string{
			"exact ip 2620:4f:8000::bad", "network network 2620:4f:8000::bad/128", "network network 2620:4f:8000::/48",
			"network network 2620:4f::/32", "network network 2620::/24", "network network 2620::/16",
		}},
		{"url", "http://www.bad.example:8080/in.php", []string{
			"exact url http://www.bad.example:8080/in.php", "url-host host www.bad.example", "parent-domain host bad.example",
		}},
		{"url", "http://192.31.196.77/", []string{
			"exact url http://192.31.196.77", "url-host ip 192.31.196.77", "network network 192.31.196.77/32",
			"network network 192.31.196.0/24", "network network 192.31.0.0/16",
		}},
		{"url", "http://[2620:4f:8000::bad]/", []string{
			"exact url http://[2620:4f:8000::bad]", "url-host ip 2620:4f:8000::bad", "network network 2620:4f:8000::bad/128",
			"network network 2620:4f:8000::/48", "network network 2620:4f::/32", "network network 2620::/24", "network network 2620::/16",
		}},
		{"url", "http://10.0.0.1/", []string{"exact url http://10.0.0.1"}},
		{"url", "http://printer/", []string{"exact url http://printer"}},
		{"url", "http://1.0.0.10.in-addr.arpa/", []string{"exact url http://1.0.0.10.in-addr.arpa"}},
	}
	for _, tt := range tests {
		var got []string
		for _, r := range (engine.Observable{Type: tt.typ, Value: tt.value}).Related() {
			_, bits, network := strings.Cut(r.Indicator.Key, "/")
			if r.Kind == engine.MatchNetwork && network && !slices.Contains([]string{"16", "24", "32", "48", "128"}, bits) {
				continue
			}
			got = append(got, string(r.Kind)+" "+string(r.Indicator.Family)+" "+r.Indicator.Key)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", tt.typ, tt.value, diff)
		}
	}
}

// TestNetworkIndicators pairs networks as MISP stores them with the addresses in them.
func TestNetworkIndicators(t *testing.T) {
	for _, tt := range []struct {
		typ       engine.Type
		attribute string
		address   string
		want      bool
	}{
		{"ip-dst", "192.31.196.0/24", "192.31.196.77", true},
		{"ip-src", "192.31.196.0/24", "192.31.197.1", false},
		{"ip-dst", "192.31.196.9/24", "192.31.196.77", true}, // with bits of a host
		{"ip-dst", "::ffff:192.31.196.0/120", "192.31.196.77", true},
		{"ip-dst|port", "192.31.196.0/24|443", "192.31.196.77", true},
		{"ip-dst", "2620:4f:8000::/48", "2620:4f:8000::bad", true},
		{"ip-dst", "2620:004F:8000:0::/48", "2620:4f:8000::bad", true},
		{"ip-dst", "0.0.0.0/0", "192.31.196.77", false},
		{"ip-dst", "192.31.196.0/33", "192.31.196.77", false},
		{"hostname", "192.31.196.0/24", "192.31.196.77", false},
	} {
		indicators := engine.Indicators(tt.typ, tt.attribute)
		got := slices.ContainsFunc(engine.Observable{Type: "ip-dst", Value: tt.address}.Related(), func(r engine.Relation) bool {
			return slices.Contains(indicators, r.Indicator)
		})
		if got != tt.want {
			t.Errorf("%s %s for %s: %t", tt.typ, tt.attribute, tt.address, got)
		}
	}
}

func TestAge(t *testing.T) {
	for in, want := range map[string]string{"90d": "90d", "0": "0s", "36h": "36h0m0s", "48h": "2d", "-1d": "", "d": "", "x": "", "99999d": ""} {
		a, err := engine.ParseAge(in)
		if got := a.String(); err != nil && want != "" || err == nil && got != want {
			t.Errorf("%q is %q, %v; want %q", in, got, err, want)
		}
	}
}
