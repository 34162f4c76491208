package enrich_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/enrich/spool"
)

// TestDrainDamaged has queued alerts of which one bit was flipped on the disk, so that each is another alert or none. Each
// becomes a dead letter with a reason, and the alert behind them is looked up.
func TestDrainDamaged(t *testing.T) {
	b := newBench(t)
	b.Circuit.Asked = known()
	const flips = 20
	for i := range flips {
		put(t, b.Spool, spool.Alerts, text(t, 2))
		files, err := filepath.Glob(filepath.Join(b.Spool.Path, "alerts", "*.json"))
		must(t, err)
		file := files[len(files)-1]
		data, err := os.ReadFile(file)
		must(t, err)
		data[i*len(data)/flips] ^= 1 << (i % 8)
		must(t, os.WriteFile(file, data, 0o600))
		b.now = b.now.Add(time.Second)
	}
	put(t, b.Spool, spool.Alerts, text(t, 6))
	done := b.Drain(t.Context())
	if done.DeadLetters != flips || done.Alerts != 1 {
		t.Errorf("done %+v", done)
	}
	expect(t, "events", []string{"error alert_set_aside", "hit 6"}, short(b.sink.events))
	letters, err := b.Spool.DeadLetters()
	must(t, err)
	for _, l := range letters {
		if !strings.HasPrefix(l.Reason, "damaged on disk: ") {
			t.Errorf("reason %q", l.Reason)
		}
	}
}

// damaged is a look-up that needs a damaged part of the mirror for some values, until it is whole.
func damaged(whole *atomic.Bool, values ...string) lookup {
	return func(ctx context.Context, o []engine.Observable) ([]enrich.Match, error) {
		if !whole.Load() && slices.ContainsFunc(o, func(o engine.Observable) bool { return slices.Contains(values, o.Value) }) {
			return nil, &enrich.Trouble{Code: enrich.CodeDamaged, Err: errors.New("the mirror is damaged")}
		}
		return known()(ctx, o)
	}
}

// TestStreamDamagedMirror has a stream in which some alerts need a damaged part of the mirror: those are queued, and the
// others go on. When the mirror is whole again, they are looked up.
func TestStreamDamagedMirror(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStream(t, []string{text(t, 1), text(t, 2), text(t, 3)}, []string{text(t, 4)}, []string{text(t, 2)})
		var whole atomic.Bool
		w.Circuit, w.Lookup = nil, damaged(&whole, "192.31.196.3", "192.31.196.4")
		_, err := w.run(t, time.Minute)
		must(t, err)
		expect(t, "what happened", []string{"sent 1", "done 0", "sent 4", "done 1", "done 2"}, w.read())
		if depth, err := w.Spool.Depth(); err != nil || depth.Alerts != 3 {
			t.Errorf("the spool holds %+v, %v", depth, err)
		}
		put(t, w.Spool, spool.Alerts, text(t, 5))
		if done := w.Drain(t.Context()); done.Alerts != 1 || done.DeadLetters != 0 {
			t.Errorf("drained while it is damaged: %+v", done)
		}
		whole.Store(true)
		if done := w.Drain(t.Context()); done.Alerts != 3 || done.DeadLetters != 0 {
			t.Errorf("drained when it is whole: %+v", done)
		}
	})
}

// TestStreamDamagedBound has more alerts that need the damaged part than are queued: the rest waits.
func TestStreamDamagedBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var texts []string
		for range 1001 {
			texts = append(texts, text(t, 2))
		}
		w := newStream(t, texts, []string{text(t, 1)})
		var whole atomic.Bool
		w.Circuit, w.Lookup = nil, damaged(&whole, "192.31.196.3")
		time.AfterFunc(time.Minute, func() { whole.Store(true) })
		_, err := w.run(t, 2*time.Minute)
		must(t, err)
		expect(t, "what happened", []string{"sent 2", "done 0", "sent 1", "done 1"}, w.read())
		if depth, err := w.Spool.Depth(); err != nil || depth.Alerts != 1000 {
			t.Errorf("the spool holds %+v, %v", depth, err)
		}
	})
}

// TestDrainNewer has a queued alert of a later version in front: it stays, is reported once, and blocks nothing.
func TestDrainNewer(t *testing.T) {
	b := newBench(t)
	b.Circuit.Asked = known()
	log := b.logged()
	put(t, b.Spool, spool.Alerts, text(t, 6))
	newer := filepath.Join(b.Spool.Path, "alerts", "00000000000000000001-JBSWY3DP.0.3.v3.364b3fb7.json")
	must(t, os.WriteFile(newer, []byte("abc"), 0o600))
	b.Drain(t.Context())
	b.Drain(t.Context())
	expect(t, "events", []string{"hit 6"}, short(b.sink.events))
	if n := strings.Count(log.String(), newer+" has version 3, and this program knows up to 2; it is left untouched"); n != 1 {
		t.Errorf("reported %d times: %s", n, log)
	}
	if data, err := os.ReadFile(newer); err != nil || string(data) != "abc" {
		t.Errorf("%q, %v", data, err)
	}
}
