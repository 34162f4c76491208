package serve

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/cmd/custom-misp/internal/lookback"
	"custom-misp/engine/enrich"
	"custom-misp/engine/enrich/spool"
	"custom-misp/engine/wazuh/alertlog"
	"custom-misp/misp/mirror"
)

// A Status says how serve is, or what is on disk if it does not run. Its JSON is a promise to scripts.
type Status struct {
	Running  bool         `json:"running"`
	PID      int          `json:"pid,omitempty"`
	Version  string       `json:"version"`
	Since    time.Time    `json:"since,omitzero"`
	Policy   string       `json:"policy"`
	Ready    bool         `json:"ready"`
	NotReady string       `json:"not_ready,omitempty"` // why
	Alerts   AlertsStatus `json:"alerts"`
	// OtherAlerts are the further files that are followed.
	OtherAlerts   []AlertsStatus    `json:"other_alerts,omitempty"`
	LiveWaiting   int               `json:"live_waiting"` // values that are being asked for
	MISP          MISPStatus        `json:"misp"`
	Queue         string            `json:"queue"` // Wazuh's, in words
	Mirror        []MirrorStatus    `json:"mirror"`
	Spool         spool.Depth       `json:"spool"`
	CanaryAt      time.Time         `json:"canary_at,omitzero"` // when a test event came back last
	Configuration Reloaded          `json:"configuration"`
	Counters      map[string]uint64 `json:"counters,omitempty"`
	// NotReported counts the hits that raised no event of their own, by reason.
	NotReported map[string]uint64 `json:"not_reported,omitempty"`
	// Sources are the hits of each source in the last 30 days, and what became of them.
	Sources []app.QualityRow `json:"sources,omitempty"`
	// History is what is kept of what was seen; absent if nothing is recorded.
	History *HistoryStatus `json:"history,omitempty"`
	// LookBack is what was looked up in it after syncs; absent if nothing is recorded.
	LookBack *lookback.Status `json:"look_back,omitempty"`
}

// A HistoryStatus describes the history.
type HistoryStatus struct {
	Bytes  int64  `json:"bytes"`
	Values int    `json:"values"`          // each once for a day and file
	Since  string `json:"since,omitempty"` // the first day
	// Stopped is why nothing is recorded now, and Fault what cannot be read or written; empty if all is well.
	Stopped string `json:"stopped,omitempty"`
	Fault   string `json:"fault,omitempty"`
	Waiting int    `json:"waiting"` // batches of alerts that are to be recorded
	// Recorded and Dropped count alerts since serve began; those that were not recorded while it was stopped are Missed.
	Recorded uint64 `json:"recorded"`
	Dropped  uint64 `json:"dropped"`
	Missed   uint64 `json:"missed"`
}

// An AlertsStatus says how far serve has read.
type AlertsStatus struct {
	File          string    `json:"file"`
	Offset        int64     `json:"offset"`
	SavedAt       time.Time `json:"saved_at,omitzero"`
	BehindBytes   int64     `json:"behind_bytes"`
	BehindSeconds float64   `json:"behind_seconds"` // age of the last alert that is done, while there are others
	// DelayedBytes is how much is done that MISP still has to be asked about, after an outage.
	DelayedBytes int64 `json:"delayed_bytes,omitempty"`
	// Absent is set if the file does not exist.
	Absent bool `json:"absent,omitempty"`
}

// A MISPStatus says what is known of MISP.
type MISPStatus struct {
	Asked       bool   `json:"asked"`   // by look-ups
	Away        bool   `json:"away"`    // of several servers, all
	Outages     int    `json:"outages"` // that began since this process started
	Description string `json:"description"`
	// Servers are the servers, if several are configured.
	Servers []ServerStatus `json:"servers,omitempty"`
}

// A ServerStatus says what is known of one of several MISP servers.
type ServerStatus struct {
	Name        string `json:"name"`
	URL         string `json:"url"`
	Away        bool   `json:"away"`
	Outages     int    `json:"outages"`
	Waiting     int    `json:"waiting"` // alerts in the spool that wait for it
	Description string `json:"description"`
}

