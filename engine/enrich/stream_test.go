package enrich_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
)

// journal is what happens, in its order: "sent ID", "done N" for the nth batch.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) read() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string{}, j.lines...)
}

// batches is a source of alerts, and then waits for its context, or fails.
type batches struct {
	journal *journal
	texts   [][][]byte
	next    int
	err     error
}

func (b *batches) Next(ctx context.Context) (enrich.Alerts, error) {
	if b.next == len(b.texts) {
		if b.err != nil {
			return enrich.Alerts{}, b.err
		}
		<-ctx.Done()
		return enrich.Alerts{}, ctx.Err()
	}
	n := b.next
	b.next++
	return enrich.Alerts{Text: b.texts[n], Done: func() { b.journal.add("done %d", n) }}, nil
}

// tally is a meter.
type tally struct {
	read, unreadable, considered, matched, sent, failed atomic.Int32
	depth, deepest                                      atomic.Int32
}

func (m *tally) Read(alerts, unreadable int) {
	m.read.Add(int32(alerts))           //nolint:gosec // few
	m.unreadable.Add(int32(unreadable)) //nolint:gosec // few
}

func (m *tally) Picked(_ []engine.Observable, matches []enrich.Match) {
	m.considered.Add(1)
	if len(matches) > 0 {
		m.matched.Add(1)
	}
}

func (m *tally) Sent(failed bool) {
	if failed {
		m.failed.Add(1)
	} else {
		m.sent.Add(1)
	}
}

func (m *tally) OverRate() {}

func (m *tally) Depth(n int) {
	m.depth.Store(int32(n)) //nolint:gosec // few
	m.deepest.Store(max(m.deepest.Load(), m.depth.Load()))
}

// sinkFunc is a sink by a function.
type sinkFunc func(ctx context.Context, e enrich.Enrichment) error

func (f sinkFunc) Send(ctx context.Context, e enrich.Enrichment) error { return f(ctx, e) }

// stream is a Stream with all around it.
type stream struct {
	enrich.Stream
	journal
	source *batches
	meter  *tally
	*enrich.QueueingPipeline
}

// newStream makes a Stream whose look-up knows every value, and whose sink writes down what it takes.
func newStream(t *testing.T, texts ...[]string) *stream {
	t.Helper()
	w := &stream{meter: &tally{}, QueueingPipeline: newQueueing(t, t.TempDir(), chance{})}
	w.source = &batches{journal: &w.journal}
	for _, batch := range texts {
		var lines [][]byte
		for _, text := range batch {
			lines = append(lines, []byte(text))
		}
		w.source.texts = append(w.source.texts, lines)
	}
	w.Circuit.Asked = known()
	w.Sink = sinkFunc(func(_ context.Context, e enrich.Enrichment) error {
		if e.Body.Error == "" {
			w.add("sent %s", e.Body.Source.AlertID)
		} else {
			w.add("error %s", e.Body.Error)
		}
		return nil
	})
	w.Faults.Sink = sinkFunc(func(ctx context.Context, e enrich.Enrichment) error { return w.Sink.Send(ctx, e) })
	w.Stream = enrich.Stream{
		Source: w.source, Pipeline: func() *enrich.QueueingPipeline { return w.QueueingPipeline }, Meter: w.meter, Window: 8, Grace: 4 * time.Second,
		Own: func(alert []byte) bool { return string(alert) == own },
	}
	return w
}

const own = `{"rule":{"id":"own"},"data":{"dst":"192.31.196.1"}}`

// text is an alert with a value; those of two alerts differ.
func text(t *testing.T, id int) string { return string(numbered(t, id).JSON) }

// run runs until a time has passed, and returns what Run does and how long the end took.
func (w *stream) run(t *testing.T, after time.Duration) (time.Duration, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var ended time.Time
	time.AfterFunc(after, func() { ended = time.Now(); cancel() })
	err := w.Run(ctx)
	if ended.IsZero() {
		return 0, err
	}
	return time.Since(ended), err
}

