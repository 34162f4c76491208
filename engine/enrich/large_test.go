package enrich_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/tidwall/sjson"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/enrich/spool"
	"custom-misp/mappings"
	"custom-misp/misp/api"
	"custom-misp/misp/misptest"
)

// largeAlert is a DNS answer with 1,000 addresses, no two of them near each other, and the addresses.
func largeAlert(t *testing.T, id string) (enrich.Alert, []string) {
	t.Helper()
	data, err := os.ReadFile("../../testdata/alerts/sysmon-windows-22-dns.json")
	must(t, err)
	chance := rand.New(rand.NewPCG(1, uint64(len(id)))) //nolint:gosec // the same each time
	var addresses []string
	for range 1000 {
		a := [16]byte{0x2a, 0x01}
		for i := range a[2:] {
			a[2+i] = byte(chance.Uint32())
		}
		addresses = append(addresses, netip.AddrFrom16(a).String())
	}
	data, err = sjson.SetBytes(data, "data.win.eventdata.queryResults", strings.Join(addresses, ";")+";")
	must(t, err)
	data, err = sjson.SetBytes(data, "id", id)
	must(t, err)
	a, err := enrich.ParseAlert(data)
	must(t, err)
	return a, addresses
}

// server is a MISP that takes its time, and the pipeline that asks it.
type server struct {
	*enrich.QueueingPipeline
	misp *misptest.Server // nil where it is not a real one
	log  *bytes.Buffer
	sink *collected

	mu   sync.Mutex
	hang func(values []any) bool // which questions are never answered; nil for none
}

