package enrich

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jellydator/ttlcache/v3"

	"custom-misp/engine"
)

// A Batch is a [Lookup] that joins what many callers want to know in common questions, asks the same only once, and
// remembers the answers for a while. It is safe for concurrent use. Make one with [NewBatch]; another has no answer.
type Batch struct {
	asked    Lookup
	limits   BatchLimits
	known    *ttlcache.Cache[answerKey, []Match] // nil if nothing is remembered
	ctx      context.Context                     // of the questions: they outlive the callers
	slots    chan struct{}                       // one for each question that may be asked at the same time
	mu       sync.Mutex
	waiting  []*pending      // for the next question
	values   map[string]bool // of the next question
	deadline *time.Timer     // when it is asked
	pending  map[answerKey]*pending
	asks     sync.WaitGroup
	pace     atomic.Int64 // nanoseconds that large questions took for each value; 0 if that is not known yet
}

// BatchLimits says how questions are joined, and how long answers are remembered.
type BatchLimits struct {
	Values   int           // in one question; 0 for one observable
	Wait     time.Duration // for others, before a question is asked that is not full
	Parallel int           // questions at the same time; 0 for one
	Timeout  time.Duration // of a question; 0 for none
	Hit      time.Duration // how long it is remembered that a value is known
	Miss     time.Duration // and that it is not
	Entries  int           // of which this is remembered; 0 for none
}

// pending is an observable that is asked for.
type pending struct {
	observable engine.Observable
	key        answerKey
	patient    bool
	done       chan struct{} // closed when what follows is set
	matches    []Match
	err        error
}

// NewBatch returns a Batch that asks another Lookup until ctx ends. Wait for the last questions with [Batch.Close].
func NewBatch(ctx context.Context, asked Lookup, limits BatchLimits) *Batch {
	b := &Batch{
		asked: asked, limits: limits, ctx: ctx, slots: make(chan struct{}, max(1, limits.Parallel)), pending: map[answerKey]*pending{},
		values: map[string]bool{},
	}
	if limits.Entries > 0 {
		b.known = ttlcache.New(
			ttlcache.WithCapacity[answerKey, []Match](uint64(limits.Entries)),
			ttlcache.WithDisableTouchOnHit[answerKey, []Match](),
		)
	}
	return b
}

// Close waits for questions that are being asked.
func (b *Batch) Close() {
	b.mu.Lock()
	b.flush()
	b.mu.Unlock()
	b.asks.Wait()
}

// Expect returns how long a question for so many values is likely to take, by what the last large ones took; 0 if that is
// not known yet.
func (b *Batch) Expect(values int) time.Duration { return time.Duration(b.pace.Load() * int64(values)) }

// leastForPace is how many values a question must have for its time to say what each of them costs.
const leastForPace = 100

// measure notes how long a question took.
func (b *Batch) measure(values int, took time.Duration) {
	if values < leastForPace {
		return
	}
	pace := took.Nanoseconds() / int64(values)
	if before := b.pace.Load(); before > 0 {
		pace = (3*before + pace) / 4
	}
	b.pace.Store(pace)
}

// Waiting returns how many observables are waited for.
func (b *Batch) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.pending)
}

// Known returns the matches of an observable whose answer is remembered, which may be none; false if it is not.
func (b *Batch) Known(o engine.Observable) ([]Match, bool) {
	if b.known == nil {
		return nil, false
	}
	item := b.known.Get(keyOf(o))
	if item == nil {
		return nil, false
	}
	return own(item.Value(), o), true
}

// own returns matches as those of an observable: who picked it where is not the same for all who ask.
func own(matches []Match, o engine.Observable) []Match {
	mine := make([]Match, len(matches))
	for i, m := range matches {
		m.Observable = o
		mine[i] = m
	}
	return mine
}

// Lookup implements Lookup.
func (b *Batch) Lookup(ctx context.Context, observables []engine.Observable) ([]Match, error) {
	if b.asked == nil {
		return ask(ctx, nil, observables)
	}
	var matches []Match
	var wanted []*pending
	var of []engine.Observable
	b.mu.Lock()
	for _, o := range observables {
		if known, ok := b.Known(o); ok {
			matches = append(matches, known...)
			continue
		}
		wanted = append(wanted, b.want(o, !OneTry(ctx)))
		of = append(of, o)
	}
	b.mu.Unlock()
	for i, a := range wanted {
		select {
		case <-a.done:
		case <-ctx.Done():
			return nil, &Trouble{Code: CodeUnavailable, Err: context.Cause(ctx)}
		}
		if a.err != nil {
			return nil, a.err
		}
		matches = append(matches, own(a.matches, of[i])...)
	}
	return matches, nil
}

