package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"custom-misp/engine/enrich"
	"custom-misp/engine/wazuh"
	"custom-misp/engine/wazuh/alertlog"
)

func newServe(s streams, g *globalFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Follow Wazuh's alerts and enrich them, thousands a second, until told to stop",
		Long: `Follow logs/alerts/alerts.json from where the last run stopped, over the ends of files and days, and take alerts
that integratord hands over from the spool. Keep a copy of MISP, of feeds and of lists in step, and look values up in
it, in MISP or in both, as lookup.policy says. No <integration> block is needed.

SIGHUP, or a change of the configuration or of a mapping file, loads them anew; a fault in them keeps what was there.
SIGTERM ends it within five seconds. custom-misp status shows how it is; metrics and health are on the socket
serve.sock in state_dir, and at serve.listen. As root it becomes the user of Wazuh.`,
		Example: `  sudo custom-misp serve
  systemctl enable --now custom-misp`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), *g, s) },
	}
}

const (
	serveLock  = "serve.lock"
	serveSock  = "serve.sock"
	checkpoint = "checkpoint.json"
	spoolDir   = "spool"

	serveWindow   = 16                     // batches of up to 256 KiB that are worked on at the same time
	serveGrace    = 3 * time.Second        // for what was begun, when the program is to end; the rest of the five is for a full queue
	spoolEvery    = 200 * time.Millisecond // look whether something new is in the spool
	drainEvery    = 5 * time.Second        // look at the spool, if nothing new is in it
	drainTimeout  = 30 * time.Second       // for a round of work on it
	saveEvery     = time.Second            // the checkpoint
	serveMemory   = 160 << 20              // bytes from which on garbage is collected harder, unless GOMEMLIMIT says otherwise
	tellEvery     = 5 * time.Second        // look whether there is something to tell Wazuh
	watchInterval = 2 * time.Second        // look at the configuration's files

	lockTries, lockWait = 20, 10 * time.Millisecond // for the lock, before another process has it for good
)

// A server is one resident process.
type server struct {
	global   globalFlags
	log      *slog.Logger
	began    time.Time
	way      atomic.Pointer[way] // as the configuration is now
	once     *enrich.Once
	meter    *meter
	follower *alertlog.Follower // nil if only the spool is looked at
	saved    *checkpoints
	beat     atomic.Int64 // unix nanoseconds of the last sign of life
	reloads  reloads
	outages  atomic.Int64 // of MISP that have begun
}

// serve runs until ctx ends. An error that it returns has been logged as well.
func serve(ctx context.Context, g globalFlags, st streams) error {
	if err := becomeWazuh(findHome(g.home)); err != nil {
		return err
	}
	i := readInstallation(g)
	if i.settingsErr != nil {
		return i.settingsErr
	}
	log, closeLog := openLog(i.s, st.err, st.err)
	defer closeLog()
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(serveMemory)
	}
	v := &server{global: g, log: log, began: time.Now(), meter: newMeter()}
	err := v.run(ctx, i.s)
	if err != nil {
		log.Error("serve ends", "error", err.Error())
	}
	return err
}

func (v *server) run(ctx context.Context, s *settings) (err error) {
	dir := s.path("state_dir")
	unlock, err := lockServe(s)
	if err != nil {
		return err
	}
	defer unlock()
	if v.once, err = enrich.NewOnce(newQueue(s), dir); err != nil {
		return err
	}
	defer v.once.Close() //nolint:errcheck // what was written is written
	v.once.Suppressed = v.meter.suppressed.Inc
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	first, err := v.newWay(hard, s, true)
	if err != nil {
		return err
	}
	v.way.Store(first)
	defer func() { v.way.Load().close() }()
	if err := v.follow(s); err != nil {
		return err
	}
	v.reloads.note(nil)
	stopHTTP, err := v.listen(s)
	if err != nil {
		return err
	}
	defer stopHTTP()

	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var parts sync.WaitGroup
	watch := func(ctx context.Context) error { return v.watch(ctx, hard) }
	for _, part := range []func(context.Context) error{v.alerts, v.spool, watch, v.tick} {
		parts.Go(func() {
			if err := part(ctx); err != nil {
				stop(err)
			}
		})
	}
	if unused := s.unusedCopies(); unused != "" {
		v.log.Warn(unused + "; set lookup.policy to mirror or mirror-then-live")
	}
	v.log.Info("serve began", "pid", os.Getpid(), "version", version(), "policy", s.text("lookup.policy"), "alerts", s.path("serve.alerts"))
	notify(daemon.SdNotifyReady)
	<-ctx.Done()
	notify(daemon.SdNotifyStopping)
	parts.Wait()
	if v.follower != nil {
		err = errors.Join(v.saved.flush(), v.follower.Close())
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return errors.Join(cause, err)
	}
	v.log.Info("serve ended", "alerts", v.meter.read("alerts.json").Get(), "events", v.meter.sent.Get())
	return err
}

// notify tells systemd, if that is who started the program.
func notify(state string) { _, _ = daemon.SdNotify(false, state) }

