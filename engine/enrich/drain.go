package enrich

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"custom-misp/engine/enrich/spool"
)

// Drained says what became of queued entries in one call.
type Drained struct {
	Events      int `json:"events"`    // sent
	Alerts      int `json:"alerts"`    // looked up
	Sent        int `json:"sent"`      // enrichments of these alerts that were sent, or queued as events
	DeadLetters int `json:"set_aside"` // entries that became one
}

const (
	drainBatch    = 100  // alerts that are looked up together
	drainValues   = 1000 // that they are looked up by: one question
	leastForDrain = 50 * time.Millisecond
	// fairTry is the least time that an alert must have had before a time-out counts as its own.
	fairTry = 500 * time.Millisecond
	// probeTime is how much of a round is kept back, at most, to find out whether MISP answers something else.
	probeTime = 2 * time.Second
)

// Drain works on the spool, without an alert of its own. If the last that is known of MISP is that it answers again, a
// queued alert that it then does not answer may itself be the reason.
func (q *QueueingPipeline) Drain(ctx context.Context) Drained {
	done, found := q.drain(ctx, q.answeredBefore(), true)
	q.reportSightings(ctx, found)
	return done
}

// drain works on what is queued, oldest first: events, for they are finished, then alerts. It stops when its time is
// over, when MISP or the queue is unreachable, and at once if another process drains. answered says that MISP answered an
// alert just now, and probe that no alert waits for the end of the round. found are the alerts that were looked up.
func (q *QueueingPipeline) drain(ctx context.Context, answered, probe bool) (done Drained, found []*job) {
	left := min(q.DrainTime, timeBut(ctx, q.Reserve))
	if left < leastForDrain || q.Spool == nil {
		return done, nil
	}
	consumer, err := q.Spool.Open()
	if err != nil {
		q.log().Error("queued entries not processed", "error", err.Error())
	}
	if consumer == nil {
		return done, nil
	}
	defer consumer.Close() //nolint:errcheck // the lock ends with the process at the latest
	round, cancel := context.WithTimeout(withSpareTime(ctx), left)
	defer cancel()
	d := drainer{QueueingPipeline: q, kind: spool.Alerts, spool: consumer, round: round, answered: answered, probe: probe}
	if d.sendEvents(ctx) && d.lookUpAlerts(ctx) && d.lookUpDelayed(ctx) {
		d.recovered(ctx, d.lookUpServers(ctx))
	}
	if err := consumer.Newer(); err != nil {
		q.log().Warn("queued entries of a later version are not processed", "error", err.Error())
	}
	if d.done != (Drained{}) {
		q.log().Info("queued entries processed", "events_sent", d.done.Events, "alerts_done", d.done.Alerts, "enrichments", d.done.Sent,
			"dead_letters", d.done.DeadLetters)
	}
	return d.done, d.found
}

// A drainer is one round of work on the spool.
type drainer struct {
	*QueueingPipeline
	kind   spool.Kind // of the alerts that are looked up
	server string     // which they wait for; empty for those that wait for all
	spool  *spool.Consumer
	round  context.Context // ends with the time for the round; what was found is sent with that of the call
	done   Drained
	found  []*job
	// answered is set if MISP answered an alert since one was last at fault.
	answered bool
	probe    bool
	together int           // alerts in a question, at most
	next     int           // in the next one
	large    []spool.Entry // alerts that are looked up alone, in turn with others
}

// over reports whether the time for the round is.
func (d *drainer) over() bool { return d.round.Err() != nil }

// note logs an error of the spool itself; the entry stays where it is, and the next round finds it.
func (d *drainer) note(err error) {
	if err != nil {
		d.log().Error("queued entries not processed", "error", err.Error())
	}
}

// sendEvents sends queued events. It returns false if there is no point in going on.
func (d *drainer) sendEvents(ctx context.Context) bool {
	for !d.over() {
		entries, err := d.spool.Claim(spool.Events, 1)
		if err != nil || len(entries) == 0 {
			d.note(err)
			return err == nil
		}
		if !d.sendEvent(ctx, entries[0]) {
			return false
		}
	}
	return false
}

