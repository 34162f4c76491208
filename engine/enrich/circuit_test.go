package enrich_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/enrich"
)

// TestCircuit takes a look-up through an outage, on a clock of its own: how long each question may take, whether it is
// to be tried once, and what is remembered of the outage.
func TestCircuit(t *testing.T) {
	gone := &enrich.Trouble{Code: enrich.CodeUnavailable, Err: errors.New("unreachable"), Answered: true}
	limited := &enrich.Trouble{Code: enrich.CodeRateLimited, Err: errors.New("slowly"), Answered: true, Wait: 10 * time.Second}
	synctest.Test(t, func(t *testing.T) {
		o := &oracle{takes: time.Millisecond}
		file := enrich.OutageFile{Path: filepath.Join(t.TempDir(), "misp.json")}
		c := &enrich.Circuit{Asked: o, Outage: file}
		for _, step := range []struct {
			name   string
			later  time.Duration
			takes  time.Duration
			err    error
			answer string
			took   time.Duration
			asked  int
			once   bool
			down   bool
		}{
			{name: "at first", takes: time.Second, answer: "hit-1", took: time.Second, asked: 1},
			{name: "it becomes unreachable", takes: time.Second, err: gone, answer: "error misp_unavailable", took: time.Second, asked: 1, down: true},
			{name: "briefly then", takes: 8 * time.Second, answer: "error misp_unavailable", took: 300 * time.Millisecond, asked: 1, once: true, down: true},
			{name: "every half minute with patience", later: 30 * time.Second, takes: 8 * time.Second, err: gone, answer: "error misp_unavailable", took: 8 * time.Second, asked: 1, once: true, down: true},
			{name: "briefly again", takes: 8 * time.Second, answer: "error misp_unavailable", took: 300 * time.Millisecond, asked: 1, once: true, down: true},
			{name: "it is reachable again", takes: time.Millisecond, answer: "hit-1", took: time.Millisecond, asked: 1, once: true},
			{name: "with patience as before", takes: 8 * time.Second, answer: "hit-1", took: 8 * time.Second, asked: 1},
			{name: "longer than a call", takes: time.Minute, answer: "error misp_unavailable", took: 10 * time.Second, asked: 1, down: true},
			{name: "reachable once more", answer: "hit-1", asked: 1, once: true},
			{name: "it sends Retry-After", err: limited, answer: "error misp_rate_limited", asked: 1, down: true},
			{name: "which is honoured", later: 9 * time.Second, answer: "error misp_rate_limited", down: true},
			{name: "until then", later: 2 * time.Second, answer: "hit-1", asked: 1, once: true},
		} {
			time.Sleep(step.later)
			o.takes, o.err = step.takes, step.err
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			began := time.Now()
			answer := matched(c.Lookup(ctx, values("hit-1")))
			took := time.Since(began)
			cancel()
			once := len(o.once) > 0 && o.once[len(o.once)-1]
			state, err := file.Load()
			must(t, err)
			if n := len(o.asked()); answer != step.answer || took != step.took || n != step.asked || n > 0 && once != step.once || state.Unreachable() != step.down {
				t.Errorf("%s: answer %q, took %s, %d questions, once %t, unreachable %t; want %+v", step.name, answer, took, n, once, state.Unreachable(), step)
			}
		}
	})
}

// TestCircuitEnd ends the program while a question is asked: that is no outage.
func TestCircuitEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := enrich.OutageFile{Path: filepath.Join(t.TempDir(), "misp.json")}
		c := &enrich.Circuit{Asked: &oracle{takes: time.Hour}, Outage: file}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		expect(t, "answer", []string{"error misp_unavailable"}, []string{matched(c.Lookup(ctx, values("hit-1")))})
		if o, err := file.Load(); err != nil || !o.Since.IsZero() {
			t.Errorf("outage %+v, %v", o, err)
		}
	})
}

// newCircuit returns a circuit around an oracle, on the clock of a bubble.
func newCircuit(t *testing.T) (*enrich.Circuit, *oracle) {
	t.Helper()
	o := &oracle{}
	return &enrich.Circuit{Asked: o, Outage: enrich.OutageFile{Path: filepath.Join(t.TempDir(), "misp.json")}}, o
}

