package enrich

import (
	"context"
	"errors"
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
	// Done is called when all of the batch is done, and all that came before: they need not be handed out again. nil for
	// no call.
	Done func()
}

// A Meter counts what goes through a [Stream].
type Meter interface {
	// Read is called for alerts that were read, and those among them that are not alerts.
	Read(alerts, unreadable int)
	// Picked is called for each alert that something was picked from, with the matches for it.
	Picked(observables []engine.Observable, matches []Match)
	// Sent is called for each event that was handed over; failed if it could not be, ever.
	Sent(failed bool)
	// Depth is called when it changes how many batches are being processed.
	Depth(batches int)
}

// A Stream processes alerts as they are written, many at a time: it picks and looks up on all cores, and sends in their
// order. It loses nothing: while MISP or the queue is unreachable, it waits, with a few batches in memory.
type Stream struct {
	Source AlertSource // nil for no alerts
	// Pipeline returns the pipeline of the next batch; it may be another one after a reload.
	Pipeline func() *QueueingPipeline
	// Own reports whether an alert was raised by an event of ours; nil if none is.
	Own   func(alert []byte) bool
	Meter Meter // nil for none
	// Window is how many batches are processed at the same time, at most; 0 for one.
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

// batch is a batch of alerts on its way.
type batch struct {
	alerts   Alerts
	pipeline *QueueingPipeline
	events   []Enrichment
	found    []*job // with matches
	err      error
}

// Run works until ctx ends or the source does. It returns nil if all that was begun is done.
func (s Stream) Run(ctx context.Context) error {
	switch {
	case s.Source == nil:
		return nil
	case s.Pipeline == nil:
		return errors.New("stream of alerts without a pipeline")
	}
	if s.Meter == nil {
		s.Meter = noMeter{}
	}
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx)) // of what was begun
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(s.Grace, cancel) })()
	sightings := make(chan *batch, max(0, s.Window)) // beyond that, they are left out: MISP takes some 60 ms for each
	var background sync.WaitGroup
	background.Go(func() {
		for b := range sightings {
			b.pipeline.reportSightings(hard, b.found)
		}
	})
	defer background.Wait()
	defer close(sightings)
	depth := depth{meter: s.Meter}
	produce := func(yield func(*batch) error) error {
		for {
			alerts, err := s.Source.Next(ctx)
			if err != nil && ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			depth.change(1)
			if err := yield(&batch{alerts: alerts, pipeline: s.Pipeline()}); err != nil {
				return err
			}
		}
	}
	work := func(b *batch) *batch {
		b.err = s.lookUp(hard, b)
		return b
	}
	consume := func(b *batch) error {
		if b.err == nil {
			b.err = s.finish(ctx, hard, b)
		}
		depth.change(-1)
		if b.err != nil {
			cancel() // the batches behind it are not done either: they come again after a restart
			return b.err
		}
		if len(b.found) > 0 {
			select {
			case sightings <- b:
			default:
			}
		}
		return nil
	}
	return InOrder(s.Window, produce, work, consume)
}

// depth is how many batches are being processed.
type depth struct {
	meter Meter
	mu    sync.Mutex
	n     int
}

func (d *depth) change(by int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.n += by
	d.meter.Depth(d.n)
}

// lookUp picks from the alerts of a batch, looks up what was picked, all at once, and makes the events.
func (s Stream) lookUp(ctx context.Context, b *batch) error {
	jobs := s.pick(ctx, b)
	if err := s.answer(ctx, b.pipeline, jobs); err != nil {
		return err
	}
	for _, j := range jobs {
		s.Meter.Picked(j.observables, j.matches)
		b.pipeline.logUnasked(j)
		if len(j.matches) > 0 {
			b.events = append(b.events, b.pipeline.events(j)...)
			b.found = append(b.found, j)
		}
	}
	return nil
}

// pick returns the jobs of those alerts of a batch that something is picked from.
func (s Stream) pick(ctx context.Context, b *batch) []*job {
	var jobs []*job
	unreadable := b.alerts.Skipped
	for _, text := range b.alerts.Text {
		text, err := checkAlert(text)
		if err != nil {
			if unreadable++; unreadable == 1 {
				b.pipeline.log().Warn("line is not an alert and is left out", "error", err.Error())
			}
			continue
		}
		if s.Own != nil && s.Own(text) {
			continue
		}
		j, warning := b.pipeline.pick(Alert{JSON: text})
		j.bare = true
		if warning != nil {
			b.pipeline.log().Warn("mappings failed on this alert", "alert_id", j.described().Source.AlertID, "errors", warning.Error())
			b.pipeline.Report(ctx, j.described(), &Trouble{Code: CodeMapping, Err: warning, Remedy: "correct the expression, see custom-misp explain"})
		}
		if len(j.observables) > 0 {
			jobs = append(jobs, j)
		}
	}
	s.Meter.Read(len(b.alerts.Text)+b.alerts.Skipped, unreadable)
	return jobs
}

// answer looks up until there is an answer for every alert, or ctx ends. What MISP does not answer, while it answers
// others, is queued in the spool, where it is tried alone and in the end becomes a dead letter.
func (s Stream) answer(ctx context.Context, q *QueueingPipeline, jobs []*job) error {
	pause := leastPause
	for try := 1; ; try++ {
		err := lookUp(ctx, q.asked(), jobs...)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if try == 1 {
			q.log().Warn("alerts wait until they can be looked up", "alerts", len(jobs), "reason", err.Error())
		}
		if try >= isolateAfter && mayBeAtFault(err) && isolate(ctx, q, jobs) {
			return nil
		}
		if !sleep(ctx, pause) {
			return err
		}
		pause = min(2*pause, longPause)
	}
}

// isolate looks alerts up one by one, and queues those that fail while others are answered. It reports whether all are
// done.
func isolate(ctx context.Context, q *QueueingPipeline, jobs []*job) bool {
	for _, j := range jobs {
		err := lookUp(ctx, q.asked(), j)
		if err == nil {
			continue
		}
		if !q.atFault(ctx, err) || q.queue(ctx, j.described(), err) != nil {
			return false
		}
		j.observables, j.unasked, j.matches = nil, 0, nil
	}
	return true
}

// finish sends the events of a batch and is done with it. soft is the context that ends first.
func (s Stream) finish(soft, ctx context.Context, b *batch) error {
	for _, e := range b.events {
		if err := s.send(soft, ctx, b.pipeline, e); err != nil {
			return err
		}
	}
	if b.alerts.Done != nil {
		b.alerts.Done()
	}
	return nil
}

// send waits until the queue takes an event. A try that begins when the program is to end is a short one.
func (s Stream) send(soft, ctx context.Context, q *QueueingPipeline, e Enrichment) error {
	pause := leastPause
	for try := 1; ; try++ {
		trying, cancel := ctx, context.CancelFunc(func() {})
		if soft.Err() != nil {
			trying, cancel = context.WithTimeout(ctx, lastTry)
		}
		err := sendTo(trying, q.Sink, e)
		cancel()
		if err == nil {
			s.Meter.Sent(false)
			return nil
		}
		if codeOf(err, "") != CodeQueue {
			q.log().Error("event cannot be sent and is lost", "alert_id", e.Body.Source.AlertID, "error", err.Error())
			s.Meter.Sent(true)
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		if try == 1 {
			q.log().Warn("events wait until the queue takes them", "reason", err.Error())
		}
		q.Queue.failed(err, true)
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
