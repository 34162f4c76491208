package mirror

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/misp/misptest"
)

// sameAsLive compares the mirror with MISP for some of the generated attributes and other observables.
func sameAsLive(t *testing.T, s *site, generated int, others ...engine.Observable) {
	t.Helper()
	for i := 0; i < generated; i += 40 {
		typ, value := misptest.Generated(i)
		others = append(others, observable(engine.Type(typ), value))
	}
	for part := range slices.Chunk(others, 1000) {
		if d := s.difference(part); d != "" {
			t.Fatalf("(-misp +mirror):\n%s", d)
		}
	}
}

// restart makes the site's syncer another process.
func (s *site) restart() {
	s.syncer.Close()
	s.syncer = newSyncer(s.t, s.syncer.Dir, s.syncer.Now)
}

// whileItWaits has a walk wait for the end of the rate limit, and the polls go on.
func (s *site) whileItWaits(before State, events int) {
	s.t.Helper()
	if w := s.mirror.States()[0].Walk; !w.NotBefore.Equal(s.now.Add(15*time.Minute)) || w.Read == 0 || w.Events != events {
		s.t.Errorf("walk %+v", w)
	}
	s.tick(time.Minute)
	if state := s.sync(); state.Base != before.Base || !state.SyncedAt.Equal(s.now) {
		s.t.Errorf("while the walk waits: state %+v", state)
	}
	s.tick(15 * time.Minute)
}

// killedWhileWriting cuts the file of a walk.
func (s *site) killedWhileWriting() {
	s.t.Helper()
	name := filepath.Join(s.syncer.Dir, ServerName, walkFile)
	st, err := os.Stat(name)
	must(s.t, err)
	must(s.t, os.Truncate(name, st.Size()-int64(rand.IntN(2000))))
}

// An interruption answers a number of searches as MISP does, and the ones after those in another way. An answer that the
// client gave up may still be under way when the test sets the next.
type interruption struct {
	answer http.HandlerFunc

	mu    sync.Mutex
	left  int // searches until the interruption
	asked int // searches answered in all
	then  http.HandlerFunc
}

// after lets n searches pass, then answers with then.
func (i *interruption) after(n int, then http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.left, i.then = n, then
}

// answered returns how many searches were answered as MISP answers them.
func (i *interruption) answered() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked
}

func (i *interruption) serve(w http.ResponseWriter, r *http.Request) {
	answer := i.answer
	if strings.HasSuffix(r.URL.Path, "restSearch") {
		i.mu.Lock()
		if i.left--; i.left < 0 {
			answer = i.then
		} else {
			i.asked++
		}
		i.mu.Unlock()
	}
	answer(w, r)
}

// TestInterruptedWalk interrupts a walk ten times, in all ways: MISP fails for long, ends its answers early, limits the
// rate, or the process is stopped or killed in the middle of writing. Meanwhile MISP changes, and the earlier mirror is in
// use. The walk reads no group twice that it has read, and ends right.
func TestInterruptedWalk(t *testing.T) {
	t.Parallel()
	const n = 60_000
	s := newSite(t, misptest.NewGenerated(t, n))
	before := s.sync()
	dir := filepath.Join(s.syncer.Dir, ServerName)
	for i := range 12 { // what only a walk sees
		s.TagAttributeLocally(misptest.GeneratedUUID(5000*i), "local:x")
	}
	s.tick(UsualFull)
	fault := &interruption{answer: s.Answer}
	s.Fault(fault.serve)
	for i := range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		fault.after(1, []http.HandlerFunc{
			text(502, "text/html", "Bad Gateway"),
			func(w http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() },
			func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Rate-Limit-Reset", "900")
				misptest.Message(w, http.StatusTooManyRequests, "Rate limit exceeded.")
			},
		}[i%4])
		_, err := s.syncer.Sync(ctx, s.origin, false)
		cancel()
		if err == nil {
			t.Fatalf("interruption %d: the walk is complete", i)
		}
		if i%3 == 1 { // killed while it wrote
			s.killedWhileWriting()
		}
		s.restart()
		s.mirror.Refresh()
		if state := s.mirror.States()[0]; state.Base != before.Base || s.mirror.Usable() != nil {
			t.Fatalf("interruption %d: state %+v", i, state)
		}
		if i%4 == 3 {
			questions := fault.answered()
			s.whileItWaits(before, n/misptest.GeneratedPerEvent)
			if n := fault.answered() - questions; n != 0 {
				t.Errorf("while the walk waits: %d searches", n)
			}
		}
	}
	fault.after(1000, s.Answer)
	state := s.sync()
	if state.Base == before.Base || !state.Walk.Began.IsZero() || state.Attributes != n {
		t.Errorf("in the end: %+v", state)
	}
	// 15 groups of four events; those whose pages were cut off are read again.
	if asked := fault.answered(); asked > 15+4 {
		t.Errorf("%d groups were read", asked)
	}
	onlySet(t, dir)
	s.Fault(nil)
	sameAsLive(t, s, n)
}

