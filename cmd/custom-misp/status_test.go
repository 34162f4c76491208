package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/serve"
)

// TestStatusOfTheChain has the table say when the chain was whole last, and that there is nothing to read.
func TestStatusOfTheChain(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := serve.Status{Running: true, Ready: true, CanaryAt: time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)}
	s.Alerts.File, s.Alerts.Absent, s.Alerts.DelayedBytes = "/var/ossec/logs/alerts/alert.json", true, 5
	s.OtherAlerts = []serve.AlertsStatus{{File: "/var/ossec/logs/archives/archives.json", BehindBytes: 77, DelayedBytes: 2}}
	if err := writeStatus(&out, s); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"/var/ossec/logs/alerts/alert.json does not exist: no alert is read", "came back as an alert at 2026-11-25T10:00:00Z",
		"/var/ossec/logs/archives/archives.json, 77 bytes behind", "about 7 bytes of alerts",
	} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("no %q in:\n%s", part, &out)
		}
	}
	out.Reset()
	if err := writeStatus(&out, serve.Status{Running: true}); err != nil || strings.Contains(out.String(), "test event") || strings.Contains(out.String(), "absent") {
		t.Errorf("%v\n%s", err, &out)
	}
}
