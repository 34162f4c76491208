package enrich

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"custom-misp/engine"
)

// Durable is a [Pipeline] that loses nothing. An alert that cannot be looked up now, and an event that cannot be
// sent, are held in a spool, and a later call does them. Wazuh is told once that MISP is away, and once that it is
// back.
type Durable struct {
	Pipeline
	Spool     *Spool
	MISP      OutageFile // of the look-up
	Queue     OutageFile // of the sink
	Sightings *Sightings // nil for none
	Log       *slog.Logger
	// Reserve is how much of the time of a call is kept back from looking up, for sending and holding.
	Reserve time.Duration
	// DrainTime is how much of a call is spent on what earlier ones held, at most; a question that is not answered by
	// then is given up.
	DrainTime time.Duration
	// Local says that the look-up has no outages to keep a record of: it is a mirror, or keeps the record itself.
	Local bool
	// Meanwhile says what becomes of alerts during an outage; empty if they are held.
	Meanwhile string
	// Faults takes the error events that belong to no outage.
	Faults *Throttle
	Now    func() time.Time
}

// A Report says what a call did.
type Report struct {
	Outcome
	Held    bool // the alert is in the spool, for reasons that are logged
	Drained Drained
}

// Process takes one alert all the way, or holds it, and then works on what is held. An error means that the alert,
// or something found for it, is lost.
func (d *Durable) Process(ctx context.Context, a Alert) (Report, error) {
	var r Report
	r.Observables, r.Unasked, r.Warning = d.pick(a.JSON)
	var found []sighted
	if len(r.Observables) > 0 {
		matches, err := d.lookUp(ctx, r.Observables, false)
		if err != nil {
			r.Held = true
			return r, d.hold(ctx, a, err)
		}
		d.noteUnasked(a, r.Unasked)
		if r.Sent, err = d.send(ctx, d.enrichments(a, r.Observables, matches)); err != nil {
			return r, err
		}
		found = append(found, sighted{a, matches})
	}
	var drained []sighted
	r.Drained, drained = d.drain(ctx, len(found) > 0)
	d.reportSightings(ctx, append(found, drained...))
	return r, nil
}

// noteUnasked logs, when an alert is looked up, that this was not done by all of its values.
func (d *Durable) noteUnasked(a Alert, unasked int) {
	if unasked > 0 {
		d.Log.Warn("alert has more values than MISP is asked for; the farthest networks and domains are left out", "alert_id", a.Source.AlertID,
			"asked_at_most", engine.MaxValues, "not_asked", unasked)
	}
}

// Drain works on what is held, without an alert of its own. If the last that was heard of MISP is that it answers again,
// a held alert that it then does not answer may itself be the reason.
func (d *Durable) Drain(ctx context.Context) Drained {
	o, err := d.MISP.Load()
	done, found := d.drain(ctx, err == nil && !o.Answered.IsZero())
	d.reportSightings(ctx, found)
	return done
}

// lookUp asks, and keeps the record of outages.
func (d *Durable) lookUp(ctx context.Context, observables []engine.Observable, draining bool) ([]Match, error) {
	if d.Local {
		return d.Lookup.Lookup(ctx, observables)
	}
	c := Circuit{Asked: d.Lookup, Outage: d.MISP, Reserve: d.Reserve, Log: d.Log, Now: d.Now}
	return c.lookUp(ctx, observables, draining)
}

// hold puts an alert into the spool, and tells Wazuh if it is time to.
func (d *Durable) hold(ctx context.Context, a Alert, why error) error {
	dropped, err := d.Spool.Put(SpoolAlerts, a.JSON)
	if err != nil {
		err = fmt.Errorf("alert is lost: %w; it was to be held because of this: %w", err, why)
		d.Tell(ctx, a, err)
		return err
	}
	o, uerr := d.MISP.update(func(o *Outage) {
		if o.Lasts() {
			o.Held++
			o.Dropped += dropped
		}
	})
	if uerr != nil {
		d.Log.Error("outage not noted", "error", uerr.Error())
		o = Outage{Code: codeOf(why, CodeUnavailable)}
	}
	d.Log.Warn("alert held until MISP answers", "alert_id", a.Source.AlertID, "reason", why.Error(), "held", o.Held)
	d.tellDropped(ctx, a, dropped)
	if o.shouldTell(d.Now()) {
		d.tellOutage(ctx, a, why)
	}
	return nil
}

// TellOutage tells Wazuh that MISP is away, if it is and Wazuh was not told of it yet.
func (d *Durable) TellOutage(ctx context.Context, a Alert) {
	if o, err := d.MISP.Load(); err == nil && o.Away() && o.shouldTell(d.Now()) {
		d.tellOutage(ctx, a, &Trouble{Code: o.Code, Err: errors.New(o.Description)})
	}
}

