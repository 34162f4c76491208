package enrich

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich/spool"
)

// A QueueingPipeline is a [Pipeline] that loses nothing. An alert that cannot be looked up now, and an event that cannot
// be sent, are queued in a spool, and a later call processes them. Wazuh gets one event when MISP becomes unreachable, and
// one when it is reachable again.
type QueueingPipeline struct {
	Pipeline
	// Circuit asks instead of Lookup; nil if Lookup has no outages to record, or records them itself.
	Circuit *Circuit
	// Whole asks for alerts that Lookup answered with a [SkippedError], later, and answers with none; nil if Lookup never does.
	Whole Lookup
	Spool *spool.Dir // nil if nothing can be queued: then it is lost
	MISP  OutageFile // of the look-up
	// Outages are the records of several MISP servers, see [Servers], instead of MISP; nil if there is one.
	Outages   []ServerOutage
	Queue     OutageFile   // of the sink
	Sightings *Sightings   // nil for none
	Log       *slog.Logger // nil for none
	// Reserve is how much of the time of a call is kept back from looking up, for sending and queueing.
	Reserve time.Duration
	// DrainTime is how much of a call is spent on what earlier ones queued, at most; a question that is not answered by
	// then is given up. With 0 nothing is spent.
	DrainTime time.Duration
	// Meanwhile says in the event about an outage what becomes of alerts; empty if they are queued in the spool.
	Meanwhile string
	// Faults takes the error events that belong to no outage; nil for Sink.
	Faults *Throttle
	// Alone reports whether a [Stream] is to look up an alert with so many values alone, later, so that other alerts need
	// not wait for it; nil for never.
	Alone func(values int) bool
	// Settle is called before an entry is taken out of the spool for good: what was counted of it has to be on disk. An error
	// says that it is not, so that the entry stays. nil for no call.
	Settle func() error
	// Cut is called for everything that a bound left out of an alert, once it is looked up; nil for no call. The log names
	// only the first of each mapping and kind: whoever writes a log can cause a cut in every alert.
	Cut func(engine.Cut)

	mu        sync.Mutex
	cutLogged map[engine.Cut]bool // without their numbers
}

// A Result says what a call did.
type Result struct {
	Outcome
	Queued  bool // the alert is in the spool, for reasons that are logged
	Drained Drained
}

// asked returns what looks values up.
func (q *QueueingPipeline) asked() Lookup {
	if q.Circuit != nil {
		return q.Circuit
	}
	return q.Lookup
}

func (q *QueueingPipeline) log() *slog.Logger { return logTo(q.Log) }

// Process processes one alert, or queues it, and then works on the spool. An error means that the alert, or
// something found for it, is lost.
func (q *QueueingPipeline) Process(ctx context.Context, a Alert) (Result, error) {
	j, warning := q.pick(a)
	r := Result{Outcome: Outcome{Observables: j.observables, Cuts: j.cuts, Warning: warning}}
	asking, cancel := context.WithTimeout(ctx, timeBut(ctx, q.Reserve))
	err := lookUp(asking, q.asked(), j)
	cancel()
	if err != nil {
		r.Queued = true
		return r, q.queue(ctx, a, err)
	}
	waiting := q.waitFor(ctx, j)
	events := q.events(j)
	q.noteCuts(j)
	r.Cuts = j.cuts
	if r.Sent, err = q.send(ctx, events); err != nil {
		return r, err
	}
	if err := errors.Join(waiting, q.delay(ctx, j)); err != nil {
		return r, err
	}
	var drained []*job
	r.Drained, drained = q.drain(ctx, len(j.observables) > 0 && j.skipped == nil && j.unasked == nil, false)
	q.reportSightings(ctx, append([]*job{j}, drained...))
	return r, nil
}

// noteCuts reports what bounds left out of an alert that is looked up.
func (q *QueueingPipeline) noteCuts(j *job) {
	for _, c := range j.cuts {
		if q.Cut != nil {
			q.Cut(c)
		}
		if q.firstCut(c) {
			q.log().Warn("part of an alert was left out; further such alerts are only counted", "alert_id", j.described().Source.AlertID, "reason", c.String())
		}
	}
}

// firstCut reports whether no cut of this mapping and kind was seen before.
func (q *QueueingPipeline) firstCut(c engine.Cut) bool {
	c.Number, c.Path = 0, ""
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.cutLogged[c] {
		return false
	}
	if q.cutLogged == nil {
		q.cutLogged = map[engine.Cut]bool{}
	}
	q.cutLogged[c] = true
	return true
}

