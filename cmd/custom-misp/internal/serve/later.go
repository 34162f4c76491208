package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/atomicfile"
	"custom-misp/engine/enrich"
	"custom-misp/engine/wazuh"
	"custom-misp/engine/wazuh/alertlog"
)

// This file asks MISP later about alerts that the mirror answered alone, while MISP was unreachable. They are in Wazuh's
// file, so all that is remembered is the place of the first. When MISP answers again, a second reader goes from there to
// where the first one is.

const (
	laterEvery = 2 * time.Second // look whether MISP answers again
	// laterBytes and laterAlerts bound what is read again after one outage, oldest first.
	laterBytes  = 1 << 30
	laterAlerts = 1_000_000
)

// A laterFile is the place of the first alert that MISP has to be asked about. The file is absent if there is none.
type laterFile struct {
	name   string       // empty if it must not be written
	before func() error // what has to be on disk before the place moves; nil for nothing
	log    *slog.Logger

	mu   sync.Mutex
	from *alertlog.Checkpoint // nil for none
	next *alertlog.Checkpoint // of the first one behind those that are being asked about
	busy bool                 // they are

	savedAt time.Time
	unsaved bool // it could not be written
}

// loadLater reads what an earlier process has left. What cannot be read counts as none, and damage says why: it is moved
// aside, or left untouched if a later version of the program wrote it.
func loadLater(name string, log *slog.Logger) (l *laterFile, damage error) {
	l = &laterFile{name: name, log: log}
	from, found, err := alertlog.LoadCheckpoint(name)
	_, newer := errors.AsType[*atomicfile.NewerError](err)
	switch {
	case found:
		l.from = &from
	case newer:
		l.name = ""
	case err != nil:
		aside := atomicfile.KeepDamaged(name)
		err = fmt.Errorf("%w; MISP is not asked about alerts of its last outage; what was damaged is now %s", err, aside)
		if aside != name {
			_ = os.Remove(name)
		}
	}
	return l, err
}

// add notes that MISP has to be asked about the alerts behind a place. That is durable when add returns, or else before the
// checkpoint moves past them, see flush; there is something to write once in an outage.
func (l *laterFile) add(at alertlog.Checkpoint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.from == nil:
		l.from = &at
		l.save()
	case l.busy && l.next == nil:
		l.next = &at
	}
}

// begin returns where to begin; false if there is nothing to ask.
func (l *laterFile) begin() (alertlog.Checkpoint, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.from == nil {
		return alertlog.Checkpoint{}, false
	}
	l.busy = true
	return *l.from, true
}

// at returns the place; nil for none.
func (l *laterFile) at() *alertlog.Checkpoint {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.from
}

// moved notes that all is asked up to a place.
func (l *laterFile) moved(to alertlog.Checkpoint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.from = &to
	if time.Since(l.savedAt) >= saveEvery {
		l.save()
	}
}

// end ends what begin began; all says that nothing is left of it.
func (l *laterFile) end(all bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if all {
		l.from = l.next
		l.save()
	}
	l.next, l.busy = nil, false
}

// save writes the place, or removes the file. The caller has mu.
func (l *laterFile) save() {
	if l.name == "" {
		return
	}
	l.savedAt = time.Now()
	if err := l.write(); err != nil {
		l.log.Error("it is not remembered yet which alerts MISP has to be asked about", "error", err.Error())
	}
}

// write is save with its error.
func (l *laterFile) write() (err error) {
	defer func() { l.unsaved = err != nil }()
	if l.before != nil {
		if err := l.before(); err != nil {
			return err
		}
	}
	if l.from != nil {
		err = l.from.Save(l.name)
	} else if err = os.Remove(l.name); errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return err
}

// flush writes what could not be written before.
func (l *laterFile) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.unsaved {
		return nil
	}
	return l.write()
}

// askLater works until ctx ends.
func (v *server) askLater(ctx context.Context) error {
	every := time.NewTicker(laterEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
		if v.current.Load().app.Chain.Unreachable() {
			continue
		}
		for _, f := range v.files {
			v.askAbout(ctx, f)
		}
	}
}

