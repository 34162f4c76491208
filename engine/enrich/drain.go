package enrich

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"custom-misp/engine"
)

// Drained says what became of held entries in one call.
type Drained struct {
	Events   int `json:"events"`    // sent
	Alerts   int `json:"alerts"`    // looked up
	Sent     int `json:"sent"`      // enrichments of these alerts that were sent or held as events
	SetAside int `json:"set_aside"` // entries
}

const (
	drainBatch    = 100  // alerts that are looked up together
	drainValues   = 1000 // that they are looked up by: one question
	leastForDrain = 50 * time.Millisecond
	// fairTry is the least time that an entry must have had before a time-out counts as its own.
	fairTry = 500 * time.Millisecond
	// probeTime is how much of a round is kept back, at most, to find out whether MISP answers something else.
	probeTime = 2 * time.Second
)

// drain works on what is held, oldest first: events, for they are finished, then alerts. It stops when its time
// is over, when MISP or the queue is away, and at once if another process is at it. answered says that MISP did answer
// just now.
func (d *Durable) drain(ctx context.Context, answered bool) (Drained, []sighted) {
	var done Drained
	left := min(d.DrainTime, budget(ctx, d.Reserve))
	if left < leastForDrain {
		return done, nil
	}
	spool, err := d.Spool.Open()
	if err != nil {
		d.Log.Error("held entries not worked on", "error", err.Error())
	}
	if spool == nil {
		return done, nil
	}
	defer spool.Close() //nolint:errcheck // the lock ends with the process at the latest
	round, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	w := drainer{Durable: d, spool: spool, round: round, done: &done}
	if w.events(ctx) && w.alerts(ctx, answered) {
		w.recovered(ctx)
	}
	if done != (Drained{}) {
		d.Log.Info("held entries worked on", "events_sent", done.Events, "alerts_done", done.Alerts, "enrichments", done.Sent, "set_aside", done.SetAside)
	}
	return done, w.found
}

// A drainer is one round of work on the spool.
type drainer struct {
	*Durable
	spool *OpenSpool
	round context.Context // ends with the time for the round; what was found is sent with that of the call
	done  *Drained
	found []sighted
	// suspect failed alone, with an answer, although MISP had answered before; nil if there is none.
	suspect   *heldAlert
	suspicion error
}

// over reports whether the time for the round is.
func (w *drainer) over() bool { return w.round.Err() != nil }

// left returns how much time there is for the round.
func (w *drainer) left() time.Duration { return budget(w.round, 0) }

// note logs an error of the spool itself; the entry stays where it is, and the next round finds it.
func (w *drainer) note(err error) {
	if err != nil {
		w.Log.Error("held entries not worked on", "error", err.Error())
	}
}

// events sends held events. It returns false if there is no point in going on.
func (w *drainer) events(ctx context.Context) bool {
	for !w.over() {
		entries, err := w.spool.Claim(SpoolEvents, 1)
		if err != nil || len(entries) == 0 {
			w.note(err)
			return err == nil
		}
		e := entries[0]
		var event heldEvent
		data, err := e.Data()
		if err == nil {
			event, err = decodeEvent(data)
		}
		if err != nil {
			w.aside(ctx, e, Alert{}, err)
			continue
		}
		if err := w.Sink.Send(ctx, Enrichment(event)); err != nil {
			if codeOf(err, "") != CodeQueue {
				w.fail(ctx, e, Alert{}, err)
				continue
			}
			w.note(e.Return())
			if _, err := w.Queue.failed(err, true); err != nil {
				w.Log.Error("outage of the queue not noted", "error", err.Error())
			}
			return false
		}
		w.note(e.Done())
		w.done.Events++
	}
	return false
}

// decodeEvent reads an event as the spool holds it.
func decodeEvent(data []byte) (heldEvent, error) {
	var e heldEvent
	if err := json.Unmarshal(data, &e); err != nil {
		return e, fmt.Errorf("not an event: %w", err)
	}
	if e.Body.Error == "" && e.Body.Recovered == "" && e.Body.Observable == nil {
		return e, errors.New("not an event: it says nothing")
	}
	return e, nil
}

// heldAlert is an alert that this round works on.
type heldAlert struct {
	entry       Entry
	alert       Alert
	observables []engine.Observable
	unasked     int // values, see [Outcome]
}

