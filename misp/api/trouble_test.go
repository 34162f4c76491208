package api_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp/api"
	"custom-misp/misp/misptest"
)

func TestTrouble(t *testing.T) {
	t.Parallel()
	text := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	message := func(status int, m string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { misptest.Message(w, status, m) }
	}
	tests := []struct {
		name  string
		fault http.HandlerFunc
		code  enrich.Code
		says  string
		tries int32
	}{
		{"403", message(403, "Authentication failed.\nPlease make sure."), enrich.CodeUnauthorized, "answered 403: Authentication failed. Please make sure; check the key", 1},
		{"403 with control characters", message(403, "a\x1b[31mb\u2028c"), enrich.CodeUnauthorized, "answered 403: a [31mb c; check", 1},
		{"403 that is too long", text(403, "text/html", strings.Repeat("x", 5000)), enrich.CodeUnauthorized, "answered 403 with a page that is not MISP's; does a proxy", 1},
		{"403 repeating the key", message(403, "bad key "+misptest.Key), enrich.CodeUnauthorized, "bad key ***", 1},
		{"401", text(401, "text/html", "<html>"), enrich.CodeUnauthorized, "answered 401 with a page that is not MISP's; does a proxy", 1},
		{"302 in maintenance", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/users/login", http.StatusFound)
		}, enrich.CodeUnavailable, "answered 302, a redirect; is MISP in maintenance", 1},
		{"400", message(400, "x"), enrich.CodeRejected, "answered 400: x", 1},
		{"404", message(404, "Not Found"), enrich.CodeRejected, "is misp.url the base address", 1},
		{"405", message(405, "x"), enrich.CodeRejected, "rate limit of 0", 1},
		{"429", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Rate-Limit-Reset", "900")
			misptest.Message(w, 429, "Rate limit exceeded.")
		}, enrich.CodeRateLimited, "it ends in 15m0s", 1},
		{"500", message(500, "An Internal Error Has Occurred."), enrich.CodeUnavailable, "answered 500: An Internal Error Has Occurred; see MISP's own logs", 3},
		{"502", text(502, "text/html", "<html>"), enrich.CodeUnavailable, "answered 502", 3},
		{"503", text(503, "text/html", "<html>"), enrich.CodeUnavailable, "answered 503", 3},
		{"504", text(504, "text/html", "<html>"), enrich.CodeUnavailable, "answered 504", 3},
		{"HTML with 200", text(200, "text/html; charset=UTF-8", "<html>login</html>"), enrich.CodeBadAnswer, "answered with text/html instead of JSON", 3},
		{"no type", text(200, "", `{"response":{"Attribute":[]}}`), enrich.CodeBadAnswer, "instead of JSON", 3},
		{"empty", text(200, "application/json", ""), enrich.CodeBadAnswer, "answered with nothing", 3},
		{"other JSON", text(200, "application/json", `{"response":[]}`), enrich.CodeBadAnswer, "not a search result", 1},
		{"no list", text(200, "application/json", `{"response":{"Attribute":null}}`), enrich.CodeBadAnswer, "no list response.Attribute", 1},
		{"an object for the list", text(200, "application/json", `{"response":{"Attribute":{"1":{}}}}`), enrich.CodeBadAnswer, "no list response.Attribute", 1},
		{"a list of errors", text(200, "application/json", `{"response":{"Attribute":["`+misptest.Key+`"]}}`), enrich.CodeBadAnswer, "something without a type among its attributes", 1},
		{"truncated JSON", text(200, "application/json", `{"response":{"Attribute":[{"id":"1"`), enrich.CodeBadAnswer, "JSON that breaks off", 3},
		{"too long", text(200, "application/json", `{"response":{"Attribute":[]}}`+strings.Repeat(" ", 5000)), enrich.CodeBadAnswer, "more than 4096 bytes", 1},
		{"answer breaks off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"response":`))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, enrich.CodeUnavailable, "the answer broke off", 3},
		{"connection reset", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, enrich.CodeUnavailable, "cannot be reached: EOF", 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var tries atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				tries.Add(1)
				tt.fault(w, r)
			}))
			defer server.Close()
			c := client(t, func(c *api.Config) { c.Retries, c.MaxAnswer = 2, 4096 }, server.URL)
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			_, err := c.Lookup(ctx, []engine.Observable{observable("ip-dst", "192.31.196.24")})
			expectTrouble(t, err, tt.code, tt.says)
			if n := tries.Load(); n != tt.tries {
				t.Errorf("%d tries, want %d", n, tt.tries)
			}
		})
	}
}

func expectTrouble(t *testing.T, err error, code enrich.Code, says string) {
	t.Helper()
	trouble, ok := errors.AsType[*enrich.Trouble](err)
	if !ok {
		t.Fatalf("error is %v, not a Trouble", err)
	}
	if trouble.Code != code || !strings.Contains(err.Error(), says) {
		t.Errorf("trouble %s %q, want %s and %q", trouble.Code, err, code, says)
	}
	if strings.Contains(err.Error(), misptest.Key) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q holds the key or several lines", err)
	}
}

func TestTroubleOfConnection(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer slow.Close()
	defer close(release)
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for name, tt := range map[string]struct {
		url  string
		code enrich.Code
		says string
	}{
		"refused":      {"http://" + closed, enrich.CodeUnavailable, "connection refused; is MISP running"},
		"no such name": {"http://misp.invalid", enrich.CodeUnavailable, "misp.invalid"},
		"slow":         {slow.URL, enrich.CodeUnavailable, "did not answer in time"},
		"unknown CA":   {secure.URL, enrich.CodeTLS, "name the certificate of its authority with misp.ca_file"},
		"no TLS":       {strings.Replace(plain.URL, "http:", "https:", 1), enrich.CodeTLS, "does not speak TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			c := client(t, func(c *api.Config) { c.Retries, c.Timeout = 1, 300*time.Millisecond }, tt.url)
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			_, err := c.Lookup(ctx, []engine.Observable{observable("ip-dst", "192.31.196.24")})
			expectTrouble(t, err, tt.code, tt.says)
		})
	}
}
