package enrich_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/atomicfile"
	"custom-misp/engine/enrich"
)

// sentEvents is a sink that keeps events, and refuses them while err is set.
type sentEvents struct {
	events []enrich.Enrichment
	err    error
}

func (s *sentEvents) Send(_ context.Context, e enrich.Enrichment) error {
	if s.err == nil {
		s.events = append(s.events, e)
	}
	return s.err
}

// standFor returns how many hits the events stand for.
func (s *sentEvents) standFor(t *testing.T) int {
	t.Helper()
	n := 0
	for _, e := range s.events {
		n++
		if e.Body.Repeats == "" {
			continue
		}
		repeats, err := strconv.Atoi(e.Body.Repeats)
		must(t, err)
		if e.Body.Padded == nil || e.Body.Padded.Repeats != fmt.Sprintf("%08d", repeats) {
			t.Errorf("repeats %s are not padded: %+v", e.Body.Repeats, e.Body.Padded)
		}
		n += repeats
	}
	return n
}

// repeatsBench is a Repeats with a clock, which can be begun again.
type repeatsBench struct {
	*enrich.Repeats
	file   string
	window time.Duration
	storm  int
	sink   sentEvents
	now    time.Time
	why    map[enrich.Reason]int
}

func newRepeats(t *testing.T) *repeatsBench {
	t.Helper()
	b := &repeatsBench{
		file: filepath.Join(t.TempDir(), "state", "repeats"), window: time.Hour,
		now: time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC), why: map[enrich.Reason]int{},
	}
	b.begin(t)
	if err := b.Trouble(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, b.Close()) })
	return b
}

// begin begins anew. What the one before has not written is lost, as after a kill.
func (b *repeatsBench) begin(t *testing.T) {
	t.Helper()
	b.Repeats = enrich.NewRepeats(&b.sink, b.file)
	b.Window, b.Storm, b.Now = b.window, b.storm, func() time.Time { return b.now }
	b.Counted = func(_ enrich.Enrichment, why enrich.Reason) { b.why[why]++ }
}

func (b *repeatsBench) restart(t *testing.T) {
	t.Helper()
	must(t, b.Close())
	b.begin(t)
}

// send sends events and checks how many of them go through.
func (b *repeatsBench) send(t *testing.T, what string, want int, events ...enrich.Enrichment) {
	t.Helper()
	before := len(b.sink.events)
	for _, e := range events {
		must(t, b.Send(t.Context(), e))
	}
	if got := len(b.sink.events) - before; got != want {
		t.Errorf("%s: %d of %d sent, want %d", what, got, len(events), want)
	}
}

// sweep moves the clock and returns the events that are sent because of that.
func (b *repeatsBench) sweep(t *testing.T, after time.Duration) []enrich.Enrichment {
	t.Helper()
	before := len(b.sink.events)
	b.now = b.now.Add(after)
	must(t, b.Sweep(t.Context()))
	return b.sink.events[before:]
}

// knownHit is a hit of alert id, changed.
func knownHit(id string, change ...func(*enrich.Enrichment)) enrich.Enrichment {
	e := hitEvent(id, "gate.bad-cdn.example")
	e.Body.EventID, e.Body.MatchKind, e.Body.ToIDs, e.Body.Event = "25", "exact", "true", &enrich.EventBody{ThreatLevel: "medium"}
	e.Body.Padded = &enrich.Padded{MatchCount: "00001"}
	for _, f := range change {
		f(&e)
	}
	return e
}

