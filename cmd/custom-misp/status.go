package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/serve"
	"custom-misp/misp/mirror"
)

func newStatus(s cli.Streams, g *globals) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the state of the daemon and of the mirror",
		Long: `Show the state of the daemon (serve): how far it has read, age and size of each source in the mirror, MISP, the
spool. If it does not run, show what is on disk. Exit code 1 if it does not run or is not ready.`,
		Example: `  sudo custom-misp status
  sudo custom-misp status --output json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return showStatus(cmd.Context(), *g, s.Out, output) },
	}
	outputFlag(cmd, &output, "table", "table", "json")
	return cmd
}

func showStatus(ctx context.Context, g globals, w io.Writer, output string) error {
	c, configErr := g.installed() // a fault in it is said at the end: the state matters most while there is one
	now, err := serve.Ask(ctx, c)
	if err != nil {
		return errors.Join(configErr, err)
	}
	if output == "json" {
		if err := cli.WriteJSON(w, now); err != nil {
			return err
		}
	} else if err := writeStatus(w, now); err != nil {
		return err
	}
	if configErr != nil {
		return configErr
	}
	if !now.Running || !now.Ready {
		return cli.ErrReported
	}
	return nil
}

func writeStatus(w io.Writer, s serve.Status) error {
	t := cli.NewTable(w)
	row := func(what, format string, args ...any) {
		t.Row(what, fmt.Sprintf(format, args...))
	}
	if s.Running {
		row("serve", "runs since %s, pid %d, version %s", s.Since.Format(time.RFC3339), s.PID, s.Version)
	} else {
		row("serve", "does not run")
	}
	if s.Running && !s.Ready {
		row("not ready", "%s", s.NotReady)
	}
	row("policy", "%s", s.Policy)
	if s.Alerts.File == "" {
		row("alerts", "only those that integratord passes on")
	} else {
		row("alerts", "%s, %d bytes behind%s", s.Alerts.File, s.Alerts.BehindBytes, behindFor(s.Alerts))
	}
	for _, f := range s.OtherAlerts {
		row("alerts", "%s, %d bytes behind%s", f.File, f.BehindBytes, behindFor(f))
	}
	if s.Running {
		row("read", "%d alerts: %d with values, %d with hits, %d unreadable", s.Counters["alerts_read"], s.Counters["alerts_considered"],
			s.Counters["alerts_matched"], s.Counters["alerts_unreadable"])
		row("sent", "%d events, %d suppressed as sent before, %d failed", s.Counters["events_sent"], s.Counters["events_suppressed"], s.Counters["events_failed"])
	}
	if why := notReported(s.NotReported); why != "" {
		row("not reported", "%s", why)
	}
	delayed := int64(0)
	for _, f := range append([]serve.AlertsStatus{s.Alerts}, s.OtherAlerts...) {
		if f.Absent {
			row("alerts are absent", "%s does not exist: no alert is read from it", f.File)
		}
		delayed += f.DelayedBytes
	}
	if !s.CanaryAt.IsZero() {
		row("test event", "came back as an alert at %s", s.CanaryAt.UTC().Format(time.RFC3339))
	}
	writeServersStatus(row, s.MISP)
	row("queue", "%s", s.Queue)
	row("spool", "%d alerts and %d events queued, %d dead letters", s.Spool.Alerts, s.Spool.Events, s.Spool.DeadLetters)
	if delayed > 0 || s.Spool.Delayed > 0 {
		row("delayed", "MISP is asked later about %d bytes of alerts and %d alerts in the spool", delayed, s.Spool.Delayed)
	}
	writeHistoryStatus(row, s.History)
	if l := s.LookBack; l != nil {
		row("look-back", "%d indicators, %d values seen before, %d events%s%s", l.Indicators, l.Hits, l.Events,
			after("; now ", l.Source), after("; tried again: ", cli.Clean(l.Failure)))
	}
	for _, m := range s.Mirror {
		if m.Damage != "" {
			row("damage", "%s, known since %s: %s; serve fetches it again, and custom-misp sync %s does at once", m.Origin,
				m.DamagedSince.Format(time.RFC3339), cli.Clean(m.Damage), m.Origin)
		}
		row("mirror "+m.Origin, "%s", describeMirror(m))
	}
	if s.Running {
		row("mappings", "%d, loaded %s", s.Configuration.Mappings, s.Configuration.LoadedAt.Format(time.RFC3339))
		if s.Configuration.Failure != "" {
			row("last reload", "failed, keeping the previous configuration: %s", cli.Clean(s.Configuration.Failure))
		}
	}
	return t.Flush()
}

func writeServersStatus(row func(what, format string, args ...any), m serve.MISPStatus) {
	if len(m.Servers) == 0 {
		row("MISP", "%s", m.Description)
	}
	for _, one := range m.Servers {
		waiting := ""
		if one.Waiting > 0 {
			waiting = fmt.Sprintf("; %s for it", map[bool]string{true: "1 alert waits", false: fmt.Sprintf("%d alerts wait", one.Waiting)}[one.Waiting == 1])
		}
		row("MISP "+one.Name, "%s: %s%s", one.URL, one.Description, waiting)
	}
}

func writeHistoryStatus(row func(what, format string, args ...any), h *serve.HistoryStatus) {
	if h == nil {
		return
	}
	row("history", "%s", h.Describe())
	if h.Stopped != "" {
		row("history stopped", "nothing is recorded: %s", h.Stopped)
	}
	if h.Fault != "" {
		row("history damaged", "%s", h.Fault)
	}
}

// describeMirror returns how a source of the mirror is.
func describeMirror(m serve.MirrorStatus) string {
	failure := m.Failure
	if m.Failures > 1 {
		failure += fmt.Sprintf("; %d failures in a row", m.Failures)
	}
	if !m.RetryAt.IsZero() {
		failure += "; tried again at " + m.RetryAt.UTC().Format(time.RFC3339)
	}
	switch {
	case m.SyncedAt.IsZero() && m.EventsThere > 0:
		return fmt.Sprintf("first sync is running: %d attributes so far, %d of %d events read%s", m.Attributes, m.EventsRead, m.EventsThere, after("; ", failure))
	case m.SyncedAt.IsZero():
		return cmp.Or(failure, "not synced yet")
	}
	what := fmt.Sprintf("%d attributes of %d events", m.Attributes, m.Events)
	if m.Kind == mirror.KindWarninglist {
		what = fmt.Sprintf("%d entries of %s", m.Attributes, cli.Plural(m.Events, "warninglist"))
	}
	return fmt.Sprintf("%s, %.1f MiB, synced %s ago from %s%s", what, float64(m.Bytes)/(1<<20),
		time.Duration(m.AgeSeconds*float64(time.Second)).Round(time.Second), m.Place, after("; ", failure))
}

// after returns a text behind what separates it; empty for none.
func after(separator, text string) string {
	if text == "" {
		return ""
	}
	return separator + text
}

func behindFor(a serve.AlertsStatus) string {
	if a.BehindBytes == 0 {
		return ""
	}
	return fmt.Sprintf(", the last one done is %s old", time.Duration(a.BehindSeconds*float64(time.Second)).Round(time.Second))
}

// notReported returns the hits that raised no event of their own, by reason; empty if there were none.
func notReported(by map[string]uint64) string {
	var parts []string
	for _, why := range slices.Sorted(maps.Keys(by)) {
		if by[why] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", by[why], why))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, ", ") + " (hits, by reason)"
}
