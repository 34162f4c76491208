// Package bench compares integrations for Wazuh; see README.md.
package bench

import (
	"flag"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"custom-misp/misp/misptest"
)

var (
	with  = flag.String("with", "plain.py", "integration script to compare with custom-misp, relative to this directory")
	alert = flag.String("alert", "../../testdata/alerts/fim-added.json", "alert that both get, relative to this directory")
	feed  = flag.String("feed", "../../testdata/feed", "directory in MISP feed format from which the test server for MISP answers")
)

// BenchmarkIntegration starts each program as integratord does, one process for each alert, with a test server for MISP on
// loopback and a queue that receives the events. It reports the wall time (ns/op), the CPU time, the highest resident memory,
// and the events that were sent for an alert.
func BenchmarkIntegration(b *testing.B) {
	b.Run("custom-misp", func(b *testing.B) {
		binary := filepath.Join(b.TempDir(), "custom-misp")
		build := exec.Command("go", "build", "-trimpath", "-o", binary, "../../cmd/custom-misp")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			b.Fatalf("go build: %v\n%s", err, out)
		}
		measure(b, binary)
	})
	b.Run("other", func(b *testing.B) {
		if *with == "plain.py" && exec.Command("python3", "-c", "import requests").Run() != nil {
			b.Skip("plain.py needs python3 with the module requests")
		}
		measure(b, *with)
	})
}

// measure runs a program in the integrations directory of a temporary home.
func measure(b *testing.B, program string) {
	home, err := os.MkdirTemp("", "ossec") // short: the address of a unix socket has 107 bytes at most
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(home) //nolint:errcheck // a temporary directory
	for _, dir := range []string{"integrations", "queue/sockets", "etc", "logs"} {
		if err := os.MkdirAll(filepath.Join(home, dir), 0o750); err != nil {
			b.Fatal(err)
		}
	}
	installed := filepath.Join(home, "integrations", "custom-misp")
	copyFile(b, program, installed)
	file := filepath.Join(home, "custom-misp.alert")
	copyFile(b, *alert, file)
	queue, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(home, "queue/sockets/queue"), Net: "unixgram"})
	if err != nil {
		b.Fatal(err)
	}
	defer queue.Close() //nolint:errcheck // only read
	server := misptest.New(b, os.DirFS(*feed))

	buf := make([]byte, 1<<17)
	var cpu time.Duration
	var peak int64
	events := 0
	for b.Loop() {
		cmd := exec.Command(installed, file, misptest.Key, server.URL, "", "", "10", "3")
		cmd.Dir = home
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
		peak = max(peak, usage.Maxrss)
		cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		for {
			// A datagram to a unix socket has arrived before the sender goes on.
			if err := queue.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
				b.Fatal(err)
			}
			if _, err := queue.Read(buf); err != nil {
				break
			}
			events++
		}
	}
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(peak), "maxrss-KB")
	b.ReportMetric(float64(events)/float64(b.N), "events/op")
}

func copyFile(b *testing.B, from, to string) {
	b.Helper()
	src, err := os.Open(from)
	if err != nil {
		b.Fatal(err)
	}
	defer src.Close()                                                      //nolint:errcheck // only read
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755) //nolint:gosec // a program
	if err != nil {
		b.Fatal(err)
	}
	if _, err = io.Copy(dst, src); err != nil {
		b.Fatal(err)
	}
	if err := dst.Close(); err != nil {
		b.Fatal(err)
	}
}
