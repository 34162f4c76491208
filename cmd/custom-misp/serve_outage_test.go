package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"custom-misp/misp/misptest"
)

// down is a MISP that answers no one.
func down(w http.ResponseWriter, _ *http.Request) {
	misptest.Message(w, http.StatusInternalServerError, "An Internal Error Has Occurred")
}

// serveLiveAway has MISP away under the policy live: alerts wait in Wazuh's own file.
func serveLiveAway(t *testing.T, built *testManager) {
	r := newResident(t, built, "")
	r.start(t)
	r.alerts.add("before", liveHit)
	r.expectHits(t, "before")
	r.until(t, "it is done", func() bool { return r.status().Alerts.BehindBytes == 0 })
	at := r.status().Alerts.Offset

	r.misp.Fault(down)
	ids := []string{"before"}
	for i := range 50 {
		r.alerts.add(fmt.Sprint("miss-", i), fmt.Sprintf("host-%d.example.org", i))
		ids = append(ids, fmt.Sprint("hit-", i))
		r.alerts.add(ids[len(ids)-1], "edge.bad-cdn.example")
	}
	r.until(t, "the outage is known", func() bool { return r.status().MISP.Away && r.says("error misp_unavailable") == 1 })
	if code, body := r.get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "MISP is unreachable") {
		t.Errorf("ready: %d %s", code, body)
	}
	// What is remembered of a value is no sign that MISP is there.
	considered := r.metric("alerts_considered_total")
	ids = append(ids, "remembered")
	r.alerts.add("remembered", liveHit)
	r.until(t, "it is looked up", func() bool { return r.metric("alerts_considered_total") != considered })
	asked := r.searches()
	r.until(t, "MISP is tried again", func() bool { return r.searches() > asked+2 })
	s := r.status()
	if s.Alerts.Offset != at || s.Alerts.BehindBytes == 0 || !s.MISP.Away || s.MISP.Outages != 1 {
		t.Errorf("status during the outage: offset %d, was %d; %+v", s.Alerts.Offset, at, s.MISP)
	}
	t.Logf("%d questions in %s of outage", r.searches()-asked, time.Since(s.Since))
	if n := r.logged("MISP answers again"); n != 0 {
		t.Error("the log says that MISP is there")
	}

	r.misp.Fault(nil)
	r.expectHits(t, ids...)
	r.until(t, "the end of the outage is told", func() bool { return r.says("recovered") == 1 })
	r.until(t, "all is done", func() bool { return r.status().Alerts.BehindBytes == 0 })
	r.stop(t)
	if errors, ends := r.says("error"), r.says("recovered"); errors != 1 || ends != 1 {
		t.Errorf("%d error events, %d of the end: %v", errors, ends, r.told())
	}
}

// serveHeldAway hands an alert over while MISP is unreachable: it is queued, and MISP is not asked meanwhile.
func serveHeldAway(t *testing.T, built *testManager) {
	r := newResident(t, built, "")
	r.misp.Fault(down)
	r.start(t)
	r.handOver(t, "1", liveHit)
	r.until(t, "it is looked up", func() bool { return r.searches() > 0 })
	asked, began := r.searches(), time.Now()
	r.until(t, "it is looked up again", func() bool { return r.searches() >= asked+3 })
	if took := time.Since(began); took < 5*time.Second { // the time between two rounds
		t.Errorf("MISP was asked 3 times within %s", took)
	}
	r.misp.Fault(nil)
	r.expectHits(t, "1")
	r.stop(t)
}

// serveRejected has a value that MISP refuses to be asked for: its alert is queued and in the end becomes a dead letter, the others
// get their answers, and MISP is not asked for each of them alone again and again.
func serveRejected(t *testing.T, built *testManager) {
	r := newResident(t, built, "")
	r.misp.Fault(func(w http.ResponseWriter, q *http.Request) {
		requests := r.misp.Requests()
		if strings.Contains(fmt.Sprint(requests[len(requests)-1].Body["value"]), "poison") {
			misptest.Message(w, http.StatusBadRequest, "no")
			return
		}
		r.misp.Answer(w, q)
	})
	for i := range 200 {
		r.alerts.add(fmt.Sprint("miss-", i), fmt.Sprintf("host-%d.example.org", i))
	}
	r.alerts.add("poison", "poison.example.org")
	r.alerts.add("hit", liveHit)
	r.start(t)
	r.expectHits(t, "hit")
	r.until(t, "the checkpoint is past it", func() bool { return r.status().Alerts.BehindBytes == 0 })
	if n := r.searches(); n > 3*splitsAndMore {
		t.Errorf("MISP was asked %d times", n)
	}
	later := 0
	r.until(t, "it is a dead letter", func() bool {
		// Others have to be answered meanwhile: then it is not MISP that is at fault.
		r.alerts.add(fmt.Sprint("later-", later), fmt.Sprintf("later-%d.example.org", later))
		later++
		return r.status().Spool.DeadLetters == 1
	})
	r.stop(t)
}

