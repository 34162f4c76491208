package enrich

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"custom-misp/engine"
)

// This file has what is used in place of fields that are not set, so that the zero values of exported types work.

// clock returns the time by a clock; by the machine's for nil.
func clock(now func() time.Time) time.Time {
	if now == nil {
		return time.Now()
	}
	return now()
}

// logTo returns a log; one that writes nothing for nil.
func logTo(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}

// ask asks a Lookup. Without one, the answer is not known.
func ask(ctx context.Context, l Lookup, observables []engine.Observable) ([]Match, error) {
	if l == nil {
		return nil, &Trouble{Code: CodeConfig, Err: errors.New("nothing to look values up in is configured")}
	}
	return l.Lookup(ctx, observables)
}

// sendTo sends an event. Without a Sink, it is not taken.
func sendTo(ctx context.Context, s Sink, e Enrichment) error {
	if s == nil {
		return &Trouble{Code: CodeConfig, Err: errors.New("nothing to send events to is configured")}
	}
	return s.Send(ctx, e)
}

// noMeter counts nothing.
type noMeter struct{}

func (noMeter) Read(int, int)                       {}
func (noMeter) Picked([]engine.Observable, []Match) {}
func (noMeter) Sent(bool)                           {}
func (noMeter) OverRate()                           {}
func (noMeter) Depth(int)                           {}
