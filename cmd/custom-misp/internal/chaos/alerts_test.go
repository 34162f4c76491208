package chaos

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"custom-misp/cmd/custom-misp/internal/wazuhtest"
	"custom-misp/misp/misptest"
)

const mapping = "version: 1\nmappings:\n  - {id: t, match: 'true', pick: [{path: data.host, type: hostname}]}\n"

const ossecConf = `<ossec_config>
  <global><jsonout_output>yes</jsonout_output><alerts_log>yes</alerts_log></global>
  <integration><name>custom-misp</name><alert_format>json</alert_format><level>3</level></integration>
</ossec_config>
`

// An analysisd writes alerts as Wazuh does: each as text into alerts.log, and then as a line into alerts.json. The id of an
// alert is its time and its place in alerts.log.
type analysisd struct {
	mu   sync.Mutex // also held while a line is torn
	json *wazuhtest.AlertLog
	text *os.File // alerts.log under its dated name
	// past are the files of the present day that are full.
	past []string
}

// newAnalysisd begins to write in a home.
func newAnalysisd(home string) (*analysisd, error) {
	log, err := wazuhtest.NewAlertLog(home, time.Date(2026, 1, 5, 0, 0, 0, 0, time.Local))
	if err != nil {
		return nil, err
	}
	w := &analysisd{json: log}
	return w, w.openText()
}

// openText begins the alerts.log of a day.
func (w *analysisd) openText() (err error) {
	name := strings.TrimSuffix(w.json.Name(), ".json") + ".log"
	if w.text, err = os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640); err != nil {
		return err
	}
	live := filepath.Join(filepath.Dir(name), "../../alerts.log")
	_ = os.Remove(live)
	return os.Link(name, live)
}

// id writes the text of an alert and returns its id and its time. The caller holds mu.
func (w *analysisd) id() (id string, at time.Time, err error) {
	day, now := w.json.Day(), time.Now()
	at = time.Date(day.Year(), day.Month(), day.Day(), now.Hour(), now.Minute(), now.Second(), now.Nanosecond(), time.Local)
	place, err := w.text.Seek(0, 2)
	if err != nil {
		return "", at, err
	}
	id = fmt.Sprintf("%d.%d", at.Unix(), place)
	_, err = fmt.Fprintf(w.text, "** Alert %s: - sysmon,\n%s wazuh->EventChannel\nRule: 61650 (level 3) -> 'DNS query'\n\n", id, at.Format("2006 Jan 02 15:04:05"))
	return id, at, err
}

// nextDay begins the files of the next day, as at midnight, and returns those that can be compressed now.
func (w *analysisd) nextDay() (past []string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	last, err := w.json.NextDay()
	past, w.past = append(w.past, last), nil
	return past, errors.Join(err, w.text.Close(), w.openText())
}

// nextFile begins a further file of the same day, as when the present one is too large.
func (w *analysisd) nextFile() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	last, err := w.json.NextFile()
	w.past = append(w.past, last)
	return err
}

// newAlert makes an alert with a known value or another one. It is not written yet.
func (r *round) newAlert(chance *rand.Rand, known bool) *alert {
	r.wazuh.mu.Lock()
	defer r.wazuh.mu.Unlock()
	return r.newAlertLocked(chance, known)
}

func (r *round) newAlertLocked(chance *rand.Rand, known bool) *alert {
	id, at, err := r.wazuh.id()
	if err != nil {
		r.fail("the test cannot write alerts.log: %v", err)
	}
	a := &alert{id: id, at: at, known: known, agent: fmt.Sprintf("%03d", 1+chance.IntN(20)), file: r.wazuh.json.Name()}
	a.value = fmt.Sprintf("u-%d.clean.example", chance.Uint32())
	if !known {
		return a
	}
	sources := map[string][]string{"live": {"misp"}, "mirror": {"misp", "feed", "list"}, "mirror-then-live": {"feed", "list", "misp"}}[r.plan.policy]
	source := sources[chance.IntN(len(sources))]
	a.value = hosts(source)[chance.IntN(knownHosts)]
	a.liveOnly = source == "misp" && r.plan.policy == "mirror-then-live"
	return a
}

