package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/cmd/custom-misp/internal/backtest"
	"custom-misp/engine/enrich"
)

// backtested returns what backtest says of the arguments.
func backtested(t *testing.T, home string, args ...string) (r backtest.Report) {
	t.Helper()
	var out, errs strings.Builder
	run(t.Context(), append([]string{"custom-misp", "--home", home, "backtest", "--output", "json"}, args...), strings.NewReader(""), &out, &errs)
	if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
		t.Fatalf("%v\n%s%s", err, &out, &errs)
	}
	return r
}

// bundledLines returns the alerts of testdata, each on a line.
func bundledLines(t *testing.T) (lines []string) {
	t.Helper()
	names, err := filepath.Glob("../../testdata/alerts/*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("%d alerts: %v", len(names), err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var line bytes.Buffer
		if err := json.Compact(&line, data); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line.String())
	}
	return lines
}

// hitCounts are hits, counted in the ways of a back-test.
type hitCounts struct{ indicators, mappings, agents map[string]int }

func newHitCounts() hitCounts {
	return hitCounts{map[string]int{}, map[string]int{}, map[string]int{}}
}

func (h hitCounts) add(indicator, mapping, agent string, n int) {
	for _, c := range []struct {
		of  map[string]int
		key string
	}{{h.indicators, indicator}, {h.mappings, mapping}, {h.agents, agent}} {
		if c.key != "" {
			c.of[c.key] += n
		}
	}
}

// hitsOf returns the hits of a back-test.
func hitsOf(r backtest.Report) hitCounts {
	h := newHitCounts()
	for _, i := range r.Indicators {
		h.add(i.Type+" "+i.Value, "", "", i.Hits)
	}
	for _, m := range r.Mappings {
		if m.Hits > 0 {
			h.add("", m.ID, "", m.Hits)
		}
	}
	for _, a := range r.Agents {
		h.add("", "", a.ID+" "+a.Name, a.Hits)
	}
	return h
}

// hitsIn returns the hits in events, each what is below misp.
func hitsIn(events []map[string]any) hitCounts {
	h := newHitCounts()
	text := func(of map[string]any, keys ...string) string {
		for _, k := range keys[:len(keys)-1] {
			of, _ = of[k].(map[string]any)
		}
		s, _ := of[keys[len(keys)-1]].(string)
		return s
	}
	for _, e := range events {
		h.add(text(e, "observable", "type")+" "+text(e, "observable", "value"), text(e, "observable", "mapping"),
			text(e, "source", "agent", "id")+" "+text(e, "source", "agent", "name"), 1)
	}
	return h
}

// TestBacktestAgreesWithServe has serve report the alerts of testdata, torn lines among them, with a filter, ignores and a mute, and
// then back-tests the same file: hits and what is not reported are the same, by indicator, mapping, agent and reason.
func TestBacktestAgreesWithServe(t *testing.T) {
	t.Parallel()
	feed, err := filepath.Abs("../../testdata/feed")
	if err != nil {
		t.Fatal(err)
	}
	r := prepare(t, newManager(t), fmt.Sprintf(`lookup: {policy: mirror, to_ids: true}
mirror: {misp: false, feeds: [demo=%s], lists: [local=etc/list.txt]}
mutes: {file: etc/mutes.yaml}
ignore: {alerts: 'rule.id == "5710"', values: ["2620:4f:8000::bad"]}
`, feed))
	r.write(t, "etc/mutes.yaml", "version: 1\nmutes: [{value: 192.175.48.77, reason: known}]\n")
	r.env = append(r.env, "CUSTOM_MISP_MAPPINGS_BUILTIN=true")
	lines := bundledLines(t)
	for i, line := range lines {
		r.alerts.line(line)
		if i%5 == 0 { // under another id, for serve reports an alert once
			again := strings.Replace(lines[(i+3)%len(lines)], `"id":"1791187`, `"id":"1791188`, 1)
			r.alerts.line(`{"timestamp":"2026-11-25T07:55:01.123+0000","rule":{"id":"1` + again)
		}
	}
	r.alerts.line("not an alert")
	r.alerts.add("1791187801.1", listHit)
	var errs strings.Builder // of sync, so that all of the mirror is there when serve begins
	if code := run(t.Context(), []string{"custom-misp", "--home", r.home, "sync"}, strings.NewReader(""), io.Discard, &errs); code != 0 {
		t.Fatalf("sync: exit code %d: %s", code, &errs)
	}
	r.start(t)
	r.until(t, "all alerts are done", func() bool {
		s := r.status()
		return s.Ready && s.Alerts.Offset > 0 && s.Alerts.BehindBytes == 0 && r.counts()["1791187801.1"] > 0
	})
	reported := r.status().NotReported
	r.stop(t)

	b := backtested(t, r.home, filepath.Join(r.home, "logs/alerts/alerts.json"))
	served := hitsIn(r.taken())
	if diff := cmp.Diff(served, hitsOf(b), cmp.AllowUnexported(hitCounts{})); diff != "" {
		t.Errorf("hits (-serve +backtest):\n%s", diff)
	}
	if b.Hits != len(r.taken()) || b.Hits < 20 || b.Torn == 0 || b.Unreadable == 0 || b.Own == 0 {
		t.Errorf("%d hits, %d torn, %d unreadable, %d own; serve has %d events", b.Hits, b.Torn, b.Unreadable, b.Own, len(r.taken()))
	}
	want := map[string]int{}
	for why, n := range reported {
		if n > 0 {
			want[why] = int(n) //nolint:gosec // a few
		}
	}
	if diff := cmp.Diff(want, b.NotReported); diff != "" {
		t.Errorf("not reported (-serve +backtest):\n%s", diff)
	}
	for _, why := range []enrich.Reason{enrich.ReasonAlert, enrich.ReasonValue, enrich.ReasonFilter, enrich.ReasonMute} {
		if b.NotReported[string(why)] == 0 {
			t.Errorf("nothing is left out by %s, so that it is not tried", why)
		}
	}
}

