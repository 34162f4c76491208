package enrich_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/enrich"
)

// newSpool is an empty one whose clock goes on by a second with every look at it.
func newSpool(t *testing.T) *enrich.Spool {
	t.Helper()
	now := time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)
	return &enrich.Spool{Dir: filepath.Join(t.TempDir(), "spool"), MaxEntries: 100, MaxBytes: 1 << 20, Now: func() time.Time {
		now = now.Add(time.Second)
		return now
	}}
}

func put(t *testing.T, s *enrich.Spool, kind enrich.SpoolKind, texts ...string) (dropped int) {
	t.Helper()
	for _, text := range texts {
		n, err := s.Put(kind, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		dropped += n
	}
	return dropped
}

func open(t *testing.T, s *enrich.Spool) *enrich.OpenSpool {
	t.Helper()
	o, err := s.Open()
	if err != nil || o == nil {
		t.Fatalf("open: %v, %v", o, err)
	}
	return o
}

// claim takes entries and returns them with their texts.
func claim(t *testing.T, o *enrich.OpenSpool, kind enrich.SpoolKind, n int) ([]enrich.Entry, []string) {
	t.Helper()
	entries, err := o.Claim(kind, n)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, e := range entries {
		data, err := e.Data()
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(data))
	}
	return entries, texts
}

