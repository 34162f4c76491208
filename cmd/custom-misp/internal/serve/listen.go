package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
)

// This file is what serve answers over HTTP, on a unix socket and, if configured, at an address. All of
// it is for reading; nothing there changes anything.
//
//	/metrics   for Prometheus
//	/healthz   200 while serve works, 503 if it hangs
//	/readyz    200 if alerts can be enriched now, else 503 with the reason
//	/status    JSON, what custom-misp status shows

// hung is how long serve may give no sign of life.
const hung = 30 * time.Second

// listen begins to answer, until stop is called.
func (v *server) listen(c *config.Config) (stop func(), err error) {
	socket := app.StateOf(c).Socket()
	local, err := listenSocket(socket)
	if err != nil {
		return nil, fmt.Errorf("state_dir: %w; a path of more than 100 characters is too long for a socket", err)
	}
	listeners := []net.Listener{local}
	if address := c.Serve.Listen; address != "" {
		var listening net.ListenConfig
		l, err := listening.Listen(context.Background(), "tcp", address)
		if err != nil {
			return nil, errors.Join(cli.WrongUsef("serve.listen: %w; choose another port", err), local.Close(), os.Remove(socket))
		}
		listeners = append(listeners, l)
	}
	h := &http.Server{Handler: v.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	for _, l := range listeners {
		go func() { _ = h.Serve(l) }() // ends with Close
	}
	return func() { _, _ = h.Close(), os.Remove(socket) }, nil
}

// listenSocket listens at a unix socket for its owner and Wazuh's group. A socket is made with the rights that the umask
// leaves, so it is made in a directory that no one else can enter, with a shorter name than its own, and moved from there
// once its mode is right. It takes the place of one that was left over: this process has the lock. Whoever closes the
// listener removes the file.
func listenSocket(socket string) (net.Listener, error) {
	private := filepath.Join(filepath.Dir(socket), ".sock")
	if err := os.RemoveAll(private); err != nil {
		return nil, err
	}
	if err := os.Mkdir(private, 0o700); err != nil {
		return nil, err
	}
	defer os.RemoveAll(private) //nolint:errcheck // the next start tries again
	made := filepath.Join(private, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(made, 0o660) //nolint:gosec // for Wazuh's group
	if err == nil {
		err = testOnlyMove(made, socket)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// testOnlyMove is the moment from which others can see a socket.
var testOnlyMove = os.Rename

func (v *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		v.metrics.write(w, v.status())
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if alive := v.alive.Load(); alive != 0 && time.Since(time.Unix(0, alive)) > hung {
			http.Error(w, "no sign of life since "+time.Unix(0, alive).UTC().Format(time.RFC3339), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := v.ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = cli.WriteJSON(w, v.status())
	})
	return mux
}
