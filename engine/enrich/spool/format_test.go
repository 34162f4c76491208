package spool_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"custom-misp/engine/atomicfile"
	"custom-misp/engine/enrich/spool"
)

// entryFile returns the only file of a kind that waits.
func entryFile(t *testing.T, s *spool.Dir, kind spool.Kind) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.Path, string(kind), "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	return files[0]
}

// TestEntryIsPlain reads an entry as a person does.
func TestEntryIsPlain(t *testing.T) {
	s := newSpool(t)
	const alert = `{"rule":{"id":"1"}}`
	put(t, s, spool.Alerts, alert)
	file := entryFile(t, s, spool.Alerts)
	if data, err := os.ReadFile(file); err != nil || string(data) != alert {
		t.Errorf("content %q, %v", data, err)
	}
	if base := filepath.Base(file); !strings.HasSuffix(base, ".0.19.v1."+atomicfile.Sum([]byte(alert))+".json") {
		t.Errorf("name %s", base)
	}
}

// TestFlippedBits flips each bit of an entry: all are known to be damaged.
func TestFlippedBits(t *testing.T) {
	s := newSpool(t)
	const alert = `{"rule":{"id":"1"},"data":{"dst":"192.31.196.1"}}`
	put(t, s, spool.Alerts, alert)
	o := open(t, s)
	entries, _ := claim(t, o, spool.Alerts, 1)
	file := entryFile(t, s, "alerts.claimed")
	for i := range alert {
		for bit := range 8 {
			data := []byte(alert)
			data[i] ^= 1 << bit
			must(t, os.WriteFile(file, data, 0o600))
			if _, err := entries[0].Data(); err == nil || !strings.Contains(err.Error(), "damaged on disk") {
				t.Errorf("bit %d of byte %d: %v", bit, i, err)
			}
		}
	}
	for _, data := range [][]byte{nil, []byte(alert[:5]), []byte(alert + "}"), bytes.Repeat([]byte{'x'}, 1<<20)} {
		must(t, os.WriteFile(file, data, 0o600))
		if _, err := entries[0].Data(); err == nil {
			t.Errorf("%d bytes are taken for %d", len(data), len(alert))
		}
	}
	must(t, errors.Join(os.Remove(file), syscall.Mkfifo(file, 0o600)))
	if _, err := entries[0].Data(); !errors.Is(err, atomicfile.ErrNotState) {
		t.Errorf("a pipe: %v", err)
	}
	must(t, o.Close())
}

// TestNewerEntries has entries of a later version before and behind one of ours. They are left untouched, and reported once.
func TestNewerEntries(t *testing.T) {
	s := newSpool(t)
	s.MaxEntries = 3
	dir := filepath.Join(s.Path, "alerts")
	must(t, os.MkdirAll(dir, 0o700))
	newer := []string{"00000000000000000001-JBSWY3DP.0.3.v3.364b3fb7.json", "09000000000000000001-x.7.v13.x.gz.json"}
	for _, name := range newer {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("abc"), 0o600))
	}
	put(t, s, spool.Alerts, "a", "b", "c")
	for range 2 {
		o := open(t, s)
		entries, texts := claim(t, o, spool.Alerts, 1)
		must(t, entries[0].Done())
		err := o.Newer()
		if texts[0] == "b" {
			if err != nil {
				t.Errorf("reported again: %v", err)
			}
		} else if n, ok := errors.AsType[*atomicfile.NewerError](err); !ok || n.Version != 13 || n.Known != 2 || n.File != filepath.Join(dir, newer[1]) {
			t.Errorf("error %v", err)
		}
		must(t, o.Close())
	}
	for _, name := range newer {
		if data, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(data) != "abc" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	if depth, err := s.Depth(); err != nil || depth.Newer != 2 || depth.Alerts != 1 {
		t.Errorf("depth %+v, %v", depth, err)
	}
}

// TestUnversioned takes out what an earlier program has put in.
func TestUnversioned(t *testing.T) {
	s := newSpool(t)
	must(t, os.CopyFS(s.Path, os.DirFS("../../../testdata/state-unversioned/spool")))
	depth, err := s.Depth()
	if err != nil || depth.Alerts != 4 || depth.Events != 1 || depth.DeadLetters != 1 || depth.Newer != 0 {
		t.Fatalf("depth %+v, %v", depth, err)
	}
	letters, err := s.DeadLetters()
	if err != nil || letters[0].Reason != "100 bytes where 259 were put in" {
		t.Errorf("%+v, %v", letters, err)
	}
	put(t, s, spool.Alerts, "new") // of 2026-10, so it is the first
	o := open(t, s)
	entries, alerts := claim(t, o, spool.Alerts, 10)
	if len(alerts) != 5 || alerts[0] != "new" || !strings.Contains(alerts[1], "queued2.bad.example") || !strings.Contains(alerts[4], "queued5.bad.example") {
		t.Errorf("alerts %q", alerts)
	}
	_, err = entries[1].Fail("MISP answered 500") // it keeps its form
	must(t, err)
	for _, e := range entries[2:] {
		must(t, e.Done())
	}
	if _, events := claim(t, o, spool.Events, 10); len(events) != 1 || !strings.Contains(events[0], "list.bad.example") {
		t.Errorf("events %q", events)
	}
	must(t, o.Close())
	if left, err := filepath.Glob(filepath.Join(s.Path, "alerts", "*.1.259.json")); err != nil || len(left) != 1 {
		t.Errorf("tried once: %v, %v", left, err)
	}
}

// TestLockIsAPipe has a pipe in the place of the lock: nothing waits for it.
func TestLockIsAPipe(t *testing.T) {
	s := newSpool(t)
	put(t, s, spool.Alerts, "a")
	must(t, syscall.Mkfifo(filepath.Join(s.Path, "lock"), 0o600))
	if o, err := s.Open(); o != nil || !errors.Is(err, atomicfile.ErrNotState) {
		t.Errorf("opened %v, %v", o, err)
	}
}
