package enrich_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/enrich/spool"
	"custom-misp/misp"
)

// lookup is a look-up by a function.
type lookup func(ctx context.Context, observables []engine.Observable) ([]enrich.Match, error)

func (l lookup) Lookup(ctx context.Context, o []engine.Observable) ([]enrich.Match, error) {
	return l(ctx, o)
}

// known knows every value, by an attribute with the given tags.
func known(tags ...string) lookup {
	return func(_ context.Context, observables []engine.Observable) ([]enrich.Match, error) {
		var matches []enrich.Match
		for i, o := range observables {
			matches = append(matches, enrich.Match{Observable: o, Kind: engine.MatchExact, Attribute: &misp.Attribute{
				Type: string(o.Type), Value: o.Value, Tags: tags, UUID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i),
			}})
		}
		return matches, nil
	}
}

func unreachable(code enrich.Code) lookup {
	return func(context.Context, []engine.Observable) ([]enrich.Match, error) {
		return nil, &enrich.Trouble{Code: code, Err: errors.New("MISP at misp.example.org answered 500"), Remedy: "see its logs"}
	}
}

// bench is a QueueingPipeline with a clock, and a sink that remembers.
type bench struct {
	*enrich.QueueingPipeline
	sink *collected
	now  time.Time
	next int
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{QueueingPipeline: newQueueing(t, t.TempDir(), chance{}), sink: &collected{}, now: time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return b.now }
	b.Spool.Now, b.MISP.Now, b.Queue.Now, b.Faults.Now, b.Circuit.Outage.Now = clock, clock, clock, clock, clock
	b.Sink, b.Faults.Sink = b.sink, b.sink
	return b
}

// logged returns what is logged from now on.
func (b *bench) logged() *bytes.Buffer {
	var log bytes.Buffer
	b.Log = slog.New(slog.NewTextHandler(&log, nil))
	return &log
}

// alert processes the next alert and returns the events of it, shortened: "hit ID", "error CODE", "recovered CODE".
func (b *bench) alert(t testing.TB, l enrich.Lookup) []string {
	t.Helper()
	b.now = b.now.Add(time.Second)
	b.next++
	b.Circuit.Asked = l
	before := len(b.sink.events)
	if _, err := b.Process(context.Background(), numbered(t, b.next)); err != nil {
		t.Fatal(err)
	}
	return short(b.sink.events[before:])
}

func short(events []string) []string {
	out := []string{}
	for _, e := range events {
		field := func(name string) string {
			_, rest, ok := strings.Cut(e, `"`+name+`":"`)
			value, _, _ := strings.Cut(rest, `"`)
			if !ok {
				return ""
			}
			return value
		}
		switch {
		case field("error") != "":
			out = append(out, "error "+field("error"))
		case field("recovered") != "":
			out = append(out, fmt.Sprintf("recovered %s queued %s processed %s", field("recovered"), field("held"), field("processed")))
		default:
			out = append(out, "hit "+field("alert_id"))
		}
	}
	return out
}

