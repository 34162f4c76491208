package enrich_test

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

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

// TestDrainRejected queues alerts that MISP never answers, and nothing else: while it answers others, they become dead
// letters in the end; while it does not, they do not.
func TestDrainRejected(t *testing.T) {
	b := newBench(t)
	for _, id := range []int{2, 6} {
		put(t, b.Spool, spool.Alerts, text(t, id))
	}
	b.Circuit.Asked = rejecting("192.31.196.3", "192.31.196.7")
	round := func(n int) (dead int) {
		for range n {
			b.now = b.now.Add(time.Second)
			dead += b.Drain(t.Context()).DeadLetters
		}
		return dead
	}
	if n := round(20); n != 0 {
		t.Errorf("%d are dead letters, though MISP answers nothing", n)
	}
	others := &enrich.Circuit{Asked: known(), Outage: b.MISP}
	dead := 0
	for range 12 {
		if _, err := others.Lookup(t.Context(), values("hit-1")); err != nil {
			t.Fatal(err)
		}
		dead += round(1)
	}
	if dead != 2 {
		t.Errorf("%d of 2 are dead letters", dead)
	}
}

// TestDrainBlamesOne has two alerts that MISP rejects, and one answer just before a round: the round counts a try of one
// of them.
func TestDrainBlamesOne(t *testing.T) {
	b := newBench(t)
	put(t, b.Spool, spool.Alerts, text(t, 2), text(t, 6))
	b.alert(t, rejecting("192.31.196.3", "192.31.196.7")) // alert 1 is answered
	for pattern, want := range map[string]int{"*.0.*.json": 1, "*.1.*.json": 1} {
		if files, err := filepath.Glob(filepath.Join(b.Spool.Path, "alerts", pattern)); err != nil || len(files) != want {
			t.Errorf("%s: %q, want %d; %v", pattern, files, want, err)
		}
	}
}

// TestDrainAfterTimeout has a slow alert before others: after the time-out of the question for all, the round asks for
// each alone.
func TestDrainAfterTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newQueueing(t, t.TempDir(), chance{})
		for id := range 6 {
			put(t, d.Spool, spool.Alerts, text(t, id))
			time.Sleep(time.Second)
		}
		var asked []int
		d.DrainTime = 10 * time.Second
		d.Circuit.Asked = lookup(func(ctx context.Context, o []engine.Observable) ([]enrich.Match, error) {
			asked = append(asked, len(o))
			if len(o) > 1 || o[0].Value == "192.31.196.6" {
				<-ctx.Done()
				return nil, &enrich.Trouble{Code: enrich.CodeUnavailable, Err: context.Cause(ctx)}
			}
			return nil, nil
		})
		d.Drain(t.Context())
		if diff := cmp.Diff([]int{6, 1, 1, 1, 1, 1, 1, 1}, asked); diff != "" { // the last is whether MISP answers others
			t.Errorf("observables in questions (-want +got):\n%s", diff)
		}
	})
}

// TestDrainUnreachable has a MISP that answers nothing, and rounds of half a minute: although only spare time is spent,
// that is an outage.
func TestDrainUnreachable(t *testing.T) {
	for round, want := range map[time.Duration]bool{time.Second: false, 30 * time.Second: true} {
		synctest.Test(t, func(t *testing.T) {
			d := newQueueing(t, t.TempDir(), chance{})
			put(t, d.Spool, spool.Alerts, text(t, 1), text(t, 2))
			d.DrainTime, d.Circuit.Asked = round, &oracle{takes: time.Hour}
			d.Drain(t.Context())
			if o, err := d.MISP.Load(); err != nil || o.Unreachable() != want {
				t.Errorf("after a round of %s: outage %+v, %v", round, o, err)
			}
		})
	}
}
