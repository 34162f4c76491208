package serve

import (
	"context"
	"errors"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/lookback"
	"custom-misp/engine/history"
)

const (
	// lookBackEvery is how often the mirror is looked at for what is new. What was picked by then is in the history when it is
	// looked up.
	lookBackEvery = time.Second
	// lookBackRetry is the time until the next try after a look-back that failed, as while Wazuh's queue is full.
	lookBackRetry = 10 * time.Second
	// lookBackRest is how long a look-back of much rests for each second that it works.
	lookBackRest = 9
)

var errNoHistory = errors.New("the history cannot be opened")

// lookBacks looks up in the history what syncs bring, until ctx ends. It stops nothing else.
func (v *server) lookBacks(ctx context.Context) error {
	if v.history == nil {
		return nil
	}
	c := v.current.Load().config
	for failures := 0; ; failures++ {
		l, err := lookback.Open(lookback.Options{
			Dir: app.StateOf(c).LookBack(), View: v.history.view, Sink: v.events.Dedup, FirstSync: c.History.FirstSync,
			Storm: c.Events.Storm, Days: c.History.Days, Log: v.log, Now: time.Now,
			Pause: func(ctx context.Context, worked time.Duration) error { return rest(ctx, lookBackRest*worked) },
		})
		if err == nil {
			defer l.Close()
			v.lookBack.Store(l)
			break
		}
		if failures == 0 {
			v.log.Error("nothing is looked up in the history; it is tried again every minute", "error", err.Error())
		}
		if rest(ctx, historyRetry) != nil {
			return nil
		}
	}
	v.lookBackWith(ctx, v.lookBack.Load())
	return nil
}

// lookBackWith looks back until ctx ends.
func (v *server) lookBackWith(ctx context.Context, l *lookback.LookBack) {
	reported := ""
	pause := lookBackEvery
	for rest(ctx, pause) == nil {
		pause = lookBackEvery
		a := v.current.Load().app
		if a.Mirror == nil {
			continue
		}
		site := lookback.Site{Mirror: a.Mirror, Pipeline: &a.Chain.Pipeline}
		if !l.Pending(site) || rest(ctx, lookBackEvery) != nil {
			continue
		}
		err := l.Once(ctx, site)
		switch {
		case ctx.Err() != nil:
		case err == nil:
			reported = ""
		default:
			if reported != err.Error() {
				reported = err.Error()
				v.log.Warn("what a sync brought is not looked up in the history yet; it is tried again", "error", reported)
			}
			pause = lookBackRetry
		}
	}
}

// rest waits, and returns the error of ctx if that ends before.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return ctx.Err()
}

// view opens the history as it is now.
func (r *recorder) view() (*history.View, error) {
	if s := r.store.Load(); s != nil {
		return s.View()
	}
	return nil, errNoHistory
}

// lookBackStatus is what look-backs did; nil if there are none.
func (v *server) lookBackStatus() *lookback.Status {
	l := v.lookBack.Load()
	if l == nil {
		return nil
	}
	s := l.Status()
	return &s
}
