package mirror

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/misp"
)

// TestMovedAttribute has an attribute under one UUID in an event of the base, then in another that is removed: what the
// base has of it does not come back.
func TestMovedAttribute(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, err := openWriter(context.Background(), dir+"/x", time.Now, nil)
	must(t, err)
	defer w.close() //nolint:errcheck // the lock ends with the file
	in := func(event, value string) misp.Attribute {
		return misp.Attribute{UUID: uuidOf("01"), Type: "domain", Value: value, Event: misp.Event{UUID: uuidOf(event)}}
	}
	other := misp.Attribute{UUID: uuidOf("02"), Type: "domain", Value: "b.example", Event: misp.Event{UUID: uuidOf("e1")}}
	must(t, w.replace(context.Background(), func(b *builder) error {
		add(t, b, in("e1", "a.example"), other)
		return nil
	}, func(*State) {}))
	m := openMirror(t, dir, "x")
	step := func(what string, change func(*changeSet), attributes, events int, want ...string) {
		t.Helper()
		c := changesOf(w.set)
		change(c)
		must(t, w.apply(context.Background(), c, func(*State) {}))
		m.Refresh()
		var got []string
		for _, value := range []string{"a.example", "b.example", "c.example"} {
			got = append(got, found(m, observable("domain", value))...)
		}
		if d := cmp.Diff(want, got); d != "" || w.state.Attributes != attributes || w.state.Events != events {
			t.Errorf("%s: %d attributes of %d events (-want +got):\n%s", what, w.state.Attributes, w.state.Events, d)
		}
		counted(t, m)
	}
	step("moved", func(c *changeSet) { c.Put(in("e2", "c.example")) }, 2, 2, "exact domain b.example", "exact domain c.example")
	step("other event removed", func(c *changeSet) { c.RemoveEvent(identify(uuidOf("e2"))) }, 1, 1, "exact domain b.example")
	step("back", func(c *changeSet) { c.Put(in("e1", "c.example")) }, 2, 1, "exact domain b.example", "exact domain c.example")
	step("replaced", func(c *changeSet) { must(t, c.ReplaceEvent(other.Event, "2", slices.Values([]misp.Attribute{other}))) }, 1, 1, "exact domain b.example")
	step("removed", func(c *changeSet) { c.RemoveEvent(identify(uuidOf("e1"))) }, 0, 0)
}
