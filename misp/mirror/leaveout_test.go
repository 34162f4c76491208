package mirror

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp/misptest"
)

// TestNote has one process find damage in a block that another has verified before: the note has the other know it, and
// its next sync fetch the source again, once.
func TestNote(t *testing.T) {
	t.Parallel()
	s := newSite(t, misptest.New(t, fixture))
	s.sync()
	dir := filepath.Join(s.syncer.Dir, ServerName)
	finder := openMirror(t, s.syncer.Dir, ServerName)
	finder.Now = s.mirror.Now
	finder.NoteDamage()
	if _, err := os.Stat(filepath.Join(dir, noteFile)); err == nil {
		t.Fatal("a note about a set that is whole")
	}
	// What finds it is in this process too, so it gets a segment of its own.
	v := finder.view.Load()
	base := v.sets[0].snapshot.base
	damage := errors.New("wrong checksum")
	base.note(damage)
	finder.NoteDamage()
	base.damage.Store(nil)
	if d := s.mirror.Damages(); len(d) != 1 || !d[0].Since.Equal(s.now) || d[0].Err.Error() != damage.Error() {
		t.Errorf("damages by the note: %v", d)
	}
	s.tick(time.Minute)
	if d := openMirrorAt(t, s).Damages(); len(d) != 1 || !d[0].Since.Equal(s.now.Add(-time.Minute)) {
		t.Errorf("damages by the note, later: %v", d)
	}
	if state := s.sync(); !state.FullAt.Equal(s.now) {
		t.Errorf("not fetched again: %+v", state)
	}
	onlySet(t, dir)
	// A note about an earlier set does not count.
	writeNote(dir, note{"base-00000001.segment  2026-10-05T08:00:00Z", "long ago", s.now})
	s.tick(time.Minute)
	if state := s.sync(); state.FullAt.Equal(s.now) || len(s.mirror.Damages()) > 0 {
		t.Errorf("fetched again for an old note: %+v, %v", state, s.mirror.Damages())
	}
}

// openMirrorAt opens the mirror of a site anew, by its clock.
func openMirrorAt(t *testing.T, s *site) *Mirror {
	t.Helper()
	m := openMirror(t, s.syncer.Dir, ServerName)
	m.Now = s.mirror.Now
	return m
}

// TestLeaveOut has a source stay damaged. For ten minutes its look-ups fail, also in processes that begin later; then
// they do without it, and each is counted. Values of other sources are found all the time.
func TestLeaveOut(t *testing.T) {
	t.Parallel()
	s := newSmall(t)
	now := begin
	clock := func() time.Time { return now }
	y := newSyncer(t, s.dir, clock)
	syncList(t, y, NewList("list", file(t, "listed.example\n"), ""))
	must(t, os.Truncate(s.path(s.files[0]), 100))
	type left struct {
		Origin string
		Values int
	}
	var out []left
	open := func() *LeaveOut {
		m := openMirror(t, s.dir, smallName, "list")
		m.Now = clock
		return &LeaveOut{Mirror: m, LeftOut: func(_ context.Context, d Damage, values int) { out = append(out, left{d.Origin, values}) }}
	}
	question := []engine.Observable{s.known[0], observable("domain", "listed.example")}
	ask := func(l *LeaveOut) string {
		matches, err := l.Lookup(t.Context(), question)
		trouble, _ := errors.AsType[*enrich.Trouble](err)
		code := enrich.Code("")
		if trouble != nil {
			code = trouble.Code
		}
		return fmt.Sprintf("%d %s", len(matches), code)
	}
	first := open()
	for _, tt := range []struct {
		after time.Duration
		want  string
	}{
		{0, "1 mirror_damaged"}, {time.Minute, "1 mirror_damaged"}, {UsualLeaveOut - time.Second, "1 mirror_damaged"}, {UsualLeaveOut, "1 "}, {time.Hour, "1 "},
	} {
		now = begin.Add(tt.after)
		for who, l := range map[string]*LeaveOut{"the first process": first, "a later one": open()} {
			if got := ask(l); got != tt.want {
				t.Errorf("%s after %v: %q, want %q", who, tt.after, got, tt.want)
			}
		}
	}
	if d := cmp.Diff(slices.Repeat([]left{{smallName, 2}}, 4), out); d != "" {
		t.Errorf("left out (-want +got):\n%s", d)
	}
	// With the clock set back, it is not known how long the damage lasts.
	now = begin.Add(-time.Hour)
	if got := ask(first); got != "1 " {
		t.Errorf("with the clock set back: %q", got)
	}
	// A source that has to be there is not replaced by others.
	now = begin.Add(time.Hour)
	must := openMirror(t, s.dir, smallName, ServerName)
	must.Now = clock
	if got := ask(&LeaveOut{Mirror: must}); got != "0 mirror_stale" {
		t.Errorf("without the mirror of MISP: %q", got)
	}
}
