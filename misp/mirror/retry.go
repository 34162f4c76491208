package mirror

import (
	"cmp"
	"errors"
	"path/filepath"
	"time"

	"custom-misp/engine/enrich"
	"custom-misp/misp/api"
)

const (
	firstRetry = 5 * time.Second
	// Longest is the longest wait after failures where [Syncer.Every] does not name another.
	Longest = time.Hour
	// longestAsked is how long a server may have us wait. A later time is of a clock that was wrong.
	longestAsked = 24 * time.Hour
)

// ErrAskedToWait is a sync that was not begun: the server wants no request before a time (Retry-After). A complete sync, as
// with custom-misp sync --full, is begun even so.
var ErrAskedToWait = errors.New("the server wants no request before")

// A retryPlan says when a source is tried again after so many failures in a row.
type retryPlan struct {
	failures      int
	at, notBefore time.Time
}

// Backoff returns how long to wait after so many failures in a row, one or more: 5 s after the first, twice as long each
// time, but no longer than longest; and half of that at random, so that managers that failed together do not come back
// together.
func Backoff(failures int, longest time.Duration) time.Duration {
	return api.Backoff(firstRetry, longest, max(0, failures-1), nil)
}

// retry plans the next try after so many failures in a row, the last of which is err.
func (y *Syncer) retry(name string, kind Kind, failures int, err error) retryPlan {
	now, every := y.now().UTC(), cmp.Or(y.Every[name], Longest)
	wait := Backoff(failures, every)
	if errors.Is(err, ErrRefused) {
		wait = every // a copy that comes again at once says nothing new
	}
	plan := retryPlan{failures: failures, at: now.Add(wait)}
	// MISP's rate limit makes a walk wait, and not the polls.
	if t, ok := errors.AsType[*enrich.Trouble](err); ok && t.Wait > 0 && kind != KindMISP {
		plan.notBefore = now.Add(min(t.Wait, longestAsked))
		if plan.notBefore.After(plan.at) {
			plan.at = plan.notBefore
		}
	}
	return plan
}

// waits returns until when the server wants no request; zero if it takes one now.
func (s State) waits(now time.Time) time.Time {
	if now.Before(s.NotBefore) && s.NotBefore.Sub(now) <= longestAsked {
		return s.NotBefore
	}
	return time.Time{}
}

// Due returns how long it is until a source has to be synced, for a program that begins to sync it again and again: 0 for
// at once, if it was never synced, or declared otherwise, or if its last sync failed. Addresses alone are waited for: a
// file on this machine costs nothing to look at.
func (y *Syncer) Due(o Origin) time.Duration {
	dir := filepath.Join(y.Dir, o.Name())
	state, err := loadState(dir)
	kind, where := o.describe()
	now, every := y.now(), cmp.Or(y.Every[o.Name()], Longest)
	if err != nil || state.Kind != kind || state.Place != where {
		return 0
	}
	if until := state.waits(now); !until.IsZero() {
		return until.Sub(now)
	}
	remote, form := false, state.Form
	switch o := o.(type) {
	case *Declared:
		remote, form = o.from.http != nil, o.file.Form
	case *Feed:
		remote = o.from.http != nil
	}
	age := now.Sub(state.SyncedAt)
	if !remote || state.Base == "" || !state.FailedAt.IsZero() || state.Form != form || age < 0 {
		return 0
	}
	set, err := openSnapshot(dir, nil)
	if err != nil {
		return 0
	}
	set.release()
	if readNote(dir).about == state.identity() {
		return 0 // damaged, as another process has found
	}
	return max(0, every-age)
}
