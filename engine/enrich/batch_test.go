package enrich_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
)

// oracle is a look-up that knows the values that begin with "hit", refuses those that begin with "bad", and remembers
// what it was asked.
type oracle struct {
	takes time.Duration
	err   error // for every question, if set

	mu        sync.Mutex
	questions []string // the values of each, sorted
	once      []bool   // whether it was to be tried once only
}

func (o *oracle) Lookup(ctx context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	var values []string
	var hits []engine.Observable
	bad := false
	for _, v := range observables {
		values = append(values, v.Value)
		bad = bad || strings.HasPrefix(v.Value, "bad")
		if strings.HasPrefix(v.Value, "hit") {
			hits = append(hits, v)
		}
	}
	slices.Sort(values)
	o.mu.Lock()
	o.questions, o.once = append(o.questions, strings.Join(values, " ")), append(o.once, enrich.OneTry(ctx))
	err := o.err
	o.mu.Unlock()
	select {
	case <-time.After(o.takes):
	case <-ctx.Done():
		return nil, &enrich.Trouble{Code: enrich.CodeUnavailable, Err: context.Cause(ctx)}
	}
	switch {
	case err != nil:
		return nil, err
	case bad:
		return nil, &enrich.Trouble{Code: enrich.CodeRejected, Err: errors.New("answered 400")}
	}
	return known()(ctx, hits)
}

// asked returns the questions since it was last called.
func (o *oracle) asked() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	q := o.questions
	o.questions = nil
	return q
}

func observable(value string) engine.Observable { return engine.Observable{Type: "md5", Value: value} }

// values returns the observables of a text with blanks between.
func values(text string) (observables []engine.Observable) {
	for v := range strings.FieldsSeq(text) {
		observables = append(observables, observable(v))
	}
	return observables
}

// knowing knows one value.
func knowing(value string) lookup {
	return func(ctx context.Context, observables []engine.Observable) ([]enrich.Match, error) {
		return known()(ctx, slices.DeleteFunc(slices.Clone(observables), func(o engine.Observable) bool { return o.Value != value }))
	}
}

// matched sums up an answer: the values with a match, or the code of the error.
func matched(matches []enrich.Match, err error) string {
	if t, ok := errors.AsType[*enrich.Trouble](err); ok {
		return "error " + string(t.Code)
	}
	if err != nil {
		return "error " + err.Error()
	}
	var values []string
	for _, m := range matches {
		values = append(values, m.Observable.Value)
	}
	slices.Sort(values)
	return strings.Join(values, " ")
}

// ask has one caller for each of some texts, all at the same time, who asks for the values in it. It returns their
// answers.
func ask(l enrich.Lookup, callers ...string) []string {
	answers := make([]string, len(callers))
	var all sync.WaitGroup
	for i, text := range callers {
		all.Go(func() { answers[i] = matched(l.Lookup(context.Background(), values(text))) })
		synctest.Wait() // so that they come in this order
	}
	all.Wait()
	return answers
}

// usual are limits that a test changes.
var usual = enrich.BatchLimits{
	Values: 100, Wait: 50 * time.Millisecond, Parallel: 2, Timeout: 10 * time.Second, Hit: 10 * time.Minute, Miss: time.Minute, Entries: 1000,
}

// inBubble runs a test with a batch over an oracle that takes 100 ms, on a clock of its own.
func inBubble(t *testing.T, change func(*enrich.BatchLimits), test func(t *testing.T, b *enrich.Batch, o *oracle)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		limits := usual
		if change != nil {
			change(&limits)
		}
		o := &oracle{takes: 100 * time.Millisecond}
		b := enrich.NewBatch(t.Context(), o, limits)
		test(t, b, o)
		b.Close()
		if n := b.Waiting(); n != 0 {
			t.Errorf("%d observables are still waited for", n)
		}
	})
}

