package alertlog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"custom-misp/engine/wazuh/alertlog"
)

// both are the two files of a manager that writes all events, and what reads them.
type both struct {
	t                failer
	alerts, archives *site
	f                *alertlog.ArchiveFollower
	from             *alertlog.Checkpoint
	log              bytes.Buffer
}

func newBoth(t testing.TB) *both {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"alerts", "archives"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	b := &both{t: t, alerts: openSite(t, filepath.Join(dir, "alerts/alerts.json")), archives: openSite(t, filepath.Join(dir, "archives/archives.json"))}
	t.Cleanup(func() { _ = b.f.Close() })
	return b
}

// open begins to read, or goes on behind what was read, as another process would.
func (b *both) open(options ...alertlog.Option) {
	b.t.Helper()
	if b.f != nil {
		if err := b.f.Close(); err != nil {
			b.t.Fatal(err)
		}
	}
	var err error
	options = append(options, alertlog.LogTo(slog.New(slog.NewTextHandler(&b.log, nil))))
	if b.f, err = alertlog.FollowArchive(b.archives.path, b.alerts.path, b.from, options...); err != nil {
		b.t.Fatal(err)
	}
}

// next returns the names of the next events, none if there are none within a time.
func (b *both) next(within time.Duration) (names []string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	for {
		lines, err := b.f.Next(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			return names
		}
		if err != nil {
			b.t.Fatal(err)
		}
		for i, text := range lines.Text {
			if at := lines.End.Offset - lines.Offsets[i]; at < int64(len(text)) || i > 0 && lines.Offsets[i] <= lines.Offsets[i-1] {
				b.t.Fatal("offsets", lines.Offsets, "of lines that end at", lines.End.Offset)
			}
			var event struct{ Name string }
			if err := json.Unmarshal(text, &event); err != nil {
				b.t.Fatal(err)
			}
			names = append(names, event.Name)
		}
		b.keep(lines.End)
	}
}

// keep keeps a checkpoint as a file has it.
func (b *both) keep(c alertlog.Checkpoint) {
	b.t.Helper()
	data, err := json.Marshal(c)
	if err == nil {
		b.from = new(alertlog.Checkpoint)
		err = json.Unmarshal(data, b.from)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// line is an event in either file. Its id is of no use, as in Wazuh's files.
func line(at time.Time, rule, name string) string {
	if rule != "" {
		rule = fmt.Sprintf(`"rule":{"level":3,"id":%q},`, rule)
	}
	return fmt.Sprintf(`{"timestamp":%q,%s"agent":{"id":"001"},"id":"1.1","name":%q}`+"\n", at.Format("2006-01-02T15:04:05.000-0700"), rule, name)
}

// TestArchive returns events without a rule at once, leaves out those with an alert, whichever file has it first, and returns
// those with a rule that raises none when an alert can no longer come.
func TestArchive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoth(t)
		b.open()
		now := time.Now()
		b.archives.write(line(now, "", "no rule"))
		expectNames(t, b.next(200*time.Millisecond), "no rule")
		b.alerts.write(line(now, "5710", "alert first"))
		b.archives.write(line(now, "5710", "alert first"))
		b.archives.write(line(now, "", "behind it"))
		expectNames(t, b.next(200*time.Millisecond), "behind it")
		b.archives.write(line(now, "5711", "event first"))
		expectNames(t, b.next(3*time.Second))
		b.alerts.write(line(now, "5711", "event first"))
		expectNames(t, b.next(time.Minute))
		began := time.Now()
		b.archives.write(line(now, "100", "low level") + line(now, "5711", "alert") + line(now, "", "no rule"))
		expectNames(t, b.next(4*time.Second))
		expectNames(t, b.next(2*time.Second), "low level", "no rule")
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func expectNames(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("events (-want +got):\n%s", diff)
	}
}

// TestArchiveWithoutAlerts has no alerts.json: events with a rule come late, but all of them together.
func TestArchiveWithoutAlerts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoth(t)
		b.open()
		if err := os.Remove(b.alerts.path); err != nil {
			t.Fatal(err)
		}
		big := strings.Repeat("x", 1000)
		var want []string
		for i := range 1000 {
			want = append(want, fmt.Sprint(i, big))
			b.archives.write(line(time.Now(), "100", want[i]))
		}
		expectNames(t, b.next(11*time.Second), want...)
	})
}

