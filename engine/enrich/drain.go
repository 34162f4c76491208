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
	drainBatch    = 100 // alerts that are looked up together
	drainValues   = 400 // observables, after which no further alert is taken along
	leastForDrain = 50 * time.Millisecond
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
	w := drainer{Durable: d, spool: spool, until: time.Now().Add(left), done: &done}
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
	until time.Time
	done  *Drained
	found []sighted
}

// over reports whether the time for the round is.
func (w *drainer) over(ctx context.Context) bool {
	return ctx.Err() != nil || time.Now().After(w.until)
}

// note logs an error of the spool itself; the entry stays where it is, and the next round finds it.
func (w *drainer) note(err error) {
	if err != nil {
		w.Log.Error("held entries not worked on", "error", err.Error())
	}
}

// events sends held events. It returns false if there is no point in going on.
func (w *drainer) events(ctx context.Context) bool {
	for !w.over(ctx) {
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
}

// alerts looks held alerts up, many with one question. It returns true when none is left.
func (w *drainer) alerts(ctx context.Context, answered bool) bool {
	batch := drainBatch
	var suspect *heldAlert // failed alone, although MISP had answered before
	var suspicion error
	for !w.over(ctx) {
		entries, err := w.spool.Claim(SpoolAlerts, batch)
		if err != nil {
			w.note(err)
			return false
		}
		if len(entries) == 0 {
			if suspect != nil {
				w.fail(ctx, suspect.entry, suspect.alert, suspicion)
			}
			return true
		}
		held := w.read(ctx, entries)
		if len(held) == 0 {
			continue
		}
		matches, err := w.ask(ctx, held)
		switch {
		case err == nil:
			answered, batch = true, drainBatch
			if suspect != nil {
				w.fail(ctx, suspect.entry, suspect.alert, suspicion)
				suspect = nil
			}
			w.finish(ctx, held, matches)
		case len(held) > 1 && answeredAtAll(err) && !w.over(ctx):
			// One of them may be at fault. They are not claimed again in this round but for one at a time.
			for _, h := range held {
				w.note(h.entry.Return())
				delete(w.spool.tried, h.entry.name.word)
			}
			batch = 1
		case answered && suspect == nil && answeredAtAll(err) && !w.over(ctx):
			suspect, suspicion = &held[0], err
		default:
			for _, h := range held {
				w.note(h.entry.Return())
			}
			if suspect != nil { // if MISP went away just now, this counts once: it has to answer before the next time
				w.fail(ctx, suspect.entry, suspect.alert, suspicion)
			}
			return false
		}
	}
	if suspect != nil {
		w.note(suspect.entry.Return())
	}
	return false
}

// answeredAtAll reports whether a failed look-up was answered, so that the question may be the reason.
func answeredAtAll(err error) bool {
	t, ok := errors.AsType[*Trouble](err)
	return !ok || t.Code == CodeRejected || t.Code == CodeBadAnswer || t.Answered
}

// read reads claimed alerts and picks. What is no alert is set aside, and what has no observables any more, since
// the mappings have changed, is done.
func (w *drainer) read(ctx context.Context, entries []Entry) []heldAlert {
	var held []heldAlert
	values := 0
	for _, e := range entries {
		if values >= drainValues {
			w.note(e.Return())
			delete(w.spool.tried, e.name.word)
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
		observables, _ := w.Engine.Pick(a.JSON) // the warning was told when the alert came in
		if len(observables) == 0 {
			w.note(e.Done())
			w.processed(1)
			continue
		}
		values += len(observables)
		held = append(held, heldAlert{e, a, observables})
	}
	return held
}

// ask looks up the observables of all, each once.
func (w *drainer) ask(ctx context.Context, held []heldAlert) ([]Match, error) {
	type key struct {
		engine.Indicator
		filter *engine.Filter
	}
	seen := map[key]bool{}
	var all []engine.Observable
	for _, h := range held {
		for _, o := range h.observables {
			if k := (key{o.Indicator(), o.Filter}); !seen[k] {
				seen[k] = true
				all = append(all, o)
			}
		}
	}
	return w.lookUp(ctx, all, true)
}

// finish sends what was found for alerts, and is done with them.
func (w *drainer) finish(ctx context.Context, held []heldAlert, matches []Match) {
	for i, h := range held {
		own := matchesOf(h.observables, matches)
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
	var own []Match
	for _, m := range matches {
		for _, o := range observables {
			if o.Filter == m.Observable.Filter && o.Indicator() == m.Observable.Indicator() {
				own = append(own, m)
				break
			}
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
