// Package serve is the daemon: it follows Wazuh's alerts, takes alerts from the spool, keeps the mirror in step, reloads
// the configuration, and answers over HTTP how it is.
//
// What one configuration asks for is a pipeline generation. A reload builds another one and swaps it in; what has begun
// ends on the old one.
package serve

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/cmd/custom-misp/internal/handover"
	"custom-misp/cmd/custom-misp/internal/lookback"
)

const (
	window        = 16                     // batches of up to 256 KiB that are worked on at the same time
	grace         = 3 * time.Second        // for what was begun, when the program is to end; the rest of the five is for a full queue
	spoolEvery    = 200 * time.Millisecond // look whether something new is in the spool
	drainEvery    = 5 * time.Second        // look at the spool, if nothing new is in it
	drainTime     = 30 * time.Second       // for a round of work on it
	memoryLimit   = 160 << 20              // bytes from which garbage is collected harder, unless GOMEMLIMIT says otherwise
	gcPercent     = 200                    // little memory is in use for long, so that garbage may be more than that before it is collected; GOGC overrides it
	reportEvery   = 5 * time.Second        // look whether there is something to report to Wazuh
	watchInterval = 2 * time.Second        // look at the configuration's files
)

// A Loader reads the configuration anew.
type Loader func() (*config.Config, error)

// A server is one daemon.
type server struct {
	load    Loader
	log     *slog.Logger
	logFile *app.ServeLog
	began   time.Time
	current atomic.Pointer[generation]
	events  *app.Events
	metrics *metricSet
	lock    *app.ServeLock
	files   []*alertsFile   // that are followed; none if only the spool is looked at
	reads   *handover.Reads // of the main file, as the lock says it; nil for nothing
	alive   atomic.Int64    // unix nanoseconds of the last sign of life
	reloads reloads
	outages outageCount // of MISP that have begun
	canary  canary
	history *recorder // nil if nothing is recorded

	lookBack atomic.Pointer[lookback.LookBack] // nil without a history, and until its records are read
}

// Run works until ctx ends. An error that it returns has been logged as well, once the log is open.
func Run(ctx context.Context, load Loader, stderr io.Writer) error {
	c, err := load()
	if err != nil {
		return err
	}
	log := app.OpenServeLog(c, stderr)
	defer log.Close()
	if os.Getenv("GOMEMLIMIT") == "" {
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(memoryLimit))
	}
	if os.Getenv("GOGC") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	}
	v := &server{load: load, log: log.Logger, logFile: log, began: time.Now(), metrics: newMetrics()}
	if err = v.run(ctx, c); err != nil {
		log.Error("serve ends", "error", err.Error())
	}
	return err
}

func (v *server) run(ctx context.Context, c *config.Config) (err error) {
	app.MoveState(c, v.log)
	if err := v.takeLock(ctx, c, lockEvery); err != nil || v.lock == nil {
		return err
	}
	defer v.lock.Unlock()
	if v.events, err = app.OpenEvents(c, v.metrics, v.log); err != nil {
		return err
	}
	defer v.events.Close() //nolint:errcheck // what matters was written before the checkpoint
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	v.history = newRecorder(c, v.metrics, v.log)
	defer v.history.close()
	first, err := v.newGeneration(hard, c, true)
	if err != nil {
		return err
	}
	v.current.Store(first)
	defer func() { v.current.Load().close() }()
	if err := v.follow(hard, c); err != nil {
		return err
	}
	v.metrics.follows(v.files)
	v.checkState(hard)
	v.reloads.note(nil)
	stopHTTP, err := v.listen(c)
	if err != nil {
		return err
	}
	defer stopHTTP()
	if unused := app.UnusedMirror(c); unused != "" {
		v.log.Warn(unused + "; set lookup.policy to mirror or mirror-then-live")
	}
	v.log.Info("serve began", "pid", os.Getpid(), "version", cli.Version(), "policy", string(c.Lookup.Policy), "alerts", strings.Join(c.Serve.Alerts, " "))
	notify(daemon.SdNotifyReady)
	err = v.work(ctx, hard)
	for _, f := range v.files {
		err = errors.Join(err, f.checkpoint.flush(), f.reader.Close())
	}
	if err == nil {
		v.lock.Ended()
		v.log.Info("serve ended", "alerts", v.metrics.alertsRead(), "events", v.metrics.sent.Get())
	}
	return err
}

// work runs all parts until ctx ends or one of them fails.
func (v *server) work(ctx, hard context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var parts sync.WaitGroup
	watch := func(ctx context.Context) error { return v.watch(ctx, hard) }
	all := []func(context.Context) error{v.askLater, v.spool, v.repeats, watch, v.housekeeping, v.reopenLog, v.canaries, v.daily, v.history.run, v.lookBacks}
	for _, f := range v.files {
		all = append(all, func(ctx context.Context) error { return v.alerts(ctx, f) })
	}
	for _, part := range all {
		parts.Go(func() {
			if err := part(ctx); err != nil {
				stop(err)
			}
		})
	}
	<-ctx.Done()
	notify(daemon.SdNotifyStopping)
	parts.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// notify tells systemd, if that is what started the program.
func notify(state string) { _, _ = daemon.SdNotify(false, state) }
