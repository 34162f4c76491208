package main

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
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/tidwall/gjson"

	"custom-misp/engine/enrich"
	"custom-misp/engine/wazuh/alertlog"
	"custom-misp/misp/mirror"
)

// serveStatus is how a resident process is, or what is on disk if none runs. It is a promise to scripts.
type serveStatus struct {
	Running       bool              `json:"running"`
	PID           int               `json:"pid,omitempty"`
	Version       string            `json:"version"`
	Since         time.Time         `json:"since,omitzero"`
	Policy        string            `json:"policy"`
	Ready         bool              `json:"ready"`
	NotReady      string            `json:"not_ready,omitempty"` // why
	Alerts        alertsStatus      `json:"alerts"`
	LiveWaiting   int               `json:"live_waiting"` // values that are being asked for
	MISP          mispStatus        `json:"misp"`
	Queue         string            `json:"queue"` // Wazuh's, in words
	Mirror        []mirrorStatus    `json:"mirror"`
	Spool         enrich.Depth      `json:"spool"`
	Configuration configuration     `json:"configuration"`
	Counters      map[string]uint64 `json:"counters,omitempty"`
}

type alertsStatus struct {
	File          string    `json:"file"`
	Offset        int64     `json:"offset"`
	SavedAt       time.Time `json:"saved_at,omitzero"`
	BehindBytes   int64     `json:"behind_bytes"`
	BehindSeconds float64   `json:"behind_seconds"` // age of the last alert that is done, while there are others
}

type mispStatus struct {
	Asked       bool   `json:"asked"` // by look-ups
	Away        bool   `json:"away"`
	Outages     int    `json:"outages"` // that this process has seen begin
	Description string `json:"description"`
}

type mirrorStatus struct {
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
}

type configuration struct {
	LoadedAt time.Time `json:"loaded_at,omitzero"`
	Mappings int       `json:"mappings"`
	Failure  string    `json:"failure,omitempty"` // of the last reload
}

func mirrorStatuses(m *mirror.Mirror) []mirrorStatus {
	list := []mirrorStatus{}
	if m == nil {
		return list
	}
	for _, s := range m.States() {
		list = append(list, mirrorStatus{
			Origin: s.Origin, Kind: s.Kind, Place: s.Place, Attributes: s.Attributes, Events: s.Events, Networks: s.Networks, Bytes: s.Bytes,
			SyncedAt: s.SyncedAt, FullAt: s.FullAt, AgeSeconds: s.Age(time.Now()).Seconds(), Failure: s.Failure,
		})
	}
	return list
}

// status collects how the process is.
func (v *server) status() serveStatus {
	w := v.way.Load()
	s := onDisk(w.settings)
	s.Running, s.PID, s.Version, s.Since, s.Policy = true, os.Getpid(), version(), v.began.UTC(), w.policy
	s.Mirror = mirrorStatuses(w.mirror)
	s.MISP.Asked, s.MISP.Outages = w.live, int(v.outages.Load())
	if w.batch != nil {
		s.LiveWaiting = w.batch.Waiting()
	}
	if v.follower != nil {
		at := v.saved.get()
		s.Alerts.Offset, s.Alerts.SavedAt = at.Offset, at.SavedAt
		s.Alerts.BehindBytes, s.Alerts.BehindSeconds = v.follower.Behind(at), 0
		if s.Alerts.BehindBytes > 0 {
			s.Alerts.BehindSeconds = v.saved.age(time.Now())
		}
	}
	v.reloads.mu.Lock()
	s.Configuration.LoadedAt, s.Configuration.Failure = v.reloads.good.UTC(), v.reloads.err
	v.reloads.mu.Unlock()
	s.Configuration.Mappings = w.durable.Engine.Len()
	s.Counters = map[string]uint64{
		"alerts_read": v.meter.read("alerts.json").Get() + v.meter.read("spool").Get(), "alerts_considered": v.meter.considered.Get(),
		"alerts_matched": v.meter.matched.Get(), "alerts_unreadable": v.meter.unreadable.Get(), "events_sent": v.meter.sent.Get(),
		"events_suppressed": v.meter.suppressed.Get(), "events_failed": v.meter.failed.Get(),
	}
	if err := v.ready(); err != nil {
		s.NotReady = oneLine(err.Error())
	}
	s.Ready = s.NotReady == ""
	return s
}

// ready returns why alerts cannot be enriched now.
func (v *server) ready() error {
	w := v.way.Load()
	if w.mirror != nil {
		return w.mirror.Usable()
	}
	if o, err := w.durable.MISP.Load(); err == nil && o.Away() {
		return errors.New("MISP is away: " + o.Description)
	}
	return nil
}

// onDisk is what the state directory says, whoever runs.
func onDisk(s *settings) serveStatus {
	out := serveStatus{Version: version(), Policy: s.text("lookup.policy"), Mirror: []mirrorStatus{}}
	out.Alerts.File = s.path("serve.alerts")
	ofMISP, ofQueue := outageFiles(s)
	o := lastOutage(ofMISP)
	out.MISP.Away, out.MISP.Description = o != nil && o.Away(), describeOutage(o)
	out.Queue = describeOutage(lastOutage(ofQueue))
	out.Spool, _ = newSpool(s).Depth()
	return out
}

