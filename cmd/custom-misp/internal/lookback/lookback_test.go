package lookback

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
)

// TestKinds finds what was seen by all kinds of match.
func TestKinds(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.holds("first.example")
	s.wants("the first sync")
	s.seen("ip-src", "192.31.196.7", "plain", "001")
	s.seen("ip-src", "192.31.197.7", "plain", "001")
	s.seen("hostname", "a.b.bad-cdn.example", "plain", "002")
	s.seen("hostname", "a.www.host.example", "plain", "002")
	s.seen("hostname", "www.host.example", "plain", "002")
	s.seen("url", "http://u.bad-cdn.example/x", "plain", "003")
	s.seen("md5", "0123456789abcdef0123456789abcdef", "plain", "004")
	s.seen("hostname", "xbad-cdn.example", "plain", "004")
	s.holds("first.example", "192.31.196.0/24,ip-dst", "bad-cdn.example,domain", "www.host.example,hostname", "u.bad-cdn.example,hostname",
		"0123456789ABCDEF0123456789ABCDEF,md5", "never.example")
	s.wants("kinds", "001 192.31.196.7 192.31.196.0/24 network", "002 a.b.bad-cdn.example bad-cdn.example parent-domain",
		"002 www.host.example www.host.example exact", "003 u.bad-cdn.example u.bad-cdn.example url-host",
		"004 0123456789abcdef0123456789abcdef 0123456789abcdef0123456789abcdef exact")
	if st := s.look.Status(); st.Indicators != 6 || st.Hits != 5 || st.Events != 5 || st.Failure != "" || st.EndedAt.IsZero() {
		t.Errorf("%+v", st)
	}
}

// TestEvent says what was seen, when, where, and in which alert last.
func TestEvent(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.holds("first.example")
	s.wants("the first sync")
	s.seen("hostname", "bad.example", "plain", "002", "001")
	s.holds("first.example", "bad.example")
	if err := s.once(); err != nil || len(s.got) != 2 {
		t.Fatalf("%v, %+v", err, s.got)
	}
	b := s.got[1].Body
	first := s.now.Add(-time.Hour - time.Minute)
	if s.got[0].Agent.ID != "001" || s.got[1].Agent.ID != "002" || s.got[1].Agent.Name != "host-002" {
		t.Errorf("%+v", s.got)
	}
	h := b.History
	if h.FirstSeen != first.Format(time.RFC3339) || h.LastSeen != first.Add(time.Second).Format(time.RFC3339) || h.Count != "2" || h.AgentCount != "2" ||
		strings.Join(h.Agents, " ") != "host-001 host-002" {
		t.Errorf("%+v", h)
	}
	if b.Source.AlertID == "" || b.Source.RuleID != "5710" || b.Source.RuleLevel != "5" || b.Source.Agent.ID != "001" || b.Observable.Mapping != "plain" || b.Origin != "list" {
		t.Errorf("%+v %+v", b.Source, b)
	}
}

// TestFirstSync is looked up only if that is asked for.
func TestFirstSync(t *testing.T) {
	t.Parallel()
	for _, first := range []bool{false, true} {
		s := newSite(t, func(o *Options) { o.FirstSync = first })
		s.seen("hostname", "bad.example", "plain", "001")
		s.holds("bad.example")
		var want []string
		if first {
			want = []string{"001 bad.example bad.example exact"}
		}
		s.wants(fmt.Sprint("first sync ", first), want...)
		s.holds("bad.example", "other.example")
		s.wants("the second")
	}
}

// TestOnce reports a hit once: whatever becomes of the source, the mirror, the configuration, and this process.
func TestOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.holds("first.example")
	s.wants("the first sync")
	s.seen("hostname", "bad.example", "plain", "001")
	s.holds("first.example", "bad.example")
	s.wants("it arrives", "001 bad.example bad.example exact")
	s.wants("nothing is new")
	s.restart()
	s.wants("a restart")
	s.holds("first.example")
	s.wants("it leaves")
	s.holds("first.example", "bad.example")
	s.wants("it comes again")
	if err := os.RemoveAll(s.syncer.Dir); err != nil {
		t.Fatal(err)
	}
	s.syncer.Close()
	s.sync()
	s.wants("the mirror is made anew")
	s.filter = engine.Filter{Tags: []string{"x"}}
	s.holds("first.example", "bad.example", "more.example")
	s.wants("another filter")
	s.filter = engine.Filter{}
	s.mutes = []enrich.Mute{{Value: "bad.example", Reason: "r"}}
	s.restart()
	s.wants("muted")
	s.mutes = nil
	s.wants("unmuted")
	s.seen("hostname", "bad.example", "plain", "007") // that look-ups have reported at once
	s.holds("first.example")
	s.wants("it leaves again")
	s.holds("first.example", "bad.example")
	s.wants("it comes a third time")
}