// alerts looks held alerts up, many with one question. It returns true when none is left.
func (w *drainer) alerts(ctx context.Context, answered bool) bool {
	together := drainBatch
	batch := together
	for !w.over() {
		entries, err := w.claim(batch)
		if err != nil {
			w.note(err)
			return false
		}
		if len(entries) == 0 {
			w.condemn(ctx)
			return true
		}
		held := w.read(ctx, entries)
		if len(held) == 0 {
			continue
		}
		began := time.Now()
		matches, err := w.ask(held)
		switch {
		case err == nil:
			answered, batch = true, together
			w.condemn(ctx)
			w.finish(ctx, held, matches)
		case len(held) > 1 && mayBeAtFault(err) && !w.over():
			// One of them may be at fault. They are not claimed again in this round but for one at a time.
			w.giveBack(held)
			for _, h := range held {
				delete(w.spool.tried, h.entry.name.word)
			}
			batch = 1
			if timedOut(err) { // there is no time to try this again
				together = 1
			}
		case len(held) == 1 && timedOut(err) && w.fair(time.Since(began)) && answersOthers(w.round, w.Durable, true):
			answered = true
			w.condemn(ctx)
			w.fail(ctx, held[0].entry, held[0].alert, err)
		case answered && w.suspect == nil && answeredAtAll(err) && !w.over():
			w.suspect, w.suspicion = &held[0], err
		default:
			w.giveBack(held)
			w.condemn(ctx) // if MISP went away just now, this counts once: it has to answer before the next time
			return false
		}
	}
	if w.suspect != nil {
		w.note(w.suspect.entry.Return())
	}
	return false
}

// claim takes alerts that were never tried, and one that was when there are no others: what fails again and again must
// not be in front of them.
func (w *drainer) claim(n int) ([]Entry, error) {
	entries, err := w.spool.ClaimUntried(SpoolAlerts, n)
	if err != nil || len(entries) > 0 {
		return entries, err
	}
	return w.spool.Claim(SpoolAlerts, n)
}

// condemn counts a try of the suspect, if there is one.
func (w *drainer) condemn(ctx context.Context) {
	if w.suspect != nil {
		w.fail(ctx, w.suspect.entry, w.suspect.alert, w.suspicion)
		w.suspect = nil
	}
}

func (w *drainer) giveBack(held []heldAlert) {
	for _, h := range held {
		w.note(h.entry.Return())
	}
}

// fair reports whether a time is enough for the question of one alert: an entry that came last in a round, or while
// MISP was waited for only briefly, is not at fault.
func (w *drainer) fair(took time.Duration) bool { return took >= min(fairTry, w.DrainTime/4) }

// mayBeAtFault reports whether a look-up failed so that the question may be the reason, if MISP answers others.
func mayBeAtFault(err error) bool { return answeredAtAll(err) || timedOut(err) }

// timedOut reports whether a look-up failed for lack of time.
func timedOut(err error) bool { return errors.Is(err, context.DeadlineExceeded) }

// answeredAtAll reports whether a failed look-up was answered, so that the question may be the reason.
func answeredAtAll(err error) bool {
	t, ok := errors.AsType[*Trouble](err)
	return !ok || t.Code == CodeRejected || t.Code == CodeBadAnswer || t.Answered
}

// read reads claimed alerts and picks. What is no alert is set aside, and what has no observables any more, since
// the mappings have changed, is done. Alerts beyond one question are given back.
func (w *drainer) read(ctx context.Context, entries []Entry) []heldAlert {
	var held []heldAlert
	values := 0
	for _, e := range entries {
		if values >= drainValues {
			w.later(e)
			continue
		}
		data, err := e.Data()
		var a Alert
		if err == nil {
			a, err = ParseAlert(data)
		}
		if err != nil {
			w.aside(ctx, e, a, err)
			continue
		}
		observables, unasked, _ := w.pick(a.JSON) // the warning was told when the alert came in
		if len(observables) == 0 {
			w.note(e.Done())
			w.processed(1)
			continue
		}
		for _, o := range observables {
			values += len(o.Related())
		}
		if len(held) > 0 && values > drainValues {
			w.later(e)
			continue
		}
		held = append(held, heldAlert{e, a, observables, unasked})
	}
	return held
}

// later gives an entry back that is to be claimed again in this round.
func (w *drainer) later(e Entry) {
	w.note(e.Return())
	delete(w.spool.tried, e.name.word)
}

// ask looks up the observables of all, each once. A question for many is given up at half time, so that the oldest can
// still be asked for alone: in each round one entry at least gets on.
func (w *drainer) ask(held []heldAlert) ([]Match, error) {
	seen := map[batchKey]bool{}
	var all []engine.Observable
	for _, h := range held {
		for _, o := range h.observables {
			if k := keyOf(o); !seen[k] {
				seen[k] = true
				all = append(all, o)
			}
		}
	}
	limit := w.left()
	if len(held) > 1 {
		limit /= 2
	} else {
		limit -= min(probeTime, limit/4)
	}
	ctx, cancel := context.WithTimeout(w.round, limit)
	defer cancel()
	return w.lookUp(ctx, all, true)
}

