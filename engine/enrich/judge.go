package enrich

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidwall/gjson"

	"custom-misp/engine"
)

// A Judged is what a pipeline makes of one alert.
type Judged struct {
	Observables []engine.Observable // that were picked; none of an alert that is ignored
	Cuts        []engine.Cut        // what bounds left out
	// Events are those that would be sent, before [Repeats] and [Rate]. They share memory with the alert and the look-up.
	Events []Enrichment
	// Warning is as in [Outcome].
	Warning error
}

// Judge takes alerts, as [Readable] returns them, as far as their events, and sends nothing: what [Pipeline.Process] and a [Stream]
// would report of them. It asks one question for all. What it leaves out is counted by [Suppression.Counted]. An error is a
// [Trouble] if the reason is known; then there is no judgement on any of them.
func (p *Pipeline) Judge(ctx context.Context, alerts [][]byte) ([]Judged, error) {
	jobs := make([]*job, len(alerts))
	judged := make([]Judged, len(alerts))
	for i, text := range alerts {
		jobs[i], judged[i].Warning = p.pick(Alert{JSON: text})
		jobs[i].bare = true
	}
	err := lookUp(ctx, p.Lookup, jobs...)
	if errors.Is(err, errCrowded) {
		err = p.lookUpEach(ctx, jobs)
	}
	if err != nil {
		return nil, fmt.Errorf("look up the values of %d alerts: %w", len(alerts), err)
	}
	for i, j := range jobs {
		judged[i].Events = p.events(j)
		judged[i].Observables, judged[i].Cuts = j.observables, j.cuts
		judged[i].Warning = errors.Join(judged[i].Warning, j.skipped)
	}
	return judged, nil
}

// lookUpEach looks up jobs one after the other.
func (p *Pipeline) lookUpEach(ctx context.Context, jobs []*job) error {
	for _, j := range jobs {
		if err := lookUp(ctx, p.Lookup, j); err != nil {
			return err
		}
	}
	return nil
}

// Readable returns the alert in a line of a file of alerts, in one of the shapes of [ParseAlert]. Of a line that is none it returns
// the alerts behind its torn start, if there are any, and why it is none.
func Readable(line []byte) ([][]byte, error) {
	alert, err := alertIn(line)
	if err == nil {
		return [][]byte{alert}, nil
	}
	return alertsInTorn(line), err
}

// TimeOf returns when an alert was written; false if it does not say.
func TimeOf(alert []byte) (time.Time, bool) {
	text := gjson.GetBytes(alert, "timestamp").Str
	if text == "" {
		text = gjson.GetBytes(alert, "@timestamp").Str
	}
	for _, layout := range []string{wazuhTime, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// wazuhTime is how analysisd writes a time: 2026-11-25T07:55:01.123+0000.
const wazuhTime = "2006-01-02T15:04:05.999-0700"
