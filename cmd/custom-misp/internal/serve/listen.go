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
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/netutil"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
)

// This file is what serve answers over HTTP, on a unix socket and, if configured, at an address. All that is answered at the
// address is for reading, and says nothing of what was seen.
//
//	/metrics   for Prometheus
//	/healthz   200 while serve works, 503 if it hangs
//	/readyz    200 if alerts can be enriched now, else 503 with the reason
//	/status    JSON, what custom-misp status shows
//
// and at the socket, which Wazuh's users alone can reach,
//
//	/history/forget   what custom-misp history forget asks for
//
// Each of the two listeners answers a bounded number of connections at the same time, so that a flood at the address does
// not silence the socket. Further ones wait. A connection is good for one request and ends in time whatever its client
// does, so that whoever waits is answered.

// hung is how long serve may give no sign of life.
const hung = 30 * time.Second

// Bounds on what clients can cause.
const (
	maxConnections = 64               // at the same time, of the socket and of the address each
	headerTime     = 5 * time.Second  // for the head of a request
	requestTime    = 10 * time.Second // for the whole request
	answerTime     = 10 * time.Second // for the answer, from the end of the head
	maxHeader      = 16 << 10         // bytes
)

// listen begins to answer, until stop is called.
func (v *server) listen(c *config.Config) (stop func(), err error) {
	socket := app.StateOf(c).Socket()
	local, err := listenSocket(socket)
	switch {
	case isFull(err): // alerts matter more than status
		v.log.Error("status and doctor cannot ask this process until there is room; it tries again every second", "error", err.Error())
	case err != nil:
		return nil, fmt.Errorf("state_dir: %w; a path of more than 100 characters is too long for a socket", err)
	}
	var public net.Listener // who is answered at the socket can rely on it
	if address := c.Serve.Listen; address != "" {
		var listening net.ListenConfig
		if public, err = listening.Listen(context.Background(), "tcp", address); err != nil {
			err = cli.WrongUsef("serve.listen: %w; choose another port", err)
			if local != nil {
				err = errors.Join(err, local.Close(), os.Remove(socket))
			}
			return nil, err
		}
	}
	var servers []*http.Server
	if public != nil {
		servers = append(servers, v.answer(public, "address"))
	}
	ctx, cancel := context.WithCancel(context.Background())
	var later sync.WaitGroup // it alone changes servers from here on
	if local != nil {
		servers = append(servers, v.answer(local, listenerSocket))
	} else {
		later.Go(func() {
			if l := listenLater(ctx, socket, socketRetry); l != nil {
				v.log.Info("status and doctor can ask this process now")
				servers = append(servers, v.answer(l, listenerSocket))
			}
		})
	}
	return func() {
		cancel()
		later.Wait()
		for _, h := range servers {
			_ = h.Close()
		}
		_ = os.Remove(socket)
	}, nil
}

// socketRetry is the time between two attempts to make the socket on a full disk; tests change it.
var socketRetry = time.Second

// listenLater tries to listen at the socket until it can; nil if the context ends before.
func listenLater(ctx context.Context, socket string, every time.Duration) net.Listener {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if l, err := listenSocket(socket); err == nil {
			return l
		}
	}
}

// isFull reports whether there is no room for a file.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EROFS)
}

// answer begins to answer at a listener, which is called name in the log and in the metrics. Whoever closes the server
// closes the listener.
func (v *server) answer(l net.Listener, name string) *http.Server {
	h := &http.Server{
		Handler: v.handler(name == listenerSocket), ReadHeaderTimeout: headerTime, ReadTimeout: requestTime, WriteTimeout: answerTime,
		MaxHeaderBytes: maxHeader, ConnState: v.countConnections(name),
	}
	h.SetKeepAlivesEnabled(false) // a client that asks again and again would keep its place for ever
	limited := netutil.LimitListener(l, maxConnections)
	go func() { _ = h.Serve(limited) }() // ends with Close
	return h
}

// countConnections returns what a server calls at each change of a connection. It counts the connections that took the
// last free place, and logs the first of them.
func (v *server) countConnections(listener string) func(net.Conn, http.ConnState) {
	var open atomic.Int64
	var report sync.Once
	full := v.metrics.listenerFull(listener)
	return func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			if open.Add(1) < maxConnections {
				return
			}
			full.Inc()
			report.Do(func() {
				v.log.Warn("all connections are in use, further ones wait; logged once, the metric custom_misp_listen_full_total counts on",
					"listener", listener, "connections", maxConnections)
			})
		case http.StateClosed:
			open.Add(-1)
		}
	}
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

// listenerSocket is the name of the socket in the log and in the metrics.
const listenerSocket = "socket"

func (v *server) handler(local bool) http.Handler {
	mux := http.NewServeMux()
	if local {
		mux.HandleFunc("POST /history/forget", v.answerForget)
	}
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
			http.Error(w, cli.Clean(err.Error()), http.StatusServiceUnavailable)
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
