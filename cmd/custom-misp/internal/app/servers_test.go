package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/enrich/spool"
	"custom-misp/misp/misptest"
)

// collectedEvents are the events that were sent.
type collectedEvents []enrich.Body

func (c *collectedEvents) Send(_ context.Context, e enrich.Enrichment) error {
	*c = append(*c, e.Body)
	return nil
}

// read returns what came since the last call, in words.
func (c *collectedEvents) read() []string {
	list := []string{}
	for _, b := range *c {
		switch {
		case b.Error != "":
			list = append(list, string(b.Error)+" "+b.Server)
		case b.Recovered != "":
			list = append(list, "recovered "+b.Server)
		default:
			list = append(list, strings.TrimSpace(b.Observable.Value+" "+strings.Join(b.Origins, "+")+" "+b.MatchMode))
		}
	}
	*c = nil
	return list
}

// twoServers returns two servers that know the same events; the second one, named cert, also knows 192.31.196.77.
func twoServers(t *testing.T) (first, second *misptest.Server) {
	t.Helper()
	feed := os.DirFS("../../../../testdata/feed")
	first, second = misptest.New(t, feed), misptest.New(t, feed)
	second.PullEvent(`{"info":"known to cert","published":true,"date":"2026-09-01","threat_level_id":"2","analysis":"1","timestamp":"1788000000","Attribute":[
		{"type":"ip-dst","category":"Network activity","value":"192.31.196.77","to_ids":true,"timestamp":"1788000000"}]}`)
	return first, second
}

// configured returns a configuration with two servers.
func configured(t *testing.T, first, second, more, ofServer string) *config.Config {
	t.Helper()
	c := load(t, fmt.Sprintf("misp: {url: %q, key: %s, timeout: 2s, retries: 0}\nwazuh: {queue: %s}\n%s\n", first, misptest.Key, filepath.Join(t.TempDir(), "queue"), more))
	declare(t, c, map[string]string{
		"etc/custom-misp/sources/servers.yaml": fmt.Sprintf("version: 1\nservers:\n  - {name: cert, url: %q, key_file: etc/cert.key%s}\n", second, ofServer),
		"etc/cert.key":                         misptest.Key + "\n",
	})
	return c
}

func alertAbout(t *testing.T, id int, value string) enrich.Alert {
	t.Helper()
	a, err := enrich.ParseAlert(fmt.Appendf(nil, `{"rule":{"id":"31103","groups":["web"]},"id":"%d","data":{"srcip":%q}}`, id, value))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestTwoServersInCalls has one server fail in every way: the other's hits are sent at once, and what only the failing one knows
// comes when it is back. What both know comes once.
func TestTwoServersInCalls(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*misptest.Server){
		"down":         func(s *misptest.Server) { s.Set(misptest.Condition{DatabaseDown: true}) },
		"unauthorized": func(s *misptest.Server) { s.Set(misptest.Condition{Refused: misptest.NoUser}) },
		"slow": func(s *misptest.Server) {
			s.Fault(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, second := twoServers(t)
			c := configured(t, first.URL, second.URL, "", ", budget: 500ms")
			now := time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)
			var events collectedEvents
			call := func(id int, value string) {
				t.Helper()
				a, err := Build(c, Hooks{Log: cli.NoLog(), Sink: &events, Now: func() time.Time { return now }})
				if err != nil {
					t.Fatal(err)
				}
				defer a.Close()
				now = now.Add(time.Minute)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if _, err := a.Chain.Process(ctx, alertAbout(t, id, value)); err != nil {
					t.Fatal(err)
				}
			}
			expect := func(what string, want ...string) {
				t.Helper()
				if diff := cmp.Diff(append([]string{}, want...), events.read()); diff != "" {
					t.Errorf("%s (-want +got):\n%s", what, diff)
				}
			}
			call(1, "192.31.196.66")
			expect("both answer", "192.31.196.66 misp+cert")
			fail(second)
			code := map[string]string{"unauthorized": "misp_unauthorized"}[name]
			if code == "" {
				code = "misp_unavailable"
			}
			call(2, "192.31.196.66")
			expect("one answers", code+" cert", "192.31.196.66 misp")
			call(3, "192.31.196.77")
			expect("only the other knows it")
			waiting, err := NewSpool(c).DepthFor(spool.Delayed)
			if diff := cmp.Diff(map[string]int{"cert": 2}, waiting); diff != "" || err != nil {
				t.Error(diff, err)
			}
			second.Set(misptest.Condition{})
			second.Fault(nil)
			call(4, "192.31.196.66")
			expect("both answer again", "192.31.196.66 misp+cert", "192.31.196.77 cert delayed", "recovered cert")
		})
	}
}

