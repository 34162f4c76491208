package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/engine/enrich/spool"
)

// A beside is a serve that begins at the end of the file, beside calls by integratord.
type beside struct {
	*resident
	spooled int // alerts that serve took from the spool
}

// call calls with an alert, and checks that it is queued, or left to serve: without touching the spool, and before most
// packages of the program are initialized.
func (h *beside) call(t *testing.T, id string, queued bool) {
	t.Helper()
	if initialized := h.leave(t, id); initialized != queued {
		t.Errorf("alert %s: net/http was initialized: %t", id, initialized)
	}
	if queued {
		h.spooled++
	}
	read := func() string { return h.metric(`alerts_read_total{source="spool"}`) }
	h.until(t, "alert "+id+" is read from the spool, if it was queued", func() bool {
		s := h.status()
		return s.Spool.Alerts == 0 && read() == fmt.Sprint(h.spooled)
	})
}

// leave calls with an alert as integratord does, and reports whether the call initialized net/http.
func (h *beside) leave(t *testing.T, id string) (initialized bool) {
	t.Helper()
	name := filepath.Join(h.home, "tmp", id+".alert")
	if err := os.WriteFile(name, []byte(hostAlert(id, liveHit)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, out := h.command(name, "", "", "", "", "10", "0", "> /dev/null 2>&1")
	cmd.Env = append(cmd.Env, "GODEBUG=inittrace=1")
	if err := cmd.Run(); err != nil || !strings.Contains(out.String(), "init encoding/json ") {
		t.Fatalf("call for %s: %v, %q", id, err, out)
	}
	return strings.Contains(out.String(), "init net/http ")
}

// TestHandover calls with alerts of which serve reads some itself: those that were written to the file that it follows
// after it began.
func TestHandover(t *testing.T) {
	t.Parallel()
	h := &beside{resident: prepare(t, newManager(t), "")}
	h.env = []string{"CUSTOM_MISP_SERVE_START=end"}
	now := time.Now().Unix()
	id := func(seconds, offset int64) string { return fmt.Sprintf("%d.%d", now+seconds, offset) }
	var all []string
	add := func(seconds, offset int64) string {
		all = append(all, id(seconds, offset))
		h.alerts.add(id(seconds, offset), liveHit)
		return id(seconds, offset)
	}
	before, late := add(-100, 100), add(-90, 150)
	set := add(+90, 200) // before the clock was set back
	h.start(t)

	h.call(t, before, true)
	h.call(t, set, true)
	h.call(t, add(+100, 500), false)
	h.call(t, add(+100, 600), false)

	h.alerts.turn()
	first := add(+100, 50)
	h.expectHits(t, first) // serve reads the new file
	h.call(t, first, false)
	h.call(t, add(+100, 70), false)
	h.call(t, late, true)
	h.call(t, add(+100, 0), true) // as if no alerts.log were written
	h.expectHits(t, all...)

	// It is killed before it reads an alert that was left to it.
	if err := h.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	left := add(+100, 90)
	h.leave(t, left)
	entries, err := filepath.Glob(filepath.Join(h.home, "logs/custom-misp/spool/alerts/*"))
	if err != nil || len(entries) > 0 {
		t.Errorf("queued: %v, %v", entries, err)
	}
	_ = h.cmd.Process.Kill()
	<-h.ended
	h.start(t)
	h.expectHits(t, all...)
	h.stop(t)
}

// TestHandoverFullSpool has a spool that takes nothing while serve runs: a call looks its alert up itself, and leaves what is
// queued to serve.
func TestHandoverFullSpool(t *testing.T) {
	t.Parallel()
	h := &beside{resident: prepare(t, newManager(t), "")}
	h.start(t)
	alerts := filepath.Join(app.State(filepath.Join(h.home, "logs/custom-misp")).Spool(), "alerts")
	if err := h.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	queue := &spool.Dir{Path: filepath.Dir(alerts), MaxEntries: 10, MaxBytes: 1 << 20}
	if _, err := queue.Put(spool.Events, []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(alerts); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(alerts, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h.handOver(t, "no-offset", liveHit)
	h.expectHits(t, "no-offset")
	if left, err := filepath.Glob(filepath.Join(queue.Path, "events", "*.json")); err != nil || len(left) != 1 {
		t.Errorf("queued events: %v, %v", left, err)
	}
	if err := h.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	h.stop(t)
}