// A MirrorStatus describes one source of the mirror.
type MirrorStatus struct {
	Origin     string      `json:"origin"`
	Kind       mirror.Kind `json:"kind,omitempty"`
	Place      string      `json:"place,omitempty"`
	Attributes int         `json:"attributes"`
	Events     int         `json:"events"`
	Networks   int         `json:"networks"`
	Bytes      int64       `json:"bytes"`
	SyncedAt   time.Time   `json:"synced_at,omitzero"`
	FullAt     time.Time   `json:"full_at,omitzero"`
	AgeSeconds float64     `json:"age_seconds"`
	Failure    string      `json:"failure,omitempty"`
	// Failures is how many syncs failed since the last that succeeded, and RetryAt when the next one is.
	Failures int       `json:"failures,omitempty"`
	RetryAt  time.Time `json:"retry_at,omitzero"`
	// EventsRead and EventsThere are how far the first reading of a source is; absent once it is complete.
	EventsRead  int `json:"events_read,omitempty"`
	EventsThere int `json:"events_there,omitempty"`
	// Damage is what of its files is damaged, and DamagedSince since when that is known; empty if nothing is.
	Damage       string    `json:"damage,omitempty"`
	DamagedSince time.Time `json:"damaged_since,omitzero"`
}

// Reloaded says what became of reloads.
type Reloaded struct {
	LoadedAt time.Time `json:"loaded_at,omitzero"`
	Mappings int       `json:"mappings"`
	Failure  string    `json:"failure,omitempty"` // of the last reload
}

func mirrorStatuses(m *mirror.Mirror) []MirrorStatus {
	list := []MirrorStatus{}
	if m == nil {
		return list
	}
	damaged := map[string]mirror.Damage{}
	for _, d := range m.Damages() {
		damaged[d.Origin] = d
	}
	for _, s := range m.States() {
		status := MirrorStatus{
			Origin: s.Origin, Kind: s.Kind, Place: s.Place, Attributes: s.Attributes, Events: s.Events, Networks: s.Networks, Bytes: s.Bytes,
			SyncedAt: s.SyncedAt, FullAt: s.FullAt, AgeSeconds: s.Age(time.Now()).Seconds(), Failure: cmp.Or(s.Failure, s.Partial),
			Failures: s.Failures, RetryAt: s.RetryAt,
		}
		if s.SyncedAt.IsZero() {
			status.EventsRead, status.EventsThere = s.Walk.Read, s.Walk.Events
		}
		if d, ok := damaged[s.Origin]; ok {
			status.Damage, status.DamagedSince = d.Err.Error(), d.Since.UTC()
		}
		list = append(list, status)
	}
	return list
}

// status collects how serve is.
func (v *server) status() Status {
	g := v.current.Load()
	s := onDisk(g.config)
	s.Running, s.PID, s.Since = true, os.Getpid(), v.began.UTC()
	s.Mirror = mirrorStatuses(g.app.Mirror)
	s.MISP.Asked, s.MISP.Outages = g.app.Live != nil && g.config.FeedDir == "", v.outages.all()
	for i, one := range s.MISP.Servers {
		s.MISP.Servers[i].Outages = v.outages.of(one.Name)
	}
	s.LiveWaiting = g.app.Waiting()
	for i, f := range v.files {
		*s.alertsOf(i) = f.status()
	}
	v.reloads.mu.Lock()
	s.Configuration.LoadedAt, s.Configuration.Failure = v.reloads.loadedAt.UTC(), v.reloads.failure
	v.reloads.mu.Unlock()
	s.Configuration.Mappings = g.app.Engine.Len()
	s.CanaryAt = v.canary.last()
	m := v.metrics
	s.Counters = map[string]uint64{
		"alerts_read": m.alertsRead() + m.read("spool").Get(), "alerts_considered": m.considered.Get(),
		"alerts_matched": m.matched.Get(), "alerts_unreadable": m.unreadable.Get(), "events_sent": m.sent.Get(),
		"events_suppressed": m.suppressed.Get(), "events_failed": m.failed.Get(),
		"events_over_rate": m.overRate.Get(),
	}
	s.NotReported = map[string]uint64{}
	for _, why := range countedReasons {
		s.NotReported[string(why)] = m.notReported(why).Get()
	}
	if v.events != nil {
		s.Sources = v.events.Quality.Rows(app.QualityDays, false)
	}
	s.NotReported[string(enrich.ReasonValue)] = g.app.Engine.IgnoredValues()
	s.History, s.LookBack = v.history.status(), v.lookBackStatus()
	if err := v.ready(); err != nil {
		s.NotReady = cli.Clean(err.Error())
	}
	s.Ready = s.NotReady == ""
	return s
}

