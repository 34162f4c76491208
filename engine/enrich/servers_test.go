package enrich_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/enrich/spool"
	"custom-misp/misp"
)

// site is a pipeline that asks two MISP servers, one and two, which a test changes. Its clock is the test's.
type site struct {
	*enrich.QueueingPipeline
	sink  *collected
	dir   string
	now   time.Time
	mu    sync.Mutex
	asked map[string]int // questions to each server
	// events are the UUIDs of the events in which each server has all values.
	events map[string][]string
	down   map[string]error
	next   int
}

var errDown = &enrich.Trouble{Code: enrich.CodeUnavailable, Err: errors.New("connection refused")}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{
		sink: &collected{}, dir: t.TempDir(), now: time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC),
		asked: map[string]int{}, events: map[string][]string{}, down: map[string]error{},
	}
	s.build(t)
	return s
}

// build makes the pipeline, as another process does after a kill.
func (s *site) build(t *testing.T) {
	t.Helper()
	q := newQueueing(t, s.dir, chance{})
	clock := func() time.Time { return s.now }
	q.Spool.Now, q.Queue.Now, q.Faults.Now = clock, clock, clock
	q.Sink, q.Faults.Sink, q.Circuit = s.sink, s.sink, nil
	q.Links = map[string]string{"one": "https://one.example/", "two": "https://two.example"}
	var all enrich.Servers
	for _, name := range []string{"one", "two"} {
		outage := enrich.OutageFile{Path: filepath.Join(s.dir, name+".json"), Now: clock}
		q.Outages = append(q.Outages, enrich.ServerOutage{Name: name, Outage: outage})
		all = append(all, enrich.Server{Name: name, Lookup: &enrich.Circuit{Outage: outage, Asked: s.server(name)}})
	}
	q.Lookup = all
	s.QueueingPipeline = q
}

// server is a server that knows all values.
func (s *site) server(name string) lookup {
	return func(_ context.Context, observables []engine.Observable) ([]enrich.Match, error) {
		s.mu.Lock()
		s.asked[name]++
		s.mu.Unlock()
		if err := s.down[name]; err != nil {
			return nil, err
		}
		var matches []enrich.Match
		for _, o := range observables {
			for n, uuid := range s.events[name] {
				matches = append(matches, enrich.Match{Observable: o, Kind: engine.MatchExact, Attribute: &misp.Attribute{
					Type: string(o.Type), Value: o.Value, UUID: "00000000-0000-4000-8000-" + uuid, Origin: name,
					Event: misp.Event{ID: map[string]string{"one": "1", "two": "2"}[name] + string(rune('0'+n)), UUID: "event-" + uuid},
				}})
			}
		}
		return matches, nil
	}
}

// both lets both servers have the same event.
func (s *site) both(uuid string) { s.events["one"], s.events["two"] = []string{uuid}, []string{uuid} }

// alert processes the next alert.
func (s *site) alert(t *testing.T) {
	t.Helper()
	s.next++
	s.now = s.now.Add(time.Second)
	if _, err := s.Process(t.Context(), numbered(t, s.next)); err != nil {
		t.Fatal(err)
	}
}

// sent returns what came since the last call: for a hit the alert, how it was looked up, and the origins of its matches.
func (s *site) sent() []string {
	list := []string{}
	for _, text := range s.sink.events {
		m := gjson.Get(text, "misp")
		switch {
		case m.Get("error").Exists():
			list = append(list, m.Get("error").String()+" "+m.Get("server").String())
		case m.Get("recovered").Exists():
			list = append(list, "recovered "+m.Get("server").String()+" "+m.Get("held").String()+" "+m.Get("processed").String())
		default:
			list = append(list, strings.TrimSpace(m.Get("source.alert_id").String()+" "+m.Get("match_mode").String())+" "+m.Get("origins").String())
		}
	}
	s.sink.events = nil
	return list
}

func (s *site) expect(t *testing.T, what string, want ...string) {
	t.Helper()
	if want == nil {
		want = []string{}
	}
	expect(t, what, want, s.sent())
}

