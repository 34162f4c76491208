package main

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"custom-misp/cmd/custom-misp/internal/cli"
)

// TestInterrupt ends verbs by a signal while they read standard input that does not end, a large file, or wait for a
// MISP that does not answer.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	m.misp.Fault(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	large := filepath.Join(m.home, "large.json")
	line := strings.TrimSpace(string(bundled(t, "fim-added"))) + "\n"
	if err := os.WriteFile(large, []byte(strings.Repeat(line, 100_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	m.configure(t, "misp: {url: \""+m.misp.URL+"\", key: fake-key-for-tests-only, timeout: 30s}\ntimeout: 60s\n")
	for name, tt := range map[string]struct {
		args   []string
		signal syscall.Signal
	}{
		"lookup stdin":   {[]string{"lookup", "-"}, syscall.SIGINT},
		"enrich stdin":   {[]string{"enrich", "-"}, syscall.SIGTERM},
		"dry run stdin":  {[]string{"enrich", "--dry-run", "-"}, syscall.SIGINT},
		"suggest stdin":  {[]string{"suggest", "-"}, syscall.SIGINT},
		"explain stdin":  {[]string{"explain", "-"}, syscall.SIGTERM},
		"coverage stdin": {[]string{"coverage", "-"}, syscall.SIGINT},
		"coverage file":  {[]string{"coverage", large}, syscall.SIGTERM},
		"backtest stdin": {[]string{"backtest", "--feed", "../../testdata/feed", "-"}, syscall.SIGINT},
		"backtest file":  {[]string{"backtest", "--feed", "../../testdata/feed", large}, syscall.SIGTERM},
		"dry run file":   {[]string{"enrich", "--dry-run", large}, syscall.SIGINT},
		"lookup at MISP": {[]string{"lookup", "192.31.196.7"}, syscall.SIGINT},
		"lookup many":    {[]string{"lookup", "192.31.196.7", "192.31.196.8", "-"}, syscall.SIGTERM},
		"enrich at MISP": {[]string{"enrich", large}, syscall.SIGINT},
		"sync":           {[]string{"sync"}, syscall.SIGTERM},
		"doctor":         {[]string{"doctor"}, syscall.SIGINT},
		"explain file":   {[]string{"explain", large}, syscall.SIGTERM},
		"test --watch":   {[]string{"test", "--watch", "../../examples/mappings"}, syscall.SIGTERM},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			interrupt(t, m, tt.args, tt.signal)
		})
	}
}

// TestInterruptPipe ends verbs while they wait for a pipe into which no one writes: in the place of an alert file, of a mapping
// file, and of the configuration, which every verb reads but those that are left out here.
func TestInterruptPipe(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	m.configure(t, "misp: {url: \""+m.misp.URL+"\", key: fake-key-for-tests-only}\n")
	const pipe = "PIPE"
	rows := [][]string{
		{"enrich", pipe},
		{"enrich", "--dry-run", pipe},
		{"explain", pipe},
		{"coverage", pipe},
		{"backtest", "--feed", "../../testdata/feed", pipe},
		{"suggest", pipe},
		{"profile", pipe},
		{"lint", pipe},
		{"test", pipe},
		{"mappings", "-m", pipe},
		{"explain", "-m", pipe, "-"},
	}
	arguments := map[string][]string{
		"enrich": {"-"}, "lookup": {"192.31.196.7"}, "explain": {"-"}, "coverage": {"-"}, "backtest": {"-"}, "suggest": {"-"}, "export": {"csv"}, "source": {"list"},
		"history": {"import", "-"}, "seen": {"192.31.196.7"},
	}
	unread := []string{"serve", "schema", "version", "example", "manual", "profile"} // serve: see TestWait
	for _, c := range newRoot(cli.Streams{}).Commands() {
		if !slices.Contains(unread, c.Name()) {
			rows = append(rows, append(append([]string{c.Name()}, arguments[c.Name()]...), "--config", pipe))
		}
	}
	rows = append(rows, []string{"spool", "drain", "--config", pipe}, []string{"spool", "retry", "--config", pipe})
	for i, row := range rows {
		t.Run(strings.Join(row, " "), func(t *testing.T) {
			t.Parallel()
			name := filepath.Join(t.TempDir(), "pipe.yaml")
			if err := syscall.Mkfifo(name, 0o600); err != nil {
				t.Fatal(err)
			}
			args := slices.Clone(row)
			args[slices.Index(args, pipe)] = name
			cmd := verb(t, m, args)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() { defer close(ended); _ = cmd.Wait() }()
			opened := make(chan *os.File, 1)
			go func() {
				f, _ := os.OpenFile(name, os.O_WRONLY, 0) // returns when the verb opens it
				opened <- f
			}()
			select {
			case f := <-opened:
				defer f.Close() //nolint:errcheck // nothing was written
			case <-ended:
				t.Fatalf("it ended by itself: %v", cmd.ProcessState)
			}
			end(t, cmd, []syscall.Signal{syscall.SIGINT, syscall.SIGTERM}[i%2], ended)
		})
	}
}

