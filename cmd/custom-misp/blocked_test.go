package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inPlace puts something in the place of a file or a directory that no one is to wait for, or to read into memory.
var inPlace = map[string]func(name string) error{
	"a pipe":   func(name string) error { return syscall.Mkfifo(name, 0o640) },
	"a device": func(name string) error { return os.Symlink("/dev/zero", name) },
	"a huge file": func(name string) error {
		if err := os.WriteFile(name, nil, 0o640); err != nil { //nolint:gosec // as Wazuh has it
			return err
		}
		return os.Truncate(name, 12<<30)
	},
}

// TestNothingBlocks has a pipe, a device without an end or a huge file in every place that the program reads on its own: each verb
// ends, and takes little memory.
func TestNothingBlocks(t *testing.T) { //nolint:paralleltest // it measures the memory of the process
	verbs := []string{"doctor", "status", "spool", "spool drain", "config", "lint", "test", "coverage alerts", "enrich --dry-run alerts/good.json", "lookup bad.example.com"}
	for place, verbs := range map[string][]string{
		"etc/custom-misp.yaml":                  verbs,
		"etc/custom-misp.key":                   {"doctor", "status", "lookup bad.example.com", "spool drain"},
		"etc/custom-misp/ignore.txt":            verbs,
		"etc/custom-misp/mappings":              verbs,
		"etc/custom-misp/mappings/a.yaml":       verbs,
		"etc/custom-misp/mappings/a_test.yaml":  {"test", "lint"},
		"etc/ossec.conf":                        {"doctor", "status", "config"},
		"etc/rules/local_rules.xml":             {"doctor"},
		"VERSION.json":                          {"doctor"},
		"alerts/other.json":                     {"coverage alerts"},
		"feed":                                  {"doctor", "lookup bad.example.com"},
		"logs/custom-misp/spool/alerts":         {"doctor", "status", "spool", "spool drain", "spool retry"},
		"logs/custom-misp/spool/events":         {"doctor", "status", "spool", "spool drain", "spool retry"},
		"logs/custom-misp/spool/alerts.claimed": {"doctor", "status", "spool", "spool drain"},
		"logs/custom-misp/spool/aside/alerts":   {"doctor", "status", "spool", "spool drain", "spool retry"},
		"logs/custom-misp/spool/aside":          {"doctor", "status", "spool", "spool drain", "spool retry"},
		"logs/custom-misp/spool":                {"doctor", "status", "spool", "spool drain", "spool retry"},
		"logs/custom-misp/mirror":               {"doctor", "status"},
		"logs/integrations.log":                 {"spool drain", "alerts/good.json"},
	} {
		for what, put := range inPlace {
			if place == "alerts/other.json" && what == "a huge file" {
				continue // an archive may be as long as it likes
			}
			if what != "a pipe" && !long() {
				continue
			}
			home := blockedHome(t, place, put)
			t.Chdir(home)
			for _, verb := range verbs {
				inTime(t, verb+" with "+what+" in the place of "+place, home, strings.Fields(verb))
			}
		}
	}
}

// blockedHome returns a home with something in one place.
func blockedHome(t *testing.T, place string, put func(name string) error) string {
	t.Helper()
	home := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o640); err != nil { //nolint:gosec // as Wazuh has it
			t.Fatal(err)
		}
	}
	write("etc/custom-misp.yaml", "feed: {dir: "+home+"/feed}\nignore: {files: ["+home+"/etc/custom-misp/ignore.txt]}\n")
	if place == "etc/custom-misp.key" {
		write("etc/custom-misp.yaml", "misp: {url: 'http://127.0.0.1:1', key_file: etc/custom-misp.key, retries: 0}\ntimeout: 1s\n")
	}
	write("etc/custom-misp/ignore.txt", "192.31.196.1\n")
	write("etc/custom-misp/mappings/b.yaml", "version: 1\nmappings: [{id: b, match: 'has(\"data\")', pick: [{path: data.x, type: port}]}]\n")
	write("feed/manifest.json", "{}")
	write("alerts/good.json", `{"rule":{"id":"1"},"id":"1","data":{"srcip":"192.31.196.66"}}`)
	name := filepath.Join(home, place)
	if err := os.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := put(name); err != nil {
		t.Fatal(err)
	}
	return home
}

// inTime runs a verb and fails if it waits, or takes much memory.
func inTime(t *testing.T, what, home string, verb []string) {
	t.Helper()
	late := time.AfterFunc(time.Minute, func() { panic(what + ": waits") })
	defer late.Stop()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var out bytes.Buffer
	run(t.Context(), append([]string{"custom-misp", "--home", home}, verb...), strings.NewReader(""), &out, &out)
	runtime.ReadMemStats(&after)
	// All mappings are read, and a file of the longest length that is read is copied a few times while it grows.
	if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 1500 {
		t.Errorf("%s: %d MiB of memory", what, used)
	}
}

// TestLogIsNoLink has a link in the place of the log: it is not followed, and the call goes on.
func TestLogIsNoLink(t *testing.T) {
	for _, there := range []bool{true, false} {
		home, target := t.TempDir(), filepath.Join(t.TempDir(), "target")
		if there {
			if err := os.WriteFile(target, []byte("secret"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, dir := range []string{"logs", "etc", "queue/sockets"} {
			if err := os.MkdirAll(filepath.Join(home, dir), 0o750); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(target, filepath.Join(home, "logs/integrations.log")); err != nil {
			t.Fatal(err)
		}
		alert := filepath.Join(home, "alert.json")
		if err := os.WriteFile(alert, []byte(`{"rule":{"id":"1"},"id":"1","data":{"srcip":"192.31.196.66"}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		run(t.Context(), []string{"custom-misp", "--home", home, alert}, strings.NewReader(""), &out, &out)
		if !strings.Contains(out.String(), "log.file") || !strings.Contains(out.String(), "a symbolic link") {
			t.Errorf("it prints %q", out.String())
		}
		data, err := os.ReadFile(target)
		if there && string(data) != "secret" || !there && err == nil {
			t.Errorf("there %t: the file that the link leads to has %q", there, data)
		}
	}
}
