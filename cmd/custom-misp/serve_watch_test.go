package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/misp/misptest"
)

// startHere starts serve in this process, until the test ends.
func (r *resident) startHere(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var out bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"custom-misp", "serve", "--home", r.home}, strings.NewReader(""), &out, &out)
	}()
	t.Cleanup(func() {
		stop()
		if code := <-ended; code != cli.ExitOK || out.Len() > 0 {
			t.Errorf("serve ended with exit code %d, output %q", code, &out)
		}
	})
	r.until(t, "serve answers", func() bool { code, _ := r.get("/healthz"); return code == http.StatusOK })
}

// reloaded does something and waits until serve has loaded its configuration again because of it.
func (r *resident) reloaded(t *testing.T, change func()) {
	t.Helper()
	before := r.status().Configuration.LoadedAt
	change()
	r.until(t, "the configuration is loaded again", func() bool { return r.status().Configuration.LoadedAt.After(before) })
}

// TestServeWatches has serve load its configuration again when the content changes of a file that it names.
func TestServeWatches(t *testing.T) {
	t.Parallel()
	const settings = "serve: {start: beginning}\nmappings: {builtin: false}\n"
	newServe := func(t *testing.T, config string) *resident {
		r := prepare(t, newHome(t), "")
		r.write(t, "etc/key", misptest.Key)
		r.write(t, "etc/custom-misp.yaml", fmt.Sprintf("misp: {url: %q, key_file: etc/key, timeout: 2s, retries: 0}\n%s%s", r.misp.URL, settings, config))
		return r
	}
	t.Run("misp.key_file", func(t *testing.T) {
		t.Parallel()
		const changed = "another-fake-key-for-tests"
		r := newServe(t, "")
		r.misp.Fault(func(w http.ResponseWriter, q *http.Request) { // takes any key
			q.Header.Set("Authorization", misptest.Key)
			r.misp.Answer(w, q)
		})
		r.startHere(t)
		r.reloaded(t, func() { r.write(t, "etc/key", changed) })
		r.alerts.add("1", liveHit)
		r.expectHits(t, "1")
		for _, q := range r.misp.Requests() {
			if got := q.Header.Get("Authorization"); got != changed {
				t.Errorf("%s was asked with the key %q", q.Path, got)
			}
		}
	})
	t.Run("feed.dir", func(t *testing.T) {
		t.Parallel()
		const added = "new.bad-cdn.example"
		r := newServe(t, "feed: {dir: feed}\n")
		feed := filepath.Join(r.home, "feed")
		if err := os.CopyFS(feed, os.DirFS("../../testdata/feed")); err != nil {
			t.Fatal(err)
		}
		r.startHere(t)
		r.reloaded(t, func() { replaceInFeed(t, feed, liveHit, added) })
		r.alerts.add("1", added)
		r.alerts.add("2", liveHit)
		r.expectHits(t, "1")
		if n := r.counts()["2"]; n != 0 {
			t.Errorf("what is no longer in the feed has %d events", n)
		}
	})
	t.Run("ignore.files", func(t *testing.T) {
		t.Parallel()
		r := newServe(t, "ignore: {files: [etc/ignore]}\n")
		r.write(t, "etc/ignore", "other.example\n")
		r.startHere(t)
		r.reloaded(t, func() { r.write(t, "etc/ignore", "other.example\n"+liveHit+"\n") })
		r.alerts.add("1", liveHit)
		r.alerts.add("2", "other.bad-cdn.example")
		r.until(t, "MISP is asked for the other value", func() bool { return r.searches() > 0 })
		for _, q := range r.misp.Requests() {
			if strings.Contains(fmt.Sprint(q.Body), liveHit) {
				t.Errorf("MISP was asked for what is ignored: %v", q.Body)
			}
		}
	})
}

// replaceInFeed writes one value for another in the events of a feed.
func replaceInFeed(t *testing.T, dir, old, with string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), old) {
			replace(t, name, strings.ReplaceAll(string(data), old, with))
			changed++
		}
	}
	if changed == 0 {
		t.Fatalf("no event of the feed has %s", old)
	}
}