// TestInterruptTwice ends serve, which hangs, by a second signal.
func TestInterruptTwice(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	name := filepath.Join(m.home, "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := verb(t, m, []string{"serve", "--config", name})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0) // returns when serve opens it
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	began := time.Now()
	for again := time.NewTicker(20 * time.Millisecond); ; {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
			status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
			if !ok || status.Signal() != syscall.SIGTERM || time.Since(began) > finishGrace/2 {
				t.Errorf("%v after %s", cmd.ProcessState, time.Since(began))
			}
			return
		case <-again.C:
		}
	}
}

// TestWait is about exit codes and how long the program waits after a signal.
func TestWait(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args         string
		signal, ends time.Duration // from the start; ends 0: never
		code         int
		after        time.Duration
	}{
		"a verb ends":                   {"lint", time.Hour, time.Second, 1, time.Second},
		"a verb ends after a signal":    {"lint", time.Second, time.Second + interruptGrace/2, cli.ExitInterrupted, time.Second + interruptGrace/2},
		"a verb hangs":                  {"lint", time.Second, 0, cli.ExitInterrupted, time.Second + interruptGrace},
		"serve ends in good order":      {"serve", time.Second, 6 * time.Second, 1, 6 * time.Second},
		"serve with flags":              {"--home /x serve", time.Second, 6 * time.Second, 1, 6 * time.Second},
		"serve hangs":                   {"serve", time.Second, 0, cli.ExitInterrupted, time.Second + finishGrace},
		"a call queues its alert":       {"/tmp/x.alert", time.Second, 6 * time.Second, 1, 6 * time.Second},
		"a call hangs":                  {"/tmp/x.alert", time.Second, 0, cli.ExitInterrupted, time.Second + finishGrace},
		"a verb with a file's argument": {"lookup serve", time.Second, 0, cli.ExitInterrupted, time.Second + interruptGrace},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.signal)
				defer cancel()
				ended := make(chan int, 1)
				if tt.ends > 0 {
					time.AfterFunc(tt.ends, func() { ended <- 1 })
				}
				began := time.Now()
				code := wait(ctx, ended, append([]string{"custom-misp"}, strings.Fields(tt.args)...))
				if took := time.Since(began); code != tt.code || took != tt.after {
					t.Errorf("exit code %d after %s, want %d after %s", code, took, tt.code, tt.after)
				}
			})
		})
	}
}

// verb returns a command that runs a verb of the built program, and is killed at the end of the test.
func verb(t *testing.T, m *testManager, args []string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, filepath.Join(m.home, "integrations/custom-misp"), append(args, "--home", m.home)...)
}

// end sends a signal to a verb, and checks that it ends at once with the right code.
func end(t *testing.T, cmd *exec.Cmd, signal syscall.Signal, ended <-chan struct{}) {
	t.Helper()
	if err := cmd.Process.Signal(signal); err != nil {
		<-ended
		t.Fatalf("it ended by itself: %v", cmd.ProcessState)
	}
	sent := time.Now()
	<-ended
	if code := cmd.ProcessState.ExitCode(); code != cli.ExitInterrupted {
		t.Errorf("exit code %d, want %d", code, cli.ExitInterrupted)
	}
	if took := time.Since(sent); took > 3*time.Second { // one, and what a busy machine adds
		t.Errorf("it took %s", took)
	}
}

// interrupt starts a verb, waits until it works, sends a signal, and checks that it ends at once with the right code.
func interrupt(t *testing.T, m *testManager, args []string, signal syscall.Signal) {
	t.Helper()
	cmd := verb(t, m, args)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(stdin)
	_, _ = w.WriteString("# no value yet\n") // and no end
	_ = w.Flush()
	time.Sleep(400 * time.Millisecond) // into its work; a verb that has ended by then fails below
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	end(t, cmd, signal, ended)
	_ = stdin.Close()
}
