package doctor

import (
	"context"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/serve"
)

// checkHistory looks at the history. Where none is wanted, there is nothing to tell.
func (i *examination) checkHistory(ctx context.Context) []Finding {
	c := i.config
	if !c.History.Enabled {
		return nil
	}
	finding := func(f Finding) []Finding {
		f.Check = "history"
		return []Finding{f}
	}
	if len(c.Serve.Files()) == 0 {
		return finding(warning("set serve.alerts in "+c.File+" to the file that analysisd writes", "history.enabled is set, and serve follows no alerts: nothing is recorded"))
	}
	if !app.ServeRuns(app.StateOf(c)) {
		return finding(warning(i.startServe(), "history.enabled is set, and serve does not run: nothing is recorded"))
	}
	now, err := serve.Ask(ctx, c)
	switch h := now.History; {
	case err != nil:
		return nil // the check of serve says so
	case h == nil:
		return finding(warning("restart serve", "history.enabled was set after serve began: nothing is recorded"))
	case h.Stopped != "":
		return finding(problem("make room on the disk, or lower history.max_mib or history.days in "+c.File, "nothing is recorded: %s", h.Stopped))
	case h.Fault != "":
		return finding(problem("remove the files that are named, if they do not become readable: what they have is lost, and all else goes on", "a part of the history cannot be read or written: %s", h.Fault))
	case h.Dropped > 0:
		return finding(warning("see what else uses the processor and the disk", "%s", h.Describe()))
	default:
		return finding(good("%s", h.Describe()))
	}
}
