package mirror

import (
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/misp/misptest"
)

// uuidOf makes short names into UUIDs.
func uuidOf(n string) string { return "00000000-0000-4000-8000-0000000000" + n }

// fixture is a MISP with an attribute of each kind that is compared in a way of its own; e1 is published, e2 a draft.
var fixture = fstest.MapFS{
	"1.json": {Data: []byte(`{"Event":{"uuid":"` + uuidOf("e1") + `","info":"Campaign","published":true,"timestamp":"1780000000",
		"publish_timestamp":"1780000000","date":"2026-05-28","threat_level_id":"2","analysis":"1","Orgc":{"name":"CERT-A","uuid":"` + uuidOf("f1") + `"},
		"Tag":[{"name":"tlp:amber"}],"Attribute":[
		{"uuid":"` + uuidOf("01") + `","type":"domain","value":"evil.example","to_ids":true,"timestamp":"1780000000","category":"Network activity","comment":"first"},
		{"uuid":"` + uuidOf("02") + `","type":"domain|ip","value":"pair.example|192.31.196.25","to_ids":true,"timestamp":"1780000000"},
		{"uuid":"` + uuidOf("03") + `","type":"filename|sha256","value":"Invoice.doc|0f0e0d0c0b0a09080706050403020100aabbccddeeff00112233445566778899","to_ids":true,"timestamp":"1780000000"},
		{"uuid":"` + uuidOf("04") + `","type":"ip-dst|port","value":"192.31.196.24|8443","to_ids":true,"timestamp":"1780000000"},
		{"uuid":"` + uuidOf("05") + `","type":"ip-src","value":"192.31.196.0/24","to_ids":true,"timestamp":"1780000000"},
		{"uuid":"` + uuidOf("06") + `","type":"ip-dst","value":"2620:4f:8000::/48","to_ids":true,"timestamp":"1780000000"},
		{"uuid":"` + uuidOf("07") + `","type":"ip-dst","value":"0.0.0.0/0","to_ids":true,"timestamp":"1780000000"},
		{"uuid":"` + uuidOf("08") + `","type":"hostname","value":"www.host.example.org","to_ids":true,"timestamp":"1780000000"},
		{"uuid":"` + uuidOf("09") + `","type":"url","value":"http://bad.example/","to_ids":true,"timestamp":"1780000000"},
		{"uuid":"` + uuidOf("10") + `","type":"ip-src","value":"2620:4f:8000::bad","to_ids":false,"timestamp":"1780000000","Tag":[{"name":"own"}]},
		{"uuid":"` + uuidOf("11") + `","type":"md5","value":"0F0E0D0C0B0A09080706050403020100","to_ids":true,"timestamp":"1780000000","first_seen":"2026-01-01T00:00:00Z"},
		{"uuid":"` + uuidOf("12") + `","type":"AS","value":"64500","to_ids":true,"timestamp":"1780000000"},
		{"uuid":"` + uuidOf("13") + `","type":"ip-dst","value":"8.8.8.8","to_ids":true,"timestamp":"1780000000","warnings":[{"warninglist_name":"public DNS"}]},
		{"uuid":"` + uuidOf("14") + `","type":"comment","value":"evil.example","to_ids":false,"timestamp":"1780000000"},
		{"uuid":"` + uuidOf("15") + `","type":"domain","value":"gone.example","to_ids":true,"deleted":true,"timestamp":"1780000000"},
		{"uuid":"` + uuidOf("16") + `","type":"user-agent","value":"Evil/1.0 (%)","to_ids":true,"timestamp":"1780000000"}]}}`)},
	"2.json": {Data: []byte(`{"Event":{"uuid":"` + uuidOf("e2") + `","info":"Draft","published":false,"timestamp":"1780000000","Orgc":{"name":"CERT-B","uuid":"` + uuidOf("f2") + `"},
		"Attribute":[{"uuid":"` + uuidOf("21") + `","type":"domain","value":"draft.example","to_ids":true,"timestamp":"1780000000"}]}}`)},
}

