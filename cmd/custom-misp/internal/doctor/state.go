package doctor

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine/enrich"
	"custom-misp/engine/enrich/spool"
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
	case len(i.unknownServers()) > 0:
		f = warning("declare them again in "+strings.Join(i.config.Sources.Dirs, ", ")+"; what waits is dropped when the spool is full",
			"alerts wait for MISP servers that are not configured any more: %s", strings.Join(i.unknownServers(), ", "))
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

// unknownServers returns the servers that alerts wait for and that are not configured.
func (i *examination) unknownServers() []string {
	waiting, _ := app.NewSpool(i.config).DepthFor(spool.Delayed)
	for _, s := range i.servers() {
		delete(waiting, s.Name)
	}
	return slices.Sorted(maps.Keys(waiting))
}

func (i *examination) outage() Finding {
	state := app.StateOf(i.config)
	f := good("no outage is remembered")
	type recorded struct {
		what string
		enrich.OutageFile
	}
	var all []recorded
	for _, s := range i.servers() {
		what := "MISP"
		if s.Declared() || len(i.servers()) > 1 {
			what = "MISP server " + s.Name
		}
		all = append(all, recorded{what, state.ServerOutage(s.Name)})
	}
	for _, file := range append(all, recorded{"Wazuh's queue", state.QueueOutage()}) {
		what := file.what
		o, err := file.Load()
		switch {
		case err != nil:
			f = warning("rm "+file.Path, "%v", err)
		case o.Unreachable():
			f = problem("correct what doctor finds about it below; what is queued is looked up then", "%s has been unreachable for %s: %s", what, shownTime(i.now().Sub(o.Since)), o.Description)
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
