package enrich

import (
	"context"
	"fmt"

	"custom-misp/engine"
)

// A Sink takes finished events.
type Sink interface {
	// Send hands over one event. An error means that it was not taken.
	Send(ctx context.Context, e Enrichment) error
}

// A Pipeline is the way of an alert: pick, look up, enrich, send. It is safe for concurrent use if its parts
// are. [Durable] is the one that loses nothing.
type Pipeline struct {
	Engine *engine.Engine
	Lookup Lookup
	Sink   Sink
	// Link is the address of MISP for a browser, put before /events/view/ID; empty for no links.
	Link string
	// Filter is what the look-up filters by where a mapping says nothing else. Values that it does not want take no
	// room among the [engine.MaxValues] that an alert is looked up by.
	Filter engine.Filter
	// Unlimited says that the look-up asks no server, so that all values of an alert are looked up.
	Unlimited bool
}

// An Outcome says what became of an alert.
type Outcome struct {
	Observables []engine.Observable // that were picked
	Unasked     int                 // values that were left out of the look-up: more than [engine.MaxValues]
	Sent        int                 // enrichments that the sink took
	// Warning reports mappings that failed on this alert; the others did their work.
	Warning error
}

// pick picks the observables of an alert, and limits the values that they are looked up by. unasked is how many are left
// out.
func (p *Pipeline) pick(alert []byte) (observables []engine.Observable, unasked int, warning error) {
	observables, warning = p.Engine.Pick(alert)
	if !p.Unlimited {
		unasked = engine.Limit(observables, p.Filter, engine.MaxValues)
	}
	return observables, unasked, warning
}

// Process takes one alert all the way. An error is a [Trouble] if the reason is known.
func (p *Pipeline) Process(ctx context.Context, a Alert) (Outcome, error) {
	var out Outcome
	out.Observables, out.Unasked, out.Warning = p.pick(a.JSON)
	if len(out.Observables) == 0 {
		return out, nil
	}
	matches, err := p.Lookup.Lookup(ctx, out.Observables)
	if err != nil {
		return out, fmt.Errorf("look up %d values: %w", len(out.Observables), err)
	}
	events := p.enrichments(a, out.Observables, matches)
	for _, e := range events {
		if err := p.Sink.Send(ctx, e); err != nil {
			return out, fmt.Errorf("%d of %d enrichments not sent: %w", len(events)-out.Sent, len(events), err)
		}
		out.Sent++
	}
	return out, nil
}
