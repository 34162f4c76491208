package app

import (
	"context"
	"errors"

	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine/enrich"
)

// Events is where serve sends events: each once, repeats once in a window, and no more than the rate in a second. It outlives a
// reload, so that its keys count after a restart.
type Events struct {
	*enrich.Repeats
	// Dedup remembers what was sent.
	Dedup *enrich.Dedup
}

// OpenEvents opens Wazuh's queue for serve. meter counts what is sent and what is not. Close it.
func OpenEvents(c *config.Config, meter EventMeter) (*Events, error) {
	rate := &enrich.Rate{Sink: countedSink{queue(c), meter}, PerSecond: c.Events.Rate, Burst: c.Events.Burst}
	dedup, err := enrich.NewDedup(rate, c.StateDir)
	if err != nil {
		return nil, err
	}
	dedup.Suppressed = meter.Suppressed
	e := &Events{Repeats: enrich.NewRepeats(dedup, StateOf(c).Repeats()), Dedup: dedup}
	e.Window, e.Storm, e.Sent = c.Events.RepeatWindow, c.Events.Storm, dedup.Sent
	e.Counted = func(_ enrich.Enrichment, why enrich.Reason) {
		if why == enrich.ReasonSent {
			meter.Suppressed()
		} else {
			meter.NotReported(why)
		}
	}
	return e, nil
}

// Close writes what is not written yet, and closes the files.
func (e *Events) Close() error { return errors.Join(e.Repeats.Close(), e.Dedup.Close()) }

// An EventMeter counts events about hits.
type EventMeter interface {
	// Delivered is called for each that Wazuh's queue took.
	Delivered()
	// Suppressed is called for each that was sent before.
	Suppressed()
	// NotReported is called for each hit that raises no event of its own.
	NotReported(enrich.Reason)
}

// countedSink counts the events about hits that a sink takes.
type countedSink struct {
	sink  enrich.Sink
	meter EventMeter
}

// Send implements enrich.Sink.
func (s countedSink) Send(ctx context.Context, e enrich.Enrichment) error {
	err := s.sink.Send(ctx, e)
	if err == nil && e.Body.Observable != nil {
		s.meter.Delivered()
	}
	return err
}