// json returns an alert as Wazuh writes it, without a newline.
func (a *alert) json() string {
	return fmt.Sprintf(`{"timestamp":%q,"rule":{"level":3,"description":"DNS query","id":"61650","groups":["sysmon"]},`+
		`"agent":{"id":%q,"name":"ws-%s","ip":"10.20.4.7"},"manager":{"name":"wazuh"},"id":%q,"location":"EventChannel","data":{"host":%q}}`,
		a.at.Format("2006-01-02T15:04:05.000-0700"), a.agent, a.agent, a.id, a.value)
}

// writeAlerts writes alerts in bursts until stop is closed, and offers some to integratord.
func (r *round) writeAlerts(stop <-chan struct{}, toCall chan<- *alert) {
	chance := newChance(r.plan.seed, 1000)
	for {
		select {
		case <-stop:
			return
		case <-time.After(between(chance, 0, 100*time.Millisecond)):
		}
		r.wazuh.mu.Lock()
		var burst []*alert
		for range 1 + chance.IntN(20) {
			burst = append(burst, r.newAlertLocked(chance, chance.IntN(6) == 0))
		}
		r.writeLocked("", burst...)
		r.wazuh.mu.Unlock()
		for _, a := range burst {
			if a.known || chance.IntN(8) == 0 {
				select {
				case toCall <- a:
				default: // integratord is busy with another
				}
			}
		}
	}
}

// writeLocked writes alerts behind some text, in one step.
func (r *round) writeLocked(before string, burst ...*alert) {
	var text strings.Builder
	text.WriteString(before)
	for _, a := range burst {
		r.ledger.write(a)
		text.WriteString(a.json() + "\n")
	}
	if _, err := r.wazuh.json.Write([]byte(text.String())); err != nil {
		r.fail("the test cannot write alerts.json: %v", err)
	}
}

// integratord calls for the alerts that it is given, one at a time, until stop is closed.
func (r *round) integratord(stop <-chan struct{}, toCall <-chan *alert) {
	chance := newChance(r.plan.seed, 1001)
	for {
		select {
		case <-stop:
			return
		case a := <-toCall:
			var kill time.Duration
			if r.killCalls.Load() {
				kill = between(chance, time.Millisecond, 60*time.Millisecond)
			}
			r.callFor(a, kill)
		}
		select {
		case <-stop:
		case <-time.After(between(chance, 0, r.plan.callsEvery)):
		}
	}
}

// callFor is one call, as integratord of Wazuh 4.14 makes it. It is killed after a time; 0 for not at all.
func (r *round) callFor(a *alert, kill time.Duration) {
	name := filepath.Join(r.home, "tmp", fmt.Sprintf("custom-misp-%d-%d.alert", time.Now().Unix(), rand.Int32()))
	if err := os.WriteFile(name, []byte(a.json()+"\n"), 0o600); err != nil {
		r.fail("the test cannot write an alert file: %v", err)
		return
	}
	defer os.Remove(name) //nolint:errcheck // as integratord does
	key, url := "", ""
	if r.plan.keyInArgs {
		key, url = misptest.Key, r.misp.URL
	}
	cmd, out := wazuhtest.Command(r.home, name, key, url, "", "", fmt.Sprint(int(callTime.Seconds())), "1", "> /dev/null 2>&1")
	c := r.calls(a)
	if err := cmd.Start(); err != nil {
		r.fail("a call does not start: %v", err)
		return
	}
	if kill == 0 {
		kill = time.Minute // it hangs; the ledger finds that it took too long
	}
	killer := time.AfterFunc(kill, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	killer.Stop()
	code, killed := 0, false
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
		status, ok := exit.Sys().(syscall.WaitStatus)
		killed = ok && status.Signaled() && status.Signal() == syscall.SIGKILL
	}
	r.called(c, code, killed, out.String())
}

