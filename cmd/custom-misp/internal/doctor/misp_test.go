package doctor

import (
	"encoding/json"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
		{"authority", nil, setting(map[string]any{"misp.ca_file": ""}), "misp-tls", StatusProblem, "has a certificate that is not trusted", "name the certificate of its authority with misp.ca_file, which this shows: openssl s_client"},
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
		{"sightings", nil, setting(map[string]any{"sightings.enabled": true}), "misp-sightings", StatusProblem, "sightings.enabled is set, but the key must not add sightings; look-ups work", "perm_sighting"},
		{"sightings, the role", nil, setting(map[string]any{"sightings.enabled": true}), "misp-role", StatusOK, `"Read Only", which may read`, ""},
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

// TestDoctorEndpoints compares whole findings about the endpoints that a mirror and sightings need.
func TestDoctorEndpoints(t *testing.T) {
	const (
		mirror    = "lookup: {policy: mirror-then-live}\n"
		sightings = "sightings: {enabled: true}\n"
		version   = "/servers/getVersion"
		user      = "/users/view/me"
		raise     = "raise the limit, or take it away, in MISP: Administration, List Roles"
	)
	finding := func(check string, s Status, found, remedy string) Finding {
		return Finding{Check: check, Status: s, Found: found, Remedy: remedy}
	}
	limited := func(limit string) string {
		return `{"Role":{"name":"wazuh","perm_auth":true,"perm_sighting":true,"enforce_rate_limit":true,"rate_limit_count":"` + limit + `"}}`
	}
	newest := map[string]string{"/attributes/restSearch": `{"response":{"Attribute":[{"id":"205490","type":"md5","value":"x","uuid":"262b4eb5-37a1-55ba-8236-f3824a9b682e"}]}}`}
	for name, tt := range map[string]struct {
		config  string
		answers map[string]string
		refused string // endpoint with status 403
		want    Finding
	}{
		"events": {config: mirror, want: finding("misp-events", StatusOK, "the list of events (events/index) can be read", "")},
		"events refused": {
			config: mirror, refused: "/events/index",
			want: finding(
				"misp-events", StatusProblem, "MISP at HOST answered 403 to events/index: You do not have permission to use this functionality",
				"the mirror needs this list of all events: allow POST to it for the key's user, in MISP's roles and in any proxy before MISP, or set lookup.policy to live",
			),
		},
		"walk":          {config: mirror, want: finding("misp-walk", StatusOK, "a walk over all of MISP takes about 1 question", "")},
		"walk, larger":  {config: mirror, answers: newest, want: finding("misp-walk", StatusOK, "a walk over all of MISP takes about 42 questions", "")},
		"walk, limited": {config: mirror, answers: with(newest, user, limited("20")), want: finding("misp-walk", StatusWarning, `a walk over all of MISP takes about 42 questions, and the role "wazuh" may make 20 in 15 minutes: it takes more than 30m0s`, raise)},
		"walk, none":    {config: mirror, answers: with(newest, user, limited("0")), want: finding("misp-walk", StatusProblem, `a walk over all of MISP takes about 42 questions, and the role "wazuh" may make none`, raise)},
		"sightings": {
			config: sightings, answers: map[string]string{version: `{"version":"2.5.1","perm_sighting":true}`},
			want: finding("misp-sightings", StatusOK, "sightings may be added; none was", ""),
		},
		"sightings refused": {
			config: sightings, answers: map[string]string{version: `{"version":"2.5.1","perm_sighting":true}`}, refused: "/sightings/add",
			want: finding(
				"misp-sightings", StatusProblem, "MISP at HOST answered 403 to sightings/add: You do not have permission to use this functionality",
				"give the role of the key's user perm_sighting in MISP (Administration, List Roles), and use a key that is not read-only; or set sightings.enabled to false",
			),
		},
		"a read-only key": {
			config: sightings, answers: map[string]string{version: `{"version":"2.5.1","perm_sighting":false}`, user: limited("100")},
			want: finding(
				"misp-sightings", StatusProblem, `sightings.enabled is set, but the key is read-only; its role "wazuh" may add sightings, and look-ups work`,
				"make a key for its user in MISP that is not read-only; or set sightings.enabled to false",
			),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWard(t)
			w.configure(t, tt.config)
			w.answers = tt.answers
			if tt.refused != "" {
				w.misp.Fault(func(rw http.ResponseWriter, r *http.Request) {
					if r.URL.Path == tt.refused {
						misptest.Message(rw, http.StatusForbidden, misptest.NoPermission)
						return
					}
					w.misp.Answer(rw, r)
				})
			}
			_, host, _ := strings.Cut(w.url, "://")
			for _, f := range w.examine(t, nil) {
				if f.Check != tt.want.Check {
					continue
				}
				f.Found = strings.ReplaceAll(f.Found, host, "HOST")
				if diff := cmp.Diff(tt.want, f); diff != "" {
					t.Errorf("finding (-want +got):\n%s", diff)
				}
				if n := len(w.misp.Sightings()); n > 0 {
					t.Errorf("%d sightings were added", n)
				}
				return
			}
			t.Errorf("no finding %s", tt.want.Check)
		})
	}
}

// with returns a copy of answers with one more.
func with(answers map[string]string, path, body string) map[string]string {
	more := maps.Clone(answers)
	more[path] = body
	return more
}
