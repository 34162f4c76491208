package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/wazuhtest"
)

const archivesConfig = "lookup: {policy: mirror}\nmirror: {misp: false, lists: [local=etc/list.txt]}\n" +
	"serve: {alerts: [logs/alerts/alerts.json, logs/archives/archives.json]}\n"

// archiving is a manager that writes all events into archives.json.
type archiving struct {
	*resident
	archives *alertLog
	want     map[string]bool // ids of the lines that an event belongs to
	n        int
}

func newArchiving(t *testing.T, r *resident) *archiving {
	t.Helper()
	l, err := wazuhtest.NewArchiveLog(r.home, time.Date(2026, 1, 5, 12, 0, 0, 0, time.Local))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return &archiving{r, &alertLog{l, t}, map[string]bool{}, 0}
}

// both writes an event with a hit into both files, at most some milliseconds apart and in any order.
func (a *archiving) both(chance *rand.Rand) {
	a.n++
	now := time.Now()
	write := []func(){
		func() { a.alerts.line(archived(now, fmt.Sprint("alert-", a.n), `"rule":{"level":3,"id":"61650"},`)) },
		func() { a.archives.line(archived(now, fmt.Sprint("copy-", a.n), `"rule":{"level":3,"id":"61650"},`)) },
	}
	a.want[fmt.Sprint("alert-", a.n)] = true
	first := chance.IntN(2)
	write[first]()
	time.Sleep(time.Duration(chance.IntN(200)) * time.Millisecond) // as analysisd, whose threads do not wait for each other
	write[1-first]()
}

// only writes an event with a hit that raises no alert.
func (a *archiving) only(rule string) {
	a.n++
	id := fmt.Sprint("only-", a.n)
	a.archives.line(archived(time.Now(), id, rule))
	a.want[id] = true
}

func archived(at time.Time, id, rule string) string {
	return fmt.Sprintf(`{"timestamp":%q,%s"agent":{"id":"004","name":"ws-07"},"manager":{"name":"m"},"id":%q,"data":{"host":%q},"location":"EventChannel"}`,
		at.Format("2006-01-02T15:04:05.000-0700"), rule, id, listHit)
}

// TestServeArchives kills serve many times while it follows alerts.json and archives.json over their rotations: each event is
// reported once, as its alert if it has one.
func TestServeArchives(t *testing.T) {
	t.Parallel()
	kills := 6
	if long() {
		kills = 40
	}
	a := newArchiving(t, prepare(t, newManager(t), archivesConfig))
	a.start(t)
	a.stop(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // to be repeated
	stop := make(chan struct{})
	var busy sync.WaitGroup
	busy.Go(func() { every(stop, chance, 40*time.Millisecond, func(i int) { a.write(t, chance, i) }) })
	when := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // to be repeated
	for range kills {
		a.begin(t)
		time.Sleep(time.Duration(20+when.IntN(3000)) * time.Millisecond)
		_ = a.cmd.Process.Kill()
		<-a.ended
	}
	close(stop)
	busy.Wait()
	before := len(a.counts())
	a.start(t)
	a.until(t, "all is done", func() bool {
		s := a.status()
		return s.Running && s.Alerts.BehindBytes == 0 && len(s.OtherAlerts) == 1 && s.OtherAlerts[0].BehindBytes == 0
	})
	if read := a.metric(`alerts_read_total{source="archives.json"}`); read == "" || read == "0" {
		t.Errorf("%s events of archives.json were counted", read)
	}
	name := filepath.Join(a.home, "logs/archives/archives.json")
	if lag := a.metric(`checkpoint_lag_bytes{file="` + name + `"}`); lag != "0" || a.metric("checkpoint_lag_bytes") != "0" {
		t.Errorf("%s bytes behind in archives.json, %s in alerts.json", lag, a.metric("checkpoint_lag_bytes"))
	}
	a.stop(t)
	twice := a.check(t)
	if twice > kills {
		t.Errorf("%d events came twice after %d kills", twice, kills)
	}
	t.Logf("%d events, %d of them reported before the last start, %d twice", len(a.want), before, twice)
	if len(a.want) < 10 || before == 0 {
		t.Error("nothing was tried")
	}
}

// write writes an event, or goes on in another file.
func (a *archiving) write(t *testing.T, chance *rand.Rand, i int) {
	switch {
	case i%25 == 0:
		a.alerts.turn()
	case i%25 == 5:
		if err := wazuhtest.Compress(a.archives.turn(), nil); err != nil {
			t.Error(err)
		}
	case i%3 == 0:
		a.both(chance)
	case i%3 == 1:
		a.only("")
	default:
		a.only(`"rule":{"level":2,"id":"1002"},`)
	}
}

// check checks that each event was reported and no other, and returns how many came twice.
func (a *archiving) check(t *testing.T) (twice int) {
	t.Helper()
	got := a.counts()
	for id := range a.want {
		switch n := got[id]; {
		case n == 0:
			t.Errorf("lost: %s", id)
		case n > 1: // it was killed between sending and writing that down
			twice++
		}
	}
	for id := range got {
		if !a.want[id] {
			t.Errorf("%s was reported: it is in alerts.json too", id)
		}
	}
	return twice
}

// TestServeArchivesState has the state of each file in files of its own, that of alerts.json where a configuration with one file
// has it: the program goes on with it in both directions.
func TestServeArchivesState(t *testing.T) {
	t.Parallel()
	one := strings.Replace(archivesConfig, "[logs/alerts/alerts.json, logs/archives/archives.json]", "logs/alerts/alerts.json", 1)
	a := newArchiving(t, prepare(t, newManager(t), one))
	run := func(config string, want ...string) {
		t.Helper()
		a.configure(t, config)
		a.start(t)
		a.until(t, strings.Join(want, " "), func() bool {
			got := a.counts()
			for _, id := range want {
				if got[id] != 1 {
					return false
				}
			}
			return len(got) == len(want)
		})
		a.stop(t)
	}
	a.alerts.line(archived(time.Now(), "1", `"rule":{"level":3,"id":"61650"},`))
	run(one, "1")
	a.alerts.line(archived(time.Now(), "2", `"rule":{"level":3,"id":"61650"},`))
	a.archives.line(archived(time.Now(), "3", ""))
	run(archivesConfig, "1", "2", "3")
	states, err := filepath.Glob(filepath.Join(a.home, "logs/custom-misp/checkpoint*.json"))
	if err != nil || len(states) != 4 {
		t.Errorf("%v, %v", states, err)
	}
	a.alerts.line(archived(time.Now(), "4", `"rule":{"level":3,"id":"61650"},`))
	run(one, "1", "2", "3", "4")
	a.archives.line(archived(time.Now(), "5", ""))
	run(archivesConfig, "1", "2", "3", "4", "5")
	if err := os.Remove(filepath.Join(a.home, "logs/archives/archives.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}