// syncAll brings the mirror up to date.
func syncAll(t *testing.T, a *App) {
	t.Helper()
	for _, s := range a.Syncs {
		if _, err := s.Run(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	if a.Mirror != nil {
		a.Mirror.Refresh()
	}
}

// TestTwoServersUnderEveryPolicy finds what each server knows, whatever the policy, with a link to the right one.
func TestTwoServersUnderEveryPolicy(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"live", "mirror", "mirror-then-live"} {
		first, second := twoServers(t)
		c := configured(t, first.URL, second.URL, "lookup: {policy: "+policy+"}", "")
		var events collectedEvents
		a, err := Build(c, Hooks{Log: cli.NoLog(), Sink: &events})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		syncAll(t, a)
		if a.Mirror != nil {
			for _, name := range []string{"misp", "cert"} {
				if _, err := os.Stat(filepath.Join(StateOf(c).Mirror(), name, "state.json")); err != nil {
					t.Errorf("%s: %v", policy, err)
				}
			}
		}
		for id, value := range []string{"192.31.196.66", "192.31.196.77"} {
			if _, err := a.Chain.Process(t.Context(), alertAbout(t, id+1, value)); err != nil {
				t.Fatal(err)
			}
		}
		if len(events) != 2 {
			t.Fatalf("%s: %+v", policy, events)
		}
		if link := events[0].Link; !strings.HasPrefix(link, first.URL+"/events/view/") {
			t.Errorf("%s: link %s", policy, link)
		}
		if link := events[1].Link; !strings.HasPrefix(link, second.URL+"/events/view/") {
			t.Errorf("%s: link %s", policy, link)
		}
		if diff := cmp.Diff([]string{"192.31.196.66 misp+cert", "192.31.196.77 cert"}, events.read()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", policy, diff)
		}
	}
}

// TestServerFilters gives one server a filter of its own: it counts for that one, live and in the mirror, and in the verdict.
func TestServerFilters(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"live", "mirror"} {
		first, second := twoServers(t)
		c := configured(t, first.URL, second.URL, "lookup: {policy: "+policy+", orgs: [EXAMPLE-CERT, Example Threat Research]}", ", lookup: {orgs: [no one]}")
		a, err := Build(c, Hooks{Log: cli.NoLog()})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		syncAll(t, a)
		matches, err := a.Chain.Lookup.Lookup(t.Context(), []engine.Observable{{Type: "md5", Value: "67343d581e35ce9969ab1ff90372c6fa"}})
		if err != nil || len(matches) != 1 || matches[0].Attribute.Origin != "misp" {
			t.Fatalf("%s: %+v, %v", policy, matches, err)
		}
		if v := a.Suppress.OfMatch(matches[0]); !v.Reported() {
			t.Errorf("%s: %s", policy, v)
		}
		other := *matches[0].Attribute
		other.Origin = "cert"
		matches[0].Attribute = &other
		if v := a.Suppress.OfMatch(matches[0]); v.By != "lookup.orgs" {
			t.Errorf("%s: %s", policy, v)
		}
	}
}

// TestSightingsOfServers reports a sighting to each server that knows the attribute, and to no one else.
func TestSightingsOfServers(t *testing.T) {
	t.Parallel()
	first, second := twoServers(t)
	c := configured(t, first.URL, second.URL, "sightings: {enabled: true}", "")
	var events collectedEvents
	a, err := Build(c, Hooks{Log: cli.NoLog(), Sink: &events})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	sightings := func(s *misptest.Server) (n int) {
		for _, r := range s.Requests() {
			if strings.HasPrefix(r.Path, "/sightings/add") {
				n++
			}
		}
		return n
	}
	for id, value := range []string{"192.31.196.77", "192.31.196.66", "192.31.196.66"} {
		if _, err := a.Chain.Process(t.Context(), alertAbout(t, id+1, value)); err != nil {
			t.Fatal(err)
		}
		want := [][2]int{{0, 1}, {1, 2}, {1, 2}}[id] // the third is of the same day
		if got := [2]int{sightings(first), sightings(second)}; got != want {
			t.Errorf("after alert %d: %v sightings, want %v", id+1, got, want)
		}
	}
}

