package serve

import (
	"context"
	"errors"
	"strings"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/config"
)

// lockEvery is how often serve looks whether a full disk has room for its lock again.
const lockEvery = 2 * time.Second

// takeLock takes the lock of serve. If the disk is full and has no room for the state directory or the lock, it waits until it
// has, and keeps the alerts open meanwhile, so that none is lost when Wazuh rotates its file. There is no lock without an error
// if ctx ended before.
func (v *server) takeLock(ctx context.Context, c *config.Config, every time.Duration) error {
	for {
		lock, err := app.LockServe(c)
		if err == nil {
			v.lock = lock
			return nil
		}
		if !isFull(err) {
			_ = v.closeAlerts() // only read
			return err
		}
		v.keepAlerts(c, err)
		notify("STATUS=waits for room for its state\nEXTEND_TIMEOUT_USEC=60000000") // systemd would end a start that takes long
		select {
		case <-ctx.Done():
			_ = v.closeAlerts() // only read
			return nil
		case <-time.After(every):
		}
	}
}

// keepAlerts opens the alerts where the last run stopped, or at their end. It says so once.
func (v *server) keepAlerts(c *config.Config, why error) {
	if v.files != nil || len(c.Serve.Files()) == 0 {
		return
	}
	for _, f := range c.Serve.Files() {
		file, damage, err := v.loadFile(c, f)
		if err == nil {
			v.files = append(v.files, file)
		}
		if err = errors.Join(err, damage); err != nil {
			_ = v.closeAlerts() // only read
			v.log.Error("serve waits until the disk has room for its state; alerts cannot be kept open", "reason", why.Error(), "error", err.Error())
			return
		}
	}
	v.log.Error("serve waits until the disk has room for its state, and keeps the alerts open", "reason", why.Error(), "alerts", strings.Join(c.Serve.Alerts, " "))
}
