package main

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
)

// TestDroppedEntries has a call that queues its alert in a full spool report that the oldest had to go for it, for
// whatever reason it queues.
func TestDroppedEntries(t *testing.T) {
	t.Parallel()
	const full, byMISP = "the spool is full, 1 of the oldest entries were dropped", "spool is full, the oldest entries were dropped dropped=1"
	for name, tt := range map[string]struct {
		keys     map[string]string
		serve    bool // runs
		misp     http.HandlerFunc
		said     string // by the call
		logged   string
		reported string // as an event
	}{
		"serve runs":                    {keys: map[string]string{}, serve: true, said: full},
		"serve runs, another directory": {keys: map[string]string{"state_dir": "state"}, serve: true, said: full, logged: full},
		"configuration cannot be used":  {keys: map[string]string{"ignore.files": "[etc/gone]"}, said: full, logged: full, reported: "error configuration_fault"},
		"MISP is unreachable":           {keys: map[string]string{}, misp: down, logged: byMISP, reported: "error spool_full"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newVerdictSite(t)
			s.set(t, with(tt.keys, "spool.max_entries", "2"))
			c, err := config.Load(config.Request{Home: s.home})
			if err != nil {
				t.Fatal(err)
			}
			if tt.serve {
				unlock, err := app.LockServe(c)
				if err != nil {
					t.Fatal(err)
				}
				defer unlock()
			}
			s.misp.Fault(tt.misp)
			var out bytes.Buffer
			for i := range 3 {
				out.Reset()
				alert := s.alert(t, []byte(hostAlert(strings.Repeat("1", i+1), liveHit)))
				code := run(context.Background(), []string{"integrations", "--home", s.home, alert}, strings.NewReader(""), &out, &out)
				if said := strings.Contains(out.String(), full); said != (tt.said != "" && i == 2) || said && code != cli.ExitFailure && tt.reported == "" {
					t.Errorf("call %d: exit code %d, %q", i+1, code, &out)
				}
			}
			if depth, err := app.NewSpool(c).Depth(); err != nil || depth.Alerts != 2 {
				t.Errorf("queued %+v, %v", depth, err)
			}
			log, _ := os.ReadFile(filepath.Join(s.home, "logs/integrations.log"))
			if n := strings.Count(string(log), "spool is full"); !strings.Contains(string(log), tt.logged) || (n > 0) != (tt.logged != "") {
				t.Errorf("log: %s", log)
			}
			if events := s.events(t); tt.reported != "" && !strings.Contains(strings.Join(events, "\n"), tt.reported) {
				t.Errorf("events %v, want %s", events, tt.reported)
			}
		})
	}
}
