package enrich

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich/spool"
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
	// Picked is called, before Later and Done, with the alerts that something is picked from, in their order; nil for no call.
	// It must not keep the batch waiting.
	Picked func([]Picked)
	// Later is called, before Done, if MISP was not asked for values of the batch, see [SkippedError]: it has to be done again,
	// by [QueueingPipeline.Later]. nil for no call.
	Later func()
	// Done is called when all of the batch is done, and all that came before: they need not be handed out again. nil for
	// no call.
	Done func()
}

// Picked is an alert with what was picked from it. Whether MISP is asked about it at once does not matter.
type Picked struct {
	Line        int    // index in [Alerts.Text]: a torn line may have several alerts
	JSON        []byte // a part of that
	Observables []engine.Observable
}

// A Meter counts what goes through a [Stream].
type Meter interface {
	// Read is called for alerts that were read, and those among them that are not alerts.
	Read(alerts, unreadable int)
	// Picked is called for each alert that something was picked from, with the matches for it.
	Picked(observables []engine.Observable, matches []Match)
	// Sent is called for each event that was handed over; failed if it could not be, ever.
	Sent(failed bool)
	// OverRate is called for each event that waits because of a [Rate].
	OverRate()
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
	Own func(alert []byte) bool
	// OwnLocation is the location of all alerts that are Own, so that it need not be asked about others; empty if it is not known.
	OwnLocation string
	Meter       Meter // nil for none
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
	// maxDamaged is how many alerts may be in the spool before one that needs a damaged part of the mirror waits for it.
	maxDamaged = 1000
)

// batch is a batch of alerts on its way.
type batch struct {
	alerts   Alerts
	pipeline *QueueingPipeline
	found    []*job // with matches
	picked   []Picked
	skipped  bool // MISP was not asked for some of the values
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
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(s.Grace, cancel) })()
	r := streamRun{Stream: s, soft: ctx, hard: hard, depth: depth{meter: s.Meter}, sightings: make(chan *batch, max(1, s.Window))}
	var background sync.WaitGroup
	background.Go(r.reportSightings)
	defer background.Wait()
	defer close(r.sightings)
	return InOrder(s.Window, r.read, r.lookUp, r.finish)
}

// streamRun is one run of a Stream.
type streamRun struct {
	Stream
	soft, hard context.Context // soft ends first; hard is that of what was begun
	depth      depth
	sightings  chan *batch // beyond its capacity, they are left out: MISP takes some 60 ms for each
}

// reportSightings reports the sightings of batches that are done.
func (r *streamRun) reportSightings() {
	for b := range r.sightings {
		b.pipeline.reportSightings(r.hard, b.found)
	}
}

// read yields what the source hands out.
func (r *streamRun) read(yield func(*batch) error) error {
	for {
		alerts, err := r.Source.Next(r.soft)
		if err != nil && r.soft.Err() != nil {
			return nil //nolint:nilerr // it was asked to end
		}
		if err != nil {
			return err
		}
		r.depth.change(1)
		if err := yield(&batch{alerts: alerts, pipeline: r.Pipeline()}); err != nil {
			return err
		}
	}
}

// lookUp picks from the alerts of a batch and looks up what was picked, all at once.
func (r *streamRun) lookUp(b *batch) *batch {
	jobs := r.postpone(b.pipeline, r.pick(b))
	if b.err = answer(r.hard, b.pipeline, jobs); b.err != nil {
		return b
	}
	for _, j := range jobs {
		if err := b.pipeline.waitFor(r.hard, j); err != nil {
			b.pipeline.log().Error("a server is not asked about an alert", "alert_id", j.described().Source.AlertID, "error", err.Error())
		}
		b.skipped = b.skipped || j.skipped != nil
		r.Meter.Picked(j.observables, j.matches)
		if len(j.matches) > 0 {
			b.found = append(b.found, j)
		} else {
			b.pipeline.noteCuts(j)
		}
	}
	return b
}