// waiting checks how many alerts wait for each server, and that none waits for all.
func (s *site) waiting(t *testing.T, want map[string]int) {
	t.Helper()
	depth, err := s.Spool.Depth()
	must(t, err)
	got, err := s.Spool.DepthFor(spool.Delayed)
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" || depth.Alerts != 0 || depth.DeadLetters != 0 {
		t.Errorf("spool %+v (-want +got):\n%s", depth, diff)
	}
}

// TestSameEventOnTwoServers has one hit, with both origins, the link of the first, and the id of its event.
func TestSameEventOnTwoServers(t *testing.T) {
	s := newSite(t)
	s.both("000000000001")
	s.alert(t)
	m := gjson.Get(s.sink.events[0], "misp")
	for path, want := range map[string]string{
		"origin": "one", "origins": `["one","two"]`, "link": "https://one.example/events/view/10", "match_count": "1", "event_ids": `["10"]`,
	} {
		if got := m.Get(path).String(); got != want {
			t.Errorf("misp.%s is %s, want %s", path, got, want)
		}
	}
	s.sent()
	s.events["one"] = nil
	s.alert(t)
	m = gjson.Get(s.sink.events[0], "misp")
	if got := m.Get("link").String() + " " + m.Get("origins").String(); got != `https://two.example/events/view/20 ["two"]` {
		t.Error(got)
	}
}

// TestOneServerDown reports what the other knows at once, and later what only the one that was down knows: an event that both
// have is reported once.
func TestOneServerDown(t *testing.T) {
	s := newSite(t)
	s.events["one"], s.events["two"] = []string{"000000000001"}, []string{"000000000001", "000000000002"}
	s.down["two"] = errDown
	s.alert(t)
	s.expect(t, "first alert", "misp_unavailable two", `1 ["one"]`)
	s.waiting(t, map[string]int{"two": 1})
	s.both("000000000001")
	s.alert(t)
	s.expect(t, "second alert", `2 ["one"]`)
	s.waiting(t, map[string]int{"two": 2})
	asked := s.asked["one"]

	s.events["two"] = []string{"000000000001", "000000000002"}
	s.down["two"] = nil
	s.Drain(t.Context())
	s.expect(t, "it answers again", `1 delayed ["two"]`, `2 delayed ["two"]`, "recovered two 2 2")
	s.waiting(t, map[string]int{})
	if s.asked["one"] != asked {
		t.Errorf("the server that had answered was asked again, %d times", s.asked["one"]-asked)
	}
	s.alert(t)
	s.expect(t, "afterwards", `3 ["one","two"]`)
	s.Drain(t.Context())
	s.expect(t, "nothing is left")
}

// TestSameEventLate has a server that was down and knows what the other has reported: nothing is sent for it.
func TestSameEventLate(t *testing.T) {
	s := newSite(t)
	s.both("000000000001")
	s.down["one"] = errDown
	s.alert(t)
	s.expect(t, "alert", "misp_unavailable one", `1 ["two"]`)
	s.down["one"] = nil
	s.Drain(t.Context())
	s.expect(t, "later", "recovered one 1 1")
	s.waiting(t, map[string]int{})
}

// TestBothDown queues the alert for both. What one knows is sent when that one is back, though the other stays down.
func TestBothDown(t *testing.T) {
	s := newSite(t)
	s.events["one"], s.events["two"] = []string{"000000000001"}, []string{"000000000002"}
	s.down["one"], s.down["two"] = errDown, errDown
	s.alert(t)
	s.expect(t, "alert", "misp_unavailable one", "misp_unavailable two")
	if depth, err := s.Spool.Depth(); err != nil || depth.Alerts != 1 || depth.Delayed != 0 {
		t.Errorf("spool %+v, %v", depth, err)
	}
	s.down["one"] = nil
	s.Drain(t.Context())
	s.expect(t, "one is back", `1 ["one"]`, "recovered one 1 1")
	s.waiting(t, map[string]int{"two": 1})
	s.down["two"] = nil
	s.Drain(t.Context())
	s.expect(t, "both are back", `1 delayed ["two"]`, "recovered two 2 2")
}

