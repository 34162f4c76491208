package enrich_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/enrich/spool"
	"custom-misp/misp"
)

// chance is a look-up and a sink that fail now and then. What the sink takes, it prints.
type chance struct{ unreachable, full float64 }

func (c chance) Lookup(_ context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	if rand.Float64() < c.unreachable { //nolint:gosec // a test
		return nil, &enrich.Trouble{Code: enrich.CodeUnavailable, Err: errors.New("MISP is unreachable")}
	}
	var matches []enrich.Match
	for _, o := range observables {
		matches = append(matches, enrich.Match{Observable: o, Kind: engine.MatchExact, Attribute: misp.Attribute{Type: string(o.Type), Value: o.Value}})
	}
	return matches, nil
}

func (c chance) Send(_ context.Context, e enrich.Enrichment) error {
	if rand.Float64() < c.full { //nolint:gosec // a test
		return &enrich.Trouble{Code: enrich.CodeQueue, Err: errors.New("the queue is full")}
	}
	if e.Body.Source != nil && e.Body.Error == "" {
		fmt.Println("sent", e.Body.Source.AlertID) // one write: whole, or not at all
	}
	return nil
}

func newQueueing(t testing.TB, dir string, c chance) *enrich.QueueingPipeline {
	t.Helper()
	e, err := engine.Load(engine.Source{Name: "t.yaml", Data: []byte("version: 1\nmappings: [{id: m, match: 'true', pick: [{path: data.dst, type: ip-dst}]}]")})
	if err != nil {
		t.Fatal(err)
	}
	misp := enrich.OutageFile{Path: filepath.Join(dir, "misp.json")}
	return &enrich.QueueingPipeline{
		Pipeline: enrich.Pipeline{Engine: e, Lookup: c, Sink: c},
		Circuit:  &enrich.Circuit{Asked: c, Outage: misp},
		Spool:    &spool.Dir{Path: filepath.Join(dir, "spool"), MaxEntries: 100_000, MaxBytes: 1 << 30},
		MISP:     misp, Queue: enrich.OutageFile{Path: filepath.Join(dir, "queue.json")},
		DrainTime: time.Second, Faults: &enrich.Throttle{Sink: c, Dir: dir, Interval: time.Hour},
	}
}

func numbered(t testing.TB, n int) enrich.Alert {
	t.Helper()
	a, err := enrich.ParseAlert(fmt.Appendf(nil, `{"rule":{"id":"1"},"id":"%d","data":{"dst":"192.31.196.%d"}}`, n, n%250+1))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// killDir is set in the process that TestKill kills.
const killDir = "CUSTOM_MISP_TEST_KILL_DIR"

// TestKill kills a process at random moments, a thousand times, while it takes alerts in, queues them, queues events,
// and drains the spool, with MISP and the queue failing as they like. Every alert that the process said it was
// done with has its event in the end, and at most one event comes twice for each kill: the one that was sent and not
// yet crossed off.
func TestKill(t *testing.T) {
	if dir := os.Getenv(killDir); dir != "" {
		workUntilKilled(t, dir)
		return
	}
	kills := 1000
	if testing.Short() {
		kills = 50
	}
	dir := t.TempDir()
	done, sent := map[string]bool{}, map[string]int{}
	next := 0
	window := 12 * time.Millisecond // in which a process is killed
	for kill := range kills {
		if kill%50 == 49 && len(done) < kill/3 {
			window = window * 3 / 2 // this machine is slow to get anything done
		}
		work := exec.Command(os.Args[0], "-test.run=^TestKill$") //nolint:gosec // this very program
		work.Env = append(os.Environ(), killDir+"="+dir, fmt.Sprintf("FIRST=%d", next))
		out, err := work.StdoutPipe()
		must(t, err)
		must(t, work.Start())
		lines := bufio.NewScanner(out)
		for first := true; lines.Scan(); first = false {
			if first {
				time.AfterFunc(rand.N(window), func() { _ = work.Process.Kill() }) //nolint:gosec // a test
			}
			word, id, _ := strings.Cut(lines.Text(), " ")
			switch word {
			case "take":
				next++
			case "done":
				done[id] = true
			case "sent":
				sent[id]++
			case "lost":
				t.Errorf("alert %s: %s", id, lines.Text())
			}
		}
		_ = work.Wait() // killed
	}
	d := newQueueing(t, dir, chance{})
	finish := captureStdout(t)
	drain := func() {
		for range 100 {
			d.Drain(context.Background())
			if depth, err := d.Spool.Depth(); err != nil || depth.Alerts+depth.Events == 0 {
				must(t, err)
				return
			}
		}
	}
	drain()
	// An entry that met five kills passes for their reason and is a dead letter; by hand it is queued again.
	consumer := open(t, d.Spool)
	dead, err := consumer.Retry()
	must(t, errors.Join(err, consumer.Close()))
	drain()
	for line := range strings.Lines(finish()) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "sent "); ok {
			sent[id]++
		}
	}
	depth, err := d.Spool.Depth()
	must(t, err)
	lost, twice, more := 0, 0, 0
	for id := range done {
		if sent[id] == 0 {
			lost++
		}
	}
	for _, n := range sent {
		if n > 1 {
			twice++
		}
		more += max(0, n-2)
	}
	t.Logf("%d kills, %d alerts taken, %d done, %d sent twice, %d left, %d were dead letters", kills, next, len(done), twice, depth.Alerts+depth.Events, dead)
	if lost > 0 || depth.Alerts+depth.Events+depth.DeadLetters > 0 {
		t.Errorf("%d alerts are lost, depth %+v", lost, depth)
	}
	if twice+more > kills {
		t.Errorf("%d events were sent twice by %d kills", twice+more, kills)
	}
	if len(done) < kills/4 {
		t.Errorf("only %d alerts done by %d processes: nothing was tried", len(done), kills)
	}
}

func workUntilKilled(t *testing.T, dir string) {
	var n int
	if _, err := fmt.Sscan(os.Getenv("FIRST"), &n); err != nil {
		t.Fatal(err)
	}
	d := newQueueing(t, dir, chance{unreachable: 0.4, full: 0.2})
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); n++ {
		a := numbered(t, n)
		fmt.Println("take", n)
		if _, err := d.Process(context.Background(), a); err != nil {
			fmt.Println("lost", n, err)
			continue
		}
		fmt.Println("done", n)
	}
}

// captureStdout collects what is printed until the function that it returns is called.
func captureStdout(t *testing.T) func() string {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "out")
	must(t, err)
	before := os.Stdout
	os.Stdout = file
	return func() string {
		os.Stdout = before
		data, err := os.ReadFile(file.Name())
		must(t, errors.Join(err, file.Close()))
		return string(data)
	}
}