// line is the status in one line.
func (s serveStatus) line() string {
	parts := []string{fmt.Sprintf("%d alerts read, %d with hits", s.Counters["alerts_read"], s.Counters["alerts_matched"])}
	if s.Alerts.BehindBytes > 1<<20 {
		parts = append(parts, fmt.Sprintf("%d MiB behind", s.Alerts.BehindBytes>>20))
	}
	for _, m := range s.Mirror {
		parts = append(parts, fmt.Sprintf("%s %s old", m.Origin, time.Duration(m.AgeSeconds*float64(time.Second)).Round(time.Second)))
	}
	if s.MISP.Away {
		parts = append(parts, "MISP is away")
	}
	if !s.Ready {
		parts = append(parts, "not ready: "+s.NotReady)
	}
	return strings.Join(parts, "; ")
}

func newStatus(s streams, g *globalFlags) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the resident process is, its mirror, and what it is behind",
		Long: `Show how the resident process (serve) is: how far it has read, the age and size of each part of the mirror, MISP,
the spool. If none runs, show what is on disk. Exit code 1 if it does not run or is not ready.`,
		Example: `  sudo custom-misp status
  sudo custom-misp status --output json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return showStatus(cmd.Context(), *g, s.out, output) },
	}
	outputFlag(cmd, &output, "table", "table", "json")
	return cmd
}

func showStatus(ctx context.Context, g globalFlags, w io.Writer, output string) error {
	i := readInstallation(g)
	if i.settingsErr != nil {
		return i.settingsErr
	}
	now, err := askServe(ctx, i.s)
	if err != nil {
		return err
	}
	if output == "json" {
		if err := writeJSON(w, now); err != nil {
			return err
		}
	} else if err := now.table(w); err != nil {
		return err
	}
	if !now.Running || !now.Ready {
		return errSilent
	}
	return nil
}

// askServe asks the resident process; if none runs, the disk.
func askServe(ctx context.Context, s *settings) (serveStatus, error) {
	if !served(s) {
		return stopped(s)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	socket := filepath.Join(s.path("state_dir"), serveSock)
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://serve/status", nil)
	if err != nil {
		return serveStatus{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return serveStatus{}, fmt.Errorf("serve runs, but does not answer at %s: %w; run this as root or as Wazuh's user", socket, err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	var now serveStatus
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&now); err != nil {
		return serveStatus{}, fmt.Errorf("serve answers %s at %s: %w", resp.Status, socket, err)
	}
	return now, nil
}

// stopped is the status when no process runs.
func stopped(s *settings) (serveStatus, error) {
	now := onDisk(s)
	now.NotReady = "serve does not run"
	if m, err := newMirror(s); err == nil && now.Policy != policyLive {
		now.Mirror = mirrorStatuses(m)
	}
	at, found, err := alertlog.LoadCheckpoint(filepath.Join(s.path("state_dir"), checkpoint))
	if err != nil || !found || now.Alerts.File == "" {
		return now, err
	}
	now.Alerts.Offset, now.Alerts.SavedAt = at.Offset, at.SavedAt
	f, err := alertlog.Follow(now.Alerts.File, &at)
	if err != nil {
		return now, err
	}
	now.Alerts.BehindBytes = f.Behind(at)
	if now.Alerts.BehindBytes > 0 {
		now.Alerts.BehindSeconds = time.Since(at.SavedAt).Seconds()
	}
	return now, f.Close()
}

func (s serveStatus) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(what, format string, args ...any) {
		fmt.Fprintf(t, "%s\t%s\n", what, cleanCell(fmt.Sprintf(format, args...)))
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
		row("alerts", "only those that integratord hands over")
	} else {
		row("alerts", "%s, %d bytes behind%s", s.Alerts.File, s.Alerts.BehindBytes, behindFor(s.Alerts))
	}
	if s.Running {
		row("read", "%d alerts: %d with values, %d with hits, %d unreadable", s.Counters["alerts_read"], s.Counters["alerts_considered"],
			s.Counters["alerts_matched"], s.Counters["alerts_unreadable"])
		row("sent", "%d events, %d suppressed as sent before, %d failed", s.Counters["events_sent"], s.Counters["events_suppressed"], s.Counters["events_failed"])
	}
	row("MISP", "%s", s.MISP.Description)
	row("queue", "%s", s.Queue)
	row("spool", "%d alerts and %d events held, %d set aside", s.Spool.Alerts, s.Spool.Events, s.Spool.Aside)
	for _, m := range s.Mirror {
		if m.SyncedAt.IsZero() {
			row("mirror "+m.Origin, "%s", cmp.Or(m.Failure, "not synced yet"))
			continue
		}
		row("mirror "+m.Origin, "%d attributes of %d events, %.1f MiB, synced %s ago from %s%s", m.Attributes, m.Events, float64(m.Bytes)/(1<<20),
			time.Duration(m.AgeSeconds*float64(time.Second)).Round(time.Second), m.Place, map[bool]string{true: "; " + m.Failure}[m.Failure != ""])
	}
	if s.Running {
		row("mappings", "%d, loaded %s", s.Configuration.Mappings, s.Configuration.LoadedAt.Format(time.RFC3339))
		if s.Configuration.Failure != "" {
			row("last reload", "failed, what was there stays in force: %s", oneLine(s.Configuration.Failure))
		}
	}
	return t.Flush()
}

func behindFor(a alertsStatus) string {
	if a.BehindBytes == 0 {
		return ""
	}
	return fmt.Sprintf(", the last one done is %s old", time.Duration(a.BehindSeconds*float64(time.Second)).Round(time.Second))
}

// age returns how old the last alert that is done is, in seconds.
func (c *checkpoints) age(now time.Time) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, err := time.Parse("2006-01-02T15:04:05.999-0700", gjson.GetBytes(c.alert, "timestamp").String())
	if err != nil {
		return 0
	}
	return max(0, now.Sub(at).Seconds())
}
