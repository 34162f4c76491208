package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/sjson"

	"custom-misp/engine/enrich/spool"
	"custom-misp/misp/misptest"
)

// callTime is the time of a call in these tests; slack is what a busy machine may add to it.
const (
	callTime = 3 * time.Second
	slack    = 3 * time.Second
)

// A fault is one way in which MISP is not what it should be.
type fault struct {
	// answer answers instead of MISP; nil if no connection comes that far.
	answer http.HandlerFunc
	// url returns where MISP is said to be, if not where it is.
	url  func(t *testing.T, s *site) string
	code string // of the error event
}

// site is a Wazuh home whose MISP can be made to fail.
type site struct {
	*testManager
	elsewhere *atomic.Int32 // requests to a host that a redirect names
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{newHome(t), &atomic.Int32{}}
	s.configure(t, s.misp.URL)
	return s
}

// configure writes the configuration. A certificate in etc/ca.pem is trusted.
func (s *site) configure(t *testing.T, url string) {
	t.Helper()
	ca := ""
	if _, err := os.Stat(filepath.Join(s.home, "etc/ca.pem")); err == nil {
		ca = "etc/ca.pem"
	}
	config := fmt.Sprintf("misp: {url: %q, key: %s, ca_file: %q, timeout: 700ms, retries: 3}\ntimeout: %s\nsightings: {enabled: true}\n",
		url, misptest.Key, ca, callTime)
	if err := os.WriteFile(filepath.Join(s.home, "etc/custom-misp.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

// enrich is one call by integratord, in this process. It checks what holds whatever is wrong: no output, exit
// code 0, and an end in time.
func (s *site) enrich(t *testing.T, alert string) {
	t.Helper()
	path := filepath.Join(s.home, "tmp", alert+".alert")
	if err := os.WriteFile(path, bundled(t, alert), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	start := time.Now()
	code := run(context.Background(), []string{"integrations", "--home", s.home, path}, strings.NewReader(""), &out, &out)
	if took := time.Since(start); took > callTime+slack {
		t.Errorf("the call took %s", took)
	}
	if code != 0 || out.Len() > 0 {
		t.Errorf("exit code %d, output %q", code, out.String())
	}
}

// queued returns how many alerts and events are in the spool.
func (s *site) queued(t *testing.T) (alerts, events int) {
	t.Helper()
	queue := spool.Dir{Path: filepath.Join(s.home, "logs/custom-misp/spool")}
	depth, err := queue.Depth()
	if err != nil || depth.DeadLetters > 0 {
		t.Fatalf("%d dead letters, %v", depth.DeadLetters, err)
	}
	return depth.Alerts, depth.Events
}

// told sums up events: "error CODE", "recovered CODE", or "hit ALERT VALUE", sorted.
func told(events []map[string]any) []string {
	var out []string
	for _, e := range events {
		switch {
		case e["error"] != nil:
			out = append(out, fmt.Sprint("error ", e["error"]))
		case e["recovered"] != nil:
			out = append(out, fmt.Sprint("recovered ", e["recovered"]))
		case e["notice"] != nil: // neither a hit nor trouble
		default:
			out = append(out, fmt.Sprint("hit ", e["source"].(map[string]any)["alert_id"], " ", e["observable"].(map[string]any)["value"]))
		}
	}
	slices.Sort(out)
	return out
}

// hits is what [told] makes of the events that alerts have when nothing is wrong.
func hits(t *testing.T, alerts ...string) []string {
	t.Helper()
	s := newSite(t)
	var out []string
	for _, a := range alerts {
		s.enrich(t, a)
		_, events := s.received(t)
		out = append(out, told(events)...)
	}
	slices.Sort(out)
	return out
}

// hijack takes a connection out of the hands of HTTP.
func hijack(w http.ResponseWriter, do func(net.Conn)) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	do(conn)
	_ = conn.Close()
}

// drip sends an answer that never ends, a byte at a time.
func drip(w http.ResponseWriter, r *http.Request, body string) {
	w.Header().Set("Content-Type", "application/json")
	for i := 0; ; i++ {
		if _, err := io.WriteString(w, body[i%len(body):i%len(body)+1]); err != nil {
			return
		}
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// selfSigned makes a certificate for 127.0.0.1.
func selfSigned(t *testing.T, until time.Time) (tls.Certificate, []byte) {
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

// secureURL starts a server with a certificate and returns its address.
func secureURL(t *testing.T, certificate tls.Certificate) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// faults are all of them.
func faults() map[string]fault {
	status := func(code int, kind, body string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}
	}
	message := func(code int, header ...string) http.HandlerFunc {
		return status(code, "application/json", `{"name":"no","message":"no","url":"/attributes/restSearch"}`, header...)
	}
	page := "<html><body>Bad Gateway</body></html>"
	return map[string]fault{
		"refused": {code: "misp_unavailable", url: func(t *testing.T, _ *site) string {
			l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // loopback
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close() //nolint:errcheck // to be refused there
			return "http://" + l.Addr().String()
		}},
		"DNS failure": {code: "misp_unavailable", url: func(*testing.T, *site) string { return "http://misp.invalid" }},
		"TLS, unknown CA": {code: "misp_tls", url: func(t *testing.T, _ *site) string {
			certificate, _ := selfSigned(t, time.Now().Add(time.Hour))
			return secureURL(t, certificate)
		}},
		"TLS, expired": {code: "misp_tls", url: func(t *testing.T, s *site) string {
			certificate, ca := selfSigned(t, time.Now().Add(-time.Hour))
			if err := os.WriteFile(filepath.Join(s.home, "etc/ca.pem"), ca, 0o600); err != nil {
				t.Fatal(err)
			}
			return secureURL(t, certificate)
		}},
		"400":                     {answer: message(400), code: "misp_rejected"},
		"401":                     {answer: status(401, "text/html", page), code: "misp_unauthorized"},
		"403":                     {answer: message(403), code: "misp_unauthorized"},
		"404":                     {answer: message(404), code: "misp_rejected"},
		"405":                     {answer: message(405), code: "misp_rejected"},
		"429":                     {answer: message(429), code: "misp_rate_limited"},
		"429 with Retry-After":    {answer: message(429, "Retry-After", "1"), code: "misp_rate_limited"},
		"429 with long wait":      {answer: message(429, "X-Rate-Limit-Reset", "900"), code: "misp_rate_limited"},
		"500":                     {answer: message(500), code: "misp_unavailable"},
		"502":                     {answer: status(502, "text/html", page), code: "misp_unavailable"},
		"503":                     {answer: status(503, "text/html", page), code: "misp_unavailable"},
		"504":                     {answer: status(504, "text/html", page), code: "misp_unavailable"},
		"HTML with 200":           {answer: status(200, "text/html", page), code: "misp_bad_answer"},
		"empty body":              {answer: status(200, "application/json", ""), code: "misp_bad_answer"},
		"truncated JSON":          {answer: status(200, "application/json", `{"response":{"Attribute":[{"id":"1","typ`), code: "misp_bad_answer"},
		"Content-Length too long": {answer: cut(`{"response":{"Attribute":[]}}`, 500), code: "misp_unavailable"},
		"Content-Length short":    {answer: cut(`{"response":{"Attribute":[]}}`, 9), code: "misp_bad_answer"},
		"1 GB body": {code: "misp_bad_answer", answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", strconv.Itoa(1<<30))
			block := bytes.Repeat([]byte(" "), 1<<20)
			for range 1024 {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}},
		"slow headers": {code: "misp_unavailable", answer: func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(callTime + slack):
			}
		}},
		"slow drip": {code: "misp_unavailable", answer: func(w http.ResponseWriter, r *http.Request) { drip(w, r, " ") }},
		"reset mid-body": {code: "misp_unavailable", answer: func(w http.ResponseWriter, _ *http.Request) {
			hijack(w, func(c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"response\":")
				_ = c.(*net.TCPConn).SetLinger(0)
			})
		}},
		"redirect loop": {code: "misp_unavailable", answer: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
		}},
		"redirect to another host": {code: "misp_unavailable", url: func(t *testing.T, s *site) string {
			other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { s.elsewhere.Add(1) }))
			t.Cleanup(other.Close)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
			}))
			t.Cleanup(server.Close)
			return server.URL
		}},
		"maintenance": {code: "misp_unavailable", answer: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/users/login", http.StatusFound)
		}},
	}
}

