package serve

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/misp/mirror"
)

// TestSyncing has failed syncs tried again after longer and longer times, up to the usual interval, half of them at random,
// and starts anew after one that succeeds. Where it is known when to try again, that counts. No clock is waited for.
func TestSyncing(t *testing.T) {
	t.Parallel()
	broken, busy, asked := errors.New("no answer"), mirror.ErrBusy, errors.New("answered 429")
	const s, m, h = time.Second, time.Minute, time.Hour
	for name, tt := range map[string]struct {
		interval time.Duration
		due      time.Duration
		results  []error
		pauses   []time.Duration // the longest, after failures
		failures int
		warnings int // in the log: one for failures in a row
		notes    int // that it is up to date again
	}{
		"all is well":            {m, 0, []error{nil, nil, nil}, []time.Duration{m, m, m}, 0, 0, 0},
		"synced not long ago":    {m, 40 * s, []error{nil, nil}, []time.Duration{40 * s, m, m}, 0, 0, 0},
		"fails for ever":         {m, 0, []error{broken, broken, broken, broken, broken, broken}, []time.Duration{5 * s, 10 * s, 20 * s, 40 * s, m, m}, 6, 1, 0},
		"fails for ever, daily":  {24 * h, 0, repeated(broken, 8), []time.Duration{5 * s, 10 * s, 20 * s, 40 * s, 80 * s, 160 * s, 320 * s, 640 * s}, 8, 1, 0},
		"comes back":             {m, 0, []error{broken, broken, nil, broken}, []time.Duration{5 * s, 10 * s, m, 5 * s}, 3, 2, 1},
		"asks for an hour":       {m, 0, []error{asked, asked, nil}, []time.Duration{h, h, m}, 2, 1, 1},
		"another process syncs":  {m, 0, []error{busy, busy, nil}, []time.Duration{10 * s, 10 * s, m}, 0, 0, 0},
		"busy between failures":  {m, 0, []error{broken, busy, broken}, []time.Duration{5 * s, 10 * s, 10 * s}, 2, 1, 0},
		"never later than usual": {2 * s, 0, []error{broken, busy, broken}, []time.Duration{2 * s, 2 * s, 2 * s}, 2, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var log bytes.Buffer
			var pauses []time.Duration
			synced, failures := 0, 0
			now := time.Unix(1_780_000_000, 0)
			syncing{
				source: "osint", interval: tt.interval, due: tt.due, log: cli.NewLog(&log, slog.LevelInfo, false), now: func() time.Time { return now },
				sync: func(context.Context) (time.Time, error) {
					synced++
					if errors.Is(tt.results[synced-1], asked) {
						return now.Add(h), asked
					}
					return time.Time{}, tt.results[synced-1]
				},
				failed: func() { failures++ },
				wait: func(_ context.Context, d time.Duration) bool {
					pauses = append(pauses, d)
					return synced < len(tt.results)
				},
			}.run(ctx)
			if len(pauses) != len(tt.pauses) {
				t.Fatalf("pauses %v, want %v", pauses, tt.pauses)
			}
			for i, longest := range tt.pauses {
				shortest := longest
				if first := len(tt.pauses) - len(tt.results); i >= first && errors.Is(tt.results[i-first], broken) {
					shortest = longest / 2
				}
				if pauses[i] < shortest || pauses[i] > longest {
					t.Errorf("pause %d is %s, want %s to %s", i, pauses[i], shortest, longest)
				}
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
		sync:   func(context.Context) (time.Time, error) { synced++; cancel(); return time.Time{}, ctx.Err() },
		failed: func() { t.Error("the end is taken for a failure") },
	}.run(ctx)
	if synced != 1 || waitUnless(ctx, time.Hour, nil) {
		t.Errorf("%d syncs", synced)
	}
}