// newServer starts a MISP that takes 0.11 s for each 1,000 values.
func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{misp: misptest.New(t, fstest.MapFS{}), sink: &collected{}}
	s.misp.Fault(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Value struct{ OR []any }
		}
		must(t, json.NewDecoder(r.Body).Decode(&q))
		s.mu.Lock()
		hang := s.hang != nil && s.hang(q.Value.OR)
		s.mu.Unlock()
		wait := time.Duration(len(q.Value.OR)) * 110 * time.Microsecond
		if hang {
			wait = time.Hour
		}
		select {
		case <-time.After(wait):
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"response":{"Attribute":[]}}`))
		case <-r.Context().Done():
		}
	})
	s.setUp(t, s.client(t, 5*time.Second))
	return s
}

// client returns a client of the MISP that has a time for a question.
func (s *server) client(t *testing.T, timeout time.Duration) enrich.Lookup {
	t.Helper()
	client, err := api.New(api.Config{URL: s.misp.URL, Key: misptest.Key, Timeout: timeout})
	must(t, err)
	t.Cleanup(client.Close)
	return client
}

// setUp makes the pipeline.
func (s *server) setUp(t *testing.T, asked enrich.Lookup) {
	t.Helper()
	sources, err := engine.ReadFS(mappings.FS, "mappings")
	must(t, err)
	e, err := engine.Load(sources...)
	must(t, err)
	s.log = &bytes.Buffer{}
	s.QueueingPipeline = newQueueing(t, t.TempDir(), chance{})
	s.Engine, s.Circuit.Asked, s.Sink, s.Faults.Sink = e, asked, s.sink, s.sink
	s.Log = slog.New(slog.NewTextHandler(s.log, nil))
	s.DrainTime = 800 * time.Millisecond
}

// slowFor has questions never answered that have one of some values; nil for none.
func (s *server) slowFor(values []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hang = func(asked []any) bool {
		return slices.ContainsFunc(asked, func(v any) bool { return slices.Contains(values, fmt.Sprint(v)) })
	}
}

// questions returns the values of each question since the nth.
func (s *server) questions(from int) [][]string {
	var all [][]string
	for _, r := range s.misp.Requests()[from:] {
		var values []string
		list, _ := r.Body["value"].(map[string]any)["OR"].([]any)
		for _, v := range list {
			values = append(values, fmt.Sprint(v))
		}
		all = append(all, values)
	}
	return all
}

// small is an alert with one value that MISP does not know.
func small(t *testing.T, n int) enrich.Alert {
	t.Helper()
	data, err := os.ReadFile("../../testdata/alerts/sysmon-windows-22-dns.json")
	must(t, err)
	for path, value := range map[string]string{"id": fmt.Sprint("small-", n), "data.win.eventdata.queryName": fmt.Sprintf("host-%d.example.org", n), "data.win.eventdata.queryResults": ""} {
		data, err = sjson.SetBytes(data, path, value)
		must(t, err)
	}
	a, err := enrich.ParseAlert(data)
	must(t, err)
	return a
}

// call is one call by integratord, which has two seconds.
func (s *server) call(t *testing.T, a enrich.Alert) enrich.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	r, err := s.Process(ctx, a)
	must(t, err)
	return r
}

// TestLargeAlert asks for an alert with 1,000 addresses, in a call and when it was queued: two questions, and each of the
// addresses.
func TestLargeAlert(t *testing.T) {
	for _, queued := range []bool{false, true} {
		t.Run(fmt.Sprint("queued ", queued), func(t *testing.T) {
			s := newServer(t)
			a, addresses := largeAlert(t, "large")
			if queued {
				put(t, s.Spool, spool.Alerts, string(a.JSON))
				if done := s.Drain(t.Context()); done.Alerts != 1 {
					t.Errorf("done: %+v", done)
				}
			} else if r := s.call(t, a); r.Queued || r.Cuts[len(r.Cuts)-1].Number < 100_000 {
				t.Errorf("queued %t, left out: %v", r.Queued, r.Cuts)
			}
			questions := s.questions(0)
			asked := slices.Concat(questions...)
			if len(questions) != 2 || len(asked) != engine.MaxValues {
				t.Errorf("%d questions with %d values", len(questions), len(asked))
			}
			for _, v := range append(addresses[:999:999], "gate.bad-cdn.example") { // one of 1,000 values is the name
				if !slices.Contains(asked, v) {
					t.Errorf("%s was not asked for", v)
				}
			}
			if n := strings.Count(s.log.String(), "further values are not asked for"); n != 1 || !strings.Contains(s.log.String(), "alert_id=large") {
				t.Errorf("logged %d times: %s", n, s.log)
			}
		})
	}
}

// A slowMISP is a look-up on the clock of a bubble that takes 0.11 s for each 1,000 values, and knows none.
type slowMISP struct {
	hangs func(o engine.Observable) bool // observables for which there is never an answer; nil for none

	slower time.Duration // so many times; 0 for once

	mu    sync.Mutex
	asked []int         // values of each question
	late  time.Duration // the most time that a question for several observables had
}

func (m *slowMISP) Lookup(ctx context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	n := 0
	for _, o := range observables {
		n += len(o.Related())
	}
	m.mu.Lock()
	m.asked = append(m.asked, n)
	if deadline, ok := ctx.Deadline(); ok && len(observables) > 1 {
		m.late = max(m.late, time.Until(deadline))
	}
	m.mu.Unlock()
	takes := max(1, m.slower) * time.Duration(n) * 110 * time.Microsecond
	if m.hangs != nil && slices.ContainsFunc(observables, m.hangs) {
		takes = time.Hour
	}
	select {
	case <-time.After(takes):
		return nil, nil
	case <-ctx.Done():
		return nil, &enrich.Trouble{Code: enrich.CodeUnavailable, Err: context.Cause(ctx)}
	}
}

// newSlow returns a pipeline that asks a slow MISP.
func newSlow(t *testing.T) (*server, *slowMISP) {
	t.Helper()
	m := &slowMISP{}
	s := &server{sink: &collected{}}
	s.setUp(t, m)
	return s, m
}

// TestLargeAlertQueued queues an alert that MISP never answers in time, although it answers others. Each later call asks
// for it once at most and no longer than the time for a round; what is queued behind it is done; and in the end it is a
// dead letter.
func TestLargeAlertQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := newSlow(t)
		a, addresses := largeAlert(t, "large")
		m.hangs = func(o engine.Observable) bool { return slices.Contains(addresses, o.Value) }
		if r := s.call(t, a); !r.Queued {
			t.Fatal("it is not queued")
		}
		put(t, s.Spool, spool.Alerts, string(small(t, 100).JSON), string(small(t, 101).JSON))
		m.late = 0
		for n := range 5 {
			m.asked = nil
			if r := s.call(t, small(t, n)); r.Queued {
				t.Errorf("call %d is queued", n)
			}
			large := len(slices.DeleteFunc(m.asked, func(values int) bool { return values <= 500 }))
			if large > 2 { // with others at first, and then alone
				t.Errorf("call %d asked %d times for the large one", n, large)
			}
			if depth, err := s.Spool.Depth(); err != nil || n > 0 && depth.Alerts > 1 {
				t.Errorf("after call %d the spool holds %+v, %v", n, depth, err)
			}
		}
		if m.late > s.DrainTime {
			t.Errorf("a question for queued alerts had %s, a round has %s", m.late, s.DrainTime)
		}
		letters, err := s.Spool.DeadLetters()
		if err != nil || len(letters) != 1 || letters[0].Reason != "tried 5 times: context deadline exceeded" {
			t.Errorf("dead letters: %+v, %v\n%s", letters, err, s.log)
		}
		m.asked = nil
		s.call(t, small(t, 6))
		if n := len(m.asked); n != 1 {
			t.Errorf("afterwards a call asks %d questions", n)
		}
	})
}

// TestLargeAlertDeadLetter has a real MISP that hangs at the last try of an alert: the dead letter says why in the words
// of its client.
func TestLargeAlertDeadLetter(t *testing.T) {
	s := newServer(t)
	a, addresses := largeAlert(t, "large")
	s.slowFor(addresses)
	put(t, s.Spool, spool.Alerts, string(a.JSON))
	for range spool.MaxTries - 1 {
		consumer := open(t, s.Spool)
		entries, err := consumer.Claim(spool.Alerts, 1)
		must(t, err)
		_, err = entries[0].Fail("MISP did not answer in time")
		must(t, errors.Join(err, consumer.Close()))
	}
	s.DrainTime, s.Circuit.Asked = 20*time.Second, s.client(t, time.Second)
	if done := s.Drain(t.Context()); done.DeadLetters != 1 {
		t.Errorf("done: %+v", done)
	}
	letters, err := s.Spool.DeadLetters()
	if err != nil || len(letters) != 1 || !strings.HasPrefix(letters[0].Reason, "tried 5 times: MISP at ") || !strings.Contains(letters[0].Reason, "did not answer in time") {
		t.Errorf("dead letters: %+v, %v\n%s", letters, err, s.log)
	}
}

// TestOutageCountsNoTry has a MISP that answers the alert of a call, and nothing after that: the queued alert is not
// at fault.
func TestOutageCountsNoTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := newSlow(t)
		a, _ := largeAlert(t, "large")
		put(t, s.Spool, spool.Alerts, string(a.JSON))
		s.DrainTime = 400 * time.Millisecond
		for n := range 6 {
			own := fmt.Sprintf("host-%d.example.org", n)
			m.hangs = func(o engine.Observable) bool { return o.Value != own }
			m.asked = nil
			if r := s.call(t, small(t, n)); r.Queued {
				t.Fatalf("call %d is queued", n)
			}
			if len(m.asked) < 2 {
				t.Errorf("call %d did not try what is queued", n)
			}
		}
		for range 6 { // and a daemon has none of its own
			s.Drain(t.Context())
		}
		left, err := filepath.Glob(filepath.Join(s.Spool.Path, "alerts", "*.0.*.json"))
		if depth, derr := s.Spool.Depth(); errors.Join(err, derr) != nil || len(left) != 1 || depth.DeadLetters != 0 {
			t.Errorf("never tried: %v, spool %+v, %v", left, depth, err)
		}
	})
}

// TestStreamLargeAlerts has a good alert behind five large ones: it waits for ten questions and one for itself.
func TestStreamLargeAlerts(t *testing.T) {
	s := newServer(t)
	source := &batches{journal: &journal{}}
	var batch [][]byte
	for i := range 5 {
		a, _ := largeAlert(t, strings.Repeat("x", i+1)) // the addresses differ
		batch = append(batch, a.JSON)
	}
	source.texts = [][][]byte{batch, {small(t, 1).JSON}}
	limits := usual
	limits.Values = 1000
	b := enrich.NewBatch(t.Context(), s.Circuit.Asked, limits)
	s.Lookup, s.Circuit = &enrich.Circuit{Asked: b, Outage: s.MISP}, nil
	source.err = errors.New("end")
	r := enrich.Stream{
		Source: source, Pipeline: func() *enrich.QueueingPipeline { return s.QueueingPipeline }, Meter: &tally{}, Window: 8, Grace: time.Second,
		Own: func([]byte) bool { return false },
	}
	if err := r.Run(t.Context()); !errors.Is(err, source.err) {
		t.Error(err)
	}
	b.Close()
	expect(t, "what happened", []string{"done 0", "done 1"}, source.journal.read())
	questions := s.questions(0)
	if n := len(questions); n > 12 {
		t.Errorf("%d questions", n)
	}
	if n := len(slices.Concat(questions...)); n > 5*engine.MaxValues+10 {
		t.Errorf("%d values", n)
	}
	if depth, err := s.Spool.Depth(); err != nil || depth.Alerts != 0 {
		t.Errorf("queued: %+v, %v", depth, err)
	}
}

// TestStreamLooksUpAlone has a good alert behind twenty large ones and in front of twenty more, at MISPs of several speeds.
// The stream need not wait for the large ones: they are in the spool, and in the end each is looked up.
func TestStreamLooksUpAlone(t *testing.T) {
	for _, slower := range []time.Duration{1, 10} {
		t.Run(fmt.Sprint(slower, " times as slow"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { streamLooksUpAlone(t, slower) })
		})
	}
}

func streamLooksUpAlone(t *testing.T, slower time.Duration) {
	const large = 40
	s, m := newSlow(t)
	m.slower = slower
	var batch [][]byte
	for i := range large {
		a, _ := largeAlert(t, strings.Repeat("x", i+1)) // the addresses differ
		batch = append(batch, a.JSON)
	}
	source := &batches{journal: &journal{}, texts: [][][]byte{batch[:20], {small(t, 1).JSON}, batch[20:]}, err: errors.New("end")}
	limits := usual
	limits.Values = 1000
	b := enrich.NewBatch(t.Context(), m, limits)
	defer b.Close()
	s.Lookup, s.Circuit = &enrich.Circuit{Asked: b, Outage: s.MISP}, nil
	s.Alone = func(values int) bool { return values > limits.Values }
	r := enrich.Stream{Source: source, Pipeline: func() *enrich.QueueingPipeline { return s.QueueingPipeline }, Window: 8, Grace: time.Second}
	began := time.Now()
	if err := r.Run(t.Context()); !errors.Is(err, source.err) {
		t.Error(err)
	}
	expect(t, "what happened", []string{"done 0", "done 1", "done 2"}, source.journal.read())
	if took := time.Since(began); took > time.Second {
		t.Errorf("the stream took %s", took)
	}
	if depth, err := s.Spool.Depth(); err != nil || depth.Alerts != large {
		t.Errorf("queued: %+v, %v", depth, err)
	}
	s.DrainTime = time.Minute
	done := 0
	for range large {
		done += s.Drain(t.Context()).Alerts
	}
	if depth, err := s.Spool.Depth(); err != nil || depth.Alerts+depth.DeadLetters > 0 || done != large {
		t.Errorf("%d are done; queued: %+v, %v", done, depth, err)
	}
}

// TestDrainLooksUpAlone has five large alerts in the spool in front of small ones: those wait for one of them at most.
func TestDrainLooksUpAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := newSlow(t)
		for i := range 5 {
			a, _ := largeAlert(t, strings.Repeat("x", i+1))
			put(t, s.Spool, spool.Alerts, string(a.JSON))
		}
		for i := range 10 {
			put(t, s.Spool, spool.Alerts, string(small(t, i).JSON))
		}
		s.DrainTime = time.Minute
		if done := s.Drain(t.Context()); done.Alerts != 15 {
			t.Errorf("done: %+v", done)
		}
		if len(m.asked) != 6 || m.asked[0] > 100 {
			t.Errorf("values of the questions: %v, want those of the small alerts first", m.asked)
		}
	})
}

// TestStreamQueuesSlow has an alert that MISP never answers in time, although it answers others: it is queued, and those
// behind it go on. While MISP answers nothing at all, none is queued.
func TestStreamQueuesSlow(t *testing.T) {
	for _, down := range []bool{false, true} {
		t.Run(fmt.Sprint("unreachable ", down), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newStream(t, []string{text(t, 1), text(t, 2), text(t, 3)}, []string{text(t, 4)})
				began := time.Now()
				w.Circuit.Asked = lookup(func(ctx context.Context, o []engine.Observable) ([]enrich.Match, error) {
					slow := slices.ContainsFunc(o, func(o engine.Observable) bool { return o.Value == "192.31.196.3" })
					if slow && !down || down && time.Since(began) < 5*time.Minute {
						ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
						defer cancel()
						<-ctx.Done()
						return nil, &enrich.Trouble{Code: enrich.CodeUnavailable, Err: context.Cause(ctx)}
					}
					return known()(ctx, o)
				})
				_, err := w.run(t, 10*time.Minute)
				must(t, err)
				want, queued := []string{"error misp_unavailable", "sent 1", "sent 3", "done 0", "sent 4", "done 1"}, 1
				if down {
					want, queued = []string{"sent 1", "sent 2", "sent 3", "done 0", "sent 4", "done 1"}, 0
				}
				expect(t, "what happened", want, w.read())
				if depth, err := w.Spool.Depth(); err != nil || depth.Alerts != queued {
					t.Errorf("the spool holds %+v, %v", depth, err)
				}
			})
		})
	}
}
