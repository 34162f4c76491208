package serve

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"custom-misp/engine/enrich"
	"custom-misp/engine/enrich/spool"
)

// spool works on what integratord queued, and on what waits for MISP or the queue: whenever there is something new, and
// every few seconds.
func (v *server) spool(ctx context.Context) error {
	every := time.NewTicker(spoolEvery)
	defer every.Stop()
	var seen, last time.Time
	stuck := false // what waits was tried, and put back
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
		chain := v.current.Load().app.Chain
		changed := spoolChanged(chain.Spool.Path)
		if (stuck || changed.Equal(seen)) && time.Since(last) < drainEvery {
			continue
		}
		// Within a grain of the file system's clock, a later change may have the same time: then once more.
		if seen = changed; time.Since(changed) < spoolEvery {
			seen = time.Time{}
		}
		round, cancel := context.WithTimeout(ctx, drainTime)
		done := chain.Drain(round)
		cancel()
		v.metrics.drained(done)
		last = time.Now()
		stuck = done == (enrich.Drained{}) && !spoolChanged(chain.Spool.Path).Equal(changed)
	}
}

// spoolChanged returns when an alert was put into the spool, or taken out of it.
func spoolChanged(dir string) time.Time {
	st, err := os.Stat(filepath.Join(dir, string(spool.Alerts)))
	if err != nil {
		return time.Time{}
	}
	return st.ModTime()
}
