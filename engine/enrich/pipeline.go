package enrich

import (
	"context"
	"fmt"
	"time"

	"custom-misp/engine"
)

// A Sink takes finished events.
type Sink interface {
	// Send hands over one event. An error means that it was not taken.
	Send(ctx context.Context, e Enrichment) error
}

// A Pipeline is the way of an alert: pick, look up, enrich, send. It is safe for concurrent use if its parts
// are.
type Pipeline struct {
	Engine *engine.Engine
	Lookup Lookup
	Sink   Sink
	// Link is the address of MISP for a browser, put before /events/view/ID; empty for no links.
	Link string
	// Reserve is how much of the time of a call is kept back from the look-up, for sending.
	Reserve time.Duration
}

func (p *Pipeline) lookup(ctx context.Context, observables []engine.Observable) ([]Match, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-p.Reserve))
		defer cancel()
	}
	return p.Lookup.Lookup(ctx, observables)
}

// An Outcome says what became of an alert.
type Outcome struct {
	Observables []engine.Observable // that were picked
	Sent        int                 // enrichments that the sink took
	// Warning reports mappings that failed on this alert; the others did their work.
	Warning error
}

// Process takes one alert all the way. If the look-up fails, one event says so, and the error is returned; it
// is a [Trouble] if the reason is known.
func (p *Pipeline) Process(ctx context.Context, a Alert) (Outcome, error) {
	var out Outcome
	out.Observables, out.Warning = p.Engine.Pick(a.JSON)
	if len(out.Observables) == 0 {
		return out, nil
	}
	matches, err := p.lookup(ctx, out.Observables)
	if err != nil {
		if serr := p.Sink.Send(ctx, TroubleEvent(a, err)); serr != nil {
			return out, fmt.Errorf("look up %d values: %w; nor could Wazuh be told: %w", len(out.Observables), err, serr)
		}
		return out, fmt.Errorf("look up %d values: %w", len(out.Observables), err)
	}
	events := p.enrichments(a, out.Observables, matches)
	for _, e := range events {
		if err := p.Sink.Send(ctx, e); err != nil {
			// The next would wait for the same full or absent queue.
			return out, fmt.Errorf("%d of %d enrichments not sent: %w", len(events)-out.Sent, len(events), err)
		}
		out.Sent++
	}
	return out, nil
}
