package chaos

import (
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/wazuhtest"
)

// An inbox is analysisd's end of the queue. It loses nothing that was sent to it, whatever happens to its name.
type inbox struct {
	path string
	full sync.Mutex // held while nothing is read
}

// openInbox reads the queue of a home until the test ends.
func openInbox(t *testing.T, home string, take func(datagram []byte)) *inbox {
	t.Helper()
	b := &inbox{path: filepath.Join(home, wazuhtest.Queue)}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: b.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		buf := make([]byte, 1<<17)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			take(buf[:n])
			b.full.Lock()
			b.full.Unlock() //nolint:staticcheck // it is a gate
		}
	})
	t.Cleanup(func() { _ = conn.Close(); done.Wait() })
	return b
}

// leave takes the socket away until the function that it returns is called.
func (b *inbox) leave(r *round) (comeBack func()) {
	if err := os.Rename(b.path, b.path+".away"); err != nil {
		r.t.Error(err)
	}
	return func() {
		if err := os.Rename(b.path+".away", b.path); err != nil {
			r.t.Error(err)
		}
	}
}

// queueFaults are those of analysisd's socket.
func queueFaults() []fault {
	const least, most = 100 * time.Millisecond, 4 * time.Second
	return []fault{
		{name: "queue-absent", lane: laneQueue, least: least, most: most, begin: func(r *round, _ *rand.Rand) func() { return r.queue.leave(r) }},
		{name: "queue-refused", lane: laneQueue, least: least, most: most, begin: func(r *round, _ *rand.Rand) func() {
			comeBack := r.queue.leave(r)
			dead, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: r.queue.path, Net: "unixgram"})
			if err != nil {
				r.t.Error(err)
				return comeBack
			}
			_ = dead.Close() // the file stays, and no one listens
			return comeBack
		}},
		{name: "queue-full", lane: laneQueue, least: least, most: most, begin: func(r *round, _ *rand.Rand) func() {
			r.queue.full.Lock()
			return r.queue.full.Unlock
		}},
	}
}
