package enrich_test

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
)

// pacedMISP is a look-up that knows nothing and takes as long as a real MISP with 200,000 attributes.
type pacedMISP struct{ questions, values atomic.Int64 }

// Lookup implements enrich.Lookup.
func (m *pacedMISP) Lookup(_ context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	asked := map[string]bool{}
	for _, o := range observables {
		for _, r := range o.Related() {
			asked[r.Indicator.Key] = true
		}
	}
	m.questions.Add(1)
	m.values.Add(int64(len(asked)))
	time.Sleep(paceOfMISP(len(asked)))
	return nil, nil
}

// paceOfMISP returns how long a real MISP takes for a question: 64 ms for one value, 111 ms for 1,000, 202 ms for 10,000.
func paceOfMISP(values int) time.Duration {
	if values <= 1000 {
		return 64*time.Millisecond + time.Duration(values)*47*time.Microsecond
	}
	return 111*time.Millisecond + time.Duration(values-1000)*10*time.Microsecond
}

// BenchmarkBatch looks up batches of alerts as a stream does, 16 at a time and in order, with 100 values each: hashes, and
// addresses, which are asked for by their networks too. An operation is such a batch. values is how many a question has on
// average; x-old is the time in times of what questions of 1,000 values take.
func BenchmarkBatch(b *testing.B) {
	for name, value := range map[string]func(i int) engine.Observable{
		"hashes": func(i int) engine.Observable { return observable(strconv.Itoa(i)) },
		"addresses": func(i int) engine.Observable {
			sum := sha256.Sum256([]byte(strconv.Itoa(i)))
			address := netip.AddrFrom4([4]byte{11 + sum[0]%80, sum[1], sum[2], sum[3]})
			return engine.Observable{Type: "ip-dst", Value: address.String()}
		},
	} {
		b.Run(name, func(b *testing.B) {
			usual := enrich.BatchLimits{Values: 1000, Wait: 50 * time.Millisecond, Parallel: 2, Timeout: 10 * time.Second}
			large := usual
			large.Most, large.Aim = 10_000, 250*time.Millisecond
			before, _ := benchBatch(b, usual, value)
			after, misp := benchBatch(b, large, value)
			b.ReportMetric(float64(b.N*perBatch)/after.Seconds(), "values/s")
			b.ReportMetric(float64(misp.values.Load())/float64(misp.questions.Load()), "asked/question")
			b.ReportMetric(after.Seconds()/before.Seconds(), "x-old")
		})
	}
}

const perBatch = 100 // values

// benchBatch returns how long it takes to look up b.N batches.
func benchBatch(b *testing.B, limits enrich.BatchLimits, value func(i int) engine.Observable) (time.Duration, *pacedMISP) {
	b.Helper()
	misp := &pacedMISP{}
	batch := enrich.NewBatch(b.Context(), misp, limits)
	defer batch.Close()
	began := time.Now()
	err := enrich.InOrder(16, func(yield func(int) error) error {
		for i := range b.N {
			if err := yield(i); err != nil {
				return err
			}
		}
		return nil
	}, func(i int) error {
		var observables []engine.Observable
		for k := range perBatch {
			observables = append(observables, value(i*perBatch+k))
		}
		_, err := batch.Lookup(b.Context(), observables)
		return err
	}, func(err error) error { return err })
	must(b, err)
	return time.Since(began), misp
}
