package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
)

// TestServe takes the built binary through what an administrator, systemd, MISP and Wazuh do to it.
func TestServe(t *testing.T) {
	t.Parallel()
	built := newManager(t)
	for name, run := range map[string]func(*testing.T, *testManager){
		"reload": serveReload, "reload while MISP is asked": serveReloadInFlight, "second instance": serveSecond,
		"end while MISP hangs": serveEndMISPHangs, "end while the queue is full": serveEndQueueFull, "systemd": serveSystemd,
		"HTTP": serveHTTP, "address": serveAddress, "live, MISP away": serveLiveAway, "held alert, MISP away": serveHeldAway, "damaged mirror": serveDamaged, "declared source": serveSource,
		"mirror then live": serveMirrorThenLive, "queue away": serveQueueAway, "odd lines": serveOddLines, "call": serveHandOver,
		"rejected value": serveRejected, "two servers": serveTwoServers,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, built)
		})
	}
}

func serveReload(t *testing.T, built *testManager) {
	const mapping = "etc/custom-misp/mappings/t.yaml"
	r := newResident(t, built, "")
	r.start(t)
	r.alerts.add("1", liveHit)
	r.expectHits(t, "1")

	r.write(t, mapping, "version: 1\n")
	r.until(t, "the failure shows", func() bool { return r.status().Configuration.Failure != "" })
	if f := r.status().Configuration.Failure; !strings.Contains(f, "t.yaml:1:1: a mapping file lacks the key") {
		t.Errorf("failure %q", f)
	}
	if n := r.logged("reload failed"); n != 1 {
		t.Errorf("the log tells of it %d times", n)
	}
	r.until(t, "Wazuh is told", func() bool { return r.says("error configuration_fault") == 1 })
	if r.metric("reload_success") != "0" {
		t.Error("the metric says that all is well")
	}
	r.alerts.add("2", liveHit) // the old mappings are used
	r.expectHits(t, "1", "2")

	r.write(t, mapping, strings.ReplaceAll(hostMapping, "}]}", "}, {path: data.other, type: hostname}]}"))
	r.until(t, "the change is used", func() bool { return r.status().Configuration.Failure == "" })
	r.alerts.line(strings.Replace(hostAlert("3", "nothing.example.org"), `"host"`, `"other":"`+liveHit+`","host"`, 1))
	r.expectHits(t, "1", "2", "3")

	before := r.status().Configuration.LoadedAt
	if err := r.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	r.until(t, "SIGHUP has it loaded anew", func() bool { return r.status().Configuration.LoadedAt.After(before) })

	r.configure(t, "lookup: {policy: mirror}\nmirror: {misp: false, lists: [local=etc/list.txt]}\nlog: {level: debug}\n")
	r.until(t, "the policy is another one", func() bool { s := r.status(); return config.Policy(s.Policy) == config.PolicyMirror && s.Ready })
	asked := r.searches()
	r.alerts.add("4", listHit)
	r.alerts.add("5", "another.bad-cdn.example")
	r.expectHits(t, "1", "2", "3", "4")
	if n := r.searches(); n != asked {
		t.Errorf("MISP was asked %d times under the policy mirror", n-asked)
	}
	if r.logged("only after a restart of serve key=log.level") != 1 {
		t.Error("the log does not say which change has to wait")
	}
	r.stop(t)
	if n := r.says("error"); n != 1 {
		t.Errorf("error events: %v", r.told())
	}
}

// serveReloadInFlight has MISP hang while the configuration is loaded anew: what was begun gets its answer.
func serveReloadInFlight(t *testing.T, built *testManager) {
	for _, config := range []string{"", "lookup: {policy: mirror-then-live}\nmirror: {misp: false, lists: [local=etc/list.txt]}\n"} {
		r := newResident(t, built, "timeout: 60s\n"+config)
		release := make(chan struct{})
		var hanging sync.Once
		hangs := make(chan struct{})
		r.misp.Fault(func(w http.ResponseWriter, q *http.Request) {
			hanging.Do(func() { close(hangs) })
			select {
			case <-release:
				r.misp.Answer(w, q)
			case <-q.Context().Done():
			}
		})
		r.start(t)
		r.until(t, "it can begin", func() bool { return r.status().Ready })
		r.alerts.add("1", liveHit)
		<-hangs
		before := r.status().Configuration.LoadedAt
		if err := r.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		r.until(t, "it is loaded anew", func() bool { return r.status().Configuration.LoadedAt.After(before) })
		close(release)
		r.expectHits(t, "1")
		r.alerts.add("2", liveHit)
		r.expectHits(t, "1", "2")
		r.stop(t)
	}
}

func serveSecond(t *testing.T, built *testManager) {
	r := newResident(t, built, "")
	r.start(t)
	second, out := r.command("serve", "--home", r.home)
	second.Args[0] = "custom-misp"
	err := second.Run()
	want := fmt.Sprintf("serve runs already (pid %d), with the lock %s", r.cmd.Process.Pid, app.State(filepath.Join(r.home, "logs/custom-misp")).Lock())
	if err == nil || second.ProcessState.ExitCode() != cli.ExitFailure || !strings.Contains(out.String(), want) {
		t.Errorf("the second ended with %v and %q", err, out)
	}
	r.alerts.add("1", liveHit)
	r.expectHits(t, "1") // the first is none the worse
	r.stop(t)

	// A call looks at the lock for a moment, which is no other instance.
	lock, err := os.Open(app.State(filepath.Join(r.home, "logs/custom-misp")).Lock())
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { _ = lock.Close() })
	r.start(t)
	r.stop(t)
}

