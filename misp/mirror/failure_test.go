package mirror

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/engine/atomicfile"
	"custom-misp/engine/enrich"
	"custom-misp/misp/misptest"
)

// two pages of attributes.
const twoPages = 6000

// when returns a fault that answers searches that fit, and lets MISP answer the others.
func when(s *misptest.Server, fits func(q map[string]any) bool, answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		requests := s.Requests()
		if last := requests[len(requests)-1]; last.Path == r.URL.Path && fits(last.Body) {
			answer(w, r)
			return
		}
		s.Answer(w, r)
	}
}

// reads fits the question for all attributes of some events, if an event is among them.
func reads(id string) func(map[string]any) bool {
	return func(q map[string]any) bool {
		events, _ := q["eventid"].([]any)
		return q["timestamp"] == nil && slices.Contains(events, any(id))
	}
}

func text(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// TestFailures has a walk and a poll fail in every way that a MISP, or a proxy before it, can: the set stays what it
// was, the state says why, and the next sync works.
func TestFailures(t *testing.T) {
	t.Parallel()
	s := newSite(t, misptest.NewGenerated(t, twoPages))
	s.sync()
	_, known := misptest.Generated(twoPages - 1)
	broken := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"response":{"Attribute":[{"id":"1","type":"dom`))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	for i, tt := range []struct {
		name   string
		answer http.HandlerFunc
		code   enrich.Code
	}{
		{"500", text(500, "application/json", `{"message":"An Internal Error Has Occurred."}`), enrich.CodeUnavailable},
		{"HTML", text(200, "text/html", "<html>Log in</html>"), enrich.CodeBadAnswer},
		{"half an answer", text(200, "application/json", `{"response":{"Attribute":[{"id":"1","ty`), enrich.CodeBadAnswer},
		{"another answer", text(200, "application/json", `{"response":[]}`), enrich.CodeBadAnswer},
		{"null", text(200, "application/json", `null`), enrich.CodeBadAnswer},
		{"lost connection", broken, enrich.CodeUnavailable},
		{"refused", text(403, "application/json", `{"message":"Authentication failed."}`), enrich.CodeUnauthorized},
		{"sent elsewhere", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/users/login", http.StatusFound) }, enrich.CodeUnavailable},
	} {
		fail := func(what string, fits func(map[string]any) bool, full bool) {
			t.Helper()
			before := s.mirror.States()[0]
			s.tick(time.Minute)
			s.Fault(when(s.Server, fits, tt.answer))
			state, err := s.syncer.Sync(context.Background(), s.origin, full)
			trouble, _ := errors.AsType[*enrich.Trouble](err)
			if err == nil || trouble == nil || trouble.Code != tt.code || state.Failure == "" || !state.FailedAt.Equal(s.now) {
				t.Errorf("%s, %s: error %v, state %+v", tt.name, what, err, state)
			}
			s.mirror.Refresh()
			want := before
			if what == "list of events" { // what the poll has found is kept
				want = state
				want.Reconciled, want.Base, want.FullAt = before.Reconciled, before.Base, before.FullAt
			}
			want.Failure, want.FailedAt, want.Walk, want.Recent = state.Failure, state.FailedAt, state.Walk, state.Recent
			want.Failures, want.RetryAt = before.Failures+1, state.RetryAt
			if d := cmp.Diff(want, s.mirror.States()[0]); d != "" {
				t.Errorf("%s, %s: state (-want +got):\n%s", tt.name, what, d)
			}
			if len(s.finds("md5", known)) != 1 {
				t.Errorf("%s, %s: the set is another", tt.name, what)
			}
			onlySetAndWalk(t, s.syncer.Dir+"/misp")
		}
		if i%3 == 0 { // a walk takes its time
			fail("second page of a walk", reads("5"), true)
		}
		s.AddAttribute(misptest.GeneratedEventUUID(0), `{"type":"domain","value":"new.example"}`)
		fail("poll by timestamp", func(q map[string]any) bool { return q["timestamp"] != nil }, false)
		fail("poll by publication", func(q map[string]any) bool { return q["publish_timestamp"] != nil }, false)
		s.now = s.now.Add(UsualReconcile)
		fail("list of events", func(q map[string]any) bool { return q["minimal"] != nil }, false)
		s.Fault(nil)
		if state := s.sync(); state.Failure != "" || !state.FailedAt.IsZero() || state.Attributes != twoPages+i+1 {
			t.Errorf("%s: after a sync that worked, state %+v", tt.name, state)
		}
		if got := s.finds("domain", "new.example"); len(got) != i+1 {
			t.Errorf("%s: found %q", tt.name, got)
		}
	}
	if d := s.difference([]engine.Observable{observable("md5", known), observable("domain", "new.example")}); d != "" {
		t.Errorf("in the end (-misp +mirror):\n%s", d)
	}
}

// TestNever has a first sync fail: there is nothing to look up in, and the error says why.
func TestNever(t *testing.T) {
	t.Parallel()
	s := newSite(t, misptest.New(t, fixture))
	err := s.mirror.Usable()
	trouble, _ := errors.AsType[*enrich.Trouble](err)
	if trouble == nil || trouble.Code != enrich.CodeMirror || !errors.Is(err, ErrNever) || !strings.Contains(trouble.Remedy, "custom-misp sync") {
		t.Errorf("before the first sync: %v", err)
	}
	if d := cmp.Diff([]State{{Origin: ServerName}}, s.mirror.States()); d != "" {
		t.Errorf("states (-want +got):\n%s", d)
	}
	s.origin.Client = newClient(t, s.URL, "wrong-key")
	for range 2 {
		if _, err = s.syncer.Sync(t.Context(), s.origin, false); err == nil {
			t.Fatal("synced with a wrong key")
		}
	}
	s.mirror.Refresh()
	if _, err := s.mirror.Lookup(t.Context(), asked); err == nil || !strings.Contains(err.Error(), "Authentication failed") || strings.Contains(err.Error(), "wrong-key") {
		t.Errorf("look-up: %v", err)
	}
	if got := s.mirror.States()[0]; !strings.Contains(got.Failure, "Authentication failed") || got.Kind != KindMISP || got.Place != s.URL {
		t.Errorf("state %+v", got)
	}
	// A feed that was synced does not replace a MISP that was not.
	both := openMirror(t, s.syncer.Dir, "list", ServerName)
	syncList(t, s.syncer, NewList("list", file(t, "evil.example\n"), ""))
	both.Refresh()
	if both.Usable() == nil {
		t.Error("usable without MISP")
	}
	s.origin.Client = s.client
	s.sync()
	both.Refresh()
	if err := errors.Join(both.Usable(), openMirror(t, s.syncer.Dir, ServerName, "never").Usable()); err != nil {
		t.Error(err)
	}
	if d := cmp.Diff([]string{"exact domain evil.example", "exact domain evil.example"}, found(both, observable("domain", "evil.example"))); d != "" {
		t.Errorf("found in both (-want +got):\n%s", d)
	}
}

// TestCancelled stops a sync: the set stays, and no failure is noted, because nothing is wrong.
func TestCancelled(t *testing.T) {
	t.Parallel()
	s := newSite(t, misptest.NewGenerated(t, twoPages))
	want := s.sync()
	ctx, cancel := context.WithCancel(t.Context())
	s.Fault(when(s.Server, reads("5"), func(w http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() }))
	if _, err := s.syncer.Sync(ctx, s.origin, true); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	s.mirror.Refresh()
	if d := cmp.Diff([]State{want}, s.mirror.States()); d != "" {
		t.Errorf("state (-want +got):\n%s", d)
	}
	onlySet(t, s.syncer.Dir+"/misp", walkFile)
}

// TestMovedWalk changes what was read and what was not while MISP is walked: events are deleted, attributes are deleted for
// good, edited and added. Afterwards the mirror is as MISP is.
func TestMovedWalk(t *testing.T) {
	t.Parallel()
	s := newSite(t, misptest.NewGenerated(t, 9000))
	var change sync.Mutex // an answer may be read before its handler ends
	changed := 0
	s.Fault(func(w http.ResponseWriter, r *http.Request) {
		change.Lock()
		defer change.Unlock()
		s.Answer(w, r)
		if last := s.Requests()[len(s.Requests())-1]; last.Path != "/attributes/restSearch" || changed > 4 {
			return
		}
		s.tick(10 * time.Second)
		s.DeleteEvent(misptest.GeneratedEventUUID(changed))
		for i := range 40 {
			s.HardDelete(misptest.GeneratedUUID(5000 + 100*changed + i))
			s.HardDelete(misptest.GeneratedUUID(8000 + 100*changed + i))
		}
		s.EditAttribute(misptest.GeneratedUUID(5900+changed), `{"comment":"edited"}`)
		s.AddAttribute(misptest.GeneratedEventUUID(8), `{"type":"domain","value":"new.example"}`)
		s.PullEvent(late(fmt.Sprintf("d%d", changed), fmt.Sprintf("c%d", changed), "late.example"))
		changed++
	})
	s.sync()
	s.Fault(nil)
	change.Lock()
	defer change.Unlock()
	if changed < 3 {
		t.Errorf("%d changes only", changed)
	}
	s.tick(time.Minute)
	s.sync() // what was changed in the second of the last list
	all := []engine.Observable{observable("domain", "new.example"), observable("domain", "late.example")}
	for i := range 9000 {
		typ, value := misptest.Generated(i)
		all = append(all, observable(engine.Type(typ), value))
	}
	for part := range slices.Chunk(all, 1000) {
		if d := s.difference(part); d != "" {
			t.Fatalf("(-misp +mirror):\n%s", d)
		}
	}
	onlySet(t, s.syncer.Dir+"/misp")
}

// TestBusy has another process come while one syncs.
func TestBusy(t *testing.T) {
	t.Parallel()
	s := newSite(t, misptest.New(t, fixture))
	var busy error
	s.Fault(func(w http.ResponseWriter, r *http.Request) {
		if busy == nil {
			_, busy = newSyncer(t, s.syncer.Dir, s.syncer.Now).Sync(context.Background(), s.origin, false)
		}
		s.Answer(w, r)
	})
	s.sync()
	if !errors.Is(busy, ErrBusy) {
		t.Errorf("the other got %v", busy)
	}
	s.sync() // the lock is free again
}

// TestReaders has readers look up, refresh and open the set again while it is synced and merged.
func TestReaders(t *testing.T) {
	t.Parallel()
	s := newSite(t, misptest.New(t, fixture))
	s.syncer.testOnlyLeastBase = 3
	s.sync()
	s.mirror.Now = func() time.Time { return begin } // the site's clock is not for several
	stop := make(chan struct{})
	var readers sync.WaitGroup
	defer readers.Wait()
	defer close(stop)
	for i := range 3 {
		readers.Go(func() {
			m := s.mirror
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if i > 0 && n%10 == 0 {
					m = Open(s.syncer.Dir, []string{ServerName}, engine.Filter{})
					defer m.Close()
				}
				m.Refresh()
				if err := readFixture(m); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	bases := map[string]bool{}
	for i := range times(30, 40) {
		s.tick(time.Minute)
		switch i % 3 {
		case 0:
			s.EditAttribute(uuidOf("0"+string(rune('1'+rand.IntN(9)))), `{"comment":"`+s.now.String()+`"}`)
		case 1:
			s.SoftDelete(uuidOf("11"))
		case 2:
			s.Restore(uuidOf("11"))
		}
		bases[s.sync().Base] = true
	}
	if len(bases) < 3 {
		t.Errorf("%d bases only: nothing was merged", len(bases))
	}
}

// readFixture looks up and counts what there is of the fixture, one attribute of which comes and goes.
func readFixture(m *Mirror) error {
	matches, err := m.Lookup(context.Background(), asked[:10])
	if err != nil || len(matches) < 9 {
		return fmt.Errorf("%d matches, %w", len(matches), err)
	}
	n := 0
	for _, err := range m.All() {
		if n++; err != nil {
			return err
		}
	}
	if n < 14 || n > 15 {
		return fmt.Errorf("%d attributes", n)
	}
	return nil
}

// TestSameTick has two states written within one tick of the file system's clock.
func TestSameTick(t *testing.T) {
	t.Parallel()
	s := newSite(t, misptest.New(t, fixture))
	s.sync()
	name := filepath.Join(s.syncer.Dir, ServerName, stateFile)
	before, err := os.Stat(name)
	must(t, err)
	s.EditAttribute(uuidOf("01"), `{"value":"other.example"}`)
	_, err = s.syncer.Sync(t.Context(), s.origin, false)
	must(t, err)
	must(t, os.Chtimes(name, before.ModTime(), before.ModTime()))
	if !s.mirror.Refresh() || len(s.finds("domain", "other.example")) != 1 {
		t.Error("the second state was not seen")
	}
	if s.mirror.Refresh() {
		t.Error("changed once more")
	}
}

// TestRemoved removes the files while a reader has them open.
func TestRemoved(t *testing.T) {
	t.Parallel()
	s := newSite(t, misptest.New(t, fixture))
	s.sync()
	dir := filepath.Join(s.syncer.Dir, ServerName)
	want := s.finds("domain", "evil.example")
	must(t, os.RemoveAll(dir))
	if d := cmp.Diff(want, s.finds("domain", "evil.example")); d != "" {
		t.Errorf("before a refresh (-want +got):\n%s", d)
	}
	// Files of the same names come in their place.
	s.tick(time.Minute)
	s.EditAttribute(uuidOf("01"), `{"value":"other.example"}`)
	s.sync()
	if d := cmp.Diff([]string{"exact domain other.example"}, s.finds("domain", "other.example")); d != "" {
		t.Errorf("after a new sync (-want +got):\n%s", d)
	}
	must(t, os.RemoveAll(dir))
	if !s.mirror.Refresh() || s.mirror.Usable() == nil || len(s.finds("domain", "other.example")) > 0 {
		t.Error("usable without a set")
	}
	if s.mirror.Refresh() {
		t.Error("changed once more")
	}
}

// TestDamaged changes a byte of each file of a set: the next sync, of whatever process, rebuilds the set, and a reader
// that came before opens that.
func TestDamaged(t *testing.T) {
	t.Parallel()
	for _, which := range []string{"base-", "changes-"} {
		s := newSite(t, misptest.New(t, fixture))
		s.sync()
		s.tick(time.Minute)
		s.EditAttribute(uuidOf("01"), `{"comment":"x"}`)
		state := s.sync()
		name := state.Base
		if which == "changes-" {
			name = state.Changes
		}
		name = filepath.Join(s.syncer.Dir, ServerName, name)
		data, err := os.ReadFile(name)
		must(t, err)
		data[len(data)/3] ^= 4
		must(t, atomicfile.WriteFile(name, data, atomicfile.Volatile)) // as on another disk: what is mapped stays
		fresh := openMirror(t, s.syncer.Dir, ServerName)
		if len(s.finds("domain", "evil.example")) != 1 {
			t.Errorf("%s: the reader that had it open lost it", which)
		}
		state, err = newSyncer(t, s.syncer.Dir, s.syncer.Now).Sync(t.Context(), s.origin, false)
		must(t, err)
		if !fresh.Refresh() || fresh.Usable() != nil || state.Changes != "" || !state.FullAt.Equal(s.now) {
			t.Errorf("%s: not rebuilt: %+v", which, state)
		}
		onlySet(t, s.syncer.Dir+"/misp")
	}
}

// TestOtherPlace gives an origin another address, at which nothing answers at first: the set of the first is not taken
// for a set of the second.
func TestOtherPlace(t *testing.T) {
	t.Parallel()
	s := newSite(t, misptest.New(t, fixture))
	s.sync()
	other := misptest.New(t, fixture)
	other.SetNow(s.now)
	other.EditAttribute(uuidOf("01"), `{"value":"other.example"}`)
	s.tick(time.Hour)
	other.SetNow(s.now)
	origin := &Server{Client: newClient(t, other.URL, misptest.Key), URL: other.URL}
	other.Set(misptest.Condition{DatabaseDown: true})
	for range 2 {
		state, err := s.syncer.Sync(t.Context(), origin, false)
		if err == nil || state.Place != s.URL {
			t.Fatalf("error %v, place %s", err, state.Place)
		}
	}
	other.Set(misptest.Condition{})
	state, err := s.syncer.Sync(t.Context(), origin, false)
	must(t, err)
	s.mirror.Refresh()
	if got := s.finds("domain", "other.example"); len(got) != 1 || state.Place != other.URL {
		t.Errorf("found %v, state %+v", got, state)
	}
}
