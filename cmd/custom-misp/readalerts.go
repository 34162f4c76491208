package main

import (
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine/enrich"
	"custom-misp/engine/wazuh"
)

// A counter counts alerts for [readAlerts]: one on each core, which are merged.
type counter[C any] interface {
	// add counts an alert; number is its place in the input.
	add(number int, alert []byte)
	// skip counts something that is not an alert.
	skip()
	merge(other C)
}

// readAlerts reads the files one after the other and counts on all cores. The first few that are no alerts are reported; failed is
// true if there are such.
func readAlerts[C counter[C]](s cli.Streams, files alertFileList, newCounter func() C) (total C, failed bool) {
	watch, done := progress(s, files.size)
	defer done()
	type item struct {
		at     wazuh.Position
		number int
		text   []byte
	}
	const batch, told = 128, 20
	work := make(chan []item, 2*runtime.GOMAXPROCS(0))
	total = newCounter()
	var mu sync.Mutex
	faults := 0
	fault := func(at wazuh.Position, err error) {
		mu.Lock()
		defer mu.Unlock()
		if faults++; faults <= told {
			cli.PrintError(s.Err, at.String(), err)
		}
	}
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			c := newCounter()
			for items := range work {
				for _, i := range items {
					a, err := enrich.ParseAlert(i.text)
					if err != nil {
						fault(i.at, err)
						c.skip()
						continue
					}
					c.add(i.number, a.JSON)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			total.merge(c)
		})
	}
	for _, u := range files.unread {
		fault(wazuh.Position{File: u.name, Item: -1}, u.err)
	}
	number := 0
	for _, name := range files.names {
		items := make([]item, 0, batch)
		_ = eachText(name, s, watch, func(at wazuh.Position, text []byte, err error) error {
			if err != nil {
				fault(at, err)
				return nil
			}
			number++
			if items = append(items, item{at, number, text}); len(items) == batch {
				work <- items
				items = make([]item, 0, batch)
			}
			return nil
		})
		work <- items
	}
	close(work)
	workers.Wait()
	if faults > told {
		fmt.Fprintf(s.Err, "custom-misp: %d more errors like these are not shown\n", faults-told)
	}
	return total, faults > 0
}

// progress returns what watches how much of so many bytes is read, and shows it on a terminal if that takes a while, and what is
// done at the end.
func progress(s cli.Streams, size int64) (watch func(io.Reader) io.Reader, done func()) {
	if !cli.IsTerminal(s.Err) || size <= 50<<20 {
		return func(r io.Reader) io.Reader { return r }, func() {}
	}
	bar := progressbar.NewOptions64(size, progressbar.OptionSetWriter(s.Err), progressbar.OptionShowBytes(true),
		progressbar.OptionSetDescription("reading alerts"), progressbar.OptionClearOnFinish(),
		progressbar.OptionThrottle(200*time.Millisecond))
	return func(r io.Reader) io.Reader { return io.TeeReader(r, bar) }, func() { _ = bar.Finish() }
}