func TestRepeats(t *testing.T) {
	b := newRepeats(t)
	b.send(t, "three times", 1, knownHit("1"), knownHit("2"), knownHit("3"))
	b.send(t, "an alert twice", 0, knownHit("2"), knownHit("1"))
	if got := b.sweep(t, 59*time.Minute); len(got) > 0 {
		t.Errorf("sent within the window: %v", got)
	}
	closing := b.sweep(t, time.Minute)
	if len(closing) != 1 || closing[0].Body.Repeats != "1" || closing[0].Body.Source.AlertID != "2" || closing[0].Agent.ID != "004" {
		t.Errorf("at the end of the window: %+v", closing)
	}
	if diff := cmp.Diff(&enrich.Padded{MatchCount: "00001", Repeats: "00000001"}, closing[0].Body.Padded); diff != "" {
		t.Error(diff)
	}
	b.send(t, "in the next window", 1, knownHit("4"))
	if got := b.sweep(t, 2*time.Hour); len(got) > 0 {
		t.Errorf("a window without repeats ended with %v", got)
	}
	if diff := cmp.Diff(map[enrich.Reason]int{enrich.ReasonRepeat: 2, enrich.ReasonSent: 2}, b.why); diff != "" {
		t.Error(diff)
	}
	if n := b.sink.standFor(t); n != 4 {
		t.Errorf("events stand for %d alerts", n)
	}
}

// TestRepeatsCarried has a hit between the end of a window and the sweep.
func TestRepeatsCarried(t *testing.T) {
	b := newRepeats(t)
	b.send(t, "first", 1, knownHit("1"), knownHit("2"), knownHit("3"))
	b.now = b.now.Add(time.Hour)
	b.send(t, "later", 1, knownHit("4"), knownHit("5"))
	if got := b.sink.events[1].Body; got.Repeats != "2" || got.Source.AlertID != "4" {
		t.Errorf("event %+v", got)
	}
	b.sweep(t, time.Hour)
	if n := b.sink.standFor(t); n != 5 || len(b.sink.events) != 3 {
		t.Errorf("%d events stand for %d alerts", len(b.sink.events), n)
	}
}

// TestRepeatsKinds sends hits that differ: none of them may be swallowed.
func TestRepeatsKinds(t *testing.T) {
	body := func(f func(*enrich.Body)) func(*enrich.Enrichment) { return func(e *enrich.Enrichment) { f(&e.Body) } }
	b := newRepeats(t)
	b.send(t, "first", 1, knownHit("0"))
	for name, change := range map[string]func(*enrich.Enrichment){
		"agent":       func(e *enrich.Enrichment) { e.Agent.ID = "005" },
		"agentless":   body(func(b *enrich.Body) { b.Source.Agentless = &enrich.Agentless{Host: "192.0.2.9"} }),
		"value":       body(func(b *enrich.Body) { b.Observable.Value = "other.example" }),
		"event":       body(func(b *enrich.Body) { b.EventID = "26" }),
		"kind":        body(func(b *enrich.Body) { b.MatchKind = "network" }),
		"flag":        body(func(b *enrich.Body) { b.ToIDs = "false" }),
		"threat":      body(func(b *enrich.Body) { b.Event = &enrich.EventBody{ThreatLevel: "high"} }),
		"warninglist": body(func(b *enrich.Body) { b.Warninglists = []string{"x"} }),
		"expired":     body(func(b *enrich.Body) { b.Expired = "true" }),
		"mode":        body(func(b *enrich.Body) { b.MatchMode = enrich.ModeRetrospective }),
	} {
		b.send(t, "another "+name, 1, knownHit(name+"1", change), knownHit(name+"2", change))
	}
	b.send(t, "an event about an error", 2, enrich.TroubleEvent(enrich.Alert{}, errors.New("x")), enrich.TroubleEvent(enrich.Alert{}, errors.New("x")))
}

// TestRepeatsSinkFails checks that a window opens, and closes, only once the sink has taken the event.
func TestRepeatsSinkFails(t *testing.T) {
	b := newRepeats(t)
	full := errors.New("full")
	b.sink.err = full
	for range 2 {
		if err := b.Send(t.Context(), knownHit("1")); !errors.Is(err, full) {
			t.Errorf("error %v", err)
		}
	}
	b.sink.err = nil
	b.send(t, "when there is room", 1, knownHit("1"), knownHit("2"))
	b.sink.err = full
	b.now = b.now.Add(time.Hour)
	if err := b.Sweep(t.Context()); !errors.Is(err, full) {
		t.Errorf("error %v", err)
	}
	b.sink.err = nil
	if got := b.sweep(t, 0); len(got) != 1 {
		t.Errorf("%d events when there is room", len(got))
	}
}

