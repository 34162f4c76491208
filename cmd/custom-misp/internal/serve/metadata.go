package serve

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A family is what Prometheus reads about a metric besides its values.
type family struct{ kind, help string }

// families are all metrics of serve by their names without the prefix. A test fails for one that is not here.
var families = map[string]family{
	"alerts_considered_total":      {"counter", "Alerts with a value that was looked up."},
	"alerts_file_absent":           {"gauge", "1 if the file of alerts that serve follows does not exist."},
	"canary_failures_total":        {"counter", "Test events that did not come back as an alert, by the step that failed."},
	"canary_timestamp_seconds":     {"gauge", "When a test event came back last."},
	"alerts_matched_total":         {"counter", "Alerts with a value that is known."},
	"alerts_read_total":            {"counter", "Alerts that were read, by where they came from."},
	"alerts_truncated_total":       {"counter", "Parts of alerts that were left out because of a limit."},
	"alerts_unreadable_total":      {"counter", "Lines that are no alert or too long, and were left out."},
	"build_info":                   {"gauge", "Always 1; the label has the version."},
	"checkpoint_lag_bytes":         {"gauge", "Alerts in Wazuh's files that are not done, in bytes."},
	"checkpoint_lag_seconds":       {"gauge", "Age of the last alert that is done, while there are others."},
	"delayed_bytes":                {"gauge", "Alerts that MISP is asked about later, after an outage, in bytes."},
	"events_failed_total":          {"counter", "Events that Wazuh's queue did not take; they are queued."},
	"events_over_rate_total":       {"counter", "Times that events waited because of events.rate."},
	"events_sent_total":            {"counter", "Events that Wazuh's queue took."},
	"events_suppressed_total":      {"counter", "Events that were not sent because they had been sent before."},
	"not_reported_total":           {"counter", "Alerts, values and hits that raise no event of their own, by reason."},
	"source_hits":                  {"gauge", "Hits of each source in 30 days, by what became of them."},
	"history_alerts_total":         {"counter", "Alerts with values for the history: recorded, dropped (the queue was full), stopped (nothing is recorded)."},
	"history_bytes":                {"gauge", "Files of the history, in bytes."},
	"history_damaged":              {"gauge", "1 if a part of the history cannot be read or written."},
	"history_recording":            {"gauge", "0 if the history records nothing, since the disk is too full or it cannot be opened."},
	"history_values":               {"gauge", "Values in the history, each once for a day and file."},
	"hits_total":                   {"counter", "Picks whose value is known, by mapping and type."},
	"listen_full_total":            {"counter", "Connections that took the last free place of a listener."},
	"lookback_events_total":        {"counter", "Events about what was seen before it was known."},
	"lookback_hits_total":          {"counter", "Values in the history that indicators match which a sync brought."},
	"lookback_indicators_total":    {"counter", "Indicators that syncs brought and that were looked up in the history."},
	"lookup_duration_seconds":      {"histogram", "Time of look-ups, by who answered."},
	"lookup_values_total":          {"counter", "Values that were looked up, by who answered and what."},
	"mirror_age_seconds":           {"gauge", "Time since the last successful sync of a source."},
	"mirror_attributes":            {"gauge", "Attributes of a source."},
	"mirror_bytes":                 {"gauge", "Files of a source, in bytes."},
	"mirror_damaged":               {"gauge", "1 if a file of a source is damaged."},
	"mirror_events":                {"gauge", "Events of a source."},
	"mirror_left_out_values_total": {"counter", "Values that were looked up without a damaged source."},
	"mirror_sync_errors_total":     {"counter", "Syncs of a source that failed."},
	"misp_outages_total":           {"counter", "Outages of MISP that began since this process started."},
	"misp_waiting_alerts":          {"gauge", "Alerts in the spool that wait for one of several MISP servers."},
	"misp_up":                      {"gauge", "0 while MISP is unreachable."},
	"picks_total":                  {"counter", "Values that were picked, by mapping and type."},
	"queue_depth":                  {"gauge", "What waits in memory: batches of alerts, values for MISP, batches for the history."},
	"reload_success":               {"gauge", "0 if the last reload failed and the previous configuration is kept."},
	"reload_timestamp_seconds":     {"gauge", "When the current configuration was loaded."},
	"spool_bytes":                  {"gauge", "Queued alerts and events on disk, in bytes."},
	"spool_entries":                {"gauge", "Queued alerts and events on disk, and dead letters (aside)."},
	"state_damaged_total":          {"counter", "Files of the state directory that were damaged."},
}

// writeFamilies writes what a metrics library has written, one family after the other, each with its help and type. Families
// that are not ours get none.
func writeFamilies(w io.Writer, text []byte) {
	byFamily := map[string][]string{}
	var order []string
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte("#")) {
			continue
		}
		name := familyOf(string(line))
		if byFamily[name] == nil {
			order = append(order, name)
		}
		byFamily[name] = append(byFamily[name], string(line))
	}
	slices.Sort(order)
	for _, name := range order {
		if f, ok := families[strings.TrimPrefix(name, metricPrefix)]; ok && strings.HasPrefix(name, metricPrefix) {
			fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, f.help, name, f.kind)
		}
		for _, line := range byFamily[name] {
			fmt.Fprint(w, line)
		}
	}
}

// familyOf returns the name of the family that a line belongs to.
func familyOf(line string) string {
	name, _, _ := strings.Cut(line, " ")
	name, _, _ = strings.Cut(name, "{")
	for _, part := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, part); ok && families[strings.TrimPrefix(base, metricPrefix)].kind == "histogram" {
			return base
		}
	}
	return name
}
