package api_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp/api"
)

// TestDeclaredServer names the declaration in remedies, where there are several servers, and says whose an attribute is.
func TestDeclaredServer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusFound) }))
	defer server.Close()
	for declared, want := range map[string]string{
		"":                                "is MISP in maintenance, or misp.url not exactly its base address (http or https, path)?",
		`server "cert" in servers.yaml:3`: `is MISP in maintenance, or url of server "cert" in servers.yaml:3 not exactly its base address (http or https, path)?`,
	} {
		c := client(t, func(c *api.Config) { c.Declared = declared }, server.URL)
		_, err := c.Lookup(t.Context(), []engine.Observable{observable("ip-dst", "192.31.196.66")})
		if trouble, ok := errors.AsType[*enrich.Trouble](err); !ok || trouble.Remedy != want {
			t.Errorf("%q: %v", declared, err)
		}
	}
}