// endTime is how long serve may take to end, by its promise.
const endTime = 5 * time.Second

func serveEndMISPHangs(t *testing.T, built *testManager) {
	r := newResident(t, built, "lookup: {policy: live}\nmirror: {interval: 1s}\n")
	r.misp.Fault(func(_ http.ResponseWriter, q *http.Request) { <-q.Context().Done() })
	r.start(t)
	ids := r.addMany("a", 100)
	r.until(t, "MISP is asked", func() bool { return r.searches() > 0 })
	if took := r.stop(t); took > endTime {
		t.Errorf("it took %s", took)
	}
	r.misp.Fault(nil)
	r.start(t)
	r.expectHits(t, ids...)
	r.stop(t)
}

// addMany writes alerts, each with a hit, and returns their ids.
func (r *resident) addMany(prefix string, n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("%s-%d", prefix, i))
		r.alerts.add(ids[i], liveHit)
	}
	return ids
}

func serveEndQueueFull(t *testing.T, built *testManager) {
	r := newResident(t, built, "")
	r.full.Lock()
	r.start(t)
	ids := r.addMany("a", 200)
	r.handOver(t, "c-1", liveHit)
	r.until(t, "the queue is full", r.queueIsAway)
	if took := r.stop(t); took > endTime {
		t.Errorf("it took %s", took)
	}
	r.full.Unlock()
	r.start(t)
	r.expectHits(t, append(ids, "c-1")...)
	r.stop(t)
}

// handOver is a call by integratord for an alert with a host.
func (r *resident) handOver(t testing.TB, id, host string) {
	t.Helper()
	name := filepath.Join(r.home, "tmp", id+".alert")
	if err := os.WriteFile(name, []byte(hostAlert(id, host)+"\n"), 0o600); err != nil {
		t.Error(err)
		return
	}
	cmd, out := r.command(name, "", "", "", "", "10", "0", "> /dev/null 2>&1")
	cmd.Env = append(cmd.Env, r.settings()...)
	if err := cmd.Run(); err != nil || out.Len() > 0 {
		t.Errorf("call for %s: %v, %q", id, err, out)
	}
	_ = os.Remove(name)
}

// serveOddLines writes what is no alert, or one that Wazuh's own hand-over would cut.
func serveOddLines(t *testing.T, built *testManager) {
	r := newResident(t, built, "")
	r.start(t)
	r.alerts.add("1", liveHit)
	r.alerts.line("no JSON")
	r.alerts.line(`{"rule":`)
	r.alerts.line("[1,2]")
	r.alerts.line(`{"data":{"host":"` + liveHit + `"}}`)
	r.alerts.line("\x00\x01\xff")
	r.alerts.line(strings.Repeat("x", 2<<20))
	r.alerts.line(strings.Replace(hostAlert("own", liveHit), `"location":"EventChannel"`, `"decoder":{"name":"json"},"location":"misp"`, 1))
	r.alerts.line(strings.Replace(hostAlert("forged", liveHit), `"data":{`, `"decoder":{"name":"json"},"data":{"integration":"misp",`, 1))
	r.alerts.line(strings.Replace(hostAlert("long", liveHit), `"data":{`, `"data":{"long":"`+strings.Repeat("y", 100_000)+`",`, 1))
	r.alerts.add("last", liveHit)
	r.expectHits(t, "1", "forged", "long", "last")
	r.stop(t)
	if n := len(r.counts()); n != 4 || len(r.told()) != 4 {
		t.Errorf("events %v", r.told())
	}
	r.start(t)
	r.alerts.line("again no JSON")
	r.alerts.add("after", liveHit)
	r.expectHits(t, "1", "forged", "long", "last", "after")
	if got := r.metric("alerts_unreadable_total"); got != "1" {
		t.Errorf("%s lines are unreadable after the restart", got)
	}
	r.stop(t)
}

func serveHandOver(t *testing.T, built *testManager) {
	r := newResident(t, built, "")
	r.handOver(t, "alone", liveHit) // no daemon is there: the call does it itself
	r.expectHits(t, "alone")
	asked := r.searches()
	r.full.Lock() // so that serve gets stuck and the alert can be seen
	r.start(t)
	ids := r.addMany("a", 50)
	r.until(t, "the queue is full", r.queueIsAway)
	served := r.searches()
	if served != asked+1 {
		t.Errorf("serve asked %d times for one value", served-asked)
	}
	r.misp.Fault(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "nobody is to ask") })
	r.handOver(t, "handed", liveHit)
	if n := r.searches(); n != served {
		t.Errorf("MISP was asked %d times", n-served)
	}
	if n := r.logged("alert done alert_id=handed"); n > 0 {
		t.Error("the call did the work")
	}
	r.full.Unlock()
	r.expectHits(t, append(ids, "alone", "handed")...)
	r.until(t, "the spool is empty", func() bool { return r.status().Spool.Alerts == 0 })
	r.alerts.add("handed", liveHit) // it is in alerts.json as well
	r.alerts.add("after", liveHit)
	r.expectHits(t, append(ids, "alone", "handed", "after")...)
	r.stop(t)

	r.misp.Fault(nil)
	r.handOver(t, "meanwhile", liveHit) // by the call itself, and serve finds it in alerts.json
	r.alerts.add("meanwhile", liveHit)
	r.alerts.add("again", liveHit)
	r.start(t)
	r.expectHits(t, append(ids, "alone", "handed", "after", "meanwhile", "again")...)
	r.stop(t)
}
