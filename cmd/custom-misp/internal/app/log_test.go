package app

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"custom-misp/cmd/custom-misp/internal/config"
)

// lines returns the messages of a log.
func lines(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for line := range strings.Lines(string(data)) {
		_, text, _ := strings.Cut(strings.TrimSpace(line), "INFO: ")
		list = append(list, text)
	}
	return strings.Join(list, " ")
}

// TestServeLogRotation rotates the log in both ways: by moving it away, and by copying and emptying it.
func TestServeLogRotation(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "misp.log")
	var stderr bytes.Buffer
	l := OpenServeLog(&config.Config{Log: config.Log{File: name, Level: slog.LevelInfo}}, &stderr)
	defer l.Close()
	l.Info("one")
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	l.Info("two") // before the signal: it goes to the file that was moved
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	l.Info("three")
	if got := lines(t, name+".1"); got != "one two" {
		t.Errorf("the old file has %q", got)
	}
	if got := lines(t, name); got != "three" {
		t.Errorf("the new file has %q", got)
	}
	if err := os.Truncate(name, 0); err != nil { // copytruncate
		t.Fatal(err)
	}
	l.Info("four")
	if got := lines(t, name); got != "four" {
		t.Errorf("the emptied file has %q", got)
	}
	if err := os.Rename(name, name+".2"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(name, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err == nil {
		t.Error("a directory was opened as the log")
	}
	l.Info("five")
	if got := lines(t, name+".2"); got != "four five" {
		t.Errorf("after a failure the old file has %q", got)
	}
	if stderr.Len() > 0 {
		t.Errorf("no one sees standard error, and it has %q", &stderr)
	}
}

// TestServeLogElsewhere has the log on standard error where there is no file, and in the journal besides the file.
func TestServeLogElsewhere(t *testing.T) {
	var stderr bytes.Buffer
	l := OpenServeLog(&config.Config{}, &stderr)
	l.Info("no file is wanted")
	if !strings.Contains(stderr.String(), " custom-misp: INFO: no file is wanted\n") || l.HasFile() {
		t.Errorf("standard error has %q", &stderr)
	}
	stderr.Reset()
	l = OpenServeLog(&config.Config{Log: config.Log{File: "/nowhere/misp.log"}}, &stderr)
	l.Info("the file cannot be opened")
	if !strings.HasPrefix(stderr.String(), "custom-misp: log.file: ") || !strings.Contains(stderr.String(), "INFO: the file cannot be opened\n") {
		t.Errorf("standard error has %q", &stderr)
	}

	dir := t.TempDir()
	journal, err := os.Create(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close() //nolint:errcheck // a test
	st, err := journal.Stat()
	if err != nil {
		t.Fatal(err)
	}
	sys := st.Sys().(*syscall.Stat_t)
	t.Setenv("JOURNAL_STREAM", fmt.Sprintf("%d:%d", sys.Dev, sys.Ino))
	name := filepath.Join(dir, "misp.log")
	l = OpenServeLog(&config.Config{Log: config.Log{File: name}}, journal)
	defer l.Close()
	l.Warn("two\nlines", "n", 3)
	if data, err := os.ReadFile(journal.Name()); err != nil || string(data) != "<4>two lines n=3\n" {
		t.Errorf("the journal has %q, %v", data, err)
	}
	if data, err := os.ReadFile(name); err != nil || !strings.Contains(string(data), "custom-misp: WARNING: two lines n=3\n") {
		t.Errorf("the file has %q, %v", data, err)
	}
}