// TestRepeatsRestart checks what is remembered over a restart, and that a shorter window then ends what the longer one began.
func TestRepeatsRestart(t *testing.T) {
	b := newRepeats(t)
	b.storm = 2
	b.restart(t)
	on := func(agent string) func(*enrich.Enrichment) { return func(e *enrich.Enrichment) { e.Agent.ID = agent } }
	b.send(t, "first", 2, knownHit("1"), knownHit("2"), knownHit("3", on("005")), knownHit("4", on("006")))
	b.restart(t)
	b.send(t, "after a restart", 0, knownHit("1"), knownHit("2"), knownHit("5"), knownHit("4", on("006")), knownHit("6", on("007")))
	b.window = time.Second
	b.restart(t)
	got := b.sweep(t, time.Minute)
	b.restart(t)
	got = append(got, b.sweep(t, time.Minute)...)
	if n := b.sink.standFor(t); len(got) != 2 || n != 6 {
		t.Errorf("%d closing events, and all stand for %d alerts", len(got), n)
	}
	for _, e := range got {
		if len(e.Body.Agents) > 0 {
			if diff := cmp.Diff([]string{"006", "007"}, e.Body.Agents); diff != "" {
				t.Error(diff)
			}
		}
	}
}

// TestRepeatsStorm has one value on many agents.
func TestRepeatsStorm(t *testing.T) {
	b := newRepeats(t)
	b.Storm = 10
	for i := range 10_000 {
		e := knownHit(fmt.Sprint(i))
		e.Agent.ID = fmt.Sprintf("%03d", i%500)
		must(t, b.Send(t.Context(), e))
	}
	if len(b.sink.events) != 10 {
		t.Errorf("%d events before the summary", len(b.sink.events))
	}
	b.send(t, "another value", 1, hitEvent("x", "a"))
	closing := b.sweep(t, time.Hour)
	if len(closing) != 11 {
		t.Errorf("%d closing events", len(closing))
	}
	if n := b.sink.standFor(t); n != 10_001 {
		t.Errorf("events stand for %d alerts", n)
	}
	summaries := 0
	for _, e := range closing {
		if len(e.Body.Agents) > 0 {
			summaries++
			if len(e.Body.Agents) != 50 || e.Body.Repeats != "9799" {
				t.Errorf("summary of %d agents with %s repeats", len(e.Body.Agents), e.Body.Repeats)
			}
		}
	}
	if summaries != 1 {
		t.Errorf("%d summaries", summaries)
	}
}

// TestRepeatsKilled kills the program at random, while a reader goes back each time to what was last saved, and counts what the
// events stand for: each alert once.
func TestRepeatsKilled(t *testing.T) {
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
		b := newRepeats(t)
		b.storm = int(seed % 4)
		b.begin(t)
		const alerts = 2000
		sent := map[string]bool{} // by a Dedup, which is killed at no bad moment
		sink := &dedupBy{sent: sent, sink: &b.sink}
		begin := func() {
			b.begin(t)
			b.Repeats = enrich.NewRepeats(sink, b.file)
			b.Window, b.Storm, b.Now = b.window, b.storm, func() time.Time { return b.now }
			b.Sent = func(e enrich.Enrichment) bool { return sent[e.Body.Source.AlertID] }
		}
		begin()
		saved := 0
		for at := 0; at < alerts; at++ {
			e := knownHit(fmt.Sprint(at))
			e.Agent.ID, e.Body.EventID = fmt.Sprint(at%3), fmt.Sprint(at%2)
			must(t, b.Send(t.Context(), e))
			switch random.IntN(100) {
			case 0:
				must(t, b.Flush())
				saved = at + 1
			case 1:
				begin()
				at = saved - 1
			case 2:
				b.now = b.now.Add(time.Duration(random.IntN(50)) * time.Minute)
			case 3:
				must(t, b.Flush())
				must(t, b.Sweep(t.Context()))
				must(t, b.Flush())
				saved = at + 1
			}
		}
		b.sweep(t, time.Hour)
		if n := b.sink.standFor(t); n != alerts {
			t.Errorf("seed %d: %d events stand for %d alerts, want %d", seed, len(b.sink.events), n, alerts)
		}
	}
}

