package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/cmd/custom-misp/internal/handover"
	"custom-misp/cmd/custom-misp/internal/manager"
	"custom-misp/engine/atomicfile"
	"custom-misp/engine/enrich"
	"custom-misp/engine/enrich/spool"
	"custom-misp/engine/wazuh"
)

// call is one call by integratord. integratord waits for it without any limit and runs nothing else meanwhile, so all
// of it happens inside one deadline. What it prints, integratord logs if the exit code is not 0; so one short line says
// what is wrong, and everything else goes to the log file.
func call(ctx context.Context, g globals, args []string, stderr io.Writer) error {
	home := manager.FindHome(g.home)
	if err := manager.Become(home); err != nil {
		return err
	}
	from := wazuh.ParseCall(args)
	if done, err := queueAtOnce(home, g, from); done {
		return err
	}
	c, configErr := config.Load(config.Request{Home: home, File: g.file, Call: &from})
	log, closeLog := app.OpenLog(c, stderr, io.Discard)
	defer closeLog()
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	err := enrichCall(ctx, c, configErr, from, log)
	if err != nil {
		log.Error(err.Error(), "alert_file", from.AlertFile)
	}
	return err
}

func enrichCall(ctx context.Context, c *config.Config, configErr error, from wazuh.Call, log *slog.Logger) error {
	alert, err := readAlert(from)
	if err != nil {
		return errors.Join(configErr, err)
	}
	if wazuh.IsEnrichment(alert.JSON) {
		log.Debug("alert is an enrichment of our own, nothing to do", "alert_id", alert.Source.AlertID)
		return nil
	}
	if configErr != nil {
		return queueUnbuilt(ctx, c, alert, configErr, log)
	}
	app.MoveState(c, log)
	if done, err := leaveToServe(c, alert, log); done {
		return err
	}
	if c.MISP.InsecureSkipVerify {
		log.Warn("MISP's certificate is not checked: somebody in between can read the key; set misp.ca_file and remove misp.insecure_skip_verify")
	}
	sink, closeSink := dedupSink(c, log)
	defer closeSink()
	a, buildErr := app.Build(c, app.Hooks{Log: log, Sink: sink})
	if a == nil {
		return queueUnbuilt(ctx, c, alert, buildErr, log)
	}
	defer a.Close()
	for _, s := range a.Servers {
		if s.InsecureSkipVerify {
			log.Warn(fmt.Sprintf("MISP's certificate is not checked: whoever is in between can read the key; set %s and remove %s", s.Key("ca_file"), s.Key("insecure_skip_verify")))
		}
	}
	noticeDeadServe(ctx, c, a, alert, log)
	if len(a.Faults) > 0 {
		// The mappings of the other files do their work all the same.
		log.Error("mapping files left out", "faults", a.Faults.Error())
		a.Chain.Report(ctx, alert, &enrich.Trouble{Code: enrich.CodeMapping, Err: a.Faults, Remedy: "these files are left out, see custom-misp lint"})
	}
	if app.ServeRuns(app.StateOf(c)) {
		a.Chain.DrainTime = 0 // serve works on the spool, and may be sending the same events
	}
	result, err := a.Chain.Process(ctx, alert)
	if result.Warning != nil {
		log.Warn("mappings failed on this alert", "alert_id", alert.Source.AlertID, "errors", result.Warning.Error())
		a.Chain.Report(ctx, alert, &enrich.Trouble{Code: enrich.CodeMapping, Err: result.Warning, Remedy: "correct the expression, see custom-misp explain"})
	}
	if err != nil {
		return errors.Join(buildErr, fmt.Errorf("alert %s: %w", alert.Source.AlertID, err))
	}
	log.Debug("alert done", "alert_id", alert.Source.AlertID, "rule_id", alert.Source.RuleID,
		"observables", len(result.Observables), "enrichments", result.Sent, "queued", result.Queued)
	return buildErr // the alert is queued or done; integratord logs what is wrong all the same
}

// noticeDeadServe reports a serve that ended without being told to, once: nothing else on this machine may notice.
func noticeDeadServe(ctx context.Context, c *config.Config, a *app.App, alert enrich.Alert, log *slog.Logger) {
	n, died := app.ServeDied(app.StateOf(c))
	if !died {
		return
	}
	err := fmt.Errorf("the daemon (serve, pid %d) has ended without being told to; calls by integratord look alerts up meanwhile", n.PID)
	log.Error(err.Error())
	a.Chain.Report(ctx, alert, &enrich.Trouble{Code: enrich.CodeServe, Err: err, Remedy: "systemctl status custom-misp says why, and systemctl restart custom-misp starts it"})
}

