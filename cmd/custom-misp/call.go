package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/wazuh"
)

// serveCall is one call by integratord. integratord waits for it without any limit and runs nothing else
// meanwhile, so all of it happens inside one deadline. What it prints, integratord logs if the exit code is not
// 0; so one short line says what is wrong, and everything else goes to the log file.
func serveCall(ctx context.Context, g globalFlags, args []string, stderr io.Writer) error {
	call := wazuh.ParseCall(args)
	s, err := loadSettings(g, &call, nil)
	log, closeLog := openLog(s, stderr)
	defer closeLog()
	if err != nil {
		log.Error("configuration cannot be used", "error", err.Error(), "alert_file", call.AlertFile)
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.duration("timeout"))
	defer cancel()
	sink := &enrich.Throttle{
		Sink: newQueue(s), Dir: filepath.Join(s.home, "var", "run"), Interval: s.duration("error_interval"), Now: time.Now,
	}
	if err := enrichCall(ctx, s, call, sink, log); err != nil {
		log.Error(err.Error(), "alert_file", call.AlertFile)
		return err
	}
	return nil
}

func enrichCall(ctx context.Context, s *settings, call wazuh.Call, sink enrich.Sink, log *slog.Logger) error {
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
	// What is wrong with the installation itself is told in an event too, or nobody would see it.
	tell := func(code enrich.Code, err error, remedy string) error {
		if trouble, ok := errors.AsType[*enrich.Trouble](err); ok {
			code, remedy = trouble.Code, ""
		}
		event := enrich.TroubleEvent(alert, &enrich.Trouble{Code: code, Err: err, Remedy: remedy})
		if serr := sink.Send(ctx, event); serr != nil {
			log.Error("error event not sent", "error", serr.Error())
		}
		return err
	}
	sources, err := mappingSources(s, nil)
	if err != nil {
		return tell(enrich.CodeConfig, err, "")
	}
	e, err := engine.Load(sources...)
	if err != nil {
		// The mappings of the other files do their work all the same.
		log.Error("mapping files left out", "faults", err.Error())
		_ = tell(enrich.CodeMapping, err, "these files are left out, see custom-misp lint")
	}
	lookup, err := newLookup(s, log)
	if err != nil {
		return tell(enrich.CodeConfig, err, "")
	}
	p := enrich.Pipeline{
		Engine: e, Lookup: lookup, Sink: sink, Link: s.text("misp.url"),
		Reserve: min(s.duration("wazuh.send_timeout"), s.duration("timeout")/4),
	}
	out, err := p.Process(ctx, alert)
	if out.Warning != nil {
		log.Warn("mappings failed on this alert", "alert_id", alert.Source.AlertID, "errors", out.Warning.Error())
		_ = tell(enrich.CodeMapping, out.Warning, "mend the expression, see custom-misp explain")
	}
	if err != nil {
		return fmt.Errorf("alert %s: %w", alert.Source.AlertID, err)
	}
	log.Debug("alert done", "alert_id", alert.Source.AlertID, "rule_id", alert.Source.RuleID,
		"observables", len(out.Observables), "enrichments", out.Sent)
	return nil
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

// openLog opens the log of integratord's calls. A log that cannot be opened must not cost an alert: then it
// goes to standard error.
func openLog(s *settings, stderr io.Writer) (*slog.Logger, func()) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.text("log.level"))); err != nil {
		level = slog.LevelInfo
	}
	w, closer := io.Discard, func() {}
	if name := s.path("log.file"); name != "" {
		f, err := os.OpenFile(filepath.Clean(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640) //nolint:gosec // as Wazuh has it: for its group
		if err != nil {
			fmt.Fprintln(stderr, "custom-misp: log:", err)
		} else {
			w, closer = f, func() { _ = f.Close() }
		}
	}
	opts := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewTextHandler(w, opts)
	if s.text("log.format") == "json" {
		h = slog.NewJSONHandler(w, opts)
	}
	return slog.New(h).With("program", "custom-misp"), closer
}