// dedupBy sends an event of an alert once.
type dedupBy struct {
	sent map[string]bool
	sink enrich.Sink
}

func (d *dedupBy) Send(ctx context.Context, e enrich.Enrichment) error {
	if d.sent[e.Body.Source.AlertID] {
		return nil
	}
	d.sent[e.Body.Source.AlertID] = true
	return d.sink.Send(ctx, e)
}

// TestRepeatsCompacts checks that the file stays small.
func TestRepeatsCompacts(t *testing.T) {
	b := newRepeats(t)
	for i := range 400_000 {
		must(t, b.Send(t.Context(), knownHit(fmt.Sprint(i))))
		if i%20_000 == 0 {
			must(t, b.Sweep(t.Context()))
		}
	}
	must(t, b.Flush())
	st, err := os.Stat(b.file)
	must(t, err)
	if st.Size() > 40<<20 {
		t.Errorf("the file has %d bytes", st.Size())
	}
	b.restart(t)
	b.sweep(t, time.Hour)
	if n := b.sink.standFor(t); n != 400_000 || len(b.sink.events) != 2 {
		t.Errorf("%d events stand for %d alerts", len(b.sink.events), n)
	}
}

// TestRepeatsDamage opens files that are not as they were written.
func TestRepeatsDamage(t *testing.T) {
	whole := func(t *testing.T) (*repeatsBench, []byte) {
		t.Helper()
		b := newRepeats(t)
		b.send(t, "first", 1, knownHit("1"), knownHit("2"), knownHit("3"))
		must(t, b.Flush())
		data, err := os.ReadFile(b.file)
		must(t, err)
		return b, data
	}
	for name, tt := range map[string]struct {
		change func([]byte) []byte
		damage error
		sent   int // of the same alerts and a further one
	}{
		"as it was":      {func(d []byte) []byte { return d }, nil, 0},
		"torn":           {func(d []byte) []byte { return d[:len(d)-5] }, nil, 0},
		"torn earlier":   {func(d []byte) []byte { return d[:100] }, nil, 0},
		"changed":        {func(d []byte) []byte { d[90] ^= 1; return d }, atomicfile.ErrDamaged, 0},
		"changed length": {func(d []byte) []byte { d[35] = 0x7f; return d }, atomicfile.ErrDamaged, 1},
		"empty":          {func([]byte) []byte { return nil }, atomicfile.ErrDamaged, 1},
		"another file":   {func([]byte) []byte { return []byte("{\"version\": 1, \"sum\": \"crc32c-00000000\"}") }, atomicfile.ErrDamaged, 1},
	} {
		t.Run(name, func(t *testing.T) {
			b, data := whole(t)
			must(t, os.WriteFile(b.file, tt.change(data), 0o600))
			b.begin(t)
			if err := b.Trouble(); !errors.Is(err, tt.damage) || (err == nil) != (tt.damage == nil) {
				t.Errorf("trouble %v, want %v", err, tt.damage)
			}
			b.send(t, "the same alerts and a further one", tt.sent, knownHit("1"), knownHit("2"), knownHit("3"), knownHit("4"))
			b.restart(t)
			if err := b.Trouble(); err != nil {
				t.Errorf("trouble after a restart: %v", err)
			}
		})
	}
}

