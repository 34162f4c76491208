package serve

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine/enrich"
	"custom-misp/engine/wazuh"
	"custom-misp/engine/wazuh/alertlog"
)

// A reader reads a file of alerts: an [alertlog.Follower] or an [alertlog.ArchiveFollower].
type reader interface {
	Next(ctx context.Context) (alertlog.Lines, error)
	At() alertlog.Checkpoint
	Behind(c alertlog.Checkpoint) int64
	Close() error
}

// An alertsFile is a file that serve follows, and how far it is done.
type alertsFile struct {
	config.AlertsFile
	reader     reader
	checkpoint *checkpointFile
	later      *laterFile
	begin      alertlog.Checkpoint // of the next batch
	absent     absence
}

// source is what the metric of alerts that were read calls the file.
func (f *alertsFile) source() string { return filepath.Base(f.Path) }

// open opens a file at a place; nil for its end, or for its start if the configuration says so.
func (v *server) open(c *config.Config, f config.AlertsFile, at *alertlog.Checkpoint) (reader, error) {
	options := []alertlog.Option{alertlog.LogTo(v.log)}
	if c.Serve.FromBeginning {
		options = append(options, alertlog.FromStart())
	}
	if f.Archive {
		return alertlog.FollowArchive(f.Path, f.Alerts, at, options...)
	}
	return alertlog.Follow(f.Path, at, options...)
}

// loadFile returns a file that is to be read where the last run stopped. damage is what is wrong with its checkpoint.
func (v *server) loadFile(c *config.Config, f config.AlertsFile) (file *alertsFile, damage, err error) {
	state := app.StateOf(c)
	file = &alertsFile{AlertsFile: f, checkpoint: &checkpointFile{name: state.Checkpoint(f), copy: state.CheckpointCopy(f), log: v.log}}
	at, damage, err := file.checkpoint.load(f.Path)
	if err == nil {
		file.reader, err = v.open(c, f, at)
	}
	return file, damage, err
}

// follow opens all files where the last run stopped, unless they were opened while the disk was full.
func (v *server) follow(ctx context.Context, c *config.Config) error {
	opened := v.files != nil
	for i, f := range c.Serve.Files() {
		if !opened {
			file, damage, err := v.loadFile(c, f)
			if err != nil {
				_ = v.closeAlerts() // only read
				return err
			}
			v.files = append(v.files, file)
			if damage != nil {
				v.damaged(ctx, "checkpoint", damage)
			}
		}
		v.beginFile(ctx, c, v.files[i])
	}
	return nil
}

// beginFile makes a file ready that is open.
func (v *server) beginFile(ctx context.Context, c *config.Config, f *alertsFile) {
	f.begin = f.reader.At()
	f.checkpoint.last, f.checkpoint.dirty = f.begin, true
	if err := f.checkpoint.flush(); err != nil { // later, then; until it can be, the file stays open
		f.checkpoint.failed(err)
	}
	f.checkpoint.savedAt = time.Time{} // the first batch is saved at once, so that a crash loop still makes progress
	v.noteReads(f, f.begin.Inode)
	var damage error
	if f.later, damage = loadLater(app.StateOf(c).Later(f.AlertsFile), v.log); damage != nil {
		v.damaged(ctx, "delayed", damage)
	}
	f.later.before = v.counted
	f.checkpoint.before = func() error { return errors.Join(v.counted(), f.later.flush()) }
}

// main returns the file whose alerts calls by integratord may leave to serve; nil if there is none.
func (v *server) main() *alertsFile {
	if len(v.files) == 0 || !v.files[0].Main {
		return nil
	}
	return v.files[0]
}

// closeAlerts closes all files.
func (v *server) closeAlerts() error {
	var errs []error
	for _, f := range v.files {
		errs = append(errs, f.reader.Close())
	}
	v.files = nil
	return errors.Join(errs...)
}

// alerts works on what Wazuh writes into a file.
func (v *server) alerts(ctx context.Context, f *alertsFile) error {
	own := v.canary.own
	if f.Archive { // a test event is there although its rules are not installed
		own = wazuh.IsEnrichment
	}
	stream := enrich.Stream{
		Source: followed{v, f}, Pipeline: func() *enrich.QueueingPipeline { return v.current.Load().app.Chain }, Own: own, OwnLocation: wazuh.OwnLocation,
		Meter: &fileMeter{metricSet: v.metrics, source: f.source()}, Window: window, Grace: grace,
	}
	return stream.Run(ctx)
}

// followed is a file as a source of alerts.
type followed struct {
	*server
	file *alertsFile
}

// Next implements enrich.AlertSource. A file that cannot be read is waited for: the administrator gets an event, and
// what is written meanwhile is not lost.
func (f followed) Next(ctx context.Context) (enrich.Alerts, error) {
	reported := ""
	for {
		lines, err := f.file.reader.Next(ctx)
		if err == nil {
			f.noteReads(f.file, lines.End.Inode)
			begin := f.file.begin
			f.file.begin = lines.End
			return enrich.Alerts{
				Picked: f.history.picked(f.file.Path, begin, lines),
				Text:   lines.Text, Skipped: lines.Skipped, Later: func() { f.file.later.add(begin) },
				Done: func() { f.file.checkpoint.put(lines.End, lines.Text) },
			}, nil
		}
		if ctx.Err() != nil {
			return enrich.Alerts{}, ctx.Err()
		}
		if err.Error() != reported {
			reported = err.Error()
			f.log.Error("alerts cannot be read", "error", reported)
			f.current.Load().app.Chain.Report(ctx, enrich.Alert{}, &enrich.Trouble{Code: enrich.CodeAlerts, Err: err})
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// fileMeter counts the alerts of a file.
type fileMeter struct {
	*metricSet
	source  string
	batches int
}

// Read implements enrich.Meter.
func (m *fileMeter) Read(alerts, unreadable int) {
	m.read(m.source).Add(alerts)
	m.unreadable.Add(unreadable)
}

// Depth implements enrich.Meter. It is not called twice at once.
func (m *fileMeter) Depth(batches int) {
	m.metricSet.batches.Add(float64(batches - m.batches))
	m.batches = batches
}
