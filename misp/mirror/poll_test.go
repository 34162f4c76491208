package mirror

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/misp/misptest"
)

// late is an event that another server has, with one domain.
func late(event, attribute, domain string) string {
	return `{"Event":{"uuid":"` + uuidOf(event) + `","info":"Late","published":true,"timestamp":"1700000000","Attribute":[
		{"uuid":"` + uuidOf(attribute) + `","type":"domain","value":"` + domain + `","to_ids":true,"timestamp":"1700000000"}]}}`
}

// TestOverlap has attributes become visible after a poll with times from before it, as when MISP was still writing
// them: by either clock, a poll finds those that are not older than the overlap, to the second, and no others.
func TestOverlap(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		overlap time.Duration // of the Syncer
		want    time.Duration // how far back a poll looks
	}{
		{"usual", UsualOverlap, 10 * time.Minute},
		{"not set", 0, 10 * time.Minute},
		{"short", 2 * time.Minute, 2 * time.Minute},
		{"long", time.Hour, time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, misptest.New(t, fixture))
			s.syncer.Overlap = tt.overlap
			s.sync()
			s.tick(5 * time.Minute)
			polled := s.sync()
			for _, late := range []struct {
				at      time.Duration // before the poll
				visible func()
				domain  string
				want    int
			}{
				{tt.want, func() { s.AddAttribute(uuidOf("e1"), `{"type":"domain","value":"in.example"}`) }, "in.example", 1},
				{tt.want, func() { s.PullEvent(late("e7", "71", "pulled.example")) }, "pulled.example", 1},
				{tt.want + time.Second, func() { s.AddAttribute(uuidOf("e1"), `{"type":"domain","value":"out.example"}`) }, "out.example", 0},
				{tt.want + time.Second, func() { s.PullEvent(late("e8", "81", "old.example")) }, "old.example", 0},
			} {
				s.SetNow(polled.Watermark.Add(-late.at))
				late.visible()
				s.tick(0)
				if state := s.sync(); !state.FullAt.Equal(begin) {
					t.Errorf("%s: walked as a whole: %+v", late.domain, state)
				}
				if got := s.finds("domain", late.domain); len(got) != late.want {
					t.Errorf("%s, %s before the poll: %v, want %d", late.domain, late.at, got, late.want)
				}
			}
		})
	}
}

// TestOtherClock has MISP's clock go before and behind ours: polls ask by MISP's.
func TestOtherClock(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{-48 * time.Hour, -30 * time.Minute, -time.Second, 0, time.Second, 30 * time.Minute, 48 * time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, misptest.New(t, fixture))
			s.SetNow(s.now.Add(ahead))
			first := s.sync()
			for range 3 {
				before := s.now.Add(ahead)
				if got := s.mirror.States()[0].Watermark; !got.Equal(before) {
					t.Fatalf("watermark %s, and MISP's clock was %s", got, before)
				}
				s.now = s.now.Add(time.Minute)
				s.SetNow(s.now.Add(ahead))
				s.EditAttribute(uuidOf("01"), `{"comment":"`+s.now.String()+`"}`)
				state := s.sync()
				if !state.FullAt.Equal(first.FullAt) || !state.SyncedAt.Equal(s.now) {
					t.Errorf("state %+v", state)
				}
				want := float64(before.Add(-UsualOverlap).Unix())
				if d := cmp.Diff(map[string]any{"timestamp": want, "publish_timestamp": want}, lastSince(s)); d != "" {
					t.Errorf("asked since (-want +got):\n%s", d)
				}
				if d := s.difference(asked); d != "" {
					t.Errorf("(-misp +mirror):\n%s", d)
				}
			}
		})
	}
}

// lastSince returns the times that MISP was last asked since, by clock.
func lastSince(s *site) map[string]any {
	since := map[string]any{}
	for _, r := range s.Requests() {
		if r.Path != "/events/index" {
			continue
		}
		for _, clock := range []string{"timestamp", "publish_timestamp"} {
			if at, ok := r.Body[clock]; ok {
				since[clock] = at
			}
		}
	}
	return since
}

