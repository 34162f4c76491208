package serve

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine/enrich"
	"custom-misp/misp/mirror"
)

// heard keeps events.
type heard struct{ events []enrich.Enrichment }

// Send implements enrich.Sink.
func (s *heard) Send(_ context.Context, e enrich.Enrichment) error {
	s.events = append(s.events, e)
	return nil
}

// TestReportMirror has a mirror that cannot be made reported, not in the first minute, and one that is stale, once each;
// and nothing while all is well.
func TestReportMirror(t *testing.T) {
	feed, err := filepath.Abs("../../../../testdata/feed")
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	place := filepath.Join(home, "feed")
	if err := os.Mkdir(filepath.Join(home, "etc"), 0o750); err != nil {
		t.Fatal(err)
	}
	conf := "lookup: {policy: mirror}\nmirror: {feeds: [osint=feed]}\nserve: {stale_after: 1h}\n"
	if err := os.WriteFile(filepath.Join(home, "etc/custom-misp.yaml"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Request{Home: home})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	now := time.Now()
	sync := func(want string) {
		t.Helper()
		y := &mirror.Syncer{Dir: app.StateOf(c).Mirror(), Log: log, Now: func() time.Time { return now }}
		_, err := y.Sync(t.Context(), mirror.NewFeed("osint", place, ""), false)
		if got := errText(err); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Fatalf("sync: %v, want %q", err, want)
		}
	}
	expect := func(what string, made time.Time, want string) {
		t.Helper()
		sink := &heard{}
		fresh := *c
		fresh.ErrorInterval = time.Hour
		a, err := app.Build(&fresh, app.Hooks{Log: log, Sink: sink})
		if err != nil {
			t.Fatal(err)
		}
		a.Chain.Faults.Dir = t.TempDir()
		g := &generation{config: c, app: a, built: made}
		g.report(t.Context())
		g.report(t.Context())
		got := ""
		for _, e := range sink.events {
			got += string(e.Body.Error) + " " + e.Body.Description + "\n"
		}
		if (want == "") != (got == "") || !strings.HasPrefix(got, want) || strings.Count(got, "\n") > 1 {
			t.Errorf("%s: told %q, want once %q", what, got, want)
		}
	}
	expect("before the first sync", now.Add(-time.Hour), "")
	sync("no such file or directory")
	expect("the first sync has just failed", now, "")
	expect("it fails for long", now.Add(-firstSync), "mirror_stale there is no mirror of osint yet: ")
	place = feed
	sync("")
	expect("all is well", now.Add(-time.Hour), "")
	now = now.Add(-2 * time.Hour)
	sync("")
	expect("the last sync is long ago", now, "mirror_stale the mirror of osint is of ")
}

// TestReportSlowSource has a source that is fetched every six hours be stale after two of these, and not after stale_after.
func TestReportSlowSource(t *testing.T) {
	home := t.TempDir()
	for name, content := range map[string]string{
		"etc/custom-misp.yaml":           "lookup: {policy: mirror}\nmirror: {misp: false}\nserve: {stale_after: 1h}\n",
		"etc/custom-misp/sources/a.yaml": "version: 1\nsources: [{name: slow, path: list, format: lines, refresh: 6h}]\n",
		"list":                           "bad-cdn.example\n",
	} {
		name = filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Load(config.Request{Home: home})
	if err != nil {
		t.Fatal(err)
	}
	for age, want := range map[time.Duration]int{0: 0, 2 * time.Hour: 0, 11 * time.Hour: 0, 13 * time.Hour: 1} {
		sink := &heard{}
		a, err := app.Build(c, app.Hooks{Log: slog.New(slog.DiscardHandler), Sink: sink, Now: func() time.Time { return time.Now().Add(-age) }})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if _, err := a.Syncs[0].Run(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		a.Mirror.Refresh()
		a.Chain.Faults.Dir = t.TempDir()
		g := &generation{config: c, app: a, built: time.Now().Add(-24 * time.Hour)}
		g.report(t.Context())
		if len(sink.events) != want {
			t.Errorf("synced %s ago: %d events, want %d", age, len(sink.events), want)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
