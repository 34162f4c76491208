package serve

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
)

// This file holds the names of all metrics; they are a promise to dashboards. Counters end in _total, times are in
// seconds, sizes in bytes.

const metricPrefix = "custom_misp_"

// metricSet counts what serve does. It implements enrich.Meter and app.Meter.
type metricSet struct {
	set        *metrics.Set
	unreadable *metrics.Counter
	considered *metrics.Counter
	matched    *metrics.Counter
	sent       *metrics.Counter
	failed     *metrics.Counter
	suppressed *metrics.Counter
	overRate   *metrics.Counter
	batches    *metrics.Gauge
	cuts       atomic.Uint64 // of all mappings
	followed   []string      // sources of alerts_read_total that are files

	mu    sync.Mutex
	picks map[pickName]pickCounters // so that no name is written for every alert
}

// countedReasons are those for which a hit raises no event of its own.
var countedReasons = []enrich.Reason{enrich.ReasonAlert, enrich.ReasonFilter, enrich.ReasonMute, enrich.ReasonRepeat, enrich.ReasonStorm}

type pickName struct {
	mapping string
	typ     engine.Type
}

type pickCounters struct{ picks, hits *metrics.Counter }

func newMetrics() *metricSet {
	set := metrics.NewSet()
	counter := func(name string) *metrics.Counter { return set.NewCounter(metricPrefix + name) }
	m := &metricSet{
		set: set, unreadable: counter("alerts_unreadable_total"), considered: counter("alerts_considered_total"),
		matched: counter("alerts_matched_total"), sent: counter("events_sent_total"), failed: counter("events_failed_total"),
		suppressed: counter("events_suppressed_total"), overRate: counter("events_over_rate_total"), picks: map[pickName]pickCounters{},
	}
	m.batches = set.NewGauge(named("queue_depth", "queue", "batches"), nil)
	for _, source := range []string{mainSource, "spool", "delayed"} {
		m.read(source)
	}
	for _, why := range countedReasons {
		m.notReported(why)
	}
	for _, result := range historyResults {
		m.historyAlerts(result)
	}
	for _, step := range canarySteps {
		m.canaryFailed(step)
	}
	for _, file := range []string{"checkpoint", "misp", "quality", "queue", "repeats", "sent"} {
		m.set.GetOrCreateCounter(named("state_damaged_total", "file", file))
	}
	return m
}

// named returns the name of a metric with labels, given as names and values in turn.
func named(metric string, labels ...string) string {
	var list []string
	for pair := range slices.Chunk(labels, 2) {
		list = append(list, pair[0]+"="+strconv.Quote(pair[1]))
	}
	if len(list) == 0 {
		return metricPrefix + metric
	}
	return metricPrefix + metric + "{" + strings.Join(list, ",") + "}"
}

func (m *metricSet) read(source string) *metrics.Counter {
	return m.set.GetOrCreateCounter(named("alerts_read_total", "source", source))
}

// mainSource is what alerts_read_total calls Wazuh's alerts.
const mainSource = "alerts.json"

// follows prepares for the files that are followed.
func (m *metricSet) follows(files []*alertsFile) {
	for _, f := range files {
		m.followed = append(m.followed, f.source())
		m.read(f.source())
	}
	slices.Sort(m.followed)
	m.followed = slices.Compact(m.followed)
}

// alertsRead returns how many alerts were read from all files that are followed.
func (m *metricSet) alertsRead() (n uint64) {
	for _, source := range m.followed {
		n += m.read(source).Get()
	}
	return n
}

