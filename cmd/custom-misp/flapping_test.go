package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/tidwall/sjson"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/engine/enrich"
	"custom-misp/engine/wazuh"
	"custom-misp/misp/misptest"
)

// TestFlapping has MISP flap for twenty minutes, in which many alerts come: for seconds to a minute it refuses
// connections, fails, refuses the key, or answers HTML, and Wazuh's queue is full now and then. The clock is the test's
// own; server, socket and spool are real. Each alert has one hit.
func TestFlapping(t *testing.T) {
	t.Parallel()
	alerts := 2000
	if long() {
		alerts = 5000
	}
	f := newFlapping(t)
	template := bundled(t, "fim-added")
	collected := f.home.collect(t)
	held := 0
	for i := range alerts {
		f.pass(20 * time.Minute / time.Duration(alerts))
		data, err := sjson.SetBytes(template, "id", fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		alert, err := enrich.ParseAlert(data)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		result, err := f.chain.Process(ctx, alert)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if result.Queued {
			held++
		}
	}
	f.end()
	o, err := f.chain.MISP.Load()
	if err != nil || o.Lasts() {
		t.Errorf("the outage is still remembered as one: %+v, %v", o, err)
	}
	if left, err := filepath.Glob(filepath.Join(f.chain.Spool.Path, "*", "*.json")); err != nil || len(left) > 0 {
		t.Errorf("left in the spool: %v, %v", left, err)
	}
	if held < alerts/5 || f.outages < 3 {
		t.Errorf("only %d alerts were queued in %d outages: nothing was tried", held, f.outages)
	}
	checkFlapping(t, collected(), alerts, f.outages)
}

// checkFlapping checks that there is one hit for each alert, and neither too many events about outages nor too few.
func checkFlapping(t *testing.T, events []map[string]any, alerts, outages int) {
	t.Helper()
	errorEvents, recoveries, twice := 0, 0, 0
	got := map[string]bool{}
	for _, event := range events {
		switch {
		case event["error"] != nil:
			errorEvents++
		case event["recovered"] != nil:
			recoveries++
		default:
			id := fmt.Sprint(event["source"].(map[string]any)["alert_id"])
			if got[id] {
				twice++
			}
			got[id] = true
		}
	}
	t.Logf("%d alerts, %d outages, %d error events, %d of the end", alerts, outages, errorEvents, recoveries)
	if lost := alerts - len(got); lost > 0 || twice > 0 {
		t.Errorf("%d lost, %d twice", lost, twice)
	}
	if most := 2 * outages; errorEvents > most || errorEvents == 0 || recoveries == 0 {
		t.Errorf("%d error events and %d of the end for %d outages", errorEvents, recoveries, outages)
	}
}

// flapping is a MISP and a queue that change as time passes.
type flapping struct {
	home                    *testManager
	chain                   *enrich.QueueingPipeline
	now                     time.Time
	chance                  *rand.Rand
	queue                   *sometimes
	faults                  []http.HandlerFunc
	down                    bool
	outages                 int
	changeMISP, changeQueue time.Time
}

func newFlapping(t *testing.T) *flapping {
	f := &flapping{
		home: newHome(t), now: time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC),
		chance: rand.New(rand.NewPCG(1, 2)), //nolint:gosec // the same each time
		faults: []http.HandlerFunc{
			func(w http.ResponseWriter, _ *http.Request) {
				hijack(w, func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) })
			},
			func(w http.ResponseWriter, _ *http.Request) {
				misptest.Message(w, http.StatusInternalServerError, "no")
			},
			func(w http.ResponseWriter, _ *http.Request) { misptest.Message(w, http.StatusForbidden, "no") },
			func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "20")
				misptest.Message(w, http.StatusTooManyRequests, "no")
			},
		},
	}
	f.home.configure(t, fmt.Sprintf("misp: {url: %q, key: %q, timeout: 1s, retries: 1}\n", f.home.misp.URL, misptest.Key))
	c, err := globals{home: f.home.home}.installed()
	if err != nil {
		t.Fatal(err)
	}
	f.queue = &sometimes{Sink: &wazuh.Queue{Path: app.QueuePath(c), Timeout: c.Queue.SendTimeout}}
	a, err := app.Build(c, app.Hooks{Sink: f.queue, Now: func() time.Time { return f.now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	f.chain = a.Chain
	return f
}

// pass lets time pass.
func (f *flapping) pass(d time.Duration) {
	f.now = f.now.Add(d)
	if f.now.After(f.changeMISP) {
		f.changeMISP = f.now.Add(time.Duration(2+f.chance.IntN(60)) * time.Second)
		if f.down = !f.down; f.down {
			f.outages++
			f.home.misp.Fault(f.faults[f.chance.IntN(len(f.faults))])
		} else {
			f.home.misp.Fault(nil)
		}
	}
	if f.now.After(f.changeQueue) {
		f.queue.full = f.chance.IntN(10) == 0
		f.changeQueue = f.now.Add(time.Duration(1+f.chance.IntN(10)) * time.Second)
	}
}

// end makes everything work again, until nothing waits.
func (f *flapping) end() {
	f.home.misp.Fault(nil)
	f.queue.full = false
	for range 200 {
		f.now = f.now.Add(10 * time.Second)
		f.chain.Drain(context.Background())
		if depth, err := f.chain.Spool.Depth(); err != nil || depth.Alerts+depth.Events == 0 {
			return
		}
	}
}

var errFull = errors.New("the queue stayed full")

// sometimes is a queue that is full at times.
type sometimes struct {
	enrich.Sink
	full bool
}

func (s *sometimes) Send(ctx context.Context, e enrich.Enrichment) error {
	if s.full {
		return &enrich.Trouble{Code: enrich.CodeQueue, Err: errFull}
	}
	return s.Sink.Send(ctx, e)
}
