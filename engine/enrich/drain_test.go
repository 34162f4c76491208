package enrich_test

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/enrich/spool"
)

// TestDrainTriedLast queues an alert that failed before, and a younger one that did not: that one is looked up first.
func TestDrainTriedLast(t *testing.T) {
	b := newBench(t)
	put(t, b.Spool, spool.Alerts, text(t, 2))
	o := open(t, b.Spool)
	entries, err := o.Claim(spool.Alerts, 1)
	must(t, err)
	_, err = entries[0].Fail("MISP did not answer in time")
	must(t, err)
	must(t, o.Close())
	b.now = b.now.Add(time.Second)
	put(t, b.Spool, spool.Alerts, text(t, 6))
	b.Circuit.Asked = known()
	b.Drain(t.Context())
	expect(t, "events", []string{"hit 6", "hit 2"}, short(b.sink.events))
}

// TestDrainLittleTime has a round whose time ends soon after a queued alert was looked up: the alert is not at fault.
func TestDrainLittleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newQueueing(t, t.TempDir(), chance{})
		put(t, d.Spool, spool.Alerts, text(t, 1))
		time.Sleep(time.Second) // on the clock of the bubble
		put(t, d.Spool, spool.Alerts, text(t, 2))
		var questions []time.Duration
		d.Circuit.Asked = lookup(func(ctx context.Context, o []engine.Observable) ([]enrich.Match, error) {
			takes := 350 * time.Millisecond
			switch {
			case o[0].Type == "md5": // whether MISP answers others
				takes = 0
			case slices.ContainsFunc(o, func(o engine.Observable) bool { return o.Value == "192.31.196.3" }):
				takes = time.Hour
			}
			began := time.Now()
			defer func() { questions = append(questions, time.Since(began)) }()
			select {
			case <-time.After(takes):
				return nil, nil
			case <-ctx.Done():
				return nil, &enrich.Trouble{Code: enrich.CodeUnavailable, Err: context.Cause(ctx)}
			}
		})
		began := time.Now()
		done := d.Drain(t.Context())
		if took := time.Since(began); done.Alerts != 1 || took > d.DrainTime {
			t.Errorf("done %+v in %s, questions took %s", done, took, questions)
		}
		if left, err := filepath.Glob(filepath.Join(d.Spool.Path, "alerts", "*.0.*.json")); err != nil || len(left) != 1 {
			t.Errorf("never tried: %q, %v; questions took %s", left, err, questions)
		}
		// In the next round it comes first, and has enough.
		d.Drain(t.Context())
		if left, err := filepath.Glob(filepath.Join(d.Spool.Path, "alerts", "*.1.*.json")); err != nil || len(left) != 1 {
			t.Errorf("tried once: %q, %v; questions took %s", left, err, questions)
		}
	})
}
