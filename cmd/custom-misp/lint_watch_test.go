package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/cli"
)

// TestLintOnChange changes a file, adds one to a directory and saves one by renaming: each is linted again, and nothing else is.
func TestLintOnChange(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.yaml")
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(file, "version: 1\n")
	ctx, cancel := context.WithCancel(t.Context())
	tick := make(chan time.Time)
	var out bytes.Buffer
	runs := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- lintOnChange(ctx, cli.Streams{Out: &out, Err: &out}, tick, []string{file, dir}, func() error {
			runs <- struct{}{}
			return cli.ErrReported
		})
	}()
	again := func(what string) {
		t.Helper()
		for {
			select {
			case tick <- time.Time{}:
			case <-runs:
				return
			case <-time.After(time.Minute):
				t.Fatal("not linted again after " + what)
			}
		}
	}
	<-runs
	for range 3 { // nothing has changed: it waits for each
		tick <- time.Time{}
	}
	write(file, "version: 1\nmappings: []\n")
	again("a change")
	write(filepath.Join(dir, "b.yaml"), "version: 1\n")
	again("another file")
	write(filepath.Join(dir, "tmp"), "version: 1\n#\n")
	again("a file beside")
	if err := os.Rename(filepath.Join(dir, "tmp"), file); err != nil {
		t.Fatal(err)
	}
	again("a rename")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := strings.Count(out.String(), "waiting for a change"); n != 5 {
		t.Errorf("%d runs, not 5:\n%s", n, out.String())
	}
}