// TestLostRecords reports a hit no second time where only one of both records is lost.
func TestLostRecords(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(o *Options) { o.FirstSync = true })
	s.seen("hostname", "bad.example", "plain", "001")
	s.holds("bad.example")
	s.wants("it arrives", "001 bad.example bad.example exact")
	name := filepath.Join(s.options.Dir, "list.known")
	for what, damage := range map[string]func() error{
		"absent":  func() error { return os.Remove(name) },
		"damaged": func() error { return os.WriteFile(name, []byte("custom-misp known v1\n{}\nx"), 0o600) },
		"empty":   func() error { return os.WriteFile(name, nil, 0o600) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		s.restart()
		s.wants(what)
	}
	reported := filepath.Join(s.options.Dir, "reported")
	if err := os.Remove(reported); err != nil {
		t.Fatal(err)
	}
	s.restart()
	s.wants("the other is absent")
}

// TestTornRecord reads what a kill left of the record, and what is behind damage is lost alone.
func TestTornRecord(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(o *Options) { o.FirstSync = true })
	for i := range 3 {
		s.seen("hostname", fmt.Sprintf("bad-%d.example", i), "plain", "001")
	}
	s.holds("bad-0.example", "bad-1.example", "bad-2.example")
	if err := s.once(); err != nil || len(s.got) != 3 {
		t.Fatalf("%v, %d", err, len(s.got))
	}
	s.got = nil
	name := filepath.Join(s.options.Dir, "reported")
	data, err := os.ReadFile(name)
	if err != nil || len(data) != len(reportedMagic)+3*reportedRecord {
		t.Fatalf("%v, %d bytes", err, len(data))
	}
	for cut := range reportedRecord {
		if err := os.WriteFile(name, data[:len(data)-cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(s.options.Dir, "list.known")); err != nil {
			t.Fatal(err)
		}
		s.restart()
		if err := s.once(); err != nil || len(s.got) != min(cut, 1) {
			t.Errorf("cut by %d: %v, %d events", cut, err, len(s.got))
		}
		s.got = nil
	}
}

// TestFilters looks up with the filters and mutes of today, and those of the mappings that picked.
func TestFilters(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.holds("first.example")
	s.wants("the first sync")
	s.seen("hostname", "muted.example", "plain", "001")
	s.seen("hostname", "plain.example", "strict", "001")
	s.seen("hostname", "tagged.example", "strict", "001")
	s.seen("hostname", "both.example", "strict", "001")
	s.seen("hostname", "both.example", "plain", "001")
	s.seen("hostname", "unflagged.example", "plain", "001")
	s.mutes = []enrich.Mute{{Value: "muted.example", Reason: "r"}}
	s.filter = engine.Filter{ToIDs: new(true)}
	s.holds("first.example", "muted.example,hostname,1", "plain.example,hostname,1", "tagged.example,hostname,1,wanted", "both.example,hostname,1",
		"unflagged.example,hostname,0")
	s.wants("filters", "001 tagged.example tagged.example exact", "001 both.example both.example exact")
	s.holds("first.example", "unflagged.example,hostname,1")
	s.wants("it is flagged", "001 unflagged.example unflagged.example exact")
	s.holds("first.example", "unflagged.example,hostname,0")
	s.wants("it is not any more")
}

// TestSeenLater reports nothing of a value that was first seen when look-ups knew it.
func TestSeenLater(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.holds("first.example")
	s.wants("the first sync")
	s.holds("first.example", "bad.example")
	s.now = s.now.Add(2 * time.Hour)
	s.seen("hostname", "bad.example", "plain", "001")
	s.wants("seen behind the sync")
}

// agents returns the ids of many agents.
func agents(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("%03d", i+1))
	}
	return list
}

// TestManyAgents has events on ten agents, and one summary.
func TestManyAgents(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.holds("first.example")
	s.wants("the first sync")
	s.seen("hostname", "bad.example", "plain", agents(14)...)
	s.holds("first.example", "bad.example")
	if err := s.once(); err != nil {
		t.Fatal(err)
	}
	if len(s.got) != MaxAgents+1 {
		t.Fatalf("%d events", len(s.got))
	}
	last := s.got[MaxAgents].Body
	if last.Repeats != "3" || len(last.Agents) != 4 || last.Padded.Repeats != "00000003" || s.got[0].Agent.ID != "014" {
		t.Errorf("%q %q", last.Repeats, last.Agents)
	}
	s.got = nil
	if err := os.Remove(filepath.Join(s.options.Dir, "list.known")); err != nil {
		t.Fatal(err)
	}
	s.options.FirstSync = true
	s.restart()
	s.wants("again")
}

// TestStorm makes one summary of what is too much.
func TestStorm(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(o *Options) { o.Storm = 5 })
	s.holds("first.example")
	s.wants("the first sync")
	rows := []string{"first.example"}
	for i := range 40 {
		rows = append(rows, fmt.Sprintf("bad-%02d.example", i))
		s.seen("hostname", rows[i+1], "plain", "001")
	}
	s.holds(rows...)
	if err := s.once(); err != nil || len(s.got) != 6 {
		t.Fatalf("%v, %d events", err, len(s.got))
	}
	if b := s.got[5].Body; b.Repeats != "34" || strings.Join(b.Agents, " ") != "host-001" {
		t.Errorf("%+v", b)
	}
}

