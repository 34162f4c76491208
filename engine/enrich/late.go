package enrich

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"custom-misp/engine/enrich/spool"
	"custom-misp/misp"
)

// This file has alerts wait for one of several MISP servers. What the others know is reported at once. An entry of the spool
// names the servers that are still to be asked, and what of the alert was reported, so that the same event of two servers is
// reported once.

// A ServerOutage is the record of the outages of one of several servers.
type ServerOutage struct {
	Name   string
	Outage OutageFile
}

// ServerOutages returns the records of all MISP servers; of the only one under the name "misp".
func (q *QueueingPipeline) ServerOutages() []ServerOutage {
	if len(q.Outages) == 0 {
		return []ServerOutage{{misp.OriginServer, q.MISP}}
	}
	return q.Outages
}

// outageOf returns the record of a server, which may have none.
func (q *QueueingPipeline) outageOf(name string) OutageFile {
	for _, o := range q.ServerOutages() {
		if o.Name == name {
			return o.Outage
		}
	}
	return OutageFile{}
}

// Unreachable reports whether no MISP server answered the last question.
func (q *QueueingPipeline) Unreachable() bool {
	for _, s := range q.ServerOutages() {
		if o, err := s.Outage.Load(); err != nil || !o.Unreachable() {
			return false
		}
	}
	return true
}

// answeredBefore reports whether a server is known to answer again after an outage.
func (q *QueueingPipeline) answeredBefore() bool {
	return slices.ContainsFunc(q.ServerOutages(), func(s ServerOutage) bool {
		o, err := s.Outage.Load()
		return err == nil && !o.Answered.IsZero()
	})
}

// A reportedSet is what was reported of an alert: for each match a key of its value and its MISP event.
type reportedSet map[uint64]bool

// reportedKey returns the key of a match. Servers have the same event, and the same attribute, under the same UUID.
func reportedKey(m Match) uint64 {
	i := m.Observable.Indicator()
	of := "event\x00" + m.Attribute.Event.UUID
	switch {
	case m.Attribute.Event.UUID != "":
	case m.Attribute.UUID != "":
		of = "attribute\x00" + m.Attribute.UUID
	default:
		of = m.Attribute.Origin + "\x00" + m.Attribute.ID + "\x00" + m.Attribute.Value
	}
	return xxhash.Sum64String(fmt.Sprintf("%v\x00%s", i, of))
}

// lateAlert is the content of an entry for some servers, version 2.
type lateAlert struct {
	Alert    json.RawMessage `json:"alert"`
	Reported []string        `json:"reported,omitempty"` // keys, in hex
}

// encodeLate returns the content of the entry of a job: reported is what was, and what is to be now.
func encodeLate(j *job) ([]byte, error) {
	keys := maps.Clone(j.reported)
	if keys == nil {
		keys = reportedSet{}
	}
	for _, m := range j.matches {
		keys[reportedKey(m)] = true
	}
	l := lateAlert{Alert: j.alert.JSON}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		l.Reported = append(l.Reported, strconv.FormatUint(k, 16))
	}
	return json.Marshal(l)
}

// decodeLate reads the content of an entry for some servers.
func decodeLate(data []byte) (Alert, reportedSet, error) {
	var l lateAlert
	if err := json.Unmarshal(data, &l); err != nil {
		return Alert{}, nil, fmt.Errorf("not an alert that waits for a server: %w", err)
	}
	reported := reportedSet{}
	for _, text := range l.Reported {
		k, err := strconv.ParseUint(text, 16, 64)
		if err != nil {
			return Alert{}, nil, errors.New("not an alert that waits for a server: what was reported is not readable")
		}
		reported[k] = true
	}
	a, err := ParseAlert(l.Alert)
	return a, reported, err
}

// unreported returns the matches of a late look-up that say more than what was reported before.
func (j *job) unreported() []Match {
	return slices.DeleteFunc(j.matches, func(m Match) bool { return j.reported[reportedKey(m)] })
}

