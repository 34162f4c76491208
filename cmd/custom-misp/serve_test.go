package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/serve"
	"custom-misp/cmd/custom-misp/internal/wazuhtest"

	"custom-misp/misp/misptest"
)

// Values of the tests of serve: MISP knows liveHit, the list of a mirror knows listHit.
const (
	liveHit = "gate.bad-cdn.example"
	listHit = "list.bad.example"
)

const hostMapping = "version: 1\nmappings:\n  - {id: t, match: 'true', pick: [{path: data.host, type: hostname}]}\n"

// patience is how long these tests wait for what has to come, on a machine that others use too.
const patience = 60 * time.Second

// A resident is a home in which serve runs, the built binary, with the queue read all the time.
type resident struct {
	*testManager
	*inbox
	alerts  *alertLog
	env     []string // further settings
	program string   // that serve is; empty for the built one
	cmd     *exec.Cmd
	out     *bytes.Buffer // both outputs; to be read when it has ended
	ended   chan struct{}
}

// newResident prepares a home with the binary of another one. What is written into alerts.json is read from its start.
func newResident(t *testing.T, built *testManager, config string) *resident {
	t.Helper()
	m := newHome(t)
	const binary = "integrations/custom-misp"
	if built.home != m.home {
		if err := os.Link(filepath.Join(built.home, binary), filepath.Join(m.home, binary)); err != nil {
			t.Fatal(err)
		}
	}
	return prepare(t, m, config)
}

func prepare(t *testing.T, m *testManager, config string) *resident {
	t.Helper()
	r := &resident{testManager: m, inbox: openInbox(t, m), alerts: newAlertLog(t, m.home)}
	r.write(t, "etc/custom-misp/mappings/t.yaml", hostMapping)
	r.write(t, "etc/list.txt", listHit+"\n")
	r.configure(t, config)
	return r
}

// write puts a file into the home, in the way of editors: written beside and renamed.
func (r *resident) write(t testing.TB, name, content string) {
	t.Helper()
	replace(t, filepath.Join(r.home, name), content)
}

func replace(t testing.TB, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name+"~", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+"~", name); err != nil {
		t.Fatal(err)
	}
}

// eachHit switches the repeat window and the rate off, so that each hit is an event at once.
const eachHit = "events: {repeat_window: 0, rate: 0}\n"

// configure writes the configuration: the MISP of the test, one try for each question, an event for each hit, and what is given.
func (r *resident) configure(t testing.TB, config string) {
	t.Helper()
	if !strings.Contains(config, "events:") {
		config += eachHit
	}
	r.write(t, "etc/custom-misp.yaml", fmt.Sprintf("misp: {url: %q, key: %s, timeout: 2s, retries: 0}\n%s", r.misp.URL, misptest.Key, config))
}

// begin starts serve and does not wait.
func (r *resident) begin(t testing.TB) {
	t.Helper()
	r.cmd, r.out = r.command("serve", "--home", r.home)
	r.cmd.Args[0] = "custom-misp"
	if r.program != "" {
		r.cmd.Path = r.program
	}
	r.cmd.Env = append(r.cmd.Env, r.settings()...)
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	r.ended = ended
	cmd := r.cmd
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
}

func (r *resident) settings() []string {
	return append([]string{"CUSTOM_MISP_MAPPINGS_BUILTIN=false", "CUSTOM_MISP_SERVE_START=beginning"}, r.env...)
}

// start starts serve and waits until it answers.
func (r *resident) start(t testing.TB) {
	t.Helper()
	r.begin(t)
	r.until(t, "serve answers", func() bool {
		select {
		case <-r.ended:
			t.Fatalf("serve has ended: %s", r.out)
		default:
		}
		code, _ := r.get("/healthz")
		return code == http.StatusOK
	})
}

// stop ends serve as systemd does and returns how long that took.
func (r *resident) stop(t testing.TB) time.Duration {
	t.Helper()
	began := time.Now()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-r.ended:
	case <-time.After(patience):
		t.Fatal("serve does not end")
	}
	if code := r.cmd.ProcessState.ExitCode(); code != 0 || r.out.Len() > 0 {
		t.Errorf("serve ended with exit code %d, output %q", code, r.out)
	}
	return time.Since(began)
}

// until waits for something that has to come.
func (r *resident) until(t testing.TB, what string, came func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !came(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			log, _ := os.ReadFile(filepath.Join(r.home, "logs/integrations.log"))
			_, status := r.get("/status")
			t.Fatalf("waited %s for this: %s\nevents: %v\nstatus: %s\nlog: %s", patience, what, r.told(), status, log[max(0, len(log)-5000):])
		}
	}
}

// get asks at the socket; 0 if no one answers.
func (r *resident) get(path string) (code int, body string) {
	return getFrom("unix", app.State(filepath.Join(r.home, "logs/custom-misp")).Socket(), path)
}

