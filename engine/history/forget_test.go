package history

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"custom-misp/engine"
)

// TestForget removes a value, a domain, an agent and days from memory, journals and segments: their texts are in no file any
// more.
func TestForget(t *testing.T) {
	t.Parallel()
	domain, err := ParseQuery("bad.example")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		forget Forget
		want   Forgotten
		gone   []string // from all files
		left   []string
	}{
		"value":  {Forget{Values: []Query{OfValue(engine.Indicator{Family: "host", Key: "a.good.example"})}}, Forgotten{Records: 4}, nil, []string{"b.good.example", "bad.example", "x.bad.example"}},
		"domain": {Forget{Values: domain}, Forgotten{Records: 8}, []string{"bad"}, []string{"a.good.example", "b.good.example"}},
		"agent":  {Forget{Agent: "AGENT-7"}, Forgotten{Records: 4, Changed: 4}, []string{"agent-7"}, []string{"a.good.example", "bad.example", "x.bad.example"}},
		"before": {Forget{Before: noon.Add(-24 * time.Hour)}, Forgotten{Records: 8}, nil, []string{"a.good.example", "b.good.example", "bad.example", "x.bad.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := open(t, dir, func(o *Options) { o.entries = 10_000 })
			forgettable(t, s, 3)
			forgettable(t, s, 2)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir, func(o *Options) { o.entries = 10_000 })
			forgettable(t, s, 1)
			forgettable(t, s, 0)
			got, err := s.Forget(t.Context(), tt.forget)
			if diff := gocmp.Diff(tt.want, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			checkLeft(t, s, tt.left, tt.forget.Agent != "")
			for _, text := range tt.gone {
				inNoFile(t, dir, text)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// forgettable records what TestForget forgets, of some days ago.
func forgettable(t *testing.T, s *Store, days int) {
	t.Helper()
	at := noon.Add(-time.Duration(days) * 24 * time.Hour)
	commit(t, s, seen(at, "3", "domain bad.example", "domain x.bad.example", "domain a.good.example"), seen(at, "7", "domain a.good.example", "domain b.good.example"))
}

// checkLeft compares the values that are left; without says that agent-7 is gone.
func checkLeft(t *testing.T, s *Store, want []string, without bool) {
	t.Helper()
	var left []string
	for _, e := range find(t, view(t, s), Query{[]byte{0}, []byte{9}}) {
		left = append(left, e.Key)
		if without && (len(e.Agents) != 1 || e.Agents[0].Name == "agent-7" || e.Alert.Agent.Name == "agent-7") {
			t.Errorf("%+v", e)
		}
	}
	slices.Sort(left)
	if diff := gocmp.Diff(want, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

// inNoFile fails if a file of a directory has a text.
func inNoFile(t *testing.T, dir, text string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil || bytes.Contains(data, []byte(text)) {
			t.Errorf("%s has %q (%v)", name, text, err)
		}
	}
}

// TestImport imports a file twice, a longer one that begins alike, and one of which a part was recorded.
func TestImport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, nil)
	start := []byte(strings.Repeat("x", PrefixLength))
	value := "ip-dst 192.0.2.1"
	count := func() int64 {
		t.Helper()
		v, err := OpenView(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		e, _ := v.Get(engine.Indicator{Family: "ip", Key: "192.0.2.1"})
		return e.Count
	}
	load := func(alerts int) (added int) {
		t.Helper()
		i, err := NewImport(s.o)
		if err == nil {
			err = i.Begin(start)
		}
		for n := range alerts {
			a := seen(noon.Add(-time.Duration(n%3)*24*time.Hour), "3", value)
			a.Alert.Offset = int64(100 * n)
			ok, addErr := i.Add(&a, int64(100*n+100))
			if addErr != nil {
				t.Fatal(addErr)
			}
			if ok {
				added++
			}
		}
		if err == nil {
			err = i.Close(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		return added
	}
	for _, tt := range []struct{ alerts, added int }{{10, 10}, {10, 0}, {25, 15}, {5, 0}} {
		if added := load(tt.alerts); added != tt.added {
			t.Errorf("%d of %d alerts added, want %d", added, tt.alerts, tt.added)
		}
	}
	if n := count(); n != 25 {
		t.Errorf("%d alerts, want 25", n)
	}
	// A file that is followed, recorded from its middle.
	start = []byte(strings.Repeat("y", PrefixLength))
	digest := digestOf(start)
	a := seen(noon, "3", value)
	s.Record([]Seen{a, a}, Place{digest, 500, 700})
	s.Record([]Seen{a}, Place{digest, 700, 800})
	if err := s.Commit(); err != nil {
		t.Fatal(err)
	}
	if added := load(10); added != 9 { // of its day are those at 600; at 500 and 700 there are others
		t.Errorf("%d alerts added beside those that were recorded, want 9", added)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
