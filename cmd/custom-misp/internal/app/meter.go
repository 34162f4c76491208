package app

import (
	"context"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
)

// A Meter counts look-ups.
type Meter interface {
	// Asked is called for an answered look-up by "mirror" or "misp": values asked for, those that are known, and how
	// long it took.
	Asked(by string, values, known int, took time.Duration)
	// AskedServer is Asked for one of several MISP servers, by its name.
	AskedServer(server string, values, known int, took time.Duration)
	// LeftOut is called for a look-up that did without a source of the mirror, since that stays damaged, with the number
	// of values.
	LeftOut(source string, values int)
	// Remembered is called for a value whose answer was remembered.
	Remembered(known bool)
	// Cut is called for everything that a bound left out of an alert.
	Cut(engine.Cut)
	notReportedMeter
}

// timed is a look-up whose time is measured.
type timed struct {
	lookup enrich.Lookup
	meter  Meter
	by     string
	// timeout is how long it may take; 0 for any time. The batch has one of its own.
	timeout time.Duration
}

// Lookup implements enrich.Lookup.
func (t timed) Lookup(ctx context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	if t.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.timeout)
		defer cancel()
	}
	began := time.Now()
	matches, err := t.lookup.Lookup(ctx, observables)
	if err == nil {
		t.meter.Asked(t.by, len(observables), countKnown(matches), time.Since(began))
	}
	return matches, err
}

// countKnown counts the observables that have matches.
func countKnown(matches []enrich.Match) int {
	known := map[engine.Indicator]bool{}
	for _, m := range matches {
		known[m.Observable.Indicator()] = true
	}
	return len(known)
}

// remembered counts what a batch remembers. Where that is all, MISP is not asked: it says nothing about an outage.
type remembered struct {
	asked enrich.Lookup
	batch *enrich.Batch
	meter Meter
}

// Lookup implements enrich.Lookup.
func (c remembered) Lookup(ctx context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	var all []enrich.Match
	n := 0
	for _, o := range observables {
		if known, ok := c.batch.Known(o); ok {
			n++
			all = append(all, known...)
			c.meter.Remembered(len(known) > 0)
		}
	}
	if n == len(observables) {
		return all, nil
	}
	return c.asked.Lookup(ctx, observables)
}
