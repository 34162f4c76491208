package enrich

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"custom-misp/engine"
)

// An AlertSource hands out alerts in the order in which they were written.
type AlertSource interface {
	// Next waits for alerts. It returns the error of ctx when that ends; any other is final.
	Next(ctx context.Context) (Alerts, error)
}

// Alerts is a batch of alerts from an [AlertSource].
type Alerts struct {
	// Text is what was written of each; it may be anything.
	Text [][]byte
	// Skipped is how many more were too long to be alerts.
	Skipped int
	// Done tells the source that all of the batch is done, and all that came before: they need not be handed out
	// again.
	Done func()
}

// A Meter counts what goes through a [Resident].
type Meter interface {
	// Read is called for alerts that were read, and those among them that are none.
	Read(alerts, unreadable int)
	// Picked is called for each alert that something was picked from, with the matches for it.
	Picked(observables []engine.Observable, matches []Match)
	// Sent is called for each event that was handed over; failed if it could not be, ever.
	Sent(failed bool)
	// Depth is called when it changes how many batches are being worked on.
	Depth(batches int)
}

// A Resident takes alerts as they are written, many at a time: it picks and looks up on all cores, and sends in their
// order. It loses nothing: while MISP or the queue is away, it waits, and holds no more than a few batches.
type Resident struct {
	Source AlertSource
	// Way returns the way of an alert as it is now; it may be another one after a change of the configuration.
	Way func() *Durable
	// Own reports whether an alert was raised by an event of ours.
	Own   func(alert []byte) bool
	Meter Meter
	// Window is how many batches are worked on at the same time, at most.
	Window int
	// Grace is how long what was begun may take to end when the program is asked to.
	Grace time.Duration
}

const (
	leastPause = 100 * time.Millisecond // before a look-up or an event is tried again
	longPause  = 5 * time.Second
	lastTry    = 500 * time.Millisecond // to send an event, when the program is to end
	// isolateAfter is how often a batch fails, with an answer or by a time-out, before its alerts are looked up one by one.
	isolateAfter = 3
)

// work is a batch on its way.
type work struct {
	alerts Alerts
	way    *Durable
	done   chan struct{}
	events []Enrichment
	found  []sighted
	err    error
}

// Run works until ctx ends or the source does. It returns nil if all that was begun is done.
func (r *Resident) Run(ctx context.Context) error {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(r.Grace, cancel) })()
	order := make(chan *work, max(0, r.Window-1))
	sightings := make(chan *work, r.Window) // beyond that, they are left out: MISP takes some 60 ms for each
	var running sync.WaitGroup
	running.Go(func() {
		for w := range sightings {
			w.way.reportSightings(hard, w.found)
		}
	})
	var failed error
	running.Go(func() {
		defer close(order)
		for {
			alerts, err := r.Source.Next(ctx)
			if err != nil {
				if ctx.Err() == nil {
					failed = err
				}
				return
			}
			w := &work{alerts: alerts, way: r.Way(), done: make(chan struct{})}
			running.Go(func() {
				defer close(w.done)
				w.err = r.lookUp(hard, w)
			})
			r.Meter.Depth(len(order) + 1)
			order <- w
		}
	})
	var err error
	for w := range order {
		<-w.done
		r.Meter.Depth(len(order))
		if err == nil {
			err = w.err
		}
		if err == nil {
			err = r.finish(ctx, hard, w)
		}
		if err == nil && len(w.found) > 0 {
			select {
			case sightings <- w:
			default:
			}
		}
		if err != nil {
			cancel() // the batches behind it are not done either: they come again after a restart
		}
	}
	close(sightings)
	running.Wait()
	return errors.Join(failed, err)
}

// picked is an alert of a batch that something was picked from.
type picked struct {
	text        []byte // is known to be an alert
	observables []engine.Observable
	unasked     int // values, see [Outcome]
	matches     []Match
}

// alert reads what most alerts are not asked for.
func (p *picked) alert() Alert {
	a, _ := ParseAlert(p.text) // it was checked
	return a
}