// TestArchiveUnreadable cannot read alerts.json: events are returned, and the log says so once.
func TestArchiveUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoth(t)
		b.open()
		b.alerts.write(line(time.Now(), "1", "a"))
		b.alerts.rotate()
		if err := errors.Join(os.Remove(b.alerts.path), os.Mkdir(b.alerts.path, 0o700)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			b.archives.write(line(time.Now(), "2", "b"))
			expectNames(t, b.next(11*time.Second), "b")
		}
		if n := strings.Count(b.log.String(), "may be reported a second time"); n != 1 {
			t.Errorf("logged %d times: %s", n, &b.log)
		}
	})
}

// TestArchiveBehind is hours behind: nothing is waited for, and of the alerts no more is read than can matter.
func TestArchiveBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoth(t)
		at := time.Now().Add(-3 * time.Hour)
		var want []string
		filler := strings.Repeat("x", 1000)
		for i := range 3 * 3600 {
			at = at.Add(time.Second)
			b.alerts.write(line(at, "5710", filler))
			b.archives.write(line(at, "5710", filler))
			if i%100 == 0 && i < 9000 {
				want = append(want, fmt.Sprint("low level ", i))
				b.archives.write(line(at, "100", want[len(want)-1]))
			}
		}
		b.open(alertlog.FromStart())
		began := time.Now()
		lines, err := b.f.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if at := b.f.At().Alerts.Offset; len(lines.Text) == 0 || at > 1<<20 {
			t.Errorf("%d events, alerts are read to %d", len(lines.Text), at)
		}
		got := len(lines.Text)
		for b.f.Behind(lines.End) > 0 {
			if lines, err = b.f.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
			got += len(lines.Text)
		}
		if took := time.Since(began); took > 0 || got != len(want) {
			t.Errorf("%d events of %d after %s", got, len(want), took)
		}
	})
}

// TestArchiveProperty writes events and alerts in the order and with the delays that analysisd can cause, rotates and compresses
// both files, and goes on from the last checkpoint again and again: each event without an alert comes, once, and no other.
func TestArchiveProperty(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBoth(t)
			b.t, b.alerts.t, b.archives.t = r, r, r
			b.open()
			b.keep(b.f.At()) // serve saves it when it begins
			var want, got []string
			var late []string // alerts that are written later than their events
			n := 0
			for range rapid.IntRange(1, 40).Draw(r, "steps") {
				switch rapid.IntRange(0, 9).Draw(r, "step") {
				case 0:
					b.alerts.rotate()
				case 1:
					b.archives.rotate()
				case 2:
					b.archives.rotateSize()
				case 3:
					b.open()
				case 4:
					most := 20_000
					if len(late) > 0 {
						most = 4_000
					}
					got = append(got, b.next(time.Duration(rapid.IntRange(0, most).Draw(r, "ms"))*time.Millisecond)...)
					b.flush(&late)
				case 5:
					b.flush(&late)
					time.Sleep(time.Duration(rapid.IntRange(0, 200).Draw(r, "seconds")) * time.Second)
				default:
					n++
					kind := rapid.SampledFrom([]string{"no rule", "low", "alert", "late"}).Draw(r, "kind")
					name := fmt.Sprint(kind, n)
					rule := map[string]string{"low": "100", "alert": "5710", "late": "5711"}[kind]
					at := time.Now().Add(-time.Duration(rapid.IntRange(0, 20).Draw(r, "age")) * time.Second)
					switch kind {
					case "alert":
						b.alerts.write(line(at, rule, name))
					case "late":
						late = append(late, line(at, rule, name))
					default:
						want = append(want, name)
					}
					b.archives.write(line(at, rule, name))
				}
				if len(late) > 0 && rapid.Bool().Draw(r, "flush") {
					b.flush(&late)
				}
			}
			b.flush(&late)
			got = append(got, b.next(time.Minute)...)
			if diff := cmp.Diff(want, got); diff != "" {
				r.Fatalf("events (-want +got):\n%s", diff)
			}
		})
	})
}

// flush writes the alerts that wait.
func (b *both) flush(late *[]string) {
	b.alerts.write(strings.Join(*late, ""))
	*late = nil
}
