package enrich_test

import (
	"context"
	"errors"
	"testing"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
)

// TestMirrorFirst gives the mirror and MISP values that they know, and asks for some.
func TestMirrorFirst(t *testing.T) {
	gone := &enrich.Trouble{Code: enrich.CodeUnavailable, Err: errors.New("unreachable")}
	never := &enrich.Trouble{Code: enrich.CodeMirror, Err: errors.New("there is no mirror yet")}
	ended, end := context.WithCancel(t.Context())
	end()
	tests := []struct {
		name      string
		ctx       context.Context
		ask       string
		mirrorErr error
		liveErr   error
		answer    string
		live      []string // questions to MISP
		missed    bool
	}{
		{name: "the mirror knows all", ask: "hit-1 hit-2", answer: "hit-1 hit-2"},
		{name: "MISP is asked for the rest", ask: "hit-1 new-1 x", answer: "hit-1 new-1", live: []string{"new-1 x"}},
		{name: "no one knows", ask: "x", live: []string{"x"}},
		{name: "MISP is unreachable", ask: "hit-1 new-1", liveErr: gone, answer: "hit-1", live: []string{"new-1"}, missed: true},
		{name: "MISP is unreachable, nothing known", ask: "new-1", liveErr: gone, live: []string{"new-1"}, missed: true},
		{name: "no mirror yet", ask: "hit-1 new-1", mirrorErr: never, answer: "new-1", live: []string{"hit-1 new-1"}},
		{name: "no mirror yet, and MISP is unreachable", ask: "new-1", mirrorErr: never, liveErr: gone, answer: "error misp_unavailable", live: []string{"new-1"}},
		{name: "the program is ended just after the answer", ctx: ended, ask: "hit-1 new-1", answer: "hit-1 new-1", live: []string{"new-1"}},
		{name: "the program is ended", ctx: ended, ask: "hit-1 new-1", liveErr: gone, answer: "error misp_unavailable", live: []string{"new-1"}},
		{name: "the program is ended, and no one else is needed", ctx: ended, ask: "hit-1", answer: "hit-1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			misp := &oracle{err: tt.liveErr}
			p := &enrich.MirrorFirst{
				Mirror: lookup(func(ctx context.Context, o []engine.Observable) ([]enrich.Match, error) {
					if tt.mirrorErr != nil {
						return nil, tt.mirrorErr
					}
					return (&oracle{}).Lookup(context.WithoutCancel(ctx), o)
				}),
				Live: lookup(func(ctx context.Context, o []engine.Observable) ([]enrich.Match, error) {
					if _, err := misp.Lookup(context.WithoutCancel(ctx), o); err != nil {
						return nil, err
					}
					return knowing("new-1")(context.WithoutCancel(ctx), o)
				}),
			}
			ctx := t.Context()
			if tt.ctx != nil {
				ctx = tt.ctx
			}
			matches, err := p.Lookup(ctx, values(tt.ask))
			skipped, missed := errors.AsType[*enrich.SkippedError](err)
			if missed {
				err = nil
			}
			expect(t, "answer", []string{tt.answer}, []string{matched(matches, err)})
			expect(t, "questions to MISP", tt.live, misp.asked())
			if missed != tt.missed || missed && !errors.Is(skipped, tt.liveErr) {
				t.Errorf("missed: %v", skipped)
			}
			p.Whole = true
			if matches, err = p.Lookup(ctx, values(tt.ask)); missed {
				expect(t, "answer as a whole", []string{"error misp_unavailable"}, []string{matched(matches, err)})
			} else {
				expect(t, "answer as a whole", []string{tt.answer}, []string{matched(matches, err)})
			}
		})
	}
}

// TestMirrorFirstFilters has one value under two filters, of which the mirror knows it under one.
func TestMirrorFirstFilters(t *testing.T) {
	loose, strict := observable("hit-1"), observable("hit-1")
	strict.Filter = &engine.Filter{Tags: []string{"tlp:green"}}
	misp := &oracle{}
	p := &enrich.MirrorFirst{Live: misp, Mirror: lookup(func(ctx context.Context, o []engine.Observable) ([]enrich.Match, error) {
		return known()(ctx, o[:1])
	})}
	expect(t, "answer", []string{"hit-1 hit-1"}, []string{matched(p.Lookup(t.Context(), []engine.Observable{loose, strict}))})
	expect(t, "questions to MISP", []string{"hit-1"}, misp.asked())
}

// TestMirrorFirstPart has the mirror know only a part, since one of its sources is damaged. What is MISP's, MISP is asked;
// what only the mirror has is an error.
func TestMirrorFirstPart(t *testing.T) {
	of := func(value, origin string) enrich.Match {
		return enrich.Match{Observable: observable(value), Attribute: &misp.Attribute{Value: value, Origin: origin}}
	}
	gone := &enrich.Trouble{Code: enrich.CodeUnavailable, Err: errors.New("unreachable")}
	for name, tt := range map[string]struct {
		onlyHere bool
		liveErr  error
		answer   string
		live     []string
	}{
		"the mirror of MISP":                          {answer: "feed-1 new-1", live: []string{"feed-1 misp-1 new-1"}},
		"the mirror of MISP, and MISP is unreachable": {liveErr: gone, answer: "error misp_unavailable", live: []string{"feed-1 misp-1 new-1"}},
		"a feed": {onlyHere: true, answer: "error mirror_damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			server := &oracle{err: tt.liveErr}
			p := &enrich.MirrorFirst{
				Mirror: lookup(func(context.Context, []engine.Observable) ([]enrich.Match, error) {
					return []enrich.Match{of("feed-1", "feed"), of("misp-1", misp.OriginServer)},
						&enrich.Trouble{Code: enrich.CodeDamaged, Err: errors.New("damaged"), OnlyHere: tt.onlyHere}
				}),
				Live: lookup(func(ctx context.Context, o []engine.Observable) ([]enrich.Match, error) {
					if _, err := server.Lookup(ctx, o); err != nil {
						return nil, err
					}
					return knowing("new-1")(ctx, o)
				}),
			}
			expect(t, "answer", []string{tt.answer}, []string{matched(p.Lookup(t.Context(), values("feed-1 misp-1 new-1")))})
			expect(t, "questions to MISP", tt.live, server.asked())
		})
	}
}