// ready returns why alerts cannot be enriched now.
func (v *server) ready() error {
	if err := v.absence(time.Now()); err != nil {
		return err
	}
	a := v.current.Load().app
	if a.Mirror != nil && a.Config.Lookup.Policy != config.PolicyLive {
		return a.Mirror.Usable()
	}
	if a.Several() {
		if a.Chain.Unreachable() {
			return errors.New("no MISP server is reachable")
		}
		return nil
	}
	if o, err := a.Chain.MISP.Load(); err == nil && o.Unreachable() {
		return errors.New("MISP is unreachable: " + o.Description)
	}
	return nil
}

// onDisk is what the state directory says, whether serve runs or not.
func onDisk(c *config.Config) Status {
	state := app.StateOf(c)
	out := Status{Version: cli.Version(), Policy: string(c.Lookup.Policy), Mirror: []MirrorStatus{}}
	for i, f := range c.Serve.Files() {
		if i > 0 {
			out.OtherAlerts = append(out.OtherAlerts, AlertsStatus{})
		}
		out.alertsOf(i).File = f.Path
	}
	o := LastOutage(state.MISPOutage())
	out.MISP.Away, out.MISP.Description = o != nil && o.Unreachable(), DescribeOutage(o)
	if servers, err := app.Servers(c); err == nil && app.Several(servers) {
		out.MISP.Servers, out.MISP.Away, out.MISP.Description = serverStatuses(c, servers)
	}
	out.Queue = DescribeOutage(LastOutage(state.QueueOutage()))
	out.Spool, _ = app.NewSpool(c).Depth()
	return out
}

// serverStatuses returns what the state directory says of several servers; all of them in words, and whether all are down.
func serverStatuses(c *config.Config, servers []app.Server) (list []ServerStatus, down bool, words string) {
	waiting, _ := app.NewSpool(c).DepthFor(spool.Delayed) // a spool that cannot be read is reported elsewhere
	down = true
	var texts []string
	for _, s := range servers {
		o := LastOutage(app.StateOf(c).ServerOutage(s.Name))
		one := ServerStatus{Name: s.Name, URL: s.URL, Away: o != nil && o.Unreachable(), Waiting: waiting[s.Name], Description: DescribeOutage(o)}
		list, down = append(list, one), down && one.Away
		texts = append(texts, s.Name+": "+one.Description)
	}
	return list, down, strings.Join(texts, "; ")
}

// LastOutage returns nil if there was none, or if it is not known.
func LastOutage(f enrich.OutageFile) *enrich.Outage {
	o, err := f.Load()
	if err != nil || o.Since.IsZero() {
		return nil
	}
	return &o
}

// DescribeOutage returns an outage in words.
func DescribeOutage(o *enrich.Outage) string {
	const form = time.RFC3339
	switch {
	case o == nil:
		return "no outage known"
	case o.Unreachable():
		return fmt.Sprintf("unreachable since %s: %s", o.Since.UTC().Format(form), cli.Clean(o.Description))
	case o.Lasts():
		return fmt.Sprintf("reachable again since %s, %d of %d done", o.Answered.UTC().Format(form), o.Processed, o.Queued)
	}
	return fmt.Sprintf("last unreachable from %s to %s (%s), %d queued, %d processed, %d dropped", o.Since.UTC().Format(form),
		o.Until.UTC().Format(form), o.Code, o.Queued, o.Processed, o.Dropped)
}

