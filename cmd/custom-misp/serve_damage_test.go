package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// serveDamaged cuts a file of the mirror short under a running serve while MISP is unreachable: serve goes on, alerts
// wait, all who ask are told, and when MISP answers the source is fetched again and the alerts are looked up.
func serveDamaged(t *testing.T, built *testManager) {
	r := newResident(t, built, "lookup: {policy: mirror}\nmirror: {lists: [local=etc/list.txt]}\n")
	r.start(t)
	r.until(t, "the mirror is there", func() bool { return r.status().Ready })
	r.alerts.add("before", liveHit)
	r.expectHits(t, "before")
	r.misp.Fault(down)
	bases, err := filepath.Glob(filepath.Join(r.home, "logs/custom-misp/mirror/misp/base-*.segment"))
	if err != nil || len(bases) != 1 {
		t.Fatalf("bases %v, %v", bases, err)
	}
	if err := os.Truncate(bases[0], 100); err != nil {
		t.Fatal(err)
	}
	r.alerts.add("during", liveHit)
	r.until(t, "the damage is known", func() bool { return r.says("error mirror_damaged") == 1 })
	s := r.status()
	if s.Ready || !strings.Contains(s.NotReady, "the mirror of misp is damaged: "+bases[0]) || s.Mirror[0].Damage == "" || s.Mirror[0].DamagedSince.IsZero() || s.Mirror[1].Damage != "" {
		t.Errorf("status: not ready %q, %+v", s.NotReady, s.Mirror)
	}
	if code, body := r.get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "custom-misp sync does it at once") {
		t.Errorf("ready: %d %s", code, body)
	}
	if n := r.metric(`mirror_damaged{origin="misp"}`); n != "1" {
		t.Errorf("metric %s", n)
	}
	if n := r.logged("mirror is damaged; the source is fetched again"); n != 1 {
		t.Errorf("%d lines in the log", n)
	}
	r.until(t, "the alert is queued, and the stream goes on", func() bool { s := r.status(); return s.Spool.Alerts == 1 && s.Alerts.BehindBytes == 0 })
	r.misp.Fault(nil)
	r.expectHits(t, "before", "during")
	r.until(t, "it is whole", func() bool { return r.status().Ready })
	if n := r.metric(`mirror_damaged{origin="misp"}`); n != "0" {
		t.Errorf("metric %s after the repair", n)
	}
	r.stop(t)
}
