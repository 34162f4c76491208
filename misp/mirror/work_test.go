package mirror

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
)

// mirrorOf makes a mirror of attributes.
func mirrorOf(t *testing.T, n int, of func(i int) misp.Attribute) *Mirror {
	t.Helper()
	dir := t.TempDir()
	w, err := openWriter(t.Context(), filepath.Join(dir, "mine"), time.Now, nil)
	must(t, err)
	must(t, w.replace(t.Context(), func(b *builder) error {
		for i := range n {
			must(t, b.Add(of(i), ""))
		}
		return nil
	}, func(*State) {}))
	must(t, w.close())
	return openMirror(t, dir, "mine")
}

// TestManyNamesBelowADomain looks up 1,000 names below a domain with 5,000 attributes, and a weaker value beside them. There
// were 5 million matches, of 2.6 GB. Each attribute is read once, and each value keeps its strongest.
func TestManyNamesBelowADomain(t *testing.T) { // not parallel: it measures memory
	m := mirrorOf(t, 5001, func(i int) misp.Attribute {
		a := misp.Attribute{UUID: fmt.Sprint(i), Type: "domain", Value: "bad.example", ToIDs: true, Timestamp: time.Unix(int64(i+1), 0), Event: misp.Event{UUID: "e"}}
		if i == 5000 {
			a.Value, a.ToIDs = "other.example", false
		}
		return a
	})
	var asked []engine.Observable
	for i := range 1000 {
		asked = append(asked, engine.Observable{Type: "hostname", Value: fmt.Sprintf("h%d.bad.example", i)})
	}
	asked = append(asked, engine.Observable{Type: "hostname", Value: "other.example"})
	before := allocated()
	matches, err := m.Lookup(t.Context(), asked)
	if used := allocated() - before; err != nil || used > 48<<20 {
		t.Errorf("%d bytes, %v", used, err)
	}
	read := map[*misp.Attribute]bool{}
	of := map[string][]enrich.Match{}
	for _, match := range matches {
		read[match.Attribute] = true
		of[match.Observable.Value] = append(of[match.Observable.Value], match)
	}
	if len(matches) > enrich.MaxAnswer || len(read) > 5001 || len(of) != len(asked) {
		t.Errorf("%d matches with %d attributes of %d values", len(matches), len(read), len(of))
	}
	if other := of["other.example"]; len(other) != 1 || other[0].More {
		t.Errorf("the other value: %+v", other)
	}
	for value, mine := range of {
		if value != "other.example" && (!mine[0].More || !mine[0].Attribute.Timestamp.Equal(time.Unix(5000, 0))) {
			t.Fatalf("%s: %+v", value, mine[0])
		}
	}
	if few, err := m.Lookup(t.Context(), asked[:1]); err != nil || len(few) != 5000 {
		t.Errorf("%d matches of one name, %v", len(few), err)
	}
}

// TestLargeEvents looks up a value with 10,000 attributes of one event with 500 tags of 1,000 bytes, and one whose 2,000
// events have as many tags each. The first took 5 GB, as the event was read for each attribute.
func TestLargeEvents(t *testing.T) { // not parallel: it measures memory
	var tags []string
	for i := range 500 {
		tags = append(tags, fmt.Sprintf("%03d", i)+strings.Repeat("x", 997))
	}
	for name, events := range map[string]int{"one event": 1, "many events": 400} {
		n := map[int]int{1: 10_000}[events] + events
		m := mirrorOf(t, n, func(i int) misp.Attribute {
			return misp.Attribute{UUID: fmt.Sprint(i), Type: "domain", Value: "bad.example", Tags: tags, Event: misp.Event{UUID: fmt.Sprint("e", i%events), Tags: tags}}
		})
		before := allocated()
		matches, err := m.Lookup(t.Context(), []engine.Observable{{Type: "domain", Value: "bad.example"}})
		used := allocated() - before
		t.Logf("%s: %d matches, %d bytes", name, len(matches), used)
		if err != nil || used > maxWork+64<<20 || len(matches) == 0 || events > 1 != matches[0].More && n < enrich.MaxMatches {
			t.Errorf("%s: %d matches, %d bytes, %v", name, len(matches), used, err)
		}
		held := map[string]int{}
		for _, m := range matches {
			if len(m.Attribute.Tags) > 0 {
				held[fmt.Sprintf("%p", m.Attribute.Tags)] = len(m.Attribute.Tags) * 1000
			}
		}
		all := 0
		for _, n := range held {
			all += n
		}
		if all > 33<<20 {
			t.Errorf("%s: the matches hold %d bytes of tags", name, all)
		}
	}
}

// TestShareOfWork gives many values, each with many attributes, a share of what may be read.
func TestShareOfWork(t *testing.T) {
	t.Parallel()
	m := mirrorOf(t, 2000, func(i int) misp.Attribute {
		return misp.Attribute{UUID: fmt.Sprint(i), Type: "domain", Value: fmt.Sprintf("v%d.example", i%20), Event: misp.Event{UUID: "e"}}
	})
	var asked []engine.Observable
	for i := range 20 {
		asked = append(asked, engine.Observable{Type: "domain", Value: fmt.Sprintf("v%d.example", i)})
	}
	for work, want := range map[int]int{20 * 100 * 400: 100, 20 * 400: 1} {
		v := m.use()
		in := search{ctx: t.Context(), set: v.sets[0], observables: asked, found: *enrich.NewAnswer(asked, engine.Filter{}, time.Now()), left: work}
		must(t, in.run())
		v.release()
		of := map[string]int{}
		more := false
		for _, m := range in.found.Matches() {
			of[m.Observable.Value]++
			more = more || m.More
		}
		for _, o := range asked {
			if n := of[o.Value]; want == 100 && n != 100 || n < 1 || want == 1 && n > 20 {
				t.Errorf("work %d: %d of %s", work, n, o.Value)
			}
		}
		if more != (want == 1) {
			t.Errorf("work %d: more %t", work, more)
		}
	}
}

// TestSlowSource has a feed whose server sends a byte now and then, for ever: the sync ends, and its state says why.
func TestSlowSource(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for tick := time.NewTicker(10 * time.Millisecond); ; {
			_, _ = w.Write([]byte("#"))
			_ = http.NewResponseController(w).Flush()
			select {
			case <-tick.C:
			case <-r.Context().Done():
				tick.Stop()
				return
			}
		}
	}))
	defer server.Close()
	y := newSyncer(t, t.TempDir(), time.Now)
	y.Most = 100 * time.Millisecond
	state, err := y.Sync(t.Context(), NewList("slow", server.URL, ""), false)
	if err == nil || !strings.Contains(err.Error(), "the sync took more than 100ms") || !strings.Contains(state.Failure, "took more than") {
		t.Errorf("%v; %+v", err, state)
	}
}
