package chaos

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestChaos makes rounds of random faults. See README.md.
func TestChaos(t *testing.T) {
	allowed, err := selectFaults(*flagFaults)
	if err != nil {
		t.Fatal(err)
	}
	left, seed := *flagTime, *flagSeed
	if left == 0 {
		left = 2 * time.Second
		if os.Getenv("LONG_TESTS") != "" {
			left = 20 * time.Second
		}
	}
	if seed == 0 {
		seed = rand.Uint64() >> 32
	}
	for ; left > 0; left -= *flagRound {
		p := makePlan(seed, min(left, *flagRound), allowed)
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { runRound(t, p) })
		seed++
	}
}

// runRound makes one round and reports it.
func runRound(t *testing.T, p plan) {
	t.Logf("to repeat it: %s", p.command())
	r := newRound(t, p)
	r.run()
	r.finish()
	v := r.judge()
	t.Logf("%s, policy %s, start at the %s, key in arguments: %t", p.mode, p.policy, p.start, p.keyInArgs)
	t.Logf("%d alerts, %d known, %d of them to be reported, %d without an event and excused; %d calls, %d failed, %d killed; %d events, %d too many and explained; %d kills; lost %d, unexplained %d, unknown %d",
		v.Alerts, v.Known, v.Required, v.Excused, v.Calls, v.Failed, v.Killed, v.Events, v.Twice, r.kills, len(v.Lost), len(v.Unexplained), len(v.Unknown))
	t.Logf("faults: %s; error events: %v; longest stall of the machine: %s", counted(p.steps), r.errors, r.longestStall().Round(time.Millisecond))
	for reason, n := range r.failures(r.home) {
		t.Logf("%d calls failed: %s", n, reason)
	}
	for _, report := range []struct {
		what string
		of   []*alert
	}{{"lost", v.Lost}, {"more events than kills explain", v.Unexplained}, {"an event without an indicator", v.Unknown}} {
		for i, a := range report.of {
			if i == 3 {
				t.Errorf("and %d more", len(report.of)-i)
				break
			}
			t.Errorf("%s: alert %s\n%s", report.what, a.id, r.history(a))
		}
	}
	for _, w := range r.wrong {
		t.Error(w)
	}
	for _, d := range r.damaged {
		t.Error(d)
	}
	if t.Failed() {
		t.Logf("to repeat it: %s", p.command())
	}
}

// command is what repeats the faults of a plan. What the processes make of them depends on their speed as well.
func (p plan) command() string {
	return fmt.Sprintf("go test ./cmd/custom-misp/internal/chaos -count 1 -run 'TestChaos$' -v -seed %d -time %s -round %s -faults %s", p.seed, p.time, p.time, *flagFaults)
}

// counted says how often there was each fault.
func counted(steps []step) string {
	n := map[string]int{}
	for _, s := range steps {
		n[s.name]++
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(n)) {
		list = append(list, fmt.Sprintf("%s %d", name, n[name]))
	}
	return strings.Join(list, ", ")
}

func (l *ledger) longestStall() (longest time.Duration) {
	for _, s := range l.stalls {
		longest = max(longest, s.long)
	}
	return longest
}

var (
	numbers     = regexp.MustCompile(`[0-9]+`)
	longNumbers = regexp.MustCompile(`[0-9]{4,}`) // but not the status of an answer
)

// failures counts the calls that failed by the first line of what they wrote, without what differs each time.
func (l *ledger) failures(home string) map[string]int {
	reasons := map[string]int{}
	for _, a := range l.order {
		if a.call != nil && a.call.code > 0 {
			line, _, _ := strings.Cut(strings.NewReplacer(a.id, "ID", home, "HOME").Replace(a.call.output), "\n")
			reasons[fmt.Sprintf("%.200s", longNumbers.ReplaceAllString(line, "N"))]++
		}
	}
	return reasons
}

// history returns all that is known of an alert: what happened to it and around it, the log, and files that hold it.
func (r *round) history(a *alert) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s, known %t, by MISP alone %t, written into %s\n", a.value, a.known, a.liveOnly, strings.TrimPrefix(a.file, r.home))
	list := append(slices.Clone(r.moments), moment{a.written, ">>> the alert is written"})
	if c := a.call; c != nil {
		list = append(list, moment{c.began, ">>> its call begins"}, moment{c.ended, fmt.Sprintf(">>> its call ends with %d: %s", c.code, strings.TrimSpace(c.output))})
	}
	for _, at := range a.events {
		list = append(list, moment{at, ">>> an event"})
	}
	slices.SortStableFunc(list, func(a, b moment) int { return a.at.Compare(b.at) })
	from, to := a.written.Add(-5*time.Second), a.written.Add(15*time.Second)
	inTime := func(m moment) bool { return m.at.After(from) && m.at.Before(to) || strings.HasPrefix(m.what, ">>>") }
	for _, m := range withoutRepeats(list, inTime) {
		fmt.Fprintf(&b, "  %8.3f s  %.300s\n", m.at.Sub(r.began).Seconds(), m.what)
	}
	for _, line := range r.logAround(from, to) {
		fmt.Fprintf(&b, "  log: %.300s\n", line)
	}
	_ = filepath.WalkDir(r.home, func(name string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasPrefix(name, filepath.Join(r.home, "integrations")) {
			return nil //nolint:nilerr // what is gone is not shown
		}
		for line := range bytes.Lines(readAll(name)) {
			if bytes.Contains(line, []byte(a.id)) {
				fmt.Fprintf(&b, "  in %s: %.100s\n", strings.TrimPrefix(name, r.home), bytes.TrimSpace(line))
			}
		}
		return nil
	})
	return b.String()
}

// readAll returns the content of a file, uncompressed.
func readAll(name string) []byte {
	data, _ := os.ReadFile(name)
	if filepath.Ext(name) != ".gz" {
		return data
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil
	}
	data, _ = io.ReadAll(z)
	return data
}

// withoutRepeats leaves out moments that differ in numbers alone from one of the four before them.
func withoutRepeats(list []moment, wanted func(moment) bool) (out []moment) {
	var last []string
	for _, m := range list {
		if !wanted(m) {
			continue
		}
		form := numbers.ReplaceAllString(m.what, "N")
		if !strings.HasPrefix(form, ">>>") && slices.Contains(last[max(0, len(last)-4):], form) {
			continue
		}
		last = append(last, form)
		out = append(out, m)
	}
	return out
}

// logAround returns the warnings and errors in the log of a time, each once.
func (r *round) logAround(from, to time.Time) (lines []string) {
	const form = "2006/01/02 15:04:05"
	seen := map[string]bool{}
	for line := range bytes.Lines(readAll(filepath.Join(r.home, "logs/integrations.log"))) {
		text := strings.TrimSpace(string(line))
		at, err := time.ParseInLocation(form, text[:min(len(form), len(text))], time.Local)
		if err != nil || at.Before(from) || at.After(to) || strings.Contains(text, "DEBUG:") {
			continue
		}
		text = text[len(form):]
		if same := numbers.ReplaceAllString(text, "N"); !seen[same] && len(lines) < 30 {
			seen[same] = true
			lines = append(lines, fmt.Sprintf("%4.0f s %s", at.Sub(r.began).Seconds(), text))
		}
	}
	return lines
}
