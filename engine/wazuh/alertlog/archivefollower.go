package alertlog

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/tidwall/gjson"
)

// With <logall_json>, analysisd writes every event into archives.json, and those that raised an alert into alerts.json as
// well. What is known of the two files, from analysisd's source of 4.0 to 4.14:
//
//   - An event that matched a rule of a level above 0 has that rule in both files; another one has none. Whether it goes into
//     alerts.json depends on the rule alone. So of two events with the same rule both are in alerts.json, or neither is.
//   - The id of a line is the second of the event and the place that the last alert has in alerts.log. So it is not the same
//     in both files, and several events of archives.json have the same one.
//   - Two threads write the files, each from a queue of its own. An alert is put into its queue first, and the queue with
//     alerts is the shorter one. Both files are flushed once a second.

const (
	// settle is how long the alert of an event may come after the event: far above the second after which analysisd flushes.
	settle = 5 * time.Second
	// ahead is how much later than an event an alert was taken that cannot be in front of the alert of the event.
	ahead = 30 * time.Second
	// remember is how much older than all events an alert is that need not be known, and maxRemembered how many alerts of a time
	// are known, at most.
	remember      = time.Minute
	maxRemembered = 1 << 19
)

// An ArchiveFollower reads archives.json like a [Follower], but leaves out the events that are in alerts.json as well: it reads
// that file in step. So a line that has a rule, and no alert yet, waits for up to about ten seconds; a line without a rule waits
// for those before it only. [FollowArchive] makes one. It knows the alerts of the last minute or two, at most 2^20: where Wazuh
// raises more, events may come although they are in alerts.json. It starts no goroutine. Its methods are for one goroutine,
// except [ArchiveFollower.Behind].
type ArchiveFollower struct {
	events  *Follower
	alerts  *Follower // nil if no event is left out
	log     *slog.Logger
	pending *Lines // what waits, if [ArchiveFollower.Next] was interrupted

	newest time.Time // of all events that were read
	oldest time.Time // of those that were read last
	// unread is how many bytes of events were in the file at a time, behind what was read since.
	unread int64
	at     time.Time

	known    [2]map[uint64]struct{} // the alerts of this time and of the one before
	starts   [2]Checkpoint          // where each of them begins in alerts.json
	began    time.Time              // when this time began
	latest   time.Time              // of the last chunk of alerts that was read
	reported string                 // an error that was logged
}

// FollowArchive begins to read events. path is Wazuh's logs/archives/archives.json, alerts its logs/alerts/alerts.json; empty
// for a manager of which no alert is read: then no event is left out. from is where to go on, nil for the end of the file, or
// its start with [FromStart]; see [Follow]. A checkpoint without a place in alerts.json is one for which only alerts that come
// later are known.
func FollowArchive(path, alerts string, from *Checkpoint, options ...Option) (*ArchiveFollower, error) {
	set := settings{log: slog.New(slog.DiscardHandler)}
	for _, o := range options {
		o(&set)
	}
	events, err := Follow(path, from, options...)
	if err != nil {
		return nil, err
	}
	a := &ArchiveFollower{events: events, log: set.log}
	if alerts == "" {
		return a, nil
	}
	var place *Checkpoint
	if from != nil {
		place = from.Alerts
	}
	if a.alerts, err = Follow(alerts, place, options...); err != nil {
		_ = events.Close()
		return nil, err
	}
	a.known = [2]map[uint64]struct{}{{}, {}}
	a.starts = [2]Checkpoint{a.alerts.At(), a.alerts.At()}
	return a, nil
}

// Next is [Follower.Next] without the events that are in alerts.json. Lines without any text say up to where there are only
// such. If alerts.json cannot be read, that is logged, and events are returned without knowing of their alerts.
func (a *ArchiveFollower) Next(ctx context.Context) (Lines, error) {
	if a.pending == nil {
		lines, err := a.events.Next(ctx)
		if err != nil {
			return Lines{}, err
		}
		a.pending = &lines
		a.count(lines)
	}
	lines := *a.pending
	if a.alerts != nil {
		var err error
		if lines.Text, lines.Offsets, err = a.withoutAlerts(ctx, lines.Text, lines.Offsets); err != nil {
			return Lines{}, err
		}
	}
	a.pending = nil
	lines.End = a.withAlerts(lines.End)
	return lines, nil
}

// At is [Follower.At].
func (a *ArchiveFollower) At() Checkpoint { return a.withAlerts(a.events.At()) }

// Behind is [Follower.Behind], of archives.json.
func (a *ArchiveFollower) Behind(c Checkpoint) int64 { return a.events.Behind(c) }

// Close is [Follower.Close].
func (a *ArchiveFollower) Close() error {
	err := a.events.Close()
	if a.alerts != nil {
		err = errors.Join(err, a.alerts.Close())
	}
	return err
}