// TestStreamOrder has look-ups that take their time, as they like: what is sent keeps the order of the alerts, and a
// batch is done when all of it is sent, and before anything of the next one.
func TestStreamOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var texts [][]string
		var want []string
		for i, id := 0, 0; i < 200; i++ {
			var batch []string
			for range rand.IntN(5) { //nolint:gosec // a test
				id++
				batch = append(batch, text(t, id))
				want = append(want, fmt.Sprint("sent ", id))
			}
			texts, want = append(texts, batch), append(want, fmt.Sprint("done ", i))
		}
		w := newStream(t, texts...)
		var at, most atomic.Int32
		w.Circuit.Asked = lookup(func(ctx context.Context, o []engine.Observable) ([]enrich.Match, error) {
			most.Store(max(most.Load(), at.Add(1)))
			defer at.Add(-1)
			time.Sleep(time.Duration(rand.IntN(1000)) * time.Millisecond) //nolint:gosec // a test
			return known()(ctx, o)
		})
		w.Sink = slowly(w.Sink)
		_, err := w.run(t, time.Hour)
		must(t, err)
		expect(t, "what happened", want, w.read())
		if n := most.Load(); n < 2 || int(n) > w.Window+1 {
			t.Errorf("%d look-ups at the same time", n)
		}
		if left, deepest := w.meter.depth.Load(), int(w.meter.deepest.Load()); left != 0 || deepest < 2 || deepest > w.Window+1 {
			t.Errorf("%d batches at the end, %d at most", left, deepest)
		}
		if sent := w.meter.sent.Load(); int(sent) != len(want)-200 || w.meter.read.Load() != sent || w.meter.matched.Load() != sent {
			t.Errorf("counted: %d sent, %d read, %d matched", sent, w.meter.read.Load(), w.meter.matched.Load())
		}
	})
}

func slowly(to enrich.Sink) enrich.Sink {
	return sinkFunc(func(ctx context.Context, e enrich.Enrichment) error {
		time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond) //nolint:gosec // a test
		return to.Send(ctx, e)
	})
}

// TestStreamLeavesOut has lines that are no alerts, and own ones.
func TestStreamLeavesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStream(t, []string{"no JSON", own, text(t, 1), `{"rule":{"id":"1"},"id":"no value"}`, "{"}, []string{"[]"}, []string{text(t, 2)})
		_, err := w.run(t, time.Minute)
		must(t, err)
		expect(t, "what happened", []string{"sent 1", "done 0", "done 1", "sent 2", "done 2"}, w.read())
		got := []string{fmt.Sprint(w.meter.read.Load(), " read, ", w.meter.unreadable.Load(), " unreadable, ", w.meter.considered.Load(), " considered")}
		expect(t, "counted", []string{"7 read, 3 unreadable, 2 considered"}, got)
	})
}

// TestStreamTorn has a line with the start of an alert and a whole one behind it, and one with two starts.
func TestStreamTorn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		torn := text(t, 1)
		torn = `{"timestamp":"2026-10-05T08:10:01.000+0000",` + torn[1:len(torn)/2]
		whole := `{"timestamp":"2026-10-05T08:10:02.000+0000",` + text(t, 2)[1:]
		w := newStream(t, []string{torn + whole, torn + torn, text(t, 3)})
		_, err := w.run(t, time.Minute)
		must(t, err)
		expect(t, "what happened", []string{"sent 2", "sent 3", "done 0"}, w.read())
		got := []string{fmt.Sprint(w.meter.read.Load(), " read, ", w.meter.unreadable.Load(), " unreadable")}
		expect(t, "counted", []string{"4 read, 2 unreadable"}, got)
	})
}

// TestStreamStops ends it in the middle, for many reasons. What is not all sent is not done, nor is anything after it.
func TestStreamStops(t *testing.T) {
	full := &enrich.Trouble{Code: enrich.CodeQueue, Err: errors.New("full")}
	blocked := func(w *stream, block func(ctx context.Context) error) {
		sink := w.Sink
		w.Sink = sinkFunc(func(ctx context.Context, e enrich.Enrichment) error {
			if e.Body.Source.AlertID == "3" {
				return block(ctx)
			}
			return sink.Send(ctx, e)
		})
	}
	upToThird := []string{"sent 1", "done 0", "sent 2"}
	tests := []struct {
		name    string
		prepare func(w *stream)
		want    []string
		most    time.Duration // for the end
		fails   bool
	}{
		{"nothing to do", func(*stream) {}, []string{"sent 1", "done 0", "sent 2", "sent 3", "done 1", "sent 4", "done 2"}, 0, false},
		{"the queue refuses", func(w *stream) { blocked(w, func(context.Context) error { return full }) }, upToThird, 4 * time.Second, true},
		{"the queue takes its time", func(w *stream) {
			blocked(w, func(ctx context.Context) error {
				time.Sleep(min(2*time.Second, untilDeadline(ctx))) // as Queue does
				return full
			})
		}, upToThird, 4*time.Second + 500*time.Millisecond, true},
		{"MISP hangs", func(w *stream) { w.Circuit.Asked = &oracle{takes: time.Hour} }, []string{}, 4 * time.Second, true},
		{"MISP refuses", func(w *stream) { w.Circuit.Asked = unreachable(enrich.CodeUnavailable) }, []string{}, 4 * time.Second, true},
		{"an event that can never be sent", func(w *stream) {
			blocked(w, func(context.Context) error { return errors.New("too long") })
		}, []string{"sent 1", "done 0", "sent 2", "done 1", "sent 4", "done 2"}, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newStream(t, []string{text(t, 1)}, []string{text(t, 2), text(t, 3)}, []string{text(t, 4)})
				tt.prepare(w)
				took, err := w.run(t, 20*time.Second)
				if took > tt.most || (err != nil) != tt.fails {
					t.Errorf("the end took %s, at most %s is promised; error %v", took, tt.most, err)
				}
				expect(t, "what happened", tt.want, w.read())
			})
		})
	}
}

