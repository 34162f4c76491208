package enrich

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/jellydator/ttlcache/v3"

	"custom-misp/engine"
	"custom-misp/misp"
)

// A Batch is a [Lookup] that joins what many callers want to know in common questions, asks the same only once, and
// remembers the answers for a while. While as many questions are being asked as may be, the next one is filled: the more
// there is to ask, the fuller questions are. It is safe for concurrent use. Make one with [NewBatch]; another has no answer.
type Batch struct {
	asked   Lookup
	limits  BatchLimits
	known   *ttlcache.Cache[answerKey, []Match] // nil if nothing is remembered
	ctx     context.Context                     // of the questions: they outlive the callers
	mu      sync.Mutex
	queue   []*question // the next ones; only the last may have room
	asking  int         // questions at this time
	pending map[answerKey]*pending
	asks    sync.WaitGroup
	pace    atomic.Int64 // nanoseconds that large questions took for each value; 0 if that is not known yet
}

// BatchLimits says how questions are joined, and how long answers are remembered.
type BatchLimits struct {
	Name     string        // of the one who is asked, for errors, like "MISP at misp.example.org"; "MISP" if empty
	Values   int           // in one question; 0 for one observable
	Most     int           // in one question that is likely to take no longer than Aim; no more than Values where that is more
	Aim      time.Duration // of a question with more than Values
	Filter   engine.Filter // that of the one who is asked: values that it does not want are not asked for
	Wait     time.Duration // for others, before a question is asked that is not full
	Parallel int           // questions at the same time; 0 for one
	Timeout  time.Duration // of a question; 0 for none
	Hit      time.Duration // how long it is remembered that a value is known
	Miss     time.Duration // and that it is not
	Entries  int           // of which this is remembered; 0 for none
	Bytes    int           // that the matches take which are remembered, about; 0 for any number
}

// A question is what is asked for at once.
type question struct {
	wanted []*pending
	values map[string]bool
	full   bool        // nothing more goes into it
	due    bool        // it is asked as soon as that may be
	timer  *time.Timer // makes it due
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
		asked: asked, limits: limits, ctx: ctx, pending: map[answerKey]*pending{},
	}
	if limits.Entries > 0 {
		b.known = ttlcache.New(
			ttlcache.WithCapacity[answerKey, []Match](uint64(limits.Entries)),
			ttlcache.WithDisableTouchOnHit[answerKey, []Match](),
			ttlcache.WithMaxCost(uint64(max(0, limits.Bytes)), func(item ttlcache.CostItem[answerKey, []Match]) uint64 {
				return uint64(memoryOf(item.Value)) //nolint:gosec // not negative
			}),
		)
	}
	return b
}

// Close asks what is waiting, and waits for questions that are being asked.
func (b *Batch) Close() {
	b.mu.Lock()
	for _, q := range b.queue {
		q.due = true
	}
	b.start()
	b.mu.Unlock()
	b.asks.Wait()
}

// Expect returns how long a question for so many values is likely to take, by what the last large ones took; 0 if that is
// not known yet.
func (b *Batch) Expect(values int) time.Duration { return time.Duration(b.pace.Load() * int64(values)) }

// room returns how many values fit into a question. A value in a large question costs MISP much less than one in a small
// one, and an address is asked for by each network around it. So questions grow as long as MISP answers them fast.
func (b *Batch) room() int {
	pace := b.pace.Load()
	if pace == 0 || b.limits.Most <= b.limits.Values {
		return b.limits.Values
	}
	return min(max(b.limits.Values, int(b.limits.Aim.Nanoseconds()/pace)), b.limits.Most)
}

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

// memoryOf returns how much memory matches take, about.
func memoryOf(matches []Match) int {
	n := 0
	for i, m := range matches {
		var before *misp.Attribute
		if i > 0 {
			before = matches[i-1].Attribute
		}
		n += int(unsafe.Sizeof(m)) + sizeOf(m.Attribute, before)
	}
	return n
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
	began := time.Now()
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
			return nil, b.noAnswer(context.Cause(ctx), time.Since(began))
		}
		if a.err != nil {
			return nil, a.err
		}
		matches = append(matches, own(a.matches, of[i])...)
	}
	return matches, nil
}