// pulled is an event of another server.
const pulled = `{"Event":{"uuid":"00000000-0000-4000-8000-0000000000e3","info":"From elsewhere","published":true,"timestamp":"1700000000","publish_timestamp":"1700000060",
	"Attribute":[{"uuid":"00000000-0000-4000-8000-000000000031","type":"domain","value":"late.example","to_ids":true,"timestamp":"1700000000"}]}}`

// asked are observables that the fixture, and what the tests make of it, knows or nearly knows.
var asked = []engine.Observable{
	observable("domain", "evil.example"), observable("hostname", "deep.below.evil.example"), observable("hostname", "pair.example"),
	observable("ip-dst", "192.31.196.25"), observable("ip-src", "192.31.196.24"), observable("ip-src", "192.31.197.1"),
	observable("filename", "Invoice.doc"), observable("sha256", "0f0e0d0c0b0a09080706050403020100aabbccddeeff00112233445566778899"),
	observable("port", "8443"), observable("ip-dst", "2620:4f:8000::bad"), observable("ip-dst", "2620:4f:8001::bad"),
	observable("hostname", "www.host.example.org"), observable("hostname", "a.www.host.example.org"), observable("url", "http://bad.example"),
	observable("url", "https://www.evil.example/login?x=1"), observable("url", "http://192.31.196.25:8080/x"), observable("url", "http://[2620:4f:8000::1]/"),
	observable("md5", "0f0e0d0c0b0a09080706050403020100"), observable("AS", "AS64500"), observable("ip-dst", "8.8.8.8"),
	observable("domain", "gone.example"), observable("user-agent", "Evil/1.0 (%)"), observable("domain", "draft.example"),
	observable("domain", "late.example"), observable("domain", "new.example"), observable("domain", "other.example"),
}

// TestKinds asks a mirror and its MISP for everything, under each filter.
func TestKinds(t *testing.T) {
	t.Parallel()
	s := newSite(t, misptest.New(t, fixture))
	state := s.sync()
	if d := s.difference(asked); d != "" {
		t.Errorf("MISP and mirror differ (-misp +mirror):\n%s", d)
	}
	yes := true
	age := engine.Age(24 * time.Hour)
	for name, f := range map[string]engine.Filter{
		"to_ids": {ToIDs: &yes}, "published": {Published: &yes}, "warninglists": {Warninglists: &yes}, "tags": {Tags: []string{"own"}},
		"exclude_tags": {ExcludeTags: []string{"tlp:*"}}, "orgs": {Orgs: []string{"CERT-B"}}, "threat level": {MinThreatLevel: "medium"},
		"age": {MaxAge: &age}, "kinds": {MatchKinds: []engine.MatchKind{engine.MatchNetwork, engine.MatchURLHost}},
	} {
		var narrowed []engine.Observable
		for _, o := range asked {
			o.Filter = &f
			narrowed = append(narrowed, o)
		}
		if d := s.difference(narrowed); d != "" {
			t.Errorf("%s (-misp +mirror):\n%s", name, d)
		}
	}
	for _, tt := range []struct {
		typ   engine.Type
		value string
		want  []string
	}{
		{"ip-dst", "192.31.196.25", []string{"exact domain|ip pair.example|192.31.196.25", "network ip-src 192.31.196.0/24"}},
		{"ip-dst", "9.9.9.9", []string{}}, // the whole internet is no network
		{"filename", "Invoice.doc", []string{}},
		{"hostname", "deep.below.evil.example", []string{"parent-domain domain evil.example"}},
		{"hostname", "a.www.host.example.org", []string{}}, // a host name says nothing of those below
		{"url", "https://www.evil.example/login", []string{"parent-domain domain evil.example"}},
		{"url", "http://[2620:4f:8000::bad]/", []string{"network ip-dst 2620:4f:8000::/48", "url-host ip-src 2620:4f:8000::bad"}},
		{"domain", "gone.example", []string{}},
	} {
		if d := cmp.Diff(tt.want, s.finds(tt.typ, tt.value)); d != "" {
			t.Errorf("%s %s (-want +got):\n%s", tt.typ, tt.value, d)
		}
	}
	if state.Attributes != 15 || state.Events != 2 || state.Networks != 2 || state.Bytes == 0 {
		t.Errorf("state %+v", state)
	}
	counted(t, s.mirror)
}

