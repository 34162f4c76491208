package doctor

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/cmd/custom-misp/internal/manager"
	"custom-misp/cmd/custom-misp/internal/serve"
)

// TestDoctorDaemon looks at mirrors that are missing, there and old, and at a daemon with and without a
// block in ossec.conf beside it.
func TestDoctorDaemon(t *testing.T) {
	feed, err := filepath.Abs("../../../../testdata/feed")
	if err != nil {
		t.Fatal(err)
	}
	w := newWard(t)
	w.configure(t, "lookup: {policy: mirror}\nmirror: {misp: false, feeds: [osint="+feed+"]}\n")
	w.want(t, w.examine(t, nil), "mirror", StatusProblem, "osint was never synced", " sync osint --home HOME")
	w.want(t, w.examine(t, nil), "key", StatusSkipped, "only copies of feeds and lists are looked up in", "")

	w.configure(t, "mirror: {feeds: [osint="+feed+"]}\n")
	w.want(t, w.examine(t, nil), "mirror", StatusWarning, "mirror.feeds is set, but nothing is looked up there", "set lookup.policy")
	w.configure(t, "lookup: {policy: mirror}\nmirror: {misp: false, feeds: [osint="+feed+"]}\n")

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	load := func() (*config.Config, error) { return manager.Open(w.home).Config("", config.Flags{}) }
	go func() { ended <- serve.Run(ctx, load, io.Discard) }()
	c, err := load()
	if err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if now, err := serve.Ask(t.Context(), c); err == nil && now.Ready {
			break
		}
		if time.Since(begin) > time.Minute {
			t.Fatal("serve is not ready after a minute")
		}
	}
	w.want(t, w.examine(t, nil), "mirror", StatusOK, "osint: 21 attributes, synced ", "")
	w.want(t, w.examine(t, nil), "serve", StatusWarning, "integratord hands them over as well", "sed -i")
	w.block(t, "<name>slack</name>")
	w.want(t, w.examine(t, nil), "serve", StatusOK, "0 alerts read, 0 with hits", "")
	w.want(t, w.examine(t, nil), "integration", StatusOK, "no block is needed", "")
	list := "lookup: {policy: mirror}\nmirror: {misp: false, feeds: [osint=" + feed + "]}\nhistory: {enabled: true}\n"
	w.configure(t, list)
	w.want(t, w.examine(t, nil), "history", StatusWarning, "was set after serve began: nothing is recorded", "restart serve")
	w.configure(t, list+"serve: {alerts: []}\n")
	w.want(t, w.examine(t, nil), "history", StatusWarning, "serve follows no alerts: nothing is recorded", "set serve.alerts")
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	w.want(t, w.examine(t, nil), "integration", StatusProblem, "has no <integration> with the name custom-misp", "printf '<ossec_config>")
	w.configure(t, list)
	w.want(t, w.examine(t, nil), "history", StatusWarning, "serve does not run: nothing is recorded", "custom-misp")
	old := func(i *examination) {
		i.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	}
	w.want(t, w.examine(t, old), "mirror", StatusWarning, "osint is of 20", " sync osint --home HOME")
	base := filepath.Join(app.StateOf(c).Mirror(), "osint", "base-00000001.segment")
	data, err := os.ReadFile(base)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(base, data, 0o600); err != nil {
		t.Fatal(err)
	}
	w.want(t, w.examine(t, nil), "mirror", StatusProblem, "the mirror of osint is damaged: ", " sync osint --home HOME")
	if _, err := os.Stat(filepath.Join(filepath.Dir(base), "damaged")); err == nil {
		t.Error("doctor has written a note")
	}
}
