package history

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"custom-misp/engine"
)

// benchValue makes one of many values: addresses, names, hashes.
func benchValue(n uint64) (engine.Type, string) {
	h := n * 0x9E3779B97F4A7C15
	switch n % 4 {
	case 0:
		return "ip-dst", fmt.Sprintf("%d.%d.%d.%d", byte(h>>13), byte(h>>21), byte(h>>29), byte(h>>37))
	case 1:
		return "domain", fmt.Sprintf("host-%x.example%d.com", h>>44, h%50_000)
	case 2:
		return "domain", fmt.Sprintf("www.cdn%d.net", h%200_000)
	}
	var b []byte
	for i := range uint64(4) {
		b = binary.BigEndian.AppendUint64(b, h*(2*i+3))
	}
	return "sha256", hex.EncodeToString(b)
}

// benchBatch makes alerts of a second, of 500 agents and 300,000 values, of which some are frequent.
func benchBatch(rng *rand.Rand, zipf *rand.Zipf, at time.Time, size int) []Seen {
	batch := make([]Seen, 0, size)
	for range size {
		v, agent := zipf.Uint64(), rng.IntN(500)
		t, value := benchValue(v)
		batch = append(batch, Seen{
			Alert: Alert{
				ID: fmt.Sprintf("%d.%d", at.Unix(), rng.IntN(1<<30)), Rule: fmt.Sprint(5700 + v%40), Level: 5, File: "/var/ossec/logs/alerts/alerts.json",
				Offset: rng.Int64N(1 << 30), At: at, Agent: Agent{fmt.Sprintf("%03d", agent), fmt.Sprintf("host-%03d", agent), fmt.Sprintf("10.0.0.%d", agent%250)},
			},
			Observables: []engine.Observable{{Type: t, Value: value, Picks: []engine.Pick{{Mapping: []string{"sshd", "web-access", "sysmon-dns"}[v%3]}}}},
		})
	}
	return batch
}

// BenchmarkRecord records a day of a million alerts, and makes segments of it; it reports bytes for each value of the day.
func BenchmarkRecord(b *testing.B) {
	now := noon
	rng := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(rng, 1.07, 8, 300_000-1)
	s, err := Open(b.Context(), Options{Dir: b.TempDir(), Names: true, Now: func() time.Time { return now }})
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		now = now.Add(time.Second)
		batch := benchBatch(rng, zipf, now, 10_000)
		b.StartTimer()
		s.Record(batch, Place{})
		if err := s.Commit(); err != nil {
			b.Fatal(err)
		}
		n += len(batch)
	}
	b.StopTimer()
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "alerts/s")
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	now = now.Add(72 * time.Hour)
	if s, err = Open(b.Context(), s.o); err != nil {
		b.Fatal(err)
	}
	s.tidying.Wait()
	z := s.Size()
	b.ReportMetric(float64(z.Bytes)/float64(z.Entries), "B/value")
	_ = s.Close()
}

// BenchmarkFind looks for values that were not seen, in order, in ten days.
func BenchmarkFind(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(rng, 1.07, 8, 300_000-1)
	s, err := Open(b.Context(), Options{Dir: b.TempDir(), Names: true, Now: func() time.Time { return noon }})
	if err != nil {
		b.Fatal(err)
	}
	for day := range 10 {
		s.Record(benchBatch(rng, zipf, noon.Add(-time.Duration(day)*24*time.Hour), 50_000), Place{})
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	v, err := OpenView(s.o.Dir)
	if err != nil {
		b.Fatal(err)
	}
	defer v.Close()
	i := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		i += 92_233_720_368_547
		if list, _, _ := v.Find(b.Context(), OfValue(engine.Indicator{Family: "sha256", Key: fmt.Sprintf("%064x", i)}), 1); len(list) > 0 {
			b.Fatal("found")
		}
	}
}
