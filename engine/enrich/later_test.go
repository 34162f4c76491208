package enrich_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/enrich/spool"
)

// partial is a look-up in a mirror that knows 192.31.196.1, and in a MISP that knows all and may be unreachable.
type partial struct {
	q     *enrich.QueueingPipeline
	gone  error // nil if MISP answers
	asked int   // questions to MISP
}

// newPartial returns a pipeline with that look-up.
func newPartial(t *testing.T) (*partial, *collected) {
	t.Helper()
	p, sink := &partial{q: newQueueing(t, t.TempDir(), chance{})}, &collected{}
	p.q.Sink, p.q.Faults.Sink = sink, sink
	mirror := lookup(func(ctx context.Context, o []engine.Observable) ([]enrich.Match, error) {
		return knowing("192.31.196.1")(ctx, o)
	})
	live := &enrich.Circuit{Outage: p.q.MISP, Asked: lookup(func(ctx context.Context, o []engine.Observable) ([]enrich.Match, error) {
		if p.asked++; p.gone != nil {
			return nil, p.gone
		}
		return known()(ctx, o)
	})}
	p.q.Circuit, p.q.Lookup = nil, &enrich.MirrorFirst{Mirror: mirror, Live: live}
	p.q.Whole = &enrich.MirrorFirst{Mirror: mirror, Live: live, Whole: true}
	return p, sink
}

// expectDelayed checks how many alerts are delayed, and the events that came: the ids of their alerts, and how they were
// looked up.
func (p *partial) expectDelayed(t *testing.T, n int, sink *collected, want ...string) {
	t.Helper()
	depth, err := p.q.Spool.Depth()
	if err != nil || depth.Delayed != n || depth.Alerts != 0 || depth.DeadLetters != 0 {
		t.Errorf("spool: %+v, %v; want %d delayed", depth, err, n)
	}
	var got []string
	for _, e := range sink.events {
		m := gjson.Get(e, "misp")
		if code := m.Get("error").String() + m.Get("recovered").String(); code != "" {
			got = append(got, code)
			continue
		}
		got = append(got, m.Get("source.alert_id").String()+m.Get("match_mode").String())
	}
	expect(t, "events", want, got)
}

// TestDelayed processes alerts in calls and out of the spool while MISP is unreachable: each that the mirror does not know
// is looked up when MISP answers again, and not before.
func TestDelayed(t *testing.T) {
	p, sink := newPartial(t)
	p.gone = &enrich.Trouble{Code: enrich.CodeUnavailable, Err: errors.New("unreachable")}
	process := func(n int) {
		t.Helper()
		r, err := p.q.Process(t.Context(), numbered(t, n))
		if err != nil || r.Queued {
			t.Errorf("alert %d: %+v, %v", n, r, err)
		}
	}
	process(0) // 192.31.196.1
	process(1)
	p.expectDelayed(t, 1, sink, "0", "misp_unavailable")
	asked := p.asked
	process(2)
	if p.asked != asked+1 {
		t.Errorf("a call asked MISP %d times", p.asked-asked)
	}
	put(t, p.q.Spool, spool.Alerts, text(t, 250), text(t, 3)) // 250 is 192.31.196.1 too
	p.q.Drain(t.Context())
	p.expectDelayed(t, 3, sink, "0", "misp_unavailable", "250")
	p.q.Drain(t.Context())
	p.expectDelayed(t, 3, sink, "0", "misp_unavailable", "250")

	p.gone = nil
	process(4)
	p.expectDelayed(t, 0, sink, "0", "misp_unavailable", "250", "4", "1delayed", "2delayed", "3delayed", "misp_unavailable")
}

// TestDelayedFull has a spool that takes nothing while MISP is unreachable: the call fails, and a queued alert stays.
func TestDelayedFull(t *testing.T) {
	p, sink := newPartial(t)
	p.gone = &enrich.Trouble{Code: enrich.CodeUnavailable, Err: errors.New("unreachable")}
	put(t, p.q.Spool, spool.Alerts, text(t, 1))
	must(t, os.WriteFile(filepath.Join(p.q.Spool.Path, "delayed"), nil, 0o600))
	if _, err := p.q.Process(t.Context(), numbered(t, 2)); err == nil || !strings.Contains(err.Error(), "not asked later") {
		t.Errorf("call: %v", err)
	}
	if done := p.q.Drain(t.Context()); done.Alerts != 0 {
		t.Errorf("drained: %+v", done)
	}
	expect(t, "events", []string{"misp_unavailable"}, codes(sink.events))
	p.gone = nil
	must(t, os.Remove(filepath.Join(p.q.Spool.Path, "delayed")))
	if done := p.q.Drain(t.Context()); done.Alerts != 1 || done.Sent != 1 {
		t.Errorf("drained when MISP answers: %+v", done)
	}
}

// codes returns the codes of error events.
func codes(events []string) (codes []string) {
	for _, e := range events {
		codes = append(codes, gjson.Get(e, "misp.error").String())
	}
	return codes
}

// TestStreamLater has a stream with batches that MISP is to be asked about later, and one that the mirror knows.
func TestStreamLater(t *testing.T) {
	p, sink := newPartial(t)
	p.gone = &enrich.Trouble{Code: enrich.CodeUnavailable, Err: errors.New("unreachable")}
	j := &journal{}
	source := &laterBatches{batches{journal: j, texts: [][][]byte{{[]byte(text(t, 0))}, {[]byte(text(t, 0)), []byte(text(t, 1))}, {[]byte(text(t, 2))}}, err: io.EOF}}
	run := func(q *enrich.QueueingPipeline) {
		t.Helper()
		s := enrich.Stream{Source: source, Pipeline: func() *enrich.QueueingPipeline { return q }}
		if err := s.Run(t.Context()); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	}
	run(p.q)
	expect(t, "what happened", []string{"done 0", "later 1", "done 1", "later 2", "done 2"}, j.read())
	p.expectDelayed(t, 0, sink, "0", "0")

	p.gone, source.next, j.lines = nil, 0, nil
	run(p.q.Later())
	expect(t, "what happened", []string{"done 0", "done 1", "done 2"}, j.read())
	p.expectDelayed(t, 0, sink, "0", "0", "0delayed", "0delayed", "1delayed", "2delayed")
}

// laterBatches writes down which batches are to be done later.
type laterBatches struct{ batches }

func (b *laterBatches) Next(ctx context.Context) (enrich.Alerts, error) {
	n := b.next
	a, err := b.batches.Next(ctx)
	a.Later = func() { b.journal.add("later %d", n) }
	return a, err
}

// TestSkippedWarning has a pipeline without a spool, as for a verb: it says what was not asked.
func TestSkippedWarning(t *testing.T) {
	p, sink := newPartial(t)
	p.gone = errors.New("unreachable")
	for n, want := range map[int]string{0: "<nil>", 1: "MISP was not asked for what the mirror does not know: unreachable"} {
		out, err := p.q.Pipeline.Process(t.Context(), numbered(t, n))
		if got := fmt.Sprint(out.Warning); err != nil || got != want {
			t.Errorf("alert %d: %s, %v", n, got, err)
		}
	}
	p.expectDelayed(t, 0, sink, "0")
}