func expect(t *testing.T, what string, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestOutageIsReportedOnce(t *testing.T) {
	b := newBench(t)
	none := []string{}
	expect(t, "first", []string{"error misp_unavailable"}, b.alert(t, unreachable(enrich.CodeUnavailable)))
	expect(t, "second", none, b.alert(t, unreachable(enrich.CodeUnavailable)))
	expect(t, "of another kind", []string{"error misp_unauthorized"}, b.alert(t, unreachable(enrich.CodeUnauthorized)))
	expect(t, "of the first kind again", none, b.alert(t, unreachable(enrich.CodeUnavailable)))
	expect(t, "back", []string{"hit 5", "hit 1", "hit 2", "hit 3", "hit 4", "recovered misp_unavailable queued 4 processed 4"}, b.alert(t, known()))
	expect(t, "afterwards", []string{"hit 6"}, b.alert(t, known()))

	// It is flapping: reported again only if it is still unreachable when five minutes are over, or for another reason.
	expect(t, "unreachable again", none, b.alert(t, unreachable(enrich.CodeUnavailable)))
	expect(t, "reachable again", []string{"hit 8", "hit 7"}, b.alert(t, known()))
	expect(t, "unreachable for long", none, b.alert(t, unreachable(enrich.CodeUnavailable)))
	b.now = b.now.Add(5 * time.Minute)
	expect(t, "still unreachable", []string{"error misp_unavailable"}, b.alert(t, unreachable(enrich.CodeUnavailable)))
	expect(t, "reachable at last", []string{"hit 11", "hit 9", "hit 10", "recovered misp_unavailable queued 2 processed 2"}, b.alert(t, known()))

	var event string
	for _, e := range b.sink.events {
		if strings.Contains(e, `"error"`) {
			event = e
			break
		}
	}
	for _, part := range []string{
		`"error":"misp_unavailable"`, `"description":"MISP at misp.example.org answered 500; see its logs; alerts are queued in `, `"alert_id":"1"`,
	} {
		if !strings.Contains(event, part) {
			t.Errorf("the event does not say %s: %s", part, event)
		}
	}
}

// TestPatience watches how long a look-up may take, and how often it may try.
func TestPatience(t *testing.T) {
	b := newBench(t)
	var limit time.Duration
	var once bool
	watch := func(inner enrich.Lookup) lookup {
		return func(ctx context.Context, o []engine.Observable) ([]enrich.Match, error) {
			deadline, _ := ctx.Deadline()
			limit, once = time.Until(deadline), enrich.OneTry(ctx)
			return inner.Lookup(ctx, o)
		}
	}
	const quick = 300 * time.Millisecond
	b.alert(t, watch(unreachable(enrich.CodeUnavailable)))
	if limit <= quick || once {
		t.Errorf("the first alert had %s, once: %t", limit, once)
	}
	b.alert(t, watch(unreachable(enrich.CodeUnavailable)))
	if limit > quick || !once {
		t.Errorf("the second alert had %s, once: %t", limit, once)
	}
	b.now = b.now.Add(30 * time.Second)
	b.alert(t, watch(unreachable(enrich.CodeUnavailable)))
	if limit <= quick || !once {
		t.Errorf("after half a minute an alert had %s, once: %t", limit, once)
	}
	b.alert(t, watch(unreachable(enrich.CodeUnavailable)))
	if limit > quick {
		t.Errorf("the next alert had %s", limit)
	}
	b.alert(t, known())
	b.alert(t, watch(known()))
	if limit <= quick || once {
		t.Errorf("an alert after the outage had %s, once: %t", limit, once)
	}
}

// TestReserve keeps time of a call back for what comes after the look-up, but no more than a quarter.
func TestReserve(t *testing.T) {
	for reserve, want := range map[time.Duration]time.Duration{0: 8 * time.Second, time.Second: 7 * time.Second, time.Minute: 6 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			q := newQueueing(t, t.TempDir(), chance{})
			q.Reserve, q.Circuit.Asked = reserve, &oracle{takes: time.Hour}
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
			defer cancel()
			began := time.Now()
			r, err := q.Process(ctx, numbered(t, 1))
			must(t, err)
			if took := time.Since(began); took != want || !r.Queued {
				t.Errorf("with a reserve of %s it took %s, queued %t", reserve, took, r.Queued)
			}
		})
	}
}