// TestBatchExpect asks a small question, which says nothing about the time that each value takes, and large ones.
func TestBatchExpect(t *testing.T) {
	inBubble(t, func(l *enrich.BatchLimits) { l.Values = 1000 }, func(t *testing.T, b *enrich.Batch, o *oracle) {
		ask := func(values int, takes, want time.Duration) {
			t.Helper()
			o.takes = takes
			var observables []engine.Observable
			for i := range values {
				observables = append(observables, engine.Observable{Type: "md5", Value: fmt.Sprint(takes, i)})
			}
			_, err := b.Lookup(t.Context(), observables)
			must(t, err)
			if got := b.Expect(2000); got != want {
				t.Errorf("after %d values in %s: %s for 2,000, want %s", values, takes, got, want)
			}
		}
		ask(99, time.Second, 0)
		ask(500, 100*time.Millisecond, 400*time.Millisecond)
		ask(99, 2*time.Second, 400*time.Millisecond)
		ask(1000, 500*time.Millisecond, 550*time.Millisecond) // it counts for a quarter
	})
}

func TestBatchPutsTogether(t *testing.T) {
	tests := []struct {
		name      string
		values    int
		callers   []string
		answers   []string
		questions []string
	}{
		{"one", 100, []string{"hit-1"}, []string{"hit-1"}, []string{"hit-1"}},
		{"the same by two", 100, []string{"hit-1", "hit-1"}, []string{"hit-1", "hit-1"}, []string{"hit-1"}},
		{"twice by one", 100, []string{"hit-1 hit-1"}, []string{"hit-1 hit-1"}, []string{"hit-1"}},
		{"nothing", 100, []string{""}, []string{""}, nil},
		{"many", 100, []string{"hit-1 a", "b", "hit-2 a"}, []string{"hit-1", "", "hit-2"}, []string{"a b hit-1 hit-2"}},
		{"more than fit", 3, []string{"a", "b", "c", "d", "e", "f", "hit-1"}, []string{"", "", "", "", "", "", "hit-1"}, []string{"a b c", "d e f", "hit-1"}},
		{"more than fit, of one", 2, []string{"a b c hit-1 d"}, []string{"hit-1"}, []string{"a b", "c hit-1", "d"}},
		{"a rejected one", 100, []string{"a", "bad", "c", "hit-1", "bad c"}, []string{"", "error misp_rejected", "", "hit-1", "error misp_rejected"}, []string{"a bad c hit-1", "a bad", "a", "bad", "c hit-1"}},
		{"two rejected ones", 100, []string{"bad-1", "a", "hit-1", "bad-2"}, []string{"error misp_rejected", "", "hit-1", "error misp_rejected"}, []string{"a bad-1 bad-2 hit-1", "a bad-1", "bad-1", "a", "bad-2 hit-1", "hit-1", "bad-2"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(l *enrich.BatchLimits) { l.Values, l.Parallel = tt.values, 1 }, func(t *testing.T, b *enrich.Batch, o *oracle) {
				expect(t, "answers", tt.answers, ask(b, tt.callers...))
				got := o.asked()
				slices.Sort(got) // full ones may overtake each other
				slices.Sort(tt.questions)
				expect(t, "questions", tt.questions, got)
			})
		})
	}
}

func TestBatchWaits(t *testing.T) {
	inBubble(t, func(l *enrich.BatchLimits) { l.Values = 2 }, func(t *testing.T, b *enrich.Batch, o *oracle) {
		for _, step := range []struct {
			callers []string
			takes   time.Duration
		}{{[]string{"a"}, usual.Wait + o.takes}, {[]string{"b", "c"}, o.takes}, {[]string{"a b c"}, 0}} {
			began := time.Now()
			ask(b, step.callers...)
			if took := time.Since(began); took != step.takes {
				t.Errorf("%q took %s, not %s", step.callers, took, step.takes)
			}
		}
	})
}

