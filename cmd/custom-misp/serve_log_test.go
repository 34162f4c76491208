package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestServeReopensLog moves the log away, as logrotate does, and has serve write to a new one after SIGUSR1.
func TestServeReopensLog(t *testing.T) {
	t.Parallel()
	r := newResident(t, newManager(t), "")
	r.start(t)
	log := filepath.Join(r.home, "logs/integrations.log")
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	r.until(t, "a new log", func() bool { return r.logged("the log was opened anew") == 1 })
	r.stop(t)
	if r.logged("serve ended") != 1 {
		t.Error("the end is not in the new log")
	}
	if old, err := os.ReadFile(log + ".1"); err != nil || !strings.Contains(string(old), "serve began") || strings.Contains(string(old), "serve ended") {
		t.Errorf("the old log has %q, %v", old, err)
	}
	if r.out.Len() > 0 {
		t.Errorf("standard error is no terminal, and has %q", r.out)
	}
}