// TestConfirmedGone has the list of events lack some: those that a search still finds stay, and are not written again;
// those that no search finds are removed.
func TestConfirmedGone(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		lacks   []string // in the list alone
		deleted []string
		asked   int // confirmations
		events  int // left
	}{
		"none":                   {nil, nil, 0, 2},
		"one lacks":              {[]string{"e1"}, nil, 1, 2},
		"both lack":              {[]string{"e1", "e2"}, nil, 1, 2},
		"one deleted":            {nil, []string{"e1"}, 1, 1},
		"one deleted, one lacks": {[]string{"e1"}, []string{"e2"}, 1, 1},
		"both deleted":           {nil, []string{"e1", "e2"}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, misptest.New(t, fixture))
			before := s.sync()
			s.tick(UsualReconcile)
			for _, e := range tt.deleted {
				s.DeleteEvent(uuidOf(e))
			}
			s.Fault(when(s.Server, func(q map[string]any) bool { return q["minimal"] != nil }, func(w http.ResponseWriter, _ *http.Request) {
				list := []map[string]any{}
				for _, e := range []string{"e1", "e2"} {
					if !slices.Contains(tt.lacks, e) && !slices.Contains(tt.deleted, e) {
						list = append(list, map[string]any{"id": e[1:], "uuid": uuidOf(e), "timestamp": "1780000000", "published": e == "e1"})
					}
				}
				w.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(w).Encode(list)
			}))
			cost := s.Cost()
			state := s.sync()
			if asked := s.Cost().Minus(cost).Searches; asked != tt.asked || state.Events != tt.events {
				t.Errorf("%d searches, %d events, want %d and %d", asked, state.Events, tt.asked, tt.events)
			}
			if len(tt.deleted) == 0 && state.Serial != before.Serial {
				t.Error("something was written")
			}
			counted(t, s.mirror)
			if d := s.difference(asked); d != "" {
				t.Errorf("(-misp +mirror):\n%s", d)
			}
		})
	}
}

// TestNotConfirmed has MISP leave all events out of its list, and refuse to confirm that: nothing is removed.
func TestNotConfirmed(t *testing.T) {
	t.Parallel()
	s := newSite(t, misptest.New(t, fixture))
	before := s.sync()
	s.tick(UsualReconcile)
	s.Fault(when(s.Server, func(q map[string]any) bool { return q["minimal"] != nil || q["eventid"] != nil }, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/events/index" {
			text(200, "application/json", "[]")(w, r)
			return
		}
		text(403, "application/json", `{"message":"no"}`)(w, r)
	}))
	state, err := s.syncer.Sync(t.Context(), s.origin, false)
	if err == nil || state.Events != before.Events || state.Serial != before.Serial || !state.Reconciled.Equal(before.Reconciled) {
		t.Errorf("%v, state %+v", err, state)
	}
}

// TestFeedRetryAfter has the server of a list ask for a wait: it is not obeyed for an hour.
func TestFeedRetryAfter(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		after string
		asked int
	}{{"60", 4}, {"61", 1}, {"3600", 1}, {time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), 1}} {
		p := newProvider(t)
		asked := 0
		p.instead(func(w http.ResponseWriter, r *http.Request) {
			asked++
			w.Header().Set("Retry-After", tt.after)
			text(503, "text/plain", "busy")(w, r)
		})
		list := NewList("mine", p.URL+"/feed/list", "")
		compute := list.from.http.Backoff
		var longest time.Duration
		list.from.http.Backoff = func(least, most time.Duration, attempt int, resp *http.Response) time.Duration {
			longest = max(longest, compute(least, most, attempt, resp))
			return 0
		}
		_, _, err := newCopy(t, list).sync(t)
		if err == nil || errors.Is(err, ErrNever) || asked != tt.asked || longest > time.Minute {
			t.Errorf("%s: asked %d times, waited for %s, %v", tt.after, asked, longest, err)
		}
	}
}

// TestSameSecond has an event change again in the second in which it was read, which moves nothing.
func TestSameSecond(t *testing.T) {
	t.Parallel()
	s := newSite(t, misptest.New(t, fixture))
	s.sync()
	s.tick(UsualReconcile)
	e := s.AddEvent(`{"info":"New","Attribute":[{"uuid":"` + uuidOf("a1") + `","type":"domain","value":"new.example","to_ids":true}]}`)
	s.sync()
	s.EditAttribute(uuidOf("a1"), `{"value":"other.example"}`)
	s.TagEvent(e, "tlp:red")
	s.tick(time.Minute)
	s.sync()
	if d := s.difference(asked); d != "" {
		t.Errorf("(-misp +mirror):\n%s", d)
	}
}
