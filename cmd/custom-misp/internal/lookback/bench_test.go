package lookback

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/history"
)

// benchSize is how much a benchmark generates. BENCH_LOOKBACK=full makes it as much as a large site has.
func benchSize() (days, values, indicators int) {
	if os.Getenv("BENCH_LOOKBACK") == "full" {
		return 90, 20_000, 1_000_000
	}
	return 9, 2000, 20_000
}

func benchName(n int) string { return fmt.Sprintf("host-%d.site-%d.example", n, n%1000) }

func benchAddress(first, n int) string {
	return netip.AddrFrom4([4]byte{byte(first), byte(n >> 16), byte(n >> 8), byte(n)}).String()
}

// generate records days of a site: as many values each day, nine in ten of them those of the day before, on 300 agents.
func (s *site) generate(days, values int) {
	s.t.Helper()
	end := s.now
	for day := range days {
		s.now = end.AddDate(0, 0, day-days)
		s.shown.Store(new(s.now))
		alerts := make([]history.Seen, 0, values)
		for i := range values {
			n := day*values/10 + i
			o := engine.Observable{Type: "ip-src", Value: benchAddress(198, n), Picks: []engine.Pick{{Mapping: "plain"}}}
			if n%2 == 0 {
				o.Type, o.Value = "hostname", benchName(n)
			}
			alerts = append(alerts, history.Seen{
				Alert:       history.Alert{ID: fmt.Sprint(i), Rule: "1", Level: 3, At: s.now, Agent: history.Agent{ID: fmt.Sprintf("%03d", i%300)}},
				Observables: []engine.Observable{o},
			})
		}
		s.store.Record(alerts, history.Place{})
		if err := s.store.Commit(); err != nil {
			s.t.Fatal(err)
		}
	}
	s.now = end
	s.shown.Store(new(s.now))
}

// BenchmarkLookBack looks up what one sync brings, of which one in 1,000 was seen, in a history of addresses and names.
// work-s is how long it works; serve rests nine times as long in between. heap-MB is what is in use in the end.
func BenchmarkLookBack(b *testing.B) {
	days, values, indicators := benchSize()
	s := newSite(b, nil)
	s.generate(days, values)
	s.holds("first.example")
	if err := s.once(); err != nil {
		b.Fatal(err)
	}
	rows := []string{"first.example"}
	for i := range indicators {
		switch {
		case i%1000 == 0:
			rows = append(rows, benchName(days/2*values/10+2*(i/1000)))
		case i%2 == 0:
			rows = append(rows, fmt.Sprintf("new-%d.bad-%d.example", i, i%5000))
		default:
			rows = append(rows, benchAddress(203, i)+",ip-dst")
		}
	}
	s.holds(rows...)
	known := filepath.Join(s.options.Dir, "list.known")
	before, err := os.ReadFile(known)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		if err := os.RemoveAll(s.options.Dir); err != nil {
			b.Fatal(err)
		}
		s.restart()
		if err := os.WriteFile(known, before, 0o600); err != nil {
			b.Fatal(err)
		}
		s.got = nil
		b.StartTimer()
		began := time.Now()
		if err := s.once(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(began).Seconds(), "work-s")
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapInuse)/1e6, "heap-MB")
		b.ReportMetric(float64(len(s.got)), "events")
		if st := s.look.Status(); st.Indicators != uint64(indicators) || len(s.got) < min(indicators/1000, UsualStorm+1) || s.paused == 0 {
			b.Fatalf("%+v, %d events", st, len(s.got))
		}
	}
}