// TestRetryAfter honours Retry-After, for at most a minute.
func TestRetryAfter(t *testing.T) {
	b := newBench(t)
	asked := 0
	limited := lookup(func(context.Context, []engine.Observable) ([]enrich.Match, error) {
		asked++
		return nil, &enrich.Trouble{Code: enrich.CodeRateLimited, Err: errors.New("rate limit"), Wait: 15 * time.Minute, Answered: true}
	})
	expect(t, "first", []string{"error misp_rate_limited"}, b.alert(t, limited))
	for range 3 {
		expect(t, "later", []string{}, b.alert(t, limited))
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	b.now = b.now.Add(time.Minute)
	expect(t, "after a minute", []string{"hit 5", "hit 1", "hit 2", "hit 3", "hit 4", "recovered misp_rate_limited queued 4 processed 4"}, b.alert(t, known()))
}

// TestRejected queues an alert that MISP never answers: the others are processed, and it becomes a dead letter.
func TestRejected(t *testing.T) {
	b := newBench(t)
	picky := lookup(func(ctx context.Context, observables []engine.Observable) ([]enrich.Match, error) {
		if slices.ContainsFunc(observables, func(o engine.Observable) bool { return o.Value == "192.31.196.3" }) { // of alert 2
			return nil, &enrich.Trouble{Code: enrich.CodeRejected, Err: errors.New("answered 405")}
		}
		return known()(ctx, observables)
	})
	for range 4 {
		b.alert(t, unreachable(enrich.CodeUnavailable))
	}
	var after []string
	for range 8 {
		after = append(after, b.alert(t, picky)...)
	}
	slices.Sort(after)
	want := []string{
		"error alert_set_aside", "hit 1", "hit 10", "hit 11", "hit 12", "hit 3", "hit 4", "hit 5", "hit 6", "hit 7", "hit 8", "hit 9",
		"recovered misp_rejected queued 4 processed 3",
	}
	expect(t, "events", want, after)
	letters, err := b.Spool.DeadLetters()
	if err != nil || len(letters) != 1 || letters[0].Reason != "tried 5 times: answered 405" {
		t.Errorf("dead letters: %+v, %v", letters, err)
	}
}

func TestQueueUnreachable(t *testing.T) {
	b := newBench(t)
	b.sink.err = &enrich.Trouble{Code: enrich.CodeQueue, Err: errors.New("no such file")}
	expect(t, "while it is unreachable", []string{}, append(b.alert(t, known()), b.alert(t, known())...))
	if depth, err := b.Spool.Depth(); err != nil || depth.Events != 2 {
		t.Errorf("depth %+v, %v", depth, err)
	}
	b.sink.err = nil
	expect(t, "when it is reachable again", []string{"hit 3", "hit 1", "hit 2", "recovered wazuh_queue queued 2 processed 2"}, b.alert(t, known()))
	expect(t, "afterwards", []string{"hit 4"}, b.alert(t, known()))
}

// TestSpoolFull queues more than fits: the oldest are dropped. The log says so each time, an event once, and the record of
// the outage and the event about its end say how many.
func TestSpoolFull(t *testing.T) {
	b := newBench(t)
	log := b.logged()
	b.Spool.MaxEntries = 3
	var events []string
	for range 6 {
		events = append(events, b.alert(t, unreachable(enrich.CodeUnavailable))...)
	}
	expect(t, "reported", []string{"error misp_unavailable", "error spool_full"}, events)
	full := b.sink.events[len(b.sink.events)-1]
	if want := b.Spool.Path + " is full (3 entries or "; !strings.Contains(full, want) || !strings.Contains(full, `"alert_id":"4"`) {
		t.Errorf("event %s", full)
	}
	if n := strings.Count(log.String(), `msg="spool is full, the oldest entries were dropped" dropped=1`); n != 3 {
		t.Errorf("logged %d times: %s", n, log)
	}
	if o, err := b.MISP.Load(); err != nil || o.Queued != 6 || o.Dropped != 3 {
		t.Errorf("outage %+v, %v", o, err)
	}
	expect(t, "back", []string{"hit 7", "hit 4", "hit 5", "hit 6", "recovered misp_unavailable queued 6 processed 3"}, b.alert(t, known()))
	last := b.sink.events[len(b.sink.events)-1]
	for _, part := range []string{`"dropped":"3"`, "; 3 were dropped because the spool was full"} {
		if !strings.Contains(last, part) {
			t.Errorf("the end says %s", last)
		}
	}
}

// TestSpoolFullOfEvents queues more events than fit.
func TestSpoolFullOfEvents(t *testing.T) {
	b := newBench(t)
	log := b.logged()
	b.Spool.MaxEntries = 3
	b.sink.err = &enrich.Trouble{Code: enrich.CodeQueue, Err: errors.New("no such file")}
	for range 5 {
		b.alert(t, known())
	}
	if n := strings.Count(log.String(), "spool is full, the oldest entries were dropped"); n != 2 {
		t.Errorf("logged %d times: %s", n, log)
	}
	if o, err := b.Queue.Load(); err != nil || o.Queued != 5 || o.Dropped != 2 {
		t.Errorf("outage %+v, %v", o, err)
	}
	b.sink.err = nil
	b.alert(t, known())
	if last := b.sink.events[len(b.sink.events)-1]; !strings.Contains(last, `"dropped":"2"`) {
		t.Errorf("the end says %s", last)
	}
}

// TestNoSpool has a state directory that cannot be written: the alert is lost, which is reported.
func TestNoSpool(t *testing.T) {
	b := newBench(t)
	b.Spool.Path, b.MISP.Path, b.Faults.Dir = "/dev/null/x", "/dev/null/x", "/dev/null/x"
	b.Circuit.Asked = unreachable(enrich.CodeUnavailable)
	_, err := b.Process(context.Background(), numbered(t, 1))
	if err == nil || !strings.Contains(err.Error(), "alert is lost: spool: ") || !strings.Contains(err.Error(), "answered 500") {
		t.Errorf("error %v", err)
	}
	expect(t, "reported", []string{"error spool_fault"}, short(b.sink.events))
}

// TestCorruptState has an outage file that is no JSON: it is as good as none, and is written anew.
func TestCorruptState(t *testing.T) {
	b := newBench(t)
	must(t, os.WriteFile(b.MISP.Path, []byte("{"), 0o600))
	expect(t, "hit", []string{"hit 1"}, b.alert(t, known()))
	expect(t, "error", []string{"error misp_unavailable"}, b.alert(t, unreachable(enrich.CodeUnavailable)))
	expect(t, "hits", []string{"hit 3", "hit 2", "recovered misp_unavailable queued 1 processed 1"}, b.alert(t, known()))
}

// seen collects sightings.
type seen struct {
	got []enrich.Sighting
	err error
}

func (s *seen) Sight(_ context.Context, g enrich.Sighting) error {
	if s.err == nil {
		s.got = append(s.got, g)
	}
	return s.err
}

func TestSightings(t *testing.T) {
	b := newBench(t)
	sighter := &seen{}
	b.Sightings = &enrich.Sightings{Sighter: sighter, Source: "wazuh", Dir: filepath.Join(t.TempDir(), "s"), Now: func() time.Time { return b.now }}
	step := func(what string, l enrich.Lookup, want int) {
		t.Helper()
		before := len(sighter.got)
		b.alert(t, l)
		if got := len(sighter.got) - before; got != want {
			t.Errorf("%s: %d sightings, want %d", what, got, want)
		}
	}
	sighter.err = errors.New("no right to")
	step("refused", known(), 0)
	sighter.err = nil
	step("first", known(), 1)
	step("the same day", known(), 0)
	b.now = b.now.AddDate(0, 0, 1)
	step("the next day", known(), 1)
	b.now = b.now.AddDate(0, 0, 1)
	step("tlp:red", known("TLP:RED"), 0)
	b.Sightings.Withhold = []string{"tlp:amber+strict"}
	step("withheld", known("TLP:AMBER+STRICT"), 0)
	b.Sightings.Withhold = nil
	b.Sightings.TLPRed = true
	step("tlp:red, allowed", known("TLP:RED"), 1)
	b.now = b.now.AddDate(0, 0, 1)
	step("in a network", lookup(func(ctx context.Context, o []engine.Observable) ([]enrich.Match, error) {
		m, err := known()(ctx, o)
		m[0].Kind = engine.MatchNetwork
		return m, err
	}), 0)
	step("not a UUID", lookup(func(ctx context.Context, o []engine.Observable) ([]enrich.Match, error) {
		m, err := known()(ctx, o)
		m[0].Attribute.UUID = "../../etc/x"
		return m, err
	}), 0)
	if diff := cmp.Diff("wazuh", sighter.got[0].Source); diff != "" {
		t.Error(diff)
	}
	days, err := os.ReadDir(b.Sightings.Dir)
	if err != nil || len(days) > 2 {
		t.Errorf("%d days are remembered, %v", len(days), err)
	}
	// What is queued is seen when it is processed.
	b.now = b.now.AddDate(0, 0, 1)
	step("queued", unreachable(enrich.CodeUnavailable), 0)
	step("processed, with one UUID for both", known(), 1)
}

// FuzzSpoolEntry puts anything into the spool: it is done or a dead letter, never stuck, and nothing panics.
func FuzzSpoolEntry(f *testing.F) {
	f.Add(true, []byte(`{"rule":{"id":"1"},"id":"7","data":{"dst":"192.31.196.7"}}`))
	f.Add(false, []byte(`{"agent":{"ID":"004","Name":"ws-07","IP":"10.20.4.7"},"body":{"value":"v","observable":{"value":"v"}}}`))
	f.Add(false, []byte(`{"agent":5}`))
	f.Add(true, []byte{})
	f.Fuzz(func(t *testing.T, alert bool, data []byte) {
		b := newBench(t)
		b.Circuit.Asked = known()
		kind := spool.Events
		if alert {
			kind = spool.Alerts
		}
		if _, err := b.Spool.Put(kind, data); err != nil {
			t.Fatal(err)
		}
		done := b.Drain(context.Background())
		depth, err := b.Spool.Depth()
		if err != nil || depth.Alerts+depth.Events > 0 || depth.DeadLetters != done.DeadLetters {
			t.Errorf("%q: done %+v, left %+v, %v", data, done, depth, err)
		}
	})
}
