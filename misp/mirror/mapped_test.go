package mirror

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"custom-misp/engine"
	"custom-misp/misp"
	"custom-misp/misp/misptest"
)

// TestOpenedOnce opens a file twice: it is mapped once, also if only the second one compares it with its sum.
func TestOpenedOnce(t *testing.T) {
	t.Parallel()
	s, name := build(t, func(b *builder) {
		add(t, b, misp.Attribute{UUID: uuidOf("01"), Type: "domain", Value: "evil.example"})
	})
	s.checked.Store(false)
	unchecked, err := openSegment(context.Background(), name, maxSegment, false)
	must(t, err)
	defer unchecked.release()
	if unchecked != s || s.checked.Load() {
		t.Errorf("another segment: %t, compared: %t", unchecked != s, s.checked.Load())
	}
	checked, err := openSegment(context.Background(), name, maxSegment, true)
	must(t, err)
	defer checked.release()
	if checked != s || !s.checked.Load() {
		t.Errorf("another segment: %t, compared: %t", checked != s, s.checked.Load())
	}
}

// isMapped reports whether a segment is mapped.
func isMapped(s *segment) bool {
	opened.Lock()
	defer opened.Unlock()
	return opened.segments[s.id] == s && s.data != nil
}

// TestUsers goes through the uses of a base: by the Syncer, by the Mirror, and by an iteration in flight. It stays
// mapped for the last of them, though its file is gone, and no longer.
func TestUsers(t *testing.T) {
	t.Parallel()
	s := newSite(t, misptest.New(t, fixture))
	s.sync()
	base := s.mirror.view.Load().sets[0].snapshot.base
	mapped := func(what string, want bool) {
		t.Helper()
		if got := isMapped(base); got != want {
			t.Errorf("%s: mapped: %t", what, got)
		}
	}
	n := 0
	for _, err := range s.mirror.All() {
		must(t, err)
		if n++; n > 1 {
			continue
		}
		s.syncAs(true) // Syncer and Mirror have another base now
		if _, err := os.Stat(filepath.Join(s.syncer.Dir, ServerName, "base-00000001.segment")); !os.IsNotExist(err) {
			t.Errorf("the file of the old base: %v", err)
		}
		mapped("in an iteration that began before the sync", true)
	}
	mapped("after the iteration", false)
	if n != 15 {
		t.Errorf("%d attributes", n)
	}

	base = s.mirror.view.Load().sets[0].snapshot.base
	s.syncer.Close()
	mapped("closed by the Syncer", true)
	s.mirror.Close()
	mapped("closed by the Mirror too", false)
	if s.mirror.Refresh() {
		t.Error("refreshed after Close")
	}
	if got := s.finds("domain", "evil.example"); len(got) != 1 || s.mirror.Usable() != nil || s.mirror.States()[0].Attributes != 15 {
		t.Errorf("a closed mirror finds %v: %v", got, s.mirror.Usable())
	}
	s.mirror.Close()
	s.sync()
	s.syncer.Close()
	opened.Lock()
	defer opened.Unlock()
	for id, open := range opened.segments {
		if id == base.id {
			t.Errorf("a closed mirror keeps a file open, with %d users", open.users)
		}
	}
}

// TestReleasedTooOften releases a segment that has no users: a fault that must not go unnoticed.
func TestReleasedTooOften(t *testing.T) {
	t.Parallel()
	s, _ := build(t, func(b *builder) { add(t, b, generated(0)) })
	s.retain()
	s.release()
	if !isMapped(s) {
		t.Error("closed with a user left")
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	(&segment{}).release()
}

// TestFailedOpen has the second file of a set fail to open: the first one is released.
func TestFailedOpen(t *testing.T) {
	t.Parallel()
	s := newSite(t, misptest.New(t, fixture))
	s.sync()
	s.tick(time.Minute)
	s.EditAttribute(uuidOf("01"), `{"comment":"x"}`)
	state := s.sync()
	s.syncer.Close()
	s.mirror.Close()
	dir := filepath.Join(s.syncer.Dir, ServerName)
	must(t, os.WriteFile(filepath.Join(dir, state.Changes), []byte("cut off"), 0o600))
	base, err := openSegment(context.Background(), filepath.Join(dir, state.Base), maxSegment, false)
	must(t, err)
	if _, err := openSnapshot(dir, nil); err == nil {
		t.Error("opened")
	}
	base.release()
	if isMapped(base) {
		t.Error("still mapped")
	}
}

// TestLookupsWhileReplaced has look-ups run while the files below them are replaced and closed as fast as can be: none
// reads a file that is no longer mapped, and none finds less than there is.
func TestLookupsWhileReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	y := newSyncer(t, dir, nil)
	g := &generations{}
	_, err := y.Sync(t.Context(), g, false)
	must(t, err)
	m := openMirror(t, dir, g.Name())
	stop := make(chan struct{})
	var readers sync.WaitGroup
	defer readers.Wait()
	defer close(stop)
	for i := range 4 {
		a := generated(i)
		o := observable(engine.Type(a.Type), a.Value)
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if matches, err := m.Lookup(context.Background(), []engine.Observable{o}); err != nil || len(matches) != 1 {
					t.Errorf("%d matches, %v", len(matches), err)
					return
				}
				if err := oneGeneration(m); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range times(20, 50) {
		_, err := y.Sync(t.Context(), g, false)
		must(t, err)
		m.Refresh()
	}
	m.Close()
	for range 10 {
		_, err := y.Sync(t.Context(), g, false)
		must(t, err)
	}
}

// oneGeneration checks that all attributes are of one sync.
func oneGeneration(m *Mirror) error {
	var first misp.Attribute
	n := 0
	for a, err := range m.All() {
		if err != nil {
			return err
		}
		if n++; n == 1 {
			first = a
		}
		if a.Comment != first.Comment {
			return fmt.Errorf("attributes of syncs %s and %s", first.Comment, a.Comment)
		}
	}
	if n < perGeneration {
		return fmt.Errorf("%d attributes", n)
	}
	return nil
}

// TestViewReleased retains a view that its last user has released: its files may be closed by then.
func TestViewReleased(t *testing.T) {
	t.Parallel()
	v := &view{}
	v.users.Store(1)
	if !v.retain() {
		t.Error("not retained, with a user")
	}
	v.release()
	v.release()
	if v.retain() {
		t.Error("retained without a user")
	}
}
