package enrich

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"

	"github.com/tidwall/gjson"

	"custom-misp/engine"
)

// A job is an alert on its way through a pipeline.
type job struct {
	alert       Alert
	bare        bool // of the alert, only JSON is set
	observables []engine.Observable
	cuts        []engine.Cut // see [Outcome]
	matches     []Match      // once it is looked up
	skipped     error        // why MISP was not asked for some of the values; nil if it was
	// unasked are the servers that did not answer while others did; nil if all did.
	unasked *UnaskedError
	// reported is what others have reported of the alert before; only of one that is looked up late at one server.
	reported reportedSet
	late     string // the server; empty for any other alert
}

// described returns the alert with all that an event says of it. Most alerts of a stream are never asked for it.
func (j *job) described() Alert {
	if j.bare {
		j.alert, j.bare = describe(j.alert.JSON), false
	}
	return j.alert
}

// pick makes the job of an alert. warning is about mappings that failed on it.
func (p *Pipeline) pick(a Alert) (j *job, warning error) {
	j = &job{alert: a}
	return j, p.pickInto(j, nil)
}

// pickInto is pick for a job that has its alert; reading is a reading of that, nil for none.
func (p *Pipeline) pickInto(j *job, reading *engine.Reading) (warning error) {
	switch {
	case p.Engine == nil:
		return nil
	case reading != nil:
		j.observables, j.cuts, warning = reading.Pick()
	default:
		j.observables, j.cuts, warning = p.Engine.PickWithCuts(j.alert.JSON)
	}
	return errors.Join(warning, p.limit(j))
}

// limit leaves out of a job what is not to be looked up. warning is about an expression that failed on the alert.
func (p *Pipeline) limit(j *job) (warning error) {
	a := &j.alert
	if len(j.observables) > 0 && p.Suppress != nil {
		if v, err := p.Suppress.OfAlert(a.JSON); !v.Reported() {
			p.Suppress.count("alert "+gjson.GetBytes(a.JSON, "id").String(), v, nil)
			j.observables, warning = nil, err
		}
	}
	if p.Unlimited {
		return warning
	}
	if left := engine.Limit(j.observables, p.Filter, engine.MaxValues); left > 0 {
		j.cuts = append(j.cuts, engine.Cut{What: engine.CutValues, Number: left})
	}
	return warning
}

// errCrowded is an answer to several jobs with so many matches that one job may have fewer because of another.
var errCrowded = fmt.Errorf("more than %d matches for several alerts together", MaxAnswer/2)

// lookUp looks up the observables of jobs with one question, each once, and gives each job its matches. An error about
// several jobs wraps errCrowded if they have to be looked up apart.
func lookUp(ctx context.Context, l Lookup, jobs ...*job) error {
	n := 0
	for _, j := range jobs {
		n += len(j.observables)
	}
	if n == 0 {
		return nil
	}
	all, users := make([]engine.Observable, 0, n), newAskers(n)
	for _, j := range jobs {
		for _, o := range j.observables {
			if users.add(keyOf(o), j) {
				all = append(all, o)
			}
		}
	}
	matches, err := ask(ctx, l, all)
	skipped, partial := errors.AsType[*SkippedError](err)
	unasked, some := errors.AsType[*UnaskedError](err)
	if err != nil && !partial && !some {
		return err
	}
	if len(jobs) > 1 && len(matches) > MaxAnswer/2 {
		return &Trouble{Code: CodeBadAnswer, Err: errCrowded, Answered: true}
	}
	for _, j := range jobs {
		j.matches, j.skipped, j.unasked = nil, nil, nil // of an earlier try
	}
	known := handOut(matches, users)
	for _, j := range jobs {
		j.matches = limited(j.matches)
	}
	switch {
	case partial:
		noteSkipped(skipped, known, users)
	case some:
		for _, o := range unasked.asked {
			for j := range users.of(keyOf(o)) {
				j.unasked = unasked
			}
		}
	}
	return nil
}

// askers are the jobs that want to know of a value, by its key.
type askers struct {
	first map[answerKey]int32 // in list
	list  []asker
}

type asker struct {
	job  *job
	next int32 // in list, of the same value; -1 for none
}

// newAskers returns room for a number of jobs and values.
func newAskers(n int) *askers {
	return &askers{make(map[answerKey]int32, n), make([]asker, 0, n)}
}

// add adds a job, and reports whether it is the first one of the value.
func (a *askers) add(k answerKey, j *job) (first bool) {
	next, known := a.first[k]
	if !known {
		next = -1
	}
	a.first[k] = int32(len(a.list)) //nolint:gosec // few alerts are looked up at once
	a.list = append(a.list, asker{j, next})
	return !known
}

// of yields the jobs that want to know of a value.
func (a *askers) of(k answerKey) iter.Seq[*job] {
	return func(yield func(*job) bool) {
		at, known := a.first[k]
		for known && at >= 0 && yield(a.list[at].job) {
			at = a.list[at].next
		}
	}
}

// noteSkipped notes, for the jobs with a value that the mirror does not know, that MISP was not asked.
func noteSkipped(why *SkippedError, known map[answerKey]bool, users *askers) {
	for k := range users.first {
		if known[k] {
			continue
		}
		for j := range users.of(k) {
			j.skipped = why
		}
	}
}

// handOut gives jobs their matches, and returns what has some.
func handOut(matches []Match, users *askers) map[answerKey]bool {
	known := map[answerKey]bool{}
	for _, m := range matches {
		k := keyOf(m.Observable)
		known[k] = true
		for j := range users.of(k) {
			j.matches = append(j.matches, m)
		}
	}
	return known
}

// countValues counts the different values that observables are looked up by. base is the configured filter.
func countValues(observables []engine.Observable, base engine.Filter) int {
	asked := map[string]bool{}
	for _, o := range observables {
		filter := o.Filter.Over(base)
		for _, r := range o.Related() {
			if filter.Wants(r.Kind) {
				asked[r.Indicator.Key] = true
			}
		}
	}
	return len(asked)
}

// answersOthers reports whether there is an answer for a hash that no one can know. If there is none, the failure of
// another question says nothing about its alert.
func answersOthers(ctx context.Context, l Lookup) bool {
	_, err := ask(ctx, l, []engine.Observable{{Type: "md5", Value: fmt.Sprintf("%x", rand.Text()[:16])}})
	return err == nil && ctx.Err() == nil
}

// answerKey is what an answer depends on.
type answerKey struct {
	engine.Indicator
	filter *engine.Filter
	limit  int
	plain  bool
	inside bool // it is not asked for live
}

func keyOf(o engine.Observable) answerKey {
	return answerKey{o.Indicator(), o.Filter, o.Limit, o.Plain, !o.AskedLive()}
}
