package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/wazuh"
)

// serveCall is one call by integratord. integratord waits for it without any limit and runs nothing else
// meanwhile, so all of it happens inside one deadline. What it prints, integratord logs if the exit code is not
// 0; so one short line says what is wrong, and everything else goes to the log file.
func serveCall(ctx context.Context, g globalFlags, args []string, stderr io.Writer) error {
	if err := becomeWazuh(findHome(g.home)); err != nil {
		return err
	}
	call := wazuh.ParseCall(args)
	if done, err := handOverAtOnce(g, call); done {
		return err
	}
	s, err := loadSettings(g, &call, nil)
	log, closeLog := openLog(s, stderr, io.Discard)
	defer closeLog()
	if err != nil {
		log.Error("configuration cannot be used", "error", err.Error(), "alert_file", call.AlertFile)
		holdUnread(ctx, s, call, err, log)
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.duration("timeout"))
	defer cancel()
	if err := enrichCall(ctx, s, call, log); err != nil {
		log.Error(err.Error(), "alert_file", call.AlertFile)
		return err
	}
	return nil
}

func enrichCall(ctx context.Context, s *settings, call wazuh.Call, log *slog.Logger) error {
	if call.AlertFile == "" {
		return errors.New("integratord named no alert file; is /tmp full or not writable for it?")
	}
	data, err := readAlertFile(call.AlertFile)
	if err != nil {
		return err
	}
	alert, err := enrich.ParseAlert(data)
	if err != nil {
		return fmt.Errorf("alert file %s: %w", call.AlertFile, err)
	}
	if wazuh.IsEnrichment(alert.JSON) {
		log.Debug("alert is an enrichment of our own, nothing to do", "alert_id", alert.Source.AlertID)
		return nil
	}
	if served(s) {
		return handOver(s, alert, log)
	}
	if s.flag("misp.insecure_skip_verify") {
		log.Warn("MISP's certificate is not checked: whoever is in between can read the key; set misp.ca_file and remove misp.insecure_skip_verify")
	}
	// What is wrong with the installation is told in an event too, or nobody would see it.
	sources, sourcesErr := mappingSources(s, nil)
	e, faults := engine.Load(sources...)
	e, siteErr := forSite(s, e)
	sourcesErr = cmp.Or(sourcesErr, siteErr)
	lookup, lookupErr := newLookup(s, log)
	if lookupErr != nil {
		lookup = unusable{asTrouble(lookupErr)}
	}
	d := newDurable(s, e, lookup, log)
	defer sendOnce(s, d, log)()
	if sourcesErr != nil {
		log.Error("mappings not read", "error", sourcesErr.Error())
		d.Tell(ctx, alert, asTrouble(sourcesErr))
	}
	if faults != nil {
		// The mappings of the other files do their work all the same.
		log.Error("mapping files left out", "faults", faults.Error())
		d.Tell(ctx, alert, &enrich.Trouble{Code: enrich.CodeMapping, Err: faults, Remedy: "these files are left out, see custom-misp lint"})
	}
	report, err := d.Process(ctx, alert)
	if report.Warning != nil {
		log.Warn("mappings failed on this alert", "alert_id", alert.Source.AlertID, "errors", report.Warning.Error())
		d.Tell(ctx, alert, &enrich.Trouble{Code: enrich.CodeMapping, Err: report.Warning, Remedy: "mend the expression, see custom-misp explain"})
	}
	if err != nil {
		return fmt.Errorf("alert %s: %w", alert.Source.AlertID, err)
	}
	log.Debug("alert done", "alert_id", alert.Source.AlertID, "rule_id", alert.Source.RuleID,
		"observables", len(report.Observables), "enrichments", report.Sent, "held", report.Held)
	return cmp.Or(lookupErr, sourcesErr) // the alert is held, or needed no look-up; integratord is told all the same
}

// sendOnce has a call remember what it sends where a resident process does, if there is one at times: it reads the same
// alerts in Wazuh's file when it is back.
func sendOnce(s *settings, d *enrich.Durable, log *slog.Logger) (done func()) {
	dir := s.path("state_dir")
	if _, err := os.Stat(filepath.Join(dir, serveLock)); err != nil {
		return func() {}
	}
	once, err := enrich.NewOnce(d.Sink, dir)
	if err != nil {
		log.Warn("events may be sent again by serve", "error", err.Error())
		return func() {}
	}
	d.Sink = once
	return func() { _ = once.Close() } // what was written is written
}

// asTrouble returns an error about the configuration as Wazuh is told of it.
func asTrouble(err error) *enrich.Trouble {
	if t, ok := errors.AsType[*enrich.Trouble](err); ok {
		return t
	}
	return &enrich.Trouble{Code: enrich.CodeConfig, Err: err}
}

// holdUnread holds an alert that cannot be worked on because the configuration cannot be read.
func holdUnread(ctx context.Context, s *settings, call wazuh.Call, why error, log *slog.Logger) {
	data, err := readAlertFile(call.AlertFile)
	if err != nil {
		return // that was said
	}
	alert, err := enrich.ParseAlert(data)
	if err != nil || wazuh.IsEnrichment(alert.JSON) {
		return
	}
	if _, err := newSpool(s).Put(enrich.SpoolAlerts, alert.JSON); err != nil {
		log.Error("alert is lost", "alert_id", alert.Source.AlertID, "error", err.Error())
		return
	}
	log.Warn("alert held until the configuration can be read", "alert_id", alert.Source.AlertID)
	ctx, cancel := context.WithTimeout(ctx, s.duration("timeout"))
	defer cancel()
	newDurable(s, nil, nil, log).Tell(ctx, alert, asTrouble(why))
}

// readAlertFile reads no more of the file than an alert can be long, and one byte to know that it is longer.
func readAlertFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("alert file: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(f, enrich.MaxAlert+1))
	if err != nil {
		return nil, fmt.Errorf("alert file: %w", err)
	}
	if len(data) > enrich.MaxAlert {
		return nil, fmt.Errorf("alert file %s: longer than an alert can be (%d bytes)", name, enrich.MaxAlert)
	}
	return data, nil
}
