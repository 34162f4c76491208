package enrich

import (
	"context"
	"testing"

	"custom-misp/engine"
)

type counted struct{ observables []engine.Observable }

// Lookup implements Lookup.
func (c *counted) Lookup(_ context.Context, observables []engine.Observable) ([]Match, error) {
	c.observables = observables
	return nil, nil
}

// TestFallbackIsAskedApart looks up a value that a mapping picked from one alert and a fallback from another: what is true of
// the one, that MISP may be asked for it, is not true of the other.
func TestFallbackIsAskedApart(t *testing.T) {
	of := func(fallback bool) *job {
		return &job{observables: []engine.Observable{{Type: "filename", Value: "a.exe", Fallback: fallback}}}
	}
	c := &counted{}
	if err := lookUp(t.Context(), c, of(true), of(false), of(true)); err != nil || len(c.observables) != 2 {
		t.Errorf("asked for %+v, %v", c.observables, err)
	}
}
