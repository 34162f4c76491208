package mirror

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"custom-misp/engine"
	"custom-misp/misp"
)

// generated returns the i-th attribute of a made-up MISP: files, addresses, names and URLs in turn, a thousand an
// event.
func generated(i int) misp.Attribute {
	a := misp.Attribute{
		ID: strconv.Itoa(i + 1), UUID: uuid.NewSHA1(uuid.NameSpaceOID, []byte(strconv.Itoa(i))).String(), ToIDs: i%10 != 0,
		Timestamp: time.Unix(1_790_000_000+int64(i), 0).UTC(), Comment: "made up for a benchmark",
	}
	event := i / 1000
	a.Event = misp.Event{
		ID: strconv.Itoa(event + 1), UUID: uuid.NewSHA1(uuid.NameSpaceDNS, []byte(strconv.Itoa(event))).String(),
		Info: fmt.Sprintf("Made-up event %d with a title of usual length", event), Org: "EXAMPLE-CERT", ThreatLevel: 1 + misp.ThreatLevel(event%4),
		Analysis: 2, Date: "2026-10-01", Published: true, Tags: []string{"tlp:amber", `misp-galaxy:mitre-attack-pattern="PowerShell - T1059.001"`},
	}
	a.Tags = a.Event.Tags
	o := generatedObservable(i)
	a.Type, a.Value = string(o.Type), o.Value
	switch o.Type {
	case "sha256":
		a.Category = "Payload delivery"
	default:
		a.Category = "Network activity"
	}
	return a
}

func generatedObservable(i int) engine.Observable {
	sum := sha256.Sum256([]byte(strconv.Itoa(i)))
	switch i % 4 {
	case 0:
		return engine.Observable{Type: "sha256", Value: hex.EncodeToString(sum[:])}
	case 1:
		return engine.Observable{Type: "ip-dst", Value: netip.AddrFrom4([4]byte{1 + sum[0]%120, sum[1], sum[2], sum[3]}).String()}
	case 2:
		return engine.Observable{Type: "domain", Value: hex.EncodeToString(sum[:8]) + ".bad-cdn.example.org"}
	}
	return engine.Observable{Type: "url", Value: "http://" + hex.EncodeToString(sum[:6]) + ".example.net/" + hex.EncodeToString(sum[6:12])}
}

var bench struct {
	mu  sync.Mutex
	dir map[int]string
}

// benchMirror makes a mirror of n attributes, once for all benchmarks.
func benchMirror(b *testing.B, n int) *Mirror {
	b.Helper()
	bench.mu.Lock()
	defer bench.mu.Unlock()
	if bench.dir[n] == "" {
		dir, err := os.MkdirTemp("", "mirror")
		if err != nil {
			b.Fatal(err)
		}
		w, err := openWriter(context.Background(), dir+"/misp", time.Now, nil)
		if err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		if err := w.replace(context.Background(), func(to *builder) error {
			for i := range n {
				if err := to.Add(generated(i), ""); err != nil {
					return err
				}
			}
			return nil
		}, func(*State) {}); err != nil {
			b.Fatal(err)
		}
		b.Logf("%d attributes: %v, %d MB", n, time.Since(start).Round(time.Millisecond), w.state.Bytes>>20)
		_ = w.close()
		if bench.dir == nil {
			bench.dir = map[int]string{}
		}
		bench.dir[n] = dir
	}
	return openMirror(b, bench.dir[n], "misp")
}

func BenchmarkLookup(b *testing.B) {
	sizes := []int{10_000, 1_000_000}
	if s := os.Getenv("MIRROR_BENCH"); s != "" {
		n, _ := strconv.Atoi(s)
		sizes = append(sizes, n)
	}
	for _, n := range sizes {
		m := benchMirror(b, n)
		b.Run(fmt.Sprintf("hit/%d", n), func(b *testing.B) {
			if found := lookupEach(b, m, func(i int) int { return i * 7919 % n }); found < b.N {
				b.Fatalf("%d of %d found", found, b.N)
			}
		})
		b.Run(fmt.Sprintf("miss/%d", n), func(b *testing.B) {
			lookupEach(b, m, func(i int) int { return n + i })
		})
	}
}

// lookupEach looks generated observables up, one at a time, and returns the number of matches.
func lookupEach(b *testing.B, m *Mirror, which func(int) int) (found int) {
	b.Helper()
	b.ReportAllocs()
	observables := make([]engine.Observable, 50_000)
	for i := range observables {
		observables[i] = generatedObservable(which(i))
	}
	for i := range observables { // the kernel maps each page when it is first read, which is not what is measured
		_, _ = m.Lookup(context.Background(), observables[i:i+1])
	}
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		matches, _ := m.Lookup(context.Background(), observables[i%len(observables):i%len(observables)+1])
		found += len(matches)
	}
	return found
}

// BenchmarkLookupParallel has as many look-ups in flight as there are processors: they share the count of users.
func BenchmarkLookupParallel(b *testing.B) {
	const n = 10_000
	m := benchMirror(b, n)
	observables := make([]engine.Observable, n)
	for i := range observables {
		observables[i] = generatedObservable(i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for i := 0; p.Next(); i++ {
			if matches, err := m.Lookup(context.Background(), observables[i%n:i%n+1]); err != nil || len(matches) == 0 {
				b.Errorf("%d matches, %v", len(matches), err)
				return
			}
		}
	})
}
