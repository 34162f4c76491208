package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine/enrich"
	"custom-misp/misp/mirror"
)

// A generation is what the daemon runs for one configuration: the chain of an alert, and the syncs of the mirror. When
// the configuration changes, another one takes its place; what has begun ends on the old one.
type generation struct {
	config      *config.Config
	app         *app.App
	built       time.Time
	files       []string // that declared servers name
	fingerprint string   // of all files, before they were read
	stop        context.CancelFunc
	syncs       sync.WaitGroup // and the verification of the mirror
	damage      damages
}

// firstReport is how long a source may fail when serve starts before that is reported: a network comes up meanwhile.
const firstReport = 5 * time.Second

// firstSync is how long a mirror that could not be made is not reported: networks come up late.
const firstSync = time.Minute

// newGeneration builds a generation. ctx bounds it: also its questions to MISP, which go on when another generation has
// taken its place. At the start of the program, mapping files with faults are left out and the others do their work, as
// in a call; later they are a reason to keep the previous generation.
func (v *server) newGeneration(ctx context.Context, c *config.Config, start bool) (*generation, error) {
	files := app.ServerFiles(c)
	g := &generation{config: c, files: files, fingerprint: fingerprint(c, files...), built: time.Now()}
	a, err := app.Build(c, app.Hooks{
		Log: v.log, Sink: v.events, Settle: v.events.Flush, DrainTime: drainTime, Daemon: &app.Daemon{Context: ctx, Meter: v.metrics, Muted: v.events.Quality.Muted, Seen: v.history.seen()},
	})
	if err != nil {
		if a != nil {
			a.Close()
		}
		return nil, err
	}
	g.app = a
	if len(a.Faults) > 0 && !start {
		a.Close()
		return nil, a.Faults
	}
	syncing, stop := context.WithCancel(ctx)
	g.stop = stop
	g.damage.log = v.log
	if a.Mirror != nil {
		g.syncs.Go(func() { verifyMirror(syncing, a.Mirror, v.log) })
	}
	for _, s := range a.Syncs {
		g.syncs.Go(func() { v.keepInStep(syncing, g, s) })
	}
	if len(a.Faults) > 0 {
		v.log.Error("mapping files left out", "faults", a.Faults.Error())
		a.Chain.Report(ctx, enrich.Alert{}, &enrich.Trouble{Code: enrich.CodeMapping, Err: a.Faults, Remedy: "these files are left out, see custom-misp lint"})
	}
	return g, nil
}

// close ends the syncs and the connections.
func (g *generation) close() {
	g.stop()
	g.syncs.Wait()
	g.app.Close()
}

// report reports to Wazuh what an administrator must know: that MISP is unreachable, also if the mirror answers
// meanwhile, and that the mirror is damaged, stale or not there.
func (g *generation) report(ctx context.Context) {
	g.app.Chain.ReportOutage(ctx, enrich.Alert{})
	if g.app.Mirror == nil {
		return
	}
	for _, d := range g.app.Mirror.Damages() {
		g.app.Chain.Report(ctx, enrich.Alert{}, &enrich.Trouble{
			Code: enrich.CodeDamaged, Err: &mirror.DamagedError{Sources: []mirror.Damage{d}}, Remedy: d.Remedy(),
		})
	}
	g.reportSources(ctx)
	staleAfter := map[string]time.Duration{}
	for _, s := range g.app.Syncs {
		staleAfter[s.Name()] = s.StaleAfter(g.config)
	}
	for _, s := range g.app.Mirror.States() {
		var err error
		switch {
		case s.SyncedAt.IsZero() && s.Failure != "" && time.Since(g.built) >= firstSync:
			err = fmt.Errorf("there is no mirror of %s yet: %s", s.Origin, s.Failure)
		case s.SyncedAt.IsZero() || s.Age(time.Now()) < cmp.Or(staleAfter[s.Origin], g.config.Serve.StaleAfter):
			continue
		default:
			err = fmt.Errorf("the mirror of %s is of %s: %s", s.Origin, s.SyncedAt.Format(time.RFC3339), cmp.Or(s.Failure, "no sync has ended since"))
		}
		g.app.Chain.Report(ctx, enrich.Alert{}, &enrich.Trouble{
			Code: enrich.CodeMirror, Err: err, Remedy: "see custom-misp status; custom-misp sync tries at once",
		})
	}
}

// reportSources reports the declared sources that cannot be fetched, or whose copies are refused.
func (g *generation) reportSources(ctx context.Context) {
	var wrong []string
	for _, s := range g.app.Mirror.States() {
		if s.Kind == mirror.KindSource && s.Failure != "" && time.Since(g.built) >= firstReport {
			wrong = append(wrong, s.Origin+": "+s.Failure)
		}
	}
	if len(wrong) > 0 {
		g.app.Chain.Report(ctx, enrich.Alert{}, &enrich.Trouble{
			Code: enrich.CodeSource, Err: errors.New(strings.Join(wrong, "; ")), Remedy: "what was there before is looked up; see custom-misp source preview NAME",
		})
	}
}
