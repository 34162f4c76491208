package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"custom-misp/engine/enrich"
	"custom-misp/misp/mirror"
)

// leftOut reports look-ups that do without a damaged source of the mirror: each to the meter, and the first of each damage
// to the log and to Wazuh.
type leftOut struct {
	app *App
	h   Hooks

	mu       sync.Mutex
	reported map[string]time.Time // source → since when the damage is known that was reported
}

func (l *leftOut) report(ctx context.Context, d mirror.Damage, values int) {
	if l.h.Daemon != nil {
		l.h.Daemon.Meter.LeftOut(d.Origin, values)
	}
	l.mu.Lock()
	known := l.reported[d.Origin].Equal(d.Since)
	l.reported[d.Origin] = d.Since
	l.mu.Unlock()
	if known {
		return
	}
	l.h.Log.Error("alerts are looked up without a damaged source of the mirror", "origin", d.Origin, "damaged_since", d.Since.UTC().Format(time.RFC3339), "error", d.Err.Error())
	l.app.Chain.Report(ctx, enrich.Alert{}, &enrich.Trouble{
		Code: enrich.CodeLeftOut,
		Err: fmt.Errorf("the mirror of %s is damaged since %s, and alerts that were queued because of that are looked up without it: %w",
			d.Origin, d.Since.UTC().Format(time.RFC3339), d.Err),
		Remedy: "custom-misp sync " + d.Origin + " fetches it again and says why that fails",
	})
}
