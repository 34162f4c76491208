package serve

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/misp/mirror"
)

// TestSyncing has failed syncs tried again after longer and longer times, up to the usual interval, and starts anew after
// one that succeeds. No clock is waited for.
func TestSyncing(t *testing.T) {
	t.Parallel()
	broken, busy := errors.New("no answer"), mirror.ErrBusy
	const s, m, h = time.Second, time.Minute, time.Hour
	for name, tt := range map[string]struct {
		interval time.Duration
		results  []error
		pauses   []time.Duration
		failures int
		warnings int // in the log: one for failures in a row
		notes    int // that it is up to date again
	}{
		"all is well":            {m, []error{nil, nil, nil}, []time.Duration{m, m, m}, 0, 0, 0},
		"fails for ever":         {m, []error{broken, broken, broken, broken, broken, broken}, []time.Duration{5 * s, 10 * s, 20 * s, 40 * s, m, m}, 6, 1, 0},
		"fails for ever, daily":  {24 * h, repeated(broken, 11), []time.Duration{5 * s, 10 * s, 20 * s, 40 * s, 80 * s, 160 * s, 320 * s, 640 * s, 1280 * s, 1280 * s, 1280 * s}, 11, 1, 0},
		"comes back":             {m, []error{broken, broken, nil, broken}, []time.Duration{5 * s, 10 * s, m, 5 * s}, 3, 2, 1},
		"another process syncs":  {m, []error{busy, busy, nil}, []time.Duration{10 * s, 10 * s, m}, 0, 0, 0},
		"busy between failures":  {m, []error{broken, busy, broken}, []time.Duration{5 * s, 10 * s, 10 * s}, 2, 1, 0},
		"never later than usual": {2 * s, []error{broken, busy, broken}, []time.Duration{2 * s, 2 * s, 2 * s}, 2, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var log bytes.Buffer
			var pauses []time.Duration
			synced, failures := 0, 0
			syncing{
				source: "osint", interval: tt.interval, log: cli.NewLog(&log, slog.LevelInfo, false),
				sync:   func(context.Context) error { synced++; return tt.results[synced-1] },
				failed: func() { failures++ },
				wait: func(_ context.Context, d time.Duration) bool {
					pauses = append(pauses, d)
					return synced < len(tt.results)
				},
			}.run(ctx)
			if diff := cmp.Diff(tt.pauses, pauses); diff != "" {
				t.Errorf("pauses (-want +got):\n%s", diff)
			}
			warnings, notes := strings.Count(log.String(), "mirror not synced"), strings.Count(log.String(), "up to date again")
			if failures != tt.failures || warnings != tt.warnings || notes != tt.notes {
				t.Errorf("%d failures, %d warnings, %d notes, want %d, %d, %d", failures, warnings, notes, tt.failures, tt.warnings, tt.notes)
			}
		})
	}
}

func repeated(err error, n int) []error {
	all := make([]error, n)
	for i := range all {
		all[i] = err
	}
	return all
}

// TestSyncingEnds has no sync begin, and no failure be noted, once the context has ended.
func TestSyncingEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	synced := 0
	syncing{
		source: "osint", interval: time.Hour, log: cli.NoLog(),
		wait:   func(ctx context.Context, d time.Duration) bool { return waitUnless(ctx, d, nil) },
		sync:   func(context.Context) error { synced++; cancel(); return ctx.Err() },
		failed: func() { t.Error("the end is taken for a failure") },
	}.run(ctx)
	if synced != 1 || waitUnless(ctx, time.Hour, nil) {
		t.Errorf("%d syncs", synced)
	}
}
