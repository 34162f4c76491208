package app

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine"
	"custom-misp/misp/misptest"
	"custom-misp/misp/source"
)

// declare writes files below the home of a configuration.
func declare(t *testing.T, c *config.Config, files map[string]string) {
	t.Helper()
	for name, content := range files {
		name = filepath.Join(c.Home, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

const declaredList = "version: 1\nsources:\n  - {name: list, path: list.txt, format: lines}\n"

// TestSourcesUnderEveryPolicy finds what a declared source knows, and what MISP knows, whatever the policy.
func TestSourcesUnderEveryPolicy(t *testing.T) {
	t.Parallel()
	server := misptest.New(t, os.DirFS("../../../../testdata/feed"))
	for policy, syncs := range map[string]int{"live": 1, "mirror": 2, "mirror-then-live": 2} {
		c := load(t, "misp: {url: \""+server.URL+"\", key: "+misptest.Key+"}\nlookup: {policy: "+policy+"}")
		declare(t, c, map[string]string{"etc/custom-misp/sources/a.yaml": declaredList, "list.txt": "192.31.196.9\n"})
		a, err := Build(c, Hooks{Log: cli.NoLog()})
		if err != nil {
			t.Fatal(policy, err)
		}
		defer a.Close()
		if len(a.Syncs) != syncs {
			t.Errorf("%s: %d sources are synced, want %d", policy, len(a.Syncs), syncs)
		}
		// A source that was never synced keeps nothing from MISP.
		if got := originsOf(t, a, "192.31.196.66"); policy == "live" && !strings.HasPrefix(got, "hit:") {
			t.Errorf("before the first sync: %q", got)
		}
		for _, s := range a.Syncs {
			if _, err := s.Run(t.Context(), false); err != nil {
				t.Fatal(policy, err)
			}
		}
		a.Mirror.Refresh()
		if got := originsOf(t, a, "192.31.196.9"); got != "hit:list" {
			t.Errorf("%s: of the source: %q", policy, got)
		}
		if got := originsOf(t, a, "192.31.196.66"); !strings.HasPrefix(got, "hit:") || strings.Contains(got, "list") {
			t.Errorf("%s: of MISP: %q", policy, got)
		}
	}
}

// originsOf looks an address up, and returns whose hits there are, or the error.
func originsOf(t *testing.T, a *App, value string) string {
	t.Helper()
	matches, err := a.Chain.Lookup.Lookup(t.Context(), []engine.Observable{{Type: "ip-dst", Value: value}})
	if err != nil {
		return err.Error()
	}
	var origins []string
	for _, m := range matches {
		origins = append(origins, "hit:"+m.Attribute.Origin)
	}
	return strings.Join(origins, " ")
}

// TestSourceFaults leaves out what is wrong, and says so.
func TestSourceFaults(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ config, file, fault string }{
		"no place":      {"", "version: 1\nsources: [{name: a, format: lines}]", `source "a" has no place; give it a url, or the path of a file`},
		"MISP's name":   {"", "version: 1\nsources: [{name: misp, format: lines, path: x}]", `the name "misp" is that of MISP`},
		"a list's name": {"mirror: {lists: [a=x]}", "version: 1\nsources: [{name: a, format: lines, path: x}]", `the name "a" is taken by mirror.feeds or mirror.lists`},
		"twice":         {"", "version: 1\nsources: [{name: a, format: lines, path: x}, {name: a, format: lines, path: y}]", `the name "a" is already taken`},
		"a secret":      {"", "version: 1\nsources: [{name: a, format: lines, url: https://x.example, headers: {Auth-Key: abc}}]", `header "Auth-Key" holds a secret`},
		"no secret":     {"", "version: 1\nsources: [{name: a, format: lines, 'url': 'https://x.example/${KEY}'}]", `the address needs the secret "KEY", which no file has`},
		"both":          {"", "version: 1\nsources: [{name: a, format: lines, url: https://x.example, path: y}]", "both url and path are given"},
		"a preset":      {"", "version: 1\nsources: [{name: a, preset: urlhouse}]", `preset "urlhouse" is unknown; did you mean "urlhaus"?`},
		"no values":     {"", "version: 1\nsources: [{name: a, format: csv, path: x}]", "format csv needs values"},
		"a type":        {"", "version: 1\nsources: [{name: a, format: lines, path: x, values: [{type: sha265}]}]", `type "sha265" is unknown; did you mean "sha256"?`},
		"expression":    {"", "version: 1\nsources: [{name: a, format: lines, path: x, only: 'rwo.a == 1'}]", "unknown name rwo; did you mean \"row\"?"},
		"a key":         {"", "version: 1\nsources: [{name: a, format: lines, pth: x}]", `unknown key "pth" in a source; did you mean "path"?`},
	} {
		c := load(t, tt.config+"\nlog: {level: info}\n")
		declare(t, c, map[string]string{"etc/custom-misp/sources/a.yaml": tt.file + "\n"})
		_, faults, err := Sources(c)
		if err != nil || len(faults) == 0 || !strings.Contains(faults.Error(), tt.fault) {
			t.Errorf("%s: %v, %v, want %q", name, faults, err, tt.fault)
		}
		if len(faults) > 0 && faults[0].Line < 1 {
			t.Errorf("%s: no place: %+v", name, faults[0])
		}
	}
}

// TestSecrets reads keys from files, and shows none of them.
func TestSecrets(t *testing.T) {
	t.Parallel()
	c := load(t, "log: {level: info}\n")
	declare(t, c, map[string]string{
		"etc/custom-misp/sources/a.yaml": "version: 1\nsources:\n  - name: a\n    format: lines\n    url: 'https://u:pw@x.example/v2/${KEY}/recent.csv?token=abc'\n    secrets: {KEY: {file: etc/a.key}}\n    headers: {Auth-Key: {file: etc/b.key}, Accept: text/plain}\n",
		"etc/a.key":                      "s3cret/1\n", "etc/b.key": "other\n",
	})
	sources, faults, err := Sources(c)
	if err != nil || len(faults) > 0 {
		t.Fatal(faults, err)
	}
	a, err := accessOf(c, sources[0])
	if err != nil || a.Place != "https://u:pw@x.example/v2/s3cret%2F1/recent.csv?token=abc" || a.Headers.Get("Auth-Key") != "other" || a.Headers.Get("Accept") != "text/plain" {
		t.Errorf("%s, %v, %v", a.Place, a.Headers, err)
	}
	if a.Shown != "https://x.example/v2/${KEY}/recent.csv?token=…" {
		t.Errorf("shown %s", a.Shown)
	}
	if err := os.Chmod(filepath.Join(c.Home, "etc/b.key"), 0o644); err != nil { //nolint:gosec // the mode that is refused
		t.Fatal(err)
	}
	if _, err := accessOf(c, sources[0]); err == nil || !strings.Contains(err.Error(), "open to everybody") {
		t.Errorf("a key that everybody can read: %v", err)
	}
}

// TestAccess asks with a user and a password, a key as user, or a token, all from files.
func TestAccess(t *testing.T) {
	t.Parallel()
	c := load(t, "log: {level: info}\n")
	declare(t, c, map[string]string{"etc/a.key": "s3cret\n", "etc/ca.pem": "x"})
	for keys, want := range map[string]string{
		"auth: {user: soc, password: {file: etc/a.key}}":                      "Basic c29jOnMzY3JldA==",
		"auth: {user: {file: etc/a.key}}":                                     "Basic czNjcmV0Og==",
		"auth: {bearer: {file: etc/a.key}}":                                   "Bearer s3cret",
		"ca_file: etc/ca.pem":                                                 "",
		"auth: {bearer: {file: etc/none.key}}":                                "auth.bearer: open ",
		"auth: {user: soc, password: {file: etc/none.key}}":                   "auth.password: open ",
		"auth: {user: {file: etc/none.key}}":                                  "auth.user: open ",
		"ca_file: etc/none.pem":                                               "ca_file: open ",
		"proxy: 'http://u:${K}@p.example:1', secrets: {K: {file: etc/a.key}}": "",
	} {
		declare(t, c, map[string]string{"etc/custom-misp/sources/a.yaml": "version: 1\nsources:\n  - {name: a, format: taxii, url: 'https://x.example/', " + keys + "}\n"})
		sources, faults, err := Sources(c)
		if err != nil || len(faults) > 0 {
			t.Fatal(keys, faults, err)
		}
		a, err := accessOf(c, sources[0])
		got := a.Headers.Get("Authorization")
		if err != nil {
			got = err.Error()
		}
		if want == "" && got != "" || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", keys, got, want)
		}
		if strings.HasPrefix(keys, "ca_file: etc/ca") && string(a.CA) != "x" || strings.HasPrefix(keys, "proxy") && a.Proxy != "http://u:s3cret@p.example:1" {
			t.Errorf("%s: %+v", keys, a)
		}
	}
}

// TestPreviewOfServer looks at a server by a preset or a declaration, with its key, and names the key that lacks.
func TestPreviewOfServer(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-OTX-API-KEY") != "s3cret" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, `{"next":null,"results":[{"id":"p","name":"P","indicators":[{"indicator":"bad.example","type":"hostname"}]}]}`)
	}))
	defer server.Close()
	c := load(t, "log: {level: info}\n")
	r := PreviewRequest{What: server.URL + "/api/v1/pulses/subscribed", Preset: "otx"}
	if _, _, err := PreviewOf(t.Context(), c, r); err == nil || !strings.Contains(err.Error(), "header X-OTX-API-KEY: open ") || !strings.Contains(err.Error(), "otx.key") {
		t.Errorf("no key: %v", err)
	}
	declare(t, c, map[string]string{"etc/otx.key": "s3cret\n"})
	form, content, err := PreviewOf(t.Context(), c, r)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close() //nolint:errcheck // only read
	if m, err := form.Measure(t.Context(), content, time.Now()); err != nil || m.Report.Total() != 1 {
		t.Errorf("%+v, %v", m.Report, err)
	}
}

// TestSuggestServer knows a server of TAXII by what it says about itself.
func TestSuggestServer(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept"), source.TAXIIType) {
			w.WriteHeader(http.StatusNotAcceptable)
			return
		}
		_, _ = io.WriteString(w, `{"title":"T","api_roots":["/api1/"]}`)
	}))
	defer server.Close()
	content, err := ReadContent(t.Context(), server.URL+"/taxii2/")
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close() //nolint:errcheck // only read
	text, doubt, err := source.Suggest("partner", content)
	if err != nil || !strings.Contains(text, "name: partner\n    format: taxii\n") || !strings.Contains(doubt, "declare its address as url") {
		t.Errorf("%q, %q, %v", text, doubt, err)
	}
}