// TestBacktestAgreesWithEnrich compares with the events and picks of enrich.
func TestBacktestAgreesWithEnrich(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	file := filepath.Join(home, "alerts.json")
	if err := os.WriteFile(file, []byte(strings.Join(bundledLines(t), "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	enriched := func(args ...string) []string {
		var out, errs strings.Builder
		if code := run(t.Context(), append([]string{"custom-misp", "--home", home, "enrich", "--output", "json"}, args...), strings.NewReader(""), &out, &errs); code != 0 {
			t.Fatalf("exit code %d: %s", code, &errs)
		}
		return strings.Split(strings.TrimSpace(out.String()), "\n")
	}
	var events []map[string]any
	for _, line := range enriched("--feed", "../../testdata/feed", file) {
		var e struct{ MISP map[string]any }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e.MISP)
	}
	values := map[string]int{}
	for _, line := range enriched("--dry-run", file) {
		var l struct{ Observables []observableLine }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		for _, o := range l.Observables {
			values[o.Mapping]++
		}
	}
	r := backtested(t, home, "--feed", "../../testdata/feed", file)
	if diff := cmp.Diff(hitsIn(events), hitsOf(r), cmp.AllowUnexported(hitCounts{})); diff != "" {
		t.Errorf("hits (-enrich +backtest):\n%s", diff)
	}
	picked := map[string]int{}
	for _, m := range r.Mappings {
		picked[m.ID] = m.Values
	}
	if diff := cmp.Diff(values, picked); diff != "" || len(picked) < 10 {
		t.Errorf("values (-enrich --dry-run +backtest):\n%s", diff)
	}
	if len(events) != r.Hits || len(r.Days) == 0 {
		t.Errorf("%d hits, %d events, %d days", r.Hits, len(events), len(r.Days))
	}
	for n := range maps.Keys(r.NotReported) {
		t.Errorf("not reported because of %s, with nothing configured", n)
	}
}

// interruptedInput has some alerts, then ends a context, as a signal does, and never ends itself.
type interruptedInput struct {
	text   io.Reader
	cancel func()
	ended  <-chan struct{}
}

func (i interruptedInput) Read(p []byte) (int, error) {
	n, err := i.text.Read(p)
	if err == nil {
		return n, nil
	}
	i.cancel()
	<-i.ended
	return 0, io.EOF
}

// TestBacktestInterrupted interrupts a back-test while it waits for input: what was read is shown, and marked as partial.
func TestBacktestInterrupted(t *testing.T) {
	t.Parallel()
	for output, mark := range map[string]string{"json": `"partial": true`, "table": "PARTIAL: interrupted", "html": `<p class="warning">PARTIAL: interrupted`} {
		ctx, cancel := context.WithCancel(t.Context())
		in := interruptedInput{strings.NewReader(strings.Join(bundledLines(t), "\n")), cancel, t.Context().Done()}
		var out, errs strings.Builder
		code := run(ctx, []string{"custom-misp", "--home", t.TempDir(), "backtest", "--feed", "../../testdata/feed", "--output", output, "-"}, in, &out, &errs)
		if code == 0 || !strings.Contains(out.String(), mark) {
			t.Errorf("exit code %d, no %q in\n%s%s", code, mark, &out, &errs)
		}
		cancel()
	}
}
