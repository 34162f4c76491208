package engine_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
)

// asked returns the values that observables are looked up by, each once.
func asked(observables []engine.Observable, base engine.Filter) []string {
	seen := map[string]bool{}
	var values []string
	for _, o := range observables {
		f := o.Filter.Over(base)
		for _, r := range o.Related() {
			texts := o.Texts(r)
			for _, v := range slices.Concat(texts.Values, texts.Patterns) {
				if f.Wants(r.Kind) && !seen[v] {
					seen[v] = true
					values = append(values, v)
				}
			}
		}
	}
	return values
}

func TestLimit(t *testing.T) {
	address := func(v string) engine.Observable { return engine.Observable{Type: "ip-dst", Value: v} }
	name := func(v string) engine.Observable { return engine.Observable{Type: "hostname", Value: v} }
	link := func(v string) engine.Observable { return engine.Observable{Type: "url", Value: v} }
	exactOnly := engine.Filter{MatchKinds: []engine.MatchKind{engine.MatchExact}}
	tests := []struct {
		name        string
		observables []engine.Observable
		base        engine.Filter
		most        int
		want        []string
		left        int
	}{
		{"all fit", []engine.Observable{address("192.31.196.1")}, engine.Filter{}, 28, nil, 0},
		{"the nearest networks", []engine.Observable{address("192.31.196.1"), address("192.31.196.129")}, engine.Filter{}, 11, []string{
			"192.31.196.1", "::ffff:192.31.196.1", "::ffff:c01f:c401", "192.31.196.1/32", "192.31.196.0/31",
			"192.31.196.129", "::ffff:192.31.196.129", "::ffff:c01f:c481", "192.31.196.129/32", "192.31.196.128/31", "192.31.196.0/30",
		}, 22 + 23},
		{"other forms before networks", []engine.Observable{address("192.31.196.1"), address("192.31.196.129")}, engine.Filter{}, 4, []string{
			"192.31.196.1", "::ffff:192.31.196.1", "::ffff:c01f:c401", "192.31.196.129",
		}, 25 + 25 + 2},
		{"all forms or none", []engine.Observable{{Type: "regkey", Value: `HKLM\A`}}, engine.Filter{}, 5, []string{`HKLM\A`}, 24},
		{"own values before all others", []engine.Observable{link("http://a.b.example.org/x"), name("c.d.example.net"), address("192.31.196.1")}, engine.Filter{}, 3, []string{
			"http://a.b.example.org/x", "c.d.example.net", "192.31.196.1",
		}, 3 + 2 + 25 + 6 + 2},
		{"hosts before parents", []engine.Observable{name("c.d.example.net"), link("http://a.b.example.org/x")}, engine.Filter{}, 4, []string{
			"c.d.example.net", "d.example.net", "http://a.b.example.org/x", "a.b.example.org",
		}, 3 + 6},
		{"parents before networks", []engine.Observable{address("192.31.196.1"), name("c.d.example.net")}, engine.Filter{}, 7, []string{
			"192.31.196.1", "::ffff:192.31.196.1", "::ffff:c01f:c401", "192.31.196.1/32", "c.d.example.net", "d.example.net", "example.net",
		}, 24},
		{"two forms", []engine.Observable{link("http://example.org"), {Type: "AS", Value: "AS64500"}}, engine.Filter{}, 4, []string{
			"http://example.org", "example.org", "AS64500", "64500",
		}, 13},
		{"what is not wanted takes no room", []engine.Observable{address("192.31.196.1"), address("192.31.196.2")}, exactOnly, 6, []string{
			"192.31.196.1", "::ffff:192.31.196.1", "::ffff:c01f:c401", "192.31.196.2", "::ffff:192.31.196.2", "::ffff:c01f:c402",
		}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := asked(tt.observables, tt.base)
			left := engine.Limit(tt.observables, tt.base, tt.most)
			got := asked(tt.observables, tt.base)
			if len(got) > tt.most {
				t.Errorf("%d values, %d are allowed", len(got), tt.most)
			}
			if left != tt.left || len(before) > len(got)+left {
				t.Errorf("%d of %d values are kept, %d left out, want %d", len(got), len(before), left, tt.left)
			}
			if tt.want != nil {
				slices.Sort(got)
				slices.Sort(tt.want)
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("values (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// TestLimitShares has addresses of one network: what they share takes room once.
func TestLimitShares(t *testing.T) {
	var observables []engine.Observable
	for i := range 256 {
		observables = append(observables, engine.Observable{Type: "ip-dst", Value: fmt.Sprint("192.31.196.", i)})
	}
	if left := engine.Limit(observables, engine.Filter{}, engine.MaxValues); left != 0 {
		t.Errorf("%d values are left out, though there are fewer than %d", left, engine.MaxValues)
	}
}

func BenchmarkLimit(b *testing.B) {
	for name, n := range map[string]int{"usual": 6, "largest": engine.MaxObservables} {
		var observables []engine.Observable
		for i := range n {
			observables = append(observables, engine.Observable{Type: "ip-dst", Value: fmt.Sprintf("2620:4f:8000:%x:%x::%x", i*7919%65536, i, i)})
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for i := range observables {
					observables[i].Limit = 0
				}
				engine.Limit(observables, engine.Filter{}, engine.MaxValues)
			}
		})
	}
}
