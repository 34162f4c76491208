package doctor

import (
	"context"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine/enrich"
)

// checkState looks at the directory in which alerts wait for MISP, and at what is queued there.
func (i *examination) checkState(context.Context) []Finding {
	dir := i.writableDir(i.config.StateDir)
	dir.Found = "state_dir: " + dir.Found
	findings := []Finding{dir, i.spoolDepth(), i.outage()}
	if old := app.OldState(i.config); old != "" {
		left := warning(i.command("spool drain"), "%s of an earlier release is not moved to %s yet; what is queued there waits", old, i.config.StateDir)
		left.Check = "state"
		findings = append(findings, left)
	}
	return findings
}

func (i *examination) spoolDepth() Finding {
	depth, err := app.NewSpool(i.config).Depth()
	f := good("nothing is queued")
	waiting := shownTime(i.now().Sub(depth.Oldest))
	switch {
	case err != nil:
		f = problemOf(err, "see what is wrong with the directory "+i.config.StateDir)
	case depth.Alerts+depth.Events > 0:
		f = warning(i.command("spool drain"),
			"%s and %s are queued, the oldest for %s", cli.Plural(depth.Alerts, "alert"), cli.Plural(depth.Events, "event"), waiting)
	case depth.Newer > 0:
		f = warning("install the later version of custom-misp that wrote them", "%s of a later version that this one leaves untouched", cli.Plural(depth.Newer, "queued entry"))
	case depth.DeadLetters > 0:
		f = warning(i.command("spool retry"), "%s of alerts or events that failed too often", cli.Plural(depth.DeadLetters, "dead letter"))
	}
	if max := i.config.Spool.MaxEntries; err == nil && depth.Alerts+depth.Events >= max {
		f = problem("make MISP reachable, or raise spool.max_entries", "the spool is full (%d entries): the oldest alerts are lost", max)
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
		case o.Unreachable():
			f = problem("see what is said of it below", "%s has been unreachable for %s: %s", what, shownTime(i.now().Sub(o.Since)), o.Description)
		case o.Lasts() && f.Status != StatusProblem:
			f = warning(i.command("spool drain"),
				"%s is reachable again; %d of %d queued are processed", what, o.Processed, o.Queued)
		case !o.Since.IsZero() && f.Status == StatusOK:
			f = good("%s was last unreachable from %s to %s (%s), %d queued and %d processed", what,
				o.Since.UTC().Format(time.RFC3339), o.Until.UTC().Format(time.RFC3339), o.Code, o.Queued, o.Processed)
		}
	}
	f.Check = "outage"
	return f
}
