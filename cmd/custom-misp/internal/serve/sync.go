package serve

import (
	"context"
	"errors"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/misp/mirror"
)

const (
	firstRetry = 5 * time.Second // after a sync that failed; then twice as long each time, up to the usual interval
	busyRetry  = 10 * time.Second
)

// keepInStep syncs one source again and again; after a failure sooner than usual, and then later and later.
func (v *server) keepInStep(ctx context.Context, g *generation, s app.Sync) {
	failures := 0
	for {
		_, err := s.Run(ctx, false)
		wait := s.Interval
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, mirror.ErrBusy):
			wait = min(wait, busyRetry)
		case err != nil:
			v.metrics.syncFailed(s.Name())
			if failures++; failures == 1 {
				v.log.Warn("mirror not synced; it stays as it was", "origin", s.Name(), "error", err.Error())
			}
			wait = min(wait, backOff(failures))
		case failures > 0:
			v.log.Info("mirror is in step again", "origin", s.Name(), "failures", failures)
			failures = 0
		}
		g.app.Mirror.Refresh()
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// backOff is the time until the next try after so many failures in a row.
func backOff(failures int) time.Duration { return firstRetry << min(failures-1, 8) }
