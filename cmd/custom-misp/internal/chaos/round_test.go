package chaos

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/wazuhtest"
	"custom-misp/misp/misptest"
)

// callTime is the time that integratord gives a call.
const callTime = 3 * time.Second

// endTime is how long serve may take to end, by its promise.
const endTime = 5 * time.Second

// A round is one home with everything around it.
type round struct {
	*ledger
	t     *testing.T
	plan  plan
	home  string
	state string // the state directory
	queue *inbox
	serve *daemon
	disk  *disk // nil if none can be mounted
	misp  *misptest.Server
	feed  *feedServer

	wazuh     *analysisd
	killCalls atomic.Bool
	files     sync.WaitGroup // that are being compressed
	config    configuration

	// spoilt says how often analysisd takes a datagram; nil for once. For a test of this program itself.
	spoilt func(datagram []byte) (times int)
}

// newRound prepares everything and waits until serve works, if there is one.
func newRound(t *testing.T, p plan) *round {
	t.Helper()
	r := &round{ledger: newLedger(), t: t, plan: p, home: wazuhtest.NewHome(t)}
	r.follows = p.follows()
	r.passesOver, r.failedToo = !p.has("late"), p.has("failed-calls")
	wazuhtest.Install(t, r.home)
	r.queue = openInbox(t, r.home, func(datagram []byte) {
		times := 1
		if r.spoilt != nil {
			times = r.spoilt(datagram)
		}
		for range times {
			r.take(datagram)
		}
	})
	r.misp = misptest.New(t, knownToMISP())
	r.feed = newFeedServer(t)
	r.config = configuration{loglevel: "info", drain: time.Second}
	r.configure()
	r.write("etc/misp.key", misptest.Key)
	r.write("etc/list.txt", strings.Join(hosts("list"), "\n")+"\n")
	r.write("etc/custom-misp/mappings/t.yaml", mapping)
	r.write("etc/ossec.conf", ossecConf)
	var err error
	if r.wazuh, err = newAnalysisd(r.home); err != nil {
		t.Fatal(err)
	}
	r.state = r.stateDir()
	if p.has("disk") || p.has("inodes") {
		r.disk = mountDisk(t, r.state)
	}
	r.serve = &daemon{round: r}
	if p.mode != modeCallsOnly {
		r.serve.up()
		t.Cleanup(r.serve.discard)
	}
	return r
}

// write replaces a file of the home as editors do: written beside, and renamed.
func (r *round) write(name, content string) {
	name = filepath.Join(r.home, name)
	err := os.MkdirAll(filepath.Dir(name), 0o750)
	if err == nil {
		err = os.WriteFile(name+"~", []byte(content), 0o600)
	}
	if err == nil {
		err = os.Rename(name+"~", name)
	}
	if err != nil {
		r.t.Error(err)
	}
}

// verb runs a verb of the program and returns its output.
func (r *round) verb(args ...string) (output string, err error) {
	cmd, out := wazuhtest.Command(r.home, append(args, "--home", r.home)...)
	cmd.Args[0] = "custom-misp"
	if err = cmd.Start(); err != nil {
		return "", err
	}
	stuck := time.AfterFunc(time.Minute, func() {
		r.fail("%s did not end within a minute", args[0])
		_ = cmd.Process.Kill()
	})
	err = cmd.Wait()
	stuck.Stop()
	r.inspect("the output of "+args[0], out.String())
	return out.String(), err
}

// stateDir asks the program where its state is.
func (r *round) stateDir() string {
	r.t.Helper()
	out, err := r.verb("config", "--output", "json")
	var keys []struct {
		Key   string
		Value any
	}
	if err == nil {
		err = json.Unmarshal([]byte(out), &keys)
	}
	for _, k := range keys {
		if k.Key == "state_dir" {
			return fmt.Sprint(k.Value)
		}
	}
	r.t.Fatalf("custom-misp config names no state_dir: %v\n%s", err, out)
	return ""
}

