package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"custom-misp/cmd/custom-misp/internal/serve"
	"custom-misp/engine"
	"custom-misp/engine/history"
)

// historyConfig keeps what was seen, whatever the disk and the dates of the test's alerts.
const historyConfig = "history: {enabled: true, days: 0, min_free_percent: 0}\n"

// seen asks the files of a history for a host.
func (r *resident) seen(t testing.TB, host string) history.Entry {
	t.Helper()
	v, err := history.OpenView(filepath.Join(r.home, "logs/custom-misp/history"))
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	e, _ := v.Get(engine.Indicator{Family: "host", Key: host})
	if err := v.Fault(); err != nil {
		t.Error(err)
	}
	return e
}

// TestServeHistory records, says in each event what was seen before, shows it in status and metrics, and ignores what is
// ignored.
func TestServeHistory(t *testing.T) {
	t.Parallel()
	r := prepare(t, newManager(t), listConfig+historyConfig+"ignore: {values: [mine.example.net]}\n")
	r.start(t)
	r.alerts.add("1791187801.1", listHit)
	r.until(t, "the first alert is recorded", func() bool { return r.seen(t, listHit).Count == 1 })
	r.alerts.add("1791187801.2", "mine.example.net")
	r.alerts.add("1791187801.3", listHit)
	r.until(t, "both are recorded", func() bool { return r.seen(t, listHit).Count == 2 })
	r.expectHits(t, "1791187801.1", "1791187801.3")
	e := r.seen(t, listHit)
	alert := e.Alert
	if alert.ID != "1791187801.3" || alert.Rule != "61650" || alert.Level != 3 || len(e.Agents) != 1 || e.Agents[0] != (history.Agent{ID: "004", Name: "ws-07", IP: "10.20.4.7"}) {
		t.Errorf("entry %+v", e)
	}
	if !strings.HasSuffix(alert.File, "logs/alerts/2026/Jan/ossec-alerts-05.json") {
		t.Errorf("file %s", alert.File)
	}
	data, err := os.ReadFile(filepath.Join(r.home, "logs/alerts/alerts.json"))
	if err != nil || !strings.HasPrefix(string(data[alert.Offset:]), hostAlert("1791187801.3", listHit)) {
		t.Errorf("at offset %d of the file is another alert (%v)", alert.Offset, err)
	}
	if n := r.seen(t, "mine.example.net").Count; n != 0 {
		t.Errorf("an ignored value is in the history %d times", n)
	}
	r.checkHistoryShown(t)
	if out, _ := r.verb("doctor", "--home", r.home, "--output", "json"); !strings.Contains(out, "1 values of a day") && !strings.Contains(out, "0 values of a day") {
		t.Errorf("doctor: %s", out)
	}
	out, code := r.verb("history", "forget", "--agent", "nobody", "--home", r.home)
	if code != 0 || !strings.Contains(out, "0 records removed") {
		t.Errorf("forget while serve runs: exit code %d, %s", code, out)
	}
	r.stop(t)
	if s := r.offline(t); s == nil || s.Values != 1 || s.Since != "2026-10-05" {
		t.Errorf("status without serve: %+v", s)
	}
}

// checkHistoryShown checks what TestServeHistory recorded in events, status and metrics.
func (r *resident) checkHistoryShown(t *testing.T) {
	t.Helper()
	for i, want := range []map[string]any{
		{"count": "0", "agent_count": "0"},
		{"count": "1", "agent_count": "1", "first_seen": "2026-10-05T08:10:01Z", "last_seen": "2026-10-05T08:10:01Z"},
	} {
		if got := fmt.Sprint(r.taken()[i]["history"]); got != fmt.Sprint(want) {
			t.Errorf("event %d: history %s, want %v", i, got, want)
		}
	}
	s := r.status().History
	if s == nil || s.Recorded != 2 || s.Dropped+s.Missed != 0 || s.Stopped+s.Fault != "" {
		t.Errorf("status %+v", s)
	}
	if got := r.metric(`history_alerts_total{result="recorded"}`) + r.metric("history_recording"); got != "21" {
		t.Errorf("metrics %q", got)
	}
	if code, _ := r.get("/readyz"); code != 200 {
		t.Errorf("/readyz: %d", code)
	}
}