// TestRateLimitedWalk walks over a MISP whose role may ask five questions in 15 minutes, for the first time, with an event
// that alone takes more: it needs several windows, and ends.
func TestRateLimitedWalk(t *testing.T) {
	t.Parallel()
	var attributes strings.Builder
	const n = 26_000
	for i := range n {
		fmt.Fprintf(&attributes, `,{"uuid":"00000000-0000-4000-8000-%012x","type":"domain","value":"host-%d.example","timestamp":"1780000000"}`, 0xa00000+i, i)
	}
	all := fstest.MapFS{"6.json": {Data: []byte(`{"Event":{"uuid":"` + uuidOf("e6") + `","timestamp":"1780000000","published":true,"Attribute":[` + attributes.String()[1:] + `]}}`)}}
	maps.Copy(all, fixture)
	s := newSite(t, misptest.New(t, all))
	s.Set(misptest.Condition{RateLimit: 5})
	syncs, failures := 0, 0
	for ; syncs < 100; syncs++ {
		state, err := s.syncer.Sync(t.Context(), s.origin, false)
		s.restart()
		if err == nil {
			break
		}
		if failures++; state.Walk.Attributes == 0 {
			t.Errorf("nothing was read: %+v", state)
		}
		s.tick(time.Minute)
	}
	if failures < 15 || syncs > 40 {
		t.Errorf("%d syncs, %d of them in vain", syncs, failures)
	}
	if c := s.Cost(); c.Searches > 12 {
		t.Errorf("%d searches", c.Searches)
	}
	s.Set(misptest.Condition{})
	s.mirror.Refresh()
	others := slices.Clone(asked)
	for i := 0; i < n; i += 7 {
		others = append(others, observable("domain", fmt.Sprintf("host-%d.example", i)))
	}
	sameAsLive(t, s, 0, others...)
	onlySet(t, s.syncer.Dir+"/misp")
}

// TestHiccup has PHP restarted in the middle of a walk: the page is asked for again, and nothing else.
func TestHiccup(t *testing.T) {
	t.Parallel()
	s := newSite(t, misptest.NewGenerated(t, 12_000))
	pauses, tries := []time.Duration(nil), 0
	s.syncer.testOnlyPause = func(d time.Duration) { pauses = append(pauses, d) }
	s.Fault(when(s.Server, reads("5"), func(w http.ResponseWriter, r *http.Request) {
		if tries++; tries <= 2 {
			text(502, "text/html", "Bad Gateway")(w, r)
			return
		}
		s.Answer(w, r)
	}))
	state := s.sync()
	if d := cmp.Diff([]time.Duration{time.Second, 3 * time.Second}, pauses); d != "" || state.Attributes != 12_000 {
		t.Errorf("%d attributes, pauses (-want +got):\n%s", state.Attributes, d)
	}
	if searches := s.Cost().Searches; searches != 3 {
		t.Errorf("%d searches", searches)
	}
}

