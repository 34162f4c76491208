package app

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine"
	"custom-misp/engine/enrich"
)

// TestBuild says what there is of a chain, and what is wrong: each fault once, whoever needs what is missing.
func TestBuild(t *testing.T) {
	t.Parallel()
	const misp = "misp: {url: https://misp.example.org, key: fake-key-for-tests-only"
	tests := []struct {
		name, config     string
		none             bool // no chain
		lookup           bool // it can look up
		live, mirror     bool
		sightings        bool
		syncs            int
		faults           []string // the beginning of each line
		faultsOfMappings int
	}{
		{name: "live", config: misp + "}", lookup: true, live: true},
		{name: "sightings", config: misp + "}\nsightings: {enabled: true}", lookup: true, live: true, sightings: true},
		{name: "mirror", config: misp + "}\nlookup: {policy: mirror}\nmirror: {feeds: [a=b], lists: [c=d]}\nsightings: {enabled: true}", lookup: true, mirror: true, syncs: 3, sightings: true},
		{name: "mirror then live", config: misp + "}\nlookup: {policy: mirror-then-live}", lookup: true, live: true, mirror: true, syncs: 1},
		{name: "feed", config: "feed: {dir: FEED}\nsightings: {enabled: true}", lookup: true, live: true},
		{
			name: "one fault of three parts", config: misp + ", ca_file: gone}\nlookup: {policy: mirror-then-live}\nsightings: {enabled: true}",
			mirror: true, faults: []string{"custom-misp: misp.ca_file: "},
		},
		{
			name: "fault of serve alone", config: misp + ", ca_file: gone}\nlookup: {policy: mirror}",
			lookup: true, mirror: true, faults: []string{"custom-misp: misp.ca_file: "},
		},
		{
			name: "faults of all parts", none: true,
			config: "lookup: {policy: mirror-then-live, min_decay_score: 5}\nmirror: {feeds: [a=b]}\nignore: {files: [gone, lost]}\nserve: {alerts: etc}\nmappings: {dirs: [away]}",
			faults: []string{
				"custom-misp: mappings.dirs: ", "custom-misp: ignore.files: ", "custom-misp: ignore.files: ", "custom-misp: misp.url is not set", "custom-misp: lookup.min_decay_score ",
				"custom-misp: serve.alerts: ",
			},
		},
		{name: "faults of mappings", config: misp + "}\nmappings: {dirs: [maps]}", lookup: true, live: true, faultsOfMappings: 1},
	}
	feed, err := filepath.Abs("../../../../testdata/feed")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := load(t, "log: {file: ''}\n"+strings.ReplaceAll(tt.config, "FEED", feed))
			if err := os.Mkdir(c.FromHome("maps"), 0o750); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(c.FromHome("maps/m.yaml"), []byte("version: 1\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			a, err := Build(c, Hooks{})
			checkFaults(t, err, tt.faults)
			if (a == nil) != tt.none {
				t.Fatalf("chain %v", a)
			}
			if a == nil {
				return
			}
			defer a.Close()
			type seen struct{ Live, Mirror, Sightings bool }
			if diff := cmp.Diff(seen{tt.live, tt.mirror, tt.sightings}, seen{a.Live != nil, a.Mirror != nil, a.Chain.Sightings != nil}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(a.Syncs) != tt.syncs || len(a.Faults) != tt.faultsOfMappings {
				t.Errorf("%d syncs, faults of mappings %v", len(a.Syncs), a.Faults)
			}
			expectLookup(t, a, err, tt.lookup)
		})
	}
}

// checkFaults compares an error with the beginnings of its lines.
func checkFaults(t *testing.T, err error, want []string) {
	t.Helper()
	var got []string
	if err != nil {
		got = cli.Lines(err)
	}
	same := len(got) == len(want)
	for i := range min(len(got), len(want)) {
		same = same && strings.HasPrefix(got[i], want[i])
	}
	if !same {
		t.Errorf("faults %q, want %q", got, want)
	}
}

// expectLookup checks that a look-up that cannot be made fails with the reason, and that Build says so.
func expectLookup(t *testing.T, a *App, err error, can bool) {
	t.Helper()
	reason, ok := errors.AsType[*LookupError](err)
	if ok == can {
		t.Errorf("look-up error %v", err)
	}
	if can {
		return
	}
	_, err = a.Chain.Lookup.Lookup(context.Background(), []engine.Observable{{Type: "domain", Value: "a.example"}})
	trouble, ok := errors.AsType[*enrich.Trouble](err)
	if !ok || trouble.Code != enrich.CodeConfig || trouble.Err.Error() != reason.Error() {
		t.Errorf("the look-up fails with %v", err)
	}
}

// TestQueuePath finds the queue of managers before 4.2, where none is configured.
func TestQueuePath(t *testing.T) {
	t.Parallel()
	old := load(t, "{}")
	if got, want := QueuePath(old), old.FromHome("queue/sockets/queue"); got != want {
		t.Errorf("without a socket: %s", got)
	}
	place := old.FromHome("queue/ossec/queue")
	if err := os.MkdirAll(filepath.Dir(place), 0o750); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: place, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // the end of the test
	if q := queue(old); q.Path != place || !q.PlainHeader {
		t.Errorf("with an old socket: %s, plain header %t", q.Path, q.PlainHeader)
	}
	named := *old
	named.Queue.Default = false
	if got := QueuePath(&named); got != old.FromHome("queue/sockets/queue") {
		t.Errorf("named: %s", got)
	}
}

// TestAlone asks which alerts serve looks up alone: those that need more than one question to MISP.
func TestAlone(t *testing.T) {
	t.Parallel()
	for policy, asks := range map[string]bool{"live": true, "mirror-then-live": true, "mirror": false} {
		c := load(t, "log: {file: ''}\nmisp: {url: https://misp.example.org, key: fake-key-for-tests-only}\nlookup: {policy: "+policy+"}")
		call, err := Build(c, Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		defer call.Close()
		daemon, err := Build(c, Hooks{Daemon: &Daemon{Context: t.Context(), Meter: noMeter{}}})
		if err != nil {
			t.Fatal(err)
		}
		defer daemon.Close()
		if call.Chain.Alone != nil || (daemon.Chain.Alone != nil) != asks {
			t.Errorf("policy %s: a call looks alerts up alone: %t; serve does: %t", policy, call.Chain.Alone != nil, daemon.Chain.Alone != nil)
		}
		if asks && (daemon.Chain.Alone(1000) || !daemon.Chain.Alone(1001)) {
			t.Errorf("policy %s: 1,000 values alone: %t, 1,001: %t", policy, daemon.Chain.Alone(1000), daemon.Chain.Alone(1001))
		}
	}
}

// noMeter counts nothing.
type noMeter struct{}

func (noMeter) AskedServer(string, int, int, time.Duration) {}
func (noMeter) Asked(string, int, int, time.Duration)       {}
func (noMeter) Remembered(bool)                             {}
func (noMeter) Cut(engine.Cut)                              {}
func (noMeter) NotReported(enrich.Reason)                   {}
func (noMeter) LeftOut(string, int)                         {}
