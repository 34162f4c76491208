package enrich_test

import (
	"errors"
	"testing"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/enrich/spool"
)

// TestZeroValues uses types of which nothing, or only what is needed, is set: none panics, and what cannot work says so.
func TestZeroValues(t *testing.T) {
	t.Chdir(t.TempDir()) // nothing may be written where the program happens to be
	ctx, a, hit := t.Context(), numbered(t, 1), hitEvent("1", "a")
	looksUp := func(l enrich.Lookup) error {
		_, err := l.Lookup(ctx, values("hit-1"))
		return err
	}
	picks := newQueueing(t, t.TempDir(), chance{}).Engine
	for name, tt := range map[string]struct {
		do   func() error
		code enrich.Code // of the error; empty for none
	}{
		"Pipeline":                  {func() error { _, err := new(enrich.Pipeline).Process(ctx, a); return err }, ""},
		"Pipeline without a Lookup": {func() error { _, err := (&enrich.Pipeline{Engine: picks}).Process(ctx, a); return err }, enrich.CodeConfig},
		"Pipeline without a Sink": {func() error {
			_, err := (&enrich.Pipeline{Engine: picks, Lookup: known()}).Process(ctx, a)
			return err
		}, enrich.CodeConfig},
		"QueueingPipeline": {func() error {
			q := &enrich.QueueingPipeline{}
			_, err := q.Process(ctx, a)
			q.Drain(ctx)
			q.ReportOutage(ctx, a)
			q.Report(ctx, a, errors.New("something"))
			return err
		}, ""},
		"QueueingPipeline without a Spool": {func() error {
			_, err := (&enrich.QueueingPipeline{Pipeline: enrich.Pipeline{Engine: picks}}).Process(ctx, a)
			return err
		}, enrich.CodeSpool},
		"QueueingPipeline with a Spool": {func() error {
			q := &enrich.QueueingPipeline{Pipeline: enrich.Pipeline{Engine: picks}, Spool: &spool.Dir{Path: t.TempDir()}, DrainTime: time.Second}
			r, err := q.Process(ctx, a)
			if !r.Queued {
				t.Error("the alert is not queued")
			}
			q.Lookup, q.Sink = known(), &collected{}
			if done := q.Drain(ctx); done.Alerts != 1 || done.Sent != 1 {
				t.Errorf("drained %+v", done)
			}
			return err
		}, ""},
		"Batch":          {func() error { return looksUp(&enrich.Batch{}) }, enrich.CodeConfig},
		"empty Batch":    {func() error { b := &enrich.Batch{}; b.Close(); b.Waiting(); b.Known(engine.Observable{}); return nil }, ""},
		"NewBatch":       {func() error { return looksUp(enrich.NewBatch(ctx, known(), enrich.BatchLimits{})) }, ""},
		"Circuit":        {func() error { return looksUp(&enrich.Circuit{}) }, enrich.CodeConfig},
		"Circuit asking": {func() error { return looksUp(&enrich.Circuit{Asked: known()}) }, ""},
		"MirrorFirst":    {func() error { return looksUp(&enrich.MirrorFirst{}) }, enrich.CodeConfig},
		"MirrorFirst of a mirror": {func() error {
			return looksUp(&enrich.MirrorFirst{Mirror: known()})
		}, ""},
		"OutageFile": {func() error { _, err := enrich.OutageFile{}.Load(); return err }, ""},
		"Dedup":      {func() error { d := &enrich.Dedup{}; return errors.Join(d.Send(ctx, hit), d.Close()) }, enrich.CodeConfig},
		"Throttle":   {func() error { return new(enrich.Throttle).Send(ctx, hit) }, enrich.CodeConfig},
		"Throttle without a directory": {func() error {
			sink := &counting{}
			throttle := &enrich.Throttle{Sink: sink, Interval: time.Hour}
			event := enrich.TroubleEvent(a, errors.New("something"))
			err := errors.Join(throttle.Send(ctx, event), throttle.Send(ctx, event))
			if sink.n != 2 {
				t.Errorf("%d sent", sink.n)
			}
			return err
		}, ""},
		"Sightings": {func() error { _, err := new(enrich.Sightings).Report(ctx, a, nil); return err }, ""},
		"Sightings without a directory": {func() error {
			matches, _ := known()(ctx, values("a"))
			sighter := &seen{}
			_, err := (&enrich.Sightings{Sighter: sighter}).Report(ctx, a, matches)
			if len(sighter.got) != 1 || sighter.got[0].Time.IsZero() {
				t.Errorf("sightings %+v", sighter.got)
			}
			return err
		}, ""},
		"Stream": {func() error { return enrich.Stream{}.Run(ctx) }, ""},
		"Stream of a source": {func() error {
			source := &batches{journal: &journal{}, texts: [][][]byte{{a.JSON, []byte("x")}}, err: &enrich.Trouble{Code: enrich.CodeAlerts, Err: errors.New("end")}}
			q := &enrich.QueueingPipeline{Pipeline: enrich.Pipeline{Engine: picks, Lookup: known(), Sink: &collected{}}}
			err := enrich.Stream{Source: source, Pipeline: func() *enrich.QueueingPipeline { return q }}.Run(ctx)
			expect(t, "what happened", []string{"done 0"}, source.journal.read())
			return err
		}, enrich.CodeAlerts},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tt.do(); (err != nil) != (tt.code != "") || err != nil && !hasCode(err, tt.code) {
				t.Errorf("error %v, want code %q", err, tt.code)
			}
		})
	}
}
