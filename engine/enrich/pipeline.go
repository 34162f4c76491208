package enrich

import (
	"context"
	"errors"
	"fmt"

	"custom-misp/engine"
)

// A Sink takes finished events.
type Sink interface {
	// Send hands over one event. An error means that it was not taken.
	Send(ctx context.Context, e Enrichment) error
}

// A Pipeline processes one alert: pick, look up, make events, send. It is safe for concurrent use if its parts are.
type Pipeline struct {
	Engine *engine.Engine // nil picks nothing
	Lookup Lookup
	Sink   Sink
	// Link is the address of MISP for a browser, put before /events/view/ID; empty for no links.
	Link string
	// Links are the addresses of several MISP servers by their names, instead of Link; nil if there is one. With them, events
	// list all origins.
	Links map[string]string
	// Filter is what the look-up filters by where a mapping says nothing else. Values that it does not want take no
	// room among the [engine.MaxValues] that an alert is looked up by.
	Filter engine.Filter
	// Suppress decides which alerts and matches are not reported; nil for none.
	Suppress *Suppression
	// Withhold are tags of attributes whose texts and tags stay in MISP: their events say no more than where to find them.
	Withhold []string
	// Unlimited says that the look-up asks no server, so that all values of an alert are looked up.
	Unlimited bool

	// Prevalence returns what was seen of a value before; false if that is not known. nil for no history.
	Prevalence func(engine.Observable) (Prevalence, bool)

	delayed bool // see [QueueingPipeline.Later]
}

// An Outcome says what became of an alert.
type Outcome struct {
	Observables []engine.Observable // that were picked
	Cuts        []engine.Cut        // what bounds left out of the alert
	Sent        int                 // enrichments that the sink took
	// Warning reports mappings that failed on this alert, and values that MISP was not asked for; the rest was done.
	Warning error
}

// Process processes one alert. An error is a [Trouble] if the reason is known.
func (p *Pipeline) Process(ctx context.Context, a Alert) (Outcome, error) {
	j, warning := p.pick(a)
	out := Outcome{Observables: j.observables, Cuts: j.cuts, Warning: warning}
	if err := lookUp(ctx, p.Lookup, j); err != nil {
		return out, fmt.Errorf("look up %d values: %w", len(j.observables), err)
	}
	out.Warning = errors.Join(warning, j.skipped)
	if j.unasked != nil {
		out.Warning = errors.Join(out.Warning, j.unasked)
	}
	events := p.events(j)
	out.Cuts = j.cuts
	var err error
	if out.Sent, err = p.send(ctx, events); err != nil {
		return out, fmt.Errorf("%d of %d enrichments not sent: %w", len(events)-out.Sent, len(events), err)
	}
	return out, nil
}

// send sends events until one is not taken.
func (p *Pipeline) send(ctx context.Context, events []Enrichment) (sent int, err error) {
	for _, e := range events {
		if err := sendTo(ctx, p.Sink, e); err != nil {
			return sent, err
		}
		sent++
	}
	return sent, nil
}
