package enrich_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
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
type chance struct {
	unreachable, full float64
	out               io.Writer // nil for none
}

func (c chance) Lookup(_ context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	if rand.Float64() < c.unreachable { //nolint:gosec // a test
		return nil, &enrich.Trouble{Code: enrich.CodeUnavailable, Err: errors.New("MISP is unreachable")}
	}
	var matches []enrich.Match
	for _, o := range observables {
		matches = append(matches, enrich.Match{Observable: o, Kind: engine.MatchExact, Attribute: &misp.Attribute{Type: string(o.Type), Value: o.Value}})
	}
	return matches, nil
}

func (c chance) Send(_ context.Context, e enrich.Enrichment) error {
	if rand.Float64() < c.full { //nolint:gosec // a test
		return &enrich.Trouble{Code: enrich.CodeQueue, Err: errors.New("the queue is full")}
	}
	if c.out != nil && e.Body.Source != nil && e.Body.Error == "" {
		fmt.Fprintln(c.out, "sent", e.Body.Source.AlertID) // one write: whole, or not at all
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

// TestKill kills a process at random moments, many times, while it takes alerts in, queues them, queues events, and drains
// the spool, with MISP and the queue failing as they like. Every alert that the process said it was done with has its
// event in the end, and at most one event comes twice for each kill: the one that was sent and whose entry was not yet
// removed.
func TestKill(t *testing.T) {
	if dir := os.Getenv(killDir); dir != "" {
		workUntilKilled(t, dir)
		return
	}
	kills := 60
	if long() {
		kills = 400
	}
	k := &killed{dir: t.TempDir(), window: 12 * time.Millisecond, done: map[string]bool{}, sent: map[string]int{}}
	for kill := range kills {
		if kill%50 == 49 && len(k.done) < kill/3 {
			k.window = k.window * 3 / 2 // this machine is slow to get anything done
		}
		k.kill(t)
	}
	depth, dead := k.finish(t)
	lost, twice, more := k.count()
	t.Logf("%d kills, %d alerts taken, %d done, %d sent twice, %d left, %d were dead letters", kills, k.next, len(k.done), twice,
		depth.Alerts+depth.Events, dead)
	if lost > 0 || depth.Alerts+depth.Events+depth.DeadLetters > 0 {
		t.Errorf("%d alerts are lost, depth %+v", lost, depth)
	}
	if twice+more > kills {
		t.Errorf("%d events were sent twice by %d kills", twice+more, kills)
	}
	if len(k.done) < kills/4 {
		t.Errorf("only %d alerts done by %d processes: nothing was tried", len(k.done), kills)
	}
}

// killed is what processes did that were killed.
type killed struct {
	dir    string
	window time.Duration   // after the first sign of life, in which a process is killed
	next   int             // alert
	done   map[string]bool // alerts that a process said it was done with
	sent   map[string]int  // how often the event of an alert was sent
}

// kill starts a process and kills it at a random moment.
func (k *killed) kill(t *testing.T) {
	work := exec.Command(os.Args[0], "-test.run=^TestKill$") //nolint:gosec // this very program
	work.Env = append(os.Environ(), killDir+"="+k.dir, fmt.Sprintf("FIRST=%d", k.next))
	out, err := work.StdoutPipe()
	must(t, err)
	must(t, work.Start())
	lines := bufio.NewScanner(out)
	for first := true; lines.Scan(); first = false {
		if first {
			time.AfterFunc(rand.N(k.window), func() { _ = work.Process.Kill() }) //nolint:gosec // a test
		}
		k.note(t, lines.Text())
	}
	_ = work.Wait() // killed
}

// note reads a line that a process printed.
func (k *killed) note(t *testing.T, line string) {
	word, id, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch word {
	case "take":
		k.next++
	case "done":
		k.done[id] = true
	case "sent":
		k.sent[id]++
	case "lost":
		t.Errorf("alert %s: %s", id, line)
	}
}

// finish drains what the killed processes left. It returns what the spool holds then, and how many entries were dead
// letters: those that met five kills. They are queued again, as by hand.
func (k *killed) finish(t *testing.T) (spool.Depth, int) {
	var out strings.Builder
	d := newQueueing(t, k.dir, chance{out: &out})
	drain := func() (depth spool.Depth) {
		for range 100 {
			d.Drain(t.Context())
			var err error
			depth, err = d.Spool.Depth()
			must(t, err)
			if depth.Alerts+depth.Events == 0 {
				break
			}
		}
		return depth
	}
	drain()
	consumer := open(t, d.Spool)
	dead, err := consumer.Retry()
	must(t, errors.Join(err, consumer.Close()))
	depth := drain()
	for line := range strings.Lines(out.String()) {
		k.note(t, line)
	}
	return depth, dead
}

// count returns how many alerts that are done have no event, and how many events came twice, and more often than that.
func (k *killed) count() (lost, twice, more int) {
	for id := range k.done {
		if k.sent[id] == 0 {
			lost++
		}
	}
	for _, n := range k.sent {
		if n > 1 {
			twice++
		}
		more += max(0, n-2)
	}
	return lost, twice, more
}

func workUntilKilled(t *testing.T, dir string) {
	var n int
	if _, err := fmt.Sscan(os.Getenv("FIRST"), &n); err != nil {
		t.Fatal(err)
	}
	d := newQueueing(t, dir, chance{unreachable: 0.4, full: 0.2, out: os.Stdout})
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
