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

// TestFlapping takes ten thousand alerts through twenty minutes of a MISP that is flapping: every few seconds to
// minutes it refuses connections, fails, refuses the key, or answers HTML, and Wazuh's queue is full now and then. The
// clock is the test's own; server, socket and spool are real. Each alert has one hit.
func TestFlapping(t *testing.T) {
	alerts := 10_000
	if testing.Short() {
		alerts = 1000
	}
	home := newHome(t)
	now := time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	chance := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time

	home.configure(t, fmt.Sprintf("misp: {url: %q, key: %q, timeout: 1s, retries: 1}\n", home.misp.URL, misptest.Key))
	c, err := globals{home: home.home}.installed()
	if err != nil {
		t.Fatal(err)
	}
	sink := &sometimes{Sink: &wazuh.Queue{Path: app.QueuePath(c), Timeout: c.Queue.SendTimeout}}
	a, err := app.Build(c, app.Hooks{Sink: sink, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	d := a.Chain

	ways := []http.HandlerFunc{
		nil, // it is well
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
	}
	template := bundled(t, "fim-added")
	var changeMISP, changeQueue time.Time
	unreachable, outages, queued, errorEvents, recoveries := false, 0, 0, 0, 0
	got := map[string]int{}
	collected := home.collect(t)
	for i := range alerts {
		now = now.Add(20 * time.Minute / time.Duration(alerts))
		if now.After(changeMISP) {
			way := 0
			if !unreachable {
				way = 1 + chance.IntN(len(ways)-1)
				outages++
			}
			unreachable = !unreachable
			home.misp.Fault(ways[way])
			changeMISP = now.Add(time.Duration(2+chance.IntN(60)) * time.Second)
		}
		if now.After(changeQueue) {
			sink.full = chance.IntN(10) == 0
			changeQueue = now.Add(time.Duration(1+chance.IntN(10)) * time.Second)
		}
		data, err := sjson.SetBytes(template, "id", fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		alert, err := enrich.ParseAlert(data)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		result, err := d.Process(ctx, alert)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if result.Queued {
			queued++
		}
	}
	home.misp.Fault(nil)
	sink.full = false
	for range 200 {
		now = now.Add(10 * time.Second)
		d.Drain(context.Background())
		if depth, err := d.Spool.Depth(); err != nil || depth.Alerts+depth.Events == 0 {
			break
		}
	}
	for _, event := range collected() {
		switch {
		case event["error"] != nil:
			errorEvents++
		case event["recovered"] != nil:
			recoveries++
		default:
			got[fmt.Sprint(event["source"].(map[string]any)["alert_id"])]++
		}
	}
	lost, twice := alerts-len(got), 0
	for _, n := range got {
		if n > 1 {
			twice++
		}
	}
	o, err := d.MISP.Load()
	t.Logf("%d alerts, %d outages, %d alerts queued, %d lost, %d twice, %d error events, %d of the end", alerts, outages, queued, lost, twice, errorEvents, recoveries)
	if lost > 0 || twice > 0 {
		t.Errorf("%d lost, %d twice", lost, twice)
	}
	if queued < alerts/5 || outages < 3 {
		t.Errorf("only %d alerts were queued in %d outages: nothing was tried", queued, outages)
	}
	if most := 2 * outages; errorEvents > most || errorEvents == 0 || recoveries == 0 {
		t.Errorf("%d error events and %d of the end for %d outages", errorEvents, recoveries, outages)
	}
	if err != nil || o.Lasts() {
		t.Errorf("the outage is still remembered as one: %+v, %v", o, err)
	}
	if left, err := filepath.Glob(filepath.Join(d.Spool.Path, "*", "*.json")); err != nil || len(left) > 0 {
		t.Errorf("left in the spool: %v, %v", left, err)
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