// follow opens the alerts where the last run stopped.
func (v *server) follow(s *settings) error {
	name := s.path("serve.alerts")
	if name == "" {
		return nil
	}
	v.saved = &checkpoints{name: filepath.Join(s.path("state_dir"), checkpoint), log: v.log}
	from, found, err := alertlog.LoadCheckpoint(v.saved.name)
	if err != nil {
		return err
	}
	options := []alertlog.Option{alertlog.LogTo(v.log)}
	if s.text("serve.start") == "beginning" {
		options = append(options, alertlog.FromStart())
	}
	var at *alertlog.Checkpoint
	if found {
		at = &from
	}
	if v.follower, err = alertlog.Follow(name, at, options...); err != nil {
		return err
	}
	v.saved.put(v.follower.At(), nil)
	err = v.saved.flush()
	v.saved.at = time.Time{} // what is done first is written down at once: who is killed again and again gets on too
	return err
}

// alerts works on what Wazuh writes.
func (v *server) alerts(ctx context.Context) error {
	if v.follower == nil {
		return nil
	}
	r := enrich.Resident{
		Source: followed{v}, Way: func() *enrich.Durable { return v.way.Load().durable }, Own: wazuh.IsEnrichment,
		Meter: v.meter, Window: serveWindow, Grace: serveGrace,
	}
	return r.Run(ctx)
}

// followed is the follower as a source of alerts.
type followed struct{ *server }

// Next implements enrich.AlertSource. A file that cannot be read is waited for: the administrator is told, and what is
// written meanwhile is not lost.
func (f followed) Next(ctx context.Context) (enrich.Alerts, error) {
	told := ""
	for {
		lines, err := f.follower.Next(ctx)
		if err == nil {
			return enrich.Alerts{Text: lines.Text, Skipped: lines.Skipped, Done: func() { f.saved.put(lines.End, lines.Text) }}, nil
		}
		if ctx.Err() != nil {
			return enrich.Alerts{}, ctx.Err()
		}
		if err.Error() != told {
			told = err.Error()
			f.log.Error("alerts cannot be read", "error", told)
			f.way.Load().durable.Tell(ctx, enrich.Alert{}, &enrich.Trouble{Code: enrich.CodeAlerts, Err: err})
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// checkpoints keeps the place up to which all alerts are done, and writes it down now and then.
type checkpoints struct {
	name  string
	log   *slog.Logger
	mu    sync.Mutex
	last  alertlog.Checkpoint
	alert []byte // the last one before it
	old   bool   // what is written down is
	at    time.Time
}

func (c *checkpoints) put(p alertlog.Checkpoint, lines [][]byte) {
	c.mu.Lock()
	c.last, c.old = p, true
	if len(lines) > 0 {
		c.alert = lines[len(lines)-1]
	}
	due := time.Since(c.at) >= saveEvery
	c.mu.Unlock()
	if due {
		if err := c.flush(); err != nil {
			c.log.Error("checkpoint not written; after a restart alerts are read again", "error", err.Error())
		}
	}
}

func (c *checkpoints) get() alertlog.Checkpoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

func (c *checkpoints) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.old {
		return nil
	}
	c.at = time.Now()
	c.last.SavedAt = c.at.UTC()
	if err := c.last.Save(c.name); err != nil {
		return err
	}
	c.old = false
	return nil
}

// spool works on what integratord hands over, and on what is held, whenever there is something new, and every few
// seconds, for what has to wait for MISP or the queue.
func (v *server) spool(ctx context.Context) error {
	every := time.NewTicker(spoolEvery)
	defer every.Stop()
	var seen, last time.Time
	stuck := false // what is held was tried, and put back
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
		w := v.way.Load()
		changed := spoolChanged(w)
		if (stuck || changed.Equal(seen)) && time.Since(last) < drainEvery {
			continue
		}
		// Within a grain of the file system's clock, a later change may have the same time: then once more.
		if seen = changed; time.Since(changed) < spoolEvery {
			seen = time.Time{}
		}
		round, cancel := context.WithTimeout(ctx, drainTimeout)
		done := w.durable.Drain(round)
		cancel()
		v.meter.drained(done)
		last = time.Now()
		stuck = done == (enrich.Drained{}) && !spoolChanged(w).Equal(changed)
	}
}

// spoolChanged returns when an alert was put into the spool, or taken out of it.
func spoolChanged(w *way) time.Time {
	st, err := os.Stat(filepath.Join(w.durable.Spool.Dir, string(enrich.SpoolAlerts)))
	if err != nil {
		return time.Time{}
	}
	return st.ModTime()
}

// tick does what has to be done every second: it takes over what syncs have written, tells of outages and of a mirror
// that grows old, writes the checkpoint, and shows systemd that all is well.
func (v *server) tick(ctx context.Context) error {
	watchdog, _ := daemon.SdWatchdogEnabled(false)
	supervised := os.Getenv("NOTIFY_SOCKET") != ""
	var petted, reported, told, outage time.Time
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		v.beat.Store(time.Now().UnixNano())
		w := v.way.Load()
		if w.mirror != nil {
			w.mirror.Refresh()
		}
		if time.Since(told) >= tellEvery {
			told = time.Now()
			w.tell(ctx)
		}
		if o, err := w.durable.MISP.Load(); err == nil && o.Away() && !o.Since.Equal(outage) {
			outage = o.Since
			v.outages.Add(1)
		}
		if v.saved != nil {
			if err := v.saved.flush(); err != nil {
				v.log.Error("checkpoint not written; after a restart alerts are read again", "error", err.Error())
			}
		}
		if watchdog > 0 && time.Since(petted) >= watchdog/3 {
			petted = time.Now()
			notify(daemon.SdNotifyWatchdog)
		}
		if supervised && time.Since(reported) >= 10*time.Second {
			reported = time.Now()
			notify("STATUS=" + v.status().line())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
	}
}
