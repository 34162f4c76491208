package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/misp/misptest"
)

// joinedSite is a Wazuh directory with the address of a MISP that has 600 generated attributes.
func joinedSite(t *testing.T, extra string) (home string, misp *misptest.Server) {
	t.Helper()
	misp = misptest.NewGenerated(t, 600)
	home = t.TempDir()
	if err := os.Mkdir(filepath.Join(home, "etc"), 0o750); err != nil {
		t.Fatal(err)
	}
	config := "misp: {url: \"" + misp.URL + "\", key: " + misptest.Key + ", retries: 0}\n" + extra
	if err := os.WriteFile(filepath.Join(home, "etc/custom-misp.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return home, misp
}

// asked runs a verb, and returns what it printed and its exit code.
func asked(t *testing.T, stdin io.Reader, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"custom-misp"}, args...), stdin, &out, &errs)
	return out.String(), errs.String(), code
}

// hitAlert is a Sysmon alert with the digest of the generated attribute i.
func hitAlert(i int) []byte {
	_, hash := misptest.Generated(i*6 + 2)
	return benchAlert(i, hash)
}

// TestEnrichJoins checks that alerts of a file are looked up in few questions, and that the events come in the order of the
// alerts, as if they were looked up one by one.
func TestEnrichJoins(t *testing.T) {
	t.Parallel()
	home, misp := joinedSite(t, "")
	var lines bytes.Buffer
	var want []string
	for i := range 100 {
		lines.Write(hitAlert(i))
		lines.Write(benchAlert(1000+i, benchHash(i))) // not known
		want = append(want, fmt.Sprintf("1791187801.%d", i))
	}
	stdout, stderr, code := asked(t, &lines, "enrich", "--home", home, "-")
	if code != cli.ExitOK || stderr != "" {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	var got []string
	for line := range strings.Lines(stdout) {
		got = append(got, gjson.Get(line, "misp.source.alert_id").Str)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("alerts of the events (-want +got):\n%s", diff)
	}
	if n := len(misp.Requests()); n > 20 {
		t.Errorf("%d questions for 200 alerts", n)
	}
}

// TestEnrichTrouble checks that an alert which cannot be looked up is named, that it ends the verb though standard input does
// not end, and that what is no alert is named and does not.
func TestEnrichTrouble(t *testing.T) {
	t.Parallel()
	home, misp := joinedSite(t, "")
	misp.Set(misptest.Condition{Refused: misptest.UserDisabled})
	r, w := io.Pipe()
	defer w.Close() //nolint:errcheck // no one reads it any more
	go func() {
		_, _ = w.Write([]byte("{\"id\":\"1\",\"rule\":{\"id\":\"5\"}}\nnonsense\n" + string(hitAlert(1))))
	}()
	stdout, stderr, code := asked(t, r, "enrich", "--home", home, "-")
	host := strings.TrimPrefix(misp.URL, "http://")
	want := "standard input:2: not valid JSON at byte 2: invalid character 'o' in literal null (expecting 'u')\n" +
		"standard input:3: look up 1 values: MISP at " + host + " answered 403: Authentication failed. Your user account has been disabled; " +
		"check the key: still valid, not bound to other addresses, its user enabled and with a role that may use the API\n"
	if code != cli.ExitFailure || stdout != "" {
		t.Errorf("exit code %d, printed %q", code, stdout)
	}
	if diff := cmp.Diff(want, stderr); diff != "" {
		t.Errorf("standard error (-want +got):\n%s", diff)
	}
}

// TestEnrichAsItComes checks that an alert which comes alone is looked up before the next one comes.
func TestEnrichAsItComes(t *testing.T) {
	t.Parallel()
	home, _ := joinedSite(t, "")
	expectAsItComes(t, "misp.source.alert_id", []string{"1791187801.1", "1791187801.2"}, []string{string(hitAlert(1)), string(hitAlert(2))},
		"enrich", "--home", home, "-")
}

// TestLookupAsItComes checks the same for values.
func TestLookupAsItComes(t *testing.T) {
	t.Parallel()
	home, _ := joinedSite(t, "")
	expectAsItComes(t, "input", []string{"host-1.example", "192.31.196.7"}, []string{"host-1.example\n", "192.31.196.7\n"},
		"lookup", "--home", home, "--output", "json", "-")
}

// expectAsItComes writes each input once the answer to the one before is there.
func expectAsItComes(t *testing.T, key string, want, inputs []string, args ...string) {
	t.Helper()
	in, write := io.Pipe()
	read, out := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		code := run(t.Context(), append([]string{"custom-misp"}, args...), in, out, io.Discard)
		_ = out.Close()
		ended <- code
	}()
	answers := bufio.NewScanner(read)
	answers.Buffer(nil, 1<<20)
	for i, input := range inputs {
		if _, err := io.WriteString(write, input); err != nil {
			t.Fatal(err)
		}
		if !answers.Scan() || gjson.GetBytes(answers.Bytes(), key).Str != want[i] {
			t.Fatalf("answer to %s: %s", want[i], answers.Text())
		}
	}
	_ = write.Close()
	if code := <-ended; code != cli.ExitOK {
		t.Errorf("exit code %d", code)
	}
}

// TestLookupMany looks up more values than are answered within the time of a call, in the order in which they are named, and
// lets one question fail.
func TestLookupMany(t *testing.T) {
	t.Parallel()
	home, misp := joinedSite(t, "timeout: 2s\n")
	var mu sync.Mutex
	searches := 0
	misp.Fault(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		searches++
		n := searches
		mu.Unlock()
		if n == 2 {
			http.Redirect(w, r, "/users/login", http.StatusFound) // not a second time for half of the values, as after 500
			return
		}
		time.Sleep(400 * time.Millisecond)
		misp.Answer(w, r)
	})
	const values = 12_000
	var input strings.Builder
	for i := range values {
		fmt.Fprintf(&input, "%032x\n", i+1)
	}
	stdout, stderr, code := asked(t, strings.NewReader(input.String()), "lookup", "--home", home, "--output", "json", "-")
	answered, last := 0, ""
	for line := range strings.Lines(stdout) {
		value := gjson.Get(line, "input").Str
		if value <= last {
			t.Fatalf("%s comes after %s", value, last)
		}
		last, answered = value, answered+1
	}
	if answered == values || answered < values/4 || code != cli.ExitFailure {
		t.Errorf("%d of %d values answered, exit code %d", answered, values, code)
	}
	want := fmt.Sprintf("custom-misp: %d of %d values could not be answered: MISP at %s answered 302, a redirect; is MISP in maintenance, or misp.url not exactly its base address (http or https, path)?\n",
		values-answered, values, strings.TrimPrefix(misp.URL, "http://"))
	if diff := cmp.Diff(want, stderr); diff != "" {
		t.Errorf("standard error (-want +got):\n%s", diff)
	}
}

// TestLookupNoAnswer checks the message about a single value.
func TestLookupNoAnswer(t *testing.T) {
	t.Parallel()
	home, misp := joinedSite(t, "")
	misp.Set(misptest.Condition{DatabaseDown: true})
	_, stderr, code := asked(t, nil, "lookup", "--home", home, "192.31.196.7")
	want := "custom-misp: MISP at " + strings.TrimPrefix(misp.URL, "http://") + " answered 500: An Internal Error Has Occurred; see MISP's own logs, app/tmp/logs/error.log\n"
	if code != cli.ExitFailure || stderr != want {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
