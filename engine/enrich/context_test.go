package enrich_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
)

const contextYAML = `
version: 1
mappings:
  - id: a
    match: has("data")
    pick: [{path: data.names, type: hostname, split: ' '}]
    context: [data.image, data.user]
  - id: b
    match: has("data")
    pick: [{path: data.first, type: hostname}]
    context: [data.image, data.other]
`

// manyHits is an alert with so many names, of which the mapping b picks the first too, and a long text of the context.
func manyHits(id string, names, long int) []byte {
	var list strings.Builder
	for i := range names {
		fmt.Fprintf(&list, "h%d.bad.example ", i)
	}
	return fmt.Appendf(nil, `{"rule":{"id":"1"},"id":%q,"data":{"names":%q,"first":"h0.bad.example","image":%q,"user":"u","other":"o"}}`,
		id, strings.TrimSpace(list.String()), strings.Repeat("x", long))
}

// TestContextIsMadeOnce has an alert with a thousand hits and a long context, and counts the bytes that their events take. With a
// copy of the context in each they were 500 MB.
func TestContextIsMadeOnce(t *testing.T) { //nolint:paralleltest // it measures the memory of the process
	e, err := engine.Load(engine.Source{Name: "m.yaml", Data: []byte(contextYAML)})
	must(t, err)
	var events []enrich.Enrichment
	p := enrich.Pipeline{Engine: e, Lookup: known(), Sink: sinkFunc(func(_ context.Context, e enrich.Enrichment) error {
		events = append(events, e)
		return nil
	})}
	a, err := enrich.ParseAlert(manyHits("1", 1000, 500_000))
	must(t, err)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = p.Process(t.Context(), a)
	runtime.ReadMemStats(&after)
	must(t, err)
	made := (after.TotalAlloc - before.TotalAlloc) >> 20
	t.Logf("%d MiB for %d events", made, len(events))
	if made > 50 || len(events) != 1000 {
		t.Errorf("%d MiB for %d events", made, len(events))
	}
	for i, want := range []map[string]int{{"image": 4000, "user": 1, "other": 1}, {"image": 4000, "user": 1}} {
		body := events[i].Body
		got := map[string]int{}
		for key, text := range body.Source.Context {
			got[key] = len(text)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || body.Truncated != "true" {
			t.Errorf("event %d: lengths %v, want %v; truncated %q", i, got, want, body.Truncated)
		}
	}
	a, err = enrich.ParseAlert(manyHits("2", 1, 4000))
	must(t, err)
	_, err = p.Process(t.Context(), a)
	must(t, err)
	if body := events[1000].Body; len(body.Source.Context["image"]) != 4000 || body.Truncated != "" {
		t.Errorf("a context that is just short enough: %d bytes, truncated %q", len(body.Source.Context["image"]), body.Truncated)
	}
}

// TestStreamMakesEventsInTurn has alerts whose events take a note when they are made: those of an alert are sent before those of
// the next are made.
func TestStreamMakesEventsInTurn(t *testing.T) {
	t.Parallel()
	w := newStream(t, []string{text(t, 1), text(t, 2)}, []string{text(t, 3)})
	tags := make([]string, misp.MaxTags)
	for i := range tags {
		tags[i] = fmt.Sprint("tag", i)
	}
	w.Circuit.Asked = known(tags...)
	w.Cut = func(engine.Cut) { w.add("made") }
	w.source.err = io.EOF
	if err := w.Run(t.Context()); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	expect(t, "what happened", []string{"made", "sent 1", "made", "sent 2", "done 0", "made", "sent 3", "done 1"}, w.read())
}
