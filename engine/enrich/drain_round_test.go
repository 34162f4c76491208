package enrich

import (
	"context"
	"testing"

	"custom-misp/engine/enrich/spool"
)

// TestDrainReadsWithinItsRound claims alerts when the time for a round is over: none is picked from, and all are put back.
func TestDrainReadsWithinItsRound(t *testing.T) {
	t.Parallel()
	s := &spool.Dir{Path: t.TempDir(), MaxEntries: 100, MaxBytes: 1 << 20}
	for range 3 {
		if _, err := s.Put(spool.Alerts, []byte(`{"rule":{"id":"1"}}`)); err != nil {
			t.Fatal(err)
		}
	}
	consumer, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close() //nolint:errcheck // a test
	round, cancel := context.WithCancel(t.Context())
	defer cancel()
	d := drainer{QueueingPipeline: &QueueingPipeline{Spool: s}, kind: spool.Alerts, spool: consumer, round: round, next: drainBatch}
	for _, over := range []bool{true, false} {
		if over {
			cancel()
		} else {
			d.round = t.Context()
		}
		entries, err := d.claim()
		if err != nil || len(entries) != 3 {
			t.Fatal(len(entries), err)
		}
		d.read(t.Context(), entries) // nothing is picked, so what was read is done
		depth, err := s.Depth()
		if want := map[bool]int{true: 3, false: 0}[over]; err != nil || depth.Alerts != want {
			t.Errorf("over %t: %d alerts are queued, want %d; %v", over, depth.Alerts, want, err)
		}
	}
}