// want returns what is pending for an observable: from another caller, or new. The caller holds mu.
func (b *Batch) want(o engine.Observable, patient bool) *pending {
	key := keyOf(o)
	if a := b.pending[key]; a != nil {
		return a
	}
	a := &pending{observable: o, key: key, patient: patient, done: make(chan struct{})}
	b.pending[key] = a
	related := o.Related()
	further := 0 // two values of an alert are often in the same networks
	for _, r := range related {
		if !b.values[r.Indicator.Key] {
			further++
		}
	}
	if len(b.values)+further > b.limits.Values {
		b.flush()
	}
	b.waiting = append(b.waiting, a)
	for _, r := range related {
		b.values[r.Indicator.Key] = true
	}
	switch {
	case len(b.values) >= b.limits.Values:
		b.flush()
	case len(b.waiting) == 1:
		b.deadline = time.AfterFunc(b.limits.Wait, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.flush()
		})
	}
	return a
}

// flush asks for what is waiting. The caller holds mu.
func (b *Batch) flush() {
	if b.deadline != nil {
		b.deadline.Stop()
		b.deadline = nil
	}
	if len(b.waiting) == 0 {
		return
	}
	question := b.waiting
	b.waiting, b.values = nil, map[string]bool{}
	b.asks.Go(func() {
		b.slots <- struct{}{}
		defer func() { <-b.slots }()
		b.ask(question)
	})
}

const (
	// splits is how many further questions are asked, at most, to find the value that one of many could not be
	// answered for.
	splits = 40
	// silence is how often a question is split although neither half is answered: then the values are not the reason.
	silence = 2
)

// unanswered is a part of a question that there was no answer for.
type unanswered struct {
	part []*pending
	err  error
}

// ask asks. If the question itself may be at fault, it asks for one half of it and for the other, and so on: one value
// must not keep the others from their answers.
func (b *Batch) ask(question []*pending) {
	parts, left, silent := [][]*pending{question}, splits, 0
	for len(parts) > 0 {
		var failed []unanswered
		for _, part := range parts {
			if err := b.askPart(part); err != nil {
				failed = append(failed, unanswered{part, err})
			}
		}
		if silent++; len(failed) < len(parts) {
			silent = 0
		}
		parts = nil
		for _, f := range failed {
			if silent > silence || left < 2 || len(f.part) == 1 || !answeredAtAll(f.err) || b.ctx.Err() != nil {
				b.answer(f.part, nil, f.err)
				continue
			}
			left -= 2
			half := len(f.part) / 2
			parts = append(parts, f.part[:half], f.part[half:])
		}
	}
}

// askPart asks, and answers those who wait unless that fails.
func (b *Batch) askPart(part []*pending) error {
	ctx := b.ctx
	if b.limits.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, b.limits.Timeout)
		defer cancel()
	}
	observables := make([]engine.Observable, len(part))
	patient := false
	for i, a := range part {
		observables[i] = a.observable
		patient = patient || a.patient
	}
	if !patient {
		ctx = WithOneTry(ctx)
	}
	began := time.Now()
	matches, err := b.asked.Lookup(ctx, observables)
	if err == nil {
		b.measure(countValues(observables, engine.Filter{}), time.Since(began))
		b.answer(part, matches, nil)
	}
	return err
}

// answer hands an answer to those who wait for it, and remembers it unless it is an error.
func (b *Batch) answer(question []*pending, matches []Match, err error) {
	byKey := make(map[answerKey][]Match, len(question))
	for _, m := range matches {
		k := keyOf(m.Observable)
		byKey[k] = append(byKey[k], m)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range question {
		a.matches, a.err = byKey[a.key], err
		delete(b.pending, a.key)
		if err == nil && b.known != nil {
			life := b.limits.Miss
			if len(a.matches) > 0 {
				life = b.limits.Hit
			}
			if life > 0 {
				b.known.Set(a.key, a.matches, life)
			}
		}
		close(a.done)
	}
}