// Line is the status in one line.
func (s Status) Line() string {
	parts := []string{fmt.Sprintf("%d alerts read, %d with hits", s.Counters["alerts_read"], s.Counters["alerts_matched"])}
	behind := s.Alerts.BehindBytes
	for _, f := range s.OtherAlerts {
		behind += f.BehindBytes
	}
	if behind > 1<<20 {
		parts = append(parts, fmt.Sprintf("%d MiB behind", behind>>20))
	}
	for _, m := range s.Mirror {
		if m.Damage != "" {
			parts = append(parts, m.Origin+" is damaged")
		}
		parts = append(parts, fmt.Sprintf("%s %s old", m.Origin, time.Duration(m.AgeSeconds*float64(time.Second)).Round(time.Second)))
	}
	for _, one := range s.MISP.Servers {
		if one.Away {
			parts = append(parts, "MISP server "+one.Name+" is unreachable")
		}
	}
	if s.MISP.Away && len(s.MISP.Servers) == 0 {
		parts = append(parts, "MISP is unreachable")
	}
	if !s.Ready {
		parts = append(parts, "not ready: "+s.NotReady)
	}
	return strings.Join(parts, "; ")
}

// Ask asks a running serve for its status; if none runs, the status is what the disk says.
func Ask(ctx context.Context, c *config.Config) (Status, error) {
	if !app.ServeRuns(app.StateOf(c)) {
		return stopped(c)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	socket := app.StateOf(c).Socket()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://serve/status", nil)
	if err != nil {
		return Status{}, err
	}
	resp, err := atSocket(socket).Do(req)
	if err != nil {
		return Status{}, fmt.Errorf("serve runs, but does not answer at %s: %w; run this as root or as Wazuh's user", socket, err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	var now Status
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&now); err != nil {
		return Status{}, fmt.Errorf("serve answers %s at %s: %w", resp.Status, socket, err)
	}
	return now, nil
}

// atSocket returns a client that asks at a unix socket.
func atSocket(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}
}

// stopped is the status when serve does not run.
func stopped(c *config.Config) (Status, error) {
	now := onDisk(c)
	now.NotReady = "serve does not run"
	now.History = historyOnDisk(c)
	if app.UsesMirror(c) {
		if m, err := app.Mirror(c); err == nil {
			now.Mirror = mirrorStatuses(m)
			m.Close()
		}
	}
	for i, f := range c.Serve.Files() {
		if err := now.alertsOf(i).read(app.StateOf(c).Checkpoint(f)); err != nil {
			return now, err
		}
	}
	return now, nil
}

// alertsOf returns what the status says of one of the files that are followed, by its place among them.
func (s *Status) alertsOf(i int) *AlertsStatus {
	if i == 0 {
		return &s.Alerts
	}
	return &s.OtherAlerts[i-1]
}

// status returns how far a file is done.
func (f *alertsFile) status() AlertsStatus {
	at := f.checkpoint.get()
	s := AlertsStatus{File: f.Path, Offset: at.Offset, SavedAt: at.SavedAt, BehindBytes: f.reader.Behind(at), Absent: f.absent.err(time.Now()) != nil}
	if s.BehindBytes > 0 {
		s.BehindSeconds = f.checkpoint.age(time.Now())
	}
	if from := f.later.at(); from != nil {
		s.DelayedBytes = max(0, f.reader.Behind(*from)-s.BehindBytes)
	}
	return s
}

// read reads how far a file was done when serve ended.
func (s *AlertsStatus) read(checkpoint string) error {
	at, found, err := alertlog.LoadCheckpoint(checkpoint)
	if err != nil || !found {
		return err
	}
	s.Offset, s.SavedAt = at.Offset, at.SavedAt
	f, err := alertlog.Follow(s.File, &at)
	if err != nil {
		return err
	}
	if s.BehindBytes = f.Behind(at); s.BehindBytes > 0 {
		s.BehindSeconds = time.Since(at.SavedAt).Seconds()
	}
	return f.Close()
}
