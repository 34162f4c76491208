package spool_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"custom-misp/engine/enrich/spool"
)

// TestLimitAtOnce puts far more entries in than the limits allow, from many sides. The limits hold approximately: Put looks at
// them now and then. What is dropped is reported once.
func TestLimitAtOnce(t *testing.T) {
	for _, limit := range []struct {
		entries int
		bytes   int64
	}{{entries: 640}, {bytes: 6400}} {
		s := &spool.Dir{Path: filepath.Join(t.TempDir(), "s"), MaxEntries: limit.entries, MaxBytes: limit.bytes}
		const writers, each = 8, 250
		var dropped atomic.Int64
		var all sync.WaitGroup
		for range writers {
			all.Go(func() {
				for range each {
					n, err := s.Put(spool.Alerts, []byte("0123456789"))
					if err != nil {
						t.Error(err)
					}
					dropped.Add(int64(n))
				}
			})
		}
		all.Wait()
		depth, err := s.Depth()
		must(t, err)
		// 10 entries are put in between two looks on average; that it is 20 times as many happens once in 500 million.
		if depth.Alerts < 630 || depth.Alerts > 640+200 {
			t.Errorf("%+v: %d entries", limit, depth.Alerts)
		}
		if n := int(dropped.Load()) + depth.Alerts; n != writers*each {
			t.Errorf("%+v: %d entries are dropped or there, of %d", limit, n, writers*each)
		}
	}
}

// BenchmarkPut puts entries into an empty spool and into one of 20,000. The directory of an operation is emptied of it again.
func BenchmarkPut(b *testing.B) {
	for _, n := range []int{0, 20_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := &spool.Dir{Path: filepath.Join(b.TempDir(), "s"), MaxEntries: 30_000, MaxBytes: 1 << 30}
			dir := filepath.Join(s.Path, "alerts")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				b.Fatal(err)
			}
			for i := range n {
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d-JBSWY3DP.0.4.json", i)), []byte("abcd"), 0o600); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				if _, err := s.Put(spool.Alerts, []byte(`{"rule":{"id":"1"}}`)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkClaim takes entries out of a spool of 20,000, one at a time, as queued events are.
func BenchmarkClaim(b *testing.B) {
	s := &spool.Dir{Path: filepath.Join(b.TempDir(), "s")}
	dir := filepath.Join(s.Path, "events")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	fill := func() {
		for i := range 20_000 {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d-JBSWY3DP.0.4.json", i)), []byte("abcd"), 0o600); err != nil {
				b.Fatal(err)
			}
		}
	}
	fill()
	o, err := s.Open()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		entries, err := o.Claim(spool.Events, 1)
		if err != nil {
			b.Fatal(err)
		}
		if len(entries) == 0 {
			b.StopTimer()
			fill()
			b.StartTimer()
			continue
		}
		if err := entries[0].Done(); err != nil {
			b.Fatal(err)
		}
	}
	if err := o.Close(); err != nil {
		b.Fatal(err)
	}
}
