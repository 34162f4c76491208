package doctor

import (
	"context"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine/enrich"
)

// checkState looks at the directory in which alerts wait for MISP, and at what waits there.
func (i *examination) checkState(context.Context) []Finding {
	dir := i.writableDir(i.config.StateDir)
	dir.Found = "state_dir: " + dir.Found
	return []Finding{dir, i.spoolDepth(), i.outage()}
}

func (i *examination) spoolDepth() Finding {
	depth, err := app.NewSpool(i.config).Depth()
	f := good("nothing is held")
	waiting := shownTime(i.now().Sub(depth.Oldest))
	switch {
	case err != nil:
		f = problemOf(err, "look at "+i.config.StateDir)
	case depth.Alerts+depth.Events > 0:
		f = warning("when MISP and the queue are there, the next alert takes them along; at once: custom-misp spool drain",
			"%s and %s are held, the oldest for %s", cli.Plural(depth.Alerts, "alert"), cli.Plural(depth.Events, "event"), waiting)
	case depth.Aside > 0:
		f = warning("see custom-misp spool; custom-misp spool retry tries again", "%s set aside because nothing helped", cli.Plural(depth.Aside, "entry"))
	}
	if max := i.config.Spool.MaxEntries; err == nil && depth.Alerts+depth.Events >= max {
		f = problem("bring MISP back, or raise spool.max_entries", "the spool is full (%d entries): the oldest alerts are lost", max)
	}
	f.Check = "spool"
	return f
}

func (i *examination) outage() Finding {
	state := app.StateOf(i.config)
	f := good("no outage is remembered")
	for n, file := range []enrich.OutageFile{state.MISPOutage(), state.QueueOutage()} {
		what := []string{"MISP", "Wazuh's queue"}[n]
		o, err := file.Load()
		switch {
		case err != nil:
			f = warning("rm "+file.Path, "%v", err)
		case o.Away():
			f = problem("see what is said of it below", "%s has been away for %s: %s", what, shownTime(i.now().Sub(o.Since)), o.Description)
		case o.Lasts() && f.Status != StatusProblem:
			f = warning("the next alerts go on with them; at once: custom-misp spool drain",
				"%s was away and is back; what was held is being worked on (%d of %d done)", what, o.Processed, o.Held)
		case !o.Since.IsZero() && f.Status == StatusOK:
			f = good("%s was last away from %s to %s (%s), %d held and %d processed", what,
				o.Since.UTC().Format(time.RFC3339), o.Until.UTC().Format(time.RFC3339), o.Code, o.Held, o.Processed)
		}
	}
	f.Check = "outage"
	return f
}
