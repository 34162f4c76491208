package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
)

// A droppedCase is a reason for which a call queues its alert.
type droppedCase struct {
	keys     map[string]string
	serve    bool // runs
	misp     http.HandlerFunc
	said     bool   // by the call that has others dropped, to integratord
	logged   string // empty if nothing is
	reported string // as an event
}

// fullSpool is what a call says.
const fullSpool = "the spool is full, 1 of the oldest entries were dropped"

// TestDroppedEntries has a call that queues its alert in a full spool report that the oldest had to go for it, for
// whatever reason it queues.
func TestDroppedEntries(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]droppedCase{
		"serve runs":                    {keys: map[string]string{}, serve: true, said: true},
		"serve runs, another directory": {keys: map[string]string{"state_dir": "state"}, serve: true, said: true, logged: fullSpool},
		"configuration cannot be used":  {keys: map[string]string{"ignore.files": "[etc/gone]"}, said: true, logged: fullSpool, reported: "error configuration_fault"},
		"MISP is unreachable":           {keys: map[string]string{}, misp: down, logged: "spool is full, the oldest entries were dropped dropped=1", reported: "error spool_full"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expectDropped(t, tt)
		})
	}
}

// expectDropped queues three alerts in a spool for two.
func expectDropped(t *testing.T, tt droppedCase) {
	t.Helper()
	s := newVerdictSite(t)
	s.set(t, with(tt.keys, "spool.max_entries", "2"))
	c, err := config.Load(config.Request{Home: s.home})
	if err != nil {
		t.Fatal(err)
	}
	if tt.serve {
		lock, err := app.LockServe(c)
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Unlock()
	}
	s.misp.Fault(tt.misp)
	for i := range 3 {
		var out bytes.Buffer
		alert := s.alert(t, []byte(hostAlert(strings.Repeat("1", i+1), liveHit)))
		code := run(t.Context(), []string{"integrations", "--home", s.home, alert}, strings.NewReader(""), &out, &out)
		said := strings.Contains(out.String(), fullSpool)
		if want := tt.said && i == 2; said != want || want && code == cli.ExitOK {
			t.Errorf("call %d: exit code %d, %q", i+1, code, &out)
		}
	}
	if depth, err := app.NewSpool(c).Depth(); err != nil || depth.Alerts != 2 {
		t.Errorf("queued %+v, %v", depth, err)
	}
	log, _ := os.ReadFile(filepath.Join(s.home, "logs/integrations.log"))
	if !strings.Contains(string(log), tt.logged) || tt.logged == "" && strings.Contains(string(log), "spool is full") {
		t.Errorf("log: %s", log)
	}
	if events := s.events(t); !strings.Contains(strings.Join(events, "\n"), tt.reported) {
		t.Errorf("events %v, want %q", events, tt.reported)
	}
}
