package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine/wazuh/alertlog"
)

const laterConfig = "lookup: {policy: mirror-then-live}\nmirror: {misp: false, lists: [local=etc/list.txt]}\n"

// modes returns how each alert with an event was looked up; empty for at once.
func (b *inbox) modes() map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	modes := map[string]string{}
	for _, e := range b.events {
		if e["observable"] != nil {
			mode, _ := e["match_mode"].(string)
			modes[fmt.Sprint(e["source"].(map[string]any)["alert_id"])] = mode
		}
	}
	return modes
}

// expectModes waits for the events of alerts and checks how each was looked up.
func (r *resident) expectModes(t *testing.T, want map[string]string) {
	t.Helper()
	var ids []string
	for id := range want {
		ids = append(ids, id)
	}
	r.expectHits(t, ids...)
	for id, mode := range r.modes() {
		if wanted, ok := want[id]; !ok || mode != wanted {
			t.Errorf("alert %s has match_mode %q, want %q (%t)", id, mode, wanted, ok)
		}
	}
}

// TestServeAsksLater has a mirror that answers alone while MISP is unreachable. When MISP answers again, it is asked about
// the rest, also if serve was killed and alerts.json has turned meanwhile, and nothing comes twice.
func TestServeAsksLater(t *testing.T) {
	t.Parallel()
	r := prepare(t, newManager(t), laterConfig)
	r.start(t)
	r.until(t, "the mirror is there", func() bool { return r.status().Ready })
	r.alerts.add("live", liveHit)
	r.expectHits(t, "live")

	r.misp.Fault(down)
	r.alerts.add("list-1", listHit)
	r.alerts.add("late-1", "edge.bad-cdn.example")
	r.alerts.add("miss", "host.example.org")
	r.expectHits(t, "live", "list-1")
	r.until(t, "the checkpoint goes on", func() bool { s := r.status().Alerts; return s.BehindBytes == 0 && s.DelayedBytes > 0 })
	saved := func() bool {
		at, _, err := alertlog.LoadCheckpoint(app.State(filepath.Join(r.home, "logs/custom-misp")).Checkpoint(config.AlertsFile{Main: true}))
		return err == nil && at.Offset == r.status().Alerts.Offset
	}
	r.until(t, "the checkpoint is saved", saved)
	_ = r.cmd.Process.Kill()
	<-r.ended
	r.alerts.turn()
	r.alerts.add("list-2", listHit)
	r.alerts.add("late-2", "edge.bad-cdn.example")
	r.start(t)
	r.expectHits(t, "live", "list-1", "list-2")
	r.until(t, "the checkpoint goes on", func() bool { s := r.status().Alerts; return s.BehindBytes == 0 && s.DelayedBytes > 0 })

	r.misp.Fault(nil)
	r.alerts.add("again", liveHit)
	r.expectModes(t, map[string]string{"live": "", "list-1": "", "list-2": "", "again": "", "late-1": "delayed", "late-2": "delayed"})
	r.until(t, "nothing is left", func() bool { return r.status().Alerts.DelayedBytes == 0 })
	name := app.State(filepath.Join(r.home, "logs/custom-misp")).Later(config.AlertsFile{Main: true})
	r.until(t, "that is remembered", func() bool { _, err := os.Stat(name); return errors.Is(err, fs.ErrNotExist) })
	r.stop(t)
	r.expectModes(t, map[string]string{"live": "", "list-1": "", "list-2": "", "again": "", "late-1": "delayed", "late-2": "delayed"})
}

// TestCallAsksLater has calls without serve while MISP is unreachable: the mirror answers them, and a later call asks MISP
// for the rest.
func TestCallAsksLater(t *testing.T) {
	t.Parallel()
	r := prepare(t, newManager(t), laterConfig)
	sync, out := r.command("sync", "--home", r.home)
	sync.Args[0] = "custom-misp"
	if err := sync.Run(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	delayed := func() int {
		entries, err := filepath.Glob(filepath.Join(r.home, "logs/custom-misp/spool/delayed/*.json"))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	r.misp.Fault(down)
	r.handOver(t, "list", listHit)
	r.handOver(t, "late", liveHit)
	r.handOver(t, "miss", "host.example.org")
	r.expectModes(t, map[string]string{"list": ""})
	if n := delayed(); n != 2 || r.says("error misp_unavailable") != 1 {
		t.Errorf("%d alerts are delayed; events: %v", n, r.told())
	}
	r.misp.Fault(nil)
	r.handOver(t, "again", liveHit)
	r.expectModes(t, map[string]string{"list": "", "again": "", "late": "delayed"})
	if n := delayed(); n != 0 || r.says("recovered") != 1 {
		t.Errorf("%d alerts are still delayed; events: %v", n, r.told())
	}
}
