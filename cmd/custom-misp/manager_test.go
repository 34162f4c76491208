package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"custom-misp/cmd/custom-misp/internal/wazuhtest"
	"custom-misp/misp/misptest"
)

// A testManager is a directory laid out like Wazuh's, with the built binary in integrations/ and a socket where
// analysisd has its queue.
type testManager struct {
	home  string
	queue *net.UnixConn
	misp  *misptest.Server
}

// newManager is a home with the built binary in it.
func newManager(t testing.TB) *testManager {
	t.Helper()
	m := newHome(t)
	wazuhtest.Install(t, m.home)
	return m
}

// newHome is a home without the binary.
func newHome(t testing.TB) *testManager {
	t.Helper()
	m := &testManager{home: wazuhtest.NewHome(t), misp: misptest.New(t, os.DirFS("../../testdata/feed"))}
	m.listen(t)
	return m
}

func (m *testManager) listen(t testing.TB) {
	t.Helper()
	path := filepath.Join(m.home, "queue/sockets/queue")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	m.queue = conn
	t.Cleanup(func() { _ = conn.Close() })
}

// configure writes the configuration file.
func (m *testManager) configure(t testing.TB, text string) { m.write(t, "etc/custom-misp.yaml", text) }

// write writes a file below the home directory.
func (m *testManager) write(t testing.TB, name, content string) {
	t.Helper()
	name = filepath.Join(m.home, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// log returns what calls have logged.
func (m *testManager) log(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(m.home, "logs/integrations.log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// alert writes an alert file as integratord does.
func (m *testManager) alert(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(m.home, "tmp", "custom-misp-1791187801-118.alert")
	if err := os.WriteFile(path, content, 0o644); err != nil { //nolint:gosec // as integratord does
		t.Fatal(err)
	}
	return path
}

// call starts the binary as integratord does: relative path, its directory, another name, a session of its own,
// nothing on standard input, one pipe for both outputs.
func (m *testManager) call(t testing.TB, args ...string) (output string, code int) {
	t.Helper()
	cmd, out := m.command(args...)
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return out.String(), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), 0
}

func (m *testManager) command(args ...string) (*exec.Cmd, *bytes.Buffer) {
	return wazuhtest.Command(m.home, args...)
}

// received returns what the queue was sent, header and event. Datagrams to a unix socket are there before the sender goes
// on, so nothing is waited for.
func (m *testManager) received(t testing.TB) (headers []string, events []map[string]any) {
	t.Helper()
	queue, err := m.queue.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<17)
	for {
		var n int
		var none error
		if err := queue.Control(func(fd uintptr) { n, _, none = syscall.Recvfrom(int(fd), buf, syscall.MSG_DONTWAIT) }); err != nil {
			t.Fatal(err)
		}
		if none != nil {
			return headers, events
		}
		header, event := readEvent(t, buf[:n])
		headers, events = append(headers, header), append(events, event)
	}
}

// readEvent reads a datagram.
func readEvent(t testing.TB, datagram []byte) (header string, misp map[string]any) {
	t.Helper()
	header, body, ok := strings.Cut(string(datagram), ":{")
	var event struct {
		Integration string
		MISP        map[string]any
	}
	if err := json.Unmarshal([]byte("{"+body), &event); !ok || err != nil || event.Integration != "misp" {
		t.Errorf("datagram %q: %v", datagram, err)
	}
	return header, event.MISP
}

// collect reads the queue in the background, which the kernel lets hold few datagrams, until the function that it
// returns is called, which returns the events.
func (m *testManager) collect(t testing.TB) func() []map[string]any {
	t.Helper()
	const end = "end"
	var events []map[string]any
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1<<17)
		for {
			n, err := m.queue.Read(buf)
			if err != nil || string(buf[:n]) == end {
				return
			}
			_, event := readEvent(t, buf[:n])
			events = append(events, event)
		}
	}()
	return func() []map[string]any {
		conn, err := net.Dial("unixgram", m.queue.LocalAddr().String()) //nolint:noctx // a socket of our own
		if err == nil {
			_, err = conn.Write([]byte(end))
		}
		if err != nil {
			t.Fatal(err)
		}
		<-done
		_ = conn.Close()
		return events
	}
}

func bundled(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../testdata/alerts", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