// sendEvent sends a queued event. It returns false if the queue takes none.
func (d *drainer) sendEvent(ctx context.Context, entry spool.Entry) bool {
	var event queuedEvent
	data, err := entry.Data()
	if err == nil {
		event, err = decodeEvent(data)
	}
	if err != nil {
		d.reject(ctx, entry, Alert{}, err)
		return true
	}
	err = sendTo(ctx, d.Sink, Enrichment(event))
	for errors.Is(err, ErrOverRate) && sleep(d.round, ratePause) {
		err = sendTo(ctx, d.Sink, Enrichment(event))
	}
	if errors.Is(err, ErrOverRate) {
		d.note(entry.Release())
		return false
	}
	if err == nil {
		if err := d.settled(); err != nil {
			d.note(errors.Join(err, entry.Defer()))
			return false
		}
		d.note(entry.Done())
		d.done.Events++
		return true
	}
	if codeOf(err, "") != CodeQueue {
		d.fail(ctx, entry, Alert{}, err)
		return true
	}
	d.note(entry.Defer())
	d.Queue.failed(err, true)
	return false
}

// settled calls Settle.
func (d *drainer) settled() error {
	if d.Settle == nil {
		return nil
	}
	return d.Settle()
}

// decodeEvent reads an event of the spool.
func decodeEvent(data []byte) (queuedEvent, error) {
	var e queuedEvent
	if err := json.Unmarshal(data, &e); err != nil {
		return e, fmt.Errorf("not an event: %w", err)
	}
	if e.Body.Error == "" && e.Body.Recovered == "" && e.Body.Observable == nil {
		return e, errors.New("not an event: it says nothing")
	}
	return e, nil
}

// queuedAlert is an alert that this round works on.
type queuedAlert struct {
	entry spool.Entry
	*job
}

// lookUpAlerts looks queued alerts up, many with one question, until none is left: then it returns true. If the question
// for many fails and one alert may be the reason, they are looked up one at a time. An alert that fills a question by
// itself is looked up alone, in turn with what came behind it.
func (d *drainer) lookUpAlerts(ctx context.Context) bool {
	d.together, d.next = drainBatch, drainBatch
	for {
		claimed := 0
		for _, claim := range []func() ([]spool.Entry, error){d.claim, d.claimLarge} {
			if d.over() {
				return false
			}
			entries, err := claim()
			if err != nil {
				d.note(err)
				return false
			}
			claimed += len(entries)
			if alerts := d.read(ctx, entries); len(alerts) > 0 && !d.tryAlerts(ctx, alerts) {
				return false
			}
		}
		if claimed == 0 {
			return true
		}
	}
}

// lookUpDelayed looks alerts up for which the mirror answered alone. While MISP is unreachable this is left to a round that
// no alert waits for.
func (d *drainer) lookUpDelayed(ctx context.Context) bool {
	later := d.Later()
	if later == nil {
		return true
	}
	if d.Unreachable() && !d.probe {
		return false
	}
	l := drainer{QueueingPipeline: later, kind: spool.Delayed, spool: d.spool, round: d.round, done: d.done, found: d.found}
	all := l.lookUpAlerts(ctx)
	d.done, d.found = l.done, l.found
	return all
}

// tryAlerts looks claimed alerts up. It returns false if there is no point in going on.
func (d *drainer) tryAlerts(ctx context.Context, alerts []queuedAlert) bool {
	began := time.Now()
	err := d.lookUp(alerts)
	switch {
	case err == nil:
		d.answered, d.next = true, d.together
		d.finish(ctx, alerts)
	case len(alerts) == 1 && isDamage(err): // others may not need what is damaged
		d.putBack(alerts, spool.Entry.Defer)
		d.next = d.together
	case len(alerts) > 1 && (mayBeAtFault(err) || isDamage(err)) && !d.over():
		d.putBack(alerts, spool.Entry.Release)
		d.next = 1
		if timedOut(err) { // there is no time to try this again
			d.together = 1
		}
	case len(alerts) == 1 && d.blames(err, time.Since(began)):
		d.fail(ctx, alerts[0].entry, alerts[0].alert, err)
	default:
		d.putBack(alerts, spool.Entry.Defer)
		return false
	}
	return true
}

// claim takes alerts that were never tried, and one that was when there are no others: what fails again and again must
// not be in front of them.
func (d *drainer) claim() ([]spool.Entry, error) {
	entries, err := d.spool.ClaimUntriedFor(d.kind, d.server, d.next)
	if err != nil || len(entries) > 0 {
		return entries, err
	}
	return d.spool.ClaimFor(d.kind, d.server, d.next)
}

