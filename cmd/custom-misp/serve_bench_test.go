package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/serve"
	"custom-misp/engine/atomicfile"

	"github.com/tidwall/gjson"
)

// BenchmarkServe takes alerts from alerts.json from there to datagrams: a Sysmon alert of 1.2 KB each, every
// hundredth with a hit, against a mirror of SERVE_BENCH_INDICATORS (10,000 unless set) hashes. An operation is an
// alert. Beside it, what checking that the same bytes are JSON takes is the unit that other machines compare by.
func BenchmarkServe(b *testing.B) {
	indicators := 10_000
	if n, err := strconv.Atoi(os.Getenv("SERVE_BENCH_INDICATORS")); err == nil {
		indicators = n
	}
	home := benchHome(b, indicators)
	alerts := filepath.Join(home, "logs/alerts/alerts.json")
	writeBenchAlerts(b, alerts, b.N, indicators)
	events, want := listenForEvents(b, home), b.N/100
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	b.ResetTimer()
	began := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- serve.Run(ctx, globals{home: home}.installed, os.Stderr) }()
	for range want {
		<-events
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "alerts/s")
	stop()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	const checks = 10_000
	line := benchAlert(1, benchHash(1))
	began = time.Now()
	for range checks {
		if !gjson.ValidBytes(line) {
			b.Fatal("not JSON")
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/(time.Since(began).Seconds()/checks), "x-valid")
}

// BenchmarkServeSlowDisk compares how fast alerts go through on this disk, and on one whose every sync takes a second: in turn,
// the median of several runs each, since other work on the machine slows single runs down. x-slow is the time on the slow disk
// in times on this one. An operation is an alert, of each run; time counts from the first event to the last.
func BenchmarkServeSlowDisk(b *testing.B) {
	var isSlow atomic.Bool
	defer atomicfile.TestOnlyHook(func(s atomicfile.Step, _ string) error {
		if isSlow.Load() && (s == atomicfile.StepSync || s == atomicfile.StepSyncDir) {
			time.Sleep(time.Second)
		}
		return nil
	})()
	n := max(b.N, 10_000)
	runs := 15
	if b.N == 1 {
		runs = 1 // only whether it works
	}
	took := map[bool][]float64{}
	for range runs {
		for _, slow := range []bool{false, true} {
			t := benchThrough(b, n, "", func() { isSlow.Store(slow) }, func() { isSlow.Store(false) })
			took[slow] = append(took[slow], t.Seconds())
		}
	}
	median := func(slow bool) float64 {
		slices.Sort(took[slow])
		return took[slow][runs/2]
	}
	b.ReportMetric(float64(n)/median(false), "alerts/s")
	b.ReportMetric(float64(n)/median(true), "slow-alerts/s")
	b.ReportMetric(median(true)/median(false), "x-slow")
}

// BenchmarkServeHistory compares how fast alerts go through with a history and without, in turn, the median of several runs each.
// x-history is the rate with it in times of the one without. Of the hashes, one in ten is new, and the others are of 1,000
// programs; with SERVE_BENCH_NEW all are new.
func BenchmarkServeHistory(b *testing.B) {
	if os.Getenv("SERVE_BENCH_NEW") == "" {
		benchPrograms = 1000
		defer func() { benchPrograms = 0 }()
	}
	n := max(b.N, 10_000)
	runs := 7
	if b.N == 1 {
		runs = 1 // only whether it works
	}
	took := map[string][]float64{}
	nothing := func() {}
	for range runs {
		for _, extra := range []string{"", "history: {enabled: true, min_free_percent: 0, days: 0}\n"} {
			took[extra] = append(took[extra], benchThrough(b, n, extra, nothing, nothing).Seconds())
		}
	}
	var medians []float64
	for _, extra := range slices.Sorted(maps.Keys(took)) {
		slices.Sort(took[extra])
		medians = append(medians, took[extra][runs/2])
	}
	b.ReportMetric(float64(n)/medians[0], "alerts/s")
	b.ReportMetric(float64(n)/medians[1], "history-alerts/s")
	b.ReportMetric(medians[0]/medians[1], "x-history")
}

// benchThrough runs serve over alerts, and returns the time between the first event and the last. extra is more of a
// configuration.
func benchThrough(b *testing.B, n int, extra string, began, ended func()) time.Duration {
	const indicators = 10_000
	home := benchHome(b, indicators)
	appendTo(b, filepath.Join(home, "etc/custom-misp.yaml"), extra)
	writeBenchAlerts(b, filepath.Join(home, "logs/alerts/alerts.json"), n, indicators)
	events := listenForEvents(b, home)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	stopped := make(chan error, 1)
	go func() { stopped <- serve.Run(ctx, globals{home: home}.installed, os.Stderr) }()
	<-events
	began()
	first := time.Now()
	for range n/100 - 1 {
		<-events
	}
	took := time.Since(first)
	ended()
	stop()
	if err := <-stopped; err != nil {
		b.Fatal(err)
	}
	return took
}

