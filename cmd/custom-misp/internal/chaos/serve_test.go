package chaos

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"custom-misp/cmd/custom-misp/internal/wazuhtest"
)

// A process is one run of serve.
type process struct {
	cmd   *exec.Cmd
	out   *bytes.Buffer // to be read when it has ended
	ended chan struct{}
	fate  string    // why it is about to end; empty if it ends by itself
	told  time.Time // when it was told to end
}

// restartAfter is how long systemd waits until it starts serve again.
const restartAfter = 300 * time.Millisecond

// up starts serve, and again whenever it ends by itself.
func (d *daemon) up() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wanted = true
	d.start()
}

// start starts serve if it is wanted and does not run. The caller holds mu.
func (d *daemon) start() {
	if !d.wanted || d.running != nil {
		return
	}
	cmd, out := wazuhtest.Command(d.home, "serve", "--home", d.home)
	cmd.Args[0] = "custom-misp"
	if err := cmd.Start(); err != nil {
		d.fail("serve does not start: %v", err)
		return
	}
	p := &process{cmd: cmd, out: out, ended: make(chan struct{})}
	d.running = p
	d.started(cmd.Process.Pid)
	d.starter.Go(func() { d.wait(p) })
}

// wait waits for the end of a process, and starts another one if it ended by itself.
func (d *daemon) wait(p *process) {
	_ = p.cmd.Wait()
	words := p.out.String()
	d.mu.Lock()
	d.running, d.words = nil, words
	fate, told := p.fate, p.told
	d.mu.Unlock()
	if fate == "" {
		d.ended(false, time.Time{}, "serve ended by itself, %s: %.300s", p.cmd.ProcessState, words)
	} else {
		d.ended(fate == "kill", told, "serve has ended after %s, %s", fate, p.cmd.ProcessState)
	}
	d.inspect("the output of serve", words)
	close(p.ended)
	if fate == "" {
		time.Sleep(restartAfter)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.start()
	}
}

// lastWords returns what the last process that has ended wrote.
func (d *daemon) lastWords() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return fmt.Sprintf("%.500s", d.words)
}

// down ends serve by a signal and returns how long that took; ok is false if it did not run. It stays down until up.
func (d *daemon) down(fate string, by syscall.Signal) (took time.Duration, ok bool) {
	d.mu.Lock()
	d.wanted = false
	p := d.running
	if p != nil {
		p.fate, p.told = fate, time.Now()
	}
	d.mu.Unlock()
	if p == nil {
		return 0, false
	}
	began := time.Now()
	_ = p.cmd.Process.Signal(by)
	select {
	case <-p.ended:
	case <-time.After(3 * endTime):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	return time.Since(began), true
}

// term ends serve as systemd does.
func (d *daemon) term() {
	began := time.Now()
	took, ok := d.down("SIGTERM", syscall.SIGTERM)
	if ok && took > endTime+500*time.Millisecond+2*d.stallsIn(began, time.Now()) {
		d.fail("serve took %s to end after SIGTERM", took.Round(time.Millisecond))
	}
}

// discard ends serve when the test does.
func (d *daemon) discard() {
	d.down("kill", syscall.SIGKILL)
	d.starter.Wait()
}

// signal sends a signal to serve, if it runs.
func (d *daemon) signal(s syscall.Signal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.running != nil {
		_ = d.running.cmd.Process.Signal(s)
	}
}

// getFrom asks at a unix socket; 0 if no one answers.
func getFrom(socket, path string) (code int, body string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
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

// serveFaults are kills and other signals, also together with damage to files, which is done while serve is down.
func serveFaults() []fault {
	kill := func(damage func(*round, *rand.Rand)) func(*round, *rand.Rand) func() {
		return func(r *round, chance *rand.Rand) func() {
			r.serve.down("kill", syscall.SIGKILL)
			if damage != nil {
				damage(r, chance)
			}
			return r.serve.up
		}
	}
	return []fault{
		{name: "kill", lane: laneServe, most: 2 * time.Second, begin: kill(nil)},
		{name: "crashes", lane: laneServe, least: time.Second, most: 3 * time.Second, begin: beginCrashes},
		{name: "term", lane: laneServe, most: time.Second, begin: func(r *round, _ *rand.Rand) func() {
			r.serve.term()
			return r.serve.up
		}},
		{name: "stop", lane: laneServe, least: 100 * time.Millisecond, most: 4 * time.Second, begin: func(r *round, _ *rand.Rand) func() {
			r.serve.signal(syscall.SIGSTOP)
			return func() { r.serve.signal(syscall.SIGCONT) }
		}},
		{name: "state", lane: laneServe, most: time.Second, begin: kill(func(r *round, chance *rand.Rand) {
			r.damage(chance, "misp.json", "queue.json", "sent", "sent.1", "repeats", "quality.json", "serve.lock")
		})},
		{
			name: "checkpoint", lane: laneServe, most: time.Second,
			begin: kill(func(r *round, chance *rand.Rand) { r.damage(chance, "checkpoint.json") }),
		},
	}
}

// beginCrashes kills serve again and again shortly after its start.
func beginCrashes(r *round, chance *rand.Rand) func() {
	stop := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		for {
			r.serve.down("kill", syscall.SIGKILL)
			r.serve.up()
			select {
			case <-stop:
				return
			case <-time.After(between(chance, 10*time.Millisecond, 300*time.Millisecond)):
			}
		}
	})
	return func() { close(stop); done.Wait() }
}

// damage damages one of some files in the state directory, of those that exist.
func (r *round) damage(chance *rand.Rand, names ...string) {
	name := filepath.Join(r.state, names[chance.IntN(len(names))])
	data, err := os.ReadFile(name)
	if err != nil {
		return
	}
	kind := []string{"emptied", "cut", "filled with random bytes", "changed in one bit"}[chance.IntN(4)]
	switch kind {
	case "emptied":
		data = nil
	case "cut":
		data = data[:len(data)/2]
	case "filled with random bytes":
		for i := range data {
			data[i] = byte(chance.IntN(256)) //nolint:gosec // a byte
		}
	default:
		if len(data) > 0 {
			data[chance.IntN(len(data))] ^= 1 << chance.IntN(8)
		}
	}
	defer r.spoil()()
	err = os.WriteFile(name, data, 0o600)
	r.note("%s is %s: %v", filepath.Base(name), kind, err)
}
