package enrich_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"custom-misp/engine/enrich"
	"custom-misp/engine/enrich/spool"
)

func TestRate(t *testing.T) {
	sink := &sentEvents{}
	now := time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)
	r := &enrich.Rate{Sink: sink, PerSecond: 2, Burst: 5, Now: func() time.Time { return now }}
	n := 0
	send := func(what string, after time.Duration, tries, want int) {
		t.Helper()
		now = now.Add(after)
		before := len(sink.events)
		for range tries {
			n++
			if err := r.Send(t.Context(), knownHit(fmt.Sprint(n))); err != nil && !errors.Is(err, enrich.ErrOverRate) && !errors.Is(err, sink.err) {
				t.Error(err)
			}
		}
		if got := len(sink.events) - before; got != want {
			t.Errorf("%s: %d sent, want %d", what, got, want)
		}
	}
	send("at first", 0, 10, 5)
	send("in the same moment", 0, 1, 0)
	send("half a second later", 500*time.Millisecond, 3, 1)
	send("two seconds later", 2*time.Second, 10, 4)
	send("a day later", 24*time.Hour, 10, 5)
	send("with a clock that is set back", -time.Hour, 1, 0)
	sink.err = errors.New("full")
	send("while the queue takes nothing", 10*time.Second, 20, 0)
	sink.err = nil
	send("then", 0, 10, 5)
	if err := r.Send(t.Context(), enrich.TroubleEvent(enrich.Alert{}, errors.New("x"))); err != nil {
		t.Errorf("an event about an error: %v", err)
	}
	unbounded := &enrich.Rate{Sink: sink}
	for range 1000 {
		if err := unbounded.Send(t.Context(), knownHit("1")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDrainOverRate has more hits in the spool than the rate allows: they are sent in their order, and Wazuh's queue has no
// outage.
func TestDrainOverRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, sink := newQueueing(t, t.TempDir(), chance{}), &sentEvents{}
		d.Sink = &enrich.Rate{Sink: sink, PerSecond: 10, Burst: 3}
		d.Circuit.Asked = known()
		ticks := time.Duration(0)
		d.Spool.Now = func() time.Time { ticks++; return time.Now().Add(ticks) } // the clock of the bubble stands still while nothing waits
		const alerts = 25
		for n := range alerts {
			put(t, d.Spool, spool.Alerts, text(t, n))
		}
		rounds := 0
		for ; rounds < 20; rounds++ {
			d.Drain(t.Context())
			if depth, err := d.Spool.Depth(); err != nil || depth.Alerts+depth.Events == 0 {
				must(t, err)
				break
			}
		}
		if len(sink.events) != alerts || rounds == 0 {
			t.Errorf("%d of %d events after %d rounds", len(sink.events), alerts, rounds)
		}
		for n, e := range sink.events {
			if e.Body.Source.AlertID != fmt.Sprint(n) {
				t.Errorf("event %d is of alert %s", n, e.Body.Source.AlertID)
			}
		}
		if o, err := d.Queue.Load(); err != nil || !o.Since.IsZero() {
			t.Errorf("outage %+v, %v", o, err)
		}
	})
}

// TestDrainSettle keeps an alert and an event in the spool until what was counted of them is on disk.
func TestDrainSettle(t *testing.T) {
	b := newBench(t)
	b.Circuit.Asked = known()
	full := errors.New("no space left")
	b.Settle = func() error { return full }
	put(t, b.Spool, spool.Alerts, text(t, 2))
	b.Drain(t.Context())
	depth, err := b.Spool.Depth()
	must(t, err)
	if depth.Alerts != 1 || depth.DeadLetters > 0 {
		t.Errorf("spool %+v", depth)
	}
	b.Settle = nil
	b.Drain(t.Context())
	if depth, err = b.Spool.Depth(); err != nil || depth.Alerts != 0 {
		t.Errorf("spool %+v, %v", depth, err)
	}
}
