package enrich_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/atomicfile"
	"custom-misp/engine/enrich"
)

// TestOutageUnversioned reads what an earlier program wrote.
func TestOutageUnversioned(t *testing.T) {
	for name, want := range map[string]enrich.Outage{
		"misp":  {Code: enrich.CodeUnavailable, Queued: 2, DeadLetters: 1},
		"queue": {Code: enrich.CodeQueue, Queued: 1, Processed: 1},
	} {
		o, err := enrich.OutageFile{Path: "../../testdata/state-unversioned/" + name + ".json"}.Load()
		if err != nil || o.Code != want.Code || o.Queued != want.Queued || o.Processed != want.Processed || o.DeadLetters != want.DeadLetters ||
			o.Since.IsZero() || o.Lasts() {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
}

// failingWith returns a look-up that fails with a description.
func failingWith(text string) lookup {
	return func(context.Context, []engine.Observable) ([]enrich.Match, error) {
		return nil, &enrich.Trouble{Code: enrich.CodeUnavailable, Err: errors.New(text)}
	}
}

// TestOutageDamaged asks MISP with a damaged record of outages: it is kept aside, and the next question has one again.
func TestOutageDamaged(t *testing.T) {
	b := newBench(t)
	log := b.logged()
	b.Circuit.Outage.Log = b.Log
	for _, damage := range []func(name string) error{
		func(name string) error {
			return os.WriteFile(name, []byte(`{"version":1,"sum":"crc32c-00000000"}`), 0o600)
		},
		func(name string) error { return os.WriteFile(name, nil, 0o600) },
		func(name string) error { return os.Mkdir(name, 0o700) },
	} {
		must(t, os.RemoveAll(b.MISP.Path))
		must(t, damage(b.MISP.Path))
		log.Reset()
		for range 3 {
			_, err := b.Circuit.Lookup(t.Context(), nil)
			must(t, err)
		}
		if n := strings.Count(log.String(), "it is not known whether MISP was unreachable"); n != 1 {
			t.Errorf("logged %d times: %s", n, log)
		}
		if _, err := os.Stat(b.MISP.Path + ".broken"); err != nil {
			t.Error(err)
		}
	}
}

// TestOutageNewer has the record of a later program: it is left untouched, whoever writes.
func TestOutageNewer(t *testing.T) {
	for _, writer := range []*enrich.OutageWriter{nil, {}} {
		f := enrich.OutageFile{Path: filepath.Join(t.TempDir(), "misp.json"), Writer: writer}
		must(t, atomicfile.WriteJSON(f.Path, 2, enrich.Outage{Queued: 7}, atomicfile.Volatile))
		before, err := os.ReadFile(f.Path)
		must(t, err)
		c := &enrich.Circuit{Asked: failingWith("away"), Outage: f}
		for range 2 {
			if _, err := c.Lookup(t.Context(), nil); err == nil {
				t.Error("it did not fail")
			}
		}
		if writer != nil {
			writer.Close()
			if o, err := f.Load(); err != nil || !o.Unreachable() { // in memory
				t.Errorf("%+v, %v", o, err)
			}
		} else if _, err := f.Load(); err == nil || !strings.Contains(err.Error(), f.Path+" has version 2") {
			t.Errorf("error %v", err)
		}
		if after, err := os.ReadFile(f.Path); err != nil || string(after) != string(before) {
			t.Errorf("changed: %s, %v", after, err)
		}
	}
}

// TestOutageSlowDisk has a disk that takes nothing: no look-up waits for it, each knows what the one before has met, and the
// file has it all when the disk works again.
func TestOutageSlowDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "misp.json")
	disk, writes := make(chan bool), 0
	remove := atomicfile.TestOnlyHook(func(s atomicfile.Step, name string) error {
		if name == path && s == atomicfile.StepCreate {
			writes++
			<-disk
		}
		return nil
	})
	defer remove()
	writer := &enrich.OutageWriter{}
	now := time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)
	f := enrich.OutageFile{Path: path, Writer: writer, Now: func() time.Time { return now }}
	c := &enrich.Circuit{Outage: f}
	for _, text := range []string{"first", "second", "third", ""} {
		c.Asked = failingWith(text)
		if text == "" {
			c.Asked = known()
		}
		_, _ = c.Lookup(t.Context(), nil)
		now = now.Add(time.Second)
	}
	inMemory, err := f.Load()
	must(t, err)
	if inMemory.Description != "third" || inMemory.Since.Second() != 0 || inMemory.Answered.Second() != 3 {
		t.Errorf("in memory %+v", inMemory)
	}
	close(disk)
	writer.Close()
	onDisk, err := enrich.OutageFile{Path: path}.Load()
	if err != nil || onDisk.Description != "third" || !onDisk.Since.Equal(inMemory.Since) || !onDisk.Answered.Equal(inMemory.Answered) {
		t.Errorf("on disk %+v, %v", onDisk, err)
	}
	if writes > 2 { // the first, and the rest at once
		t.Errorf("written %d times", writes)
	}
}

// TestOutageFullDisk has a disk that is full and has space again: what it did not take is tried again, and logged once.
func TestOutageFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "misp.json")
	var full atomic.Bool
	full.Store(true)
	defer atomicfile.TestOnlyHook(func(s atomicfile.Step, name string) error {
		if name == path && s == atomicfile.StepWrite && full.Load() {
			return syscall.ENOSPC
		}
		return nil
	})()
	var log strings.Builder
	writer := &enrich.OutageWriter{}
	f := enrich.OutageFile{Path: path, Writer: writer, Log: slog.New(slog.NewTextHandler(&log, nil))}
	c := &enrich.Circuit{Asked: failingWith("away"), Outage: f}
	for range 3 {
		_, _ = c.Lookup(t.Context(), nil)
	}
	writer.Close()
	if _, err := os.Stat(path); err == nil {
		t.Error("there is a file")
	}
	full.Store(false)
	writer.Close()
	if o, err := (enrich.OutageFile{Path: path}).Load(); err != nil || !o.Unreachable() {
		t.Errorf("%+v, %v", o, err)
	}
	if n := strings.Count(log.String(), "outage not recorded"); n != 1 {
		t.Errorf("logged %d times: %s", n, &log)
	}
}

// TestThrottlePipe has a pipe in the place of a mark: the event is sent, and the next one is not.
func TestThrottlePipe(t *testing.T) {
	sink := &counting{}
	s := &enrich.Throttle{Sink: sink, Dir: t.TempDir(), Interval: time.Hour}
	must(t, syscall.Mkfifo(filepath.Join(s.Dir, "told.wazuh_queue"), 0o600))
	for range 2 {
		must(t, s.Send(t.Context(), enrich.TroubleEvent(enrich.Alert{}, &enrich.Trouble{Code: enrich.CodeQueue, Err: errors.New("full")})))
	}
	if sink.n != 1 {
		t.Errorf("%d events are sent, want 1", sink.n)
	}
}