// TestServeHistoryKill kills serve while alerts are recorded: what was written before counts once, and what was in flight
// once or not.
func TestServeHistoryKill(t *testing.T) {
	t.Parallel()
	r := prepare(t, newManager(t), listConfig+historyConfig)
	n, kept := 0, map[int]bool{}
	checkpoint, old := filepath.Join(r.home, "logs/custom-misp/checkpoint.json"), []byte(nil)
	add := func(alerts int) {
		for range alerts {
			n++
			r.alerts.add(fmt.Sprintf("1791187801.%d", n), fmt.Sprintf("host-%d.example.net", n))
		}
	}
	for range 4 {
		r.begin(t)
		begin := n
		add(50)
		r.until(t, "they are in the journal", func() bool { return r.seen(t, fmt.Sprintf("host-%d.example.net", n)).Count == 1 })
		for i := begin + 1; i <= n; i++ {
			kept[i] = true
		}
		add(50)
		_ = r.cmd.Process.Kill()
		<-r.ended
		data, err := os.ReadFile(checkpoint)
		if err != nil {
			t.Fatal(err)
		}
		if old == nil {
			old = data
		}
	}
	// Alerts are read again from an old place, as after a slow disk. What is recorded is not recorded again.
	if err := os.WriteFile(checkpoint, old, 0o600); err != nil {
		t.Fatal(err)
	}
	r.begin(t)
	add(1)
	r.until(t, "the last one is recorded", func() bool { return r.seen(t, fmt.Sprintf("host-%d.example.net", n)).Count == 1 })
	lost := 0
	for i := 1; i <= n; i++ {
		switch count := r.seen(t, fmt.Sprintf("host-%d.example.net", i)).Count; {
		case count > 1:
			t.Errorf("alert %d counts %d times", i, count)
		case count == 0 && kept[i]:
			t.Errorf("alert %d was in the journal and is lost", i)
		case count == 0:
			lost++
		}
	}
	out, code := r.verb("history", "forget", "host-1.example.net", "--home", r.home)
	if code != 0 || !strings.Contains(out, "1 record removed") || r.seen(t, "host-1.example.net").Count != 0 || r.logged("the history was told to forget") != 1 {
		t.Errorf("forget while serve runs: exit code %d, %s", code, out)
	}
	t.Logf("%d of %d alerts were in flight and are not counted", lost, n)
	r.stop(t)
}

// TestServeHistoryDamaged starts serve with a history that cannot be opened, and with one that is damaged: alerts go on.
func TestServeHistoryDamaged(t *testing.T) {
	t.Parallel()
	r := prepare(t, newManager(t), listConfig+historyConfig)
	dir := filepath.Join(r.home, "logs/custom-misp/history")
	r.write(t, "logs/custom-misp/history", "in its place")
	r.start(t)
	r.alerts.add("1791187801.1", listHit)
	r.expectHits(t, "1791187801.1")
	if s := r.status(); !s.Ready || s.History == nil || s.History.Stopped == "" || r.taken()[0]["history"] != nil {
		t.Errorf("ready %t, history %+v, event %v", s.Ready, s.History, r.taken()[0]["history"])
	}
	r.stop(t)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	r.write(t, "logs/custom-misp/history/2026-10-05-DAMAGED.segment", "damaged")
	r.start(t)
	r.alerts.add("1791187801.2", listHit)
	r.expectHits(t, "1791187801.1", "1791187801.2")
	if s := r.status(); !s.Ready || s.History == nil || !strings.Contains(s.History.Fault, "DAMAGED") || s.History.Stopped != "" {
		t.Errorf("ready %t, history %+v", s.Ready, s.History)
	}
	r.stop(t)
}

// offline returns what status says of the history while serve does not run.
func (r *resident) offline(t testing.TB) *serve.HistoryStatus {
	t.Helper()
	out, _ := r.verb("status", "--output", "json", "--home", r.home)
	var s serve.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return s.History
}

// verb runs a verb of the built binary, and returns what it prints and its exit code.
func (r *resident) verb(args ...string) (out string, code int) {
	cmd, both := r.command(args...)
	cmd.Args[0] = "custom-misp"
	_ = cmd.Run()
	return both.String(), cmd.ProcessState.ExitCode()
}
