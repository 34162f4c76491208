package enrich_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"custom-misp/engine/atomicfile"
	"custom-misp/engine/enrich"
)

// hitEvent is an event about what was found for a value of an alert.
func hitEvent(id, value string) enrich.Enrichment {
	return enrich.Enrichment{Agent: enrich.Agent{ID: "004"}, Body: enrich.Body{
		Value: value, Observable: &enrich.ObservableBody{Type: "md5", Value: value}, Source: &enrich.Source{AlertID: id},
	}}
}

// counting is a sink that counts.
type counting struct {
	n   int
	err error
}

func (c *counting) Send(context.Context, enrich.Enrichment) error {
	if c.err == nil {
		c.n++
	}
	return c.err
}

// dedupBench is a Dedup over a directory, which can be begun again.
type dedupBench struct {
	*enrich.Dedup
	dir        string
	sink       counting
	suppressed int
}

func newDedup(t *testing.T) *dedupBench {
	t.Helper()
	b := &dedupBench{dir: filepath.Join(t.TempDir(), "state")}
	b.begin(t)
	t.Cleanup(func() { must(t, b.Close()) })
	return b
}

func (b *dedupBench) begin(t *testing.T) {
	t.Helper()
	var err error
	b.Dedup, err = enrich.NewDedup(&b.sink, b.dir)
	must(t, err)
	b.Suppressed = func() { b.suppressed++ }
}

func (b *dedupBench) restart(t *testing.T) {
	t.Helper()
	must(t, b.Close())
	b.begin(t)
}

// send sends events and checks how many of them go through.
func (b *dedupBench) send(t *testing.T, what string, want int, events ...enrich.Enrichment) {
	t.Helper()
	sent, suppressed := b.sink.n, b.suppressed
	for _, e := range events {
		must(t, b.Send(t.Context(), e))
	}
	sent, suppressed = b.sink.n-sent, b.suppressed-suppressed
	if sent != want || suppressed != len(events)-want {
		t.Errorf("%s: %d sent and %d suppressed of %d, want %d sent", what, sent, suppressed, len(events), want)
	}
}

func TestDedup(t *testing.T) {
	b := newDedup(t)
	b.send(t, "the same twice", 1, hitEvent("1", "a"), hitEvent("1", "a"))
	other := hitEvent("1", "a")
	other.Agent.ID = "005"
	b.send(t, "others", 3, hitEvent("2", "a"), hitEvent("1", "b"), other)
	b.send(t, "without an id", 2, hitEvent("", "a"), hitEvent("", "a"))
	later, alert := hitEvent("5", "a"), hitEvent("5", "a")
	later.Body.Source.Timestamp, alert.Body.Source.RuleID = "2026-11-25T10:00:00.123+0000", "5710"
	b.send(t, "without a rule: the id is that of an alert before", 2, alert, later, later, alert)
	trouble := enrich.TroubleEvent(enrich.Alert{}, errors.New("unreachable"))
	b.send(t, "about errors", 2, trouble, trouble)

	b.sink.err = errors.New("full")
	if err := b.Send(t.Context(), hitEvent("3", "a")); !errors.Is(err, b.sink.err) {
		t.Errorf("error %v", err)
	}
	b.sink.err = nil
	b.send(t, "what was not sent", 1, hitEvent("3", "a"), hitEvent("3", "a"))
	b.restart(t)
	b.send(t, "after a restart", 1, hitEvent("1", "a"), other, hitEvent("3", "a"), hitEvent("4", "a"))
}

