package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/serve"
	"custom-misp/misp/misptest"
)

// BenchmarkServeLive takes alerts from alerts.json to datagrams, every hundredth with a hit, while MISP is asked: alerts with a
// hash each, and alerts with an address each, which is asked for by its networks too. No value comes twice. MISP takes its
// time as a real one does, two questions at a time. An operation is an alert; values is how many a question has on average.
func BenchmarkServeLive(b *testing.B) {
	for _, policy := range []string{"live", "mirror-then-live"} {
		for _, kind := range []string{"hashes", "addresses"} {
			b.Run(policy+"/"+kind, func(b *testing.B) { benchLive(b, policy, kind == "addresses") })
		}
	}
}

// pacedMISP is a MISP that takes as long as a real one with 200,000 attributes.
type pacedMISP struct {
	*misptest.Server
	questions, values atomic.Int64
}

func newPacedMISP(b *testing.B, attributes int) *pacedMISP {
	b.Helper()
	m := &pacedMISP{Server: misptest.NewGenerated(b, attributes)}
	cores := make(chan struct{}, 2)
	m.Fault(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		n := int(gjson.GetBytes(body, "value.OR.#").Int())
		if n == 0 {
			m.Answer(w, r)
			return
		}
		m.questions.Add(1)
		m.values.Add(int64(n))
		cores <- struct{}{}
		defer func() { <-cores }()
		took := time.After(64*time.Millisecond + time.Duration(min(n, 1000))*47*time.Microsecond + time.Duration(max(0, n-1000))*10*time.Microsecond)
		answer := httptest.NewRecorder()
		m.Answer(answer, r)
		<-took
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	})
	return m
}

func benchLive(b *testing.B, policy string, addresses bool) {
	const attributes = 600
	misp := newPacedMISP(b, attributes)
	home := benchDir(b)
	config := eachHit + "lookup: {policy: " + policy + "}\nserve: {start: beginning}\nmisp: {url: \"" + misp.URL + "\", key: " + misptest.Key + "}\n"
	if err := os.WriteFile(filepath.Join(home, "etc/custom-misp.yaml"), []byte(config), 0o600); err != nil {
		b.Fatal(err)
	}
	if policy != "live" {
		syncOnce(b, home)
	}
	n := max(b.N, 100)
	writeLiveAlerts(b, filepath.Join(home, "logs/alerts/alerts.json"), n, func(i int) []byte {
		switch {
		case i%100 == 0:
			_, hash := misptest.Generated((i/100*6 + 2) % attributes)
			return benchAlert(i, hash)
		case addresses:
			return loginAlert(i)
		}
		return benchAlert(i, benchHash(i))
	})
	events := listenForEvents(b, home)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	b.ResetTimer()
	began := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- serve.Run(ctx, globals{home: home}.installed, os.Stderr) }()
	for range n / 100 {
		<-events
	}
	b.StopTimer()
	b.ReportMetric(float64(n)/time.Since(began).Seconds(), "alerts/s")
	b.ReportMetric(float64(misp.values.Load())/float64(max(1, misp.questions.Load())), "values")
	stop()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}

// syncOnce brings the first source of the mirror up to date.
func syncOnce(b *testing.B, home string) {
	b.Helper()
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
}

func writeLiveAlerts(b *testing.B, name string, n int, alert func(i int) []byte) {
	b.Helper()
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for i := 1; i <= n; i++ {
		_, _ = w.Write(alert(i))
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}

// loginAlert is an alert of sshd with one public address, with its newline.
func loginAlert(i int) []byte {
	sum := sha256.Sum256([]byte(strconv.Itoa(i)))
	return fmt.Appendf(nil, `{"timestamp":"2026-10-05T08:10:01.118+0000","rule":{"level":5,"description":"sshd: Attempt to login using a non-existent user","id":"5710","firedtimes":7,"mail":false,"groups":["syslog","sshd","authentication_failed","invalid_login"]},"agent":{"id":"%03d","name":"gate-%03d","ip":"10.20.4.7"},"manager":{"name":"wazuh-manager"},"id":"1791187801.%d","full_log":"Oct  5 08:10:01 gate sshd[4242]: Invalid user admin","predecoder":{"program_name":"sshd","timestamp":"Oct  5 08:10:01","hostname":"gate"},"decoder":{"parent":"sshd","name":"sshd"},"data":{"srcip":"%d.%d.%d.%d","srcport":"50022","srcuser":"admin"},"location":"/var/log/auth.log"}`+"\n",
		1+i%200, i%200, i, 11+sum[0]%80, sum[1], sum[2], sum[3])
}