func untilDeadline(ctx context.Context) time.Duration {
	if d, ok := ctx.Deadline(); ok {
		return time.Until(d)
	}
	return time.Hour
}

// TestStreamWaits has MISP and the queue unreachable for a while: all comes when they are reachable again, in order.
func TestStreamWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStream(t, []string{text(t, 1)}, []string{text(t, 2)}, []string{text(t, 3)})
		sink, began := w.Sink, time.Now()
		w.Sink = sinkFunc(func(ctx context.Context, e enrich.Enrichment) error {
			if time.Since(began) < time.Minute {
				return &enrich.Trouble{Code: enrich.CodeQueue, Err: errors.New("no such file")}
			}
			return sink.Send(ctx, e)
		})
		w.Circuit.Asked = lookup(func(ctx context.Context, o []engine.Observable) ([]enrich.Match, error) {
			if time.Since(began) < 30*time.Second {
				return unreachable(enrich.CodeUnavailable)(ctx, o)
			}
			return known()(ctx, o)
		})
		_, err := w.run(t, 5*time.Minute)
		must(t, err)
		expect(t, "what happened", []string{"sent 1", "done 0", "sent 2", "done 1", "sent 3", "done 2"}, w.read())
		o, err := w.Queue.Load()
		if err != nil || !o.Lasts() {
			t.Errorf("the outage of the queue is not noted: %+v, %v", o, err)
		}
	})
}

// rejecting answers 400 when it is asked for one of some values, and knows all others.
func rejecting(bad ...string) lookup {
	return func(ctx context.Context, o []engine.Observable) ([]enrich.Match, error) {
		for _, v := range o {
			if slices.Contains(bad, v.Value) {
				return nil, &enrich.Trouble{Code: enrich.CodeRejected, Err: errors.New("answered 400")}
			}
		}
		return known()(ctx, o)
	}
}

// TestStreamQueuesRejected has alerts that MISP never answers, among others and alone: they are queued, and all others
// go on.
func TestStreamQueuesRejected(t *testing.T) {
	tests := []struct {
		name    string
		batches [][]int // ids of alerts; 2 and 6 are never answered
		want    []string
		queued  int
	}{
		{"among others", [][]int{{1, 2, 3}, {4}}, []string{"error misp_rejected", "sent 1", "sent 3", "done 0", "sent 4", "done 1"}, 1},
		{"alone", [][]int{{2}, {3}}, []string{"error misp_rejected", "done 0", "sent 3", "done 1"}, 1},
		{"nothing else", [][]int{{2}}, []string{"error misp_rejected", "done 0"}, 1},
		{"all of a batch", [][]int{{2, 6, 2}, {2}}, []string{"error misp_rejected", "done 0", "done 1"}, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var texts [][]string
				for _, ids := range tt.batches {
					var batch []string
					for _, id := range ids {
						batch = append(batch, text(t, id))
					}
					texts = append(texts, batch)
				}
				w := newStream(t, texts...)
				w.Circuit.Asked = rejecting("192.31.196.3", "192.31.196.7")
				_, err := w.run(t, time.Minute)
				must(t, err)
				expect(t, "what happened", tt.want, w.read())
				if depth, err := w.Spool.Depth(); err != nil || depth.Alerts != tt.queued {
					t.Errorf("the spool holds %+v, %v", depth, err)
				}
			})
		})
	}
}