// TestServerWithoutKey asks the other server, queues for the one whose key file is missing, and says so as a fault.
func TestServerWithoutKey(t *testing.T) {
	t.Parallel()
	first, second := twoServers(t)
	c := configured(t, first.URL, second.URL, "", "")
	if err := os.Remove(filepath.Join(c.Home, "etc/cert.key")); err != nil {
		t.Fatal(err)
	}
	var events collectedEvents
	a, err := Build(c, Hooks{Log: cli.NoLog(), Sink: &events})
	if a == nil || err == nil || !strings.Contains(err.Error(), `servers.yaml:3: server "cert": key_file: open `) {
		t.Fatalf("%v", err)
	}
	defer a.Close()
	if _, err := a.Chain.Process(t.Context(), alertAbout(t, 1, "192.31.196.66")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"configuration_fault cert", "192.31.196.66 misp"}, events.read()); diff != "" {
		t.Error(diff)
	}
	if waiting, err := NewSpool(c).DepthFor(spool.Delayed); err != nil || waiting["cert"] != 1 {
		t.Errorf("%v, %v", waiting, err)
	}
	// With no server at all, it is the look-up that cannot be made.
	c = load(t, "log: {level: info}\n")
	declare(t, c, map[string]string{"etc/custom-misp/sources/a.yaml": "version: 1\nservers: [{name: cert, url: 'https://cert.example', key_file: gone}]\n"})
	a, err = Build(c, Hooks{Log: cli.NoLog()})
	if a != nil {
		a.Close()
	}
	if _, ok := errors.AsType[*LookupError](err); !ok {
		t.Errorf("%v", err)
	}
}

// TestServerFaults leaves out what is wrong, with its place, the value and a remedy.
func TestServerFaults(t *testing.T) {
	t.Parallel()
	const server = "key_file: etc/k, url: 'https://cert.example'"
	for name, tt := range map[string]struct{ file, fault string }{
		"misp's name":   {"servers: [{name: misp, " + server + "}]", `the name "misp" is that of the MISP at misp.url; give it another name`},
		"a bad name":    {"servers: [{name: CERT, " + server + "}]", `"CERT" is no name of a server; use small letters, digits, - and _, at most 20`},
		"one name":      {"servers: [{name: a, " + server + "}, {name: a, key_file: k, url: 'https://b.example'}]", `the name "a" is already taken in `},
		"a source's":    {"sources: [{name: a, format: lines, path: x}]\nservers: [{name: a, " + server + "}]", `the name "a" is already taken in `},
		"a list's name": {"servers: [{name: list, " + server + "}]", `the name "list" is taken by mirror.feeds or mirror.lists; give one of them another name`},
		"one url":       {"servers: [{name: a, " + server + "}, {name: b, key_file: k, url: 'HTTPS://CERT.example:443/'}]", `server "a" has this url already, in `},
		"misp.url":      {"servers: [{name: a, key_file: k, url: 'https://misp.example.org/'}]", `server "a" has the url of misp.url, https://misp.example.org; take one of them out`},
		"no url":        {"servers: [{name: a, key_file: k}]", `lacks the key "url"`},
		"no address":    {"servers: [{name: a, key_file: k, url: cert.example}]", `url: "cert.example" is no http(s) address; write an address like https://misp.example.org`},
		"a password":    {"servers: [{name: a, key_file: k, url: 'https://u:secret@cert.example'}]", `url has a user, a query or a fragment; write host and path alone`},
		"no key file":   {"servers: [{name: a, url: 'https://cert.example'}]", `lacks the key "key_file"`},
		"a key":         {"servers: [{name: a, kye_file: k, url: 'https://cert.example'}]", `unknown key "kye_file" in a server; did you mean "key_file"?`},
		"a time":        {"servers: [{name: a, budget: soon, " + server + "}]", `budget: "soon" is no such time; write a time like 5s or 500ms, at most 24h`},
		"retries":       {"servers: [{name: a, retries: -1, " + server + "}]", `retries: "-1" is no such number; write a number from 0 to 100`},
		"a pin":         {"servers: [{name: a, pins: [x], " + server + "}]", `pins: `},
		"a filter":      {"servers: [{name: a, lookup: {min_threat_level: hi}, " + server + "}]", `min_threat_level: "hi" is not one of `},
		"match kinds":   {"servers: [{name: a, lookup: {match_kinds: [exact]}, " + server + "}]", `match_kinds is no filter of a server; set lookup.match_kinds`},
		"a certificate": {"servers: [{name: a, client_cert_file: c, " + server + "}]", `needs both client_cert_file and client_key_file; give both`},
		"nothing":       {"# empty", `lacks the key "sources"; or the key "servers"`},
	} {
		c := load(t, "misp: {url: https://misp.example.org}\nmirror: {lists: [list=x]}\n")
		declare(t, c, map[string]string{"etc/custom-misp/sources/a.yaml": "version: 1\n" + tt.file + "\n"})
		d, faults, err := declarations(c)
		if err != nil || len(faults) == 0 || !strings.Contains(faults.Error(), tt.fault) || strings.Contains(faults.Error(), "secret@") {
			t.Errorf("%s: %v, %v, want %q", name, faults, err, tt.fault)
		}
		if len(faults) > 0 && faults[0].Line < 1 {
			t.Errorf("%s: no place: %+v", name, faults[0])
		}
		if n := map[string]int{"one name": 1, "one url": 1}[name]; len(d.Servers) != n { // the first of two
			t.Errorf("%s: %d servers", name, len(d.Servers))
		}
	}
}

