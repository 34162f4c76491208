package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/cli"
)

// TestWatch runs the tests once, and again after a file was changed in the way of editors: written beside and
// renamed.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "m.yaml")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(name+"~", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(name+"~", name); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ran := make(chan string, 10)
	done := make(chan error, 1)
	var out bytes.Buffer
	go func() {
		done <- watchFiles(ctx, cli.Streams{Out: &out, Err: &out}, []string{name}, func() error {
			data, err := os.ReadFile(name)
			ran <- string(data)
			return err
		})
	}()
	expect := func(want string) {
		t.Helper()
		for {
			select {
			case got := <-ran:
				if got == want {
					return
				}
			case err := <-done:
				t.Fatalf("ended with %v, waiting for %q", err, want)
			}
		}
	}
	expect("one")
	write("two")
	expect("two")
	write("three")
	expect("three")
	cancel()
	if err := <-done; err != nil || out.Len() != 0 {
		t.Errorf("error %v, output %q", err, out.String())
	}
}
