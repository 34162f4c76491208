package doctor

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/serve"
)

// checkDaemon looks at the daemon and at the mirror. Where neither is wanted, there
// is nothing to tell.
func (i *examination) checkDaemon(ctx context.Context) []Finding {
	var findings []Finding
	switch {
	case app.ServeRuns(app.StateOf(i.config)):
		findings = append(findings, i.resident(ctx))
	case app.ServeRanHere(app.StateOf(i.config)) && len(i.Blocks) == 0:
		f := problem(i.startServe(), "serve ran here and does not run now, and integratord hands no alerts over: no alert is looked up")
		f.Check = "serve"
		findings = append(findings, f)
	}
	if unused := app.UnusedMirror(i.config); unused != "" {
		return append(findings, Finding{Check: "mirror", Status: StatusWarning, Found: unused, Remedy: "set lookup.policy to mirror or mirror-then-live in " + i.config.File})
	}
	if !app.UsesMirror(i.config) {
		return findings
	}
	m, err := app.Mirror(i.config)
	if err != nil {
		return append(findings, Finding{Check: "mirror", Status: StatusProblem, Found: err.Error(), Remedy: i.command("config")})
	}
	defer m.Close()
	_ = m.Verify(ctx, 0) // what it finds is among the damages
	damaged := map[string]string{}
	for _, d := range m.Damages() {
		damaged[d.Origin] = d.String()
	}
	staleAfter := app.StaleAfter(i.config)
	for _, s := range m.States() {
		f := good("%s: %d attributes, synced %s ago", s.Origin, s.Attributes, shownTime(s.Age(i.now())))
		switch old := s.Age(i.now()) >= cmp.Or(staleAfter[s.Origin], i.config.Serve.StaleAfter); {
		case damaged[s.Origin] != "":
			f = problem(i.asRoot("sync "+s.Origin), "%s", damaged[s.Origin])
		case s.SyncedAt.IsZero():
			f = problem(i.asRoot("sync "+s.Origin), "%s was never synced%s", s.Origin, because(s.Failure))
		case old:
			f = warning(i.asRoot("sync "+s.Origin), "%s is of %s%s", s.Origin, s.SyncedAt.Format(time.RFC3339), because(s.Failure))
		case s.Failure != "":
			f = warning(i.asRoot("sync "+s.Origin), "%s: %s", s.Origin, s.Failure)
		case s.Partial != "":
			f = warning(i.command("source preview "+s.Origin), "%s: %s", s.Origin, s.Partial)
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
func (i *examination) resident(ctx context.Context) Finding {
	now, err := serve.Ask(ctx, i.config)
	f := good("%s", now.Line())
	missing := ""
	for _, file := range append(now.OtherAlerts, now.Alerts) {
		if file.File != "" && absent(file.File) {
			missing = file.File
		}
	}
	switch {
	case err != nil:
		f = problemOf(err, i.command("status"))
	case missing != "" && missing != now.Alerts.File:
		f = problem("take it out of serve.alerts in "+i.config.File+", or let analysisd write it, and restart serve",
			"serve follows %s, which does not exist", missing)
	case missing != "":
		f = problem("set serve.alerts in "+i.config.File+" to the file that analysisd writes, "+i.config.FromHome("logs/alerts/alerts.json")+", and restart serve",
			"serve follows %s, which does not exist: no alert is looked up", now.Alerts.File)
	case !now.Ready:
		f = problem(i.command("status"), "serve runs, but %s", now.NotReady)
	case now.Alerts.File != "" && len(i.Blocks) > 0:
		f = warning(i.removeBlock(i.Blocks[0]), "serve follows the alerts by itself, and integratord hands them over as well: each is looked up twice")
	case now.Alerts.File == "" && len(i.Blocks) == 0:
		f = problem(i.newBlock(), "serve is told to follow no alerts, and integratord hands none over")
	}
	f.Check = "serve"
	return f
}

func absent(file string) bool {
	_, err := os.Stat(file)
	return errors.Is(err, fs.ErrNotExist)
}

// startServe returns what starts the daemon.
func (i *examination) startServe() string {
	if i.systemd {
		return "systemctl enable --now custom-misp"
	}
	return "start custom-misp serve, as a service that is started again when it ends"
}
