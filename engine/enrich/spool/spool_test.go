package spool_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/atomicfile"
	"custom-misp/engine/enrich/spool"
)

// newSpool returns an empty spool whose clock advances by a second each time it is read.
func newSpool(t *testing.T) *spool.Dir {
	t.Helper()
	now := time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)
	return &spool.Dir{Path: filepath.Join(t.TempDir(), "spool"), MaxEntries: 100, MaxBytes: 1 << 20, Now: func() time.Time {
		now = now.Add(time.Second)
		return now
	}}
}

func put(t *testing.T, s *spool.Dir, kind spool.Kind, texts ...string) (dropped int) {
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

func open(t *testing.T, s *spool.Dir) *spool.Consumer {
	t.Helper()
	o, err := s.Open()
	if err != nil || o == nil {
		t.Fatalf("open: %v, %v", o, err)
	}
	return o
}

// claim takes entries and returns them with their texts.
func claim(t *testing.T, o *spool.Consumer, kind spool.Kind, n int) ([]spool.Entry, []string) {
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

func TestOrder(t *testing.T) {
	s := newSpool(t)
	put(t, s, spool.Alerts, "a", "b", "c")
	put(t, s, spool.Events, "x")
	o := open(t, s)
	entries, texts := claim(t, o, spool.Alerts, 2)
	expectTexts(t, []string{"a", "b"}, texts)
	must(t, entries[0].Done())
	must(t, entries[1].Defer())
	_, texts = claim(t, o, spool.Alerts, 5)
	expectTexts(t, []string{"c"}, texts) // this consumer does not claim again what it deferred
	must(t, o.Close())
	depth, err := s.Depth()
	want := spool.Depth{Alerts: 2, Events: 1, Bytes: 3, Oldest: depth.Oldest}
	if err != nil || depth != want || depth.Oldest.Second() != 2 {
		t.Errorf("depth %+v, %v", depth, err)
	}
}

// TestKilledConsumer claims entries and ends without finishing them, as a process does that is killed.
func TestKilledConsumer(t *testing.T) {
	s := newSpool(t)
	put(t, s, spool.Alerts, "a", "b")
	o := open(t, s)
	claim(t, o, spool.Alerts, 5)
	must(t, o.Close())
	o = open(t, s)
	entries, texts := claim(t, o, spool.Alerts, 5)
	expectTexts(t, []string{"a"}, texts) // alone now: it may have been the reason
	must(t, entries[0].Done())
	_, texts = claim(t, o, spool.Alerts, 5)
	expectTexts(t, []string{"b"}, texts)
	must(t, o.Close())
}

func TestDeadLetter(t *testing.T) {
	s := newSpool(t)
	put(t, s, spool.Alerts, "poison", "good")
	for try := range spool.MaxTries {
		o := open(t, s)
		entries, texts := claim(t, o, spool.Alerts, 1)
		expectTexts(t, []string{"poison"}, texts)
		if n := entries[0].Tries(); n != try {
			t.Errorf("tried %d times, want %d", n, try)
		}
		dead, err := entries[0].Fail("MISP answered 500")
		must(t, err)
		if want := try == spool.MaxTries-1; dead != want {
			t.Errorf("after %d tries: dead letter %t", try+1, dead)
		}
		must(t, o.Close())
	}
	o := open(t, s)
	_, texts := claim(t, o, spool.Alerts, 1)
	expectTexts(t, []string{"good"}, texts)
	letters, err := s.DeadLetters()
	if err != nil || len(letters) != 1 || letters[0].Reason != "tried 5 times: MISP answered 500" {
		t.Fatalf("dead letters: %+v, %v", letters, err)
	}
	if data, err := os.ReadFile(letters[0].File); err != nil || string(data) != "poison" {
		t.Errorf("%q, %v", data, err)
	}
	if n, err := o.Retry(); n != 1 || err != nil {
		t.Errorf("retry: %d, %v", n, err)
	}
	must(t, o.Close())
	o = open(t, s)
	_, texts = claim(t, o, spool.Alerts, 1)
	expectTexts(t, []string{"poison"}, texts)
	if left, err := filepath.Glob(filepath.Join(s.Path, "aside", "*", "*")); err != nil || len(left) != 0 {
		t.Errorf("left of the dead letters: %v", left)
	}
	must(t, o.Close())
}

func TestBounds(t *testing.T) {
	s := newSpool(t)
	s.MaxEntries = 3
	if n := put(t, s, spool.Alerts, "a", "b"); n != 0 {
		t.Errorf("%d dropped", n)
	}
	if n := put(t, s, spool.Events, "c", "d", "e"); n != 2 {
		t.Errorf("%d dropped for the number of entries", n)
	}
	s.MaxEntries, s.MaxBytes = 100, 10
	if n := put(t, s, spool.Alerts, "12345678"); n != 1 {
		t.Errorf("%d dropped for the bytes", n)
	}
	o := open(t, s)
	_, alerts := claim(t, o, spool.Alerts, 5)
	expectTexts(t, []string{"12345678"}, alerts)
	_, events := claim(t, o, spool.Events, 5)
	expectTexts(t, []string{"d", "e"}, events)
	must(t, o.Close())
}

func TestOneConsumer(t *testing.T) {
	s := newSpool(t)
	if o, err := s.Open(); o != nil || err != nil {
		t.Errorf("a spool that is not there opens: %v, %v", o, err)
	}
	put(t, s, spool.Alerts, "a")
	o := open(t, s)
	if second, err := s.Open(); second != nil || err != nil {
		t.Errorf("opened twice: %v, %v", second, err)
	}
	put(t, s, spool.Alerts, "b") // others may put something in meanwhile
	_, texts := claim(t, o, spool.Alerts, 5)
	expectTexts(t, []string{"a", "b"}, texts)
	must(t, o.Close())
	must(t, open(t, s).Close())
}

// TestFault has a directory that cannot be made: the error says what to do.
func TestFault(t *testing.T) {
	s := newSpool(t)
	s.Path = "/dev/null/spool"
	_, err := s.Put(spool.Alerts, []byte("a"))
	if err == nil || !strings.HasPrefix(err.Error(), "spool: ") || !strings.Contains(err.Error(), "; make /dev/null/spool writable") {
		t.Errorf("error %v", err)
	}
}

// TestZeroValue has a spool without bounds and clock, and one without a directory.
func TestZeroValue(t *testing.T) {
	var zero spool.Dir
	if _, err := zero.Put(spool.Alerts, []byte("a")); err == nil || !strings.Contains(err.Error(), "no directory") {
		t.Errorf("error %v", err)
	}
	if c, err := zero.Open(); c != nil || err != nil {
		t.Errorf("opened %v, %v", c, err)
	}
	if depth, err := zero.Depth(); depth != (spool.Depth{}) || err != nil {
		t.Errorf("depth %+v, %v", depth, err)
	}
	s := &spool.Dir{Path: filepath.Join(t.TempDir(), "s")}
	if n := put(t, s, spool.Alerts, "a", "b", "c"); n != 0 {
		t.Errorf("%d dropped", n)
	}
	o := open(t, s)
	_, texts := claim(t, o, spool.Alerts, 5)
	expectTexts(t, []string{"a", "b", "c"}, texts)
	must(t, o.Close())
}

// TestReleaseKeepsOrder releases the oldest entry: it comes before those that the consumer knows of.
func TestReleaseKeepsOrder(t *testing.T) {
	s := newSpool(t)
	put(t, s, spool.Alerts, "a", "b")
	o := open(t, s)
	entries, _ := claim(t, o, spool.Alerts, 1)
	must(t, entries[0].Release())
	_, texts := claim(t, o, spool.Alerts, 2)
	expectTexts(t, []string{"a", "b"}, texts)
	must(t, o.Close())
}

// TestRelease claims an entry again that was released; one that failed is left to the next consumer.
func TestRelease(t *testing.T) {
	s := newSpool(t)
	put(t, s, spool.Alerts, "a", "b")
	o := open(t, s)
	entries, _ := claim(t, o, spool.Alerts, 5)
	must(t, entries[0].Release())
	_, err := entries[1].Fail("MISP answered 500")
	must(t, err)
	again, texts := claim(t, o, spool.Alerts, 5)
	expectTexts(t, []string{"a"}, texts)
	must(t, again[0].Done())
	_, texts = claim(t, o, spool.Alerts, 5)
	expectTexts(t, nil, texts)
	must(t, o.Close())
	o = open(t, s)
	_, texts = claim(t, o, spool.Alerts, 5)
	expectTexts(t, []string{"b"}, texts)
	must(t, o.Close())
}

// steps records how files are written in a directory, and has one step fail.
func steps(t *testing.T, dir string, fail atomicfile.Step) *[]string {
	t.Helper()
	word := regexp.MustCompile(`[0-9]{20}-[A-Z2-7]{8}`)
	var done []string
	t.Cleanup(atomicfile.TestOnlyHook(func(s atomicfile.Step, name string) error {
		below, ok := strings.CutPrefix(name, dir)
		if !ok {
			return nil
		}
		done = append(done, string(s)+" "+word.ReplaceAllString(strings.TrimPrefix(below, "/"), "NAME"))
		if s == fail {
			return syscall.ENOSPC
		}
		return nil
	}))
	return &done
}

// TestPutIsDurable records by which steps an entry is put in: nothing is renamed before it is synced, and the parent of each
// new directory is synced before anything is in it.
func TestPutIsDurable(t *testing.T) {
	s := newSpool(t)
	done := steps(t, filepath.Dir(s.Path), "")
	put(t, s, spool.Alerts, "abc")
	const name = "spool/alerts/NAME.0.3.v1.364b3fb7.json"
	write := []string{"create " + name, "write " + name, "sync " + name, "rename " + name, "sync directory spool/alerts"}
	expectTexts(t, append([]string{"make directory spool", "sync directory ", "make directory spool/alerts", "sync directory spool"}, write...), *done)
	*done = nil
	put(t, s, spool.Alerts, "abc")
	expectTexts(t, write, *done)

	// The reason of a dead letter is there before the letter.
	o := open(t, s)
	*done = nil
	entries, _ := claim(t, o, spool.Alerts, 1)
	must(t, entries[0].Reject("not an alert"))
	const reason = "spool/aside/alerts/NAME.0.3.v1.364b3fb7.json.reason"
	expectTexts(t, []string{
		"make directory spool/alerts.claimed", "sync directory spool", "make directory spool/aside", "sync directory spool",
		"make directory spool/aside/alerts", "sync directory spool/aside",
		"create " + reason, "write " + reason, "sync " + reason, "rename " + reason, "sync directory spool/aside/alerts",
	}, *done)
	must(t, o.Close())
}

// TestPutFails has each step fail: Put says so, and no part of an entry is there.
func TestPutFails(t *testing.T) {
	for _, step := range []atomicfile.Step{atomicfile.StepCreate, atomicfile.StepWrite, atomicfile.StepSync, atomicfile.StepRename, atomicfile.StepSyncDir} {
		s := newSpool(t)
		must(t, os.MkdirAll(filepath.Join(s.Path, "alerts"), 0o700))
		steps(t, s.Path, step)
		if _, err := s.Put(spool.Alerts, []byte("abc")); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: error %v, want %v", step, err, syscall.ENOSPC)
		}
		want := 0
		if step == atomicfile.StepSyncDir { // it is in its place already
			want = 1
		}
		if files, err := os.ReadDir(filepath.Join(s.Path, "alerts")); err != nil || len(files) != want {
			t.Errorf("%s: %d files, want %d; %v", step, len(files), want, err)
		}
	}
}

// TestDeadLetterBound has as many dead letters as are kept: another one takes the place of the oldest.
func TestDeadLetterBound(t *testing.T) {
	const most = 1000
	s := newSpool(t)
	put(t, s, spool.Alerts, "a")
	dir := filepath.Join(s.Path, "aside", "alerts")
	must(t, os.MkdirAll(dir, 0o700))
	for i := range most {
		name := filepath.Join(dir, fmt.Sprintf("%020d-x.4.0.json", i))
		must(t, errors.Join(os.WriteFile(name, nil, 0o600), os.WriteFile(name+".reason", nil, 0o600)))
	}
	o := open(t, s)
	entries, _ := claim(t, o, spool.Alerts, 1)
	must(t, entries[0].Reject("not an alert"))
	letters, err := s.DeadLetters()
	must(t, err)
	if n := len(letters); n != most || letters[0].Since.UnixNano() != 1 || letters[n-1].Reason != "not an alert" {
		t.Errorf("%d dead letters from %s to %+v", n, letters[0].Since, letters[n-1])
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 2*most {
		t.Errorf("%d files, %v", len(files), err)
	}
	must(t, o.Close())
}

// TestOtherFiles puts files beside the entries that are not entries.
func TestOtherFiles(t *testing.T) {
	s := newSpool(t)
	put(t, s, spool.Alerts, "a")
	for _, name := range []string{".new-123", "README", "1-x.0.1.json", "00000000000000000001-x.-1.1.json", "00000000000000000001-x.0.1.json~"} {
		must(t, os.WriteFile(filepath.Join(s.Path, "alerts", name), []byte("x"), 0o600))
	}
	o := open(t, s)
	_, texts := claim(t, o, spool.Alerts, 10)
	expectTexts(t, []string{"a"}, texts)
	must(t, o.Close())
}

// TestShortEntry has an entry whose file was cut by hand: it is not taken for a whole one.
func TestShortEntry(t *testing.T) {
	s := newSpool(t)
	put(t, s, spool.Alerts, "abc")
	files, err := filepath.Glob(filepath.Join(s.Path, "alerts", "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	must(t, os.Truncate(files[0], 1))
	o := open(t, s)
	entries, err := o.Claim(spool.Alerts, 1)
	must(t, err)
	if _, err := entries[0].Data(); err == nil || err.Error() != "1 bytes where 3 were put in" {
		t.Errorf("error %v", err)
	}
	must(t, o.Close())
}

// TestShared puts entries in from many sides while one takes them out: each comes out once.
func TestShared(t *testing.T) {
	s := newSpool(t)
	s.Now, s.MaxEntries = time.Now, 10_000
	const writers, each = 8, 50
	done := make(chan error)
	for w := range writers {
		go func() {
			var err error
			for i := range each {
				_, perr := s.Put(spool.Alerts, fmt.Appendf(nil, "%d-%d", w, i))
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
		entries, texts := claim(t, o, spool.Alerts, 20)
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