// tellOutage tells Wazuh that an outage has begun, unless the program is being ended.
func (d *Durable) tellOutage(ctx context.Context, a Alert, why error) {
	if ctx.Err() != nil {
		return
	}
	event := TroubleEvent(a, why)
	event.Body.Description += "; " + d.meanwhile()
	if err := d.Sink.Send(ctx, event); err != nil {
		d.Log.Error("Wazuh not told of the outage", "error", err.Error()) // the next alert tells
		return
	}
	_, err := d.MISP.update(func(o *Outage) {
		if o.ToldAt == nil {
			o.ToldAt = map[Code]time.Time{}
		}
		o.ToldAt[o.Code] = d.Now()
	})
	if err != nil {
		d.Log.Error("outage not noted", "error", err.Error())
	}
}

// meanwhile says what becomes of alerts during an outage.
func (d *Durable) meanwhile() string {
	if d.Meanwhile != "" {
		return d.Meanwhile
	}
	return fmt.Sprintf("alerts are held in %s and looked up when MISP answers", d.Spool.Dir)
}

func (d *Durable) tellDropped(ctx context.Context, a Alert, dropped int) {
	if dropped == 0 {
		return
	}
	d.Log.Error("spool is full, the oldest entries were dropped", "dropped", dropped, "spool", d.Spool.Dir)
	d.Tell(ctx, a, &Trouble{
		Code: CodeSpoolFull, Err: fmt.Errorf("the spool %s is full (%d entries or %d bytes), the oldest are dropped", d.Spool.Dir, d.Spool.MaxEntries, d.Spool.MaxBytes),
		Remedy: "bring MISP back, or raise spool.max_entries and spool.max_mib",
	})
}

// Tell sends an error event that belongs to no outage, unless one of its kind was sent lately.
func (d *Durable) Tell(ctx context.Context, a Alert, err error) {
	if serr := d.Faults.Send(ctx, TroubleEvent(a, err)); serr != nil {
		d.Log.Error("error event not sent", "error", serr.Error())
	}
}

// send sends events, and holds those that the queue does not take: after the first of them no other is tried,
// for it would wait for the same full or absent queue.
func (d *Durable) send(ctx context.Context, events []Enrichment) (sent int, err error) {
	for i, e := range events {
		err := d.Sink.Send(ctx, e)
		if err == nil {
			sent++
			continue
		}
		return sent, d.holdEvents(events[i:], err)
	}
	return sent, nil
}

// heldEvent is an event as it lies in the spool.
type heldEvent struct {
	Agent Agent `json:"agent"`
	Body  Body  `json:"body"`
}

func (d *Durable) holdEvents(events []Enrichment, why error) error {
	o, err := d.Queue.failed(why, true)
	if err != nil {
		d.Log.Error("outage of the queue not noted", "error", err.Error())
	}
	dropped := 0
	for i, e := range events {
		data, err := json.Marshal(heldEvent(e))
		if err == nil {
			var n int
			n, err = d.Spool.Put(SpoolEvents, data)
			dropped += n
		}
		if err != nil {
			return fmt.Errorf("%d events are lost: %w; they were to be held because of this: %w", len(events)-i, err, why)
		}
	}
	if _, err := d.Queue.update(func(o *Outage) { o.Held += len(events); o.Dropped += dropped }); err != nil {
		d.Log.Error("outage of the queue not noted", "error", err.Error())
	}
	d.Log.Warn("events held until the queue takes them", "events", len(events), "reason", why.Error(), "since", o.Since.UTC().Format(time.RFC3339))
	if dropped > 0 {
		d.Log.Error("spool is full, the oldest entries were dropped", "dropped", dropped, "spool", d.Spool.Dir)
	}
	return nil
}

// sighted is an alert with what was found for it.
type sighted struct {
	alert   Alert
	matches []Match
}

// sightingTime is how much of a call is spent on sightings, at most.
const sightingTime = 2 * time.Second

// reportSightings comes last, when everything else is done, and fails nothing.
func (d *Durable) reportSightings(ctx context.Context, found []sighted) {
	if d.Sightings == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, min(sightingTime, budget(ctx, 0)))
	defer cancel()
	for _, s := range found {
		n, err := d.Sightings.Report(ctx, s.alert, s.matches)
		if n > 0 {
			d.Log.Debug("sightings reported", "alert_id", s.alert.Source.AlertID, "sightings", n)
		}
		if err != nil {
			d.Log.Warn("sightings not reported", "alert_id", s.alert.Source.AlertID, "error", err.Error())
			return
		}
	}
}
