package serve

import (
	"context"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// housekeeping does what has to be done every second: it takes in what syncs have written, reports outages and a
// damaged or stale mirror, saves the checkpoint, and shows systemd that all is well.
func (v *server) housekeeping(ctx context.Context) error {
	watchdog, _ := daemon.SdWatchdogEnabled(false)
	supervised := os.Getenv("NOTIFY_SOCKET") != ""
	var watchdogAt, statusAt, reportAt time.Time
	every := time.NewTicker(time.Second)
	defer every.Stop()
	due := func(last *time.Time, interval time.Duration) bool {
		if time.Since(*last) < interval {
			return false
		}
		*last = time.Now()
		return true
	}
	for {
		v.alive.Store(time.Now().UnixNano())
		g := v.current.Load()
		if g.app.Mirror != nil {
			g.app.Mirror.Refresh()
			g.damage.notice(g.app.Mirror)
		}
		for _, f := range v.files {
			f.absent.look(f.Path, time.Now())
		}
		if due(&reportAt, reportEvery) {
			g.report(ctx)
			v.reportAbsence(ctx)
		}
		v.outages.look(g.app.Chain.ServerOutages())
		for _, f := range v.files {
			f.checkpoint.saveIfDue()
		}
		if watchdog > 0 && due(&watchdogAt, watchdog/3) {
			notify(daemon.SdNotifyWatchdog)
		}
		if supervised && due(&statusAt, 10*time.Second) {
			notify("STATUS=" + v.status().Line())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
	}
}