// TestKilled ends a look-back behind each of its events, and goes on in another process: each event comes once.
func TestKilled(t *testing.T) {
	t.Parallel()
	want := killedBehind(t, -1)
	if len(want) < 12 {
		t.Fatalf("%d events", len(want))
	}
	for after := range len(want) {
		if diff := cmp.Diff(want, killedBehind(t, after)); diff != "" {
			t.Errorf("killed behind %d events: %s", after, diff)
		}
	}
}

// killedBehind returns how often each event came, of a look-back that was killed behind a number of them, and of the one after
// it; a negative number for one that ends.
func killedBehind(t *testing.T, after int) map[string]int {
	t.Helper()
	s := newSite(t, func(o *Options) { o.Storm = 12 })
	s.holds("first.example")
	s.wants("the first sync")
	s.seen("hostname", "many.example", "plain", agents(12)...)
	rows := []string{"first.example", "many.example"}
	for i := range 5 {
		rows = append(rows, fmt.Sprintf("z%d.example", i))
		s.seen("hostname", rows[i+2], "plain", "001")
	}
	s.holds(rows...)
	s.failFrom = after
	if err := s.once(); (err != nil) != (after >= 0) || (s.look.Status().Failure != "") != (after >= 0) {
		t.Fatalf("killed behind %d events: %v, %+v", after, err, s.look.Status())
	}
	s.failFrom = -1
	s.restart()
	if err := s.once(); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, e := range s.got {
		got[e.Agent.ID+" "+e.Body.Observable.Value+" "+e.Body.Repeats]++
	}
	return got
}

// TestRecordEnds forgets what was reported when the history does.
func TestRecordEnds(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.holds("first.example")
	s.wants("the first sync")
	s.seen("hostname", "bad.example", "plain", "001")
	s.holds("first.example", "bad.example")
	s.wants("it arrives", "001 bad.example bad.example exact")
	if n := len(s.look.reported.ends); n != 1 {
		t.Fatalf("%d records", n)
	}
	s.now = s.now.AddDate(0, 0, 90)
	s.restart()
	if n := len(s.look.reported.ends); n != 1 {
		t.Errorf("%d records while the history has the value", n)
	}
	s.now = s.now.AddDate(0, 0, 2)
	s.restart()
	if n := len(s.look.reported.ends); n != 0 {
		t.Errorf("%d records of what the history has forgotten", n)
	}
}

// TestMISP looks up what MISP adds, changes, flags and publishes, and not what was known of it before.
func TestMISP(t *testing.T) {
	t.Parallel()
	const event = "11111111-1111-4111-8111-111111111111"
	s, server := mispSite(t, nil)
	s.filter = engine.Filter{ToIDs: new(true), Published: new(true)}
	server.AddEvent(fmt.Sprintf(`{"uuid":%q,"info":"e","published":true,"Attribute":[{"type":"domain","value":"first.example","to_ids":true}]}`, event))
	s.sync()
	s.wants("the first sync")
	for _, v := range []string{"added.example", "flagged.example", "changed.example", "draft.example"} {
		s.seen("hostname", v, "plain", "001")
	}
	server.AddAttribute(event, `{"type":"domain","value":"added.example","to_ids":true}`)
	id := server.AddAttribute(event, `{"type":"domain","value":"flagged.example","to_ids":false}`)
	other := server.AddAttribute(event, `{"type":"domain","value":"other.example","to_ids":true}`)
	server.Publish(event)
	s.sync()
	s.wants("added", "001 added.example added.example exact")
	server.EditAttribute(id, `{"to_ids":true}`)
	server.EditAttribute(other, `{"value":"changed.example"}`)
	server.Publish(event)
	s.sync()
	s.wants("flagged and changed", "001 flagged.example flagged.example exact", "001 changed.example changed.example exact")
	server.AddAttribute(event, `{"type":"domain","value":"draft.example","to_ids":true}`)
	s.sync()
	s.wants("a draft")
	server.Publish(event)
	s.sync()
	s.wants("published", "001 draft.example draft.example exact")
}

// TestWeaker reports nothing when an attribute that look-ups knew becomes weaker, and strong again: what was seen meanwhile was
// reported at once.
func TestWeaker(t *testing.T) {
	t.Parallel()
	const event = "11111111-1111-4111-8111-111111111111"
	s, server := mispSite(t, nil)
	server.AddEvent(fmt.Sprintf(`{"uuid":%q,"info":"e","Attribute":[{"type":"domain","value":"first.example","to_ids":true}]}`, event))
	id := server.AddAttribute(event, `{"type":"domain","value":"live.example","to_ids":true}`)
	s.sync()
	s.wants("the first sync, of a draft")
	s.seen("hostname", "live.example", "plain", "001")
	server.Publish(event)
	s.sync()
	s.wants("a draft counts, and is published")
	server.EditAttribute(id, `{"comment":"edited"}`)
	s.sync()
	s.wants("an edit makes it a draft")
	server.EditAttribute(id, `{"to_ids":false}`)
	s.sync()
	s.wants("it is not flagged any more")
	server.EditAttribute(id, `{"to_ids":true}`)
	server.Publish(event)
	s.sync()
	s.wants("it is as it was")
}