// cut answers with a body of another length than it says.
func cut(body string, length int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		hijack(w, func(c net.Conn) {
			_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", length, body)
		})
	}
}

// install makes MISP fail, and returns what mends it.
func (s *site) install(t *testing.T, f fault) (mend func()) {
	t.Helper()
	s.misp.Fault(f.answer)
	if f.url != nil {
		s.configure(t, f.url(t, s))
	}
	return func() {
		s.misp.Fault(nil)
		s.configure(t, s.misp.URL)
	}
}

// untilDone repeats calls that have nothing to look up themselves until nothing is held any more. A server that
// wants to be asked later (Retry-After) is.
func (s *site) untilDone(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		s.enrich(t, "windows-security-log-cleared")
		alerts, events := s.queued(t)
		if alerts+events == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d alerts and %d events are still held", alerts, events)
		}
	}
}

// forgetWait takes out of the state that the server asked to wait, so that no test has to wait so long.
func (s *site) forgetWait(t *testing.T) {
	t.Helper()
	name := filepath.Join(s.home, "logs/custom-misp/misp.json")
	data, err := os.ReadFile(name)
	if err != nil {
		return
	}
	for _, key := range []string{"retry_at", "version", "sum"} { // without both of the last, it counts as written by hand
		if data, err = sjson.DeleteBytes(data, key); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// The alerts of TestFaults.
const firstAlert, secondAlert, thirdAlert = "fim-added", "sysmon-windows-22-dns", "sysmon-linux-3-network"

// TestFaults meets every fault with the first alert, while queued alerts are worked on, and with a sighting. Whatever
// it is: the call ends in time and with exit code 0, one event reports it, and one that it is over, nothing is lost,
// and nothing is sent twice.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, name := range slices.Sorted(maps.Keys(faults())) {
		f := faults()[name]
		run := func(when string, test func(*testing.T, fault)) {
			t.Run(when+"/"+name, func(t *testing.T) {
				t.Parallel()
				test(t, f)
			})
		}
		run("first alert", faultFirst)
		run("during drain", faultDuringDrain)
		if f.answer != nil {
			run("after the own alert", faultAfterOwn)
			run("sighting", faultOfSighting)
		}
	}
}

