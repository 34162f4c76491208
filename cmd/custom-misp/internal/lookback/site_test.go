package lookback

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/history"
	"custom-misp/misp/api"
	"custom-misp/misp/mirror"
	"custom-misp/misp/misptest"
	"custom-misp/misp/source"
)

// begin is when a site begins.
var begin = time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)

const mappings = `version: 1
mappings:
  - {id: plain, match: "true", pick: [{path: data.x, type: auto}]}
  - {id: strict, match: "true", lookup: {tags: [wanted]}, pick: [{path: data.y, type: auto}]}
`

// site is a mirror, a history, and what takes the events.
type site struct {
	t        testing.TB
	dir      string
	now      time.Time
	syncer   *mirror.Syncer
	origin   mirror.Origin
	store    *history.Store
	look     *LookBack
	options  Options
	mutes    []enrich.Mute
	filter   engine.Filter
	engine   *engine.Engine
	got      []enrich.Enrichment
	failFrom int // sends behind this number fail; negative for none
	paused   int
	shown    atomic.Pointer[time.Time] // now, for the history, which works in the background
	tick     func(time.Time)           // moves the clock of the MISP; nil without one
}

var errFull = errors.New("the queue is full")

// Send implements enrich.Sink.
func (s *site) Send(_ context.Context, e enrich.Enrichment) error {
	if s.failFrom >= 0 && len(s.got) >= s.failFrom {
		return errFull
	}
	s.got = append(s.got, e)
	return nil
}

func newSite(t testing.TB, change func(*Options)) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), now: begin, failFrom: -1}
	clock := func() time.Time { return s.now }
	s.shown.Store(new(s.now))
	s.syncer = &mirror.Syncer{Dir: filepath.Join(s.dir, "mirror"), Now: clock}
	t.Cleanup(s.syncer.Close)
	var err error
	if s.engine, err = engine.Load(engine.Source{Name: "m.yaml", Data: []byte(mappings)}); err != nil {
		t.Fatal(err)
	}
	s.store, err = history.Open(t.Context(), history.Options{Dir: filepath.Join(s.dir, "history"), Days: 90, Names: true, Now: func() time.Time { return *s.shown.Load() }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.store.Close() })
	s.list()
	s.options = Options{
		Dir: filepath.Join(s.dir, "lookback"), View: s.store.View, Sink: s, Days: 90, Log: slog.New(slog.DiscardHandler), Now: clock,
		Pause: func(context.Context, time.Duration) error { s.paused++; return nil },
	}
	if change != nil {
		change(&s.options)
	}
	s.restart()
	return s
}

// restart opens the records anew, as a process does that follows one that was killed.
func (s *site) restart() {
	s.t.Helper()
	l, err := Open(s.options)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(l.Close)
	s.look = l
}

const declaration = `version: 1
sources:
  - name: list
    path: list.csv
    format: csv
    csv: {separator: ",", columns: [value, type, to_ids, tags], header: "false"}
    values: [{from: row.value, type_from: row.type}]
    to_ids: row.to_ids != "0"
    tags_from: row.tags
    shrink: 0%
`

// list makes the source a list of values.
func (s *site) list() {
	s.t.Helper()
	sources, faults := source.Load(source.File{Name: "s.yaml", Data: []byte(declaration)})
	if len(faults) > 0 {
		s.t.Fatal(faults)
	}
	s.origin = sources[0].Origin(mirror.Access{Place: filepath.Join(s.dir, "list.csv")})
}

// seen records that a value was seen on an agent, an hour before now.
func (s *site) seen(typ engine.Type, value, mapping string, agents ...string) {
	s.t.Helper()
	s.shown.Store(new(s.now))
	var alerts []history.Seen
	for i, agent := range agents {
		alerts = append(alerts, history.Seen{
			Alert: history.Alert{
				ID: fmt.Sprintf("%d.%s", s.now.Unix(), agent), Rule: "5710", Level: 5, File: "alerts.json", At: s.now.Add(-time.Hour + time.Duration(i)*time.Second),
				Agent: history.Agent{ID: agent, Name: "host-" + agent},
			},
			Observables: []engine.Observable{{Type: typ, Value: value, Picks: []engine.Pick{{Mapping: mapping, Path: "data.x", Type: typ}}}},
		})
	}
	if !s.store.Record(alerts, history.Place{}) {
		s.t.Fatal("not recorded")
	}
	if err := s.store.Commit(); err != nil {
		s.t.Fatal(err)
	}
}

// holds writes the list, and syncs it a minute later. A row is a value, and if they are not the usual ones, its type, whether
// it is flagged, and its tag.
func (s *site) holds(rows ...string) {
	s.t.Helper()
	var text strings.Builder
	for _, row := range rows {
		parts := append(strings.Split(row, ","), []string{"", "hostname", "1", ""}[1+strings.Count(row, ","):]...)
		text.WriteString(strings.Join(parts, ",") + "\n")
	}
	if err := os.WriteFile(filepath.Join(s.dir, "list.csv"), []byte(text.String()), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.sync()
}

func (s *site) sync() {
	s.t.Helper()
	s.now = s.now.Add(time.Minute)
	s.shown.Store(new(s.now))
	if s.tick != nil {
		s.tick(s.now)
	}
	if _, err := s.syncer.Sync(s.t.Context(), s.origin, false); err != nil {
		s.t.Fatal(err)
	}
}

// once looks back.
func (s *site) once() error {
	s.t.Helper()
	m := mirror.Open(s.syncer.Dir, []string{s.origin.Name()}, s.filter)
	defer m.Close()
	m.Now = func() time.Time { return s.now }
	mutes, err := enrich.NewMutes(s.mutes)
	if err != nil {
		s.t.Fatal(err)
	}
	suppress := &enrich.Suppression{Engine: s.engine, Filter: s.filter, Mutes: mutes, Now: func() time.Time { return s.now }}
	return s.look.Once(s.t.Context(), Site{Mirror: m, Pipeline: &enrich.Pipeline{Engine: s.engine, Filter: s.filter, Suppress: suppress}})
}

// wants looks back and compares the events that came since the last time with what is wanted: agent, value, attribute, kind,
// and what a summary stands for.
func (s *site) wants(what string, want ...string) {
	s.t.Helper()
	if err := s.once(); err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
	s.sent(what, want...)
}

func (s *site) sent(what string, want ...string) {
	s.t.Helper()
	var got []string
	for _, e := range s.got {
		b := e.Body
		if b.MatchMode != enrich.ModeRetrospective || b.History == nil || b.Source == nil {
			s.t.Errorf("%s: %+v", what, b)
		}
		line := strings.Join([]string{e.Agent.ID, b.Observable.Value, b.Value, b.MatchKind}, " ")
		if b.Repeats != "" {
			line += " +" + b.Repeats + " " + strings.Join(b.Agents, ",")
		}
		got = append(got, line)
	}
	s.got = nil
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		s.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// mispSite makes the source a MISP.
func mispSite(t *testing.T, change func(*Options)) (*site, *misptest.Server) {
	t.Helper()
	s := newSite(t, change)
	server := misptest.New(t, os.DirFS(t.TempDir()))
	s.tick = server.SetNow
	s.tick(s.now)
	client, err := api.New(api.Config{URL: server.URL, Key: misptest.Key, Timeout: 10 * time.Second, Now: func() time.Time { return s.now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	s.origin = &mirror.Server{Client: client, URL: server.URL}
	return s, server
}
