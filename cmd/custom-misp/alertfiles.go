package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine/enrich"
	"custom-misp/engine/wazuh"
)

// A counter counts alerts for [readAlerts]: one on each core, which are merged. Numbers are the places of alerts in the input.
type counter[C any] interface {
	add(number int, alert []byte)
	skip() // what is not an alert
	merge(other C)
}

// readAlerts reads the files, of so many bytes together, one after the other, and counts on all cores. The first few that are no
// alerts are reported; failed is true if there are such.
func readAlerts[C counter[C]](s cli.Streams, files []string, size int64, newCounter func() C) (total C, failed bool) {
	watch := func(r io.Reader) io.Reader { return r }
	if cli.IsTerminal(s.Err) && size > 50<<20 {
		bar := progressbar.NewOptions64(size, progressbar.OptionSetWriter(s.Err), progressbar.OptionShowBytes(true),
			progressbar.OptionSetDescription("reading alerts"), progressbar.OptionClearOnFinish(),
			progressbar.OptionThrottle(200*time.Millisecond))
		defer bar.Close() //nolint:errcheck // decoration
		watch = func(r io.Reader) io.Reader { return io.TeeReader(r, bar) }
	}
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
	number := 0
	for _, name := range files {
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
		fmt.Fprintf(s.Err, "custom-misp: %d more like these\n", faults-told)
	}
	return total, faults > 0
}

// alertFiles returns the files that args name, those in directories sorted, and their size in bytes.
func alertFiles(args []string) ([]string, int64, error) {
	var files []string
	var size int64
	var seen []fs.FileInfo
	for _, arg := range args {
		if arg == "-" {
			files = append(files, arg)
			continue
		}
		st, err := os.Stat(arg)
		if err != nil {
			return nil, 0, cli.WrongUse{Err: err}
		}
		if !st.IsDir() {
			files, size, seen = append(files, arg), size+st.Size(), append(seen, st)
			continue
		}
		err = filepath.WalkDir(arg, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !isAlertsFile(name) {
				return err
			}
			info, err := os.Stat(name)
			if err != nil || !info.Mode().IsRegular() { // no one has named it
				return err
			}
			if slices.ContainsFunc(seen, func(st fs.FileInfo) bool { return os.SameFile(st, info) }) {
				return nil // Wazuh's alerts.json is the file of the day under a second name
			}
			seen = append(seen, info)
			files, size = append(files, name), size+info.Size()
			return nil
		})
		if err != nil {
			return nil, 0, err
		}
	}
	if len(files) == 0 {
		return nil, 0, cli.WrongUsef("no alerts (*.json, *.jsonl, *.ndjson, also as .gz) in %s", strings.Join(args, ", "))
	}
	return files, size, nil
}

// isAlertsFile reports whether a file of a directory has alerts by its name. A compressed one has not if it is not
// compressed yet, or no longer: Wazuh keeps both for a moment.
func isAlertsFile(name string) bool {
	plain, compressed := strings.CutSuffix(name, ".gz")
	if !slices.Contains([]string{".json", ".jsonl", ".ndjson"}, filepath.Ext(plain)) {
		return false // of ossec-alerts-01.log.gz too
	}
	if compressed {
		_, err := os.Stat(plain)
		return err != nil
	}
	return true
}