// withAlerts adds to a place in archives.json where to begin in alerts.json.
func (a *ArchiveFollower) withAlerts(c Checkpoint) Checkpoint {
	if a.alerts != nil {
		c.Alerts = new(a.starts[1])
	}
	return c
}

// count notes that lines were read. They were written before the time of the last look at the size of the file if they were in
// it then, else before now.
func (a *ArchiveFollower) count(l Lines) {
	a.unread -= int64(l.Skipped) * (maxLine + 1)
	for _, text := range l.Text {
		a.unread -= int64(len(text)) + 1
	}
	if a.unread < 0 {
		a.unread, a.at = a.events.Behind(l.End), time.Now()
	}
}

// withoutAlerts returns the events that are not in alerts.json, with their offsets. The error is that of ctx.
func (a *ArchiveFollower) withoutAlerts(ctx context.Context, events [][]byte, offsets []int64) (kept [][]byte, at []int64, err error) {
	keys := make([]uint64, len(events))
	oldest, newest := "", ""
	for i, text := range events {
		var at string
		at, keys[i] = keyOfEvent(text)
		newest = max(newest, at)
		if oldest == "" || at != "" && at < oldest {
			oldest = at
		}
	}
	if t, ok := parseTime(newest); ok && t.After(a.newest) {
		a.newest = t
	}
	if t, ok := parseTime(oldest); ok {
		a.oldest = t
	}
	if err := a.readAlerts(ctx, keys); err != nil {
		return nil, nil, err
	}
	for i, text := range events {
		if keys[i] == 0 || !a.isAlert(keys[i]) {
			kept, at = append(kept, text), append(at, offsets[i])
		}
	}
	return kept, at, nil
}

// readAlerts reads alerts until those of all events were read, or an alert of one that has none yet can no longer come.
func (a *ArchiveFollower) readAlerts(ctx context.Context, keys []uint64) error {
	for wait := minWait; ; {
		for len(keys) > 0 && (keys[0] == 0 || a.isAlert(keys[0])) {
			keys = keys[1:]
		}
		if err := ctx.Err(); err != nil || len(keys) == 0 || !a.newest.IsZero() && a.latest.Sub(a.newest) >= ahead {
			return err
		}
		settled := time.Since(a.at) >= settle // before the look whether there is more
		more, err := a.readSome()
		if err != nil && err.Error() != a.reported {
			a.reported = err.Error()
			a.log.Error("alerts cannot be read: events of archives.json may be reported a second time", "error", a.reported)
		}
		switch {
		case more:
			wait = minWait
			continue
		case settled:
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		wait = min(wait*3/2, maxWait)
	}
}

// isAlert reports whether an alert has the key of an event.
func (a *ArchiveFollower) isAlert(key uint64) bool {
	for _, known := range a.known {
		if _, ok := known[key]; ok {
			return true
		}
	}
	return false
}

// readSome reads some alerts. more says that there may be further ones now.
func (a *ArchiveFollower) readSome() (more bool, err error) {
	before := a.alerts.At()
	lines, more, err := a.alerts.step()
	if len(lines.Text) == 0 {
		return more, err
	}
	newest := ""
	keys := make([]uint64, 0, len(lines.Text))
	for _, text := range lines.Text {
		at, key := keyOfEvent(text)
		newest = max(newest, at)
		keys = append(keys, key)
	}
	if t, ok := parseTime(newest); ok {
		a.latest = t
		if a.began.IsZero() {
			a.began = t
		}
	}
	if a.oldest.Sub(a.began) >= remember || len(a.known[0])+len(keys) > maxRemembered {
		a.known = [2]map[uint64]struct{}{{}, a.known[0]}
		a.starts = [2]Checkpoint{before, a.starts[0]}
		a.began = a.latest
	}
	for _, key := range keys {
		a.known[0][key] = struct{}{}
	}
	delete(a.known[0], 0)
	return more, err
}

// keyOfEvent returns the time of an event and a key that is the same for its line in both files: of its time, agent and rule.
// The key is 0 for an event without a rule, which has no alert. analysisd writes these members first, so
// that little of an alert has to be read. at may be empty.
func keyOfEvent(line []byte) (at string, key uint64) {
	var rule, agent string
	found := 0
	gjson.ParseBytes(line).ForEach(func(name, v gjson.Result) bool {
		switch name.Str {
		case "timestamp":
			at = v.Str
			found++
		case "rule":
			rule = v.Get("id").String()
			found++
		case "agent":
			agent = v.Get("id").String()
			found++
		}
		return found < 3
	})
	if rule == "" {
		return at, 0
	}
	var text [128]byte
	b := append(text[:0], at...)
	b = append(append(b, 0), rule...)
	b = append(append(b, 0), agent...)
	return at, max(1, xxhash.Sum64(b))
}

// parseTime reads a time as Wazuh writes it; false for another text.
func parseTime(s string) (time.Time, bool) {
	t, err := time.Parse("2006-01-02T15:04:05.999-0700", s)
	return t, err == nil
}