// BenchmarkServeLatency writes 5,000 alerts a second, every hundredth with a hit, and tells how long after its line was
// written an event is there. An operation is an alert.
func BenchmarkServeLatency(b *testing.B) {
	const rate, step = 5000, 10 // alerts a second, and at once
	const indicators = 10_000
	home := benchHome(b, indicators)
	f, err := os.Create(filepath.Join(home, "logs/alerts/alerts.json"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // no one reads it any more
	events := listenForEvents(b, home)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- serve.Run(ctx, globals{home: home}.installed, os.Stderr) }()
	n := max(b.N, 100)
	wrote := make([]time.Time, n+1)
	var took []time.Duration
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range n / 100 {
			event := <-events
			var id int
			_, alert, _ := bytes.Cut(event, []byte(`"alert_id":"1791187801.`))
			if _, err := fmt.Fscanf(bytes.NewReader(alert), "%d", &id); err == nil {
				took = append(took, time.Since(wrote[id]))
			}
		}
	}()
	began := time.Now()
	for i := 1; i <= n; i++ {
		hash := benchHash(i)
		if i%100 == 0 {
			hash = benchHash(-(i * 7919 % indicators))
		}
		line := benchAlert(i, hash)
		wrote[i] = time.Now()
		if _, err := f.Write(line); err != nil {
			b.Fatal(err)
		}
		if i%step == 0 {
			time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / rate)))
		}
	}
	<-done
	stop()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

func benchHash(i int) string {
	sum := sha256.Sum256([]byte(strconv.Itoa(i)))
	return hex.EncodeToString(sum[:])
}

// benchDir makes an empty Wazuh directory.
func benchDir(b *testing.B) string {
	b.Helper()
	home, err := os.MkdirTemp("", "serve") // short enough for the address of a socket
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(home) })
	for _, dir := range []string{"etc", "logs/alerts", "queue/sockets", "var/run"} {
		if err := os.MkdirAll(filepath.Join(home, dir), 0o750); err != nil {
			b.Fatal(err)
		}
	}
	return home
}

// benchHome makes a Wazuh directory with a mirror of a list of hashes.
func benchHome(b *testing.B, indicators int) string {
	b.Helper()
	home := benchDir(b)
	var list strings.Builder
	for i := range indicators {
		list.WriteString(benchHash(-i) + "\n")
	}
	for name, data := range map[string]string{
		"list.txt": list.String(),
		"etc/custom-misp.yaml": eachHit + "lookup: {policy: mirror}\nserve: {start: beginning}\nmirror: {lists: [generated=" +
			filepath.Join(home, "list.txt") + "]}\n",
	} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(data), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	c, err := globals{home: home}.installed()
	if err != nil {
		b.Fatal(err)
	}
	syncs, closeAll, err := app.Syncs(c, cli.NoLog())
	if err != nil {
		b.Fatal(err)
	}
	defer closeAll()
	if _, err := syncs[0].Run(b.Context(), false); err != nil {
		b.Fatal(err)
	}
	return home
}

// benchPrograms is how many programs there are; 0 if each hash is another one.
var benchPrograms int

func writeBenchAlerts(b *testing.B, name string, n, indicators int) {
	b.Helper()
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for i := 1; i <= n; i++ {
		hash := benchHash(i)
		if benchPrograms > 0 && i%10 != 1 {
			hash = benchHash(i * 7919 % benchPrograms)
		}
		if i%100 == 0 {
			hash = benchHash(-(i * 7919 % indicators))
		}
		_, _ = w.Write(benchAlert(i, hash))
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}

// benchAlert is a Sysmon alert of a process with one hash, with its newline.
func benchAlert(i int, hash string) []byte {
	return fmt.Appendf(nil, `{"timestamp":"2026-10-05T08:10:01.118+0000","rule":{"level":3,"description":"Sysmon - Event 1: Process creation cmd.exe","id":"61603","firedtimes":7,"mail":false,"groups":["windows","sysmon","sysmon_event1"]},"agent":{"id":"%03d","name":"ws-%03d","ip":"10.20.4.7"},"manager":{"name":"wazuh-manager"},"id":"1791187801.%d","decoder":{"name":"windows_eventchannel"},"data":{"win":{"system":{"providerName":"Microsoft-Windows-Sysmon","providerGuid":"{5770385f-c22a-43e0-bf4c-06f5698ffbd9}","eventID":"1","version":"5","level":"4","task":"1","opcode":"0","keywords":"0x8000000000000000","systemTime":"2026-10-05T08:10:00.9181234Z","eventRecordID":"%d","processID":"3104","threadID":"4388","channel":"Microsoft-Windows-Sysmon/Operational","computer":"ws-07.corp.example","severityValue":"INFORMATION","message":"\"Process Create\""},"eventdata":{"utcTime":"2026-10-05 08:10:00.917","processGuid":"{a1b2c3d4-0001-0002-0003-000000000004}","processId":"4242","image":"C:\\\\Windows\\\\System32\\\\cmd.exe","commandLine":"cmd.exe /c whoami","currentDirectory":"C:\\\\Users\\\\alice\\\\","user":"CORP\\\\alice","hashes":"SHA256=%s","parentImage":"C:\\\\Windows\\\\explorer.exe","parentCommandLine":"explorer.exe"}}},"location":"EventChannel"}`+"\n", 1+i%200, i%200, i, i, hash)
}

// listenForEvents opens Wazuh's queue and hands over the enrichments that come.
func listenForEvents(b *testing.B, home string) <-chan []byte {
	b.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(home, "queue/sockets/queue"), Net: "unixgram"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	events := make(chan []byte, 1024)
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			events <- bytes.Clone(buf[:n])
		}
	}()
	return events
}

// appendTo appends a text to a file.
func appendTo(tb testing.TB, name, text string) {
	tb.Helper()
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		tb.Fatal(err)
	}
}