// TestDedupRotates sends more than two generations: the older ones are forgotten, and the files stay small.
func TestDedupRotates(t *testing.T) {
	const generation = 65_536
	b := newDedup(t)
	send := func(from, n int) {
		for i := range n {
			must(t, b.Send(t.Context(), hitEvent(fmt.Sprint(from+i), "a")))
		}
	}
	send(0, generation+10)
	for _, when := range []string{"with two generations", "after a restart"} {
		b.send(t, when, 0, hitEvent("0", "a"), hitEvent(fmt.Sprint(generation-1), "a"), hitEvent(fmt.Sprint(generation+9), "a"))
		b.restart(t)
	}
	send(generation+10, generation)
	b.send(t, "with three", 1, hitEvent("0", "a"), hitEvent(fmt.Sprint(generation), "a"), hitEvent(fmt.Sprint(2*generation), "a"))
	for name, most := range map[string]int64{"sent": 32 + 16*generation, "sent.1": 32 + 16*generation} {
		if st, err := os.Stat(filepath.Join(b.dir, name)); err != nil || st.Size() > most || st.Size() == 0 {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
}

// TestDedupTorn has a file whose last write was cut short: what came before counts, and what comes after.
func TestDedupTorn(t *testing.T) {
	for cut := range int64(17) {
		b := newDedup(t)
		b.send(t, "first", 2, hitEvent("1", "a"), hitEvent("2", "a"))
		must(t, b.Close())
		must(t, os.Truncate(filepath.Join(b.dir, "sent"), 32+2*16-cut))
		b.begin(t)
		want := 0
		if cut > 8 { // else its key is there
			want = 1
		}
		b.send(t, fmt.Sprintf("%d bytes short", cut), want, hitEvent("1", "a"), hitEvent("2", "a"))
		if b.Trouble() != nil {
			t.Errorf("%d bytes short: %v", cut, b.Trouble())
		}
		b.send(t, "more", 1, hitEvent("3", "a"))
		b.restart(t)
		b.send(t, "again", 0, hitEvent("1", "a"), hitEvent("2", "a"), hitEvent("3", "a"))
	}
}

// TestDedupDamaged flips bits of the file everywhere: at most the event of that record comes again, and no other.
func TestDedupDamaged(t *testing.T) {
	b := newDedup(t)
	ids := []string{"1", "2", "3"}
	for _, id := range ids {
		b.send(t, "first", 1, hitEvent(id, "a"))
	}
	must(t, b.Close())
	name := filepath.Join(b.dir, "sent")
	whole, err := os.ReadFile(name)
	must(t, err)
	for i := range whole {
		data := bytes.Clone(whole)
		data[i] ^= 1 << (i % 8)
		must(t, os.WriteFile(name, data, 0o600))
		b.begin(t)
		sent := b.sink.n
		for _, id := range ids {
			must(t, b.Send(t.Context(), hitEvent(id, "a")))
		}
		again := b.sink.n - sent
		if again > 1 || i >= 32 && !errors.Is(b.Trouble(), atomicfile.ErrDamaged) {
			t.Errorf("byte %d: %d events came again, %v", i, again, b.Trouble())
		}
		b.restart(t)
		b.send(t, "again", 0, hitEvent("1", "a"), hitEvent("2", "a"), hitEvent("3", "a"))
		if b.Trouble() != nil {
			t.Errorf("byte %d: it is still damaged: %v", i, b.Trouble())
		}
		must(t, b.Close())
	}
	b.begin(t)
}

// TestDedupUnversioned reads what an earlier program wrote, which writes keys into our files after a downgrade too.
func TestDedupUnversioned(t *testing.T) {
	old, err := os.ReadFile("../../testdata/state-unversioned/sent")
	must(t, err)
	// The events of the hits there.
	first, second := hitEvent("1767600601.100", "list.bad.example"), hitEvent("1767600602.300", "list.bad.example")
	first.Body.Observable.Type, second.Body.Observable.Type = "hostname", "hostname"
	b := newDedup(t)
	b.send(t, "new", 1, hitEvent("1", "a"))
	must(t, b.Close())
	f, err := os.OpenFile(filepath.Join(b.dir, "sent"), os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.Write(old)
	must(t, errors.Join(err, f.Close()))
	must(t, os.WriteFile(filepath.Join(b.dir, "sent.1"), old[:8], 0o600))
	b.begin(t)
	b.send(t, "after a downgrade", 1, first, second, hitEvent("1", "a"), hitEvent("2", "a"))
	must(t, b.Close())

	must(t, os.WriteFile(filepath.Join(b.dir, "sent"), old, 0o600))
	must(t, os.Remove(filepath.Join(b.dir, "sent.1")))
	for _, when := range []string{"first start", "second start"} {
		b.begin(t)
		b.send(t, when, 0, first, second)
		if b.Trouble() != nil {
			t.Errorf("%s: %v", when, b.Trouble())
		}
		must(t, b.Close())
	}
	b.begin(t)
}

// TestDedupNewer has files of a later version: they are left untouched, and what is sent is remembered in memory.
func TestDedupNewer(t *testing.T) {
	for _, name := range []string{"sent", "sent.1"} {
		b := newDedup(t)
		must(t, b.Close())
		file := filepath.Join(b.dir, name)
		const text = "custom-misp sent v2 and whatever comes then"
		must(t, os.WriteFile(file, []byte(text), 0o600))
		b.begin(t)
		newer, ok := errors.AsType[*atomicfile.NewerError](b.Trouble())
		if !ok || newer.File != file || newer.Version != 2 {
			t.Errorf("%s: %v", name, b.Trouble())
		}
		for i := range 65_536 + 10 {
			must(t, b.Send(t.Context(), hitEvent(fmt.Sprint(i), "a")))
		}
		b.send(t, "again", 0, hitEvent("0", "a"), hitEvent("65540", "a"))
		must(t, b.Close())
		if data, err := os.ReadFile(file); err != nil || string(data) != text {
			t.Errorf("%s: %q, %v", name, data, err)
		}
		must(t, os.Remove(file))
		b.begin(t)
	}
}

// TestDedupSlowDisk has a disk that takes nothing while more than a generation of events is sent: none waits for it, and all
// are remembered after a restart.
func TestDedupSlowDisk(t *testing.T) {
	const generation = 65_536
	b := newDedup(t)
	disk := make(chan bool)
	remove := atomicfile.TestOnlyHook(func(_ atomicfile.Step, name string) error {
		if filepath.Dir(name) == b.dir {
			<-disk
		}
		return nil
	})
	defer remove()
	for i := range generation + 10 {
		must(t, b.Send(t.Context(), hitEvent(fmt.Sprint(i), "a")))
	}
	close(disk)
	b.restart(t)
	b.send(t, "again", 0, hitEvent("0", "a"), hitEvent(fmt.Sprint(generation-1), "a"), hitEvent(fmt.Sprint(generation+9), "a"))
}

func TestDedupTrouble(t *testing.T) {
	if _, err := enrich.NewDedup(&counting{}, "/dev/null/x"); err == nil {
		t.Error("a directory that cannot be made is none")
	}
	for what, make := range map[string]func(name string) error{
		"a directory": func(name string) error { return os.Mkdir(name, 0o700) },
		"a pipe":      func(name string) error { return syscall.Mkfifo(name, 0o600) },
		"a hole":      func(name string) error { return errors.Join(os.WriteFile(name, nil, 0o600), os.Truncate(name, 12<<30)) },
	} {
		dir := t.TempDir()
		must(t, make(filepath.Join(dir, "sent")))
		must(t, make(filepath.Join(dir, "sent.1")))
		for _, want := range []error{atomicfile.ErrNotState, nil} {
			d, err := enrich.NewDedup(&counting{}, dir)
			must(t, err)
			if !errors.Is(d.Trouble(), want) {
				t.Errorf("%s: %v, want %v", what, d.Trouble(), want)
			}
			must(t, d.Send(t.Context(), hitEvent("1", "a")))
			must(t, d.Close())
		}
		if n := newCount(t, dir); n != 0 {
			t.Errorf("%s: %d events are forgotten", what, n)
		}
	}
}

// newCount returns how many events of the alert 1 are sent over what dir remembers.
func newCount(t *testing.T, dir string) int {
	t.Helper()
	sink := &counting{}
	d, err := enrich.NewDedup(sink, dir)
	must(t, err)
	must(t, d.Send(t.Context(), hitEvent("1", "a")))
	must(t, d.Close())
	return sink.n
}
