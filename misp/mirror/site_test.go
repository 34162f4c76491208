package mirror

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
	"custom-misp/misp/api"
	"custom-misp/misp/misptest"
)

// begin is when a site begins.
var begin = time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)

// site is a MISP, a mirror of it, and a clock that both go by.
type site struct {
	*misptest.Server
	t      testing.TB
	client *api.Client
	origin *Server
	syncer *Syncer
	mirror *Mirror
	now    time.Time
}

func newSite(t testing.TB, server *misptest.Server) *site {
	t.Helper()
	s := &site{Server: server, t: t, now: begin}
	s.tick(0)
	s.client = newClient(t, server.URL, misptest.Key)
	s.origin = &Server{Client: s.client, URL: server.URL, Warninglists: true}
	s.syncer = newSyncer(t, t.TempDir(), func() time.Time { return s.now })
	s.mirror = openMirror(t, s.syncer.Dir, ServerName)
	s.mirror.Now = s.syncer.Now
	return s
}

func newClient(t testing.TB, url, key string) *api.Client {
	t.Helper()
	client, err := api.New(api.Config{URL: url, Key: key, Timeout: 10 * time.Second, Now: func() time.Time { return begin }})
	must(t, err)
	return client
}

func newSyncer(t testing.TB, dir string, now func() time.Time) *Syncer {
	t.Helper()
	y := &Syncer{
		testOnlyPause: func(time.Duration) {},
		Dir:           dir, Full: UsualFull, Reconcile: UsualReconcile, Overlap: UsualOverlap, Log: slog.New(slog.DiscardHandler), Now: now,
	}
	t.Cleanup(y.Close)
	return y
}

func openMirror(t testing.TB, dir string, origins ...string) *Mirror {
	t.Helper()
	m := Open(dir, origins, engine.Filter{})
	t.Cleanup(m.Close)
	return m
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tick lets time pass.
func (s *site) tick(d time.Duration) {
	s.now = s.now.Add(d)
	s.SetNow(s.now)
}

// sync brings the mirror up to date.
func (s *site) sync() State {
	s.t.Helper()
	return s.syncAs(false)
}

func (s *site) syncAs(full bool) State {
	s.t.Helper()
	state, err := s.syncer.Sync(context.Background(), s.origin, full)
	must(s.t, err)
	s.mirror.Refresh()
	return state
}

// difference compares what the mirror finds for observables with what MISP itself does.
func (s *site) difference(observables []engine.Observable) string {
	s.t.Helper()
	live, err := s.client.Lookup(context.Background(), observables)
	must(s.t, err)
	mirrored, err := s.mirror.Lookup(context.Background(), observables)
	must(s.t, err)
	return diff(live, mirrored)
}

// diff compares matches in any order.
func diff(want, got []enrich.Match) string {
	order := func(m []enrich.Match) []enrich.Match {
		m = slices.Clone(m)
		slices.SortFunc(m, func(a, b enrich.Match) int { return strings.Compare(line(a), line(b)) })
		for i := range m {
			m[i].Attribute.Origin = ""
		}
		return m
	}
	want, got = order(want), order(got)
	if reflect.DeepEqual(want, got) { // much faster
		return ""
	}
	return cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(enrich.Match{}))
}

// line is a match in short.
func line(m enrich.Match) string {
	return fmt.Sprintf("%s %s: %s %s %s %s", m.Observable.Type, m.Observable.Value, m.Kind, m.Attribute.Type, m.Attribute.Value, m.Attribute.UUID)
}

// finds returns what the mirror knows of a value, each as "kind type value".
func (s *site) finds(typ engine.Type, value string, f ...engine.Filter) []string {
	o := observable(typ, value)
	if len(f) > 0 {
		o.Filter = &f[0]
	}
	return found(s.mirror, o)
}

func found(m *Mirror, o engine.Observable) []string {
	lines := []string{}
	for _, match := range matched(m, o) {
		lines = append(lines, fmt.Sprintf("%s %s %s", match.Kind, match.Attribute.Type, match.Attribute.Value))
	}
	slices.Sort(lines)
	return lines
}

// matched returns the matches of one observable, whatever could not be read.
func matched(m *Mirror, o engine.Observable) []enrich.Match {
	matches, _ := m.Lookup(context.Background(), []engine.Observable{o})
	return matches
}

func observable(typ engine.Type, value string) engine.Observable {
	return engine.Observable{Type: typ, Value: value, Picks: []engine.Pick{{Mapping: "m", Path: "p", Type: typ}}}
}

// files returns the names of the files of a set.
func files(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// onlySetAndWalk is onlySet where a walk may have been interrupted.
func onlySetAndWalk(t testing.TB, dir string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, walkFile)); err == nil {
		onlySet(t, dir, walkFile)
		return
	}
	onlySet(t, dir)
}

// onlySet checks that a directory holds the files of its set, and others that are named, and nothing else.
func onlySet(t testing.TB, dir string, others ...string) {
	t.Helper()
	state, err := loadState(dir)
	must(t, err)
	want := append([]string{lockFile, stateFile}, others...)
	for _, name := range []string{state.Base, state.Changes} {
		if name != "" {
			want = append(want, name)
		}
	}
	slices.Sort(want)
	if d := cmp.Diff(want, files(t, dir)); d != "" {
		t.Errorf("files of %s (-want +got):\n%s", filepath.Base(dir), d)
	}
}

// allOf returns every attribute of a mirror.
func allOf(t testing.TB, m *Mirror) (all []misp.Attribute) {
	t.Helper()
	for a, err := range m.All() {
		must(t, err)
		all = append(all, a)
	}
	return all
}

// counted checks that the state counts as many attributes as there are.
func counted(t testing.TB, m *Mirror) {
	t.Helper()
	n := len(allOf(t, m))
	total := 0
	for _, s := range m.States() {
		total += s.Attributes
	}
	if n != total {
		t.Errorf("%d attributes, and the state says %d", n, total)
	}
}
