package serve

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/tidwall/gjson"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/wazuh"
)

// The canary is a test of the whole chain, again and again: are there mappings, does the look-up answer, does Wazuh's queue
// take an event, and does analysisd make an alert of it? Each of these can fail while serve itself is well.

// A canaryStep is where a canary can fail. The names are labels of a metric.
type canaryStep string

const (
	stepMappings canaryStep = "mappings"
	stepLookup   canaryStep = "lookup"
	stepQueue    canaryStep = "queue"
	stepAlert    canaryStep = "alert"
)

// canarySteps are all of them, in order.
var canarySteps = []canaryStep{stepMappings, stepLookup, stepQueue, stepAlert}

const (
	// canaryName is what the canary looks up: a name that no one can have.
	canaryName = "canary.custom-misp.invalid"
	// canaryWait is how long the alert of a canary may take, at most.
	canaryWait = 2 * time.Minute
)

// A canary waits for the alert of a test event.
type canary struct {
	waiting atomic.Bool // so that no alert costs anything while none is waited for

	mu      sync.Mutex
	id      string
	arrived chan struct{}
	goodAt  time.Time // when the last one came back; zero for never
}

// expect begins to wait for an alert; done ends that.
func (c *canary) expect(id string) (arrived <-chan struct{}, done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.id, c.arrived = id, make(chan struct{})
	c.waiting.Store(true)
	return c.arrived, func() { c.waiting.Store(false) }
}

// own reports whether an alert was raised by one of our events, and takes note of that of the canary.
func (c *canary) own(alert []byte) bool {
	if !wazuh.IsEnrichment(alert) {
		return false
	}
	if c.waiting.Load() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.waiting.Load() && gjson.GetBytes(alert, "data.misp.canary").String() == c.id {
			c.waiting.Store(false)
			close(c.arrived)
		}
	}
	return true
}

func (c *canary) good(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.goodAt = now
}

// last returns when a canary came back last.
func (c *canary) last() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.goodAt
}

// canaries sends one in each interval.
func (v *server) canaries(ctx context.Context) error {
	last := time.Now()
	every := time.NewTicker(canaryTick)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
		interval := v.current.Load().config.Serve.Canary
		if interval <= 0 || time.Since(last) < interval {
			continue
		}
		last = time.Now()
		if step, err := v.sendCanary(ctx, min(interval, canaryWait)); err != nil && ctx.Err() == nil {
			v.canaryFailed(ctx, step, err)
		}
	}
}

// canaryTick is how often it is looked whether a canary is due.
const canaryTick = 200 * time.Millisecond

// sendCanary tries all steps. The error is that of the step that fails.
func (v *server) sendCanary(ctx context.Context, wait time.Duration) (canaryStep, error) {
	g := v.current.Load()
	if g.app.Engine.Len() == 0 {
		return stepMappings, errors.New("no mapping is loaded, so nothing is ever looked up")
	}
	asking, cancel := context.WithTimeout(ctx, g.config.Timeout)
	defer cancel()
	_, err := g.app.Lookup.Lookup(asking, []engine.Observable{{
		Type: "hostname", Value: canaryName, Picks: []engine.Pick{{Mapping: "canary", Type: "hostname"}},
	}})
	if err != nil {
		return stepLookup, err
	}
	id := uuid.NewString()
	arrived, done := v.canary.expect(id)
	defer done()
	err = v.events.Dedup.Send(ctx, enrich.Enrichment{Body: enrich.Body{
		Notice: enrich.NoticeCanary, Canary: id, Description: "test event of custom-misp serve: Wazuh receives events",
	}})
	if err != nil {
		return stepQueue, err
	}
	main := v.main()
	if main == nil { // no one here sees the alert
		v.canary.good(time.Now())
		return "", nil
	}
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	select {
	case <-arrived:
		v.canary.good(time.Now())
		v.log.Debug("canary came back", "canary", id)
		return "", nil
	case <-ctx.Done():
		return stepAlert, ctx.Err()
	case <-timeout.C:
		return stepAlert, fmt.Errorf("no alert of it is in %s after %s", main.Path, wait)
	}
}

// canaryRemedies say what to do where a canary fails.
var canaryRemedies = map[canaryStep]string{
	stepMappings: "set mappings.builtin to true, or mappings.dirs",
	stepLookup:   "custom-misp doctor says what is wrong",
	stepQueue:    "is analysisd running? custom-misp doctor says what is wrong",
	stepAlert:    "are the rules of this version installed (100668), and does analysisd keep up? custom-misp doctor says what is wrong",
}

// canaryFailed logs, counts and reports a canary that did not come back.
func (v *server) canaryFailed(ctx context.Context, step canaryStep, err error) {
	v.metrics.canaryFailed(step).Inc()
	v.log.Error("canary failed", "step", string(step), "error", err.Error())
	v.current.Load().app.Chain.Report(ctx, enrich.Alert{}, &enrich.Trouble{
		Code: enrich.CodeCanary, Err: fmt.Errorf("the test event of serve failed at the step %s: %w", step, err), Remedy: canaryRemedies[step],
	})
}
