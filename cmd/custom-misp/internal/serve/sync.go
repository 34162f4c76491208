package serve

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/misp/mirror"
)

const busyRetry = 10 * time.Second

// keepInStep syncs one source again and again, until ctx ends.
func (v *server) keepInStep(ctx context.Context, g *generation, s app.Sync) {
	wake := g.damage.wakes(s.Name())
	syncing{
		source: s.Name(), interval: s.Interval, due: s.Due(), log: v.log, now: time.Now,
		sync: func(ctx context.Context) (time.Time, error) {
			state, err := s.Run(ctx, false)
			g.app.Mirror.Refresh()
			return state.RetryAt, err
		},
		failed: func() { v.metrics.syncFailed(s.Name()) },
		wait:   func(ctx context.Context, d time.Duration) bool { return waitUnless(ctx, d, wake) },
	}.run(ctx)
}

// waitUnless waits, or is woken; false if ctx ends before.
func waitUnless(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	select {
	case <-ctx.Done():
		return false
	case <-wake:
	case <-time.After(d):
	}
	return true
}

// syncing keeps one source of the mirror in step.
type syncing struct {
	source   string
	interval time.Duration // from the end of a sync to the next
	due      time.Duration // until the first sync: the last one may be of a process before this
	log      *slog.Logger
	now      func() time.Time
	// sync returns when it is tried again, beside an error; zero if that is not known.
	sync   func(context.Context) (retryAt time.Time, err error)
	failed func()                                    // is called for each failure
	wait   func(context.Context, time.Duration) bool // false if ctx ended
}

// run syncs until ctx ends; after a failure sooner than usual, and then later and later.
func (y syncing) run(ctx context.Context) {
	failures := 0
	if y.due > 0 && !y.wait(ctx, y.due) {
		return
	}
	for {
		retryAt, err := y.sync(ctx)
		pause := y.interval
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, mirror.ErrBusy):
			pause = min(pause, busyRetry)
		case err != nil:
			y.failed()
			if failures++; failures == 1 {
				y.log.Warn("mirror not synced; it stays as it was", "origin", y.source, "error", err.Error())
			}
			if pause = mirror.Backoff(failures, y.interval); !retryAt.IsZero() {
				pause = max(0, retryAt.Sub(y.now())) // it may be later than usual: the server may have asked for that
			}
		case failures > 0:
			y.log.Info("mirror is up to date again", "origin", y.source, "failures", failures)
			failures = 0
		}
		if !y.wait(ctx, pause) {
			return
		}
	}
}