// run makes the faults of the plan, while alerts are written and integratord calls. It returns when all faults have ended.
func (r *round) run() {
	r.ready()
	r.forgetStarts()
	stop := make(chan struct{})
	var busy sync.WaitGroup
	busy.Go(func() { r.watchStalls(stop) })
	toCall := make(chan *alert)
	writing := make(chan struct{})
	var sources sync.WaitGroup
	sources.Go(func() { r.writeAlerts(writing, toCall) })
	sources.Go(func() { r.integratord(writing, toCall) })
	sources.Go(func() { r.changeSources(writing) })
	if r.syncs() {
		sources.Go(func() { r.syncAgain(writing) })
	}
	began := time.Now()
	var lanes sync.WaitGroup
	byLane := map[string][]step{}
	for _, s := range r.plan.steps {
		byLane[s.lane] = append(byLane[s.lane], s)
	}
	for _, steps := range byLane {
		lanes.Go(func() { r.runLane(began, steps) })
	}
	lanes.Wait()
	time.Sleep(time.Until(began.Add(r.plan.time)))
	close(writing)
	sources.Wait()
	r.files.Wait()
	r.note("all faults have ended, nothing more is written")
	r.settle()
	close(stop)
	busy.Wait()
}

// syncs reports whether the mirror is synced by a timer of the administrator.
func (r *round) syncs() bool { return r.plan.mode == modeCallsOnly && r.plan.policy != "live" }

// syncAgain runs sync as a timer does, until stop is closed.
func (r *round) syncAgain(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Second):
			_, _ = r.verb("sync") // sources may be unreachable
		}
	}
}

// ready waits until the program can begin: serve runs, and if MISP answers what the mirror does not know, there is a mirror.
func (r *round) ready() {
	if r.syncs() {
		out, err := r.verb("sync")
		if err != nil {
			r.t.Fatalf("sync: %v\n%s", err, out)
		}
	}
	if r.plan.mode == modeCallsOnly {
		return
	}
	path := "/healthz"
	if r.plan.policy == "mirror-then-live" {
		path = "/readyz"
	}
	if !r.waitUntil(30*time.Second, "serve is ready", func() bool { return r.serve.answers(path) }) {
		r.t.Fatalf("serve does not get ready: %s", r.serve.lastWords())
	}
}

// runLane makes the faults of one lane.
func (r *round) runLane(began time.Time, steps []step) {
	for _, s := range steps {
		time.Sleep(time.Until(began.Add(s.at)))
		r.note("%s begins, for %s", s.name, s.lasts.Round(time.Millisecond))
		end := s.begin(r, newChance(s.seed, 0))
		time.Sleep(s.lasts)
		if end != nil {
			end()
			r.note("%s ends", s.name)
		}
	}
}

// waitUntil waits for something that has to come, and reports whether it did.
func (r *round) waitUntil(longest time.Duration, what string, came func() bool) bool {
	for end := time.Now().Add(longest); !came(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			r.note("waited %s in vain until %s", longest, what)
			return false
		}
	}
	return true
}

// settle waits until every event has come that has to.
func (r *round) settle() {
	last := time.Now()
	r.waitUntil(r.plan.settle, "all events are there", func() bool {
		if time.Since(last) > time.Second {
			last = time.Now()
			r.help()
		}
		return len(r.missing()) == 0
	})
	for range 4 { // more than what had to come may come now
		r.help()
		time.Sleep(300 * time.Millisecond)
	}
}

// callOnce calls for an alert without an indicator.
func (r *round) callOnce() {
	r.callFor(r.newAlert(newChance(r.plan.seed, uint64(time.Now().UnixNano())), false), 0)
}

// help does what an administrator and integratord go on doing: calls drain the spool, a timer syncs the mirror of calls that
// no serve runs for, and dead letters are tried again, since an entry that met five kills has become one.
func (r *round) help() {
	if r.plan.mode == modeCallsOnly {
		if r.plan.policy != "live" {
			_, err := r.verb("sync")
			r.note("synced: %v", err)
		}
		r.callOnce()
	}
	if letters, _ := filepath.Glob(filepath.Join(r.state, "spool", "aside", "*", "*.json")); len(letters) > 0 {
		_, err := r.verb("spool", "retry")
		r.note("%d dead letters, tried again: %v", len(letters), err)
	}
}

// finish ends serve, and looks at what is left on the disk.
func (r *round) finish() {
	if r.plan.mode != modeCallsOnly {
		if !r.serve.answers("/healthz") {
			r.fail("serve does not work after all faults have ended; it said: %s", r.serve.lastWords())
		}
		r.serve.term()
	}
	r.checkLeftovers()
	if r.plan.mode != modeCallsOnly {
		r.serve.term()
	}
	r.checkFiles()
}

