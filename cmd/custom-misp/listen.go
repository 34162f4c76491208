package main

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
)

// This file is what a resident process answers over HTTP, on a unix socket and, if configured, at an address. All of
// it is for reading; nothing there changes anything.
//
//	/metrics   for Prometheus
//	/healthz   200 while the process works, 503 if it hangs
//	/readyz    200 if alerts can be enriched now, else 503 with the reason
//	/status    JSON, what custom-misp status shows

// hung is how long a process may give no sign of life.
const hung = 30 * time.Second

// listen begins to answer. The function that it returns ends that.
func (v *server) listen(s *settings) (stop func(), err error) {
	socket := filepath.Join(s.path("state_dir"), serveSock)
	_ = os.Remove(socket) // of a process that was killed: this one has the lock
	var config net.ListenConfig
	local, err := config.Listen(context.Background(), "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("state_dir: %w; a path of more than 100 characters is too long for a socket", err)
	}
	_ = os.Chmod(socket, 0o660) //nolint:gosec // for Wazuh's group
	listeners := []net.Listener{local}
	if address := s.text("serve.listen"); address != "" {
		if err := checkListen(address, s.flag("serve.listen_anywhere")); err != nil {
			return nil, errors.Join(wrongUse{err}, local.Close())
		}
		l, err := config.Listen(context.Background(), "tcp", address)
		if err != nil {
			return nil, errors.Join(wrongUsef("serve.listen: %w; choose another port", err), local.Close())
		}
		listeners = append(listeners, l)
	}
	h := &http.Server{Handler: v.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	for _, l := range listeners {
		go func() { _ = h.Serve(l) }() // ends with Close
	}
	return func() { _ = h.Close() }, nil
}

// checkListen refuses an address that others can reach, unless that is what is wanted.
func checkListen(address string, anywhere bool) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "" {
		return fmt.Errorf("serve.listen: %q is not an address like 127.0.0.1:9464", address)
	}
	ip := net.ParseIP(host)
	if anywhere || host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("serve.listen: others can reach %q; use 127.0.0.1, or set serve.listen_anywhere", address)
}

func (v *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		v.meter.write(w, v.status())
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if beat := v.beat.Load(); beat != 0 && time.Since(time.Unix(0, beat)) > hung {
			http.Error(w, "no sign of life since "+time.Unix(0, beat).UTC().Format(time.RFC3339), http.StatusServiceUnavailable)
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
		_ = writeJSON(w, v.status())
	})
	return mux
}
