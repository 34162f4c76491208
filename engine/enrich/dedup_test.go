package enrich_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

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
	for name, most := range map[string]int64{"sent": 8 * generation, "sent.1": 8 * generation} {
		if st, err := os.Stat(filepath.Join(b.dir, name)); err != nil || st.Size() > most || st.Size() == 0 {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
}

// TestDedupTorn has a file whose last write was cut short: what came before counts, and what comes after.
func TestDedupTorn(t *testing.T) {
	for cut := range int64(9) {
		b := newDedup(t)
		b.send(t, "first", 2, hitEvent("1", "a"), hitEvent("2", "a"))
		must(t, os.Truncate(filepath.Join(b.dir, "sent"), 16-cut))
		b.restart(t)
		want := 0
		if cut > 0 {
			want = 1
		}
		b.send(t, fmt.Sprintf("%d bytes short", cut), want, hitEvent("1", "a"), hitEvent("2", "a"))
		b.send(t, "more", 1, hitEvent("3", "a"))
		b.restart(t)
		b.send(t, "again", 0, hitEvent("1", "a"), hitEvent("2", "a"), hitEvent("3", "a"))
	}
}

func TestDedupTrouble(t *testing.T) {
	if _, err := enrich.NewDedup(&counting{}, "/dev/null/x"); err == nil {
		t.Error("a directory that cannot be made is none")
	}
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "sent"), 0o700))
	if _, err := enrich.NewDedup(&counting{}, dir); err == nil {
		t.Error("a directory is no memory")
	}
}
