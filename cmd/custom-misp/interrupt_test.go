package main

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
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
		"dry run file":   {[]string{"enrich", "--dry-run", large}, syscall.SIGINT},
		"lookup at MISP": {[]string{"lookup", "192.31.196.7"}, syscall.SIGINT},
		"sync":           {[]string{"sync"}, syscall.SIGTERM},
		"doctor":         {[]string{"doctor"}, syscall.SIGINT},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			interrupt(t, m, tt.args, tt.signal)
		})
	}
}

// interrupt starts a verb, waits until it works, sends a signal, and checks that it ends at once with the right code.
func interrupt(t *testing.T, m *testManager, args []string, signal syscall.Signal) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(m.home, "integrations/custom-misp"), append(args, "--home", m.home)...)
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
	if err := cmd.Process.Signal(signal); err != nil {
		t.Fatalf("it ended by itself: %v", cmd.Wait())
	}
	sent := time.Now()
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != cli.ExitInterrupted {
		t.Errorf("exit code %d, want %d", code, cli.ExitInterrupted)
	}
	if took := time.Since(sent); took > 3*time.Second { // one, and what a busy machine adds
		t.Errorf("it took %s", took)
	}
	_ = stdin.Close()
}
