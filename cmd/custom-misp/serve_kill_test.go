package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/wazuhtest"
)

const killHit = "kill.bad.example"

// killConfig is a mirror of a feed that is read again and again.
const killConfig = "lookup: {policy: mirror}\nmirror: {misp: false, feeds: [site=feed], feed_interval: 200ms}\n"

// TestServeKill kills serve many times at random moments, while alerts are written, alerts.json goes from file to
// file, the feed of the mirror changes, integratord hands over alerts too, and the queue is absent at times. Every alert
// with a hit has its event in the end. Twice has it who was killed between sending and writing that down, or who was
// being worked on by a call when serve came back.
func TestServeKill(t *testing.T) {
	t.Parallel()
	kills := 25
	if long() {
		kills = 40
	}
	k := &killing{resident: prepare(t, newManager(t), killConfig), hits: map[string]bool{}}
	k.run(t, kills, 300)
}

// TestServeKillSlowDisk is TestServeKill on a disk whose every sync takes a tenth of a second: alerts go on meanwhile, so the
// checkpoint is always old when serve is killed.
func TestServeKillSlowDisk(t *testing.T) {
	t.Parallel()
	kills := 10
	if long() {
		kills = 20
	}
	k := &killing{resident: prepare(t, newManager(t), killConfig), hits: map[string]bool{}}
	var err error
	if k.program, err = os.Executable(); err != nil { // the tests, which can be slow
		t.Fatal(err)
	}
	k.env = []string{syncTakes + "=100ms"}
	k.start(t) // without a first checkpoint, it would begin at the start of whatever file is the present one
	k.stop(t)
	k.run(t, kills, 2000)
}

// run kills serve many times, each time after at most some milliseconds.
func (k *killing) run(t *testing.T, kills, most int) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	k.changeFeed(t, 0)
	stop := make(chan struct{})
	var busy sync.WaitGroup
	for i, trouble := range []func(*testing.T, <-chan struct{}, *rand.Rand){k.writeAlerts, k.changeFeeds, k.callAgain, k.leaveQueue} {
		chance := rand.New(rand.NewPCG(seed, uint64(i))) //nolint:gosec // to be repeated
		busy.Go(func() { trouble(t, stop, chance) })
	}
	chance := rand.New(rand.NewPCG(seed, 100)) //nolint:gosec // to be repeated
	for range kills {
		k.begin(t)
		time.Sleep(time.Duration(20+chance.IntN(most-20)) * time.Millisecond)
		select {
		case <-k.ended:
			t.Fatalf("serve has ended by itself: %s", k.out)
		default:
			_ = k.cmd.Process.Kill()
			<-k.ended
		}
		time.Sleep(time.Duration(chance.IntN(60)) * time.Millisecond)
	}
	close(stop)
	busy.Wait()

	before := len(k.counts())
	k.start(t)
	aside := 0
	k.until(t, "all is done", func() bool {
		s := k.status()
		if s.Spool.DeadLetters > 0 { // it met five kills, and passes for their reason
			aside += s.Spool.DeadLetters
			retry, out := k.command("spool", "retry", "--home", k.home)
			retry.Args[0] = "custom-misp"
			if err := retry.Run(); err != nil {
				t.Logf("retry: %s", out) // serve has the spool just now
			}
		}
		return s.Running && s.Alerts.BehindBytes == 0 && s.Spool.Alerts+s.Spool.Events+s.Spool.DeadLetters == 0
	})
	k.stop(t)
	twice := k.checkEvents(t)
	t.Logf("%d kills, %d alerts in %d files, %d calls, %d hits (%d of them reported before the last start), %d sent twice, %d dead letters tried again",
		kills, k.written, k.turns+1, k.calls, len(k.hits), before, twice, aside)
	if len(k.hits) < kills || before == 0 || k.turns < max(1, 3*kills/100) || k.calls < 5 { // on however slow a machine
		t.Error("nothing was tried")
	}
}

