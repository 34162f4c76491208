package app

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
)

// asked notes what it is asked for.
type asked struct{ values []string }

// Lookup implements enrich.Lookup.
func (a *asked) Lookup(_ context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	for _, o := range observables {
		a.values = append(a.values, o.Value)
	}
	return nil, nil
}

// TestWithheld asks for values that a fallback picked, and for one that a mapping did.
func TestWithheld(t *testing.T) {
	observables := []engine.Observable{
		{Type: "ip-dst", Value: "192.31.196.1", Fallback: true},
		{Type: "filename", Value: "a.exe", Fallback: true},
		{Type: "filename", Value: "b.exe"},
		{Type: "email-src", Value: "a@bad.example", Fallback: true},
	}
	a := &asked{}
	if _, err := (withheld{a}).Lookup(t.Context(), observables); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"192.31.196.1", "b.exe"}, a.values); diff != "" {
		t.Errorf("asked for (-want +got):\n%s", diff)
	}
	a.values = nil
	if _, err := (withheld{a}).Lookup(t.Context(), observables[1:2]); err != nil || a.values != nil {
		t.Errorf("asked for %q, %v", a.values, err)
	}
}
