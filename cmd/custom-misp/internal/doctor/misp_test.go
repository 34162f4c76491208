package doctor

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/misp/misptest"
)

// TestDoctorMISP breaks one step on the way to MISP a case.
func TestDoctorMISP(t *testing.T) {
	answer := func(path, body string) func(*testing.T, *ward) {
		return func(_ *testing.T, w *ward) { w.answers = map[string]string{path: body} }
	}
	status403 := func(_ *testing.T, w *ward) {
		w.misp.Fault(func(rw http.ResponseWriter, _ *http.Request) { misptest.Message(rw, 403, "Authentication failed.") })
	}
	clock := func(d time.Duration) func(i *examination) {
		return func(i *examination) { i.now = func() time.Time { return time.Now().Add(d) } }
	}
	setting := func(values map[string]any) func(i *examination) {
		return func(i *examination) {
			options, err := json.Marshal(values)
			if err != nil {
				t.Fatal(err)
			}
			i.config, i.configErr = config.Load(config.Request{Home: i.Home, Options: options})
		}
	}
	feed, err := filepath.Abs("../../../../testdata/feed")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name          string
		spoil         func(*testing.T, *ward)
		change        func(i *examination)
		check         string
		status        Status
		found, remedy string
	}{
		{"name", nil, setting(map[string]any{"misp.url": "https://misp..invalid"}), "misp-name", StatusProblem, "the name misp..invalid in misp.url is not found", "getent hosts misp..invalid"},
		{"name, what follows", nil, setting(map[string]any{"misp.url": "https://misp..invalid"}), "misp-search", StatusSkipped, "not tried, see misp-name", ""},
		{"port", nil, setting(map[string]any{"misp.url": "https://127.0.0.1:1"}), "misp-connect", StatusProblem, "no connection to 127.0.0.1:1: connect", "curl -v https://127.0.0.1:1"},
		{"authority", nil, setting(map[string]any{"misp.ca_file": ""}), "misp-tls", StatusProblem, "has a certificate that is not trusted", "name the certificate of its authority with misp.ca_file; see it with: openssl s_client"},
		{"no TLS", func(t *testing.T, w *ward) { w.url = w.misp.URL; w.configure(t, "") }, nil, "misp-tls", StatusWarning, "the key travels in the clear", "https://"},
		{"TLS not spoken", func(t *testing.T, w *ward) {
			w.url = strings.Replace(w.misp.URL, "http://", "https://", 1)
			w.configure(t, "")
		}, nil, "misp-tls", StatusProblem, "does not speak TLS", "http://"},
		{"not checked", nil, setting(map[string]any{"misp.insecure_skip_verify": true}), "misp-tls", StatusWarning, "it is not checked", "misp.ca_file"},
		{"certificate ends", nil, func(i *examination) {
			i.now = func() time.Time { return time.Date(2084, 1, 26, 0, 0, 0, 0, time.UTC) } // three days before
		}, "misp-tls", StatusWarning, "good for 3 days more", "renew"},
		{"key refused", status403, nil, "misp-key", StatusProblem, "answered 403: Authentication failed", "check the key"},
		{"key refused, what follows", status403, nil, "misp-search", StatusSkipped, "not tried, see misp-key", ""},
		{"no key", func(t *testing.T, w *ward) { w.remove(t, "etc/custom-misp.key") }, nil, "misp-key", StatusProblem, "misp.key_file", ""},
		{"no MISP", answer("/servers/getVersion", `{"status":"UP"}`), nil, "misp-key", StatusProblem, "answered without a version", "misp.url"},
		{"role unknown", answer("/users/view/me", `[]`), nil, "misp-role", StatusSkipped, "does not tell the role", ""},
		{"sightings", nil, setting(map[string]any{"sightings.enabled": true}), "misp-role", StatusProblem, "must not add sightings", "perm_sighting"},
		{"clock", nil, clock(2 * time.Minute), "misp-clock", StatusWarning, "MISP's clock is 2m", "timedatectl"},
		{"clock far off", nil, clock(-time.Hour), "misp-clock", StatusProblem, "ahead", "timedatectl"},
		{"no search", answer("/attributes/restSearch", `{"response":"no"}`), nil, "misp-search", StatusProblem, "not a search result", "misp.url"},
		{"feed", nil, setting(map[string]any{"feed.dir": feed}), "misp", StatusSkipped, "is looked up in, and can be read", ""},
		{"feed gone", nil, setting(map[string]any{"feed.dir": "gone"}), "misp", StatusProblem, "feed.dir: HOME/gone", "feed.dir"},
		{"hook_url before the file", func(t *testing.T, w *ward) {
			w.block(t, "<name>custom-misp</name><alert_format>json</alert_format><level>3</level><hook_url>https://127.0.0.1:1</hook_url>")
		}, nil, "misp-connect", StatusProblem, "no connection to 127.0.0.1:1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWard(t)
			if tt.spoil != nil {
				tt.spoil(t, w)
			}
			w.want(t, w.examine(t, tt.change), tt.check, tt.status, tt.found, tt.remedy)
		})
	}
	for body, want := range map[string]Finding{
		`{"Role":{"name":"x","perm_auth":false}}`:                                                  {Status: StatusProblem, Found: "must not use the API"},
		`{"Role":{"name":"x","perm_auth":true,"perm_admin":true}}`:                                 {Status: StatusWarning, Found: "may change MISP"},
		`{"Role":{"name":"x","perm_auth":true,"enforce_rate_limit":true,"rate_limit_count":"60"}}`: {Status: StatusWarning, Found: "60 searches"},
	} {
		w := newWard(t)
		w.answers = map[string]string{"/users/view/me": body}
		w.want(t, w.examine(t, nil), "misp-role", want.Status, want.Found, "")
	}
}

// TestDoctorHangs checks that a MISP which never answers costs no more than the time of a call.
func TestDoctorHangs(t *testing.T) {
	w := newWard(t)
	release := make(chan struct{})
	defer close(release)
	w.misp.Fault(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	w.block(t, "<name>custom-misp</name><alert_format>json</alert_format><level>3</level><timeout>1</timeout>")
	start := time.Now()
	w.want(t, w.examine(t, nil), "misp-key", StatusProblem, "did not answer in time", "misp.timeout")
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("took %s", took)
	}
}