// TestRepeatsNewer leaves a file of a later version as it is, and sends everything.
func TestRepeatsNewer(t *testing.T) {
	b := newRepeats(t)
	must(t, b.Close())
	start := "custom-misp repeats v2 "
	newer := fmt.Appendf(nil, "%-31s\n", start+atomicfile.Sum([]byte(start)))
	must(t, os.WriteFile(b.file, newer, 0o600))
	b.begin(t)
	if _, ok := errors.AsType[*atomicfile.NewerError](b.Trouble()); !ok {
		t.Errorf("trouble %v", b.Trouble())
	}
	b.send(t, "everything", 2, knownHit("1"), knownHit("2"))
	b.sweep(t, 2*time.Hour)
	must(t, b.Flush())
	if data, err := os.ReadFile(b.file); err != nil || string(data) != string(newer) {
		t.Errorf("the file is %q, %v", data, err)
	}
}

// FuzzRepeatsFile opens any bytes, and counts after that.
func FuzzRepeatsFile(f *testing.F) {
	dir := f.TempDir()
	r := enrich.NewRepeats(&sentEvents{}, filepath.Join(dir, "repeats"))
	r.Window = time.Hour
	for i := range 3 {
		if err := r.Send(f.Context(), knownHit(fmt.Sprint(i))); err != nil {
			f.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "repeats"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:40])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		name := filepath.Join(t.TempDir(), "repeats")
		must(t, os.WriteFile(name, data, 0o600))
		sink := &sentEvents{}
		r := enrich.NewRepeats(sink, name)
		r.Window = time.Hour
		for i := range 3 {
			must(t, r.Send(t.Context(), knownHit("new"+fmt.Sprint(i))))
		}
		must(t, r.Flush())
		r.Window = 0
		must(t, r.Sweep(t.Context()))
		for _, e := range sink.events {
			if _, err := json.Marshal(e); err != nil {
				t.Error(err)
			}
		}
		must(t, r.Close())
	})
}

// TestRepeatsKilledWhileSending kills the program after the queue has taken an event that says how many hits it stands for, and
// before anything else is written. The alerts are read again.
func TestRepeatsKilledWhileSending(t *testing.T) {
	for _, how := range []string{"at the end of a window", "with the next hit"} {
		b := newRepeats(t)
		sent := map[string]bool{}
		dedup := &dedupBy{sent: sent, sink: &b.sink}
		var onDisk []byte
		begin := func() {
			b.Repeats = enrich.NewRepeats(sinkFunc(func(ctx context.Context, e enrich.Enrichment) error {
				err := dedup.Send(ctx, e)
				if e.Body.Repeats != "" && onDisk == nil {
					onDisk, _ = os.ReadFile(b.file)
				}
				return err
			}), b.file)
			b.Window, b.Now = b.window, func() time.Time { return b.now }
			b.Sent = func(e enrich.Enrichment) bool { return sent[e.Body.Source.AlertID] }
		}
		begin()
		alerts := []string{"1", "2", "3"}
		send := func() {
			for _, id := range alerts {
				must(t, b.Send(t.Context(), knownHit(id)))
			}
		}
		send()
		b.now = b.now.Add(time.Hour)
		if how == "with the next hit" {
			alerts = append(alerts, "4")
			must(t, b.Send(t.Context(), knownHit("4")))
		}
		must(t, b.Sweep(t.Context()))
		if onDisk == nil {
			t.Fatalf("%s: nothing was sent", how)
		}
		must(t, os.WriteFile(b.file, onDisk, 0o600))
		begin()
		send()
		b.now = b.now.Add(time.Hour)
		must(t, b.Sweep(t.Context()))
		if n := b.sink.standFor(t); n != len(alerts) {
			t.Errorf("%s: %d events stand for %d alerts, want %d", how, len(b.sink.events), n, len(alerts))
		}
	}
}