// TestServerSettings reads all settings of a server, and those of misp for what it leaves out.
func TestServerSettings(t *testing.T) {
	t.Parallel()
	c := load(t, "misp: {url: https://misp.example.org, key: k, proxy: 'http://proxy.example', retries: 1}\nlookup: {to_ids: true}\nmirror: {interval: 2m}\nsightings: {enabled: true}\n")
	declare(t, c, map[string]string{"etc/custom-misp/sources/a.yaml": `version: 1
servers:
  - {name: plain, url: 'https://one.example', key_file: etc/one.key}
  - name: full
    url: https://two.example/misp
    key_file: /k
    ca_file: etc/ca.pem
    proxy: http://other.example:3128
    timeout: 7s
    retries: 0
    budget: 1s
    lookup: {tags: [apt], to_ids: false}
    mirror: false
    refresh: 5m
    sightings: false
`})
	servers, err := Servers(c)
	if err != nil || len(servers) != 3 {
		t.Fatal(servers, err)
	}
	type settings struct {
		Name, Key, CA, Proxy string
		Timeout, Budget      time.Duration
		Retries              int
		Mirrored, Sightings  bool
		Refresh              time.Duration
		Tags                 string
		ToIDs                bool
	}
	var got []settings
	for _, s := range servers {
		got = append(got, settings{
			s.Name, s.MISP.Key.File, s.CAFile, s.Proxy, s.Timeout, s.Budget, s.Retries, s.Mirrored, s.Sightings, s.Refresh,
			strings.Join(s.Filter.Tags, ","), *s.Filter.ToIDs,
		})
	}
	home := func(name string) string { return filepath.Join(c.Home, name) }
	want := []settings{
		{"misp", "", "", "http://proxy.example", 5 * time.Second, 5 * time.Second, 1, true, true, 2 * time.Minute, "", true},
		{"plain", home("etc/one.key"), "", "http://proxy.example", 5 * time.Second, 5 * time.Second, 1, true, true, 2 * time.Minute, "", true},
		{"full", "/k", home("etc/ca.pem"), "http://other.example:3128", 7 * time.Second, time.Second, 0, false, false, 5 * time.Minute, "apt", false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// Who names a MISP for one look-up wants the answer of that one.
	alone, err := config.Load(config.Request{Home: c.Home, Flags: config.Flags{URL: "https://three.example"}})
	if err != nil {
		t.Fatal(err)
	}
	if servers, err := Servers(alone); err != nil || len(servers) != 1 || servers[0].URL != "https://three.example" {
		t.Errorf("%+v, %v", servers, err)
	}
}