// atFault reports whether an alert that was looked up alone is itself the reason that this failed: MISP answers another
// question.
func (q *QueueingPipeline) atFault(ctx context.Context, err error) bool {
	return mayBeAtFault(err) && answersOthers(ctx, q.asked())
}

// put puts an entry into the spool. Its errors are a [Trouble].
func (q *QueueingPipeline) put(kind spool.Kind, data []byte) (dropped int, err error) {
	if q.Spool == nil {
		err = errors.New("spool: there is none")
	} else {
		dropped, err = q.Spool.Put(kind, data)
	}
	if err != nil {
		return dropped, &Trouble{Code: CodeSpool, Err: err}
	}
	return dropped, nil
}

// queue puts an alert into the spool, and reports to Wazuh what is due.
func (q *QueueingPipeline) queue(ctx context.Context, a Alert, why error) error {
	dropped, err := q.put(spool.Alerts, a.JSON)
	if err != nil {
		err = fmt.Errorf("alert is lost: %w; it was to be queued because of this: %w", err, why)
		q.Report(ctx, a, err)
		return err
	}
	for i, s := range q.ServerOutages() {
		if i > 0 {
			dropped = 0
		}
		o := s.Outage.queued(1, dropped)
		if i == 0 {
			q.log().Warn("alert queued until MISP answers", "alert_id", a.Source.AlertID, "reason", why.Error(), "queued", o.Queued)
			q.reportDropped(ctx, a, dropped)
		}
		switch {
		case len(q.Outages) == 0 && s.Outage.wantsReport(o):
			q.reportOutage(ctx, a, s, why)
		case len(q.Outages) > 0 && o.Unreachable() && s.Outage.wantsReport(o):
			q.reportOutage(ctx, a, s, failureOf(s.Name, o, why))
		}
	}
	return nil
}

// failureOf returns why one of several servers did not answer.
func failureOf(server string, o Outage, why error) error {
	if none, ok := errors.AsType[*noAnswerError](why); ok {
		for _, f := range none.failures {
			if f.Server == server {
				return f.Err
			}
		}
	}
	return &Trouble{Code: o.Code, Err: errors.New(o.Description)}
}

// delay queues an alert for which MISP was not asked about all that the mirror does not know. An error says that MISP is
// never asked.
func (q *QueueingPipeline) delay(ctx context.Context, j *job) error {
	if j.skipped == nil || q.Whole == nil {
		return nil
	}
	a := j.described()
	dropped, err := q.put(spool.Delayed, a.JSON)
	if err != nil {
		err = fmt.Errorf("%w; it is not asked later either: %w", j.skipped, err)
		q.Report(ctx, a, err)
		return err
	}
	for i, s := range q.ServerOutages() {
		if i > 0 {
			dropped = 0
		}
		o := s.Outage.queued(1, dropped)
		if i == 0 {
			q.log().Warn("alert queued until MISP answers for what the mirror does not know", "alert_id", a.Source.AlertID, "reason", j.skipped.Error(), "queued", o.Queued)
			q.reportDropped(ctx, a, dropped)
		}
		switch {
		case len(q.Outages) == 0 && s.Outage.wantsReport(o):
			q.reportOutage(ctx, a, s, j.skipped)
		case len(q.Outages) > 0 && o.Unreachable() && s.Outage.wantsReport(o):
			q.reportOutage(ctx, a, s, failureOf(s.Name, o, j.skipped))
		}
	}
	return nil
}

// Later returns a pipeline for alerts that were processed without asking MISP for all of their values: it fails while MISP
// is unreachable, and its events say that they are late. It is nil if there can be no such alerts.
func (q *QueueingPipeline) Later() *QueueingPipeline {
	if q.Whole == nil {
		return nil
	}
	later := &QueueingPipeline{
		Pipeline: q.Pipeline, Spool: q.Spool, MISP: q.MISP, Queue: q.Queue, Sightings: q.Sightings, Log: q.Log,
		Reserve: q.Reserve, DrainTime: q.DrainTime, Meanwhile: q.Meanwhile, Faults: q.Faults, Settle: q.Settle, Outages: q.Outages,
	}
	later.Lookup, later.delayed = q.Whole, true
	return later
}

// queueEvents puts events into the spool that the sink does not take.
func (q *QueueingPipeline) queueEvents(events []Enrichment, why error) error {
	overRate := errors.Is(why, ErrOverRate)
	if !overRate {
		q.Queue.failed(why, true)
	}
	dropped := 0
	for i, e := range events {
		data, err := json.Marshal(queuedEvent(e))
		if err == nil {
			var n int
			n, err = q.put(spool.Events, data)
			dropped += n
		}
		if err != nil {
			return fmt.Errorf("%d events are lost: %w; they were to be queued because of this: %w", len(events)-i, err, why)
		}
	}
	if overRate {
		q.log().Debug("events queued until the rate allows them", "events", len(events))
		q.logDropped(dropped)
		return nil
	}
	o := q.Queue.queued(len(events), dropped)
	q.log().Warn("events queued until Wazuh takes them", "events", len(events), "reason", why.Error(), "since", o.Since.UTC().Format(time.RFC3339))
	q.logDropped(dropped) // an event about it would not be taken either; the one about the end of the outage says how many
	return nil
}

