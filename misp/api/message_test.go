package api_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp/api"
	"custom-misp/misp/misptest"
)

// look asks what an alert asks.
func look(ctx context.Context, c *api.Client) error {
	_, err := c.Lookup(ctx, []engine.Observable{observable("ip-dst", "192.31.196.24")})
	return err
}

func listEvents(ctx context.Context, c *api.Client) error {
	_, _, err := c.Events(ctx, api.EventList{})
	return err
}

func sight(ctx context.Context, c *api.Client) error {
	return c.Sight(ctx, enrich.Sighting{UUID: "262b4eb5-37a1-55ba-8236-f3824a9b682e"})
}

// TestMessages compares whole messages. HOST is the host of the server, WAIT a time.
func TestMessages(t *testing.T) {
	t.Parallel()
	page := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=UTF-8")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
		}
	}
	refusal := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { misptest.Message(w, status, text) }
	}
	const httpsPort = "set misp.url to https://HOST"
	const mirrorNeeds = "the mirror needs this list of all events: allow POST to it for the key's user, in MISP's roles and in any proxy before MISP, or set lookup.policy to live"
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		ask    func(context.Context, *api.Client) error
		code   enrich.Code
		want   string
	}{
		"nginx, https port": {page(400, "<html><body>The plain HTTP request was sent to HTTPS port</body></html>"), look, enrich.CodeTLS, "MISP at HOST wants https at this port; " + httpsPort},
		"Apache, https port": {
			page(400, "Reason: You're speaking plain HTTP to an SSL-enabled server port."), look, enrich.CodeTLS, "MISP at HOST wants https at this port; " + httpsPort,
		},
		"another site": {
			page(404, "<html>Not Found</html>"), look, enrich.CodeRejected,
			"MISP at HOST answered 404 with a page that is not MISP's; is MISP below a path, like https://127.0.0.1/misp? set misp.url to the address of its start page",
		},
		"a proxy": {
			page(403, "<html>Forbidden</html>"), look, enrich.CodeUnauthorized,
			"MISP at HOST answered 403 with a page that is not MISP's; does a proxy, or another site, answer at misp.url? set it to the address of MISP's start page, and let the proxy pass the key (Authorization)",
		},
		"events/index 403": {
			refusal(403, misptest.NoPermission), listEvents, enrich.CodeUnauthorized,
			"MISP at HOST answered 403 to events/index: You do not have permission to use this functionality; " + mirrorNeeds,
		},
		"events/index 405": {
			refusal(405, "Method Not Allowed"), listEvents, enrich.CodeRejected, "MISP at HOST answered 405 to events/index: Method Not Allowed; " + mirrorNeeds,
		},
		"events/index, a bad key": {
			refusal(403, misptest.UserDisabled), listEvents, enrich.CodeUnauthorized,
			"MISP at HOST answered 403 to events/index: Authentication failed. Your user account has been disabled; check the key: still valid, not bound to other addresses, its user enabled and with a role that may use the API",
		},
		"sightings/add": {
			refusal(403, misptest.NoPermission), sight, enrich.CodeUnauthorized,
			"MISP at HOST answered 403 to sightings/add: You do not have permission to use this functionality; give the role of the key's user perm_sighting in MISP (Administration, List Roles), and use a key that is not read-only; or set sightings.enabled to false",
		},
		"a search": {
			refusal(403, misptest.NoPermission), look, enrich.CodeUnauthorized,
			"MISP at HOST answered 403: You do not have permission to use this functionality; give the role of the key's user this right in MISP: Administration, List Roles",
		},
		"no answer": {
			func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.ReadAll(r.Body) // else the end of the client is not noticed
				<-r.Context().Done()
			}, look, enrich.CodeUnavailable,
			"MISP at HOST did not answer in time: no answer to the question after WAIT; is MISP overloaded? misp.timeout and timeout set how long we wait",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(tt.answer)
			defer server.Close()
			expectMessage(t, server.URL, tt.ask, tt.code, tt.want)
		})
	}
}

// TestMessagesTLS does the same with servers of Go, which is a third that knows plain HTTP, and with one that says nothing.
func TestMessagesTLS(t *testing.T) {
	t.Parallel()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	secure.StartTLS()
	defer secure.Close()
	expectMessage(t, strings.Replace(secure.URL, "https:", "http:", 1)+"/misp", look, enrich.CodeTLS,
		"MISP at HOST wants https at this port; set misp.url to https://HOST/misp")
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	expectMessage(t, strings.Replace(plain.URL, "http:", "https:", 1), look, enrich.CodeTLS,
		"MISP at HOST does not speak TLS at this port; does misp.url have to begin with http:// or name another port?")
	silent, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close() //nolint:errcheck // a test
	expectMessage(t, "https://"+silent.Addr().String(), look, enrich.CodeUnavailable,
		"MISP at HOST did not answer in time: no end of the TLS handshake after WAIT; is it MISP that listens at this port, and not a proxy or a firewall? misp.timeout and timeout set how long we wait")
}

func expectMessage(t *testing.T, url string, ask func(context.Context, *api.Client) error, code enrich.Code, want string) {
	t.Helper()
	err := ask(t.Context(), client(t, func(c *api.Config) { c.Timeout = 500 * time.Millisecond }, url))
	trouble, ok := errors.AsType[*enrich.Trouble](err)
	if !ok {
		t.Fatalf("error is %v, not a Trouble", err)
	}
	_, rest, _ := strings.Cut(url, "://")
	host, _, _ := strings.Cut(rest, "/")
	got := regexp.MustCompile(`after [0-9.]+m?s`).ReplaceAllString(strings.ReplaceAll(err.Error(), host, "HOST"), "after WAIT")
	if trouble.Code != code || got != want {
		t.Errorf("%s\ngot:  %s\nwant: %s", trouble.Code, got, want)
	}
}
