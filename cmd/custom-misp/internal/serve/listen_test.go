package serve

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/config"
)

// newState returns a configuration whose state directory is there, and short enough for a socket.
func newState(t *testing.T, text string) *config.Config {
	t.Helper()
	home, err := os.MkdirTemp("", "ossec")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	if err := os.WriteFile(filepath.Join(home, "c.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Request{Home: home, File: filepath.Join(home, "c.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(c.StateDir, 0o777); err != nil { //nolint:gosec // the socket itself has to keep others out
		t.Fatal(err)
	}
	return c
}

// TestSocketMode has the socket be for its owner and group alone, from the moment on that others can see it, whatever the
// umask.
func TestSocketMode(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	c := newState(t, "state_dir: s")
	socket := app.StateOf(c).Socket()
	if err := os.WriteFile(socket, nil, 0o666); err != nil { //nolint:gosec // left over by another process
		t.Fatal(err)
	}
	moved := 0
	defer func() { testOnlyMove = os.Rename }()
	testOnlyMove = func(made, to string) error {
		moved++
		dir, err := os.Stat(filepath.Dir(made))
		if err != nil || dir.Mode().Perm() != 0o700 {
			t.Errorf("the socket is made where others can see it: %v, %v", dir.Mode(), err)
		}
		st, err := os.Lstat(made)
		if err != nil || st.Mode() != fs.ModeSocket|0o660 {
			t.Errorf("moved with mode %v, %v", st.Mode(), err)
		}
		return os.Rename(made, to)
	}
	v := &server{metrics: newMetrics()}
	stop, err := v.listen(c)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Lstat(socket)
	if err != nil || st.Mode() != fs.ModeSocket|0o660 || moved != 1 {
		t.Errorf("mode %v, %v, want %v", st.Mode(), err, fs.ModeSocket|0o660)
	}
	if got := get(t, "unix", socket); got != "ok\n" {
		t.Errorf("answer %q", got)
	}
	stop()
	if left, err := os.ReadDir(c.StateDir); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

// TestSocketLater has no room for the socket when serve starts. It answers there once there is.
func TestSocketLater(t *testing.T) {
	defer func() { testOnlyMove, socketRetry = os.Rename, time.Second }()
	socketRetry = time.Millisecond
	tries, made := 0, make(chan bool)
	testOnlyMove = func(from, to string) error {
		if tries++; tries < 4 {
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: syscall.ENOSPC}
		}
		defer close(made)
		return os.Rename(from, to)
	}
	c := newState(t, "state_dir: s")
	var log bytes.Buffer // read when serve has ended
	v := &server{metrics: newMetrics(), log: slog.New(slog.NewTextHandler(&log, nil))}
	stop, err := v.listen(c)
	if err != nil {
		t.Fatal(err)
	}
	<-made
	if got := get(t, "unix", app.StateOf(c).Socket()); got != "ok\n" {
		t.Errorf("answer %q", got)
	}
	stop()
	if left, err := os.ReadDir(c.StateDir); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	if !strings.Contains(log.String(), "until there is room") || !strings.Contains(log.String(), "can ask this process now") {
		t.Errorf("log: %s", &log)
	}
}

// get asks whether serve is healthy.
func get(t *testing.T, network, address string) string {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://serve/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestSocketLongestName listens at a path as long as the address of a socket can be.
func TestSocketLongestName(t *testing.T) {
	t.Parallel()
	c := newState(t, "state_dir: s")
	c.StateDir = filepath.Join(c.StateDir, strings.Repeat("d", 107-len(app.StateOf(c).Socket())-1))
	if err := os.Mkdir(c.StateDir, 0o750); err != nil {
		t.Fatal(err)
	}
	stop, err := (&server{metrics: newMetrics()}).listen(c)
	if err != nil {
		t.Fatalf("a path of %d bytes: %v", len(app.StateOf(c).Socket()), err)
	}
	defer stop()
	if got := get(t, "unix", app.StateOf(c).Socket()); got != "ok\n" {
		t.Errorf("answer %q", got)
	}
}

// TestListenFails leaves no socket behind, and says what to do.
func TestListenFails(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // the end of the test
	for text, want := range map[string]string{
		"state_dir: s\nserve: {listen: '" + taken.Addr().String() + "'}": "; choose another port",
		"state_dir: " + strings.Repeat("s", 120):                         "too long for a socket",
	} {
		c := newState(t, text)
		_, err := (&server{metrics: newMetrics()}).listen(c)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if _, err := os.Lstat(app.StateOf(c).Socket()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a socket is left over: %v", err)
		}
	}
}

// ask connects, sends the beginning of a request, and returns the connection.
func ask(t *testing.T, network, address, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

// answered reports whether an answer comes on a connection within a time.
func answered(t *testing.T, conn net.Conn, within time.Duration) bool {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return err == nil && strings.HasPrefix(line, "HTTP/1.1 200 ")
}

// TestListenFull takes all connections at the address with requests that do not end. A further client waits, and is
// answered when one of them is closed, or by itself when their time is over. The socket answers all the time.
func TestListenFull(t *testing.T) {
	t.Parallel()
	const begun, whole = "GET /healthz HTTP/1.1\r\n", "GET /healthz HTTP/1.1\r\nHost: serve\r\n\r\n"
	c := newState(t, "state_dir: s")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.Serve.Listen = free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer // read when serve has ended
	v := &server{metrics: newMetrics(), log: slog.New(slog.NewTextHandler(&log, nil))}
	stop, err := v.listen(c)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	full := v.metrics.listenerFull("address")
	slow := make([]net.Conn, maxConnections)
	for i := range slow {
		if full.Get() != 0 {
			t.Errorf("%d of %d connections are all", i, maxConnections)
		}
		slow[i] = ask(t, "tcp", c.Serve.Listen, begun)
	}
	next := ask(t, "tcp", c.Serve.Listen, whole)
	if answered(t, next, 200*time.Millisecond) {
		t.Errorf("more than %d connections are answered", maxConnections)
	}
	if got := get(t, "unix", app.StateOf(c).Socket()); got != "ok\n" {
		t.Errorf("the socket answers %q", got)
	}
	if full.Get() != 1 || v.metrics.listenerFull("socket").Get() != 0 {
		t.Errorf("counted %d and %d", full.Get(), v.metrics.listenerFull("socket").Get())
	}
	_ = slow[0].Close()
	if !answered(t, next, headerTime/2) {
		t.Error("no answer when a connection has ended")
	}
	slow[0] = ask(t, "tcp", c.Serve.Listen, begun)
	if next = ask(t, "tcp", c.Serve.Listen, whole); !answered(t, next, 3*headerTime) {
		t.Error("clients that send nothing more keep their places")
	}
	stop()
	if full.Get() < 2 || strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "all connections are in use") {
		t.Errorf("counted %d, log %q", full.Get(), log.String())
	}
}

// TestListenOneRequest has a client not keep its connection by asking again and again.
func TestListenOneRequest(t *testing.T) {
	t.Parallel()
	c := newState(t, "state_dir: s")
	stop, err := (&server{metrics: newMetrics()}).listen(c)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	conn := ask(t, "unix", app.StateOf(c).Socket(), "GET /healthz HTTP/1.1\r\nHost: serve\r\n\r\n")
	if err := conn.SetReadDeadline(time.Now().Add(headerTime)); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(all), "\r\nConnection: close\r\n") {
		t.Errorf("%q, %v", all, err)
	}
}
