// Package wazuhtest is a Wazuh manager for tests, as far as this program meets one: the directory of an installation with
// the built program in it, the call that integratord makes, and the files that analysisd writes alerts to.
//
// Only tests import it. Errors of the test itself end the test.
package wazuhtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// Places below the home directory.
const (
	// Binary is where integratord expects the program.
	Binary = "integrations/custom-misp"
	// Queue is the socket of analysisd.
	Queue = "queue/sockets/queue"
	// Alerts is the file that alerts are read from.
	Alerts = "logs/alerts/alerts.json"
	// Archives is the file with all events.
	Archives = "logs/archives/archives.json"
)

// NewHome makes a directory laid out like Wazuh's, without the program and without a socket, and removes it when the test
// ends. Its name is short: the address of a unix socket has 107 bytes at most.
func NewHome(t testing.TB) string {
	t.Helper()
	home, err := os.MkdirTemp(parent(), "ossec")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	for _, dir := range []string{"integrations", "queue/sockets", "etc", "logs", "tmp"} {
		if err := os.MkdirAll(filepath.Join(home, dir), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	return home
}

// Install puts the built program into a home.
func Install(t testing.TB, home string) {
	t.Helper()
	program, err := Program()
	if err == nil {
		err = os.Link(program, filepath.Join(home, Binary))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Command starts the program of a home as integratord does: relative path, its directory, another name, a session of its
// own, nothing on standard input, one pipe for both outputs, next to no environment. It does not outlive the test. A verb
// gets its usual name by setting Args[0].
func Command(home string, args ...string) (cmd *exec.Cmd, output *bytes.Buffer) {
	output = new(bytes.Buffer)
	return &exec.Cmd{
		Path: Binary, Args: append([]string{"integrations"}, args...), Dir: home,
		Env: []string{"PATH=/bin"}, Stdout: output, Stderr: output, SysProcAttr: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
	}, output
}

// Program builds the program, once for all tests of this process, and returns its path. [RemoveProgram] removes it.
func Program() (string, error) { return build() }

var build = sync.OnceValues(func() (string, error) {
	program := filepath.Join(parent(), fmt.Sprintf("custom-misp-test-%d", os.Getpid()))
	cmd := exec.Command("go", "build", "-o", program, "custom-misp/cmd/custom-misp") //nolint:gosec,noctx // the go command
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	built = program
	return program, nil
})

var built string

// RemoveProgram removes what [Program] has built; for TestMain, when no test runs any more.
func RemoveProgram() {
	if built != "" {
		_ = os.Remove(built)
	}
}

// parent returns where homes are made: in memory where there is much of it, since most tests are not about the disk and
// would wait for its syncs most of their time.
var parent = sync.OnceValue(func() string {
	const memory = "/dev/shm"
	var st syscall.Statfs_t
	if err := syscall.Statfs(memory, &st); err != nil || st.Bavail*uint64(st.Bsize) < 1<<30 { //nolint:gosec // a size of blocks
		return os.TempDir()
	}
	return memory
})
