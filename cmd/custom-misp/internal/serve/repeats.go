package serve

import (
	"context"
	"errors"
	"time"

	"custom-misp/engine/enrich"
)

// repeats sends, every second, what is due of repeated hits.
func (v *server) repeats(ctx context.Context) error {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	failed := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
		if err := v.events.Quality.SaveIfDue(); err != nil {
			v.log.Error("counts are not saved", "error", err.Error())
		}
		err := v.events.Sweep(ctx)
		if err != nil && !failed && ctx.Err() == nil && !errors.Is(err, enrich.ErrOverRate) {
			v.log.Warn("events about repeats wait until the queue takes them", "reason", err.Error())
		}
		failed = err != nil
	}
}

// counted writes what is counted of alerts that are done.
func (v *server) counted() error {
	if v.events == nil {
		return nil
	}
	return v.events.Flush()
}
