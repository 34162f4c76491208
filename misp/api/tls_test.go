package api_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp/api"
	"custom-misp/misp/misptest"
)

// certificate makes a self-signed one for 127.0.0.1, and its PEM.
func certificate(t *testing.T, until time.Time) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: until.Add(-48 * time.Hour), NotAfter: until,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// TestTLSTrouble counts connections: what a certificate or a version is the trouble of, no second try mends.
func TestTLSTrouble(t *testing.T) {
	t.Parallel()
	good, goodPEM := certificate(t, time.Now().Add(24*time.Hour))
	old, oldPEM := certificate(t, time.Now().Add(-time.Hour))
	for name, tt := range map[string]struct {
		config *tls.Config
		ca     []byte
		says   string
	}{
		"unknown CA":          {&tls.Config{Certificates: []tls.Certificate{good}}, nil, "misp.ca_file"},
		"expired":             {&tls.Config{Certificates: []tls.Certificate{old}}, oldPEM, "renew MISP's certificate"},
		"too old a version":   {&tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS11}, goodPEM, "does it speak TLS 1.2"},
		"wants a certificate": {&tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAnyClientCert}, goodPEM, "without a client certificate"},
		"good":                {&tls.Config{Certificates: []tls.Certificate{good}}, goodPEM, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var connections atomic.Int32
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"response":{"Attribute":[]}}`)
			}))
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
				if s == http.StateNew {
					connections.Add(1)
				}
			}
			server.TLS = tt.config
			server.StartTLS()
			defer server.Close()
			c := client(t, func(c *api.Config) { c.CA, c.Retries = tt.ca, 2 }, server.URL)
			_, err := c.Lookup(context.Background(), []engine.Observable{observable("ip-dst", "192.31.196.24")})
			if tt.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			expectTrouble(t, err, enrich.CodeTLS, tt.says)
			if n := connections.Load(); n != 1 {
				t.Errorf("%d connections, want 1", n)
			}
		})
	}
}

// TestCancelled has an error that differs from that of a slow server.
func TestCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // so that the server notices when the client disconnects
		cancel()
		<-r.Context().Done()
	}))
	defer server.Close()
	_, err := client(t, func(c *api.Config) { c.Retries = 2 }, server.URL).Lookup(ctx, []engine.Observable{observable("ip-dst", "192.31.196.24")})
	expectTrouble(t, err, enrich.CodeUnavailable, "the look-up was cancelled")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v does not wrap context.Canceled", err)
	}
}

// TestWarninglists takes the names of the lists from the answer, and rejects by them where it is asked to.
func TestWarninglists(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		_, _ = io.WriteString(w, `{"response":{"Attribute":[
			{"id":"1","type":"ip-dst","value":"192.31.196.24","warnings":[{"match":"192.31.196.0/24","warninglist_name":"Sinkholes"}]},
			{"id":"2","type":"ip-src","value":"192.31.196.24"},
			{"id":"3","type":"ip-src","value":"192.31.196.24","deleted":true}]}}`)
	}))
	defer server.Close()
	yes, no := true, false
	strict := observable("ip-dst", "192.31.196.24")
	relaxed := strict
	relaxed.Filter = &engine.Filter{Warninglists: &no}
	for name, tt := range map[string]struct {
		asked engine.Observable
		want  []string
	}{
		"as configured":            {strict, []string{"2"}},
		"the mapping wants it all": {relaxed, []string{"1 Sinkholes", "2"}},
	} {
		c := client(t, func(c *api.Config) { c.Filter.Warninglists = &yes }, server.URL)
		matches, err := c.Lookup(context.Background(), []engine.Observable{tt.asked})
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for _, m := range matches {
			got = append(got, strings.Join(append([]string{m.Attribute.ID}, m.Attribute.Warninglists...), " "))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestLogHoldsNoKey reads everything that is logged of a look-up with retries.
func TestLogHoldsNoKey(t *testing.T) {
	t.Parallel()
	server := misptest.New(t, feed())
	server.Fault(func(w http.ResponseWriter, _ *http.Request) {
		server.Fault(nil)
		w.WriteHeader(http.StatusBadGateway)
	})
	var out bytes.Buffer
	c := client(t, func(c *api.Config) {
		c.Retries, c.Logger = 1, slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}, server.URL)
	if _, err := c.Lookup(context.Background(), []engine.Observable{observable("ip-dst", "192.31.196.24")}); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); !strings.Contains(s, "asking MISP again") || strings.Contains(s, misptest.Key) {
		t.Errorf("log is %q", s)
	}
}