// askAbout asks MISP about the alerts of a file that it has to be asked about, if there are any.
func (v *server) askAbout(ctx context.Context, f *alertsFile) {
	from, ok := f.later.begin()
	if !ok {
		return
	}
	all, err := v.askFrom(ctx, f, from)
	f.later.end(all)
	if err != nil && ctx.Err() == nil {
		v.log.Error("MISP is not asked yet about alerts of its outage", "error", err.Error())
	}
}

// askFrom asks MISP about the alerts from a place to where serve is. all is false if some are left.
func (v *server) askFrom(ctx context.Context, f *alertsFile, from alertlog.Checkpoint) (all bool, err error) {
	if v.current.Load().app.Chain.Later() == nil {
		v.log.Warn("MISP is not asked about alerts of its outage: the policy is no longer mirror-then-live", "policy", string(v.current.Load().config.Lookup.Policy))
		return true, nil
	}
	follower, err := v.open(v.current.Load().config, f.AlertsFile, &from)
	if err != nil {
		return false, err
	}
	source := &laterAlertsSource{file: f, follower: follower, to: f.checkpoint.get()}
	v.log.Info("MISP is asked about alerts of its outage", "bytes", source.left())
	stream := enrich.Stream{
		Source: source, Own: wazuh.IsEnrichment, OwnLocation: wazuh.OwnLocation, Meter: laterMeter{v.metrics}, Grace: grace,
		Pipeline: func() *enrich.QueueingPipeline {
			chain := v.current.Load().app.Chain
			return cmp.Or(chain.Later(), chain) // the policy may be another one now
		},
	}
	err = stream.Run(ctx)
	if cerr := follower.Close(); cerr != nil {
		v.log.Warn("alerts file not closed", "error", cerr.Error())
	}
	if !errors.Is(err, io.EOF) {
		return false, err
	}
	if left := source.left(); left > 0 {
		err := fmt.Errorf("MISP is not asked about the last %d bytes of alerts that were written while it was unreachable: that is more than %d alerts or %d MiB",
			left, laterAlerts, laterBytes>>20)
		v.current.Load().app.Chain.Report(ctx, enrich.Alert{}, &enrich.Trouble{Code: enrich.CodeUnavailable, Err: err, Remedy: "custom-misp enrich looks a file of alerts up"})
		v.log.Error(err.Error())
	}
	v.log.Info("MISP was asked about alerts of its outage", "alerts", source.alerts)
	return true, nil
}

// laterAlertsSource hands alerts out up to a place, within bounds.
type laterAlertsSource struct {
	file          *alertsFile
	follower      reader
	to            alertlog.Checkpoint
	alerts, bytes int
}

// left returns how many bytes of alerts are left.
func (s *laterAlertsSource) left() int64 {
	return s.follower.Behind(s.follower.At()) - s.follower.Behind(s.to)
}

// Next implements enrich.AlertSource. It returns io.EOF at the end.
func (s *laterAlertsSource) Next(ctx context.Context) (enrich.Alerts, error) {
	if s.left() <= 0 || s.alerts >= laterAlerts || s.bytes >= laterBytes {
		return enrich.Alerts{}, io.EOF
	}
	lines, err := s.follower.Next(ctx)
	if err != nil {
		return enrich.Alerts{}, err
	}
	s.alerts += len(lines.Text)
	for _, text := range lines.Text {
		s.bytes += len(text)
	}
	return enrich.Alerts{Text: lines.Text, Skipped: lines.Skipped, Done: func() { s.file.later.moved(lines.End) }}, nil
}

// laterMeter counts alerts that MISP is asked about later; they were counted before.
type laterMeter struct{ *metricSet }

// Read implements enrich.Meter.
func (m laterMeter) Read(alerts, _ int) { m.read("delayed").Add(alerts) }

// Picked implements enrich.Meter.
func (laterMeter) Picked([]engine.Observable, []enrich.Match) {}

// Depth implements enrich.Meter.
func (laterMeter) Depth(int) {}
