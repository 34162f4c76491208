package serve

import (
	"context"
	"errors"

	"custom-misp/engine/atomicfile"
	"custom-misp/engine/enrich"
)

// This file reports state files that are damaged when serve starts. serve goes on without them: what they said is found out
// again.

// isDamaged reports whether an error says that a state file is not what was written; not that it cannot be read, or that a
// later program wrote it.
func isDamaged(err error) bool {
	return errors.Is(err, atomicfile.ErrDamaged) || errors.Is(err, atomicfile.ErrNotState)
}

// damaged reports that a state file was damaged, and what was done about it.
func (v *server) damaged(ctx context.Context, file string, err error) {
	v.log.Error("a state file was damaged", "file", file, "error", err.Error())
	v.metrics.damaged(file)
	v.current.Load().app.Chain.Report(ctx, enrich.Alert{}, &enrich.Trouble{Code: enrich.CodeState, Err: err, Remedy: "check the disk"})
}

// checkState looks at the records of sent events, of repeats and of outages.
func (v *server) checkState(ctx context.Context) {
	for name, err := range map[string]error{"sent": v.events.Dedup.Trouble(), "repeats": v.events.Trouble(), "quality": v.events.Quality.Trouble()} {
		if isDamaged(err) {
			v.damaged(ctx, name, err)
		} else if err != nil {
			v.log.Error("what an earlier serve remembered cannot be used", "error", err.Error())
		}
	}
	chain := v.current.Load().app.Chain
	for name, f := range map[string]enrich.OutageFile{"misp": chain.MISP, "queue": chain.Queue} {
		_, err := f.Load()
		switch {
		case isDamaged(err):
			v.damaged(ctx, name, err)
			f.Mend(err)
		case err != nil:
			v.log.Error("outages are not recorded", "error", err.Error())
		}
	}
}
