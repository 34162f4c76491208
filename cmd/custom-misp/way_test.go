package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// TestTellOfMirror has Wazuh told of a mirror that cannot be made, not in the first minute, and of one that is old, once
// each; and of nothing while all is well.
func TestTellOfMirror(t *testing.T) {
	feed, err := filepath.Abs("../../testdata/feed")
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
	s, err := loadSettings(globalFlags{home: home}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	now := time.Now()
	sync := func(want string) {
		t.Helper()
		y := newSyncer(s, log)
		y.Now = func() time.Time { return now }
		_, err := y.Sync(t.Context(), mirror.NewFeed("osint", place, ""), false)
		if got := errText(err); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Fatalf("sync: %v, want %q", err, want)
		}
	}
	expect := func(what string, made time.Time, want string) {
		t.Helper()
		m, err := newMirror(s)
		if err != nil {
			t.Fatal(err)
		}
		sink := &heard{}
		w := &way{settings: s, made: made, mirror: m, durable: newDurable(s, nil, nil, log)}
		w.durable.Faults = &enrich.Throttle{Sink: sink, Dir: t.TempDir(), Interval: time.Hour, Now: time.Now}
		w.tell(t.Context())
		w.tell(t.Context())
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

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
