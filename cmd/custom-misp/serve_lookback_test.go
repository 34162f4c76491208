package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"custom-misp/engine/enrich"
)

// lookBackConfig is a mirror of a MISP, a feed and a list, and a history.
const lookBackConfig = "lookup: {policy: mirror}\n" + historyConfig +
	"mirror: {interval: 200ms, feeds: [site=feed], lists: [mine=etc/list.txt], feed_interval: 200ms}\n"

// TestServeLookBack writes alerts, and then has their values arrive by a list, by a feed, and by MISP, while serve is killed again
// and again. Each has its event in the end: once, or twice if serve was killed between sending it and noting that. Values
// that were known before, that never arrive, or that arrive in an event of the first sync, have none.
func TestServeLookBack(t *testing.T) {
	t.Parallel()
	kills := 5
	if long() {
		kills = 40
	}
	k := &killing{resident: prepare(t, newManager(t), lookBackConfig), hits: map[string]bool{}}
	k.changeFeed(t, 0)
	k.start(t)
	k.until(t, "all sources are synced once, and looked up", func() bool { return k.lookedBack("mine", "site", "misp") })
	values := map[string]string{"list": "by-list.bad.example", "feed": "v-7.bad.example", "MISP": "by-misp.bad.example"}
	ids := map[string]string{}
	n := 0
	for _, value := range values {
		n++
		ids[value] = fmt.Sprintf("1791187801.%d", n)
		k.alerts.add(ids[value], value)
	}
	k.alerts.add("1791187801.8", "never.bad.example")
	k.alerts.add("1791187801.9", listHit)
	k.until(t, "all are in the history", func() bool {
		for value := range ids {
			if k.seen(t, value).Count == 0 {
				return false
			}
		}
		return k.seen(t, listHit).Count == 1 && k.seen(t, "never.bad.example").Count == 1
	})
	before := k.retrospective()
	if len(before) > 0 {
		t.Errorf("before anything arrived: %v", before)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // to be repeated
	for i := range kills {
		switch i {
		case 1:
			k.write(t, "etc/list.txt", listHit+"\n"+values["list"]+"\n")
		case 2:
			k.changeFeed(t, 7)
		case 3:
			k.misp.Publish(k.misp.AddEvent(fmt.Sprintf(`{"info":"arrives","Attribute":[{"type":"hostname","value":%q,"to_ids":true}]}`, values["MISP"])))
		}
		_ = k.cmd.Process.Kill()
		<-k.ended
		k.begin(t)
		time.Sleep(time.Duration(chance.IntN(1500)) * time.Millisecond)
	}
	k.until(t, "serve answers", func() bool { return k.status().Running })
	k.until(t, "all that arrived is reported", func() bool { return len(k.retrospective()) >= len(values) })
	k.until(t, "nothing is to be looked up any more", func() bool {
		s := k.status().LookBack
		return s != nil && s.Source == "" && s.Failure == ""
	})
	got := k.retrospective()
	for value, id := range ids {
		if n := got[id+" "+value]; n < 1 || n > 2 {
			t.Errorf("%s has %d events: %v", value, n, got)
		}
	}
	if len(got) != len(values) {
		t.Errorf("%v", got)
	}
	k.expectAgents(t)
	// What comes now is looked up at once, and the record lasts.
	k.stop(t)
	k.start(t)
	k.alerts.add("1791187802.1", values["list"])
	k.until(t, "a look-up knows it", func() bool { return k.counts()["1791187802.1"] == 1 })
	if again := k.retrospective(); fmt.Sprint(again) != fmt.Sprint(got) {
		t.Errorf("after a restart: %v, before: %v", again, got)
	}
	k.stop(t)
}

// lookedBack reports whether the records of sources are there.
func (r *resident) lookedBack(sources ...string) bool {
	for _, s := range sources {
		if _, err := os.Stat(filepath.Join(r.home, "logs/custom-misp/lookback", s+".known")); err != nil {
			return false
		}
	}
	return true
}

// retrospective counts the events of look-backs, by the id of the last alert and the value.
func (r *resident) retrospective() map[string]int {
	got := map[string]int{}
	for _, b := range r.taken() {
		if b["match_mode"] != enrich.ModeRetrospective {
			continue
		}
		source, _ := b["source"].(map[string]any)
		observable, _ := b["observable"].(map[string]any)
		got[fmt.Sprint(source["alert_id"], " ", observable["value"])]++
	}
	return got
}

// expectAgents checks what the events of look-backs say of the history.
func (r *resident) expectAgents(t *testing.T) {
	t.Helper()
	for _, b := range r.taken() {
		if b["match_mode"] != enrich.ModeRetrospective {
			continue
		}
		data, err := json.Marshal(b["history"])
		const want = `{"agent_count":"1","agents":["ws-07"],"count":"1","first_seen":"2026-10-05T08:10:01Z","last_seen":"2026-10-05T08:10:01Z"}`
		if err != nil || string(data) != want {
			t.Errorf("history %s", data)
		}
	}
}