// readAlert reads the alert file, and no more of it than an alert can be long.
func readAlert(from wazuh.Call) (enrich.Alert, error) {
	name := from.AlertFile
	if name == "" {
		return enrich.Alert{}, errors.New("integratord named no alert file; is /tmp full or not writable for it?")
	}
	data, err := atomicfile.ReadRegular(name, enrich.MaxAlert)
	if errors.Is(err, atomicfile.ErrTooLong) {
		return enrich.Alert{}, fmt.Errorf("alert file %s: longer than an alert can be (%d bytes)", name, enrich.MaxAlert)
	}
	if err != nil {
		return enrich.Alert{}, fmt.Errorf("alert file: %w", err)
	}
	alert, err := enrich.ParseAlert(data)
	if err != nil {
		return enrich.Alert{}, fmt.Errorf("alert file %s: %w", name, err)
	}
	return alert, nil
}

// queueAtOnce leaves an alert to a running serve in the usual place, before any configuration is read: serve reads it in
// Wazuh's file, or it is queued. It reports whether that is done; if not, for whatever reason, the call goes on, which also
// says what is wrong.
func queueAtOnce(home string, g globals, from wazuh.Call) (bool, error) {
	if g.file != "" || from.Debug || config.StateDirFromEnvironment() {
		return false, nil
	}
	stateDir := config.DefaultStateDir(home)
	running, ok := app.Running(stateDir)
	if !ok {
		return false, nil
	}
	alert, err := readAlert(from)
	if err != nil {
		return false, nil //nolint:nilerr // said later
	}
	if wazuh.IsEnrichment(alert.JSON) || running.WillRead(filepath.Join(home, handover.AlertsFile), alert.Source.AlertID) {
		return true, nil
	}
	dropped, err := queueAlert(app.SpoolOf(stateDir, running), alert)
	if err != nil {
		return false, nil //nolint:nilerr // said later, if it fails again
	}
	return true, dropped
}

// leaveToServe leaves an alert to a running serve. It reports whether that is done: where the spool cannot take the alert,
// and it is not certain that serve reads it, the call does the work itself.
func leaveToServe(c *config.Config, alert enrich.Alert, log *slog.Logger) (done bool, err error) {
	if !app.ServeRuns(app.StateOf(c)) {
		return false, nil
	}
	if n, ok := app.Running(c.StateDir); ok && n.WillRead(c.FromHome(handover.AlertsFile), alert.Source.AlertID) {
		log.Debug("alert is read by serve", "alert_id", alert.Source.AlertID)
		return true, nil
	}
	dropped, err := queueAlert(app.NewSpool(c), alert)
	if err != nil {
		log.Error("alert cannot be left to serve and is looked up at once", "alert_id", alert.Source.AlertID, "error", err.Error())
		return false, nil
	}
	log.Debug("alert queued for serve", "alert_id", alert.Source.AlertID)
	return true, dropped
}

// queueUnbuilt queues an alert that nothing can be done with since the configuration does not let a chain be built. It
// returns that reason.
func queueUnbuilt(ctx context.Context, c *config.Config, alert enrich.Alert, why error, log *slog.Logger) error {
	dropped, err := queueAlert(app.NewSpool(c), alert)
	if err != nil {
		return errors.Join(why, fmt.Errorf("alert is lost: %w", err))
	}
	log.Warn("alert queued until the configuration can be used", "alert_id", alert.Source.AlertID)
	app.ReportFault(ctx, c, log, alert, why)
	return errors.Join(why, dropped)
}

// queueAlert puts an alert into the spool. dropped is what integratord is to log if others had to go for it.
func queueAlert(queue *spool.Dir, alert enrich.Alert) (dropped, err error) {
	n, err := queue.Put(spool.Alerts, alert.JSON)
	if err != nil {
		return nil, fmt.Errorf("alert %s is not queued: %w", alert.Source.AlertID, err)
	}
	if n > 0 {
		dropped = fmt.Errorf("the spool is full, %d of the oldest entries were dropped; see custom-misp status", n)
	}
	return dropped, nil
}

// dedupSink returns a sink that remembers what it sends where serve does, if alerts may be looked up twice: by a serve that
// runs at times and reads the same alerts in Wazuh's file when it is back, or since MISP is asked later for what the mirror
// does not know, or one of several servers for what the others do not. The sink is nil where the usual one will do.
func dedupSink(c *config.Config, log *slog.Logger) (enrich.Sink, func()) {
	servers, err := app.Servers(c)
	if !app.ServeRanHere(app.StateOf(c)) && c.Lookup.Policy != config.PolicyMirrorThenLive && (err != nil || !app.Several(servers)) {
		return nil, func() {}
	}
	dedup, err := app.Dedup(c)
	if err != nil {
		log.Warn("events may be sent again", "error", err.Error())
		return nil, func() {}
	}
	if err := dedup.Trouble(); err != nil {
		log.Warn("events may be sent again by serve", "error", err.Error())
	}
	return dedup, func() { _ = dedup.Close() } // it was only appended to
}
