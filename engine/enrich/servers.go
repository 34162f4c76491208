package enrich

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"custom-misp/engine"
)

// Servers is a [Lookup] that asks several MISP servers at the same time, each with its own patience. What one does not answer
// keeps no one from the matches of the others: they come with an [UnaskedError].
type Servers []Server

// A Server is one of several MISP servers.
type Server struct {
	Name string
	// Lookup asks it. Its matches have Name as their origin, and it records its outages, see [Circuit].
	Lookup Lookup
	// Budget is how long a look-up may take here; 0 for any time. What comes late is asked for again, without a budget.
	Budget time.Duration
}

// An UnaskedError says which servers did not answer while others did. The matches beside it are those of the others.
type UnaskedError struct {
	Failures []ServerFailure

	asked []engine.Observable
}

// A ServerFailure is why a server did not answer.
type ServerFailure struct {
	Server string
	Err    error
}

// Error implements error.
func (e *UnaskedError) Error() string {
	return "not all servers answered: " + describeFailures(e.Failures)
}

// Unwrap returns the reasons.
func (e *UnaskedError) Unwrap() []error {
	all := make([]error, 0, len(e.Failures))
	for _, f := range e.Failures {
		all = append(all, f.Err)
	}
	return all
}

// Servers returns the names of those that did not answer.
func (e *UnaskedError) Servers() []string {
	names := make([]string, 0, len(e.Failures))
	for _, f := range e.Failures {
		names = append(names, f.Server)
	}
	return names
}

func describeFailures(failures []ServerFailure) string {
	texts := make([]string, 0, len(failures))
	for _, f := range failures {
		texts = append(texts, f.Server+": "+f.Err.Error())
	}
	return strings.Join(texts, "; ")
}

type onlyServer struct{}

// withOnlyServer has [Servers] ask one of them alone, as long as that takes.
func withOnlyServer(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, onlyServer{}, name)
}

// askingOnly asks a Lookup, and of the servers behind it one alone.
type askingOnly struct {
	asked  Lookup
	server string
}

// Lookup implements Lookup.
func (a askingOnly) Lookup(ctx context.Context, observables []engine.Observable) ([]Match, error) {
	return ask(withOnlyServer(ctx, a.server), a.asked, observables)
}

// Lookup implements Lookup. With no answer at all the error is a [Trouble].
func (s Servers) Lookup(ctx context.Context, observables []engine.Observable) ([]Match, error) {
	only, late := ctx.Value(onlyServer{}).(string)
	asked := slices.DeleteFunc(slices.Clone(s), func(a Server) bool { return late && a.Name != only })
	if len(asked) == 0 {
		return nil, &Trouble{Code: CodeConfig, Err: fmt.Errorf("no server %q is configured", only), Remedy: "declare it again, or let its alerts become dead letters"}
	}
	matches, errs := make([][]Match, len(asked)), make([]error, len(asked))
	var asking sync.WaitGroup
	for i, a := range asked {
		asking.Go(func() {
			ctx := ctx
			if a.Budget > 0 && !late {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, a.Budget)
				defer cancel()
			}
			matches[i], errs[i] = ask(ctx, a.Lookup, observables)
		})
	}
	asking.Wait()
	var failures []ServerFailure
	for i, err := range errs {
		if err != nil {
			matches[i] = nil
			failures = append(failures, ServerFailure{asked[i].Name, err})
		}
	}
	all := slices.Concat(matches...)
	switch {
	case len(failures) == 0:
		return all, nil
	case len(failures) == len(asked):
		return nil, noAnswer(failures)
	case context.Cause(ctx) == context.Canceled: //nolint:errorlint // it is never wrapped
		return nil, context.Canceled // if the program is being ended, that says nothing about MISP
	}
	return all, &UnaskedError{failures, observables}
}

// noAnswer is the error when no server answered. Its kind is that of one that was not reached, if there is one: then the
// question is not the reason.
func noAnswer(failures []ServerFailure) error {
	if len(failures) == 1 {
		return failures[0].Err
	}
	lead := failures[0].Err
	for _, f := range failures {
		if !answeredAtAll(f.Err) {
			lead = f.Err
			break
		}
	}
	t := &Trouble{Code: codeOf(lead, CodeUnavailable), Err: &noAnswerError{failures}, Answered: answeredAtAll(lead)}
	if of, ok := errors.AsType[*Trouble](lead); ok {
		t.Wait = of.Wait
	}
	return t
}

// noAnswerError says why no server answered.
type noAnswerError struct{ failures []ServerFailure }

// Error implements error.
func (e *noAnswerError) Error() string { return "no server answered: " + describeFailures(e.failures) }

// Unwrap returns the reasons.
func (e *noAnswerError) Unwrap() []error { return (&UnaskedError{Failures: e.failures}).Unwrap() }