func TestBatchRemembers(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *enrich.Batch, o *oracle) {
		ask(b, "hit-1 miss")
		o.asked()
		for _, step := range []struct {
			later time.Duration
			asked []string
		}{
			{59 * time.Second, nil},
			{2 * time.Second, []string{"miss"}},
			{time.Second, nil},
			{8 * time.Minute, []string{"miss"}},
			{61 * time.Second, []string{"hit-1 miss"}},
			{0, nil},
		} {
			time.Sleep(step.later)
			expect(t, "answer", []string{"hit-1"}, ask(b, "hit-1 miss"))
			expect(t, step.later.String()+" later", step.asked, o.asked())
		}
		if _, ok := b.Known(observable("hit-1")); !ok {
			t.Error("what was asked is not known")
		}
		if _, ok := b.Known(observable("never")); ok {
			t.Error("what was never asked is known")
		}
	})
	inBubble(t, func(l *enrich.BatchLimits) { l.Hit, l.Miss = 0, 0 }, func(t *testing.T, b *enrich.Batch, o *oracle) {
		ask(b, "hit-1")
		ask(b, "hit-1")
		expect(t, "nothing is remembered", []string{"hit-1", "hit-1"}, o.asked())
	})
	inBubble(t, nil, func(t *testing.T, b *enrich.Batch, o *oracle) {
		o.err = &enrich.Trouble{Code: enrich.CodeUnavailable, Err: errors.New("unreachable")}
		expect(t, "unreachable", []string{"error misp_unavailable"}, ask(b, "hit-1 a b c"))
		expect(t, "there is no answer: no halves are asked for", []string{"a b c hit-1"}, o.asked())
		o.err = nil
		expect(t, "back: a failure is not remembered", []string{"hit-1"}, ask(b, "hit-1 a b c"))
	})
}

// TestBatchAnswersEachItsOwn checks that a match names the observable of the one who asked, and that filters tell
// questions apart.
func TestBatchAnswersEachItsOwn(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *enrich.Batch, o *oracle) {
		filtered := observable("hit-1")
		filtered.Filter = &engine.Filter{Tags: []string{"tlp:green"}}
		for i, v := range []engine.Observable{observable("hit-1"), observable("hit-1"), filtered} {
			v.Picks = []engine.Pick{{Mapping: fmt.Sprint("m", i)}}
			matches, err := b.Lookup(t.Context(), []engine.Observable{v})
			must(t, err)
			if diff := cmp.Diff(v, matches[0].Observable); diff != "" {
				t.Errorf("observable (-want +got):\n%s", diff)
			}
		}
		expect(t, "questions", []string{"hit-1", "hit-1"}, o.asked())
	})
}

// TestBatchLimit checks that what is known of a value that was looked up by some of its networks is no answer to one who
// looks it up by all, and that shared networks count once.
func TestBatchLimit(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *enrich.Batch, o *oracle) {
		address := engine.Observable{Type: "ip-dst", Value: "192.31.196.1", Limit: 2}
		all := address
		all.Limit = 0
		for _, v := range []engine.Observable{address, address, all, all} {
			_, err := b.Lookup(t.Context(), []engine.Observable{v})
			must(t, err)
		}
		expect(t, "questions", []string{"192.31.196.1", "192.31.196.1"}, o.asked())
		var neighbours []engine.Observable
		for i := range 32 { // 32 addresses, 63 networks of theirs, 19 around these
			neighbours = append(neighbours, engine.Observable{Type: "ip-dst", Value: fmt.Sprint("192.31.197.", i)})
		}
		_, err := b.Lookup(t.Context(), neighbours)
		must(t, err)
		if n := len(o.asked()); n != 2 {
			t.Errorf("%d questions for 114 values, 100 in each", n)
		}
	})
}

func TestBatchCancel(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *enrich.Batch, o *oracle) {
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		var first, second string
		all.Go(func() { first = matched(b.Lookup(ctx, []engine.Observable{observable("hit-1"), observable("a")})) })
		all.Go(func() { second = matched(b.Lookup(t.Context(), []engine.Observable{observable("hit-1")})) })
		time.Sleep(usual.Wait + o.takes/2)
		began := time.Now()
		cancel()
		all.Wait()
		if time.Since(began) != o.takes/2 {
			t.Errorf("the other one waited %s", time.Since(began))
		}
		expect(t, "answers", []string{"error misp_unavailable", "hit-1"}, []string{first, second})
		expect(t, "what was asked is known", []string{""}, ask(b, "a"))
		expect(t, "questions", []string{"a hit-1"}, o.asked())
	})
}