// finish sends what was found for alerts, and is done with them.
func (w *drainer) finish(ctx context.Context, held []heldAlert, matches []Match) {
	for i, h := range held {
		own := matchesOf(h.observables, matches)
		w.noteUnasked(h.alert, h.unasked)
		events := w.enrichments(h.alert, h.observables, own)
		if _, err := w.send(ctx, events); err != nil {
			w.Log.Error("held alerts not worked on", "error", err.Error())
			for _, h := range held[i:] {
				w.note(h.entry.Return())
			}
			return
		}
		w.note(h.entry.Done())
		w.done.Alerts++
		w.done.Sent += len(events)
		w.found = append(w.found, sighted{h.alert, own})
	}
	w.processed(len(held))
}

// matchesOf returns those matches that belong to the observables.
func matchesOf(observables []engine.Observable, matches []Match) []Match {
	asked := make(map[batchKey]bool, len(observables))
	for _, o := range observables {
		asked[keyOf(o)] = true
	}
	var own []Match
	for _, m := range matches {
		if asked[keyOf(m.Observable)] {
			own = append(own, m)
		}
	}
	return own
}

func (w *drainer) processed(n int) { w.count(func(o *Outage) { o.Processed += n }) }

// count changes the record of an outage while there is one.
func (w *drainer) count(change func(*Outage)) {
	_, err := w.MISP.update(func(o *Outage) {
		if o.Lasts() {
			change(o)
		}
	})
	if err != nil {
		w.Log.Error("outage not noted", "error", err.Error())
	}
}

// fail counts a try of an entry that is itself the reason of a failure, which in the end sets it aside.
func (w *drainer) fail(ctx context.Context, e Entry, a Alert, why error) {
	if e.name.tries+1 < maxTries {
		w.note(e.Failed(why.Error()))
		return
	}
	w.aside(ctx, e, a, fmt.Errorf("tried %d times: %w", e.name.tries+1, why))
}

func (w *drainer) aside(ctx context.Context, e Entry, a Alert, why error) {
	w.note(e.SetAside(why.Error()))
	w.done.SetAside++
	w.count(func(o *Outage) { o.SetAside++ })
	w.Log.Error("entry set aside", "alert_id", a.Source.AlertID, "held_since", e.Since().UTC().Format(time.RFC3339), "reason", why.Error())
	w.Tell(ctx, a, &Trouble{
		Code: CodeSetAside, Err: fmt.Errorf("a held entry cannot be worked on: %w", why),
		Remedy: "see custom-misp spool; custom-misp spool retry tries again",
	})
}

// recovered ends outages whose last held entry is done, and tells Wazuh of the end of those that it was told of.
func (w *drainer) recovered(ctx context.Context) {
	w.end(ctx, w.MISP, "MISP is back: it was away from %s to %s, %d alerts were held and %d are processed")
	o, err := w.Queue.Load()
	if err == nil && o.Lasts() {
		if _, err := w.Queue.update(func(o *Outage) { o.Answered, o.Processed = w.Now(), o.Held }); err != nil {
			w.Log.Error("end of outage not noted", "error", err.Error())
		}
		w.end(ctx, w.Queue, "Wazuh's queue is back: it was away from %s to %s, %d events were held and %d are sent")
	}
}

func (w *drainer) end(ctx context.Context, f OutageFile, format string) {
	o, err := f.Load()
	if err != nil || !o.Lasts() || o.Away() {
		return
	}
	const form = time.RFC3339
	what := fmt.Sprintf(format, o.Since.UTC().Format(form), o.Answered.UTC().Format(form), o.Held, o.Processed)
	if o.Dropped > 0 {
		what += fmt.Sprintf("; %d were dropped because the spool was full", o.Dropped)
	}
	if o.SetAside > 0 {
		what += fmt.Sprintf("; %d were set aside, see custom-misp spool", o.SetAside)
	}
	if o.told() || f.Path == w.Queue.Path {
		if err := w.Sink.Send(ctx, recoveryEvent(o, what)); err != nil {
			w.Log.Error("Wazuh not told of the end of the outage", "error", err.Error())
			return // the next call tells
		}
	}
	w.Log.Info("outage is over", "since", o.Since.UTC().Format(form), "held", o.Held, "processed", o.Processed, "dropped", o.Dropped)
	if _, err := f.update(func(o *Outage) { o.Until = w.Now() }); err != nil {
		w.Log.Error("end of outage not noted", "error", err.Error())
	}
}
