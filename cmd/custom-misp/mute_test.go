package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/misp/misptest"
)

// sights returns the sightings that MISP got, as "TYPE of UUID".
func (m *testManager) sights() (told []string) {
	for _, q := range m.misp.Requests() {
		if q.Path == "/sightings/add" {
			told = append(told, fmt.Sprint(q.Body["type"], " of ", q.Body["uuid"]))
		}
	}
	return told
}

// TestMuteTellsMISP reports a false positive to MISP, once, and tries again what failed.
func TestMuteTellsMISP(t *testing.T) {
	t.Parallel()
	m := newHome(t)
	m.configure(t, fmt.Sprintf("misp: {url: %q, key: %s, retries: 0}\n", m.misp.URL, misptest.Key))
	mute := func(want int, value string) string {
		t.Helper()
		out, errs, code := asked(t, nil, "mute", "--home", m.home, value, "--reason", "sinkhole", "--tell-misp")
		if code != want {
			t.Errorf("exit code %d, %s %s", code, out, errs)
		}
		return out + errs
	}
	m.misp.Set(misptest.Condition{NoSightings: true})
	if said := mute(cli.ExitFailure, liveHit); !strings.Contains(said, "the value is muted, but only 0 attributes were reported to MISP") {
		t.Errorf("said %s", said)
	}
	m.misp.Set(misptest.Condition{})
	before := len(m.sights())
	if said := mute(cli.ExitOK, liveHit); !strings.Contains(said, "MISP was told that 1 attribute is a false positive") {
		t.Errorf("said %s", said)
	}
	if said := mute(cli.ExitOK, liveHit); !strings.Contains(said, "MISP was told before") {
		t.Errorf("said %s", said)
	}
	if diff := cmp.Diff([]string{"1 of 262b4eb5-37a1-55ba-8236-f3824a9b682e"}, m.sights()[before:]); diff != "" {
		t.Errorf("sightings (-want +got):\n%s", diff)
	}
	if said := mute(cli.ExitOK, "unknown.example.org"); !strings.Contains(said, "MISP does not know this value") {
		t.Errorf("said %s", said)
	}
}

// TestMutesTogether changes the file of mutes from many sides at once: none is lost.
func TestMutesTogether(t *testing.T) {
	t.Parallel()
	m := newHome(t)
	m.configure(t, "timeout: 10s\n")
	var all sync.WaitGroup
	for n := range 10 {
		all.Go(func() {
			if _, errs, code := asked(t, nil, "mute", "--home", m.home, fmt.Sprintf("192.0.2.%d", n), "--reason", "r"); code != cli.ExitOK {
				t.Errorf("exit code %d: %s", code, errs)
			}
		})
	}
	all.Wait()
	out, _, _ := asked(t, nil, "mute", "list", "--home", m.home)
	if n := strings.Count(out, "value 192.0.2."); n != 10 {
		t.Errorf("%d mutes of 10:\n%s", n, out)
	}
	st, err := os.Stat(filepath.Join(m.home, "etc/custom-misp/mutes.yaml"))
	if err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", st, err)
	}
}

