package app

import (
	"context"
	"errors"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp/mirror"
)

// warned adds to what a look-up finds the names of the warninglists that it is on.
type warned struct {
	asked enrich.Lookup
	lists *mirror.Mirror
}

// Lookup implements [enrich.Lookup].
func (w warned) Lookup(ctx context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	matches, err := w.asked.Lookup(ctx, observables)
	return w.lists.Warn(ctx, matches), err
}

// withSources looks values up in the declared sources, and asks MISP. One that was never synced keeps nothing from MISP; a
// failure of MISP fails the look-up, so that the alert is looked up again.
type withSources struct {
	sources enrich.Lookup
	live    enrich.Lookup
}

// Lookup implements [enrich.Lookup].
func (w *withSources) Lookup(ctx context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	matches, err := w.sources.Lookup(ctx, observables)
	if _, damaged := errors.AsType[*mirror.DamagedError](err); damaged || ctx.Err() != nil {
		return matches, err
	}
	live, err := w.live.Lookup(ctx, observables)
	return append(matches, live...), err
}
