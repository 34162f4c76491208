package serve

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/misp/mirror"
)

const (
	firstRetry = 5 * time.Second // after a sync that failed; then twice as long each time, up to the usual interval
	busyRetry  = 10 * time.Second
)

// keepInStep syncs one source again and again, until ctx ends.
func (v *server) keepInStep(ctx context.Context, g *generation, s app.Sync) {
	wake := g.damage.wakes(s.Name())
	syncing{
		source: s.Name(), interval: s.Interval, log: v.log,
		sync: func(ctx context.Context) error {
			_, err := s.Run(ctx, false)
			g.app.Mirror.Refresh()
			return err
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
	log      *slog.Logger
	sync     func(context.Context) error
	failed   func()                                    // is called for each failure
	wait     func(context.Context, time.Duration) bool // false if ctx ended
}

// run syncs until ctx ends; after a failure sooner than usual, and then later and later.
func (y syncing) run(ctx context.Context) {
	failures := 0
	for {
		err := y.sync(ctx)
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
			if !errors.Is(err, mirror.ErrRefused) { // a copy that comes again at once says nothing new
				pause = min(pause, backOff(failures))
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

// backOff is the time until the next try after so many failures in a row.
func backOff(failures int) time.Duration { return firstRetry << min(failures-1, 8) }
