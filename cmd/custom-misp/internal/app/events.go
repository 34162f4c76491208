package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine"
	"custom-misp/engine/enrich"
)

// Events is where serve sends events: each once, repeats once in a window, and no more than the rate in a second. It outlives a
// reload, so that its keys count after a restart.
type Events struct {
	*enrich.Repeats
	// Dedup remembers what was sent.
	Dedup *enrich.Dedup
	// Quality counts hits by source.
	Quality *Quality
}

// OpenEvents opens Wazuh's queue for serve. meter counts what is sent and what is not. Close it.
func OpenEvents(c *config.Config, meter EventMeter, log *slog.Logger) (*Events, error) {
	quality := OpenQuality(StateOf(c).Quality(), time.Now)
	rate := &enrich.Rate{Sink: countedSink{queue(c), meter, quality}, PerSecond: c.Events.Rate, Burst: c.Events.Burst}
	dedup, err := enrich.NewDedup(rate, c.StateDir)
	if err != nil {
		return nil, err
	}
	dedup.Suppressed = meter.Suppressed
	e := &Events{Repeats: enrich.NewRepeats(dedup, StateOf(c).Repeats()), Dedup: dedup, Quality: quality}
	e.Window, e.Storm, e.Sent = c.Events.RepeatWindow, c.Events.Storm, dedup.Sent
	e.Counted = func(hit enrich.Enrichment, why enrich.Reason) {
		if why == enrich.ReasonSent {
			meter.Suppressed()
		} else {
			log.Debug("hit not reported", "of", hit.Body.Observable.Value, "reason", string(why))
			meter.NotReported(why)
			quality.Repeated(hit)
		}
	}
	return e, nil
}

// Close writes what is not written yet, and closes the files.
func (e *Events) Close() error {
	return errors.Join(e.Repeats.Close(), e.Dedup.Close(), e.Quality.Save())
}

// An EventMeter counts events about hits.
type EventMeter interface {
	// Delivered is called for each that Wazuh's queue took.
	Delivered()
	// Suppressed is called for each that was sent before.
	Suppressed()
	notReportedMeter
}

type notReportedMeter interface {
	// NotReported is called for each alert, value or hit that raises no event of its own.
	NotReported(enrich.Reason)
}

// countedSink counts the events about hits that a sink takes.
type countedSink struct {
	sink    enrich.Sink
	meter   EventMeter
	quality *Quality
}

// Send implements enrich.Sink.
func (s countedSink) Send(ctx context.Context, e enrich.Enrichment) error {
	err := s.sink.Send(ctx, e)
	if err == nil && e.Body.Observable != nil {
		s.meter.Delivered()
		s.quality.Reported(e)
	}
	return err
}

// alertCondition compiles ignore.alerts; nil if it is empty. Errors are [cli.WrongUse].
func alertCondition(c *config.Config) (*engine.AlertCondition, error) {
	if c.Ignore.Alerts == "" {
		return nil, nil
	}
	condition, err := engine.NewAlertCondition(c.Ignore.Alerts)
	if err != nil {
		return nil, cli.WrongUsef("ignore.alerts: %w; until it is corrected nothing is looked up", err)
	}
	return condition, nil
}

// Suppression returns what decides on hits, for verbs that build no chain. Errors are [cli.WrongUse].
func Suppression(c *config.Config, e *engine.Engine) (*enrich.Suppression, error) {
	condition, err := alertCondition(c)
	if err != nil {
		return nil, err
	}
	mutes, err := Mutes(c)
	if err != nil {
		return nil, err
	}
	servers, err := Servers(c)
	return newSuppression(c, servers, e, condition, mutes), err
}

func newSuppression(c *config.Config, servers []Server, e *engine.Engine, condition *engine.AlertCondition, mutes *enrich.Mutes) *enrich.Suppression {
	return &enrich.Suppression{
		Alert: condition, Engine: e, Filter: c.Lookup.Filter, Filters: filters(servers), WideNetworks: c.Lookup.WideNetworks, Mutes: mutes,
	}
}

// suppression is that of a chain. Mutes that cannot be read mute nothing: a hit more is reported.
func (a *App) suppression(condition *engine.AlertCondition, h Hooks, faults *distinctErrors) *enrich.Suppression {
	mutes, err := Mutes(a.Config)
	faults.add(err)
	for _, m := range mutes.List() {
		if m.Expired(h.Now()) {
			h.Log.Info("a mute has ended, and has no effect any more; custom-misp unmute --expired removes it", "mute", m.String())
		}
	}
	s := newSuppression(a.Config, a.Servers, a.Engine, condition, mutes)
	s.Filter, s.Now = filterOf(a.Config, a.declared.Sources), h.Now
	s.Counted = func(of string, v enrich.Verdict, m *enrich.Match) {
		h.Log.Debug("hit not reported", "of", of, "reason", string(v.Reason), "by", v.By)
		h.notReported(v.Reason)
		if h.Daemon != nil && v.Reason == enrich.ReasonMute && h.Daemon.Muted != nil {
			h.Daemon.Muted(*m)
		}
	}
	return s
}