// finish makes and sends the events of a batch, those of one alert before those of the next, and is done with it: an alert
// can have a thousand events, and those of all alerts that are in memory need not be there as well. An error means that hard
// has ended: then the batches behind it are not done either, and come again after a restart.
func (r *streamRun) finish(b *batch) error {
	defer r.depth.change(-1)
	if b.err != nil {
		return b.err
	}
	for _, j := range b.found {
		events := b.pipeline.events(j)
		b.pipeline.noteCuts(j)
		for _, e := range events {
			if err := r.send(b.pipeline, e); err != nil {
				return err
			}
		}
	}
	if b.alerts.Picked != nil {
		b.alerts.Picked(b.picked)
	}
	if b.skipped && b.alerts.Later != nil {
		b.alerts.Later()
	}
	if b.alerts.Done != nil {
		b.alerts.Done()
	}
	if len(b.found) > 0 {
		select {
		case r.sightings <- b:
		default:
		}
	}
	return nil
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

// pick returns the jobs of those alerts of a batch that something is picked from.
func (r *streamRun) pick(b *batch) []*job {
	p := picking{streamRun: r, batch: b}
	for i, line := range b.alerts.Text {
		p.number = i
		p.line(line)
	}
	p.count()
	return p.jobs
}

// picking is the picking from the lines of a batch.
type picking struct {
	*streamRun
	batch            *batch
	number           int    // of the line
	jobs             []*job // of alerts that something was picked from
	spare            *job   // of one that nothing was picked from; to be used again
	unreadable, torn int
}

// line picks from the alert in a line, or from those in a torn one. Nearly all lines are Wazuh's own: one reading checks and
// reads them.
func (p *picking) line(line []byte) {
	if e := p.batch.pipeline.Engine; e != nil && len(line) <= MaxAlert {
		if reading, ok := e.Read(line); ok {
			defer reading.Close()
			if reading.HasRule() {
				if p.Own == nil || p.OwnLocation != "" && !reading.IsFrom(p.OwnLocation) || !p.Own(line) {
					p.take(line, &reading)
				}
				return
			}
		}
	}
	alerts, err := Readable(line)
	if err != nil {
		p.torn += len(alerts)
		if p.unreadable++; p.unreadable == 1 {
			p.batch.pipeline.log().Warn("line is not an alert and is left out", "error", err.Error())
		}
	}
	for _, alert := range alerts {
		p.alert(alert)
	}
}

// alert picks from an alert that is not one of ours.
func (p *picking) alert(alert []byte) {
	if p.Own == nil || !p.Own(alert) {
		p.take(alert, nil)
	}
}

// take picks from an alert, by a reading of it if there is one.
func (p *picking) take(alert []byte, reading *engine.Reading) {
	pipeline := p.batch.pipeline
	j := p.spare
	if j == nil {
		j = new(job)
	}
	p.spare = nil
	j.alert.JSON, j.bare = alert, true
	warning := pipeline.pickInto(j, reading)
	if warning != nil {
		pipeline.log().Warn("mappings failed on this alert", "alert_id", j.described().Source.AlertID, "errors", warning.Error())
		pipeline.Report(p.hard, j.described(), &Trouble{Code: CodeMapping, Err: warning, Remedy: "correct the expression, see custom-misp explain"})
	}
	if len(j.observables) > 0 {
		p.jobs = append(p.jobs, j)
		if b := p.batch; b.alerts.Picked != nil {
			b.picked = append(b.picked, Picked{p.number, alert, j.observables})
		}
		return
	}
	pipeline.noteCuts(j)
	*j = job{}
	p.spare = j
}

// count counts what was read and what was left out.
func (p *picking) count() {
	b := p.batch
	if p.torn > 0 {
		b.pipeline.log().Warn("alerts behind the torn start of another one are processed", "alerts", p.torn)
	}
	p.Meter.Read(len(b.alerts.Text)+b.alerts.Skipped+p.torn, p.unreadable+b.alerts.Skipped)
}

// postpone puts alerts that are to be looked up alone into the spool, and returns the others. What the spool does not
// take stays among them.
func (r *streamRun) postpone(q *QueueingPipeline, jobs []*job) []*job {
	if q.Alone == nil {
		return jobs
	}
	return slices.DeleteFunc(jobs, func(j *job) bool {
		values := countValues(j.observables, q.Filter)
		if !q.Alone(values) {
			return false
		}
		dropped, err := q.put(spool.Alerts, j.alert.JSON)
		if err != nil {
			q.log().Warn("an alert with many values delays others", "alert_id", j.described().Source.AlertID, "values", values, "reason", err.Error())
			return false
		}
		q.reportDropped(r.hard, j.described(), dropped)
		q.log().Debug("an alert with many values is looked up alone, later", "alert_id", j.described().Source.AlertID, "values", values)
		return true
	})
}

// answer looks up until there is an answer for every alert, or ctx ends. What MISP does not answer, while it answers
// others, is queued in the spool, where it is tried alone and in the end becomes a dead letter.
func answer(ctx context.Context, q *QueueingPipeline, jobs []*job) error {
	pause := leastPause
	for try := 1; ; try++ {
		err := lookUp(ctx, q.asked(), jobs...)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if isDamage(err) && queueDamaged(ctx, q, jobs) {
			return nil
		}
		if errors.Is(err, errCrowded) && apart(ctx, q, jobs) {
			return nil
		}
		if try == 1 {
			q.log().Warn("alerts wait until they can be looked up", "alerts", len(jobs), "reason", err.Error())
		}
		if (try >= isolateAfter || isSlowMirror(err)) && mayBeAtFault(err) && isolate(ctx, q, jobs) {
			return nil
		}
		if !sleep(ctx, pause) {
			return err
		}
		pause = min(2*pause, longPause)
	}
}

// isSlowMirror reports whether a look-up in the mirror took too long: it is no outage that ends.
func isSlowMirror(err error) bool { return codeOf(err, "") == CodeMirror && timedOut(err) }

// maxTogether is how many matches an alert may have that stays in a batch which has too many.
const maxTogether = 1000

// apart looks alerts up one by one, and queues those with many matches in the spool: they are looked up alone, later, so
// that a batch does not hold the matches of all. It reports whether all are done.
func apart(ctx context.Context, q *QueueingPipeline, jobs []*job) bool {
	for _, j := range jobs {
		if err := lookUp(ctx, q.asked(), j); err != nil {
			return false
		}
		if len(j.matches) <= maxTogether {
			continue
		}
		dropped, err := q.put(spool.Alerts, j.alert.JSON)
		if err != nil { // then it has fewer matches, and delays others a little
			j.matches = limitedTo(j.matches, maxTogether)
			continue
		}
		q.reportDropped(ctx, j.described(), dropped)
		q.log().Debug("an alert with many matches is looked up alone, later", "alert_id", j.described().Source.AlertID, "matches", len(j.matches))
		j.observables, j.cuts, j.matches = nil, nil, nil
	}
	return true
}

// queueDamaged looks alerts up one by one, and queues those that need a damaged part of the mirror until it is whole: the
// others need not wait. It reports whether all are done. There is a bound on them: further ones wait in Wazuh's file.
func queueDamaged(ctx context.Context, q *QueueingPipeline, jobs []*job) bool {
	for _, j := range jobs {
		err := lookUp(ctx, q.asked(), j)
		if err == nil {
			continue
		}
		if !isDamage(err) || q.Spool == nil {
			return false
		}
		if depth, derr := q.Spool.Depth(); derr != nil || depth.Alerts >= maxDamaged {
			return false
		}
		dropped, perr := q.put(spool.Alerts, j.alert.JSON)
		if perr != nil {
			return false
		}
		q.reportDropped(ctx, j.described(), dropped)
		q.log().Debug("alert queued until the mirror is whole", "alert_id", j.described().Source.AlertID, "reason", err.Error())
		j.observables, j.cuts, j.matches = nil, nil, nil
	}
	return true
}

// isDamage reports whether a look-up failed since a part of the mirror is damaged.
func isDamage(err error) bool { return codeOf(err, "") == CodeDamaged }

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
		j.observables, j.cuts, j.matches = nil, nil, nil
	}
	return true
}

// send waits until the queue takes an event. A try that begins when the program is to end is a short one.
func (r *streamRun) send(q *QueueingPipeline, e Enrichment) error {
	pause := leastPause
	for try := 1; ; try++ {
		trying, cancel := r.hard, context.CancelFunc(func() {})
		if r.soft.Err() != nil {
			trying, cancel = context.WithTimeout(r.hard, lastTry)
		}
		err := sendTo(trying, q.Sink, e)
		cancel()
		if err == nil {
			r.Meter.Sent(false)
			return nil
		}
		if errors.Is(err, ErrOverRate) {
			if try == 1 {
				r.Meter.OverRate()
			}
			if !sleep(r.hard, ratePause) {
				return err
			}
			continue
		}
		if codeOf(err, "") != CodeQueue {
			q.log().Error("event cannot be sent and is lost", "alert_id", e.Body.Source.AlertID, "error", err.Error())
			r.Meter.Sent(true)
			return nil
		}
		if r.hard.Err() != nil {
			return err
		}
		if try == 1 {
			q.log().Warn("events wait until the queue takes them", "reason", err.Error())
		}
		q.Queue.failed(err, true)
		if !sleep(r.hard, pause) {
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