// TestHourWithoutServer has one server down for an hour, with an alert each minute: the other is asked as usual, and the one that
// is down as often as a circuit asks. Then all is asked for that waits.
func TestHourWithoutServer(t *testing.T) {
	s := newSite(t)
	s.events["one"], s.events["two"] = []string{"000000000001"}, []string{"000000000002"}
	s.down["two"] = &enrich.Trouble{Code: enrich.CodeUnauthorized, Err: errors.New("answered 403")}
	for range 60 {
		s.alert(t)
		s.now = s.now.Add(59 * time.Second)
	}
	sent := s.sent()
	if len(sent) != 61 || sent[0] != "misp_unauthorized two" || sent[60] != `60 ["one"]` {
		t.Fatalf("%d events: %q", len(sent), sent)
	}
	s.waiting(t, map[string]int{"two": 60})
	if s.asked["one"] != 60 || s.asked["two"] != 60 {
		t.Errorf("asked %v", s.asked)
	}
	s.down["two"] = nil
	s.Drain(t.Context())
	if sent = s.sent(); len(sent) != 61 || sent[0] != `1 delayed ["two"]` || sent[60] != "recovered two 60 60" {
		t.Fatalf("%d events: %q", len(sent), sent)
	}
	if s.asked["one"] != 60 || s.asked["two"] > 63 {
		t.Errorf("asked %v; what waits is few questions", s.asked)
	}
}

// TestKilledBetween is killed after an alert was put into the spool for one server, and when it works on that entry: what was
// sent is not sent again, since a Dedup knows it, and nothing is lost.
func TestKilledBetween(t *testing.T) {
	s := newSite(t)
	s.events["one"], s.events["two"] = []string{"000000000001"}, []string{"000000000002"}
	s.down["two"] = errDown
	withDedup := func() *enrich.Dedup {
		s.build(t)
		d, err := enrich.NewDedup(s.sink, s.dir)
		must(t, err)
		s.Sink = d
		return d
	}
	d := withDedup()
	s.sink.err = errors.New("killed before it could send")
	_, err := s.Process(t.Context(), numbered(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	must(t, d.Close())
	for _, name := range []string{"spool/events", "queue.json"} { // what a kill would have left out
		must(t, os.RemoveAll(filepath.Join(s.dir, name)))
	}
	s.sink.err = nil
	d = withDedup()
	_, err = s.Process(t.Context(), numbered(t, 1)) // Wazuh's file is read again
	must(t, err)
	s.expect(t, "again", "misp_unavailable two", `1 ["one"]`)
	s.waiting(t, map[string]int{"two": 2})
	must(t, d.Close())

	s.down["two"] = nil
	d = withDedup()
	s.Settle = func() error { return errors.New("killed before the entry was done") }
	s.Drain(t.Context())
	must(t, d.Close())
	s.expect(t, "killed after sending", `1 delayed ["two"]`)
	d = withDedup()
	s.Drain(t.Context())
	s.expect(t, "the rest", "recovered two 2 2")
	s.waiting(t, map[string]int{})
	must(t, d.Close())
}

// TestThreeServersTwoLate has an alert wait for two servers, which know the same event: it is reported once.
func TestThreeServersTwoLate(t *testing.T) {
	s := newSite(t)
	clock := func() time.Time { return s.now }
	outage := enrich.OutageFile{Path: filepath.Join(s.dir, "three.json"), Now: clock}
	s.Outages = append(s.Outages, enrich.ServerOutage{Name: "three", Outage: outage})
	s.Lookup = append(s.Lookup.(enrich.Servers), enrich.Server{Name: "three", Lookup: &enrich.Circuit{Outage: outage, Asked: s.server("three")}})
	s.events["two"], s.events["three"] = []string{"000000000001"}, []string{"000000000001"}
	s.down["two"], s.down["three"] = errDown, errDown
	s.alert(t)
	s.expect(t, "alert", "misp_unavailable two", "misp_unavailable three")
	s.waiting(t, map[string]int{"two": 1, "three": 1})
	s.down["two"] = nil
	s.Drain(t.Context())
	s.expect(t, "two is back", `1 delayed ["two"]`, "recovered two 1 1")
	s.waiting(t, map[string]int{"three": 1})
	s.down["three"] = nil
	s.Drain(t.Context())
	s.expect(t, "three is back", "recovered three 1 1")
	s.waiting(t, map[string]int{})
}

// TestSlowServer has a server that does not answer within its budget: the other's hit does not wait for it any longer, and what
// it knows comes later.
func TestSlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.events["one"], s.events["two"] = []string{"000000000001"}, []string{"000000000002"}
		servers := s.Lookup.(enrich.Servers)
		slow := 20 * time.Second
		servers[1].Budget = 2 * time.Second
		servers[1].Lookup = &enrich.Circuit{Outage: s.Outages[1].Outage, Asked: lookup(func(ctx context.Context, o []engine.Observable) ([]enrich.Match, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(slow):
			}
			return s.server("two")(ctx, o)
		})}
		began := time.Now()
		s.alert(t)
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("it took %s", took)
		}
		s.expect(t, "alert", "misp_unavailable two", `1 ["one"]`)
		s.waiting(t, map[string]int{"two": 1})
		s.now = s.now.Add(time.Minute)
		slow, s.DrainTime = 3*time.Second, 30*time.Second // longer than the budget, but not than a round
		s.Drain(t.Context())
		s.expect(t, "later", `1 delayed ["two"]`, "recovered two 1 1")
	})
}

