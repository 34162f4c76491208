package enrich

import (
	"context"
	"errors"
	"slices"

	"custom-misp/engine"
	"custom-misp/misp"
)

// MirrorFirst is a [Lookup] that asks a mirror, and for what the mirror does not know MISP: it may be so new that no sync
// has brought it yet. While MISP is unreachable, the mirror answers alone. While there is no mirror of MISP yet, or it is
// damaged, MISP does, for all that is MISP's.
type MirrorFirst struct {
	Mirror Lookup // nil for none yet
	Live   Lookup // records its own outages, see [Circuit]
	// Missed is called with the reason why MISP did not answer; nil for no call.
	Missed func(error)
}

// Lookup implements Lookup.
func (p *MirrorFirst) Lookup(ctx context.Context, observables []engine.Observable) ([]Match, error) {
	matches, err := ask(ctx, p.Mirror, observables)
	if err != nil {
		return p.instead(ctx, observables, matches, err)
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

// instead asks MISP for everything, since the mirror of it is not there, or is damaged. What other sources of the mirror
// know counts as well. An error about such a source stays: MISP cannot answer for it.
func (p *MirrorFirst) instead(ctx context.Context, observables []engine.Observable, mirrored []Match, why error) ([]Match, error) {
	if t, ok := errors.AsType[*Trouble](why); ok && t.OnlyHere {
		return nil, why
	}
	live, err := ask(ctx, p.Live, observables)
	if err != nil {
		return nil, err
	}
	others := slices.DeleteFunc(mirrored, func(m Match) bool { return m.Attribute.Origin == misp.OriginServer })
	return append(others, live...), nil
}