// waitFor queues an alert for the servers that did not answer, before anything of it is sent: whoever is killed in between
// sends it again rather than never. An error says that they are never asked.
func (q *QueueingPipeline) waitFor(ctx context.Context, j *job) error {
	if j.unasked == nil {
		return nil
	}
	why, a := j.unasked, j.described()
	dropped, err := q.putFor(why.Servers(), j)
	if err != nil {
		err = fmt.Errorf("%w; they are not asked later either: %w", why, err)
		q.Report(ctx, a, err)
		return err
	}
	q.reportDropped(ctx, a, dropped)
	for i, f := range why.Failures {
		if i > 0 {
			dropped = 0
		}
		outage := q.outageOf(f.Server)
		o := outage.queued(1, dropped)
		level := slog.LevelDebug
		if o.Queued <= 1 { // the first of an outage
			level = slog.LevelWarn
		}
		q.log().Log(ctx, level, "alert queued until a server answers", "alert_id", a.Source.AlertID, "server", f.Server, "reason", f.Err.Error(), "queued", o.Queued)
		if o.Unreachable() && outage.wantsReport(o) {
			q.reportOutage(ctx, a, ServerOutage{f.Server, outage}, f.Err)
		}
	}
	return nil
}

// putFor puts an alert into the spool for some servers.
func (q *QueueingPipeline) putFor(servers []string, j *job) (dropped int, err error) {
	data, err := encodeLate(j)
	switch {
	case err != nil:
	case q.Spool == nil:
		err = errors.New("spool: there is none")
	default:
		dropped, err = q.Spool.PutFor(spool.Delayed, servers, data)
	}
	if err != nil {
		return dropped, &Trouble{Code: CodeSpool, Err: err}
	}
	return dropped, nil
}

// forServer returns a pipeline for alerts that wait for one server alone.
func (q *QueueingPipeline) forServer(of ServerOutage) *QueueingPipeline {
	one := &QueueingPipeline{
		Pipeline: q.Pipeline, Spool: q.Spool, MISP: of.Outage, Queue: q.Queue, Sightings: q.Sightings, Log: q.Log,
		Reserve: q.Reserve, DrainTime: q.DrainTime, Meanwhile: q.Meanwhile, Faults: q.Faults, Settle: q.Settle, Cut: q.Cut,
	}
	asked := q.asked()
	if q.Whole != nil {
		asked = q.Whole
	}
	one.Lookup, one.delayed = askingOnly{asked, of.Name}, true
	return one
}

// lookUpServers looks alerts up that wait for one of several servers, one server after the other: then no event is about more
// than one of them. It ends the outages of those that nothing waits for any more. While a server is unreachable, this is left to
// a round that no alert waits for.
func (d *drainer) lookUpServers(ctx context.Context) (all bool) {
	all = true
	for _, s := range d.ServerOutages() {
		if d.over() {
			return false
		}
		if o, err := s.Outage.Load(); err == nil && o.Unreachable() && !d.probe {
			all = false
			continue
		}
		l := drainer{
			QueueingPipeline: d.forServer(s), kind: spool.Delayed, server: s.Name, spool: d.spool, round: d.round, done: d.done, found: d.found,
		}
		done := l.lookUpAlerts(ctx) && !d.waits(s)
		d.done, d.found = l.done, l.found
		all = all && done
		if done && len(d.Outages) > 0 {
			d.endOf(ctx, s)
		}
	}
	return all
}

// waits reports whether an alert waits for a server that had an outage. One that was put back does.
func (d *drainer) waits(s ServerOutage) bool {
	if o, err := s.Outage.Load(); err != nil || !o.Lasts() {
		return false
	}
	count, err := d.Spool.DepthFor(spool.Delayed)
	d.note(err)
	return count[s.Name] > 0
}

// passOn puts an alert back for the servers that are still to be asked; nothing if there are none.
func (d *drainer) passOn(a queuedAlert) error {
	left := slices.DeleteFunc(a.entry.For(), func(name string) bool { return name == d.server })
	if len(left) == 0 {
		return nil
	}
	_, err := d.putFor(left, a.job)
	return err
}
