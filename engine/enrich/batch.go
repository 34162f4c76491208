package enrich

import (
	"context"
	"sync"
	"time"

	"github.com/jellydator/ttlcache/v3"

	"custom-misp/engine"
)

// A Batch is a [Lookup] that puts what many callers want to know into common questions, asks the same only once, and
// remembers the answers for a while. It is safe for concurrent use.
type Batch struct {
	asked    Lookup
	limits   BatchLimits
	known    *ttlcache.Cache[batchKey, []Match]
	ctx      context.Context // of the questions: they outlive the callers
	places   chan struct{}   // one for each question that may be asked at the same time
	mu       sync.Mutex
	waiting  []*asking
	values   map[string]bool // that are asked for by what is waiting
	deadline *time.Timer
	asking   map[batchKey]*asking
	asks     sync.WaitGroup
}

// BatchLimits says how questions are put together, and how long answers are good for.
type BatchLimits struct {
	Values   int           // in one question
	Wait     time.Duration // for others, before a question is asked that is not full
	Parallel int           // questions at the same time
	Timeout  time.Duration // of a question
	Hit      time.Duration // how long it is known that a value is known
	Miss     time.Duration // and that it is not
	Entries  int           // of which this is remembered
}

// batchKey is what an answer depends on.
type batchKey struct {
	engine.Indicator
	filter *engine.Filter
	limit  int
}

func keyOf(o engine.Observable) batchKey { return batchKey{o.Indicator(), o.Filter, o.Limit} }

// asking is an observable that is asked for.
type asking struct {
	observable engine.Observable
	key        batchKey
	patient    bool
	done       chan struct{} // closed when what follows is set
	matches    []Match
	err        error
}

// NewBatch returns a Batch that asks another Lookup until ctx ends. Wait for the last questions with [Batch.Close].
func NewBatch(ctx context.Context, asked Lookup, limits BatchLimits) *Batch {
	return &Batch{
		asked: asked, limits: limits, ctx: ctx, places: make(chan struct{}, limits.Parallel), asking: map[batchKey]*asking{}, values: map[string]bool{},
		known: ttlcache.New(
			ttlcache.WithCapacity[batchKey, []Match](uint64(limits.Entries)), //nolint:gosec // not negative
			ttlcache.WithDisableTouchOnHit[batchKey, []Match](),
		),
	}
}

// Close waits for questions that are being asked.
func (b *Batch) Close() {
	b.mu.Lock()
	b.flush()
	b.mu.Unlock()
	b.asks.Wait()
}

// Waiting returns how many observables are waited for.
func (b *Batch) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.asking)
}

// Known returns what is remembered of an observable; false for nothing. No match is something.
func (b *Batch) Known(o engine.Observable) ([]Match, bool) {
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
	var matches []Match
	var wanted []*asking
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

// want returns the asking for an observable: one that is under way, or a new one.
func (b *Batch) want(o engine.Observable, patient bool) *asking {
	key := keyOf(o)
	if a := b.asking[key]; a != nil {
		return a
	}
	a := &asking{observable: o, key: key, patient: patient, done: make(chan struct{})}
	b.asking[key] = a
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

// flush asks for what is waiting.
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
		b.places <- struct{}{}
		defer func() { <-b.places }()
		b.ask(question)
	})
}

const (
	// splits is how many further questions are asked, at most, to find the value that one of many could not be
	// answered for.
	splits = 40
	// silence is how often a question is split although neither half is answered: then it is not for the values.
	silence = 2
)

// unanswered is a part of a question that there was no answer for.
type unanswered struct {
	part []*asking
	err  error
}

// ask asks, and if the question itself may be at fault asks for one half of it and for the other, and so on: one value
// must not keep the others from their answers.
func (b *Batch) ask(question []*asking) {
	parts, left, silent := [][]*asking{question}, splits, 0
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
func (b *Batch) askPart(part []*asking) error {
	ctx, cancel := context.WithTimeout(b.ctx, b.limits.Timeout)
	defer cancel()
	observables := make([]engine.Observable, len(part))
	patient := false
	for i, a := range part {
		observables[i] = a.observable
		patient = patient || a.patient
	}
	if !patient {
		ctx = WithOneTry(ctx)
	}
	matches, err := b.asked.Lookup(ctx, observables)
	if err == nil {
		b.answer(part, matches, nil)
	}
	return err
}

func (b *Batch) answer(question []*asking, matches []Match, err error) {
	byKey := make(map[batchKey][]Match, len(question))
	for _, m := range matches {
		k := keyOf(m.Observable)
		byKey[k] = append(byKey[k], m)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range question {
		a.matches, a.err = byKey[a.key], err
		delete(b.asking, a.key)
		if err == nil {
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
