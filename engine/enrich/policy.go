package enrich

import (
	"context"

	"custom-misp/engine"
)

// MirrorFirst is a [Lookup] that asks a mirror, and for what that does not know somebody else: what is so new that no
// sync has brought it yet. The mirror never fails for lack of the other: while MISP is away, its word is the last. While
// there is no mirror yet, the other one answers alone.
type MirrorFirst struct {
	Mirror Lookup
	Live   Lookup // keeps the record of its own outages, see [Circuit]
	// Missed is told why the other one was of no help; nil for nobody.
	Missed func(error)
}

// Lookup implements Lookup.
func (p *MirrorFirst) Lookup(ctx context.Context, observables []engine.Observable) ([]Match, error) {
	matches, err := p.Mirror.Lookup(ctx, observables)
	if err != nil { // there is none yet
		return p.Live.Lookup(ctx, observables)
	}
	known := make(map[batchKey]bool, len(matches))
	for _, m := range matches {
		known[keyOf(m.Observable)] = true
	}
	var unknown []engine.Observable
	for _, o := range observables {
		if !known[keyOf(o)] {
			unknown = append(unknown, o)
		}
	}
	if len(unknown) == 0 {
		return matches, nil
	}
	live, err := p.Live.Lookup(ctx, unknown)
	if err != nil && ctx.Err() != nil {
		return nil, err // the program is being ended, which says nothing about MISP
	}
	if err != nil {
		if p.Missed != nil {
			p.Missed(err)
		}
		return matches, nil
	}
	return append(matches, live...), nil
}
