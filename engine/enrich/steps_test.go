package enrich_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"custom-misp/engine/atomicfile"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
)

// TestSteps records by which steps the state files are written. None of them is synced: what they say can be found out
// again. But each is complete when it gets its name, and the parent of a new directory is synced.
func TestSteps(t *testing.T) {
	made := []string{"make directory state", "sync directory "}
	written := func(name string) []string {
		return []string{"create state/" + name, "write state/" + name, "rename state/" + name}
	}
	now := time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)
	tests := []struct {
		name string
		do   func(dir string) error
		want [][]string
	}{
		{"record of sent events", func(dir string) error {
			d, err := enrich.NewDedup(&counting{}, dir)
			if err != nil {
				return err
			}
			return d.Close()
		}, [][]string{made, written("sent")}},
		{"record of an outage", func(dir string) error {
			c := &enrich.Circuit{Asked: failingWith("away"), Outage: enrich.OutageFile{Path: filepath.Join(dir, "misp.json")}}
			_, _ = c.Lookup(t.Context(), nil)
			return nil
		}, [][]string{made, written("misp.json")}},
		{"time of an error event", func(dir string) error {
			s := &enrich.Throttle{Sink: &counting{}, Dir: dir, Interval: time.Hour}
			return s.Send(t.Context(), enrich.TroubleEvent(enrich.Alert{}, &enrich.Trouble{Code: enrich.CodeQueue, Err: errors.New("full")}))
		}, [][]string{made, written("told.wazuh_queue")}},
		{"sightings", func(dir string) error {
			s := &enrich.Sightings{Sighter: noSighter{}, Dir: dir, Now: func() time.Time { return now }}
			_, err := s.Report(t.Context(), enrich.Alert{}, []enrich.Match{{Kind: "exact", Attribute: &misp.Attribute{UUID: "00000000-0000-4000-8000-000000000000"}}})
			return err
		}, [][]string{made, {"make directory state/2026-10-05", "sync directory state"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			above := t.TempDir()
			var got []string
			remove := atomicfile.TestOnlyHook(func(s atomicfile.Step, name string) error {
				if below, ok := strings.CutPrefix(name, above); ok {
					got = append(got, string(s)+" "+strings.TrimPrefix(below, "/"))
				}
				return nil
			})
			defer remove()
			must(t, tt.do(filepath.Join(above, "state")))
			var want []string
			for _, steps := range tt.want {
				want = append(want, steps...)
			}
			expect(t, "steps", want, got)
		})
	}
}

// noSighter takes every sighting.
type noSighter struct{}

func (noSighter) Sight(context.Context, enrich.Sighting) error { return nil }
