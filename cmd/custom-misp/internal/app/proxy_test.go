package app

import (
	"net/http"
	"net/url"
	"testing"

	"custom-misp/cmd/custom-misp/internal/config"
)

// TestProxy has each address go through the proxy, but for those that are left out.
func TestProxy(t *testing.T) {
	t.Parallel()
	if Proxy(config.MISP{}) != nil {
		t.Error("without a proxy, the environment does not count")
	}
	through := Proxy(config.MISP{Proxy: "http://proxy.example.org:3128", NoProxy: []string{"misp.example.net", ".corp.example", "192.0.2.0/24"}})
	for address, want := range map[string]string{
		"https://misp.example.org": "http://proxy.example.org:3128", "http://misp.example.org": "http://proxy.example.org:3128",
		"https://misp.example.net": "", "https://misp.corp.example": "", "https://192.0.2.7": "", "https://198.51.100.7": "http://proxy.example.org:3128",
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if proxy, err := through(&http.Request{URL: u}); err != nil {
			t.Error(err)
		} else if proxy != nil {
			got = proxy.String()
		}
		if got != want {
			t.Errorf("%s goes through %q, want %q", address, got, want)
		}
	}
}