// noAnswer is why a caller stops waiting.
func (b *Batch) noAnswer(cause error, waited time.Duration) error {
	t := &Trouble{Code: CodeUnavailable, Err: &unansweredError{cmp.Or(b.limits.Name, "MISP"), waited, cause}}
	if errors.Is(cause, context.DeadlineExceeded) {
		t.Remedy = "is MISP overloaded? misp.timeout and timeout set how long we wait"
	}
	return t
}

// unansweredError is a look-up whose time ended, or that was cancelled.
type unansweredError struct {
	name   string
	waited time.Duration
	cause  error
}

// Error implements error.
func (e *unansweredError) Error() string {
	if errors.Is(e.cause, context.DeadlineExceeded) {
		return fmt.Sprintf("%s did not answer in time: no answer after %s", e.name, e.waited.Round(time.Millisecond))
	}
	return e.name + " had not answered when the look-up was cancelled"
}

// Unwrap returns the cause.
func (e *unansweredError) Unwrap() error { return e.cause }

// want returns what is pending for an observable: from another caller, or new. The caller holds mu.
func (b *Batch) want(o engine.Observable, patient bool) *pending {
	key := keyOf(o)
	if a := b.pending[key]; a != nil {
		return a
	}
	a := &pending{observable: o, key: key, patient: patient, done: make(chan struct{})}
	b.pending[key] = a
	q := b.next()
	values := b.valuesOf(o)
	further := 0 // two values of an alert are often in the same networks
	for _, v := range values {
		if !q.values[v] {
			further++
		}
	}
	if len(q.wanted) > 0 && len(q.values)+further > b.limits.Values {
		b.fill(q)
		q = b.next()
	}
	q.wanted = append(q.wanted, a)
	for _, v := range values {
		q.values[v] = true
	}
	if len(q.values) >= b.limits.Values {
		b.fill(q)
	}
	return a
}

// valuesOf returns what is asked for because of an observable.
func (b *Batch) valuesOf(o engine.Observable) []string {
	filter := o.Filter.Over(b.limits.Filter)
	var values []string
	for _, r := range o.Related() {
		if filter.Wants(r.Kind) {
			values = append(values, r.Indicator.Key)
		}
	}
	return values
}

// next returns the question that is not full yet; a new one if need be. The caller holds mu.
func (b *Batch) next() *question {
	if n := len(b.queue); n > 0 && !b.queue[n-1].full {
		return b.queue[n-1]
	}
	q := &question{values: map[string]bool{}}
	q.timer = time.AfterFunc(b.limits.Wait, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		q.due = true
		b.start()
	})
	b.queue = append(b.queue, q)
	return q
}

// fill notes that a question is full. The caller holds mu.
func (b *Batch) fill(q *question) {
	q.full, q.due = true, true
	b.start()
}

// start asks the questions that are due, as many as may be asked at the same time. The caller holds mu.
func (b *Batch) start() {
	for len(b.queue) > 0 && b.queue[0].due && b.asking < max(1, b.limits.Parallel) {
		wanted := b.take()
		b.asking++
		b.asks.Go(func() {
			b.ask(wanted)
			b.mu.Lock()
			defer b.mu.Unlock()
			b.asking--
			b.start()
		})
	}
}

// take removes the first question from the queue, together with those behind it that still fit into a large one. The caller
// holds mu.
func (b *Batch) take() []*pending {
	first := b.queue[0]
	n, values := 0, 0
	for room := b.room(); n < len(b.queue) && (n == 0 || values+len(b.queue[n].values) <= room); n++ {
		q := b.queue[n]
		q.timer.Stop()
		values += len(q.values)
		if n > 0 {
			first.wanted = append(first.wanted, q.wanted...)
		}
	}
	b.queue = slices.Delete(b.queue, 0, n)
	return first.wanted
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
		b.measure(countValues(observables, b.limits.Filter), time.Since(began))
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
