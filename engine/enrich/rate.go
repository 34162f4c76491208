package enrich

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Rate is a [Sink] that sends at most so many hits in a second, and refuses the others with [ErrOverRate]: they have to wait, in
// their order. Events about errors are always sent.
type Rate struct {
	Sink Sink
	// PerSecond is how many; 0 for no bound.
	PerSecond int
	// Burst is how many may be sent at once after a pause, at least 1.
	Burst int
	Now   func() time.Time // nil for the machine's clock

	mu     sync.Mutex
	tokens float64
	at     time.Time // when tokens were counted; zero for a full burst
}

// ErrOverRate is why a [Rate] does not take a hit now.
var ErrOverRate = errors.New("more hits than events.rate allows; they wait")

// Send implements Sink.
func (r *Rate) Send(ctx context.Context, e Enrichment) error {
	if r.PerSecond <= 0 || e.Body.Observable == nil {
		return sendTo(ctx, r.Sink, e)
	}
	if !r.take() {
		return ErrOverRate
	}
	err := sendTo(ctx, r.Sink, e)
	if err != nil {
		r.giveBack()
	}
	return err
}

func (r *Rate) take() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	most, now := float64(max(1, r.Burst)), clock(r.Now)
	if r.at.IsZero() {
		r.tokens = most
	} else {
		r.tokens = min(most, r.tokens+max(0, now.Sub(r.at).Seconds())*float64(r.PerSecond))
	}
	r.at = now
	if r.tokens < 1 {
		return false
	}
	r.tokens--
	return true
}

func (r *Rate) giveBack() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens++
}

// ratePause is how long a hit waits before it is tried again.
const ratePause = 20 * time.Millisecond