// TestServeReasons has an alert for each reason for which a hit is not reported, and finds the same words in metrics, status
// and log. A mute has effect without a restart.
func TestServeReasons(t *testing.T) {
	t.Parallel()
	r := prepare(t, newManager(t), listConfig+"events: {repeat_window: 1h, storm: 3}\nlog: {level: debug}\n"+
		"ignore: {values: [own.example], alerts: 'field(\"data.env\") == \"lab\"'}\n")
	r.write(t, "etc/list.txt", listHit+"\nmuted.bad.example\nx.own.example\n192.0.0.0/8\nfiltered.bad.example\n")
	r.write(t, "etc/custom-misp/mappings/v.yaml", strings.NewReplacer("id: t", "id: v", "data.host, type: hostname}]",
		"data.flagged, type: hostname}], lookup: {tags: [nothing]}").Replace(hostMapping))
	r.write(t, "etc/custom-misp/mappings/u.yaml", strings.NewReplacer("id: t", "id: u", "data.host, type: hostname", "data.ip, type: ip-dst").Replace(hostMapping))
	r.start(t)
	if _, errs, code := asked(t, nil, "mute", "--home", r.home, "muted.bad.example", "--reason", "sinkhole"); code != cli.ExitOK {
		t.Fatal(errs)
	}
	r.until(t, "the mute has effect", func() bool { return r.logged("configuration and mappings reloaded") > 0 })
	add := func(id, agent, data string) {
		r.alerts.line(fmt.Sprintf(`{"id":%q,"timestamp":"2026-10-05T08:10:01.120+0000","rule":{"id":"1","level":3},"agent":{"id":%q,"name":%q},"data":{%s}}`,
			id, agent, "ws-"+agent, data))
	}
	host := func(name string) string { return fmt.Sprintf(`"host":%q`, name) }
	add("1.1", "001", host(listHit)+`,"env":"lab"`)
	add("1.2", "001", host("x.own.example"))
	add("1.3", "001", `"ip":"192.31.196.7"`)
	add("1.5", "001", `"flagged":"filtered.bad.example"`)
	add("1.4", "001", host("muted.bad.example"))
	for n := range 5 { // three are reported, the fourth is a storm, and one of them comes again
		add(fmt.Sprintf("2.%d", n), fmt.Sprintf("00%d", 1+n%4), host(listHit))
	}
	reasons := map[string]uint64{"alert-ignored": 1, "value-ignored": 1, "filtered": 2, "muted": 1, "repeat": 1, "storm": 1} // a network, and tags
	r.until(t, "all alerts are done", func() bool {
		return r.status().NotReported["storm"] == 1 && r.status().NotReported["repeat"] == 1 && len(r.taken()) == 3 // which are sent after they are counted
	})
	status := r.status()
	for why, want := range reasons {
		if n := status.NotReported[why]; n != want {
			t.Errorf("status: %d %s", n, why)
		}
		if v := r.metric(fmt.Sprintf("not_reported_total{reason=%q}", why)); v != fmt.Sprint(want) {
			t.Errorf("metric of %s: %q", why, v)
		}
	}
	for _, why := range []string{"alert-ignored", "filtered", "muted", "repeat", "storm"} {
		if r.logged("reason="+why) == 0 {
			t.Errorf("the log has no %s", why)
		}
	}
	if n := len(r.taken()); n != 3 {
		t.Errorf("%d events", n)
	}
	out, errs, _ := asked(t, nil, "status", "--home", r.home)
	if !strings.Contains(out, "1 alert-ignored, 2 filtered, 1 muted, 1 repeat, 1 storm, 1 value-ignored") {
		t.Errorf("status prints %s%s", out, errs)
	}
	for value, why := range map[string]string{
		"x.own.example": "value-ignored", "192.31.196.7": "filtered", "muted.bad.example": "muted",
	} {
		if out, errs, _ := asked(t, nil, "lookup", "--home", r.home, "--output", "json", value); !strings.Contains(out, fmt.Sprintf(`"reason":%q`, why)) {
			t.Errorf("lookup of %s says %s%s", value, out, errs)
		}
	}
	r.stop(t)
	out, errs, code := asked(t, nil, "quality", "--home", r.home, "--by", "event", "--output", "json")
	var rows []app.QualityRow
	if err := json.Unmarshal([]byte(out), &rows); err != nil || code != cli.ExitOK || len(rows) != 1 {
		t.Fatalf("quality: %v, %s%s", err, out, errs)
	}
	if rows[0].Event = ""; rows[0] != (app.QualityRow{Source: "local", Info: "list local", Hits: 3, Repeats: 2, Mutes: 1}) {
		t.Errorf("quality: %+v", rows[0])
	}
}
