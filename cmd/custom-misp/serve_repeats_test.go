package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// repeatedAlert is an alert of one of three agents.
func repeatedAlert(n int) string {
	return strings.Replace(hostAlert(fmt.Sprintf("1791187801.%d", n), listHit), `"id":"004","name":"ws-07"`,
		fmt.Sprintf(`"id":"00%d","name":"ws-0%d"`, 1+n%3, 1+n%3), 1)
}

// TestServeRepeats writes 10,000 alerts with one value on three agents, and kills serve in the middle: there are a handful of
// events, which stand for all of the alerts.
func TestServeRepeats(t *testing.T) {
	t.Parallel()
	const all = 10_000
	r := prepare(t, newManager(t), listConfig+"events: {repeat_window: 1h, storm: 100}\n")
	r.start(t)
	for n := range all / 2 {
		r.alerts.line(repeatedAlert(n))
	}
	r.until(t, "some alerts are read, and it is written down which events were sent", func() bool {
		st, err := os.Stat(filepath.Join(r.home, "logs/custom-misp/sent")) // killed before that, it would send them again
		return err == nil && st.Size() >= 32+3*16 && r.status().NotReported["repeat"] >= 1000
	})
	for n := range all / 4 {
		r.alerts.line(repeatedAlert(all/2 + n))
	}
	_ = r.cmd.Process.Kill()
	<-r.ended
	for n := range all / 4 {
		r.alerts.line(repeatedAlert(3*all/4 + n))
	}
	r.start(t)
	r.until(t, "all alerts are done", func() bool { return r.status().Alerts.BehindBytes == 0 })
	if n := len(r.taken()); n != 3 {
		t.Errorf("%d events in the window, want one for each agent", n)
	}
	if v := r.metric(`not_reported_total{reason="repeat"}`); v == "" || v == "0" {
		t.Errorf("the metric is %q", v)
	}
	r.stop(t)
	r.configure(t, listConfig+"events: {repeat_window: 1s, storm: 100}\n")
	r.start(t)
	r.until(t, "the windows are over", func() bool { return len(r.taken()) >= 6 })
	r.stop(t)
	standFor, events := 0, r.taken()
	for _, body := range events {
		repeats, _ := body["repeats"].(string)
		n, err := strconv.Atoi(repeats)
		if err != nil && repeats != "" {
			t.Error(err)
		}
		standFor += 1 + n
	}
	if len(events) > 10 || standFor != all {
		t.Errorf("%d events stand for %d alerts, want at most 10 for %d", len(events), standFor, all)
	}
}

// taken returns what is under misp in the events about hits so far.
func (b *inbox) taken() (bodies []map[string]any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		if e["observable"] != nil {
			bodies = append(bodies, e)
		}
	}
	return bodies
}

// TestServeRate sends more hits than events.rate allows: they wait in their order, and none is lost.
func TestServeRate(t *testing.T) {
	t.Parallel()
	r := prepare(t, newManager(t), listConfig+"events: {repeat_window: 0, rate: 20, burst: 10}\n")
	r.start(t)
	for n := range 50 {
		r.alerts.line(repeatedAlert(n))
	}
	r.until(t, "all hits are reported", func() bool { return len(r.taken()) >= 50 })
	if n := r.status().Counters["events_over_rate"]; n == 0 || n > 50 {
		t.Errorf("%d events waited", n)
	}
	if s := r.status(); s.MISP.Away || !strings.Contains(s.Queue, "no outage") {
		t.Errorf("an outage: %s, %s", s.MISP.Description, s.Queue)
	}
	r.stop(t)
	for n, body := range r.taken() {
		source, _ := body["source"].(map[string]any)
		if want := fmt.Sprintf("1791187801.%d", n); source["alert_id"] != want {
			t.Errorf("event %d is of alert %v, want %s", n, source["alert_id"], want)
		}
	}
}
