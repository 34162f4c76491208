package main

import (
	"context"
	"time"

	"custom-misp/engine/enrich"
)

// checkState looks at the directory in which alerts wait for MISP, and at what waits there.
func (i *installation) checkState(context.Context) []finding {
	return append([]finding{i.writableDir(i.s.path("state_dir"))}, i.spoolDepth(), i.outage())
}

func (i *installation) spoolDepth() finding {
	depth, err := newSpool(i.s).Depth()
	f := good("nothing is held")
	waiting := shownTime(i.now().Sub(depth.Oldest))
	switch {
	case err != nil:
		f = problemOf(err, "look at "+i.s.path("state_dir"))
	case depth.Alerts+depth.Events > 0:
		f = warning("when MISP and the queue are there, the next alert takes them along; at once: custom-misp spool drain",
			"%s and %s are held, the oldest for %s", plural(depth.Alerts, "alert"), plural(depth.Events, "event"), waiting)
	case depth.Aside > 0:
		f = warning("see custom-misp spool; custom-misp spool retry tries again", "%s set aside because nothing helped", plural(depth.Aside, "entry"))
	}
	if max := i.s.count("spool.max_entries"); err == nil && depth.Alerts+depth.Events >= max {
		f = problem("bring MISP back, or raise spool.max_entries", "the spool is full (%d entries): the oldest alerts are lost", max)
	}
	f.Check = "spool"
	return f
}

func (i *installation) outage() finding {
	ofMISP, ofQueue := outageFiles(i.s)
	f := good("no outage is remembered")
	for n, file := range []enrich.OutageFile{ofMISP, ofQueue} {
		what := []string{"MISP", "Wazuh's queue"}[n]
		o, err := file.Load()
		switch {
		case err != nil:
			f = warning("rm "+file.Path, "%v", err)
		case o.Away():
			f = problem("see what is said of it below", "%s has been away for %s: %s", what, shownTime(i.now().Sub(o.Since)), o.Description)
		case o.Lasts() && f.Status != statusProblem:
			f = warning("the next alerts go on with them; at once: custom-misp spool drain",
				"%s was away and is back; what was held is being worked on (%d of %d done)", what, o.Processed, o.Held)
		case !o.Since.IsZero() && f.Status == statusOK:
			f = good("%s was last away from %s to %s (%s), %d held and %d processed", what,
				o.Since.UTC().Format(time.RFC3339), o.Until.UTC().Format(time.RFC3339), o.Code, o.Held, o.Processed)
		}
	}
	f.Check = "outage"
	return f
}
