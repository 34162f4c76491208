package enrich

import (
	"context"
	"errors"
	"fmt"
	"time"

	"custom-misp/engine"
)

// A Circuit is a [Lookup] that asks another one with as much patience as is likely to help, and records its outages.
// While MISP is unreachable, a question is tried once and may take 300 ms; one every 30 s may take as long as usual, for
// a MISP that has become slow. Retry-After is honoured, for at most a minute.
type Circuit struct {
	Asked  Lookup
	Outage OutageFile // its clock and its log are those of the circuit
}

const (
	// patient is how often a question may take as long as usual while MISP is unreachable.
	patient = 30 * time.Second
	// quick is how long the other questions may take.
	quick = 300 * time.Millisecond
	// enough is how much time a question of [withSpareTime] needs, at least, for a time-out to mean that MISP is
	// unreachable.
	enough = 5 * time.Second
)

// errBackingOff is why MISP was not asked.
var errBackingOff = errors.New("backing off as MISP asked for (Retry-After)")

// Lookup implements Lookup.
func (c *Circuit) Lookup(ctx context.Context, observables []engine.Observable) ([]Match, error) {
	log := logTo(c.Outage.Log)
	o, err := c.Outage.Load()
	if err != nil {
		log.Warn("it is not known whether MISP was unreachable", "error", err.Error())
		c.Outage.Mend(err)
	}
	now := clock(c.Outage.Now)
	if o.backingOff(now) {
		return nil, &Trouble{Code: o.Code, Err: fmt.Errorf("%w: %s", errBackingOff, o.Description)}
	}
	asking, patiently := ctx, true
	if o.Unreachable() {
		asking = WithOneTry(ctx)
		patiently = now.Sub(o.PatientAt) >= patient || now.Before(o.PatientAt)
	}
	if !patiently {
		var cancel context.CancelFunc
		asking, cancel = context.WithTimeout(asking, quick)
		defer cancel()
	}
	spare := hasSpareTime(ctx) && timeLeft(ctx) < enough
	matches, err := ask(asking, c.Asked, observables)
	switch {
	case err == nil && o.Unreachable():
		c.Outage.answered()
		log.Info("MISP is reachable again", "unreachable_since", o.Since.UTC().Format(time.RFC3339))
	case err == nil:
	case context.Cause(ctx) == context.Canceled: //nolint:errorlint // it is never wrapped
		// The program is being ended, which says nothing about MISP.
	case spare && !o.Unreachable() && ctx.Err() != nil:
		// There was little time, and it is over.
	default:
		c.Outage.failed(err, patiently)
	}
	return matches, err
}

type spareTime struct{}

// withSpareTime marks questions for which there is only the time that others left over: after an answer, running out of
// it does not mean that MISP is unreachable.
func withSpareTime(ctx context.Context) context.Context {
	return context.WithValue(ctx, spareTime{}, true)
}

func hasSpareTime(ctx context.Context) bool { return ctx.Value(spareTime{}) != nil }

// timeLeft returns how much time a context leaves; a day if it does not say.
func timeLeft(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 24 * time.Hour
	}
	return time.Until(deadline)
}

// timeBut returns the time that a context leaves but for a reserve, which is at most a quarter of it.
func timeBut(ctx context.Context, reserve time.Duration) time.Duration {
	left := timeLeft(ctx)
	return left - min(reserve, left/4)
}
