package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"custom-misp/misp/misptest"
)

const onlyCert = "only.cert.example"

// serveTwoServers has one of two servers go down under the policy live, and kills serve meanwhile: the hits of the other come at
// once, all who are asked name the one that is down, and what only that one knows comes when it is back, once.
func serveTwoServers(t *testing.T, built *testManager) {
	r := newResident(t, built, "")
	cert := misptest.New(t, os.DirFS("../../testdata/feed"))
	cert.PullEvent(`{"info":"known to cert","published":true,"date":"2026-09-01","threat_level_id":"2","analysis":"1","timestamp":"1788000000","Attribute":[
		{"type":"hostname","category":"Network activity","value":"` + onlyCert + `","to_ids":true,"timestamp":"1788000000"},
		{"type":"hostname","category":"Network activity","value":"late.` + onlyCert + `","to_ids":true,"timestamp":"1788000000"}]}`)
	r.write(t, "etc/cert.key", misptest.Key+"\n")
	r.write(t, "etc/custom-misp/sources/servers.yaml", fmt.Sprintf("version: 1\nservers: [{name: cert, url: %q, key_file: etc/cert.key, timeout: 2s}]\n", cert.URL))
	r.start(t)
	r.alerts.add("before", liveHit)
	r.alerts.add("before-cert", onlyCert)
	r.expectHits(t, "before", "before-cert")

	cert.Fault(down)
	r.alerts.add("miss", "host.example.org")
	r.alerts.add("hit", "edge.bad-cdn.example")
	r.alerts.add("late", "late."+onlyCert)
	r.expectHits(t, "hit")
	r.until(t, "the outage is known", func() bool {
		s := r.status()
		return len(s.MISP.Servers) == 2 && s.MISP.Servers[1].Away && !s.MISP.Servers[0].Away && s.MISP.Servers[1].Waiting == 3 && s.MISP.Servers[1].Outages == 1
	})
	r.until(t, "it is reported", func() bool { return r.says("error misp_unavailable") == 1 })
	if s := r.status(); s.MISP.Away || !s.Ready || !strings.Contains(s.MISP.Description, "cert: unreachable since") {
		t.Errorf("%+v", s.MISP)
	}
	if code, _ := r.get("/readyz"); code != http.StatusOK {
		t.Errorf("ready: %d, though a server answers", code)
	}
	for name, want := range map[string]string{`misp_up{server="misp"}`: "1", `misp_up{server="cert"}`: "0", `misp_outages_total{server="cert"}`: "1", `misp_waiting_alerts{server="cert"}`: "3"} {
		if got := r.metric(name); got != want {
			t.Errorf("%s is %q, want %s", name, got, want)
		}
	}
	if n := r.metric(`lookup_values_total{by="misp",server="cert",result="hit"}`); n == "" || n == "0" {
		t.Errorf("hits of cert: %q", n)
	}
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-r.ended
	cert.Fault(nil)
	r.start(t)
	r.expectHits(t, "before", "before-cert", "hit", "late")
	r.until(t, "the end is reported", func() bool { return r.says("recovered") == 1 })
	r.expectHits(t, "before", "before-cert", "hit", "late")
	if left, err := filepath.Glob(filepath.Join(r.home, "logs/custom-misp/spool/delayed/*")); err != nil || len(left) > 0 {
		t.Errorf("left in the spool: %v, %v", left, err)
	}
	r.stop(t)
	modes := r.modes()
	if modes["hit"] != "" { // that of late depends on which comes first: the alert again, or the entry of the spool
		t.Errorf("modes %v", modes)
	}
	if n := r.logged("MISP is reachable again server=cert"); n != 1 {
		t.Errorf("the log says %d times that cert is reachable again", n)
	}
}