// lookUp picks from the alerts of a batch and looks up what was picked, all at once.
func (r *Resident) lookUp(ctx context.Context, w *work) error {
	var todo []*picked
	unreadable := w.alerts.Skipped
	for _, text := range w.alerts.Text {
		text, err := checkAlert(text)
		if err != nil {
			if unreadable++; unreadable == 1 {
				w.way.Log.Warn("line is no alert and left out", "error", err.Error())
			}
			continue
		}
		if r.Own(text) {
			continue
		}
		observables, unasked, warning := w.way.pick(text)
		if warning != nil {
			a := (&picked{text: text}).alert()
			w.way.Log.Warn("mappings failed on this alert", "alert_id", a.Source.AlertID, "errors", warning.Error())
			w.way.Tell(ctx, a, &Trouble{Code: CodeMapping, Err: warning, Remedy: "mend the expression, see custom-misp explain"})
		}
		if len(observables) > 0 {
			todo = append(todo, &picked{text: text, observables: observables, unasked: unasked})
		}
	}
	r.Meter.Read(len(w.alerts.Text)+w.alerts.Skipped, unreadable)
	if err := r.answer(ctx, w.way, todo); err != nil {
		return err
	}
	for _, p := range todo {
		r.Meter.Picked(p.observables, p.matches)
		if p.unasked > 0 {
			w.way.noteUnasked(p.alert(), p.unasked)
		}
		if len(p.matches) > 0 {
			a := p.alert()
			w.events = append(w.events, w.way.enrichments(a, p.observables, p.matches)...)
			w.found = append(w.found, sighted{a, p.matches})
		}
	}
	return nil
}

// answer looks up until there is an answer for every alert, or ctx ends. What MISP answers nobody, while it answers
// others, is held in the spool, where it is tried alone and in the end set aside.
func (r *Resident) answer(ctx context.Context, d *Durable, todo []*picked) error {
	if len(todo) == 0 {
		return nil
	}
	pause := leastPause
	for try := 1; ; try++ {
		err := ask(ctx, d, todo)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if try == 1 {
			d.Log.Warn("alerts wait until they can be looked up", "alerts", len(todo), "reason", err.Error())
		}
		if try >= isolateAfter && mayBeAtFault(err) && r.isolate(ctx, d, todo) {
			return nil
		}
		if !sleep(ctx, pause) {
			return err
		}
		pause = min(2*pause, longPause)
	}
}

// ask looks up the observables of alerts, each once.
func ask(ctx context.Context, d *Durable, todo []*picked) error {
	var all []engine.Observable
	users := map[batchKey][]*picked{}
	for _, p := range todo {
		for _, o := range p.observables {
			k := keyOf(o)
			if len(users[k]) == 0 {
				all = append(all, o)
			}
			users[k] = append(users[k], p)
		}
	}
	matches, err := d.lookUp(ctx, all, false)
	if err != nil {
		return err
	}
	for _, p := range todo {
		p.matches = nil // of an earlier try
	}
	for _, m := range matches {
		for _, p := range users[keyOf(m.Observable)] {
			p.matches = append(p.matches, m)
		}
	}
	return nil
}

// isolate looks alerts up one by one, and holds those that fail while others are answered. It reports whether all are
// done.
func (r *Resident) isolate(ctx context.Context, d *Durable, todo []*picked) bool {
	for _, p := range todo {
		err := ask(ctx, d, []*picked{p})
		if err == nil {
			continue
		}
		if !mayBeAtFault(err) || !answersOthers(ctx, d, false) || d.hold(ctx, p.alert(), err) != nil {
			return false
		}
		p.observables, p.unasked = nil, 0
	}
	return true
}

// answersOthers reports whether there is an answer for a hash that nobody can know. If there is none, a failure says
// nothing about an alert.
func answersOthers(ctx context.Context, d *Durable, draining bool) bool {
	_, err := d.lookUp(ctx, []engine.Observable{{Type: "md5", Value: fmt.Sprintf("%x", rand.Text()[:16])}}, draining)
	return err == nil && ctx.Err() == nil
}

// finish sends the events of a batch and is done with it. soft is the context that ends first.
func (r *Resident) finish(soft, ctx context.Context, w *work) error {
	for _, e := range w.events {
		if err := r.send(soft, ctx, w.way, e); err != nil {
			return err
		}
	}
	w.alerts.Done()
	return nil
}

// send waits until the queue takes an event. A try that begins when the program is to end is a short one.
func (r *Resident) send(soft, ctx context.Context, d *Durable, e Enrichment) error {
	pause := leastPause
	for try := 1; ; try++ {
		trying, cancel := ctx, context.CancelFunc(func() {})
		if soft.Err() != nil {
			trying, cancel = context.WithTimeout(ctx, lastTry)
		}
		err := d.Sink.Send(trying, e)
		cancel()
		if err == nil {
			r.Meter.Sent(false)
			return nil
		}
		if codeOf(err, "") != CodeQueue {
			d.Log.Error("event cannot be sent and is lost", "alert_id", e.Body.Source.AlertID, "error", err.Error())
			r.Meter.Sent(true)
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		if try == 1 {
			d.Log.Warn("events wait until the queue takes them", "reason", err.Error())
		}
		if _, uerr := d.Queue.failed(err, true); uerr != nil {
			d.Log.Error("outage of the queue not noted", "error", uerr.Error())
		}
		if !sleep(ctx, pause) {
			return err
		}
		pause = min(2*pause, longPause)
	}
}

// sleep waits; false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
