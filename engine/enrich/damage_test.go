package enrich_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// TestDrainNewer has a queued alert of a later version in front: it stays, is reported once, and blocks nothing.
func TestDrainNewer(t *testing.T) {
	b := newBench(t)
	b.Circuit.Asked = known()
	log := b.logged()
	put(t, b.Spool, spool.Alerts, text(t, 6))
	newer := filepath.Join(b.Spool.Path, "alerts", "00000000000000000001-JBSWY3DP.0.3.v2.364b3fb7.json")
	must(t, os.WriteFile(newer, []byte("abc"), 0o600))
	b.Drain(t.Context())
	b.Drain(t.Context())
	expect(t, "events", []string{"hit 6"}, short(b.sink.events))
	if n := strings.Count(log.String(), newer+" has version 2, and this program knows up to 1; it is left untouched"); n != 1 {
		t.Errorf("reported %d times: %s", n, log)
	}
	if data, err := os.ReadFile(newer); err != nil || string(data) != "abc" {
		t.Errorf("%q, %v", data, err)
	}
}
