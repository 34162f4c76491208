package main

import (
	"context"
	"io"
	"path/filepath"
	"testing"
	"time"
)

// TestDoctorResident looks at copies that are missing, there and old, and at a resident process with and without a
// block in ossec.conf beside it.
func TestDoctorResident(t *testing.T) {
	feed, err := filepath.Abs("../../testdata/feed")
	if err != nil {
		t.Fatal(err)
	}
	w := newWard(t)
	w.configure(t, "lookup: {policy: mirror}\nmirror: {misp: false, feeds: [osint="+feed+"]}\n")
	w.want(t, w.examine(t, nil), "mirror", statusProblem, "osint was never synced", " sync --home HOME")
	w.want(t, w.examine(t, nil), "key", statusSkipped, "only copies of feeds and lists are looked up in", "")

	w.configure(t, "mirror: {feeds: [osint="+feed+"]}\n")
	w.want(t, w.examine(t, nil), "mirror", statusWarning, "mirror.feeds is set, but nothing is looked up there", "set lookup.policy")
	w.configure(t, "lookup: {policy: mirror}\nmirror: {misp: false, feeds: [osint="+feed+"]}\n")

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, globalFlags{home: w.home}, streams{out: io.Discard, err: io.Discard}) }()
	settings := readInstallation(globalFlags{home: w.home}).s
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if now, err := askServe(t.Context(), settings); err == nil && now.Ready {
			break
		}
		if time.Since(begin) > time.Minute {
			t.Fatal("serve is not ready after a minute")
		}
	}
	w.want(t, w.examine(t, nil), "mirror", statusOK, "osint: 21 attributes, synced ", "")
	w.want(t, w.examine(t, nil), "serve", statusWarning, "integratord hands them over as well", "take the <integration> block out")
	w.block(t, "<name>slack</name>")
	w.want(t, w.examine(t, nil), "serve", statusOK, "0 alerts read, 0 with hits", "")
	w.want(t, w.examine(t, nil), "integration", statusOK, "no block is needed", "")
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	w.want(t, w.examine(t, nil), "integration", statusProblem, "has no <integration> with the name custom-misp", "cat examples/ossec.conf")
	old := func(i *installation) {
		i.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	}
	w.want(t, w.examine(t, old), "mirror", statusWarning, "osint is of 20", " sync --home HOME")
}
