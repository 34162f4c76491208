package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// soakEvery is the time between two reloads, and soakRate how many alerts are written in a second.
const (
	soakEvery = 900 * time.Millisecond
	soakRate  = 1000
)

// TestServeSoak has serve work under a steady load, while the configuration is loaded anew, alerts.json goes from file
// to file, the list of the mirror changes and MISP is flapping. Late in the test it holds no more goroutines,
// descriptors and memory than early.
func TestServeSoak(t *testing.T) {
	t.Parallel()
	duration := 5 * time.Second
	if long() {
		duration = 20 * time.Second
	}
	r := prepare(t, newManager(t), "lookup: {policy: mirror-then-live}\nmirror: {misp: false, lists: [local=etc/list.txt], feed_interval: 500ms}\n")
	r.start(t)
	r.until(t, "the mirror is there", func() bool { return r.status().Ready })
	stop := make(chan struct{})
	var busy sync.WaitGroup
	hits := 0
	chance := func(i uint64) *rand.Rand { return rand.New(rand.NewPCG(1, i)) } //nolint:gosec // the same each time
	busy.Go(func() { hits = r.soak(t, stop) })
	busy.Go(func() {
		every(stop, chance(1), time.Second, func(i int) {
			r.misp.Fault(nil)
			if i%3 == 0 {
				r.misp.Fault(down)
			}
		})
	})
	busy.Go(func() {
		every(stop, chance(2), time.Second, func(i int) {
			r.write(t, "etc/list.txt", fmt.Sprintf("%s\nv-%d.bad.example\n", listHit, i))
		})
	})
	busy.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(soakEvery):
				_ = r.cmd.Process.Signal(syscall.SIGHUP)
			}
		}
	})
	var figures []figure
	began := time.Now()
	for at := time.Duration(0); at < duration; at = time.Since(began) {
		figures = append(figures, r.figure(t, at))
		time.Sleep(duration / 100)
	}
	close(stop)
	busy.Wait()
	r.misp.Fault(nil)
	r.until(t, "all is done", func() bool {
		counts := r.counts()
		return len(counts) >= hits && r.status().Alerts.BehindBytes == 0
	})
	for id, n := range r.counts() {
		if n > 1 {
			t.Errorf("alert %s has %d events", id, n)
		}
	}
	s := r.status()
	r.stop(t)
	early, late := median(figures, 0.3, 0.5), median(figures, 0.8, 1)
	t.Logf("%s, %d alerts, %d hits, %d reloads", time.Since(began).Round(time.Second), s.Counters["alerts_read"], hits, r.logged("configuration and mappings reloaded"))
	t.Logf("early: %s", early)
	t.Logf("late:  %s", late)
	if late.goroutines > early.goroutines+20 || late.descriptors > early.descriptors+15 || late.memory > early.memory+early.memory/4+(16<<20) {
		t.Error("it grows")
	}
}

// soak writes alerts, of which every hundredth has a hit, and goes from file to file; the files of the days before
// yesterday are removed. It returns the number of hits.
func (r *resident) soak(t *testing.T, stop <-chan struct{}) (hits int) {
	const part = 20 * time.Millisecond
	var files []string
	tick := time.NewTicker(part)
	defer tick.Stop()
	for n := 0; ; {
		select {
		case <-stop:
			return hits
		case <-tick.C:
		}
		var text strings.Builder
		for range int(soakRate * part / time.Second) {
			host := fmt.Sprintf("host-%d.example.org", n%5000)
			if n%100 == 0 {
				hits++
				host = listHit
			}
			text.WriteString(hostAlert(fmt.Sprint("a-", n), host) + "\n")
			n++
		}
		r.alerts.line(strings.TrimSuffix(text.String(), "\n"))
		if n%(2*soakRate) < int(soakRate*part/time.Second) && r.status().Alerts.BehindBytes < 1<<20 {
			files = append(files, r.alerts.turn())
			if len(files) > 3 {
				_ = os.Remove(files[0])
				files = files[1:]
			}
		}
	}
}

// figure is what a process holds at a time.
type figure struct {
	at          time.Duration
	goroutines  int
	descriptors int
	memory      int64 // bytes resident
}

func (f figure) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %.1f MiB resident", f.goroutines, f.descriptors, float64(f.memory)/(1<<20))
}

func (r *resident) figure(t testing.TB, at time.Duration) figure {
	t.Helper()
	_, body := r.get("/metrics")
	_, rest, _ := strings.Cut(body, "\ngo_goroutines ")
	line, _, _ := strings.Cut(rest, "\n")
	goroutines, err := strconv.Atoi(line)
	if err != nil {
		t.Fatalf("go_goroutines: %v", err)
	}
	open, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(r.cmd.Process.Pid), "fd"))
	if err != nil {
		t.Fatal(err)
	}
	return figure{at, goroutines, len(open), r.memory(t)}
}

// median returns the medians of the figures from one part of the time to another.
func median(all []figure, from, to float64) (m figure) {
	part := all[int(from*float64(len(all))):int(to*float64(len(all)))]
	middle := func(of func(figure) int64) int64 {
		var values []int64
		for _, f := range part {
			values = append(values, of(f))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	m.goroutines = int(middle(func(f figure) int64 { return int64(f.goroutines) }))
	m.descriptors = int(middle(func(f figure) int64 { return int64(f.descriptors) }))
	m.memory = middle(func(f figure) int64 { return f.memory })
	return m
}