// alertFaults are those of calls and of the files that analysisd writes.
func alertFaults() []fault {
	return []fault{
		{name: "kill-calls", lane: laneCalls, least: 500 * time.Millisecond, most: 4 * time.Second, begin: func(r *round, _ *rand.Rand) func() {
			r.killCalls.Store(true)
			return func() { r.killCalls.Store(false) }
		}},
		{name: "midnight", lane: laneAlerts, begin: beginMidnight},
		{name: "next-file", lane: laneAlerts, begin: func(r *round, _ *rand.Rand) func() {
			r.check(r.wazuh.nextFile())
			return nil
		}},
		{name: "torn", lane: laneAlerts, most: 2 * time.Second, begin: func(r *round, chance *rand.Rand) func() {
			r.wazuh.mu.Lock()
			a := r.newAlertLocked(chance, true)
			cut := r.tear(chance, a)
			return func() {
				defer r.wazuh.mu.Unlock()
				r.ledger.write(a)
				_, err := r.wazuh.json.Write([]byte(a.json()[cut:] + "\n"))
				r.check(err)
			}
		}},
		{name: "torn-midnight", lane: laneAlerts, most: 2 * time.Second, begin: func(r *round, chance *rand.Rand) func() {
			r.wazuh.mu.Lock()
			r.tear(chance, r.newAlertLocked(chance, false))
			return func() {
				r.wazuh.mu.Unlock()
				beginMidnight(r, chance)
			}
		}},
		{
			name: "glued", lane: laneAlerts, most: 2 * time.Second,
			begin: func(r *round, chance *rand.Rand) func() {
				r.wazuh.mu.Lock()
				r.tear(chance, r.newAlertLocked(chance, false))
				return func() {
					defer r.wazuh.mu.Unlock()
					r.writeLocked("", r.newAlertLocked(chance, true))
				}
			},
		},
		{name: "truncate", lane: laneAlerts, rare: true, begin: func(r *round, _ *rand.Rand) func() {
			r.wazuh.mu.Lock()
			defer r.wazuh.mu.Unlock()
			r.check(r.wazuh.json.Truncate(""))
			r.excuse(r.wazuh.json.Name(), "alerts.json was truncated")
			return nil
		}},
		{
			name: "copytruncate", lane: laneAlerts, off: "what was copied away is not looked for beside dated files, nor dated files after it",
			begin: beginCopyTruncate,
		},
	}
}

// beginCopyTruncate copies alerts.json away and empties it, as logrotate does.
func beginCopyTruncate(r *round, _ *rand.Rand) func() {
	r.wazuh.mu.Lock()
	defer r.wazuh.mu.Unlock()
	live := filepath.Join(r.home, wazuhtest.Alerts)
	for n := 50; n > 0; n-- {
		if err := os.Rename(fmt.Sprint(live, ".", n), fmt.Sprint(live, ".", n+1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.check(err)
		}
	}
	r.check(r.wazuh.json.Truncate(".1"))
	return nil
}

// check reports an error of the test itself.
func (r *round) check(err error) {
	if err != nil {
		r.fail("the test: %v", err)
	}
}

// tear writes the first part of a line and returns how long it is.
func (r *round) tear(chance *rand.Rand, a *alert) (cut int) {
	cut = 1 + chance.IntN(len(a.json())-1)
	_, err := r.wazuh.json.Write([]byte(a.json()[:cut]))
	r.check(err)
	r.note("alert %s is torn behind %d bytes", a.id, cut)
	return cut
}

// beginMidnight goes on in the files of the next day. In most cases those of the last one are compressed a little later.
func beginMidnight(r *round, chance *rand.Rand) func() {
	past, err := r.wazuh.nextDay()
	r.check(err)
	if chance.IntN(4) == 0 {
		return nil
	}
	wait, pause := between(chance, 0, 1500*time.Millisecond), between(chance, 0, 300*time.Millisecond)
	r.files.Go(func() {
		time.Sleep(wait)
		for _, name := range past {
			r.check(wazuhtest.Compress(name, func() { time.Sleep(pause) }))
			r.note("%s is compressed", filepath.Base(name))
		}
	})
	return nil
}