func (d *drainer) putBack(alerts []queuedAlert, how func(spool.Entry) error) {
	for _, a := range alerts {
		d.note(how(a.entry))
	}
}

// blames reports whether a failure counts as a try of an alert that was looked up alone. After a time-out, the alert must
// have had a fair time: an alert that came last in a round, or while MISP is asked only briefly, is not at fault. After
// an answer, MISP must have answered another alert before, one for each that is blamed.
func (d *drainer) blames(err error, took time.Duration) bool {
	fair := timedOut(err) && took >= min(fairTry, d.DrainTime/4) || answeredAtAll(err) && d.answered
	if !fair || d.over() || !d.atFault(d.round, err) {
		return false
	}
	d.answered = false
	return true
}

// read reads claimed alerts and picks. Alerts beyond one question, and beyond the time for the round, are put back; one that fills a question by itself and
// did not come alone waits in large.
func (d *drainer) read(ctx context.Context, entries []spool.Entry) []queuedAlert {
	var alerts []queuedAlert
	left := drainValues
	for _, e := range entries {
		if left <= 0 || d.over() {
			d.note(e.Release())
			continue
		}
		j := d.readOne(ctx, e)
		if j == nil {
			continue
		}
		values := countValues(j.observables, d.Filter)
		switch {
		case values > drainValues && len(entries) > 1:
			d.note(e.Defer())
			d.large = append(d.large, e)
		case values > left && len(alerts) > 0:
			d.note(e.Release())
			left = 0
		default:
			alerts = append(alerts, queuedAlert{e, j})
			left -= values
		}
	}
	return alerts
}

// readOne reads a claimed alert and picks; nil if that is all. What is not an alert becomes a dead letter, and what has no
// observables any more, since the mappings have changed, is done.
func (d *drainer) readOne(ctx context.Context, e spool.Entry) *job {
	data, err := e.Data()
	var a Alert
	var reported reportedSet
	switch {
	case err != nil:
	case d.server != "":
		a, reported, err = decodeLate(data)
	default:
		a, err = ParseAlert(data)
	}
	if err != nil {
		d.reject(ctx, e, a, err)
		return nil
	}
	j, _ := d.pick(a) // the warning was logged when the alert came in
	j.late, j.reported = d.server, reported
	if len(j.observables) == 0 {
		d.noteCuts(j)
		d.note(e.Done())
		d.processed(1)
		return nil
	}
	return j
}

// claimLarge claims the first of the alerts that wait in large, if it is still there.
func (d *drainer) claimLarge() ([]spool.Entry, error) {
	for len(d.large) > 0 {
		e := d.large[0]
		d.large = d.large[1:]
		if ok, err := e.Claim(); ok || err != nil {
			return []spool.Entry{e}, err
		}
	}
	return nil, nil
}

// lookUp looks alerts up. A question for many is given up at half time, so that the oldest can still be looked up alone:
// in each round at least one entry makes progress.
func (d *drainer) lookUp(alerts []queuedAlert) error {
	limit := timeLeft(d.round)
	if len(alerts) > 1 {
		limit /= 2
	} else {
		limit -= min(probeTime, limit/4)
	}
	ctx, cancel := context.WithTimeout(d.round, limit)
	defer cancel()
	jobs := make([]*job, len(alerts))
	for i, a := range alerts {
		jobs[i] = a.job
	}
	return lookUp(ctx, d.asked(), jobs...)
}

// finish sends what was found for alerts, and is done with them.
func (d *drainer) finish(ctx context.Context, alerts []queuedAlert) {
	for i, a := range alerts {
		events, err := d.finishOne(ctx, a)
		if err != nil {
			d.note(err)
			d.putBack(alerts[i:], spool.Entry.Defer)
			return
		}
		d.note(a.entry.Done())
		d.done.Alerts++
		d.done.Sent += events
		d.found = append(d.found, a.job)
	}
	d.processed(len(alerts))
}