func TestBatchEnds(t *testing.T) {
	t.Run("Close waits", func(t *testing.T) {
		inBubble(t, nil, func(t *testing.T, b *enrich.Batch, o *oracle) {
			var answer string
			go func() { answer = matched(b.Lookup(t.Context(), []engine.Observable{observable("hit-1")})) }()
			synctest.Wait()
			began := time.Now()
			b.Close()
			if took := time.Since(began); took != o.takes {
				t.Errorf("it took %s", took)
			}
			synctest.Wait()
			expect(t, "answer", []string{"hit-1"}, []string{answer})
		})
	})
	t.Run("a question has a time", func(t *testing.T) {
		inBubble(t, func(l *enrich.BatchLimits) { l.Timeout = time.Second }, func(t *testing.T, b *enrich.Batch, o *oracle) {
			o.takes = time.Hour
			began := time.Now()
			expect(t, "answers", []string{"error misp_unavailable", "error misp_unavailable"}, ask(b, "hit-1", "a"))
			if took := time.Since(began); took != time.Second+usual.Wait {
				t.Errorf("it took %s", took)
			}
		})
	})
	t.Run("its context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			b := enrich.NewBatch(ctx, &oracle{takes: time.Hour}, usual)
			time.AfterFunc(time.Second, cancel)
			expect(t, "answers", []string{"error misp_unavailable"}, ask(b, "bad hit-1"))
			b.Close()
		})
	})
}

func TestBatchParallel(t *testing.T) {
	inBubble(t, func(l *enrich.BatchLimits) { l.Values = 1 }, func(t *testing.T, b *enrich.Batch, o *oracle) {
		began := time.Now()
		ask(b, "a b c d e")
		if took := time.Since(began); took != 3*o.takes {
			t.Errorf("5 questions, 2 at a time, took %s", took)
		}
	})
}

// TestBatchFills checks that a question which cannot be asked yet is filled meanwhile.
func TestBatchFills(t *testing.T) {
	inBubble(t, func(l *enrich.BatchLimits) { l.Parallel = 1 }, func(t *testing.T, b *enrich.Batch, o *oracle) {
		var all sync.WaitGroup
		for i, later := range []time.Duration{0, 5, 55, 60} { // the first is asked after 50 ms, for 100 ms
			time.Sleep(later * time.Millisecond)
			all.Go(func() { _, _ = b.Lookup(t.Context(), values(fmt.Sprint("v", i))) })
			synctest.Wait()
		}
		all.Wait()
		expect(t, "questions", []string{"v0 v1", "v2 v3"}, o.asked())
	})
}

// TestBatchFilter checks that values which the configured filter does not want take no room: an address alone is one value.
func TestBatchFilter(t *testing.T) {
	exact := engine.Filter{MatchKinds: []engine.MatchKind{engine.MatchExact}}
	inBubble(t, func(l *enrich.BatchLimits) { l.Filter = exact }, func(t *testing.T, b *enrich.Batch, o *oracle) {
		var addresses []engine.Observable
		for i := range 100 {
			addresses = append(addresses, engine.Observable{Type: "ip-dst", Value: fmt.Sprintf("192.%d.196.1", i)})
		}
		_, err := b.Lookup(t.Context(), addresses)
		must(t, err)
		if n := len(o.asked()); n != 1 {
			t.Errorf("%d questions for 100 values, 100 in each", n)
		}
	})
}

// TestBatchGrows checks that questions grow as long as they are likely to be answered within a time, up to a bound, and only
// when there is more to ask than fits into those that are asked at the same time.
func TestBatchGrows(t *testing.T) {
	grows := func(l *enrich.BatchLimits) { l.Most, l.Aim, l.Parallel, l.Entries = 500, 200*time.Millisecond, 1, 0 }
	inBubble(t, grows, func(t *testing.T, b *enrich.Batch, o *oracle) {
		for _, step := range []struct {
			takes time.Duration // for a question
			sizes []int         // of the questions for 700 values
		}{
			{100 * time.Millisecond, []int{100, 200, 200, 200}}, // 1 ms for each value at first
			{time.Millisecond, []int{100, 300, 300}},            // the first one is asked at once
			{time.Millisecond, []int{100, 500, 100}},
			{time.Minute, []int{100, 500, 100}}, // none is answered
		} {
			o.takes, o.questions = step.takes, nil
			var observables []engine.Observable
			for i := range 700 {
				observables = append(observables, observable(fmt.Sprint(i)))
			}
			_, _ = b.Lookup(t.Context(), observables)
			b.Close()
			var sizes []int
			for _, q := range o.asked() {
				sizes = append(sizes, len(strings.Fields(q)))
			}
			if diff := cmp.Diff(step.sizes, sizes); diff != "" {
				t.Errorf("%s: values of each question (-want +got):\n%s", step.takes, diff)
			}
		}
	})
}

