package serve

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/history"
	"custom-misp/engine/wazuh/alertlog"
)

const (
	// historyQueue is how many batches of alerts wait to be recorded, of up to 256 KiB each; further ones are dropped.
	historyQueue = 32
	historyEvery = time.Second // a commit
	historyTidy  = 10 * time.Minute
	historyRetry = time.Minute // to open a history that cannot be opened
	historyGrace = 2 * time.Second
)

// A recorder records what was picked, off the path of alerts. A nil recorder does nothing.
type recorder struct {
	config  *config.Config
	log     *slog.Logger
	metrics *metricSet
	queue   chan pickedBatch
	read    app.HistoryReader             // of the one who records
	store   atomic.Pointer[history.Store] // nil while it cannot be opened
	failure atomic.Pointer[string]        // why
}

// pickedBatch is a batch of alerts that is done.
type pickedBatch struct {
	file    string // that the alerts are in
	place   history.Place
	offsets []int64
	alerts  []enrich.Picked
}

// newRecorder opens the history; nil if the site keeps none. One that cannot be opened is tried again later.
func newRecorder(c *config.Config, m *metricSet, log *slog.Logger) *recorder {
	if !c.History.Enabled {
		return nil
	}
	r := &recorder{config: c, log: log, metrics: m, queue: make(chan pickedBatch, historyQueue)}
	r.open(context.Background())
	return r
}

func (r *recorder) open(ctx context.Context) {
	s, err := history.Open(ctx, app.HistoryOptions(r.config, r.log))
	if err != nil {
		if why := err.Error(); r.failure.Swap(&why) == nil {
			r.log.Error("the history cannot be opened and records nothing; it is tried again every minute", "error", why)
		}
		return
	}
	r.failure.Store(nil)
	r.store.Store(s)
}

// seen returns what answers what was seen of a value; nil without a history.
func (r *recorder) seen() app.Seen {
	if r == nil {
		return nil
	}
	return func(i engine.Indicator) (history.Entry, bool) {
		if s := r.store.Load(); s != nil {
			e, _ := s.Get(i)
			return e, true
		}
		return history.Entry{}, false
	}
}

// picked returns what is called with the alerts of a batch of lines, which begin behind a place; nil for no call.
func (r *recorder) picked(path string, begin alertlog.Checkpoint, lines alertlog.Lines) func([]enrich.Picked) {
	if r == nil {
		return nil
	}
	return func(alerts []enrich.Picked) {
		b := pickedBatch{file: path, place: placeOf(begin, lines.End), offsets: lines.Offsets, alerts: alerts}
		if lines.End.File != "" { // this name stays when the file is no longer alerts.json
			b.file = filepath.Join(filepath.Dir(path), lines.End.File)
		}
		select {
		case r.queue <- b:
		default:
			r.metrics.historyAlerts("dropped").Add(len(alerts))
		}
	}
}

// placeOf returns the part of a file that lines are from. In its first 4 KiB a file has another name than later.
func placeOf(begin, end alertlog.Checkpoint) history.Place {
	name := end.PrefixSHA256
	if end.PrefixLength < history.PrefixLength {
		name = end.File + " " + strconv.FormatUint(end.Inode, 10)
	}
	p := history.Place{File: name, End: end.Offset}
	if begin.File == end.File && begin.Inode == end.Inode && begin.Offset <= end.Offset {
		p.Begin = begin.Offset
	}
	return p
}

// run records until ctx ends, and then what is in the queue.
func (r *recorder) run(ctx context.Context) error {
	if r == nil {
		return nil
	}
	commit, tidy, retry := time.NewTicker(historyEvery), time.NewTicker(historyTidy), time.NewTicker(historyRetry)
	defer commit.Stop()
	defer tidy.Stop()
	defer retry.Stop()
	reported := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case b := <-r.queue:
			r.record(b)
		case <-commit.C:
			if s := r.store.Load(); s != nil {
				reported = r.commit(s, reported)
			}
		case <-tidy.C:
			if s := r.store.Load(); s != nil {
				s.Tidy()
			}
		case <-retry.C:
			if r.store.Load() == nil {
				r.open(ctx)
			}
		}
	}
}

// commit writes the last second. It returns what it has reported.
func (r *recorder) commit(s *history.Store, reported string) string {
	err := s.Commit()
	if err == nil {
		return ""
	}
	if err.Error() != reported {
		r.log.Error("the history cannot be written; what it has in memory is tried again", "error", err.Error())
	}
	return err.Error()
}

// close records what is in the queue, and ends.
func (r *recorder) close() {
	if r == nil {
		return
	}
	for left := time.Now().Add(historyGrace); len(r.queue) > 0 && time.Now().Before(left); {
		r.record(<-r.queue)
	}
	if s := r.store.Swap(nil); s != nil {
		if err := s.Close(); err != nil {
			r.log.Error("the history was not closed in good order; the next start reads its journal", "error", err.Error())
		}
	}
}

// record records a batch, without what was recorded before a restart.
func (r *recorder) record(b pickedBatch) {
	s := r.store.Load()
	if s == nil {
		r.metrics.historyAlerts("stopped").Add(len(b.alerts))
		return
	}
	from := s.At(b.place.File)
	list := make([]history.Seen, 0, len(b.alerts))
	for _, p := range b.alerts {
		if at := b.offsets[p.Line]; at >= from {
			list = append(list, history.Seen{Alert: r.read.Alert(p.JSON, b.file, at), Observables: p.Observables})
		}
	}
	result := "stopped"
	if s.Record(list, b.place) {
		result = "recorded"
	}
	r.metrics.historyAlerts(result).Add(len(list))
}

// status says how the history is; nil without one.
func (r *recorder) status() *HistoryStatus {
	if r == nil {
		return nil
	}
	h := &HistoryStatus{
		Waiting: len(r.queue), Recorded: r.metrics.historyAlerts("recorded").Get(), Dropped: r.metrics.historyAlerts("dropped").Get(),
		Missed: r.metrics.historyAlerts("stopped").Get(),
	}
	s := r.store.Load()
	if s == nil {
		if why := r.failure.Load(); why != nil {
			h.Stopped = cli.Clean("it cannot be opened: " + *why)
		}
		return h
	}
	h.size(s.Size())
	h.Stopped = cli.Clean(s.Stopped())
	if err := s.Fault(); err != nil {
		h.Fault = cli.Clean(err.Error())
	}
	return h
}

func (h *HistoryStatus) size(z history.Size) {
	h.Bytes, h.Values = z.Bytes, z.Entries
	if !z.First.IsZero() {
		h.Since = z.First.Format(time.DateOnly)
	}
}

// historyOnDisk says how the history is while serve does not run; nil if there is none.
func historyOnDisk(c *config.Config) *HistoryStatus {
	if !c.History.Enabled {
		return nil
	}
	h := &HistoryStatus{}
	v, err := history.OpenView(app.StateOf(c).History())
	if err != nil {
		h.Fault = cli.Clean(err.Error())
		return h
	}
	defer v.Close()
	h.size(v.Size())
	if err := v.Fault(); err != nil {
		h.Fault = cli.Clean(err.Error())
	}
	return h
}

// Describe is the history in words.
func (h *HistoryStatus) Describe() string {
	text := fmt.Sprintf("%d values of a day, %.1f MiB, since %s", h.Values, float64(h.Bytes)/(1<<20), cmp.Or(h.Since, "today"))
	if h.Dropped > 0 {
		text += fmt.Sprintf("; %d alerts dropped, as the queue was full", h.Dropped)
	}
	return text
}
