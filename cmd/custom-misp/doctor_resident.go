package main

import (
	"context"
	"time"
)

// checkResident looks at the resident process and at the copies that are looked up in. Where neither is wanted, there
// is nothing to tell.
func (i *installation) checkResident(ctx context.Context) []finding {
	var findings []finding
	if served(i.s) {
		findings = append(findings, i.resident(ctx))
	}
	if unused := i.s.unusedCopies(); unused != "" {
		return append(findings, finding{Check: "mirror", Status: statusWarning, Found: unused, Remedy: "set lookup.policy to mirror or mirror-then-live"})
	}
	if i.s.text("lookup.policy") == policyLive {
		return findings
	}
	m, err := newMirror(i.s)
	if err != nil {
		return append(findings, finding{Check: "mirror", Status: statusProblem, Found: err.Error(), Remedy: "see custom-misp config"})
	}
	for _, s := range m.States() {
		f := good("%s: %d attributes, synced %s ago", s.Origin, s.Attributes, shownTime(s.Age(i.now())))
		switch old := s.Age(i.now()) >= i.s.duration("serve.stale_after"); {
		case s.SyncedAt.IsZero():
			f = problem("sudo "+i.command("sync"), "%s was never synced%s", s.Origin, because(s.Failure))
		case old:
			f = warning("sudo "+i.command("sync"), "%s is of %s%s", s.Origin, s.SyncedAt.Format(time.RFC3339), because(s.Failure))
		case s.Failure != "":
			f = warning("see the log", "%s: %s", s.Origin, s.Failure)
		}
		f.Check = "mirror"
		findings = append(findings, f)
	}
	return findings
}

func because(failure string) string {
	if failure == "" {
		return ""
	}
	return ": " + failure
}

// resident asks the process how it is.
func (i *installation) resident(ctx context.Context) finding {
	now, err := askServe(ctx, i.s)
	f := good("%s", now.line())
	switch {
	case err != nil:
		f = problemOf(err, "see custom-misp status")
	case !now.Ready:
		f = problem("see custom-misp status", "serve runs, but %s", now.NotReady)
	case now.Alerts.File != "" && len(i.blocks) > 0:
		f = warning("take the <integration> block out of "+i.confFile()+", then: "+restart,
			"serve follows the alerts by itself, and integratord hands them over as well: each is looked up twice")
	case now.Alerts.File == "" && len(i.blocks) == 0:
		f = problem("set serve.alerts, or add an <integration> block", "serve is told to follow no alerts, and integratord hands none over")
	}
	f.Check = "serve"
	return f
}

// asksNobody reports whether look-ups go without MISP and its key.
func (i *installation) asksNobody() bool {
	return i.s.path("feed.dir") != "" || i.s.text("lookup.policy") == policyMirror && !i.s.mirrorsMISP()
}