// TestCircuitRetryAfter has a server that wants no question for a while: it gets none until then, but for no longer than a
// minute.
func TestCircuitRetryAfter(t *testing.T) {
	for wait, want := range map[time.Duration]time.Duration{0: 0, 10 * time.Second: 10 * time.Second, time.Minute: time.Minute, 15 * time.Minute: time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			c, o := newCircuit(t)
			o.err = &enrich.Trouble{Code: enrich.CodeRateLimited, Err: errors.New("too many questions"), Wait: wait, Answered: true}
			_, _ = c.Lookup(t.Context(), values("hit-1"))
			o.err = nil
			began := time.Now()
			_, err := c.Lookup(t.Context(), values("hit-1"))
			for ; err != nil && time.Since(began) < time.Hour; _, err = c.Lookup(t.Context(), values("hit-1")) {
				if !strings.HasPrefix(err.Error(), "backing off as MISP asked for (Retry-After): ") || !hasCode(err, enrich.CodeRateLimited) {
					t.Errorf("error %v", err)
				}
				time.Sleep(time.Second)
			}
			if took := time.Since(began); took != want || len(o.asked()) != 2 {
				t.Errorf("Retry-After %s: asked again after %s, want %s", wait, took, want)
			}
		})
	}
}

// TestCircuitClockSetBack sets the clock back by an hour during an outage: what the record says of the future does not
// count.
func TestCircuitClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, o := newCircuit(t)
		o.err = &enrich.Trouble{Code: enrich.CodeRateLimited, Err: errors.New("too many questions"), Wait: time.Minute, Answered: true}
		_, _ = c.Lookup(t.Context(), values("hit-1"))
		o.asked()
		c.Outage.Now = func() time.Time { return time.Now().Add(-time.Hour) }
		o.err, o.takes = nil, 8*time.Second // longer than an impatient question may take
		expect(t, "answer", []string{"hit-1"}, []string{matched(c.Lookup(t.Context(), values("hit-1")))})
	})
}

// TestCircuitPatience asks once a second during an outage: one question in 30 s may take as long as usual.
func TestCircuitPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, o := newCircuit(t)
		o.takes = time.Hour
		var patient []time.Duration
		began := time.Now()
		for time.Since(began) < 100*time.Second {
			at := time.Since(began)
			ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
			_, _ = c.Lookup(ctx, values("hit-1"))
			cancel()
			if took := time.Since(began) - at; took > 300*time.Millisecond {
				patient = append(patient, at)
			}
			time.Sleep(time.Second - (time.Since(began) - at))
		}
		// The time of a patient question is noted when it has failed, 0.9 s later.
		want := []time.Duration{0, 31 * time.Second, 62 * time.Second, 93 * time.Second}
		if diff := cmp.Diff(want, patient); diff != "" {
			t.Errorf("patient questions (-want +got):\n%s", diff)
		}
	})
}

// hasCode reports whether an error has a code.
func hasCode(err error, code enrich.Code) bool {
	t, ok := errors.AsType[*enrich.Trouble](err)
	return ok && t.Code == code
}

// TestCircuitReason checks that a brief question which runs out of time does not replace the reason that a patient one found,
// and that a later patient one does.
func TestCircuitReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, o := newCircuit(t)
		expectReason := func(code enrich.Code, description string) {
			t.Helper()
			got, err := c.Outage.Load()
			if err != nil || got.Code != code || got.Description != description {
				t.Errorf("%s %q, %v; want %s %q", got.Code, got.Description, err, code, description)
			}
		}
		o.err = &enrich.Trouble{Code: enrich.CodeTLS, Err: errors.New("wants https"), Remedy: "set misp.url"}
		_, _ = c.Lookup(t.Context(), values("hit-1"))
		o.err, o.takes = nil, time.Minute
		_, _ = c.Lookup(t.Context(), values("hit-1"))
		expectReason(enrich.CodeTLS, "wants https; set misp.url")
		time.Sleep(time.Hour)
		o.err, o.takes = &enrich.Trouble{Code: enrich.CodeUnavailable, Err: errors.New("unreachable")}, time.Second
		_, _ = c.Lookup(t.Context(), values("hit-1"))
		expectReason(enrich.CodeUnavailable, "unreachable")
	})
}