// checkEvents checks that every hit has its event, none more than two, and returns how many have two.
func (k *killing) checkEvents(t *testing.T) (twice int) {
	t.Helper()
	got := k.counts()
	for id := range k.hits {
		switch n := got[id]; {
		case n == 0:
			t.Errorf("lost: %s", id)
		case n == 2:
			twice++
		case n > 2:
			t.Errorf("%d times: %s", n, id)
		}
	}
	for id := range got {
		if !k.hits[id] {
			t.Errorf("alert %s has an event and no hit", id)
		}
	}
	return twice
}

// killing is what goes on while serve is killed.
type killing struct {
	*resident
	mu      sync.Mutex
	hits    map[string]bool // ids of alerts
	last    [2]string       // id and host of an alert that was written of late
	written int
	turns   int
	calls   int
}

func (k *killing) hit(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hits[id] = true
}

// every does something again and again, with pauses of up to a time.
func every(stop <-chan struct{}, chance *rand.Rand, most time.Duration, do func(i int)) {
	for i := 1; ; i++ {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(chance.Int64N(int64(most)))):
			do(i)
		}
	}
}

// writeAlerts writes alerts, every tenth with a hit, and at times goes on in the file of the next day.
func (k *killing) writeAlerts(t *testing.T, stop <-chan struct{}, chance *rand.Rand) {
	every(stop, chance, 20*time.Millisecond, func(int) {
		for range 1 + chance.IntN(10) {
			k.written++
			id, host := fmt.Sprint("a-", k.written), fmt.Sprintf("host-%d.example.org", k.written)
			if k.written%10 == 0 {
				host = killHit
				k.hit(id)
			}
			k.alerts.add(id, host)
			k.mu.Lock()
			k.last = [2]string{id, host}
			k.mu.Unlock()
		}
		if chance.IntN(100) == 0 {
			k.turns++
			last := k.alerts.turn()
			if chance.IntN(2) == 0 {
				if err := wazuhtest.Compress(last, nil); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

func (k *killing) changeFeeds(t *testing.T, stop <-chan struct{}, chance *rand.Rand) {
	every(stop, chance, 300*time.Millisecond, func(i int) { k.changeFeed(t, i) })
}

// changeFeed writes the feed anew: what the alerts hit stays, beside it one value takes the place of another.
func (k *killing) changeFeed(t *testing.T, i int) {
	const id = "00000000-0000-4000-8000-000000000001"
	write := func(name string, content any) {
		data, err := json.Marshal(content)
		if err != nil {
			t.Error(err)
		}
		k.write(t, "feed/"+name, string(data))
	}
	type object = map[string]any
	attribute := func(n int, value string) object {
		return object{"uuid": fmt.Sprintf("00000000-0000-4000-9000-%012d", n), "type": "hostname", "category": "Network activity", "value": value, "to_ids": true, "timestamp": "1790000000"}
	}
	event := object{"uuid": id, "info": "kills", "date": "2026-01-05", "timestamp": fmt.Sprint(1790000000 + i), "published": true, "analysis": "2", "threat_level_id": "1"}
	entry := maps.Clone(event)
	event["Attribute"] = []object{attribute(0, killHit), attribute(i+1, fmt.Sprintf("v-%d.bad.example", i))}
	write(id+".json", object{"Event": event})
	write("manifest.json", object{id: entry})
}

// callAgain calls as integratord does: with alerts that stand in alerts.json, and with others.
func (k *killing) callAgain(t *testing.T, stop <-chan struct{}, chance *rand.Rand) {
	every(stop, chance, 200*time.Millisecond, func(i int) {
		k.mu.Lock()
		id, host := k.last[0], k.last[1]
		k.mu.Unlock()
		if id == "" || chance.IntN(2) == 0 {
			id, host = fmt.Sprint("c-", i), killHit
			k.hit(id)
		}
		k.handOver(t, id, host)
		k.calls++
	})
}

func (k *killing) leaveQueue(t *testing.T, stop <-chan struct{}, chance *rand.Rand) {
	every(stop, chance, 2*time.Second, func(int) {
		comeBack := k.leave(t)
		time.Sleep(time.Duration(chance.IntN(300)) * time.Millisecond)
		comeBack()
	})
}
