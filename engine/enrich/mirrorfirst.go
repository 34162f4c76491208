package enrich

import (
	"context"
	"errors"
	"slices"

	"custom-misp/engine"
	"custom-misp/misp"
)

// MirrorFirst is a [Lookup] that asks a mirror, and for what the mirror does not know MISP: it may be so new that no sync
// has brought it yet. While MISP is unreachable, the mirror answers alone, with a [SkippedError]. While there is no mirror of
// MISP yet, or it is damaged, MISP does, for all that is MISP's.
type MirrorFirst struct {
	Mirror Lookup // nil for none yet
	Live   Lookup // records its own outages, see [Circuit]
	// Servers are the names of the MISP servers, if there are several; see [Servers].
	Servers []string
	// Whole says that the mirror is not to answer alone: then the answer is not known.
	Whole bool
}

// A SkippedError says that MISP was not asked for what the mirror does not know. The matches beside it are those of the
// mirror.
type SkippedError struct{ Err error }

// Error implements error.
func (e *SkippedError) Error() string {
	return "MISP was not asked for what the mirror does not know: " + e.Err.Error()
}

// Unwrap returns why MISP did not answer.
func (e *SkippedError) Unwrap() error { return e.Err }

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
	switch {
	case err == nil || isUnasked(err):
		return append(matches, live...), err
	case p.Whole, context.Cause(ctx) == context.Canceled: //nolint:errorlint // it is never wrapped
		return nil, err // if the program is being ended, that says nothing about MISP
	}
	return matches, &SkippedError{err}
}

// instead asks MISP for everything, since the mirror of it is not there, or is damaged. What other sources of the mirror
// know counts as well. An error about such a source stays: MISP cannot answer for it.
func (p *MirrorFirst) instead(ctx context.Context, observables []engine.Observable, mirrored []Match, why error) ([]Match, error) {
	if t, ok := errors.AsType[*Trouble](why); ok && t.OnlyHere {
		return nil, why
	}
	live, err := ask(ctx, p.Live, observables)
	if err != nil && !isUnasked(err) {
		return nil, err
	}
	others := slices.DeleteFunc(mirrored, func(m Match) bool { return p.isServer(m.Attribute.Origin) })
	return append(others, live...), err
}

// isServer reports whether a source is a MISP server.
func (p *MirrorFirst) isServer(origin string) bool {
	if len(p.Servers) > 0 {
		return slices.Contains(p.Servers, origin)
	}
	return origin == misp.OriginServer
}

// isUnasked reports whether some servers answered, and others did not.
func isUnasked(err error) bool {
	_, some := errors.AsType[*UnaskedError](err)
	return some
}