// splitsAndMore is how many questions find one bad value among a thousand.
const splitsAndMore = 40

// serveMirrorThenLive has a mirror that answers at once, and MISP for the rest.
func serveMirrorThenLive(t *testing.T, built *testManager) {
	r := newResident(t, built, "lookup: {policy: mirror-then-live}\nmirror: {misp: false, lists: [local=etc/list.txt]}\n")
	r.misp.Fault(down)
	r.start(t)
	r.until(t, "the mirror is there", func() bool { return r.status().Ready })
	ids := []string{}
	for i := range 20 {
		ids = append(ids, fmt.Sprint("mirror-", i))
		r.alerts.add(ids[i], listHit)
		r.alerts.add(fmt.Sprint("miss-", i), fmt.Sprintf("early-%d.example.org", i))
	}
	r.expectHits(t, ids...)
	r.until(t, "the checkpoint goes on", func() bool { return r.status().Alerts.BehindBytes == 0 })
	r.until(t, "Wazuh is told", func() bool { return r.says("error misp_unavailable") == 1 })
	if s := r.status(); !s.Ready || !s.MISP.Away {
		t.Errorf("ready %t, MISP away %t", s.Ready, s.MISP.Away)
	}

	r.misp.Fault(nil)
	asked := r.searches()
	for i := range 300 {
		r.alerts.add(fmt.Sprint("miss-later-", i), fmt.Sprintf("late-%d.example.org", i))
	}
	r.alerts.add("live", liveHit)
	r.expectHits(t, append(ids, "live")...)
	if n := r.searches() - asked; n > 30 {
		t.Errorf("301 values took %d questions", n)
	}
	r.until(t, "the end of the outage is told", func() bool { return r.says("recovered") == 1 })
	r.stop(t)
}

// serveQueueAway has Wazuh's queue away while many alerts come.
func serveQueueAway(t *testing.T, built *testManager) {
	const many = 20_000
	r := newResident(t, built, "lookup: {policy: mirror}\nmirror: {misp: false, lists: [local=etc/list.txt]}\n")
	r.start(t)
	r.until(t, "the mirror is there", func() bool { return r.status().Ready })
	comeBack := r.leave(t)
	var ids []string
	var text strings.Builder
	for i := range many {
		if i%100 == 0 {
			ids = append(ids, fmt.Sprint("a-", i))
			text.WriteString(hostAlert(ids[len(ids)-1], listHit) + "\n")
			continue
		}
		text.WriteString(hostAlert(fmt.Sprint("miss-", i), fmt.Sprintf("host-%d.example.org", i)) + "\n")
	}
	size := int64(text.Len())
	r.alerts.line(strings.TrimSuffix(text.String(), "\n"))
	r.until(t, "serve waits for the queue", r.queueIsAway)
	r.until(t, "it has read all that it can hold", func() bool {
		n, err := strconv.Atoi(r.metric(`queue_depth{queue="batches"}`))
		return err == nil && n >= min(15, int(size>>18)) // 16 batches of 256 KiB at most
	})
	r.handOver(t, "handed", listHit)
	r.until(t, "its event is held", func() bool { return r.status().Spool.Events == 1 })
	if s := r.status(); s.Alerts.Offset != 0 || s.Alerts.BehindBytes != size {
		t.Errorf("offset %d, %d bytes behind of %d", s.Alerts.Offset, s.Alerts.BehindBytes, size)
	}
	if rss := r.memory(t); rss > 160<<20 {
		t.Errorf("%d MiB resident", rss>>20)
	}
	comeBack()
	r.expectHits(t, append(ids, "handed")...)
	r.until(t, "all is done", func() bool { s := r.status(); return s.Alerts.BehindBytes == 0 && s.Spool.Events == 0 })
	r.until(t, "the end of the outage is told", func() bool { return r.says("recovered wazuh_queue") == 1 })
	r.stop(t)
}

// memory returns the bytes that serve has resident.
func (r *resident) memory(t testing.TB) int64 {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(r.cmd.Process.Pid), "statm"))
	if err != nil {
		t.Fatal(err)
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(data), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * int64(os.Getpagesize())
}
