package enrich

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"custom-misp/engine"
)

// A Circuit is a [Lookup] that asks another one with as much patience as is likely to help, and keeps the record of
// its outages: while it is away, it is asked once and briefly, and every now and then with full patience.
type Circuit struct {
	Asked  Lookup
	Outage OutageFile
	// Reserve is how much of the time of a call is kept back from looking up.
	Reserve time.Duration
	Log     *slog.Logger
	Now     func() time.Time
}

// Lookup implements Lookup.
func (c *Circuit) Lookup(ctx context.Context, observables []engine.Observable) ([]Match, error) {
	return c.lookUp(ctx, observables, false)
}

// errLeftAlone is why nobody asked.
var errLeftAlone = errors.New("MISP asked to be left alone for a while")

// lookUp asks. A question of a round of draining that ran out of the time of the round, while there was an answer
// before, is no outage.
func (c *Circuit) lookUp(ctx context.Context, observables []engine.Observable, draining bool) ([]Match, error) {
	o, err := c.Outage.Load()
	if err != nil {
		c.Log.Warn("it is not known whether MISP was away", "error", err.Error())
	}
	now := c.Now()
	patiently := true
	if o.Away() {
		if now.Before(o.RetryAt) && o.RetryAt.Sub(now) <= longestWait {
			return nil, &Trouble{Code: o.Code, Err: fmt.Errorf("%w: %s", errLeftAlone, o.Description)}
		}
		patiently = now.Sub(o.PatientAt) >= patient || now.Before(o.PatientAt)
		ctx = WithOneTry(ctx)
	}
	reserve := c.Reserve
	if draining { // it is kept back from the round already
		reserve = 0
	}
	limit := budget(ctx, reserve)
	if !patiently {
		limit = min(limit, quick)
	}
	asking, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	matches, err := c.Asked.Lookup(asking, observables)
	switch {
	case err != nil && context.Cause(ctx) == context.Canceled: //nolint:errorlint // it is never wrapped
		// The program is being ended, which says nothing about MISP.
	case err != nil && draining && !o.Away() && asking.Err() != nil:
	case err != nil:
		if _, serr := c.Outage.failed(err, patiently); serr != nil {
			c.Log.Error("outage not noted", "error", serr.Error())
		}
	case o.Away():
		if _, serr := c.Outage.update(func(o *Outage) { o.Answered = c.Now() }); serr != nil {
			c.Log.Error("end of outage not noted", "error", serr.Error())
		}
		c.Log.Info("MISP answers again", "away_since", o.Since.UTC().Format(time.RFC3339))
	}
	return matches, err
}

// budget returns the time that is left of a call but for a reserve.
func budget(ctx context.Context, reserve time.Duration) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 24 * time.Hour
	}
	left := time.Until(deadline)
	return left - min(reserve, left/4)
}
