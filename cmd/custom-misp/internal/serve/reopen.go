package serve

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// reopenLog opens the file of the log anew on SIGUSR1: after a rotation its name is another file's.
func (v *server) reopenLog(ctx context.Context) error {
	rotated := make(chan os.Signal, 1)
	signal.Notify(rotated, syscall.SIGUSR1)
	defer signal.Stop(rotated)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-rotated:
		}
		if !v.logFile.HasFile() {
			continue
		}
		if err := v.logFile.Reopen(); err != nil {
			v.log.Error("the log cannot be opened anew and goes on in the old file", "error", err.Error())
			continue
		}
		v.log.Info("the log was opened anew")
	}
}