// checkLeftovers checks that files which a killed process was writing are removed when they are old, and that there are not
// more of them than kills: two for each, since serve writes several files at a time.
func (r *round) checkLeftovers() {
	left := r.partialFiles()
	r.mu.Lock()
	kills := r.kills
	r.mu.Unlock()
	r.note("%d files that were being written are left after %d kills", len(left), kills)
	if len(left) > 2*kills {
		r.fail("%d files that were being written are left after %d kills: %v", len(left), kills, left[:min(5, len(left))])
	}
	old := time.Now().Add(-48 * time.Hour)
	for _, name := range left {
		_ = os.Chtimes(name, old, old)
	}
	if r.plan.mode != modeCallsOnly {
		r.serve.up()
	}
	if !r.waitUntil(20*time.Second, "left files are removed", func() bool {
		if len(r.partialFiles()) == 0 {
			return true
		}
		r.callOnce()
		return false
	}) {
		r.fail("files that were being written two days ago are still there: %v", r.partialFiles())
	}
}

// partialFiles returns the files in the state directory that are being written, or were.
func (r *round) partialFiles() (names []string) {
	_ = filepath.WalkDir(r.state, func(name string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasPrefix(d.Name(), ".new-") {
			names = append(names, name)
		}
		return nil
	})
	return names
}

// checkFiles looks into every file of the home that the program may have written.
func (r *round) checkFiles() {
	err := filepath.WalkDir(r.home, func(name string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name == filepath.Join(r.home, "etc") || name == filepath.Join(r.home, "integrations")):
			return filepath.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		data, err := os.ReadFile(name)
		if err == nil {
			r.inspect(name, string(data))
		}
		return err
	})
	if err != nil {
		r.t.Error(err)
	}
}

// configuration is what changes of the configuration while it is in use.
type configuration struct {
	loglevel string
	drain    time.Duration
}

// configure writes the configuration.
func (r *round) configure() { r.write("etc/custom-misp.yaml", r.configText()) }

func (r *round) configText() string {
	alerts := wazuhtest.Alerts
	if !r.plan.follows() {
		alerts = `""`
	}
	text := fmt.Sprintf("timeout: %s\nlookup: {policy: %s, remember_hit: %s, remember_miss: %s}\n", callTime, r.plan.policy, r.plan.remember, r.plan.remember)
	text += "events: {repeat_window: 0, rate: 0}\n" // each hit is counted
	text += fmt.Sprintf("misp: {url: %q, key_file: etc/misp.key, timeout: 1s, retries: 1}\n", r.misp.URL)
	text += fmt.Sprintf("serve: {alerts: %s, start: %s}\nmappings: {builtin: false}\nspool: {drain_time: %s}\n", alerts, r.plan.start, r.config.drain)
	text += fmt.Sprintf("wazuh: {send_timeout: 500ms}\nlog: {level: %s}\n", r.config.loglevel)
	if r.plan.policy != "live" {
		text += fmt.Sprintf("mirror: {misp: %t, feeds: [site=%s], lists: [local=etc/list.txt], interval: 1s, feed_interval: 1s, "+
			"reconcile_interval: 5s, full_interval: 20s, timeout: 2s}\n", r.plan.policy == "mirror", r.feed.URL)
	}
	return text
}

// changeSources changes what MISP and the feed know, besides what alerts have, so that syncs have something to do.
func (r *round) changeSources(stop <-chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-time.After(700 * time.Millisecond):
		}
		r.feed.change()
		if i < 500 {
			r.misp.AddAttribute(eventUUID("misp"), fmt.Sprintf(
				`{"type":"hostname","category":"Network activity","to_ids":true,"value":"later-%d.misp.bad.example"}`, i))
		}
	}
}

// A daemon is serve, started again when it ends, as systemd does. Only one goroutine makes its faults.
type daemon struct {
	*round
	mu      sync.Mutex
	wanted  bool
	running *process // nil if none runs
	words   string   // of the last one that ended
	starter sync.WaitGroup
}

// answers reports whether serve says at a path that all is well.
func (d *daemon) answers(path string) bool {
	code, _ := getFrom(filepath.Join(d.state, "serve.sock"), path)
	return code == http.StatusOK
}