// queuedEvent is an event in the spool.
type queuedEvent struct {
	Agent Agent  `json:"agent"`
	Body  Body   `json:"body"`
	Late  string `json:"late,omitempty"`
}

// send sends events, and queues those that the sink does not take: after the first of them no other is tried, for it
// would wait for the same full or absent queue.
func (q *QueueingPipeline) send(ctx context.Context, events []Enrichment) (sent int, err error) {
	if sent, err = q.Pipeline.send(ctx, events); err != nil {
		err = q.queueEvents(events[sent:], err)
	}
	return sent, err
}

// ReportOutage reports to Wazuh which MISP is unreachable, if one is and this was not reported yet.
func (q *QueueingPipeline) ReportOutage(ctx context.Context, a Alert) {
	for _, s := range q.ServerOutages() {
		if o, err := s.Outage.Load(); err == nil && o.Unreachable() && s.Outage.wantsReport(o) {
			q.reportOutage(ctx, a, s, &Trouble{Code: o.Code, Err: errors.New(o.Description)})
		}
	}
}

// reportOutage reports to Wazuh that an outage has begun, unless the program is being ended. Of several servers, the event names
// the one.
func (q *QueueingPipeline) reportOutage(ctx context.Context, a Alert, s ServerOutage, why error) {
	if ctx.Err() != nil {
		return
	}
	event := TroubleEvent(a, why)
	if len(q.Outages) > 0 {
		event.Body.Server = s.Name
		event.Body.Description = fmt.Sprintf("MISP server %s: %s; what the other servers know is reported meanwhile, and this one is asked when it answers", s.Name, why.Error())
	} else {
		event.Body.Description += "; " + q.meanwhile()
	}
	if err := sendTo(ctx, q.Sink, event); err != nil {
		q.log().Error("outage not reported to Wazuh", "error", err.Error()) // the next alert tries again
		return
	}
	s.Outage.markReported()
}

// meanwhile says what becomes of alerts during an outage.
func (q *QueueingPipeline) meanwhile() string {
	if q.Meanwhile != "" || q.Spool == nil {
		return q.Meanwhile
	}
	return fmt.Sprintf("alerts are queued in %s and looked up when MISP answers", q.Spool.Path)
}

func (q *QueueingPipeline) logDropped(dropped int) {
	if dropped > 0 {
		q.log().Error("spool is full, the oldest entries were dropped", "dropped", dropped, "spool", q.Spool.Path)
	}
}

func (q *QueueingPipeline) reportDropped(ctx context.Context, a Alert, dropped int) {
	if dropped == 0 {
		return
	}
	q.logDropped(dropped)
	q.Report(ctx, a, &Trouble{
		Code: CodeSpoolFull, Err: fmt.Errorf("the spool %s is full (%d entries or %d bytes), the oldest are dropped", q.Spool.Path, q.Spool.MaxEntries, q.Spool.MaxBytes),
		Remedy: "make MISP reachable, or raise spool.max_entries and spool.max_mib",
	})
}

// Report sends an error event that belongs to no outage, unless one of its kind was sent lately.
func (q *QueueingPipeline) Report(ctx context.Context, a Alert, err error) {
	sink := q.Sink
	if q.Faults != nil {
		sink = q.Faults
	}
	if serr := sendTo(ctx, sink, TroubleEvent(a, err)); serr != nil {
		q.log().Error("error event not sent", "error", serr.Error())
	}
}

// sightingTime is how much of a call is spent on sightings, at most.
const sightingTime = 2 * time.Second

// reportSightings comes last, when everything else is done, and fails nothing.
func (q *QueueingPipeline) reportSightings(ctx context.Context, found []*job) {
	if q.Sightings == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, min(sightingTime, timeLeft(ctx)))
	defer cancel()
	for _, j := range found {
		a := j.described()
		n, err := q.Sightings.Report(ctx, a, j.matches)
		if n > 0 {
			q.log().Debug("sightings reported", "alert_id", a.Source.AlertID, "sightings", n)
		}
		if err != nil {
			q.log().Warn("sightings not reported", "alert_id", a.Source.AlertID, "error", err.Error())
			return
		}
	}
}