// TestEdit follows one value on its way into another, and out of a filter.
func TestEdit(t *testing.T) {
	t.Parallel()
	s := newSite(t, misptest.New(t, fixture))
	s.sync()
	s.tick(time.Minute)
	s.EditAttribute(uuidOf("01"), `{"value":"other.example"}`)
	s.sync()
	yes := true
	for _, tt := range []struct {
		value  string
		filter engine.Filter
		want   []string
	}{
		{"evil.example", engine.Filter{}, []string{}},
		{"other.example", engine.Filter{}, []string{"exact domain other.example"}},
		{"other.example", engine.Filter{ToIDs: &yes}, []string{"exact domain other.example"}},
	} {
		if d := cmp.Diff(tt.want, s.finds("domain", tt.value, tt.filter)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.value, d)
		}
	}
	s.tick(time.Minute)
	s.EditAttribute(uuidOf("01"), `{"to_ids":false}`)
	s.sync()
	if got := s.finds("domain", "other.example", engine.Filter{ToIDs: &yes}); len(got) > 0 {
		t.Errorf("to_ids was removed, and yet found: %v", got)
	}
}

// TestWalkFails has a MISP that is too slow for a walk that is due: MISP is polled nevertheless.
func TestWalkFails(t *testing.T) {
	t.Parallel()
	s := newSite(t, misptest.New(t, fixture))
	first := s.sync()
	s.tick(UsualFull)
	s.AddAttribute(uuidOf("e1"), `{"type":"domain","value":"new.example"}`)
	s.Fault(when(s.Server, func(q map[string]any) bool {
		return q["returnFormat"] != nil && q["timestamp"] == nil && q["publish_timestamp"] == nil
	}, text(504, "text/html", "time out")))
	state, err := s.syncer.Sync(t.Context(), s.origin, false)
	if err == nil || state.Failure == "" || !state.SyncedAt.Equal(s.now) || !state.FullAt.Equal(first.FullAt) {
		t.Errorf("error %v, state %+v", err, state)
	}
	s.mirror.Refresh()
	if got := s.finds("domain", "new.example"); len(got) != 1 {
		t.Errorf("found %v", got)
	}
	s.Fault(nil)
	if state := s.sync(); state.Failure != "" || !state.FullAt.Equal(s.now) {
		t.Errorf("state %+v", state)
	}
}

// TestClockSetBack has our own clock go back, after which it is not known when the next walk was due.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	s := newSite(t, misptest.New(t, fixture))
	s.sync()
	s.HardDelete(uuidOf("01"))
	s.now = s.now.Add(-48 * time.Hour)
	if state := s.sync(); !state.FullAt.Equal(s.now) {
		t.Errorf("state %+v", state)
	}
	if d := s.difference(asked); d != "" {
		t.Errorf("(-misp +mirror):\n%s", d)
	}
}

// TestNothingNew polls a MISP in which nothing happens: no file is written but the state.
func TestNothingNew(t *testing.T) {
	t.Parallel()
	s := newSite(t, misptest.New(t, fixture))
	first := s.sync()
	before := files(t, s.syncer.Dir+"/misp")
	for range 30 { // over the overlap and three reconciliations
		s.tick(time.Minute)
		state := s.sync()
		if state.Serial != first.Serial || state.Base != first.Base || state.Changes != "" {
			t.Fatalf("at %s something was written: %+v", s.now, state)
		}
		if !state.SyncedAt.Equal(s.now) || !state.Watermark.Equal(s.now) {
			t.Fatalf("synced at %s, watermark %s, now %s", state.SyncedAt, state.Watermark, s.now)
		}
	}
	if d := cmp.Diff(before, files(t, s.syncer.Dir+"/misp")); d != "" {
		t.Errorf("files (-before +after):\n%s", d)
	}
	// Because of the overlap MISP answers with the same rows again and again: one change is one file.
	s.EditAttribute(uuidOf("01"), `{"comment":"x"}`)
	// The next reconciliation reads the event as a whole, and notes that.
	changed := s.sync()
	writes := 0
	for range 25 {
		s.tick(time.Minute)
		if state := s.sync(); state.Serial != changed.Serial {
			changed = state
			writes++
		}
	}
	if writes > 1 {
		t.Errorf("the same change was written %d times", writes+1)
	}
}
