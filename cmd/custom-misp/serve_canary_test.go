package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"custom-misp/misp/misptest"
)

// notices returns the events of a kind of notice that came so far.
func (b *inbox) notices(kind string) []map[string]any {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []map[string]any
	for _, e := range b.events {
		if e["notice"] == kind {
			found = append(found, e)
		}
	}
	return found
}

// canaryAlert is the alert that analysisd makes of a canary.
func canaryAlert(id string) string {
	return fmt.Sprintf(`{"id":"1.%s","timestamp":"2026-11-25T10:00:00.000+0000","rule":{"id":"100668","level":3,"groups":["misp","misp_notice"]},"location":"misp","decoder":{"name":"json"},"data":{"integration":"misp","misp":{"notice":"canary","canary":%q}}}`, id[:4], id)
}

// TestCanary has a test event come back as an alert, and fail in each of its steps.
func TestCanary(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	newServe := func(t *testing.T) *resident {
		r := newResident(t, m, "serve: {canary: 1s}\nerror_interval: 1s\n")
		r.start(t)
		return r
	}
	failed := func(t *testing.T, r *resident, step string) {
		t.Helper()
		r.until(t, "a failure at "+step, func() bool {
			return slices.ContainsFunc(r.told(), func(e string) bool { return strings.Contains(e, "canary_failed") }) &&
				r.metric(`canary_failures_total{step="`+step+`"}`) != "0" && r.logged("canary failed step="+step) > 0
		})
	}
	t.Run("comes back", func(t *testing.T) {
		t.Parallel()
		r := newServe(t)
		sent := 0
		r.until(t, "a canary that came back", func() bool {
			for _, e := range r.notices("canary")[sent:] {
				sent++
				r.alerts.line(canaryAlert(e["canary"].(string)))
			}
			return !r.status().CanaryAt.IsZero()
		})
		if r.metric("canary_timestamp_seconds") == "" {
			t.Error("the metric does not say when")
		}
	})
	t.Run("alert", func(t *testing.T) {
		t.Parallel()
		failed(t, newServe(t), "alert")
	})
	t.Run("lookup", func(t *testing.T) {
		t.Parallel()
		r := newServe(t)
		r.misp.Fault(func(w http.ResponseWriter, _ *http.Request) {
			misptest.Message(w, http.StatusForbidden, misptest.NoUser)
		})
		failed(t, r, "lookup")
	})
	t.Run("mappings", func(t *testing.T) {
		t.Parallel()
		r := newServe(t)
		r.reloaded(t, func() {
			if err := os.Remove(filepath.Join(r.home, "etc/custom-misp/mappings/t.yaml")); err != nil {
				t.Fatal(err)
			}
		})
		failed(t, r, "mappings")
	})
	t.Run("queue", func(t *testing.T) {
		t.Parallel()
		r := newServe(t)
		socket := filepath.Join(r.home, "queue/sockets/queue")
		if err := os.Rename(socket, socket+".away"); err != nil {
			t.Fatal(err)
		}
		r.until(t, "a failure at queue", func() bool { return r.logged("canary failed step=queue") > 0 })
		if got := r.metric(`canary_failures_total{step="queue"}`); got == "0" || got == "" {
			t.Errorf("the metric has %q", got)
		}
	})
}

// TestChangesAreEvents has a reload say which files changed, and whose they are.
func TestChangesAreEvents(t *testing.T) {
	t.Parallel()
	r := newResident(t, newManager(t), "")
	r.start(t)
	r.reloaded(t, func() { r.configure(t, "lookup: {to_ids: true}\n") })
	r.until(t, "an event about the change", func() bool { return len(r.notices("changed")) == 1 })
	e := r.notices("changed")[0]
	changed := fmt.Sprint(e["changed"])
	if !strings.Contains(changed, "etc/custom-misp.yaml, owner ") || !strings.Contains(fmt.Sprint(e["description"]), "1 file, first ") {
		t.Errorf("%v", e)
	}
}

// TestDeadServe has a call say once that serve was killed, and nothing of one that was stopped.
func TestDeadServe(t *testing.T) {
	t.Parallel()
	r := newResident(t, newManager(t), "error_interval: 1ms\n")
	call := func(id string) {
		t.Helper()
		alert := filepath.Join(r.home, "tmp", id+".alert")
		if err := os.WriteFile(alert, []byte(hostAlert(id, liveHit)), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd, out := r.command(alert, "", "", "", "", "10", "3")
		cmd.Env = append(cmd.Env, r.settings()...)
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	r.start(t)
	r.stop(t)
	call("1")
	r.until(t, "the hit", func() bool { return r.counts()["1"] == 1 })
	if n := r.says("error serve_stopped"); n != 0 {
		t.Errorf("serve was stopped, and %d events say that it died", n)
	}
	r.start(t)
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-r.ended
	call("2")
	call("3")
	r.until(t, "the hits", func() bool { return r.counts()["2"] == 1 && r.counts()["3"] == 1 })
	if n := r.says("error serve_stopped"); n != 1 {
		t.Errorf("%d events say that serve died, want 1", n)
	}
}