// finishOne queues an alert for the servers that are still to be asked, and sends what was found for it.
func (d *drainer) finishOne(ctx context.Context, a queuedAlert) (events int, err error) {
	if err := cmp.Or(d.waitFor(ctx, a.job), d.passOn(a)); err != nil {
		return 0, err
	}
	if d.server != "" {
		a.matches = a.unreported()
	}
	found := d.events(a.job)
	d.noteCuts(a.job)
	if _, err := d.send(ctx, found); err != nil {
		return 0, err
	}
	if err := d.delay(ctx, a.job); err != nil {
		return 0, err
	}
	return len(found), d.settled()
}

// processed counts entries that are done, for each server that they waited for.
func (d *drainer) processed(n int) {
	for _, s := range d.ServerOutages() {
		s.Outage.processed(n)
	}
}

// fail counts a try of an entry that is itself the reason of a failure, which in the end makes it a dead letter.
func (d *drainer) fail(ctx context.Context, e spool.Entry, a Alert, why error) {
	dead, err := e.Fail(why.Error())
	d.note(err)
	if dead {
		d.deadLetter(ctx, e, a, fmt.Errorf("tried %d times: %w", e.Tries()+1, why))
	}
}

// reject makes an entry a dead letter at once.
func (d *drainer) reject(ctx context.Context, e spool.Entry, a Alert, why error) {
	d.note(e.Reject(why.Error()))
	d.deadLetter(ctx, e, a, why)
}

// deadLetter counts and reports a dead letter.
func (d *drainer) deadLetter(ctx context.Context, e spool.Entry, a Alert, why error) {
	d.done.DeadLetters++
	for _, s := range d.ServerOutages() {
		s.Outage.deadLetter()
	}
	d.log().Error("queued entry is a dead letter", "alert_id", a.Source.AlertID, "queued_since", e.Since().UTC().Format(time.RFC3339), "reason", why.Error())
	d.Report(ctx, a, &Trouble{
		Code: CodeDeadLetter, Err: fmt.Errorf("a queued entry cannot be processed and is a dead letter: %w", why),
		Remedy: "see custom-misp spool; custom-misp spool retry queues it again",
	})
}

// recovered ends outages of which everything queued is processed, and reports to Wazuh the end of those that were
// reported. all says that nothing waits for a server. Of several servers, each outage ended when nothing waited for that one.
func (d *drainer) recovered(ctx context.Context, all bool) {
	if all && len(d.Outages) == 0 {
		d.end(ctx, d.MISP, "", "MISP is reachable again: it was unreachable from %s to %s, %d alerts were queued and %d are processed")
	}
	if o, err := d.Queue.Load(); err == nil && o.Lasts() {
		d.Queue.processedAll()
		d.end(ctx, d.Queue, "", "Wazuh's queue is reachable again: it was unreachable from %s to %s, %d events were queued and %d are sent")
	}
}

// endOf ends the outage of one of several servers.
func (d *drainer) endOf(ctx context.Context, s ServerOutage) {
	d.end(ctx, s.Outage, s.Name, "MISP server "+s.Name+" is reachable again: it was unreachable from %s to %s, %d alerts were queued and %d are processed")
}

// end ends an outage that is over. server names one of several servers.
func (d *drainer) end(ctx context.Context, f OutageFile, server, format string) {
	o, err := f.Load()
	if err != nil || !o.Lasts() || o.Unreachable() {
		return
	}
	const form = time.RFC3339
	what := fmt.Sprintf(format, o.Since.UTC().Format(form), o.Answered.UTC().Format(form), o.Queued, o.Processed)
	if o.Dropped > 0 {
		what += fmt.Sprintf("; %d were dropped because the spool was full", o.Dropped)
	}
	if o.DeadLetters > 0 {
		what += fmt.Sprintf("; %d are dead letters, see custom-misp spool", o.DeadLetters)
	}
	if o.reported() || f.Path == d.Queue.Path {
		event := recoveryEvent(o, what)
		event.Body.Server = server
		if err := sendTo(ctx, d.Sink, event); err != nil {
			d.log().Error("end of the outage not reported to Wazuh", "error", err.Error())
			return // the next call tries again
		}
	}
	log := d.log()
	if server != "" {
		log = log.With("server", server)
	}
	log.Info("outage is over", "since", o.Since.UTC().Format(form), "queued", o.Queued, "processed", o.Processed, "dropped", o.Dropped)
	f.ended()
}