func getFrom(network, address, path string) (code int, body string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://serve"+path, nil)
	if err != nil {
		return 0, err.Error()
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(data)
}

// status returns what serve says of itself; the zero value if it does not.
func (r *resident) status() (s serve.Status) {
	_, body := r.get("/status")
	_ = json.Unmarshal([]byte(body), &s)
	return s
}

// metric returns a metric as it is written, without its name; empty if there is none.
func (r *resident) metric(name string) string {
	_, body := r.get("/metrics")
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, "custom_misp_"+name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// logged counts the lines of the log that hold a text.
func (r *resident) logged(text string) int {
	log, _ := os.ReadFile(filepath.Join(r.home, "logs/integrations.log"))
	return strings.Count(string(log), text)
}

// searches counts the look-ups that MISP was asked for.
func (r *resident) searches() (n int) {
	for _, q := range r.misp.Requests() {
		if q.Path == "/attributes/restSearch" {
			n++
		}
	}
	return n
}

// expectHits waits until all of some alerts have their event, and checks that none has two.
func (r *resident) expectHits(t testing.TB, ids ...string) {
	t.Helper()
	r.until(t, fmt.Sprintf("events of %d alerts", len(ids)), func() bool {
		counts := r.counts()
		return !slices.ContainsFunc(ids, func(id string) bool { return counts[id] == 0 })
	})
	for id, n := range r.counts() {
		if n > 1 {
			t.Errorf("alert %s has %d events", id, n)
		}
	}
}

// An inbox is analysisd's end of the queue.
type inbox struct {
	path   string
	full   sync.Mutex // held while nothing is read
	mu     sync.Mutex
	events []map[string]any
}

// openInbox reads the queue of a manager until the test ends.
func openInbox(t testing.TB, m *testManager) *inbox {
	t.Helper()
	b := &inbox{path: filepath.Join(m.home, "queue/sockets/queue")}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1<<17)
		for {
			n, err := m.queue.Read(buf)
			if err != nil {
				return
			}
			_, event := readEvent(t, buf[:n])
			b.mu.Lock()
			b.events = append(b.events, event)
			b.mu.Unlock()
			b.full.Lock()
			b.full.Unlock() //nolint:staticcheck // it is a gate
		}
	}()
	t.Cleanup(func() { _ = m.queue.Close(); <-done })
	return b
}

// leave takes the socket away until the function that it returns is called. What was sent before is read.
func (b *inbox) leave(t testing.TB) (comeBack func()) {
	t.Helper()
	move := func(from, to string) {
		if err := os.Rename(from, to); err != nil {
			t.Error(err)
		}
	}
	move(b.path, b.path+".away")
	return func() { move(b.path+".away", b.path) }
}

// told returns what came so far, in the words of [told].
func (b *inbox) told() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return told(b.events)
}

// says counts what came so far that begins with a text.
func (b *inbox) says(text string) (n int) {
	for _, e := range b.told() {
		if strings.HasPrefix(e, text) {
			n++
		}
	}
	return n
}

// counts returns how many hits came for each alert.
func (b *inbox) counts() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	counts := map[string]int{}
	for _, e := range b.events {
		if e["observable"] != nil {
			counts[fmt.Sprint(e["source"].(map[string]any)["alert_id"])]++
		}
	}
	return counts
}

// An alertLog is where analysisd writes alerts.
type alertLog struct {
	*wazuhtest.AlertLog
	t testing.TB
}

func newAlertLog(t testing.TB, home string) *alertLog {
	t.Helper()
	l, err := wazuhtest.NewAlertLog(home, time.Date(2026, 1, 5, 12, 0, 0, 0, time.Local))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return &alertLog{l, t}
}

// turn begins the file of the next day and returns the name of the last one.
func (l *alertLog) turn() (last string) {
	l.t.Helper()
	last, err := l.NextDay()
	if err != nil {
		l.t.Fatal(err)
	}
	return last
}

// add writes an alert with a host.
func (l *alertLog) add(id, host string) {
	l.t.Helper()
	l.line(hostAlert(id, host))
}

func (l *alertLog) line(text string) {
	l.t.Helper()
	if _, err := l.Write([]byte(text + "\n")); err != nil {
		l.t.Fatal(err)
	}
}

func hostAlert(id, host string) string {
	return fmt.Sprintf(`{"timestamp":"2026-10-05T08:10:01.120+0000","rule":{"level":3,"description":"DNS query","id":"61650","groups":["sysmon"]},`+
		`"agent":{"id":"004","name":"ws-07","ip":"10.20.4.7"},"id":%q,"location":"EventChannel","data":{"host":%q}}`, id, host)
}

// queueIsAway reports whether serve knows that the queue takes nothing.
func (r *resident) queueIsAway() bool {
	return strings.HasPrefix(r.status().Queue, "unreachable since")
}
