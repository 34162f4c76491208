package enrich

import (
	"context"

	"custom-misp/engine"
)

// MirrorFirst is a [Lookup] that asks a mirror, and for what the mirror does not know MISP: it may be so new that no sync
// has brought it yet. While MISP is unreachable, the mirror answers alone. While there is no mirror yet, MISP does.
type MirrorFirst struct {
	Mirror Lookup // nil for none yet
	Live   Lookup // records its own outages, see [Circuit]
	// Missed is called with the reason why MISP did not answer; nil for no call.
	Missed func(error)
}

// Lookup implements Lookup.
func (p *MirrorFirst) Lookup(ctx context.Context, observables []engine.Observable) ([]Match, error) {
	matches, err := ask(ctx, p.Mirror, observables)
	if err != nil { // there is none yet
		return ask(ctx, p.Live, observables)
	}
	known := make(map[answerKey]bool, len(matches))
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
	live, err := ask(ctx, p.Live, unknown)
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