// TestBatchNoAnswer checks what is said to a caller whose time ends, or who is cancelled.
func TestBatchNoAnswer(t *testing.T) {
	inBubble(t, func(l *enrich.BatchLimits) { l.Name = "MISP at misp.example.org" }, func(t *testing.T, b *enrich.Batch, o *oracle) {
		o.takes = 5 * time.Second
		brief, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer stop()
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		for want, ctx := range map[string]context.Context{
			"MISP at misp.example.org did not answer in time: no answer after 300ms; is MISP overloaded? misp.timeout and timeout set how long we wait": brief,
			"MISP at misp.example.org had not answered when the look-up was cancelled":                                                                  cancelled,
		} {
			_, err := b.Lookup(ctx, values("a"))
			if err == nil || err.Error() != want || !errors.Is(err, context.Cause(ctx)) {
				t.Errorf("%v, want %s", err, want)
			}
		}
	})
}

// TestBatchTriesOnce checks that a question is a patient one if one of those who ask has patience.
func TestBatchTriesOnce(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *enrich.Batch, o *oracle) {
		once := enrich.WithOneTry(t.Context())
		for _, contexts := range [][]context.Context{{once}, {once, t.Context()}, {t.Context(), once}} {
			var all sync.WaitGroup
			for i, ctx := range contexts {
				all.Go(func() {
					_, _ = b.Lookup(ctx, []engine.Observable{observable(fmt.Sprint(len(contexts), i, len(o.once)))})
				})
			}
			all.Wait()
		}
		if diff := cmp.Diff([]bool{true, false, false}, o.once); diff != "" {
			t.Errorf("tried once (-want +got):\n%s", diff)
		}
	})
}

// TestBatchAllRejected bounds what a MISP is asked that rejects everything.
func TestBatchAllRejected(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *enrich.Batch, o *oracle) {
		var values strings.Builder
		for i := range 90 {
			fmt.Fprintf(&values, "bad-%d ", i)
		}
		expect(t, "answer", []string{"error misp_rejected"}, ask(b, values.String()))
		b.Close()
		if n := len(o.asked()); n > 1+2+4 {
			t.Errorf("%d questions", n)
		}
	})
}

// TestBatchRace has many callers ask for few values, on the real clock: each is asked for once.
func TestBatchRace(t *testing.T) {
	o := &oracle{takes: time.Millisecond}
	limits := usual
	limits.Values, limits.Wait = 7, time.Millisecond
	b := enrich.NewBatch(t.Context(), o, limits)
	var all sync.WaitGroup
	var wrong atomic.Int32
	for range 50 {
		all.Go(func() {
			for range 20 {
				value, want := fmt.Sprint("hit-", rand.IntN(40)), "" //nolint:gosec // a test
				want = value
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(3000))*time.Microsecond) //nolint:gosec // a test
				got := matched(b.Lookup(ctx, []engine.Observable{observable(value), observable("miss")}))
				if got != want && (ctx.Err() == nil || got != "error misp_unavailable") {
					wrong.Add(1)
				}
				cancel()
				b.Waiting()
			}
		})
	}
	all.Wait()
	b.Close()
	if wrong.Load() > 0 {
		t.Errorf("%d answers are wrong", wrong.Load())
	}
	asked := strings.Fields(strings.Join(o.asked(), " "))
	slices.Sort(asked)
	if n := len(asked); n != len(slices.Compact(asked)) {
		t.Error("a value was asked for twice")
	}
}