func expectTexts(t *testing.T, want []string, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSpoolOrder(t *testing.T) {
	s := newSpool(t)
	put(t, s, enrich.SpoolAlerts, "a", "b", "c")
	put(t, s, enrich.SpoolEvents, "x")
	o := open(t, s)
	entries, texts := claim(t, o, enrich.SpoolAlerts, 2)
	expectTexts(t, []string{"a", "b"}, texts)
	must(t, entries[0].Done())
	must(t, entries[1].Return())
	_, texts = claim(t, o, enrich.SpoolAlerts, 5)
	expectTexts(t, []string{"c"}, texts) // what was put back is not taken again in the same round
	must(t, o.Close())
	depth, err := s.Depth()
	want := enrich.Depth{Alerts: 2, Events: 1, Bytes: 3, Oldest: depth.Oldest}
	if err != nil || depth != want || depth.Oldest.Second() != 2 {
		t.Errorf("depth %+v, %v", depth, err)
	}
}

// TestSpoolFindsWhatAKilledProcessHeld claims entries and goes away with them.
func TestSpoolFindsWhatAKilledProcessHeld(t *testing.T) {
	s := newSpool(t)
	put(t, s, enrich.SpoolAlerts, "a", "b")
	o := open(t, s)
	claim(t, o, enrich.SpoolAlerts, 5)
	must(t, o.Close())
	o = open(t, s)
	entries, texts := claim(t, o, enrich.SpoolAlerts, 5)
	expectTexts(t, []string{"a"}, texts) // alone now: it may have been the reason
	must(t, entries[0].Done())
	_, texts = claim(t, o, enrich.SpoolAlerts, 5)
	expectTexts(t, []string{"b"}, texts)
	must(t, o.Close())
}

func TestSpoolSetsAside(t *testing.T) {
	s := newSpool(t)
	put(t, s, enrich.SpoolAlerts, "poison", "good")
	for range 5 {
		o := open(t, s)
		entries, texts := claim(t, o, enrich.SpoolAlerts, 1)
		expectTexts(t, []string{"poison"}, texts)
		must(t, entries[0].Failed("MISP answered 500"))
		must(t, o.Close())
	}
	o := open(t, s)
	_, texts := claim(t, o, enrich.SpoolAlerts, 1)
	expectTexts(t, []string{"good"}, texts)
	aside, err := s.Aside()
	if err != nil || len(aside) != 1 || aside[0].Reason != "tried 5 times: MISP answered 500" {
		t.Fatalf("set aside: %+v, %v", aside, err)
	}
	if data, err := os.ReadFile(aside[0].File); err != nil || string(data) != "poison" {
		t.Errorf("%q, %v", data, err)
	}
	if n, err := o.Retry(); n != 1 || err != nil {
		t.Errorf("retry: %d, %v", n, err)
	}
	must(t, o.Close())
	o = open(t, s)
	_, texts = claim(t, o, enrich.SpoolAlerts, 1)
	expectTexts(t, []string{"poison"}, texts)
	if left, err := filepath.Glob(filepath.Join(s.Dir, "aside", "*", "*")); err != nil || len(left) != 0 {
		t.Errorf("left aside: %v", left)
	}
	must(t, o.Close())
}

func TestSpoolBounds(t *testing.T) {
	s := newSpool(t)
	s.MaxEntries = 3
	if n := put(t, s, enrich.SpoolAlerts, "a", "b"); n != 0 {
		t.Errorf("%d dropped", n)
	}
	if n := put(t, s, enrich.SpoolEvents, "c", "d", "e"); n != 2 {
		t.Errorf("%d dropped for the number of entries", n)
	}
	s.MaxEntries, s.MaxBytes = 100, 10
	if n := put(t, s, enrich.SpoolAlerts, "12345678"); n != 1 {
		t.Errorf("%d dropped for the bytes", n)
	}
	o := open(t, s)
	_, alerts := claim(t, o, enrich.SpoolAlerts, 5)
	expectTexts(t, []string{"12345678"}, alerts)
	_, events := claim(t, o, enrich.SpoolEvents, 5)
	expectTexts(t, []string{"d", "e"}, events)
	must(t, o.Close())
}

func TestSpoolIsOpenedOnce(t *testing.T) {
	s := newSpool(t)
	if o, err := s.Open(); o != nil || err != nil {
		t.Errorf("a spool that is not there opens: %v, %v", o, err)
	}
	put(t, s, enrich.SpoolAlerts, "a")
	o := open(t, s)
	if second, err := s.Open(); second != nil || err != nil {
		t.Errorf("opened twice: %v, %v", second, err)
	}
	put(t, s, enrich.SpoolAlerts, "b") // others may put something in meanwhile
	_, texts := claim(t, o, enrich.SpoolAlerts, 5)
	expectTexts(t, []string{"a", "b"}, texts)
	must(t, o.Close())
	must(t, open(t, s).Close())
}

func TestSpoolTrouble(t *testing.T) {
	s := newSpool(t)
	s.Dir = "/dev/null/spool"
	_, err := s.Put(enrich.SpoolAlerts, []byte("a"))
	trouble, ok := errors.AsType[*enrich.Trouble](err)
	if !ok || trouble.Code != enrich.CodeSpool || !strings.Contains(err.Error(), "make /dev/null/spool writable") {
		t.Errorf("error %v", err)
	}
}

// TestSpoolIgnoresOtherFiles puts files beside the entries that are none.
func TestSpoolIgnoresOtherFiles(t *testing.T) {
	s := newSpool(t)
	put(t, s, enrich.SpoolAlerts, "a")
	for _, name := range []string{".new-123", "README", "1-x.0.1.json", "00000000000000000001-x.-1.1.json", "00000000000000000001-x.0.1.json~"} {
		must(t, os.WriteFile(filepath.Join(s.Dir, "alerts", name), []byte("x"), 0o600))
	}
	o := open(t, s)
	_, texts := claim(t, o, enrich.SpoolAlerts, 10)
	expectTexts(t, []string{"a"}, texts)
	must(t, o.Close())
}

// TestSpoolShortEntry has an entry whose file was cut by hand: it says so instead of passing for whole.
func TestSpoolShortEntry(t *testing.T) {
	s := newSpool(t)
	put(t, s, enrich.SpoolAlerts, "abc")
	files, err := filepath.Glob(filepath.Join(s.Dir, "alerts", "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	must(t, os.Truncate(files[0], 1))
	o := open(t, s)
	entries, err := o.Claim(enrich.SpoolAlerts, 1)
	must(t, err)
	if _, err := entries[0].Data(); err == nil || err.Error() != "1 bytes where 3 were put in" {
		t.Errorf("error %v", err)
	}
	must(t, o.Close())
}

// TestSpoolIsShared puts entries in from many sides while one takes them out: each comes out once.
func TestSpoolIsShared(t *testing.T) {
	s := newSpool(t)
	s.Now, s.MaxEntries = time.Now, 10_000
	const writers, each = 8, 50
	done := make(chan error)
	for w := range writers {
		go func() {
			var err error
			for i := range each {
				_, perr := s.Put(enrich.SpoolAlerts, fmt.Appendf(nil, "%d-%d", w, i))
				err = errors.Join(err, perr)
			}
			done <- err
		}()
	}
	var got []string
	for running := writers; running > 0 || len(got) < writers*each; {
		select {
		case err := <-done:
			must(t, err)
			running--
		default:
		}
		o, err := s.Open()
		must(t, err)
		if o == nil {
			continue
		}
		entries, texts := claim(t, o, enrich.SpoolAlerts, 20)
		for _, e := range entries {
			must(t, e.Done())
		}
		must(t, o.Close())
		got = append(got, texts...)
		if running == 0 && len(texts) == 0 {
			break
		}
	}
	slices.Sort(got)
	if len(got) != writers*each || len(slices.Compact(got)) != writers*each {
		t.Errorf("%d entries came out of %d", len(got), writers*each)
	}
}