func faultFirst(t *testing.T, f fault) {
	s := newSite(t)
	mend := s.install(t, f)
	s.enrich(t, firstAlert)
	_, events := s.received(t)
	if diff := cmp.Diff([]string{"error " + f.code}, told(events)); diff != "" {
		t.Fatalf("events (-want +got):\n%s", diff)
	}
	if n, _ := s.queued(t); n != 1 {
		t.Fatalf("%d alerts are queued", n)
	}
	start := time.Now()
	s.enrich(t, secondAlert) // there is an outage now: no patience, and no second event
	if took := time.Since(start); took > quickCall {
		t.Errorf("the second call took %s", took)
	}
	if _, events := s.received(t); len(events) != 0 {
		t.Errorf("further events %v", told(events))
	}
	mend()
	s.forgetWait(t)
	s.enrich(t, thirdAlert)
	s.untilDone(t)
	_, events = s.received(t)
	want := append(hits(t, firstAlert, secondAlert, thirdAlert), "recovered "+f.code)
	slices.Sort(want)
	if diff := cmp.Diff(want, told(events)); diff != "" {
		t.Errorf("events after it (-want +got):\n%s", diff)
	}
	if n := s.elsewhere.Load(); n > 0 {
		t.Errorf("%d requests went to another host", n)
	}
}

func faultDuringDrain(t *testing.T, f fault) {
	s := newSite(t)
	down := s.install(t, faults()["refused"])
	s.enrich(t, firstAlert)
	s.enrich(t, secondAlert)
	down()
	s.received(t)
	mend := s.install(t, f)
	s.enrich(t, "windows-security-log-cleared") // has nothing to look up, so what is queued meets the fault
	if n, _ := s.queued(t); n != 2 {
		t.Fatalf("%d alerts are queued", n)
	}
	if _, events := s.received(t); len(events) != 0 {
		t.Errorf("events %v", told(events))
	}
	mend()
	s.forgetWait(t)
	s.untilDone(t)
	_, events := s.received(t)
	want := hits(t, firstAlert, secondAlert)
	if diff := cmp.Diff(want, withoutRecovery(events)); diff != "" {
		t.Errorf("events after it (-want +got):\n%s", diff)
	}
	if len(events) != len(want)+1 {
		t.Errorf("the end of the outage was not reported once: %v", told(events))
	}
}

func faultAfterOwn(t *testing.T, f fault) {
	s := newSite(t)
	down := s.install(t, faults()["refused"])
	s.enrich(t, firstAlert)
	down()
	s.received(t)
	var questions atomic.Int32
	s.misp.Fault(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/attributes/restSearch" && questions.Add(1) > 1 {
			f.answer(w, r)
			return
		}
		s.misp.Answer(w, r)
	})
	s.enrich(t, secondAlert)
	if n, _ := s.queued(t); n != 1 {
		t.Fatalf("%d alerts are queued", n)
	}
	s.misp.Fault(nil)
	s.forgetWait(t)
	s.untilDone(t)
	_, events := s.received(t)
	if diff := cmp.Diff(hits(t, firstAlert, secondAlert), withoutRecovery(events)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func faultOfSighting(t *testing.T, f fault) {
	s := newSite(t)
	s.misp.Fault(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/sightings/add" {
			f.answer(w, r)
			return
		}
		s.misp.Answer(w, r)
	})
	s.enrich(t, firstAlert)
	_, events := s.received(t)
	if diff := cmp.Diff(hits(t, firstAlert), told(events)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if alerts, held := s.queued(t); alerts+held != 0 {
		t.Errorf("%d alerts and %d events are queued", alerts, held)
	}
	s.misp.Fault(nil)
	s.enrich(t, firstAlert)
	if n := len(s.misp.Sightings()); n != 1 {
		t.Errorf("%d sightings once MISP takes them", n)
	}
}

// withoutRecovery describes events, without those that report the end of an outage.
func withoutRecovery(events []map[string]any) []string {
	return slices.DeleteFunc(told(events), func(e string) bool { return strings.HasPrefix(e, "recovered ") })
}

// quickCall is how long a call may take while MISP is known to be unreachable: a question of 300 ms, and what a busy machine
// adds.
const quickCall = 1500 * time.Millisecond
