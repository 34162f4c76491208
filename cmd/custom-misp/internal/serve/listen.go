package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
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
	_ = os.Remove(socket) // of a process that was killed: this one has the lock
	var listening net.ListenConfig
	local, err := listening.Listen(context.Background(), "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("state_dir: %w; a path of more than 100 characters is too long for a socket", err)
	}
	_ = os.Chmod(socket, 0o660) //nolint:gosec // for Wazuh's group
	listeners := []net.Listener{local}
	if address := c.Serve.Listen; address != "" {
		l, err := listening.Listen(context.Background(), "tcp", address)
		if err != nil {
			return nil, errors.Join(cli.WrongUsef("serve.listen: %w; choose another port", err), local.Close())
		}
		listeners = append(listeners, l)
	}
	h := &http.Server{Handler: v.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	for _, l := range listeners {
		go func() { _ = h.Serve(l) }() // ends with Close
	}
	return func() { _ = h.Close() }, nil
}

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