// TestWalkLogElse begins anew where a walk goes over something else, or what was read is old.
func TestWalkLogElse(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(s *site)
		full   bool
		goesOn bool
	}{
		"the same":             {func(*site) {}, false, true},
		"a day later":          {func(s *site) { s.tick(maxWalkAge) }, false, false},
		"asked for":            {func(*site) {}, true, false},
		"without warninglists": {func(s *site) { s.origin.Warninglists = false }, false, false},
		"with sightings":       {func(s *site) { s.origin.Sightings = true }, false, false},
		"another address":      {func(s *site) { s.origin.URL = "https://other.example" }, false, false},
		"a broken file": {func(s *site) {
			must(s.t, os.WriteFile(filepath.Join(s.syncer.Dir, ServerName, walkFile), []byte("x"), 0o600))
		}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, misptest.NewGenerated(t, 9000))
			s.Fault(when(s.Server, reads("9"), text(502, "text/html", "Bad Gateway")))
			if _, err := s.syncer.Sync(t.Context(), s.origin, false); err == nil {
				t.Fatal("not interrupted")
			}
			s.Fault(nil)
			tt.change(s)
			cost := s.Cost()
			if state := s.syncAs(tt.full); state.Attributes != 9000 {
				t.Errorf("state %+v", state)
			}
			if searches := s.Cost().Minus(cost).Searches; (searches == 1) != tt.goesOn {
				t.Errorf("%d searches", searches)
			}
			onlySet(t, s.syncer.Dir+"/misp")
		})
	}
}

// TestCostOfSync measures what a large MISP is asked, and what that costs it.
func TestCostOfSync(t *testing.T) {
	t.Parallel()
	n := times(40_000, 100_000)
	s := newSite(t, misptest.NewGenerated(t, n))
	var answered sync.Mutex // an answer may be read before its handler ends
	var pages []int
	last := s.Cost()
	s.Fault(func(w http.ResponseWriter, r *http.Request) {
		s.Answer(w, r)
		answered.Lock()
		defer answered.Unlock()
		cost := s.Cost()
		if rows := cost.Rows - last.Rows; rows > 0 {
			pages = append(pages, rows)
		}
		last = cost
	})
	cost := func(what string, do func()) misptest.Cost {
		before := s.Cost()
		do()
		c := s.Cost().Minus(before)
		t.Logf("%s: %d questions, %d of them searches, %d attributes and %d events examined, %d bytes", what, c.Questions, c.Searches, c.Rows, c.Events, c.Bytes)
		return c
	}
	if c := cost("walk", func() { s.sync() }); c.Rows != n || c.Searches > n/4000 {
		t.Errorf("walk: %+v", c)
	}
	s.Fault(nil)
	answered.Lock()
	if first, last := pages[0], pages[len(pages)-1]; last > first {
		t.Errorf("the first page cost %d rows, the last %d", first, last)
	}
	answered.Unlock()
	s.tick(time.Minute)
	if c := cost("idle poll", func() { s.sync() }); c.Rows > 0 || c.Searches > 0 || c.Questions != 2 {
		t.Errorf("idle poll: %+v", c)
	}
	for i := range n / 4 {
		s.EditAttribute(misptest.GeneratedUUID(i), `{"comment":"edited"}`)
	}
	s.tick(10 * time.Second)
	if c := cost("poll after changes", func() { s.sync() }); c.Rows > n/4+6000 {
		t.Errorf("poll after changes: %+v", c)
	}
	for i := range 8 {
		s.tick(time.Minute)
		if c := cost("next poll", func() { s.sync() }); c.Rows > 0 && i < 7 {
			t.Errorf("poll %d: %+v", i, c)
		}
	}
	s.tick(2 * time.Minute)
	if c := cost("reconciliation", func() { s.sync() }); c.Rows > n/4 {
		t.Errorf("reconciliation: %+v", c)
	}
	s.tick(UsualReconcile)
	if c := cost("next reconciliation", func() { s.sync() }); c.Rows > 0 {
		t.Errorf("next reconciliation: %+v", c)
	}
}
