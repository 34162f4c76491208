package serve

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/enrich"
)

// TestDailyEvent has the counts of a day be the difference, and what waits and is dead what is there now.
func TestDailyEvent(t *testing.T) {
	t.Parallel()
	before := counts{read: 100, lookedUp: 50, hits: 5, sent: 6, cut: 1, lost: 2, muted: 3}
	now := counts{read: 350, lookedUp: 70, hits: 9, sent: 12, cut: 1, lost: 4, muted: 10}
	got := dailyEvent(before, now, 7, 1).Body
	want := enrich.Body{
		Notice:      enrich.NoticeDaily,
		Counts:      &enrich.CountsBody{Read: "250", LookedUp: "20", Hits: "4", Sent: "6", Queued: "7", Cut: "0", Lost: "3", Muted: "7"},
		Description: "in the last 24 hours 250 alerts read, 20 looked up, 4 with hits, 6 events sent, 7 queued, 0 cut, 3 lost, 7 muted",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestChangedFiles names what was changed, is new and is gone, also with blanks in the name.
func TestChangedFiles(t *testing.T) {
	t.Parallel()
	old := "/o/a b.yaml 10 1000 -rw-r-----\n/o/gone 1 1 -rw-r-----\n/o/same 5 5 -rw-r-----\n"
	now := "/o/a b.yaml 10 2000 -rw-r-----\n/o/same 5 5 -rw-r-----\n/o/new 1 1 -rw-r-----\n"
	if diff := cmp.Diff([]string{"/o/a b.yaml", "/o/gone", "/o/new"}, changedFiles(old, now)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := changedFiles(now, now); len(got) > 0 {
		t.Errorf("nothing changed: %v", got)
	}
}
