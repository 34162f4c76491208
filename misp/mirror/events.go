package mirror

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"custom-misp/engine/enrich"
	"custom-misp/misp/api"
)

// settling is how long an event is not trusted to be as it was read: MISP counts its times in seconds, so what is changed
// later in the same second moves nothing.
const settling = 2 * time.Second

// versionOf returns what a list says of an event's last change: its time, and its counter of attributes if the list has it.
// It is empty if the event was changed just now, by the clock of the list: then it is read again later.
func versionOf(e api.IndexedEvent, clock time.Time) string {
	at, err := strconv.ParseInt(e.Timestamp, 10, 64)
	if err != nil || !clock.IsZero() && time.Unix(at, 0).After(clock.Add(-settling)) && time.Unix(at, 0).Before(clock.Add(settling)) {
		return ""
	}
	if e.Attributes < 0 {
		return e.Timestamp
	}
	return e.Timestamp + " " + strconv.Itoa(e.Attributes)
}

// unchanged reports whether an event is as it was at a version.
func unchanged(version string, e api.IndexedEvent) bool {
	at, counted, has := strings.Cut(version, " ")
	return at == e.Timestamp && at != "" && (!has || e.Attributes < 0 || counted == strconv.Itoa(e.Attributes))
}

// changedAt returns the time of a version, in seconds; 0 for none.
func changedAt(version string) int64 {
	at, _, _ := strings.Cut(version, " ")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return 0
	}
	return seconds
}

// A target is an event that is to be read.
type target struct {
	api.IndexedEvent
	Version string // see versionOf
	Size    int    // how many attributes it may have
	Gone    bool   // it is not in the list of events
}

const (
	groupEvents = 500     // that are read together, at most
	pageBytes   = 8 << 20 // of an answer, about: with longer texts, fewer attributes are asked for
	leastRows   = 40      // that are asked for at once
	guessedSize = 100     // of an event that no list counts
)

// A reader reads the attributes of events in groups that fit on a page; an event that does not fit is read by pages of its
// own.
type reader struct {
	server *Server
	syncer *Syncer
	limit  int // attributes that are asked for at once
	pages  int // read so far
}

func newReader(s *Server, y *Syncer) reader { return reader{server: s, syncer: y, limit: api.PageSize} }

// A sink takes what was read of a group of events: all of it at once, or page by page if it is one event.
type sink func(group []target, page api.Page) error

// read reads events. like says what is read of them, and where to begin.
func (r *reader) read(ctx context.Context, todo []target, like func(group []target) api.Reading, do sink) error {
	todo = slices.Clone(todo)
	for most := groupEvents; len(todo) > 0; {
		n, rows := 1, todo[0].Size
		for n < min(len(todo), most) && rows+todo[n].Size < r.limit {
			rows += todo[n].Size
			n++
		}
		fits, err := r.group(ctx, todo[:n], like, do)
		if err != nil {
			return err
		}
		if !fits { // so the sizes were guessed too low
			most = n / 2
			for i := range todo {
				todo[i].Size = max(todo[i].Size, todo[i].Attributes)
			}
			continue
		}
		most, todo = groupEvents, todo[n:]
	}
	return nil
}

// group reads some events. It returns false, and does nothing, if they do not fit on a page and have to be read in smaller
// groups.
func (r *reader) group(ctx context.Context, group []target, like func(group []target) api.Reading, do sink) (fits bool, err error) {
	reading := like(group)
	reading.Warninglists, reading.Sightings, reading.Limit = r.server.Warninglists, r.server.Sightings, r.limit
	for _, e := range group {
		reading.Events = append(reading.Events, e.ID)
	}
	for {
		page, err := r.ask(ctx, reading)
		if err != nil {
			return false, err
		}
		if page.More && len(group) > 1 {
			r.limit = min(r.limit, page.Next.Limit)
			return false, nil
		}
		if err := do(group, page); err != nil || !page.More {
			return true, err
		}
		reading = page.Next
		reading.Limit = min(reading.Limit, r.limit)
	}
}

// retryWaits are the waits before a page is asked for again.
var retryWaits = []time.Duration{time.Second, 3 * time.Second, 10 * time.Second}

// ask asks for a page. When MISP fails in the middle of a reading, as while its PHP is restarted, it is asked again.
func (r *reader) ask(ctx context.Context, reading api.Reading) (api.Page, error) {
	for try := 0; ; try++ {
		page, err := r.server.Client.Read(ctx, reading)
		if err == nil {
			r.pages++
			if len(page.Rows) > leastRows {
				r.limit = min(max(pageBytes/(page.Bytes/len(page.Rows)+1), leastRows), api.PageSize)
			}
			return page, nil
		}
		trouble, ok := errors.AsType[*enrich.Trouble](err)
		passes := ok && (trouble.Code == enrich.CodeUnavailable || trouble.Code == enrich.CodeBadAnswer)
		if !passes || r.pages == 0 || try == len(retryWaits) || ctx.Err() != nil {
			return page, err
		}
		r.syncer.log().Info("MISP fails while it is read; trying again", "error", err.Error(), "wait", retryWaits[try].String())
		if err := r.syncer.pause(ctx, retryWaits[try]); err != nil {
			return page, err
		}
	}
}

// pause waits, unless the context ends.
func (y *Syncer) pause(ctx context.Context, d time.Duration) error {
	if y.testOnlyPause != nil {
		y.testOnlyPause(d)
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