// Picked implements enrich.Meter.
func (m *metricSet) Picked(observables []engine.Observable, matches []enrich.Match) {
	m.considered.Inc()
	if len(matches) > 0 {
		m.matched.Inc()
	}
	known := map[engine.Indicator]bool{}
	for _, match := range matches {
		known[match.Observable.Indicator()] = true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range observables {
		hit := len(known) > 0 && known[o.Indicator()]
		for _, p := range o.Picks {
			name := pickName{p.Mapping, p.Type}
			c, ok := m.picks[name]
			if !ok {
				labels := []string{"mapping", p.Mapping, "type", string(p.Type)}
				c = pickCounters{m.set.GetOrCreateCounter(named("picks_total", labels...)), m.set.GetOrCreateCounter(named("hits_total", labels...))}
				m.picks[name] = c
			}
			c.picks.Inc()
			if hit {
				c.hits.Inc()
			}
		}
	}
}

// Sent implements enrich.Meter. What was sent is counted where the queue takes it: some events are done without being sent,
// because they were sent before.
func (m *metricSet) Sent(failed bool) {
	if failed {
		m.failed.Inc()
	}
}

// Delivered implements app.EventMeter.
func (m *metricSet) Delivered() { m.sent.Inc() }

// Suppressed implements app.EventMeter.
func (m *metricSet) Suppressed() { m.suppressed.Inc() }

// NotReported implements app.EventMeter.
func (m *metricSet) NotReported(why enrich.Reason) { m.notReported(why).Inc() }

// OverRate implements enrich.Meter.
func (m *metricSet) OverRate() { m.overRate.Inc() }

func (m *metricSet) notReported(why enrich.Reason) *metrics.Counter {
	return m.set.GetOrCreateCounter(named("not_reported_total", "reason", string(why)))
}

// drained counts what came from the spool.
func (m *metricSet) drained(d enrich.Drained) {
	m.read("spool").Add(d.Alerts)
}

// Asked implements app.Meter.
func (m *metricSet) Asked(by string, values, hits int, took time.Duration) {
	m.asked(values, hits, took, "by", by)
}

// AskedServer implements app.Meter.
func (m *metricSet) AskedServer(server string, values, hits int, took time.Duration) {
	m.asked(values, hits, took, "by", "misp", "server", server)
}

func (m *metricSet) asked(values, hits int, took time.Duration, labels ...string) {
	result := func(word string) *metrics.Counter {
		return m.set.GetOrCreateCounter(named("lookup_values_total", append(slices.Clone(labels), "result", word)...))
	}
	result("hit").Add(hits)
	result("miss").Add(values - hits)
	m.set.GetOrCreatePrometheusHistogramExt(named("lookup_duration_seconds", labels...), lookupBounds).Update(took.Seconds())
}

// lookupBounds reach from one value in the mirror to a question that MISP needs long for.
var lookupBounds = []float64{
	1e-6, 1e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
}

// Remembered implements app.Meter.
func (m *metricSet) Remembered(hit bool) {
	result := map[bool]string{true: "hit", false: "miss"}[hit]
	m.set.GetOrCreateCounter(named("lookup_values_total", "by", "cache", "result", result)).Inc()
}

// Cut implements app.Meter.
func (m *metricSet) Cut(c engine.Cut) {
	m.cuts.Add(1)
	m.set.GetOrCreateCounter(named("alerts_truncated_total", "mapping", c.Mapping, "what", string(c.What))).Inc()
}

func (m *metricSet) damaged(file string) {
	m.set.GetOrCreateCounter(named("state_damaged_total", "file", file)).Inc()
}

// LeftOut implements app.Meter.
func (m *metricSet) LeftOut(source string, values int) {
	m.set.GetOrCreateCounter(named("mirror_left_out_values_total", "origin", source)).Add(values)
}

func (m *metricSet) canaryFailed(step canaryStep) *metrics.Counter {
	return m.set.GetOrCreateCounter(named("canary_failures_total", "step", string(step)))
}

// historyResults are what becomes of an alert that the history is to record.
var historyResults = []string{"recorded", "dropped", "stopped"}

func (m *metricSet) historyAlerts(result string) *metrics.Counter {
	return m.set.GetOrCreateCounter(named("history_alerts_total", "result", result))
}

func (m *metricSet) syncFailed(origin string) {
	m.set.GetOrCreateCounter(named("mirror_sync_errors_total", "origin", origin)).Inc()
}

// listenerFull counts the connections that took the last free place of a listener: "socket" or "address".
func (m *metricSet) listenerFull(listener string) *metrics.Counter {
	return m.set.GetOrCreateCounter(named("listen_full_total", "listener", listener))
}

// write writes all metrics in the form that Prometheus reads, with help and type.
func (m *metricSet) write(w io.Writer, s Status) {
	var text bytes.Buffer
	m.writeValues(&text, s)
	writeFamilies(w, text.Bytes())
}

func (m *metricSet) writeValues(w io.Writer, s Status) {
	m.set.WritePrometheus(w)
	gauge := func(name string, value float64) { metrics.WriteGaugeFloat64(w, name, value) }
	flag := map[bool]float64{true: 1}
	// Counted by the engine, which is another one after a reload.
	metrics.WriteCounterUint64(w, named("not_reported_total", "reason", string(enrich.ReasonValue)), s.NotReported[string(enrich.ReasonValue)])
	for _, r := range s.Sources {
		for result, n := range map[string]int{"reported": r.Hits, "repeat": r.Repeats, "muted": r.Mutes} {
			gauge(named("source_hits", "origin", r.Source, "result", result), float64(n))
		}
	}
	gauge(named("build_info", "version", s.Version), 1)
	gauge(named("queue_depth", "queue", "live"), float64(s.LiveWaiting))
	writeFile(w, s.Alerts)
	for _, f := range s.OtherAlerts {
		writeFile(w, f, "file", f.File)
	}
	if !s.CanaryAt.IsZero() {
		gauge(named("canary_timestamp_seconds"), float64(s.CanaryAt.Unix()))
	}
	if h := s.History; h != nil {
		gauge(named("history_recording"), flag[h.Stopped == ""])
		gauge(named("history_damaged"), flag[h.Fault != ""])
		gauge(named("history_bytes"), float64(h.Bytes))
		gauge(named("history_values"), float64(h.Values))
		gauge(named("queue_depth", "queue", "history"), float64(h.Waiting))
	}
	if l := s.LookBack; l != nil {
		metrics.WriteCounterUint64(w, named("lookback_indicators_total"), l.Indicators)
		metrics.WriteCounterUint64(w, named("lookback_hits_total"), l.Hits)
		metrics.WriteCounterUint64(w, named("lookback_events_total"), l.Events)
	}
	if len(s.MISP.Servers) == 0 {
		gauge(named("misp_up"), flag[!s.MISP.Away])
		metrics.WriteCounterUint64(w, named("misp_outages_total"), uint64(s.MISP.Outages)) //nolint:gosec // not negative
	}
	for _, one := range s.MISP.Servers {
		gauge(named("misp_up", "server", one.Name), flag[!one.Away])
		metrics.WriteCounterUint64(w, named("misp_outages_total", "server", one.Name), uint64(one.Outages)) //nolint:gosec // not negative
		gauge(named("misp_waiting_alerts", "server", one.Name), float64(one.Waiting))
	}
	for kind, n := range map[string]int{"alerts": s.Spool.Alerts, "delayed": s.Spool.Delayed, "events": s.Spool.Events, "aside": s.Spool.DeadLetters} {
		gauge(named("spool_entries", "kind", kind), float64(n))
	}
	gauge(named("spool_bytes"), float64(s.Spool.Bytes))
	gauge(named("reload_success"), flag[s.Configuration.Failure == ""])
	gauge(named("reload_timestamp_seconds"), float64(s.Configuration.LoadedAt.Unix()))
	for _, o := range s.Mirror {
		gauge(named("mirror_damaged", "origin", o.Origin), flag[o.Damage != ""])
		if o.SyncedAt.IsZero() {
			continue // an age of 0 would say that it is fresh
		}
		gauge(named("mirror_age_seconds", "origin", o.Origin), o.AgeSeconds)
		gauge(named("mirror_attributes", "origin", o.Origin), float64(o.Attributes))
		gauge(named("mirror_events", "origin", o.Origin), float64(o.Events))
		gauge(named("mirror_bytes", "origin", o.Origin), float64(o.Bytes))
	}
	metrics.WriteProcessMetrics(w)
	metrics.WriteFDMetrics(w)
}

// writeFile writes what is known of a file of alerts. The first has no label, since there was only one once.
func writeFile(w io.Writer, f AlertsStatus, labels ...string) {
	gauge := func(name string, value float64) { metrics.WriteGaugeFloat64(w, named(name, labels...), value) }
	gauge("checkpoint_lag_bytes", float64(f.BehindBytes))
	gauge("checkpoint_lag_seconds", f.BehindSeconds)
	gauge("alerts_file_absent", map[bool]float64{true: 1}[f.Absent])
	gauge("delayed_bytes", float64(f.DelayedBytes))
}