// TestStreamIsolatesAgain has an alert that is answered alone at first and rejected later: it is queued, and none of its
// events is sent.
func TestStreamIsolatesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStream(t, []string{text(t, 1), text(t, 2)})
		began := time.Now()
		w.Circuit.Asked = lookup(func(ctx context.Context, o []engine.Observable) ([]enrich.Match, error) {
			alone := ""
			if len(o) == 1 {
				alone = o[0].Value
			}
			switch early := time.Since(began) < 30*time.Second; {
			case early && alone == "192.31.196.2", !early && alone != "192.31.196.2" && len(o) == 1:
				return known()(ctx, o)
			}
			return nil, &enrich.Trouble{Code: enrich.CodeRejected, Err: errors.New("answered 400")}
		})
		_, err := w.run(t, time.Minute)
		must(t, err)
		expect(t, "what happened", []string{"error misp_rejected", "sent 2", "done 0"}, w.read())
		if depth, err := w.Spool.Depth(); err != nil || depth.Alerts != 1 || w.meter.matched.Load() != 1 {
			t.Errorf("the spool holds %+v, %v; %d alerts matched", depth, err, w.meter.matched.Load())
		}
	})
}

// TestStreamAnswersAgain has alerts that were answered alone before all are answered together: only the last answer counts.
func TestStreamAnswersAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStream(t, []string{text(t, 1), text(t, 2), text(t, 3)})
		began := time.Now()
		w.Circuit.Asked = lookup(func(ctx context.Context, o []engine.Observable) ([]enrich.Match, error) {
			if time.Since(began) > 30*time.Second || len(o) == 1 && slices.Contains([]string{"192.31.196.2", "192.31.196.3"}, o[0].Value) {
				return known()(ctx, o) // with other attributes, together and alone
			}
			return nil, &enrich.Trouble{Code: enrich.CodeRejected, Err: errors.New("answered 400")}
		})
		w.Sink = sinkFunc(func(_ context.Context, e enrich.Enrichment) error {
			w.add("sent %s with %s", e.Body.Source.AlertID, e.Body.MatchCount)
			return nil
		})
		_, err := w.run(t, time.Minute)
		must(t, err)
		expect(t, "what happened", []string{"sent 1 with 1", "sent 2 with 1", "sent 3 with 1", "done 0"}, w.read())
	})
}

// TestStreamUnreachable has a MISP that answers nothing: it is not asked for each alert alone, no alert is queued, and
// each is answered once when MISP is reachable again.
func TestStreamUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStream(t, []string{text(t, 1), text(t, 2), text(t, 3), text(t, 4), text(t, 5)})
		began, questions := time.Now(), 0
		w.Circuit.Asked = lookup(func(ctx context.Context, o []engine.Observable) ([]enrich.Match, error) {
			if questions++; time.Since(began) < time.Minute {
				return nil, &enrich.Trouble{Code: enrich.CodeUnavailable, Err: errors.New("answered 500"), Answered: true}
			}
			return known()(ctx, o)
		})
		_, err := w.run(t, 2*time.Minute)
		must(t, err)
		expect(t, "what happened", []string{"sent 1", "sent 2", "sent 3", "sent 4", "sent 5", "done 0"}, w.read())
		if questions > 60 {
			t.Errorf("%d questions in a minute", questions)
		}
	})
}

// TestStreamReload changes the pipeline, and has the source fail: what was begun ends on the old one.
func TestStreamReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStream(t, []string{text(t, 1)}, []string{text(t, 2)})
		old, calls := w.QueueingPipeline, 0
		other := newQueueing(t, t.TempDir(), chance{})
		other.Circuit.Asked, other.Sink = (&oracle{}), w.Sink // knows none of the values
		w.Stream.Pipeline = func() *enrich.QueueingPipeline {
			calls++
			return map[bool]*enrich.QueueingPipeline{true: old, false: other}[calls == 1]
		}
		old.Circuit.Asked = lookup(func(ctx context.Context, o []engine.Observable) ([]enrich.Match, error) {
			time.Sleep(time.Second)
			return known()(ctx, o)
		})
		w.source.err = errors.New("the disk is gone")
		_, err := w.run(t, time.Hour)
		if !errors.Is(err, w.source.err) {
			t.Errorf("error %v", err)
		}
		expect(t, "what happened", []string{"sent 1", "done 0", "done 1"}, w.read())
	})
}
