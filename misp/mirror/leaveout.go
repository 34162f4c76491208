package mirror

import (
	"cmp"
	"context"
	"errors"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
)

// LeaveOut is a [enrich.Lookup] that does not wait for a damaged source for ever. Like those of the [Mirror], its look-ups
// fail where they need a damaged part, so that alerts are queued until the source was fetched again; but when the damage
// is known for a time, they do without that part. It goes by the clock of the Mirror, and is safe for concurrent use.
type LeaveOut struct {
	Mirror *Mirror
	// After is that time; 0 for UsualLeaveOut.
	After time.Duration
	// LeftOut is called for each look-up that did without a part of a source, with the number of values that were looked
	// up; nil for no call.
	LeftOut func(ctx context.Context, d Damage, values int)
}

// UsualLeaveOut is the time after which a damaged source is left out.
const UsualLeaveOut = 10 * time.Minute

// Lookup implements [enrich.Lookup]. It notes damage, see [Mirror.NoteDamage].
func (l *LeaveOut) Lookup(ctx context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	matches, err := l.Mirror.Lookup(ctx, observables)
	damaged, ok := errors.AsType[*DamagedError](err)
	if !ok {
		return matches, err
	}
	now, after := l.Mirror.clock(), cmp.Or(l.After, UsualLeaveOut)
	for _, d := range damaged.Sources {
		if !due(now, d.Since, after) {
			l.Mirror.NoteDamage()
			return matches, err
		}
	}
	if l.LeftOut != nil {
		for _, d := range damaged.Sources {
			l.LeftOut(ctx, d, len(observables))
		}
	}
	v := l.Mirror.use()
	defer v.release()
	return matches, l.Mirror.absent(v)
}