// TestUnknownServer leaves alerts in the spool that wait for a server which is no longer configured.
func TestUnknownServer(t *testing.T) {
	s := newSite(t)
	s.down["two"] = errDown
	s.alert(t)
	s.Outages, s.Lookup = s.Outages[:1], s.Lookup.(enrich.Servers)[:1]
	s.Drain(t.Context())
	s.waiting(t, map[string]int{"two": 1})
}

// TestLateDeadLetter has a server that refuses an alert while it answers others, and an entry that is not what was put in.
func TestLateDeadLetter(t *testing.T) {
	s := newSite(t)
	for _, content := range []string{"{", `{"alert":1}`, `{"alert":{"rule":{}},"reported":["x"]}`} {
		_, err := s.Spool.PutFor(spool.Delayed, []string{"two"}, []byte(content))
		must(t, err)
	}
	s.Drain(t.Context())
	if depth, err := s.Spool.Depth(); err != nil || depth.DeadLetters != 3 || depth.Delayed != 0 {
		t.Errorf("spool %+v, %v", depth, err)
	}
}

// TestNoServerAnswers says why each did not, and is an outage rather than a question at fault if one was not reached.
func TestNoServerAnswers(t *testing.T) {
	refused := &enrich.Trouble{Code: enrich.CodeRejected, Err: errors.New("answered 405"), Answered: true}
	servers := enrich.Servers{
		{Name: "one", Lookup: lookup(func(context.Context, []engine.Observable) ([]enrich.Match, error) { return nil, refused })},
		{Name: "two", Lookup: lookup(func(context.Context, []engine.Observable) ([]enrich.Match, error) { return nil, errDown })},
	}
	_, err := servers.Lookup(t.Context(), values("a"))
	trouble, ok := errors.AsType[*enrich.Trouble](err)
	if !ok || trouble.Code != enrich.CodeUnavailable || trouble.Answered || err.Error() != "no server answered: one: answered 405; two: connection refused" {
		t.Errorf("%#v", err)
	}
	if _, err = (enrich.Servers{}).Lookup(t.Context(), values("a")); err == nil {
		t.Error("no servers, and no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	servers[0].Lookup = known()
	if _, err = servers.Lookup(ctx, values("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("the program is being ended: %v", err)
	}
}

// TestStreamWithOneServerDown follows alerts while one server is down: none waits, and each is asked for there later.
func TestStreamWithOneServerDown(t *testing.T) {
	s := newSite(t)
	s.events["one"], s.events["two"] = []string{"000000000001"}, []string{"000000000001", "000000000002"}
	s.down["two"] = errDown
	source := &batches{journal: &journal{}, err: io.EOF, texts: [][][]byte{{[]byte(text(t, 1)), []byte(text(t, 2)), []byte(`{"rule":{"id":"1"},"id":"9"}`)}}}
	stream := enrich.Stream{Source: source, Pipeline: func() *enrich.QueueingPipeline { return s.QueueingPipeline }, Grace: time.Second}
	if err := stream.Run(t.Context()); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	s.expect(t, "alerts", "misp_unavailable two", `1 ["one"]`, `2 ["one"]`)
	s.waiting(t, map[string]int{"two": 2}) // the third has no value
	s.down["two"] = nil
	s.Drain(t.Context())
	sent := s.sent()
	slices.Sort(sent) // both were queued in the same moment
	expect(t, "later", []string{`1 delayed ["two"]`, `2 delayed ["two"]`, "recovered two 2 2"}, sent)
}

// TestMirrorBeforeServers asks the servers for what the mirror does not know. Alerts of which the mirror knows all wait for no
// one, and what the mirror has reported is not reported again.
func TestMirrorBeforeServers(t *testing.T) {
	s := newSite(t)
	s.events["one"], s.events["two"] = []string{"000000000001"}, []string{"000000000002"}
	mirror := lookup(func(ctx context.Context, o []engine.Observable) ([]enrich.Match, error) {
		matches, err := knowing("192.31.196.2")(ctx, o)
		for i := range matches {
			matches[i].Attribute.Origin = "one"
		}
		return matches, err
	})
	servers := s.Lookup
	s.Lookup = &enrich.MirrorFirst{Mirror: mirror, Live: servers, Servers: []string{"one", "two"}}
	s.Whole = &enrich.MirrorFirst{Mirror: mirror, Live: servers, Servers: []string{"one", "two"}, Whole: true}
	s.down["two"] = errDown
	s.alert(t) // 192.31.196.2
	s.expect(t, "the mirror knows it", `1 ["one"]`)
	s.waiting(t, map[string]int{})
	s.alert(t)
	s.expect(t, "the mirror does not", "misp_unavailable two", `2 ["one"]`)
	s.waiting(t, map[string]int{"two": 1})
	s.down["two"] = nil
	s.Drain(t.Context())
	s.expect(t, "later", `2 delayed ["two"]`, "recovered two 1 1")
}

// TestKilledThenBothAnswer is killed after an alert was queued for one server. Then the alert is read again while both answer, and
// the entry of the spool is worked on, in either order: each value is reported once.
func TestKilledThenBothAnswer(t *testing.T) {
	for name, drainFirst := range map[string]bool{"the alert first": false, "the entry first": true} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.events["two"] = []string{"000000000002"}
			s.down["two"] = errDown
			s.alert(t)
			s.expect(t, "one is down", "misp_unavailable two")
			s.down["two"] = nil
			d, err := enrich.NewDedup(s.sink, s.dir)
			must(t, err)
			s.build(t)
			s.Sink = d
			again := func() {
				s.DrainTime = 0
				_, err := s.Process(t.Context(), numbered(t, 1))
				must(t, err)
				s.DrainTime = time.Second
			}
			if !drainFirst {
				again()
				s.expect(t, "the alert again", `1 ["two"]`)
			}
			s.Drain(t.Context())
			if drainFirst {
				s.expect(t, "the entry", `1 delayed ["two"]`, "recovered two 1 1")
				again()
				s.expect(t, "the alert again")
			} else {
				s.expect(t, "the entry", "recovered two 1 1")
			}
			must(t, d.Close())
		})
	}
}

// TestDamagedMirrorBeforeServers has a mirror that is damaged: what it still has of servers counts for nothing, for they are asked, and
// what it has of a feed counts.
func TestDamagedMirrorBeforeServers(t *testing.T) {
	damaged := &enrich.Trouble{Code: enrich.CodeDamaged, Err: errors.New("a file is damaged")}
	mirror := lookup(func(ctx context.Context, o []engine.Observable) ([]enrich.Match, error) {
		var all []enrich.Match
		for _, origin := range []string{"one", "two", "feed"} {
			matches, _ := known()(ctx, o)
			matches[0].Attribute.Origin = origin
			all = append(all, matches...)
		}
		return all, damaged
	})
	none := lookup(func(context.Context, []engine.Observable) ([]enrich.Match, error) { return nil, nil })
	first := &enrich.MirrorFirst{Mirror: mirror, Live: enrich.Servers{{Name: "one", Lookup: none}, {Name: "two", Lookup: none}}, Servers: []string{"one", "two"}}
	matches, err := first.Lookup(t.Context(), values("a"))
	if err != nil || len(matches) != 1 || matches[0].Attribute.Origin != "feed" {
		t.Errorf("%+v, %v", matches, err)
	}
}
