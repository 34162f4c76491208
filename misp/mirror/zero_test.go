package mirror

import (
	"os"
	"testing"
	"time"

	"custom-misp/misp/api"
	"custom-misp/misp/misptest"
)

// TestZeroMirror uses a Mirror that was not opened: it has no origins, knows nothing, and says so.
func TestZeroMirror(t *testing.T) {
	t.Parallel()
	var m Mirror
	for range 2 {
		if _, err := m.Lookup(t.Context(), asked); err == nil || m.Usable() == nil {
			t.Errorf("look-up without origins: %v", err)
		}
		if got := matched(&m, asked[0]); len(got) > 0 || len(m.States()) > 0 {
			t.Errorf("found %v, states %v", got, m.States())
		}
		for _, a := range allOf(t, &m) {
			t.Errorf("%+v", a)
		}
		m.Refresh()
	}
	m.Close()
}

// TestZeroSyncer gives a Syncer nothing but its directory: the rest is what is usual.
func TestZeroSyncer(t *testing.T) {
	t.Parallel()
	s := newSite(t, misptest.New(t, fixture))
	s.SetNow(time.Time{})
	y := &Syncer{Dir: s.syncer.Dir}
	defer y.Close()
	first, err := y.Sync(t.Context(), s.origin, false)
	must(t, err)
	s.AddAttribute(uuidOf("e1"), `{"type":"domain","value":"new.example"}`)
	second, err := y.Sync(t.Context(), s.origin, false)
	must(t, err)
	if !second.FullAt.Equal(first.FullAt) || second.Attributes != first.Attributes+1 || time.Since(second.SyncedAt) > time.Minute {
		t.Errorf("first %+v, second %+v", first, second)
	}
	if y.full() != 24*time.Hour || y.reconcile() != 10*time.Minute || y.overlap() != 10*time.Minute {
		t.Errorf("times %s, %s, %s", y.full(), y.reconcile(), y.overlap())
	}
}

// TestUnusable syncs what was not made as it has to be: an error says so, and nothing is written.
func TestUnusable(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir) // where a Syncer without a directory would write
	for name, tt := range map[string]struct {
		syncer *Syncer
		origin Origin
	}{
		"no directory":           {&Syncer{}, NewList("mine", "list", "")},
		"zero List":              {&Syncer{Dir: dir}, &List{}},
		"zero Feed":              {&Syncer{Dir: dir}, &Feed{}},
		"zero Server":            {&Syncer{Dir: dir}, &Server{}},
		"a name that leads away": {&Syncer{Dir: dir}, NewList("../x", "list", "")},
		"the directory itself":   {&Syncer{Dir: dir}, NewList(".", "list", "")},
	} {
		if state, err := tt.syncer.Sync(t.Context(), tt.origin, false); err == nil {
			t.Errorf("%s: %+v", name, state)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("written: %v, %v", entries, err)
	}
	// A client that was not made by New is refused by its own error, and the sync reports that.
	if _, err := (&Syncer{Dir: dir}).Sync(t.Context(), &Server{Client: &api.Client{}}, false); err == nil {
		t.Error("synced without a MISP")
	}
}
