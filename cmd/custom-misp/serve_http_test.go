package main

import (
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/cli"

	"custom-misp/cmd/custom-misp/internal/config"

	"custom-misp/cmd/custom-misp/internal/serve"

	"github.com/google/go-cmp/cmp"
)

// serveSystemd starts serve as a service of Type=notify-reload with a watchdog.
func serveSystemd(t *testing.T, built *testManager) {
	r := newResident(t, built, "")
	name := filepath.Join(r.home, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // a test
	r.env = []string{"NOTIFY_SOCKET=" + name, "WATCHDOG_USEC=9000000"}
	r.begin(t)
	var all []string
	buf := make([]byte, 1<<12)
	expect := func(want string) string {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		for {
			n, err := conn.Read(buf)
			if err != nil {
				t.Fatalf("no %s: %v; before it: %q", want, err, all)
			}
			all = append(all, string(buf[:n]))
			if strings.HasPrefix(string(buf[:n]), want) {
				return string(buf[:n])
			}
		}
	}
	expect("READY=1")
	expect("STATUS=0 alerts read, 0 with hits")
	expect("WATCHDOG=1")
	began := time.Now()
	expect("WATCHDOG=1")
	if took := time.Since(began); took > 9*time.Second {
		t.Errorf("the watchdog waited %s of 9 s", took)
	}
	if err := r.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if s := expect("RELOADING=1"); !strings.Contains(s, "\nMONOTONIC_USEC=") || strings.HasSuffix(s, "=0") {
		t.Errorf("told %q", s)
	}
	expect("READY=1")
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	expect("STOPPING=1")
	<-r.ended
	if code := r.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d: %s", code, r.out)
	}
}

// serveHTTP asks at the socket and at an address, which answer alike.
func serveHTTP(t *testing.T, built *testManager) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r := newResident(t, built, "lookup: {policy: mirror}\nmirror: {misp: false, lists: [local=etc/absent.txt], feed_interval: 1s}\nserve: {listen: \""+address+"\"}\n")
	r.start(t)
	both := map[string]func(path string) (int, string){
		"socket": r.get, "address": func(path string) (int, string) { return getFrom("tcp", address, path) },
	}
	for name, get := range both {
		if code, body := get("/healthz"); code != http.StatusOK || body != "ok\n" {
			t.Errorf("%s: healthz %d %q", name, code, body)
		}
		if code, body := get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "there is no mirror of local yet") {
			t.Errorf("%s: readyz %d %q", name, code, body)
		}
	}
	r.write(t, "etc/absent.txt", listHit+"\n")
	r.until(t, "the mirror is there", func() bool { code, _ := r.get("/readyz"); return code == http.StatusOK })
	r.alerts.add("1", listHit)
	r.alerts.add("2", "host.example.org")
	r.expectHits(t, "1")
	r.until(t, "both are done", func() bool { return r.metric("alerts_considered_total") == "2" && r.status().Alerts.BehindBytes == 0 })
	for name, get := range both {
		r.checkAnswers(t, name, get)
	}
	for range 100 { // more than are answered at the same time
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close() //nolint:errcheck // a test
	}
	status, out := r.command("status", "--home", r.home)
	status.Args[0] = "custom-misp"
	if err := status.Run(); err != nil || !strings.Contains(out.String(), "\nread          2 alerts: 2 with values, 1 with hits, 0 unreadable") {
		t.Errorf("custom-misp status: %v\n%s", err, out)
	}
	r.stop(t)
}

// checkAnswers checks what is answered after two alerts, of which one has a hit in the one value of the mirror.
func (r *resident) checkAnswers(t *testing.T, name string, get func(path string) (int, string)) {
	t.Helper()
	code, body := get("/status")
	var s serve.Status
	if err := json.Unmarshal([]byte(body), &s); err != nil || code != http.StatusOK {
		t.Fatalf("%s: status %d %v", name, code, err)
	}
	got := []any{s.Running, s.PID, s.Policy, s.Ready, s.Counters["alerts_read"], s.Counters["alerts_matched"], s.Counters["events_sent"], len(s.Mirror), s.Mirror[0].Attributes}
	want := []any{true, r.cmd.Process.Pid, string(config.PolicyMirror), true, uint64(2), uint64(1), uint64(1), 1, 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: status (-want +got):\n%s", name, diff)
	}
	code, body = get("/metrics")
	for _, want := range []string{
		`custom_misp_alerts_read_total{source="alerts.json"} 2`, "custom_misp_alerts_matched_total 1", "custom_misp_events_sent_total 1",
		`custom_misp_mirror_attributes{origin="local"} 1`, "custom_misp_reload_success 1", "go_goroutines ",
	} {
		if code != http.StatusOK || !slices.ContainsFunc(strings.Split(body, "\n"), func(line string) bool { return strings.HasPrefix(line, want) }) {
			t.Errorf("%s: metrics %d lack %s", name, code, want)
		}
	}
	if code, _ := get("/"); code != http.StatusNotFound {
		t.Errorf("%s: / answers %d", name, code)
	}
}

// serveAddress refuses an address that others can reach.
func serveAddress(t *testing.T, built *testManager) {
	for _, address := range []string{"0.0.0.0:9464", ":9464", "192.0.2.1:9464", "[::]:9464", "misp.example.org:9464", "9464"} {
		r := newResident(t, built, "serve: {listen: \""+address+"\"}\n")
		r.begin(t)
		<-r.ended
		remedy := "use 127.0.0.1, or set serve.listen_anywhere"
		if address == "9464" {
			remedy = "is not an address like 127.0.0.1:9464"
		}
		if code := r.cmd.ProcessState.ExitCode(); code != cli.ExitWrongUse || !strings.Contains(r.out.String(), remedy) {
			t.Errorf("%s: exit code %d, %q", address, code, r.out)
		}
	}
	r := newResident(t, built, "serve: {listen: \"0.0.0.0:0\", listen_anywhere: true}\n")
	r.start(t)
	r.stop(t)
}
