package app

import (
	"context"
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
	"custom-misp/misp/source"
)

// sent counts what is sent.
type sent struct{ events map[string]int }

func (s *sent) Send(_ context.Context, e enrich.Enrichment) error {
	switch {
	case e.Body.Error != "":
		s.events[string(e.Body.Error)]++
	case e.Body.Recovered != "":
		s.events["recovered "+string(e.Body.Recovered)]++
	default:
		s.events[e.Body.Observable.Value]++
	}
	return nil
}

// counted is a meter that counts what was left out.
type counted struct{ left map[string]int }

func (counted) Asked(string, int, int, time.Duration)       {}
func (counted) Remembered(bool)                             {}
func (counted) Cut(engine.Cut)                              {}
func (counted) NotReported(enrich.Reason)                   {}
func (counted) AskedServer(string, int, int, time.Duration) {}
func (c counted) LeftOut(source string, values int)         { c.left[source] += values }

// twoLists returns a configuration with a mirror of two lists, bad and good, and a mapping that picks a host.
func twoLists(t *testing.T) *config.Config {
	t.Helper()
	c := load(t, "log: {file: ''}\nmappings: {builtin: false, dirs: [maps]}\nlookup: {policy: mirror}\nmirror: {misp: false, lists: [bad=bad.txt, good=good.txt]}\n")
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(c.FromHome(name)), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(c.FromHome(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("maps/m.yaml", "version: 1\nmappings:\n  - {id: t, match: 'true', pick: [{path: data.host, type: hostname}]}\n")
	write("bad.txt", "a.bad.example\n")
	write("good.txt", "a.good.example\n")
	return c
}

// TestLeftOut has a source of the mirror stay damaged. Calls queue their alerts for ten minutes; then they look them up,
// and those that are queued, without that source, which is reported once.
func TestLeftOut(t *testing.T) {
	t.Parallel()
	c := twoLists(t)
	now := time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)
	began := now
	syncs, closeAll, err := newSyncs(c, source.Declared{}, Hooks{Log: cli.NoLog(), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range syncs {
		if _, err := s.Run(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	closeAll()
	base := filepath.Join(StateOf(c).Mirror(), "bad", "base-00000001.segment")
	if err := os.Truncate(base, 100); err != nil {
		t.Fatal(err)
	}
	sink, meter := &sent{map[string]int{}}, counted{map[string]int{}}
	call := func(id string, daemon *Daemon) enrich.Result {
		t.Helper()
		a, err := Build(c, Hooks{Sink: sink, Now: func() time.Time { return now }, Daemon: daemon})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		alert, err := enrich.ParseAlert([]byte(`{"id":"` + id + `","rule":{"id":"1"},"data":{"host":"` + id + `.good.example"}}`))
		if err != nil {
			t.Fatal(err)
		}
		r, err := a.Chain.Process(t.Context(), alert)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, after := range []time.Duration{0, time.Minute, 10*time.Minute - time.Second} {
		now = began.Add(after)
		if r := call("a", nil); !r.Queued || r.Sent > 0 {
			t.Errorf("after %v: %+v", after, r)
		}
	}
	now = began.Add(10 * time.Minute)
	if r := call("b", nil); r.Queued || r.Drained.Alerts != 3 {
		t.Errorf("after ten minutes: %+v", r)
	}
	if r := call("c", &Daemon{Context: t.Context(), Meter: meter}); r.Queued {
		t.Errorf("the daemon, after ten minutes: %+v", r)
	}
	if diff := cmp.Diff(map[string]int{"bad": 1}, meter.left); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
	want := map[string]int{"mirror_damaged": 1, "mirror_left_out": 1, "recovered mirror_damaged": 1, "a.good.example": 3}
	if diff := cmp.Diff(want, sink.events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if note, err := os.ReadFile(filepath.Join(filepath.Dir(base), "damaged")); err != nil || !strings.Contains(string(note), base) {
		t.Errorf("note %q, %v", note, err)
	}
}
